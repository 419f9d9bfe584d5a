package sim

import (
	"testing"
	"time"
)

// TestGroupStartTogether: 1,000 members that start together hold one table within 3 s, of all of them; also 300
// that start at the same moment, whose Hellos meet full tables.
func TestGroupStartTogether(t *testing.T) {
	many, crowd := 300, 300
	switch {
	case Full():
		many = 1000
	case testing.Short():
		many, crowd = 40, 64
	}
	for _, start := range []struct {
		members int
		spread  time.Duration // between two starts, at most
	}{{many, 20 * time.Microsecond}, {crowd, 0}} {
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
		report(t, "%d members, up to %v between two starts: one table at %v, after %d datagrams received", start.members, start.spread, s.Net.Now().Sub(0),
			s.Net.Stats().Received)
		if !s.AllAlike() {
			t.Errorf("%d members do not hold one table after %v", start.members, within)
			for _, m := range s.Members {
				if n := m.Protocol.Size(); n != start.members {
					t.Errorf("node %d holds %d members of %d", m.Node, n, start.members)
				}
			}
		}
		s.For(2 * time.Second)
		budget(t, s)
		for _, m := range s.Members {
			if n := m.Protocol.Stats().Removed; n != 0 {
				t.Errorf("node %d removed %d members", m.Node, n)
			}
		}
	}
}

// TestGroupHours: GR-11. Eight members stand still for up to 0.4 of the timeout, once a second each, and are late
// for some of their deadlines. Within 6 virtual hours nobody is reported.
func TestGroupHours(t *testing.T) {
	lasts := 5 * time.Minute
	switch {
	case Full():
		lasts = 6 * time.Hour
	case testing.Short():
		lasts = 30 * time.Second
	}
	const n = 8
	s := NewGroupCluster(t, 1)
	s.Rules.Accurate = true
	s.Late = groupTimeout * 4 / 10
	s.Start(n, Link{Delay: 20 * time.Microsecond, Jitter: time.Millisecond})
	for _, m := range s.Members {
		var stop func()
		wait := func() { s.Net.After(time.Duration(m.rng.ExpFloat64()*float64(time.Second)), stop) }
		stop = func() {
			if !s.healed {
				m.Driver.Pause()
				s.Net.After(between(m.rng, groupTimeout*4/10), func() { m.Driver.Resume(); wait() })
			}
		}
		wait()
	}
	s.For(lasts)
	var closest, stall, suspected uint64
	for _, m := range s.Members {
		st := m.Protocol.Stats()
		closest, stall, suspected = max(closest, st.ClosestCall), max(stall, st.LongestStall), suspected+st.Suspected
	}
	report(t, "%d members that stand still for up to %v: in %v %d doubts, closest call %.1f %% of the time to a removal, longest stall %v", n,
		groupTimeout*4/10, lasts, suspected, float64(closest)/10, time.Duration(stall))
	s.Heal()
	s.Settle()
}
