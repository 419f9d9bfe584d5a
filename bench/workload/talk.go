package workload

import (
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/groupmember"
)

// Topics of the load and of the answers to it.
const (
	pingTopic = "bench.ping"
	pongTopic = "bench.pong"
	ringTopic = "bench.order" // of all members of a ring
)

// role is the first line on a process's input: what to be.
type role struct {
	Workload Kind            `json:"workload"`
	Echo     bool            `json:"echo"` // answer each message
	URI      string          `json:"uri"`
	Cluster  string          `json:"cluster"`
	Protocol blaze.Protocol  `json:"protocol"`
	FEC      blaze.FECConfig `json:"fec"`
	Size     int             `json:"size"`
	Idle     string          `json:"idle"`
	Loss     float64         `json:"loss"`
	Delay    time.Duration   `json:"delay"` // of what comes
	Seed     uint64          `json:"seed"`  // of the losses at this member
	Hash     uint64          `json:"hash"`  // seed of the payloads
	Every    uint64          `json:"every"` // takes the time of each message whose number this divides
	GSO      bool            `json:"gso"`
	NoLoop   bool            `json:"no_loop"`
	Trace    bool            `json:"trace"` // take the times of each stage

	Goroutines bool `json:"goroutines"` // handlers run there

	Seconds float64    `json:"seconds"` // Raw: how long
	Ring    *ringRole  `json:"ring,omitempty"`
	Group   *groupRole `json:"group,omitempty"`

	Member *groupmember.Order `json:"member,omitempty"` // be this, and nothing of the rest
}

// handlers are the options of a subscription.
func (o *role) handlers() []blaze.SubscribeOption {
	if o.Goroutines {
		return nil
	}
	return []blaze.SubscribeOption{blaze.Inline()}
}

// step is a later line: to a member of a ring when to begin, then to all that the load is over.
type step struct {
	Start int64    `json:"start,omitempty"` // ns, of the clock that all share; 0: at once
	Sent  []uint64 `json:"sent,omitempty"`  // how many messages each sender has sent: numbers 1..Sent were accepted
}

// answer is a line on a process's output: Ready, then Report; from a member of a ring any number of
// marks and its load between them. Error instead of any.
type answer struct {
	Ready  bool      `json:"ready,omitempty"`
	ID     string    `json:"id,omitempty"` // with Ready, of a member of a group
	Mark   *mark     `json:"mark,omitempty"`
	Load   *ringLoad `json:"load,omitempty"`
	Report *report   `json:"report,omitempty"`
	Error  string    `json:"error,omitempty"`
}

// report is what one process received.
type report struct {
	Delivered  uint64            `json:"delivered"`
	Lost       uint64            `json:"lost"`
	Duplicates uint64            `json:"duplicates"`
	Reordered  uint64            `json:"reordered"`
	Corrupt    uint64            `json:"corrupt"`
	Told       map[string]uint64 `json:"told"`
	Messages   float64           `json:"messages"` // measured, in
	Seconds    float64           `json:"seconds"`
	Latency    []byte            `json:"latency"` // measure.Histogram
	Repair     []byte            `json:"repair"`
	RTT        []byte            `json:"rtt"`    // Raw
	Stages     [][]byte          `json:"stages"` // measure.Histogram of each, where they were traced
	Mallocs    uint64            `json:"mallocs"`
	Stats      counters          `json:"stats"`
	Ring       *ringReport       `json:"ring,omitempty"`
}

// counters are what a run reports of a member's Stats.
type counters struct {
	Transport         string `json:"transport"`
	XDPMode           string `json:"xdp_mode"`
	XDPSocket         string `json:"xdp_socket"`
	XDPDatagrams      uint64 `json:"xdp_datagrams"`
	XDPCopied         uint64 `json:"xdp_copied"`
	DatagramsReceived uint64 `json:"datagrams_received"`
	NAKsSent          uint64 `json:"naks_sent"`
	RepairsSent       uint64 `json:"repairs_sent"`
	DatagramsSent     uint64 `json:"datagrams_sent"` // of data, for the first time
	DatagramBytes     uint64 `json:"datagram_bytes"` // of those
	ParityBytes       uint64 `json:"parity_bytes"`
	RepairedByFEC     uint64 `json:"repaired_by_fec"`
	RepairedByNACK    uint64 `json:"repaired_by_nack"`
	Detail            string `json:"detail"` // all counters of the protocol, to be read by people
	Evictions         uint64 `json:"evictions"`
}
