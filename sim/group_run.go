package sim

import (
	"fmt"
	"os"
	"testing"
)

// RunGroups is Run for groups. With -short it takes a quarter of the seeds that run by default.
func RunGroups(t *testing.T, seeds int, scenario func(t *testing.T, s *GroupCluster)) {
	t.Helper()
	list := which(t, seeds)
	if testing.Short() && os.Getenv("SIM_SEEDS") == "" {
		list = list[:(len(list)+3)/4]
	}
	for _, seed := range list {
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
