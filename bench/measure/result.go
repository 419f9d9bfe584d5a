package measure

import (
	"encoding/json"
	"io"
	"time"
)

// ResultSchema is Result.Schema of this version.
const ResultSchema = 1

// Result is one run of one workload. The JSON names are stable: scripts read them. Counts are summed
// over all receivers unless a line states otherwise; a distribution that the workload does not
// measure is null.
type Result struct {
	Schema int       `json:"schema"`         // ResultSchema: it grows when a field changes its meaning
	Time   time.Time `json:"time"`           // when the run began, or was evaluated; UTC
	Host   string    `json:"host"`           // its name
	Module string    `json:"module_version"` // of the library; "(devel)" in its own repository

	Workload  string `json:"workload"`  // latency, throughput, loss, order, group, cluster, jms, raw
	URI       string `json:"uri"`       // with the port that was used
	Transport string `json:"transport"` // the driver and its mode, as the member reports it
	Protocol  string `json:"protocol"`  // nack, besteffort, fec, hybrid; none for raw
	Size      int    `json:"size"`      // bytes of payload in each message
	Receivers int    `json:"receivers"` // receiving processes

	XDPMode   string `json:"xdp_mode"`   // how packets travelled: such as "generic copy"; empty where not over AF_XDP
	XDPSocket string `json:"xdp_socket"` // own or asavie; empty where not over AF_XDP
	// Datagrams that members sent and received over AF_XDP, and those of them that were copied
	// to be sent or came through the kernel's socket.
	XDPDatagrams uint64 `json:"xdp_datagrams"`
	XDPCopied    uint64 `json:"xdp_copied"`

	Rig     string `json:"rig"`     // the network that was made for the run: veth, bridge, tap; empty: none
	Offload bool   `json:"offload"` // its interfaces kept segmentation offload
	Link    string `json:"link"`    // what the cable of one member carries; empty: all
	LinkAt  string `json:"link_at"` // which: receiver (or empty), sender

	Seconds    float64 `json:"seconds"`    // measured, without warm-up and settling
	Sent       uint64  `json:"sent"`       // accepted Offers, warm-up included
	Delivered  uint64  `json:"delivered"`  // unique intact messages that handlers got
	Lost       uint64  `json:"lost"`       // sent and not delivered, 5 s after the last Offer or once OnLoss reported all
	Duplicates uint64  `json:"duplicates"` // delivered more than once
	Reordered  uint64  `json:"reordered"`  // delivered after a later one
	Corrupt    uint64  `json:"corrupt"`    // wrong hash, size or number; not counted as delivered

	Told       uint64            `json:"told"`       // messages that OnLoss reported; what is lost and not reported is silence
	Reasons    map[string]uint64 `json:"reasons"`    // of Told, by LossReason
	Evictions  uint64            `json:"evictions"`  // receivers that the sender stopped waiting for
	Unanswered uint64            `json:"unanswered"` // latency: messages whose answer never came back

	MsgsPerSecond      float64 `json:"msgs_per_s"`      // what the slowest receiver got
	BytesPerSecond     float64 `json:"bytes_per_s"`     // payload bytes of those messages
	DatagramsPerSecond float64 `json:"datagrams_per_s"` // received by that receiver

	RTT     *Percentiles `json:"rtt_ns"`     // there and back
	Latency *Percentiles `json:"latency_ns"` // one way, from the (scheduled) time of sending to the handler
	Repair  *Percentiles `json:"repair_ns"`  // from the detection of a gap to its repair

	// Breakdown is where the time of a message goes, one way: medians of each stage, in their
	// order, then what of the median of the whole they leave unexplained, then the whole. Null
	// unless it was asked for.
	Breakdown []Stage `json:"breakdown"`

	// How what was lost on the way came back: datagrams that their blocks gave back without
	// anybody asking, and those that came because of a NAK, as they were or as repair symbols.
	RepairedByFEC  uint64 `json:"repaired_by_fec"`
	RepairedByNACK uint64 `json:"repaired_by_nack"`
	// What the sender sent besides, for what it had to send.
	ParityOverhead float64 `json:"parity_overhead"` // bytes of repair symbols / bytes of source datagrams
	RepairOverhead float64 `json:"repair_overhead"` // datagrams sent again / data datagrams
	ResidualLoss   float64 `json:"residual_loss"`   // share of the messages that were never delivered

	NAKsSent     uint64  `json:"naks_sent"`      // by all members
	RepairsSent  uint64  `json:"repairs_sent"`   // by all members
	AllocsPerMsg float64 `json:"allocs_per_msg"` // heap allocations of all processes / (sent + delivered)
	CPUSeconds   float64 `json:"cpu_s"`          // user and system time of all processes

	Kernel string `json:"kernel"` // uname -sr, machine
	CPUs   int    `json:"cpus"`   // that the process may use

	// Members are the protocol's counters of each member, the sender's first: to look into when
	// a run is not what it should be.
	Members []string `json:"-"`

	// Circumstances beyond those that every reader needs.
	K          int     `json:"k"`          // source symbols of a block; 0: the default, or no code
	M          int     `json:"m"`          // repair symbols of a block; 0: as many as the loss asks for, or no code
	Interleave int     `json:"interleave"` // blocks in turn; 0: the default, or no code
	Rate       float64 `json:"rate"`       // messages a second that were asked for; 0: as fast as it goes
	Loss       float64 `json:"loss"`       // share of datagrams dropped at each member
	DelayNS    int64   `json:"delay_ns"`   // that everything was made to come later at each member
	Seed       uint64  `json:"seed"`       // of the drops
	Idle       string  `json:"idle"`       // how waiting members wait
	GSO        bool    `json:"gso"`        // raw: with segmentation offload
	Loop       string  `json:"loop"`       // raw over sockets: whether an end gets what it sends itself: on, off
	NotDone    string  `json:"not_done"`   // raw over AF_XDP: what it leaves out that something which carries messages cannot
	CPUModel   string  `json:"cpu_model"`  // as the kernel names it; may be empty
	Go         string  `json:"go"`         // version of the toolchain
	Commit     string  `json:"commit"`     // of the build; "+" when the tree had changes; may be empty

	Order   *OrderResult   `json:"-"` // the whole, where this is part of what the order workload found
	Group   *GroupResult   `json:"-"` // the same of the group workload
	Cluster *ClusterResult `json:"-"` // the same of the cluster workload
	JMS     *JMSResult     `json:"-"` // the same of the jms workload
	Scale   *ScaleResult   `json:"-"` // the same of blazebench scale
}

// Stage is a part of a message's way.
type Stage struct {
	Name string `json:"name"`
	NS   int64  `json:"ns"` // median
}

// Exact reports whether every message that was sent arrived at every receiver, once, in order and
// intact, and was answered where answers were asked for.
func (r *Result) Exact() bool {
	return r.Lost == 0 && r.Duplicates == 0 && r.Reordered == 0 && r.Corrupt == 0 && r.Unanswered == 0
}

// WriteJSON writes r as one indented JSON object and a line end.
func (r *Result) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
