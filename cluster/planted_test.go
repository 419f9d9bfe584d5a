package cluster_test

import (
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/sim"
)

// TestPlanted leaves out one rule of docs/cluster.md at a time in whole members, and demands that a checker notices within a
// number of seeds. A checker that never fails proves nothing. Rules that random runs need seldom have scripts
// (planted_script_test.go).
func TestPlanted(t *testing.T) {
	tests := []struct {
		defect   string
		catchers []string // one of them
		seeds    uint64
	}{
		{"bothHalves", []string{"EL-1", "EL-2"}, 20},
		{"tailDropped", []string{"EL-1", "MP-12"}, 40},
		{"tailNotCounted", []string{"MP-4", "MP-7", "EL-1", "EL-2"}, 20},
		{"answersInTransition", []string{"MP-6", "MP-12"}, 20},
		{"tailProposedAgain", []string{"MP-15"}, 20},
		{"earlyCounts", []string{"MP-4", "MP-6", "EL-1"}, 20},
		{"presentSnapshot", []string{"MP-15", "MP-4", "MP-9"}, 20},
		{"lostIgnoresConfirmed", []string{"LK-4"}, 60},
		{"leaseFromDelivery", []string{"LK-4", "LK-5"}, 40},
		{"lockInStop", []string{"LK-4"}, 20},
		{"waitsStay", []string{"LK-8"}, 20},
	}
	for _, test := range tests {
		t.Run(test.defect, func(t *testing.T) {
			t.Parallel()
			var found []string
			for seed := range test.seeds {
				s := sim.NewStateCluster(nil, seed)
				s.Change = func(_ int, c *cluster.Config) { cluster.Plant(c, test.defect) }
				n := 3 + int(seed%3)
				s.Hostile(n, 600*time.Millisecond)
				found = check.IDs(s.SettleFor(50 * time.Millisecond)) // whether all get there is not the question
				if slices.ContainsFunc(found, func(id string) bool { return slices.Contains(test.catchers, id) }) {
					t.Logf("seed %d: %v", seed, found)
					return
				}
			}
			t.Errorf("%v did not notice within %d seeds, at the last one %v", test.catchers, test.seeds, found)
		})
	}
}
