package group

import (
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/check"
)

// TestPlantedPairDefects leaves out one rule at a time and demands that the right checker notices within a
// number of seeds. A checker that never fails proves nothing.
func TestPlantedPairDefects(t *testing.T) {
	// Removals that are mistaken, under loss, are where most rules matter.
	torn := pairFaults{nodes: 4, loss: 0.2, duplicate: 0.1, late: 0.3, removals: 40, every: 500 * time.Microsecond, buffers: 512}
	queues := torn
	queues.queues, queues.failing = 0.7, 0.05
	refusing := pairFaults{nodes: 3, loss: 0.2, late: 0.05, every: 300 * time.Microsecond, closing: true, pausing: true, buffers: 512}
	pausing := pairFaults{nodes: 3, loss: 0.2, every: 2 * time.Millisecond, pausing: true, buffers: 512}
	tests := []struct {
		name     string
		defect   defect
		catchers []string // one of them
		seeds    uint64
		short    uint64 // the first seed of short runs
		faults   pairFaults
	}{
		{"a Send is repeated after a dead session", sendRepeated, []string{"PP-1", "PP-2"}, 100, 0, torn},
		{"no question while an item is acknowledged and not taken", noQuestion, []string{"PP-4"}, 200, 0, pausing},
		{"refusals forgotten by oldest", refusalsByOldest, []string{"PP-3"}, 200, 0, refusing},
		{"a refusal told once", refusalOnce, []string{"PP-3"}, 20, 0, refusing},
		{"highest session not remembered beyond the removal", sessionForgotten, []string{"PP-1", "QU-2"}, 200, 0, torn},
		{"results die with their session", resultsDie, []string{"PP-4", "QU-4"}, 200, 0, queues},
		{"no floor on to_incarnation", noFloor, []string{"QU-5"}, 300, 100, queues},
		{"no mark after a failure", noMark, []string{"QU-2"}, 50, 0, queues},
		{"no mark after an error", noMarkError, []string{"QU-2"}, 20, 0, queues},
		{"assigned anew after silence", assignedAgain, []string{"QU-3"}, 20, 0, queues},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var found []string
			first := uint64(0)
			if testing.Short() {
				first = test.short
			}
			for seed := first; seed < test.seeds; seed++ {
				f := test.faults
				f.defect = test.defect
				n := newPairNet(t, seed, f)
				for _, id := range check.IDs(n.play(100 * time.Millisecond)) {
					if slices.Contains(test.catchers, id) {
						t.Logf("caught by %s with seed %d", id, seed)
						return
					}
					if !slices.Contains(found, id) {
						found = append(found, id)
					}
				}
			}
			t.Errorf("not caught in %d seeds; found: %v", test.seeds, found)
		})
	}
}
