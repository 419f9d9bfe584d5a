package sim

import (
	"fmt"
	"testing"
)

// RunGroups is Run for groups.
func RunGroups(t *testing.T, seeds int, scenario func(t *testing.T, s *GroupCluster)) {
	t.Helper()
	for _, seed := range which(t, seeds) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			s := NewGroupCluster(t, seed)
			defer func() {
				if r := recover(); r != nil {
					t.Errorf("seed %d: panic: %v\n%s", seed, r, stack())
				}
				if t.Failed() {
					t.Logf("replay: go test %s -run '^%s$' -seed=%d", packageOf(scenario), root(t), seed)
				}
			}()
			scenario(t, s)
		})
	}
}
