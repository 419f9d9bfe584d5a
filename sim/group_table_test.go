package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// TestGroupBudget: GM-5. The beats of n idle members take no more than 1 Mbit/s of each host, and beats are
// slower where there are many members, but no member is removed. TestGroupStartTogether has 300 and 1,000.
func TestGroupBudget(t *testing.T) {
	for _, n := range []int{2, 10, 32, 100} {
		s := NewGroupCluster(t, uint64(n))
		s.Rules.Accurate = true
		s.Start(n, Link{Delay: 20 * time.Microsecond})
		s.For(time.Second)
		budget(t, s)
		s.Heal()
		s.Settle()
	}
}

// budget measures what one member receives of an idle group.
func budget(t *testing.T, s *GroupCluster) {
	beats, others, count := 0, 0, 0
	var d wire.Datagram
	s.Net.SetTap(func(f *Flight) bool {
		if f.To != 0 {
			return true
		}
		if wire.Decode(f.Bytes, &d) == nil && d.Frames()[0].Kind == wire.FrameBeat {
			beats += len(f.Bytes) + core.WireOverhead
			count++
		} else {
			others += len(f.Bytes) + core.WireOverhead
		}
		return true
	})
	lasts := max(3*time.Second, time.Duration(len(s.Members))*10*time.Millisecond) // some intervals
	s.For(lasts)
	s.Net.SetTap(nil)
	rate := func(bytes int) float64 { return float64(bytes*8) / lasts.Seconds() }
	// A host that multicasts receives no beat of its own; the wire has it all the same.
	n := len(s.Members)
	wire := rate(beats) * float64(n) / float64(n-1)
	report(t, "%d idle members: %.0f bit/s of beats, each every %v; one receives %.0f bit/s of anything else", n, wire,
		(lasts * time.Duration(n-1) / time.Duration(count)).Round(time.Millisecond), rate(others))
	if wire > 1e6 || rate(others) > 1e5 {
		t.Errorf("%d members: beats of %.0f bit/s, others of %.0f", n, wire, rate(others))
	}
}

// TestGroupJoin: members that start together in a group that is there already hold all of it at once, whose
// records come in tables.
func TestGroupJoin(t *testing.T) {
	RunGroups(t, 20, func(t *testing.T, s *GroupCluster) {
		s.Rules.Accurate = true
		s.Start(30, Link{Delay: 20 * time.Microsecond})
		s.For(time.Second)
		var joined []*GroupMember
		for range 3 + s.rng.IntN(14) { // a table answers eight
			joined = append(joined, s.Members[s.Join()])
		}
		from := s.Net.Now()
		all := func() bool {
			for _, m := range joined {
				if int(m.Protocol.Stats().Members) != len(s.Members) {
					return false
				}
			}
			return true
		}
		if !s.Net.RunUntil(from.Add(60*time.Millisecond), all) {
			for _, m := range joined {
				t.Errorf("node %d holds %d of %d members after %v", m.Node, m.Protocol.Stats().Members, len(s.Members), s.Net.Now().Sub(from))
			}
		}
		s.Heal()
		s.Settle()
	})
}

// TestGroupLateJoiner: 16 members, of which the longest-serving one crashed the moment before. A newcomer has all
// of it within 10 ms, and within a round trip where nobody crashed.
func TestGroupLateJoiner(t *testing.T) {
	RunGroups(t, 20, func(t *testing.T, s *GroupCluster) {
		s.Start(16, Link{Delay: 20 * time.Microsecond})
		s.For(time.Second)
		within, want := 100*time.Microsecond, 17
		if s.Seed%2 == 1 {
			s.Crash(0)
			within = 10 * time.Millisecond
		}
		m, from := s.Members[s.Join()], s.Net.Now()
		if !s.Net.RunUntil(from.Add(within), func() bool { return m.Protocol.Size() == want }) {
			t.Errorf("seed %d: it holds %d of %d members after %v", s.Seed, m.Protocol.Size(), want, within)
		}
		s.Heal()
		s.Settle()
	})
}

// TestGroupManyGroups: a member of 10,000 groups, whose record is larger than a datagram. A newcomer has all of it
// within 100 ms, and so has every member that was there, after each change. With loss it takes longer.
func TestGroupManyGroups(t *testing.T) {
	RunGroups(t, 10, func(t *testing.T, s *GroupCluster) {
		s.Config.Bandwidth = 1e9
		s.Start(3, Link{Delay: 20 * time.Microsecond, Loss: 0.02 * float64(s.Seed%2)})
		s.For(100 * time.Millisecond)
		busy := s.Members[0]
		for i := range 10_000 {
			if err := busy.Protocol.Join(s.Net.Now(), fmt.Sprintf("group number %d", i)); err != nil {
				t.Fatal(err)
			}
		}
		busy.Driver.Wake()
		within := 100 * time.Millisecond * time.Duration(1+9*(s.Seed%2))
		complete := func(what string) {
			from := s.Net.Now()
			all := func() bool {
				for _, m := range s.Members[1:] {
					if m.Protocol.Stats().Groups != busy.Protocol.OwnGroups() {
						return false
					}
				}
				return true
			}
			for !all() && s.Net.Now().Sub(from) < within {
				s.For(time.Millisecond)
			}
			t.Logf("%s: complete after %v", what, s.Net.Now().Sub(from))
			if !all() {
				for _, m := range s.Members[1:] {
					t.Errorf("seed %d, %s: node %d holds %d memberships after %v", s.Seed, what, m.Node, m.Protocol.Stats().Groups, within)
				}
			}
		}
		complete("joined")
		s.Join()
		complete("a newcomer")
		busy.Protocol.Leave(s.Net.Now(), "group number 7")
		busy.Driver.Wake()
		complete("left one")
		s.Heal()
		s.Settle()
	})
}

// TestGroupSameSeed: RS-5. A seed repeats a run, to the byte.
func TestGroupSameSeed(t *testing.T) {
	for seed := range uint64(4) {
		var hashes [2]uint64
		for i := range hashes {
			s := NewGroupCluster(t, seed)
			s.Everything(5)
			s.SettleFor()
			hashes[i] = s.Net.Hash()
		}
		if hashes[0] != hashes[1] {
			t.Errorf("seed %d: two runs differ", seed)
		}
	}
}

// TestGroupHalves: many members are split in two for long, so that each side removes the other, and merge.
func TestGroupHalves(t *testing.T) {
	RunGroups(t, 20, func(t *testing.T, s *GroupCluster) {
		n := 12 + int(s.Seed%3)*12
		s.Start(n, Link{Delay: 20 * time.Microsecond})
		s.For(time.Second)
		var half []int
		for i := range n / 2 {
			half = append(half, i)
		}
		s.Net.Partition(n, half...)
		s.For(2 * time.Second)
		for _, m := range s.Members {
			if got := int(m.Protocol.Stats().Members); got != n/2 {
				t.Errorf("node %d holds %d members, its side has %d", m.Node, got, n/2)
			}
		}
		s.Heal()
		s.Settle()
	})
}
