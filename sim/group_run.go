package sim

import "testing"

// RunGroups is Run for groups. With -short it takes a quarter of the seeds that run by default.
func RunGroups(t *testing.T, seeds int, scenario func(t *testing.T, s *GroupCluster)) {
	t.Helper()
	runSeeds(t, which(t, seeds), NewGroupCluster, scenario, func(*GroupCluster) {})
}
