package sim

import (
	"testing"
	"time"
)

// TestGroupStartTogether: 1,000 members that start together hold one table within 3 s, of all of them; also 300
// that start at the same moment, whose Hellos meet full tables.
func TestGroupStartTogether(t *testing.T) {
	many := 300
	if Full() {
		many = 1000
	}
	for _, start := range []struct {
		members int
		spread  time.Duration // between two starts, at most
	}{{many, 20 * time.Microsecond}, {300, 0}} {
		s := NewGroupCluster(t, uint64(start.members))
		s.Light = true
		s.Prepare(Link{Delay: 20 * time.Microsecond})
		for range start.members {
			s.Join()
			s.For(between(s.rng, start.spread))
		}
		const within = 3 * time.Second
		for last := s.Net.Now(); !s.AllAlike() && s.Net.Now().Sub(last) < within; {
			s.For(5 * time.Millisecond)
		}
		t.Logf("%d members, up to %v between two starts: one table at %v, after %d datagrams received", start.members, start.spread, s.Net.Now().Sub(0),
			s.Net.Stats().Received)
		if !s.AllAlike() {
			t.Errorf("%d members do not hold one table after %v", start.members, within)
			for _, m := range s.Members {
				if n := m.Protocol.Size(); n != start.members {
					t.Errorf("node %d holds %d members of %d", m.Node, n, start.members)
				}
			}
		}
	}
}
