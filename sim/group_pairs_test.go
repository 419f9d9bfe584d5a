package sim

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/check"
)

// TestGroupPairs has whole members send to each other while some crash, stand still and come back.
func TestGroupPairs(t *testing.T) {
	seeds := 1000
	if testing.Short() {
		seeds = 100
	}
	RunGroups(t, seeds, func(t *testing.T, s *GroupCluster) {
		x := AddPairs(s, 2*time.Millisecond)
		loss := []float64{0, 0.01, 0.05}[s.rng.IntN(3)]
		n := 3 + s.rng.IntN(4)
		s.Start(n, Link{Delay: 20 * time.Microsecond, Jitter: 20 * time.Microsecond, Loss: loss})
		s.For(100 * time.Millisecond)
		for range s.rng.IntN(6) {
			node := s.rng.IntN(n)
			switch s.rng.IntN(3) {
			case 0:
				x.end(node)
				s.Crash(node)
				s.For(between(s.rng, 200*time.Millisecond))
				s.Restart(node)
			default:
				s.Pause(node)
				s.For(between(s.rng, 300*time.Millisecond))
				s.Resume(node)
			}
			s.For(between(s.rng, 200*time.Millisecond))
		}
		s.Heal()
		s.For(time.Second)
		x.Stop()
		s.For(3 * time.Second)
		if found := x.Judge(); len(found) > 0 {
			t.Errorf("seed %d:\n%s", s.Seed, check.Text(found))
		}
		s.Settle()
	})
}
