package sim

import (
	"fmt"
	"testing"
)

// RunRings is Run for rings. At the end it prints what all of the runs went through.
func RunRings(t *testing.T, seeds int, scenario func(t *testing.T, s *RingCluster)) {
	t.Helper()
	var all tallies
	t.Cleanup(func() { all.tell(t) })
	for _, seed := range which(t, seeds) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			s := NewRingCluster(t, seed)
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
