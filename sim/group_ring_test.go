package sim

import (
	"testing"
	"time"
)

// TestGroupRing: GR-1 to GR-3, GR-5 where the members of a group are in a ring.
func TestGroupRing(t *testing.T) {
	RunGroups(t, 300, func(t *testing.T, s *GroupCluster) {
		s.Rings()
		s.Settle()
	})
}

// TestGroupRingQuiet: a member of the ring that only the detector misses stays. One of which nothing but the ring's
// datagrams come is not removed, whatever time passes.
func TestGroupRingQuiet(t *testing.T) {
	RunGroups(t, 40, func(t *testing.T, s *GroupCluster) {
		s.Ring = func(int) bool { return true }
		s.Rules.Accurate = true
		s.Data = time.Hour // none
		s.Begin(3+int(s.Seed%4), 0)
		s.For(2 * time.Second)
		s.Net.SetTap(dropGroupOf(s.Members[1]))
		s.For(time.Second)
		for _, m := range s.Members {
			if m != s.Members[1] && m.Protocol.Stats().Suspected == 0 {
				t.Errorf("node %d did not even suspect the member of which no beat came", m.Node)
			}
		}
		s.Heal()
		s.Settle()
	})
}
