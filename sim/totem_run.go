package sim

import "testing"

// RunRings is Run for rings. At the end it prints what all of the runs went through.
func RunRings(t *testing.T, seeds int, scenario func(t *testing.T, s *RingCluster)) {
	t.Helper()
	var all tallies
	t.Cleanup(func() { all.tell(t) })
	runSeeds(t, seeds, NewRingCluster, scenario, func(s *RingCluster) { all.add(&s.Tally) })
}
