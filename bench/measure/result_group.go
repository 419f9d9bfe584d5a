package measure

import (
	"encoding/json"
	"io"
)

// GroupResult is what a run of the group workload found: members of one group, and messages from one to
// another. In the part that it shares with other workloads, messages are requests, sends or queue
// messages, receivers are the other processes, and rtt_ns is that of NACK where it was compared with.
// What a run does not measure is 0, or null for a distribution.
type GroupResult struct {
	Result
	What      string `json:"what"`      // request, send, queue, members
	Members   int    `json:"members"`   // processes that are members
	Senders   int    `json:"senders"`   // calls that are under way at a time
	Consumers int    `json:"consumers"` // queue: processes that consume it
	Messages  bool   `json:"messages"`  // requests with Messages and goroutines, not with payloads on the engine's thread
	Invoker   bool   `json:"invoker"`   // both members turn their engines themselves
	Compare   string `json:"compare"`   // nack: rtt_ns is measured too, in turn; empty: no

	RequestsPerSecond float64      `json:"requests_per_s"`
	Request           *Percentiles `json:"request_ns"`         // from the call to its reply
	RequestPerRTT     float64      `json:"request_per_rtt"`    // median of request_ns / median of rtt_ns, the median of the turns
	AllocsPerRequest  float64      `json:"allocs_per_request"` // heap allocations of both processes

	SendsPerSecond float64      `json:"sends_per_s"`
	Send           *Percentiles `json:"send_ns"` // from the call until the receiver has it

	QueuePerSecond float64      `json:"queue_msgs_per_s"`
	Queue          *Percentiles `json:"queue_ns"`    // from the call until the consumer's handler has returned
	Redelivered    uint64       `json:"redelivered"` // handlings that were marked so
	Unmarked       uint64       `json:"unmarked"`    // handlings of a message after the first unmarked one that bear no mark either
	Outstanding    uint64       `json:"outstanding"` // messages that the sender handed out again
	LeastShare     float64      `json:"least_share"` // of the messages, that of the consumer with the fewest of those that lived

	Kills         int       `json:"kills"`          // members that were ended by SIGKILL
	Detect        *float64  `json:"detect_ms"`      // from the signal until the last of the others reported the failure, median; null: none was killed
	DetectMax     *float64  `json:"detect_max_ms"`  // the longest
	Detects       []float64 `json:"detects_ms"`     // each
	FalseFailures uint64    `json:"false_failures"` // reports about members that lived

	Loaded      bool    `json:"loaded"`          // one member published as fast as it could
	BeatBits    float64 `json:"beat_bits_per_s"` // of all members' beats, on the wire
	MemberCPU   float64 `json:"member_cpu"`      // share of one CPU that the busiest member took while nothing was said
	Wakeups     float64 `json:"wakeups_per_s"`   // of all threads of the member with the most, meanwhile; Go's own are most of them
	Sleeps      float64 `json:"sleeps_per_s"`    // of the engine of the member with the most: its own wake-ups
	ClosestCall uint64  `json:"closest_call"`    // per mille of the time to a removal that a silence lasted which ended well, the most

	Ratios []float64 `json:"-"` // request_per_rtt of each turn
}

// WriteJSON writes r as one indented JSON object and a line end.
func (r *GroupResult) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
