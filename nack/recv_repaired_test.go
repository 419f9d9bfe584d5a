package nack

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// Every datagram that was lost came back in one of three ways, and each is counted apart: given
// back by its block, given back with repair symbols that were asked for, or sent again.
func TestHowLossesCameBack(t *testing.T) {
	for _, c := range []struct {
		name  string
		id    wire.StreamID
		loss  float64
		delay time.Duration
		every time.Duration
		code  FEC
		right func(r Stats) bool
	}{
		{"NACK knows one way", testStream, 0.05, time.Millisecond, 10 * time.Microsecond, FEC{},
			func(r Stats) bool { return r.Rebuilt == 0 && r.Resent == r.Repaired }},
		{"six symbols for ten are enough", hybridStream, 0.01, time.Millisecond, 10 * time.Microsecond, FEC{Source: 10, Fixed: 6},
			func(r Stats) bool { return r.RebuiltOnDemand == 0 && r.Rebuilt > 9*r.Resent }},
		{"one for twenty is not", hybridStream, 0.1, time.Millisecond, 10 * time.Microsecond, FEC{Fixed: 1},
			func(r Stats) bool { return r.RebuiltOnDemand > r.Rebuilt/2 }},
		{"a NAK is quicker than a long block", hybridStream, 0.02, 10 * time.Microsecond, 100 * time.Microsecond, FEC{Source: 64, Fixed: 2},
			func(r Stats) bool { return r.Resent > r.Rebuilt }},
	} {
		t.Run(c.name, func(t *testing.T) {
			const count = 4000
			net, sender, s := newCoded(t, c.id, 1, c.loss, c.delay, c.code)
			pour(net, sender, s, count, c.every)
			if !net.until(time.Second, func() bool { return completeOn(net, c.id, count) }) {
				t.Fatal("not complete")
			}
			r := net.nodes[1].p.Stats()
			t.Logf("%d missed, %d rebuilt, %d of them on demand, %d sent again", r.Missed, r.Rebuilt, r.RebuiltOnDemand, r.Resent)
			if r.Missed == 0 || r.Missed != r.Rebuilt+r.Resent || !c.right(r) {
				t.Errorf("counted wrongly: %d overtaken, %d gone", r.Overtaken, r.Gone)
			}
			net.done()
		})
	}
}
