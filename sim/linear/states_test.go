package linear

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/sim"
)

// TestStates is the whole fault list, drawn anew for each seed: the checkers of internal/check judge each run, and porcupine
// decides each of its histories.
func TestStates(t *testing.T) {
	seeds, length := 1000, 10*time.Second
	switch {
	case testing.Short():
		seeds, length = 200, 5*time.Second
	case sim.Full():
		length = 30 * time.Second
	}
	sim.RunStates(t, seeds, func(t *testing.T, s *sim.StateCluster) {
		s.Everything(length)
		judge(t, s)
	})
}

// judge has porcupine decide all histories of a run.
func judge(t *testing.T, s *sim.StateCluster) {
	t.Helper()
	if s.Log.Excused != "" {
		return // it met E3: what was acknowledged may be lost
	}
	r := Check(s.Log, time.Minute)
	s.Tally.Histories, s.Tally.Operations, s.Tally.Longest = r.Histories, r.Operations, r.Longest
	for _, h := range r.Illegal {
		t.Errorf("seed %d: MP-1: not linearizable: %s", s.Seed, h)
	}
	for _, h := range r.Undecided {
		t.Errorf("seed %d: MP-1: not decided: %s", s.Seed, h)
	}
}
