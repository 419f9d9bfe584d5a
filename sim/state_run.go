package sim

import "testing"

// RunStates is Run for clusters. At the end it reports what all of the runs went through.
func RunStates(t *testing.T, seeds int, scenario func(t *testing.T, s *StateCluster)) {
	t.Helper()
	var all stateTallies
	t.Cleanup(func() { all.tell(t) })
	runSeeds(t, seeds, NewStateCluster, scenario, func(s *StateCluster) { all.add(&s.Tally) })
}
