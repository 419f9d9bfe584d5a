package totem_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/sim"
	"github.com/activeblaze/blaze/totem"
)

// hostile is a cluster in which something breaks every few milliseconds, with timers to match.
func hostile(c *sim.RingCluster, n int, safe float64) {
	c.Profile = totem.Isolated().WithTokenLoss(4 * time.Millisecond)
	c.Profile.HoldDown = 20 * time.Millisecond
	c.Profile.Window, c.Profile.Personal = 16, 4
	c.Load = sim.RingLoad{Every: 300 * time.Microsecond, Burst: 4, Safe: safe}
	c.Start(n, sim.Faults{Delay: 20 * time.Microsecond, Jitter: 20 * time.Microsecond, Loss: 0.15, Duplicate: 0.1, Reorder: 0.05,
		Burst:     sim.Burst{Enter: 0.002, Leave: 0.05, Loss: 0.9},
		Partition: 0.15, Pause: 0.05, Crash: 0.03, Lasting: 12 * time.Millisecond})
}

// relapses is a cluster in which recoveries fail again and again: partitions come faster than rings
// are formed, and much is lost meanwhile. What has to be kept across attempts shows here.
func relapses(c *sim.RingCluster) {
	c.Profile = totem.Isolated().WithTokenLoss(4 * time.Millisecond)
	c.Profile.HoldDown = 20 * time.Millisecond
	c.Profile.Window, c.Profile.Personal = 16, 4
	c.Load = sim.RingLoad{Every: 300 * time.Microsecond, Burst: 4, Safe: 1}
	c.Start(5, sim.Faults{Delay: 20 * time.Microsecond, Jitter: 20 * time.Microsecond, Loss: 0.25, Reorder: 0.05,
		Burst:     sim.Burst{Enter: 0.002, Leave: 0.05, Loss: 0.9},
		Partition: 0.4, Crash: 0.01, Lasting: 6 * time.Millisecond})
}

// TestPlantedDefects leaves out one rule of section 14 at a time and demands that the right
// checker notices within a number of seeds. A checker that never fails proves nothing.
func TestPlantedDefects(t *testing.T) {
	tests := []struct {
		name     string
		catchers []string // one of them
		seeds    uint64
		short    uint64 // the first seed of short runs
		relapses bool   // recoveries have to fail
		safe     float64
		large    float64
		same     bool // a start does not get an id of its own
		links    bool // the network's links fail, and not members
	}{
		{name: "stable from one visit", catchers: []string{"TO-8", "TO-16"}, seeds: 5, safe: 0.5},
		{name: "any process raises aru", catchers: []string{"TO-8", "TO-16"}, seeds: 5, safe: 0.5},
		{name: "recovered messages not merged", catchers: []string{"TO-9"}, seeds: 5},
		{name: "recovery ended one rotation after the flag", catchers: []string{"TO-9"}, seeds: 20},
		{name: "old ring forgotten when a recovery fails", catchers: []string{"TO-9", "TO-12"}, seeds: 5},
		{name: "no deliver_set filter after a hole", catchers: []string{"TO-7"}, seeds: 100},
		{name: "cut at own bound instead of the agreed one", catchers: []string{"TO-9"}, seeds: 20, safe: 0.5},
		{name: "obligation not kept across attempts", catchers: []string{"TO-8"}, seeds: 240, short: 200, relapses: true},
		{name: "duplicate frame mutates shared token", catchers: []string{"TO-3", "TO-10"}, seeds: 5},
		{name: "parts of a message cross a ring", catchers: []string{"TO-23"}, seeds: 20, large: 0.3},
		{name: "stable from one visit", catchers: []string{"TO-24"}, seeds: 5, safe: 0.5},
		{name: "a visit confirms the present", catchers: []string{"TO-25"}, seeds: 5},
		{name: "ids are used again", catchers: []string{"TO-2"}, seeds: 30, same: true},
		{name: "sent again in each rotation", catchers: []string{"TO-26"}, seeds: 20, links: true},
		{name: "sent again without a bound", catchers: []string{"TO-26"}, seeds: 143, short: 120, links: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var found []string
			if totem.RaceEnabled && test.seeds > 100 {
				t.Skip("too many seeds for the race detector")
			}
			first := uint64(0)
			if testing.Short() {
				first = test.short
			}
			for seed := first; seed < test.seeds; seed++ {
				c := sim.NewRingCluster(nil, seed)
				c.SameIdents = test.same
				if !test.same {
					c.Change = func(_ int, cfg *totem.Config) { totem.Plant(cfg, test.name) }
				}
				if test.links {
					found = check.IDs(c.LinksFail(64 << 10))
				} else {
					if test.relapses {
						relapses(c)
					} else {
						hostile(c, 3+int(seed%3), test.safe)
					}
					c.Load.Large = test.large
					c.Until(300 * time.Millisecond)
					c.Heal()
					found = check.IDs(c.SettleFor(500 * time.Millisecond))
				}
				for _, id := range test.catchers {
					if slices.Contains(found, id) {
						t.Logf("seed %d: %v", seed, found)
						return
					}
				}
			}
			t.Errorf("%v did not notice within %d seeds; the last one showed %v", test.catchers, test.seeds, found)
		})
	}
}

// TestHostile is the same without a defect: nothing may be found.
func TestHostile(t *testing.T) {
	seeds := 2000
	if testing.Short() {
		seeds = 300
	}
	sim.RunRings(t, seeds, func(t *testing.T, c *sim.RingCluster) {
		rng := rand.New(rand.NewPCG(c.Seed, 3))
		plain, hold, nameless := rng.IntN(3), rng.IntN(3) == 0, rng.IntN(5) == 0
		c.Change = func(node int, cfg *totem.Config) {
			cfg.Plain = plain == 0 || plain == 1 && node%2 == 0
			if hold {
				cfg.Profile.Hold, cfg.Profile.IdleRotations = 300*time.Microsecond, 2
			}
			if nameless {
				cfg.Node = 0 // nobody learns of a restart but by time-outs
			}
		}
		if rng.IntN(2) == 0 {
			c.Rare = sim.RingFaults{Slow: 0.02, SlowBy: 10 * time.Millisecond, Deaf: 0.01, Narrow: 0.01}
		}
		if c.Seed%4 == 3 {
			relapses(c)
		} else {
			hostile(c, 2+rng.IntN(6), []float64{0, 0.5, 1}[rng.IntN(3)])
		}
		if rng.IntN(2) == 0 {
			c.Load.Large = 0.2
		}
		c.Until(300 * time.Millisecond)
		c.Heal()
		c.Settle(500 * time.Millisecond)
	})
}
