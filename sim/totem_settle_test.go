package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/totem"
)

// settling is a cluster of n members with the default timers, on a network of an ordinary delay.
func settling(s *RingCluster, n int) {
	s.Load = RingLoad{Every: 2 * time.Millisecond, Safe: 0.3}
	s.Profile = totem.Tuned()
	s.Start(n, Faults{Delay: 200 * time.Microsecond})
	s.Until(300 * time.Millisecond)
}

// views returns the number of regular configurations of each member.
func (c *RingCluster) views() (list []uint64) {
	for _, m := range c.Members {
		list = append(list, m.Protocol.Stats().Views)
	}
	return list
}

// steady lets d pass, in which no member may get more than most views. It returns the longest time in which
// one of the members did not deliver a message.
func (c *RingCluster) steady(t *testing.T, d time.Duration, most uint64, members ...int) (gap time.Duration) {
	t.Helper()
	before := c.views()
	type last struct {
		at        clock.Time
		delivered uint64
	}
	was := map[int]last{}
	for _, i := range members {
		was[i] = last{c.Net.Now(), c.Members[i].Delivered}
	}
	for end := c.Net.Now().Add(d); c.Net.Now() < end; {
		c.For(5 * time.Millisecond)
		for _, i := range members {
			if n := c.Members[i].Delivered; n != was[i].delivered {
				was[i] = last{c.Net.Now(), n}
			}
			gap = max(gap, c.Net.Now().Sub(was[i].at))
		}
	}
	for i, n := range c.views() {
		if n-before[i] > most {
			t.Errorf("seed %d: member %d got %d views in %v, at most %d are right%s", c.Seed, i, n-before[i], d, most, c.Describe())
		}
	}
	return gap
}

// attempt is the longest time that one attempt to form a ring takes that comes to nothing.
const attempt = 300 * time.Millisecond

// Two of three members do not receive each other, and the third one receives both. It keeps to one of them.
// The ring of the two stands, and the attempts to form a larger one become rare.
func TestRingNotTransitive(t *testing.T) {
	seeds := 20
	if testing.Short() {
		seeds = 4
	}
	RunRings(t, seeds, func(t *testing.T, s *RingCluster) {
		settling(s, 3)
		middle := int(s.Seed % 3)
		a, b := (middle+1)%3, (middle+2)%3
		s.Net.Cut(a, b)
		s.Net.Cut(b, a)
		s.For(5 * time.Second)
		pair := a
		if len(s.Members[b].View.Members) == 2 {
			pair = b
		}
		if n := len(s.Members[pair].View.Members); n != 2 {
			t.Fatalf("no pair%s", s.Describe())
		}
		for range 2 {
			if gap := s.steady(t, 10*time.Second, 1, middle, pair); gap > attempt {
				t.Errorf("the pair delivered nothing for %v", gap)
			}
		}
		s.Net.MendAll()
		from := s.Net.Now()
		if !s.Net.RunUntil(from.Add(time.Second), s.OneRing) {
			t.Errorf("seed %d: no ring of all within a second%s", s.Seed, s.Describe())
		}
		s.Heal()
		s.Settle(time.Second)
	})
}

// A bridge: two sides of a larger ring do not receive each other, and one member receives both. It keeps to the
// larger side, and the ring of that side stands.
func TestRingBridge(t *testing.T) {
	seeds := 10
	if testing.Short() {
		seeds = 3
	}
	RunRings(t, seeds, func(t *testing.T, s *RingCluster) {
		settling(s, 6)
		for _, i := range []int{0, 1, 2} {
			for _, j := range []int{4, 5} {
				s.Net.Cut(i, j)
				s.Net.Cut(j, i)
			}
		}
		s.For(6 * time.Second)
		if gap := s.steady(t, 10*time.Second, 1, 0, 1, 2, 3); gap > attempt {
			t.Errorf("the larger side delivered nothing for %v", gap)
		}
		if n := len(s.Members[3].View.Members); n != 4 {
			t.Errorf("the member in the middle is in a ring of %d%s", n, s.Describe())
		}
		s.Net.MendAll()
		from := s.Net.Now()
		if !s.Net.RunUntil(from.Add(time.Second), s.OneRing) {
			t.Errorf("seed %d: no ring of all within a second%s", s.Seed, s.Describe())
		}
		s.Heal()
		s.Settle(time.Second)
	})
}

