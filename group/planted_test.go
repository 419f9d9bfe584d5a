package group_test

import (
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/sim"
)

// TestPlantedDefects leaves out one rule at a time and demands that the right checker notices within a
// number of seeds, and finds nothing there with the rule. A checker that never fails proves nothing.
func TestPlantedDefects(t *testing.T) {
	stops := func(c *sim.GroupCluster) { c.Stops(3+int(c.Seed%4), 600*time.Millisecond) }
	oneWays := func(c *sim.GroupCluster) { c.OneWays(4+int(c.Seed%9), [...]float64{0, 0, 0.01}[c.Seed%3]) }
	oneWay := func(c *sim.GroupCluster) { c.OneWay(0) }
	tests := []struct {
		name     string
		catchers []string // one of them
		seeds    uint64
		short    uint64 // the first seed of short runs
		run      func(c *sim.GroupCluster)
	}{
		{name: "no shift of clocks and no distrust after a stall", catchers: []string{"GM-2", "GR-13"}, seeds: 40, short: 10,
			run: (*sim.GroupCluster).Stutter},
		{name: "no gate", catchers: []string{"GR-13"}, seeds: 10, run: stops},
		{name: "no gate where the table is empty", catchers: []string{"GR-13"}, seeds: 5,
			run: (*sim.GroupCluster).StopAlone},
		{name: "removal by silence alone", catchers: []string{"GM-2"}, seeds: 3, run: oneWay},
		{name: "vouches ignored", catchers: []string{"GM-2"}, seeds: 3, run: oneWay},
		{name: "a vouch dropped because it is heard", catchers: []string{"GM-2"}, seeds: 10, run: oneWay},
		{name: "a verdict believed of one that is heard", catchers: []string{"GM-2"}, seeds: 3,
			run: func(c *sim.GroupCluster) { c.Deaf(0) }},
		{name: "a verdict believed after one lost beat", catchers: []string{"GM-2"}, seeds: 1000,
			run: func(c *sim.GroupCluster) { c.Deaf(0.02) }},
		{name: "a doubt said once only", catchers: []string{"GM-2"}, seeds: 400,
			run: func(c *sim.GroupCluster) { c.OneWay(0.01) }},
		{name: "return with the same incarnation", catchers: []string{"GM-1", "GR-4"}, seeds: 5, run: stops},
		{name: "tombstones forgotten at once", catchers: []string{"GR-4"}, seeds: 5, run: stops},
		{name: "events not held for what a full queue holds up", catchers: []string{"GR-7"}, seeds: 20,
			run: func(c *sim.GroupCluster) {
				c.Data = time.Millisecond
				c.Everything(5)
			}},
		{name: "started again when it was not removed", catchers: []string{"GR-4"}, seeds: 20, run: stops},
		{name: "others' doubts taken for one's own", catchers: []string{"GM-2"}, seeds: 40, run: oneWays},
		{name: "a vouch dropped for one that does not arrive", catchers: []string{"GM-2"}, seeds: 40, run: oneWays},
		{name: "a verdict about a member of the ring counts", catchers: []string{"GR-3"}, seeds: 5, run: (*sim.GroupCluster).Rings},
		{name: "a member of the ring starts before a view has it", catchers: []string{"GR-3"}, seeds: 5, run: (*sim.GroupCluster).Rings},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			first := uint64(0)
			if !sim.Full() {
				first = test.short
			}
			for seed := first; seed < first+test.seeds; seed++ {
				c := sim.NewGroupCluster(nil, seed)
				c.Change = func(_ int, cfg *group.Config) { group.Plant(cfg, test.name) }
				test.run(c)
				found := check.IDs(c.SettleFor())
				for _, id := range test.catchers {
					if slices.Contains(found, id) {
						t.Logf("seed %d: %v", seed, found)
						return
					}
				}
			}
			t.Errorf("%d seeds, and %v found nothing", test.seeds, test.catchers)
		})
	}
}

// TestPlantedQueueDefects does so with rules of queues, in whole members that call each other.
func TestPlantedQueueDefects(t *testing.T) {
	tests := []struct {
		name    string
		catcher string
		seeds   uint64
		short   uint64 // the first seed of short runs
	}{
		{"a new exclusive consumer takes at once", "QU-8", 20, 0},
		{"an exclusive consumer accepts though another is active", "QU-8", 2000, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			first := uint64(0)
			if !sim.Full() {
				first = test.short
			}
			for seed := first; seed < first+test.seeds; seed++ {
				c := sim.NewGroupCluster(nil, seed)
				c.Change = func(_ int, cfg *group.Config) { group.Plant(cfg, test.name) }
				found := check.IDs(c.Pairs(true))
				if c.SettleFor(); slices.Contains(found, test.catcher) {
					t.Logf("seed %d: %v", seed, found)
					return
				}
			}
			t.Errorf("%d seeds, and %s found nothing", test.seeds, test.catcher)
		})
	}
}
