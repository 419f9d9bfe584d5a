package nack

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// At the low pace one sample that lost as much as the flood did shows nothing: a member that did not run for a moment looks
// the same. Several in a row show that the loss is not the pace's fault.
func TestOneBadSampleFreesNoPace(t *testing.T) {
	for _, c := range []struct {
		name  string
		lost  []float64
		phase phase
	}{
		{"one bad sample", []float64{0.6, 0}, cruise},
		{"two", []float64{0.6, 0.6, 0}, cruise},
		{"random loss", []float64{0.6, 0.55, 0.6}, open},
	} {
		net, sender, s := pairOf(t, 2, wire.NACK)
		r := &s.receivers[0]
		a := &r.arrivals
		a.flood, a.bound, a.rate = 0.6, net.now, 1e6
		a.ours = s.sent + s.stats.Repairs
		net.offer(sender, s, 20, 1000) // more than others have sent: none did
		s.enterPhase(net.now, r, still)
		for _, lost := range c.lost {
			began := net.now.Add(roundMin)
			net.run(3 * roundMin)
			s.advancePace(net.now, r, lost, true, began)
		}
		if a.phase != c.phase {
			t.Errorf("%s: phase %d, want %d", c.name, a.phase, c.phase)
		}
		if freed := a.after > net.now.Add(time.Second); freed != (c.phase == open) {
			t.Errorf("%s: no bound for a while: %v", c.name, freed)
		}
		net.done()
	}
}

// Of a receiver that multicast does not reach only what goes to it by unicast arrives. That is no queue that is full: with a
// pace that followed it the stream, and the repairs that are all it gets, came to a stand.
func TestBlockedMulticastBindsNoPace(t *testing.T) {
	for _, blocked := range []bool{false, true} {
		net, sender, s := pairOf(t, 2, wire.NACK)
		r := &s.receivers[0]
		net.nodes[1].down = true // its reports are written here
		bound := false
		for i := range uint64(10) {
			net.offer(sender, s, 200, 1000)
			net.run(20 * time.Millisecond)
			st := wire.Status{Highest: s.sent, Arrived: 1 + i, Clock: 1e12 + i*20e6, NoGroup: blocked}
			r.highest = s.sent
			s.arrived(net.now, r, &st, false)
			bound = bound || r.arrivals.phase != open
		}
		if bound == blocked {
			t.Errorf("multicast does not get through: %v, and the pace is bound: %v", blocked, bound)
		}
		net.done()
	}
}
