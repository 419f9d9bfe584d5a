package sim

import "testing"

// RunGroups is Run for groups.
func RunGroups(t *testing.T, seeds int, scenario func(t *testing.T, s *GroupCluster)) {
	t.Helper()
	runSeeds(t, seeds, NewGroupCluster, scenario, func(*GroupCluster) {})
}
