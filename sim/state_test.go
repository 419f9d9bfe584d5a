package sim

import (
	"testing"
	"time"
)

// Members that start together, without a fault.
func TestStateClean(t *testing.T) {
	RunStates(t, 20, func(t *testing.T, s *StateCluster) {
		s.Expected, s.Disks = [...]int{0, 3}[s.Seed%2], s.Seed/2%2 == 1
		s.Drift = 0.005
		s.Start(3, Faults{Delay: 50 * time.Microsecond})
		s.Until(3 * time.Second)
		s.Heal()
		s.Settle(2 * time.Second)
	})
}

// TestStates is the whole fault list, drawn anew for each seed (swarm testing). Its thousand runs of 30 s are sim/linear's,
// where porcupine judges them too.
func TestStates(t *testing.T) {
	seeds, length := 100, 10*time.Second
	if testing.Short() {
		length = 4 * time.Second
	}
	RunStates(t, seeds, func(t *testing.T, s *StateCluster) { s.Everything(length) })
}
