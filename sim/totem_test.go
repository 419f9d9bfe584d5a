package sim

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/totem"
)

func TestRingClean(t *testing.T) {
	RunRings(t, 20, func(t *testing.T, s *RingCluster) {
		s.Load.Large, s.Load.Safe = 0.02, 0.3
		s.Start(3, Faults{Delay: 50 * time.Microsecond})
		s.Until(time.Second)
		for _, m := range s.Members {
			if n := m.Protocol.Stats().Views; n != 1 {
				t.Errorf("%d views", n)
			}
		}
		s.Heal()
		s.Settle(time.Second)
	})
}

// TestRings is the whole fault list, drawn anew for each seed (swarm testing). What all seeds
// went through is told at the end.
func TestRings(t *testing.T) {
	seeds := 1000
	length := 30 * time.Second
	if testing.Short() {
		seeds, length = 100, 5*time.Second
	}
	RunRings(t, seeds, func(t *testing.T, s *RingCluster) {
		n, f := swarm(s)
		s.Start(n, f)
		s.Until(length)
		s.Shatter()
		s.Heal()
		s.Settle(2 * time.Second)
	})
}

// swarm draws what a cluster is like, and what goes wrong in it.
func swarm(s *RingCluster) (n int, f Faults) {
	n = 3 + s.rng.IntN(6)
	if s.rng.IntN(8) == 0 {
		n = 9 + s.rng.IntN(8)
	}
	s.Load = RingLoad{Every: time.Duration(2+s.rng.IntN(30)) * time.Millisecond, Burst: 1 + s.rng.IntN(8)}
	switch s.rng.IntN(3) {
	case 0:
		s.Load.Safe = 1
	case 1:
		s.Load.Safe = 0.3
	}
	if s.rng.IntN(2) == 0 {
		s.Load.Large = 0.1
	}
	f = swarmFaults(s)
	s.Profile = totem.Tuned()
	if s.rng.IntN(3) == 0 {
		// As short as the network allows.
		rotation := time.Duration(n) * (f.Delay + f.Jitter + 20*time.Microsecond)
		s.Profile = s.Profile.WithTokenLoss(min(max(20*rotation, 5*time.Millisecond), 50*time.Millisecond))
	}
	if s.rng.IntN(2) == 0 {
		s.Profile.Hold = s.Profile.TokenRetransmit / 5
		s.Profile.IdleRotations = 1 + s.rng.IntN(30)
	}
	if s.rng.IntN(3) == 0 {
		s.Profile.Window, s.Profile.Personal = 8, 1+s.rng.IntN(8)
	}
	if s.rng.IntN(2) == 0 { // who does not receive is put out soon
		s.Profile.StuckRotations, s.Profile.StuckTime = 50+s.rng.IntN(200), 2*s.Profile.TokenRetransmit
	}
	if s.Seed%4 != 3 { // otherwise hold-downs that only time ends may take a minute
		s.Profile.HoldDown = time.Second
	}
	plain := s.rng.IntN(3)
	s.Change = func(node int, c *totem.Config) { c.Plain = plain == 0 || plain == 1 && node%2 == 0 }
	return n, f
}

// swarmFaults draws what goes wrong: about half of all kinds in each run.
func swarmFaults(s *RingCluster) Faults {
	f := Faults{Delay: time.Duration(20+s.rng.IntN(200)) * time.Microsecond, Lasting: time.Duration(1+s.rng.IntN(400)) * time.Millisecond}
	each := func(p *float64, most float64) {
		if s.rng.IntN(2) == 0 {
			*p = most * s.rng.Float64()
		}
	}
	each(&f.Loss, 0.1)
	each(&f.Duplicate, 0.2)
	each(&f.Reorder, 0.1)
	each(&f.Partition, 0.003)
	each(&f.Pause, 0.003)
	each(&f.Crash, 0.002)
	each(&f.Stall, 0.001)
	each(&s.Rare.Slow, 0.001)
	each(&s.Rare.Deaf, 0.0003)
	each(&s.Rare.Narrow, 0.0003)
	if s.rng.IntN(4) == 0 {
		f.Burst = Burst{Enter: 0.001, Leave: 0.05, Loss: 0.9}
	}
	if s.rng.IntN(2) == 0 {
		f.Jitter = f.Delay
	}
	if s.rng.IntN(4) == 0 {
		f.Reorder, f.ReorderBy = f.Reorder/10, 100*time.Millisecond // so late that the ring is gone
	}
	return f
}
