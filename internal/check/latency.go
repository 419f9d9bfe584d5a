package check

import (
	"slices"
	"time"

	"github.com/activeblaze/blaze/clock"
)

// RM8 (independence): loss at one receiver does not slow another one down. The 99th percentile
// of the time from Sent to Delivered at node, of messages sent from time from on, is at most
// 1 + x times what it was in the run of clean, in which nothing was lost.
func RM8(clean, lossy *Log, node int, from clock.Time, x float64) []Violation {
	r := report{id: "RM-8"}
	a, b := percentile99(clean, node, from), percentile99(lossy, node, from)
	if a == 0 || b == 0 {
		r.add(-1, "node %d was delivered nothing", node)
	} else if limit := time.Duration(float64(a) * (1 + x)); b > limit {
		r.add(-1, "99 %% of messages reach node %d within %v when another one loses datagrams, %v when it does not", node, b, a)
	}
	return r.done()
}

func percentile99(l *Log, node int, from clock.Time) time.Duration {
	var all []time.Duration
	for i := range l.Records {
		d := &l.Records[i]
		if d.Kind != Delivered || l.Procs[d.Proc].Node != node {
			continue
		}
		if sent, ok := l.message(d.Stream, d.First); ok && sent.At >= from {
			all = append(all, d.At.Sub(sent.At))
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[(len(all)-1)*99/100]
}
