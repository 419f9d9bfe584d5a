package nack

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// A sender repeats no repair within the round trip that it measured. Where a flood stands in a socket that is long, and
// requests are answered much sooner than that as a rule. Those that come before the sender can answer are no failures: with
// a fifth of everything lost streams stood still for seconds, since they asked ever more rarely.
func TestRequestsBeforeTheAnswerAreNoFailures(t *testing.T) {
	net, sender, _ := pairOf(t, 2, wire.NACK)
	s := net.nodes[1].p.known[streamKey{sender.id, testStream}]
	const roundTrip, every = 5 * time.Millisecond, 100 * time.Microsecond
	s.asking.service, s.group.rtt = every, roundTrip
	begin := clock.Time(time.Second)
	g := gap{first: 1, end: 2, since: begin, failedAt: begin}
	for d := time.Duration(0); d < 10*roundTrip; d += every {
		s.fails(begin.Add(d), &g)
		if most := int(d / roundTrip); s.failures(begin.Add(d), &g) > most {
			t.Fatalf("after %v %d requests failed, at most %d can have", d, s.failures(begin.Add(d), &g), most)
		}
	}
	if g.failed < 7 {
		t.Errorf("%d failures in %v", g.failed, 10*roundTrip)
	}
	// Failures that were counted before it was known how long repairs take do not count for more than the time that passed.
	s.asking.service = 10 * roundTrip
	if n := s.failures(begin.Add(10*roundTrip), &g); n != 1 {
		t.Errorf("%d failures where a repair takes as long as has passed", n)
	}
	net.done()
}
