package sim

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/check"
)

// TestGroupPairs has whole members send to each other and through queues, over links that lose, repeat and
// reorder, while members crash, stand still, leave, are cut off, and come back (PP-1 to 5, QU-1 to 5, QU-8,
// RS-7).
func TestGroupPairs(t *testing.T) {
	RunGroups(t, 2000, func(t *testing.T, s *GroupCluster) {
		rng := rand.New(rand.NewPCG(s.Seed, 0x70616972))
		pick := func(of ...float64) float64 { return of[rng.IntN(len(of))] }
		x := AddPairs(s, 2*time.Millisecond)
		x.Failing, x.Cancel, x.Large = pick(0, 0.05), pick(0, 0.05), pick(0, 0.05)
		x.Buffers = []int{64, 512}[rng.IntN(2)]
		if rng.IntN(2) == 0 {
			x.Moving = 50 * time.Millisecond
		}
		n := 3 + rng.IntN(4)
		s.Start(n, Link{Delay: 20 * time.Microsecond, Jitter: 20 * time.Microsecond, Loss: pick(0, 0.02, 0.2),
			Duplicate: pick(0, 0.1), Reorder: pick(0, 0.05, 0.3), ReorderBy: 30 * time.Millisecond})
		s.For(100 * time.Millisecond)
		gentle := rng.IntN(3) == 0 // nobody is removed who lives
		for range rng.IntN(6) {
			node := rng.IntN(n)
			fault := rng.IntN(4)
			if gentle {
				fault %= 2
			}
			if fault == 0 && s.Members[node].leaving {
				fault = 1
			}
			switch fault {
			case 0:
				s.Crash(node)
				s.For(between(rng, 200*time.Millisecond))
				s.Restart(node)
			case 1:
				x.Leave(node, between(rng, 50*time.Millisecond))
				s.For(between(rng, 200*time.Millisecond))
				s.Restart(node)
			case 2:
				s.Pause(node)
				s.For(between(rng, 300*time.Millisecond))
				s.Resume(node)
			case 3:
				for i := range n {
					if i != node && rng.IntN(4) > 0 {
						s.Net.Cut(node, i)
						s.Net.Cut(i, node)
					}
				}
				s.For(between(rng, 300*time.Millisecond))
				s.Net.MendAll()
			}
			s.For(between(rng, 200*time.Millisecond))
		}
		s.Heal()
		s.For(time.Second)
		x.Stop()
		s.For(3 * time.Second)
		before := x.datagrams()
		s.For(time.Second)
		if n := x.datagrams() - before; n > 0 {
			t.Errorf("seed %d: PP-5: %d datagrams of idle pairs", s.Seed, n)
		}
		if found := x.Judge(); len(found) > 0 {
			t.Errorf("seed %d:\n%s", s.Seed, check.Text(found))
		}
		s.Settle()
	})
}
