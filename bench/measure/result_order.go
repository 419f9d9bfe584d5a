package measure

import (
	"encoding/json"
	"io"
)

// OrderResult is what a run of the order workload found: members that all send and all receive, in one
// total order. In the part that it shares with other workloads, counts are summed over all
// members that lived to the end, latency_ns is from sending to the delivery at any of them, and
// msgs_per_s is the rate of all members' messages together, at the slowest. Under NACK, which
// is run to compare with, there is no ring: views and token_rotation_ns are 0.
type OrderResult struct {
	Result
	Ring    int    `json:"members"` // processes, each of which sends and receives
	Safe    bool   `json:"safe"`    // delivered when every member has it, not only agreed
	Plain   bool   `json:"plain"`   // the ring that is not accelerated
	Profile string `json:"profile"` // of the ring's timers: lan, isolated, shared

	OrderViolations uint64  `json:"order_violations"`  // see Violations, and Reordered and Duplicates
	Verified        bool    `json:"verified"`          // the members' sequences were compared
	Compared        uint64  `json:"compared"`          // messages of the sequences' common part, the most of any two members
	Views           int     `json:"views"`             // rings that a member was in since all were in one; 1 in a clean run
	TokenRotationNS float64 `json:"token_rotation_ns"` // under load, the mean of the members

	MemberCPU float64 `json:"member_cpu"` // share of one CPU that the busiest member took while messages were sent

	Killed     bool     `json:"killed"`      // a member was ended midway, by SIGKILL
	FailoverMS *float64 `json:"failover_ms"` // the longest time between two deliveries from then to the first in a new ring, at the worst of the others; null: none was killed, or nothing was delivered again

	Own  *Percentiles `json:"own_ns"`  // from the (scheduled) time of sending to the sender's own delivery
	Last *Percentiles `json:"last_ns"` // from the same time to the delivery at the last member

	Violations []string `json:"-"` // in words

	Failovers []float64 `json:"-"` // where members were killed in several runs: FailoverMS of each
}

// WriteJSON writes r as one indented JSON object and a line end.
func (r *OrderResult) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
