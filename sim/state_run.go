package sim

import (
	"fmt"
	"os"
	"testing"
)

// RunStates is Run for clusters. With -short it takes a quarter of the seeds that run by default. At the end it reports what
// all of the runs went through.
func RunStates(t *testing.T, seeds int, scenario func(t *testing.T, s *StateCluster)) {
	t.Helper()
	var all stateTallies
	t.Cleanup(func() { all.tell(t) })
	list := which(t, seeds)
	if testing.Short() && os.Getenv("SIM_SEEDS") == "" {
		list = list[:(len(list)+3)/4]
	}
	for _, seed := range list {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			s := NewStateCluster(t, seed)
			defer func() {
				if r := recover(); r != nil {
					t.Errorf("seed %d: panic: %v\n%s", seed, r, stack())
				}
				if t.Failed() {
					t.Logf("replay: go test %s -run '^%s$' -seed=%d", packageOf(scenario), root(t), seed)
				}
				all.add(&s.Tally)
			}()
			scenario(t, s)
		})
	}
}
