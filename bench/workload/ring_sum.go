package workload

import (
	"fmt"
	"runtime"

	"github.com/activeblaze/blaze/bench/measure"
)

// sumRing adds up what the members report; the one that was killed has no report.
func (r *run) sumRing(reports []*report) error {
	res := r.ring.res
	res.Killed = r.o.Ring.Kill
	first := true
	for i, p := range reports {
		if p == nil {
			if i != r.victim() {
				return fmt.Errorf("member %d: no report", i)
			}
			res.Members = append(res.Members, "was killed")
			continue
		}
		r.add(p, first)
		first = false
		res.Transport, res.XDPMode, res.XDPSocket = p.Stats.Transport, p.Stats.XDPMode, p.Stats.XDPSocket
		res.Views = max(res.Views, p.Ring.Views)
	}
	r.perMessage()
	for _, l := range r.ring.loads {
		res.TokenRotationNS += float64(l.Rotation) / float64(len(r.ring.loads))
		res.MemberCPU = max(res.MemberCPU, l.CPU)
	}
	r.times(reports)
	r.failover(reports)
	if r.o.Ring.Verify {
		r.verify(reports)
	}
	res.OrderViolations = uint64(len(res.Violations)) + res.Reordered + res.Duplicates
	return nil
}

// times works out the latencies: of every delivery, of the sender's own, and of the last member's.
func (r *run) times(reports []*report) {
	every := uint64(1)
	living := 0
	for _, p := range reports {
		if p != nil {
			every = max(every, p.Ring.Every) // powers of two times one number: the largest's are all's
			living++
		}
	}
	type slowest struct {
		latency int64
		members int
	}
	all, own := measure.NewHistogram(), measure.NewHistogram()
	last := map[uint64]slowest{}
	for i, p := range reports {
		if p == nil {
			continue
		}
		decodeSamples(p.Ring.Samples, every, func(s sample) {
			all.Record(s.latency)
			if s.number>>senderShift-1 == uint64(i) {
				own.Record(s.latency)
			}
			l := last[s.number]
			last[s.number] = slowest{max(l.latency, s.latency), l.members + 1}
		})
	}
	r.hist = measure.NewHistogram()
	for _, l := range last {
		if l.members == living {
			r.hist.Record(l.latency)
		}
	}
	r.ring.res.Own = own.Percentiles()
	if runtime.GOOS == "linux" { // elsewhere each process has a clock of its own
		r.res.Latency, r.ring.res.Last = all.Percentiles(), r.hist.Percentiles()
	}
}

// failover works out how long delivery stood still at the worst of the members that lived on, when one
// was killed: the longest time between two deliveries from then until there is one in a new ring.
func (r *run) failover(reports []*report) {
	if !r.o.Ring.Kill {
		return
	}
	worst := int64(0)
	for _, p := range reports {
		if p == nil {
			continue
		}
		if !p.Ring.Again {
			return // here no new ring has delivered anything
		}
		worst = max(worst, p.Ring.Stall)
	}
	ms := float64(worst) / 1e6
	r.ring.res.FailoverMS = &ms
}

// verify compares the members' sequences, and the marks of the one that was killed.
func (r *run) verify(reports []*report) {
	res := r.ring.res
	all := make([][]stretch, len(reports))
	for i, p := range reports {
		if p != nil {
			all[i] = p.Ring.Stretches
		}
	}
	res.Violations, res.Compared = verify(all)
	for i, s := range all {
		if s == nil {
			continue
		}
		if where, _ := verifyMarks(r.ring.marks, s, r.o.Ring.Safe); where != "" {
			res.Violations = append(res.Violations, fmt.Sprintf("member %d in %s", i, where))
		}
	}
}