// Datagrams of full size do not reach one member. It is put out once, and what does not carry data does not let
// it in again. Meanwhile, what it lacks is not sent again and again.
func TestRingNarrowMember(t *testing.T) {
	seeds := 20
	if testing.Short() {
		seeds = 4
	}
	RunRings(t, seeds, func(t *testing.T, s *RingCluster) {
		settling(s, 3)
		s.Load.Size, s.Load.Burst = 1400, 3
		victim, healed := int(s.Seed%3), false
		outward := s.Seed%2 == 1 // also what it sends
		missing := uint64(0)
		s.Net.SetTap(func(f *Flight) bool {
			if healed || len(f.Bytes) <= narrow || f.To != victim && !(outward && f.From == victim) {
				return true
			}
			missing++
			return false
		})
		before := uint64(0)
		for _, m := range s.Members {
			before += m.Protocol.Stats().Retransmitted
		}
		// What the member lacks is counted until it is put out.
		s.Net.RunUntil(s.Net.Now().Add(5*time.Second), func() bool { return len(s.Members[(victim+1)%3].View.Members) == 2 })
		sent := uint64(0)
		for _, m := range s.Members {
			sent += m.Protocol.Stats().Retransmitted
		}
		sent -= before
		// Each datagram that was sent again was kept from it too.
		if lacks := missing - min(sent, missing); sent > 5*lacks {
			t.Errorf("seed %d: %d datagrams were sent again for %d that it lacks", s.Seed, sent, lacks)
		}
		if !outward { // both ends report it, with the lengths that do not pass and do
			for _, k := range []totem.EventKind{totem.RemovedStuck, totem.LacksData} {
				if !slices.ContainsFunc(s.stuck, func(e totem.Event) bool {
					return e.Kind == k && e.Member == s.Members[victim].ID() && e.Longest > 0 && e.Longest <= narrow && (e.Length > narrow || k == totem.LacksData)
				}) {
					t.Errorf("seed %d: no %v of the narrow member in %+v", s.Seed, k, s.stuck)
				}
			}
		}
		s.steady(t, 12*time.Second, 2)
		healed = true
		from := s.Net.Now()
		if !s.Net.RunUntil(from.Add(time.Second), s.OneRing) {
			t.Errorf("seed %d: no ring of all within a second%s", s.Seed, s.Describe())
		}
		s.Heal()
		s.Settle(time.Second)
	})
}

// One member has a tenth or three tenths of a processor: it runs for so much of each 100ms. The ring learns how
// long it stands still, and stays.
func TestRingStarvedMember(t *testing.T) {
	seeds := 20
	if testing.Short() {
		seeds = 4
	}
	RunRings(t, seeds, func(t *testing.T, s *RingCluster) {
		settling(s, 3)
		victim := int(s.Seed % 3)
		runs := []time.Duration{10, 30}[s.Seed/3%2] * time.Millisecond
		const period = 100 * time.Millisecond
		s.For(time.Duration(s.rng.IntN(100)) * time.Millisecond)
		over := false
		var off func()
		off = func() {
			if over {
				return
			}
			s.Pause(victim)
			s.Net.After(period-runs, func() { s.Resume(victim) })
			s.Net.After(period, off)
		}
		off()
		s.steady(t, 10*time.Second, 3)
		s.steady(t, 10*time.Second, 1)
		if !s.OneRing() {
			t.Errorf("seed %d: the starved member is not in the ring%s", s.Seed, s.Describe())
		}
		over = true
		s.For(period)
		s.Heal()
		s.Settle(time.Second)
	})
}
