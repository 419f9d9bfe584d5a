package sim

import (
	"time"

	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/totem"
)

// LinksFail lets the links of a ring fail for three seconds, and then settles it. It returns what the checkers found;
// constant is that of TO-26.
func (c *RingCluster) LinksFail(constant int) []check.Violation {
	c.Watch = true
	c.Load = RingLoad{Every: 4 * time.Millisecond, Burst: 8, Size: 1000, Large: 0.02, Safe: 0.3}
	c.Profile = totem.Tuned()
	if c.Seed%2 == 1 { // who does not receive is put out soon
		c.Profile.StuckRotations, c.Profile.StuckTime = 100, 2*c.Profile.TokenRetransmit
	}
	c.Profile.HoldDown = time.Second
	c.Recovers = 2 * time.Second // a pace that a bottleneck has set ends within that
	c.Start(3+int(c.Seed%3), Faults{Loss: 0.01, Delay: 50 * time.Microsecond, Jitter: 20 * time.Microsecond,
		Squeeze: 0.003, BySize: 0.003, OneSort: 0.003, Partition: 0.001, Lasting: 800 * time.Millisecond})
	c.Until(3 * time.Second)
	c.Heal()
	return append(c.SettleFor(2*time.Second), check.TO26(c.Log, constant)...)
}
