package workload

import (
	"fmt"
	"runtime"

	"github.com/activeblaze/blaze/bench/measure"
)

// sum adds up what the members report; the one that was killed has none.
func (r *ringRun) sum(reports []*ringReport) error {
	res := r.res
	res.Killed = r.o.Kill
	var mallocs uint64
	first := true
	for i, p := range reports {
		if p == nil {
			if i != r.victim() {
				return fmt.Errorf("member %d: no report", i)
			}
			res.Members = append(res.Members, "was killed")
			continue
		}
		res.Members = append(res.Members, p.Stats.Detail)
		res.Transport, res.XDPMode, res.XDPSocket = p.Stats.Transport, p.Stats.XDPMode, p.Stats.XDPSocket
		res.XDPDatagrams += p.Stats.XDPDatagrams
		res.XDPCopied += p.Stats.XDPCopied
		res.Duplicates += p.Duplicates
		res.Reordered += p.Reordered
		res.Corrupt += p.Corrupt
		res.RepairsSent += p.Retransmits
		res.Views = max(res.Views, p.Views)
		mallocs += p.Mallocs
		total := uint64(0)
		for _, n := range p.Delivered {
			total += n
		}
		rate := 0.0
		if p.Seconds > 0 {
			rate = p.Messages / p.Seconds
		}
		if first || rate < res.MsgsPerSecond {
			res.MsgsPerSecond, res.Seconds = rate, p.Seconds
			if total > 0 {
				res.DatagramsPerSecond = rate * float64(p.Stats.DatagramsReceived) / float64(total)
			}
		}
		first = false
	}
	res.BytesPerSecond = res.MsgsPerSecond * float64(r.o.Size)
	if n := res.Sent + res.Delivered; n > 0 {
		res.AllocsPerMsg = float64(mallocs) / float64(n)
	}
	for _, l := range r.loads {
		res.TokenRotationNS += float64(l.Rotation) / float64(len(r.loads))
		res.MemberCPU = max(res.MemberCPU, l.CPU)
	}
	r.times(reports)
	r.failover(reports)
	if r.o.Verify {
		r.verify(reports)
	}
	res.OrderViolations = uint64(len(res.Violations)) + res.Reordered + res.Duplicates
	return nil
}

// times tells the latencies: of every delivery, of the sender's own, and of the last member's.
func (r *ringRun) times(reports []*ringReport) {
	every := uint64(1)
	living := 0
	for _, p := range reports {
		if p != nil {
			every = max(every, p.Every) // powers of two times one number: the largest's are all's
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
		decodeSamples(p.Samples, every, func(s sample) {
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
	r.res.Own = own.Percentiles()
	if runtime.GOOS == "linux" { // elsewhere each process has a clock of its own
		r.res.Latency, r.res.Last = all.Percentiles(), r.hist.Percentiles()
	}
}

// failover tells how long delivery stood still at the worst of those who lived on, when one was
// killed: the longest time between two deliveries from then until there is one in a new ring.
func (r *ringRun) failover(reports []*ringReport) {
	if !r.o.Kill {
		return
	}
	worst := int64(0)
	for _, p := range reports {
		if p == nil {
			continue
		}
		if !p.Again {
			return // here no new ring has delivered anything
		}
		worst = max(worst, p.Stall)
	}
	ms := float64(worst) / 1e6
	r.res.FailoverMS = &ms
}

// verify compares the members' sequences, and what the one that was killed told of its own.
func (r *ringRun) verify(reports []*ringReport) {
	res := r.res
	all := make([][]stretch, len(reports))
	for i, p := range reports {
		if p != nil {
			all[i] = p.Stretches
		}
	}
	res.Violations, res.Compared = verify(all)
	for i, s := range all {
		if s == nil {
			continue
		}
		if where, _ := verifyMarks(r.marks, s, r.o.Safe); where != "" {
			res.Violations = append(res.Violations, fmt.Sprintf("member %d in %s", i, where))
		}
	}
}
