package sim

import (
	"time"

	"github.com/activeblaze/blaze/totem"
)

// Hostile has something break every few milliseconds, with timers to match: rings end in the middle of claims, members die
// and come back, links lose much. What the rules of a cluster are for shows here.
func (c *StateCluster) Hostile(n int, length time.Duration) {
	c.Profile = totem.Isolated().WithTokenLoss(4 * time.Millisecond)
	c.Profile.HoldDown = 20 * time.Millisecond
	if c.Drift == 0 {
		c.Drift = 0.005
	}
	c.Load.Every, c.Load.Lease, c.Load.Keys = 2*time.Millisecond, 60*time.Millisecond, 2
	c.Start(n, Faults{Delay: 20 * time.Microsecond, Jitter: 20 * time.Microsecond, Loss: 0.1, Duplicate: 0.05, Reorder: 0.02,
		Burst:     Burst{Enter: 0.002, Leave: 0.05, Loss: 0.9},
		Partition: 0.06, Pause: 0.02, Crash: 0.01, Stall: 0.004, Lasting: 30 * time.Millisecond})
	c.Until(length)
	c.Heal()
}
