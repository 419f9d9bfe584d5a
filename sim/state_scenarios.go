package sim

import (
	"time"

	"github.com/activeblaze/blaze/totem"
)

// Swarm draws what a cluster is like, and what goes wrong in it: the whole fault list, about half of all kinds in each
// run.
func (c *StateCluster) Swarm() (n int, f Faults) {
	n = 3 + c.rng.IntN(5)
	c.Load = StateLoad{Every: time.Duration(4+c.rng.IntN(40)) * time.Millisecond, Keys: 2 + c.rng.IntN(4)}
	if c.rng.IntN(3) == 0 {
		c.Load.Large = 0.05
	}
	if c.rng.IntN(4) == 0 {
		c.Load.Fill = c.rng.IntN(3000)
	}
	c.Disks = c.Seed%2 == 1
	if c.rng.IntN(3) > 0 {
		c.Expected = n
	}
	c.Drift = 0.005
	if c.rng.IntN(2) == 0 {
		c.WallError = 100 * time.Millisecond
	}
	if c.rng.IntN(8) == 0 {
		c.WallError = time.Hour
	}
	if !c.Disks && c.rng.IntN(4) == 0 {
		c.Rename = 0.5
	}
	if c.rng.IntN(5) == 0 {
		observer := c.rng.IntN(n)
		c.Observer = func(node int) bool { return node == observer }
		if c.Expected > 0 {
			c.Expected--
		}
	}
	c.Service, c.LackingObservers = c.Seed%4 != 0, c.Seed%8 < 4
	f = c.swarmFaults()
	c.Profile = totem.Tuned()
	if c.rng.IntN(2) == 0 {
		c.Profile.Hold = c.Profile.TokenRetransmit / 5
		c.Profile.IdleRotations = 1 + c.rng.IntN(30)
	}
	c.Profile.HoldDown = time.Second
	return n, f
}

func (c *StateCluster) swarmFaults() Faults {
	f := Faults{Delay: time.Duration(20+c.rng.IntN(200)) * time.Microsecond, Lasting: time.Duration(1+c.rng.IntN(600)) * time.Millisecond}
	each := func(p *float64, most float64) {
		if c.rng.IntN(2) == 0 {
			*p = most * c.rng.Float64()
		}
	}
	each(&f.Loss, 0.05)
	each(&f.Duplicate, 0.1)
	each(&f.Reorder, 0.05)
	each(&f.Partition, 0.003)
	each(&f.Pause, 0.003)
	each(&f.Crash, 0.002)
	each(&f.Stall, 0.001)
	each(&c.Rare.Slow, 0.0005)
	each(&c.Rare.Deaf, 0.0002)
	each(&c.Rare.Narrow, 0.0002)
	if c.rng.IntN(4) == 0 {
		f.Burst = Burst{Enter: 0.001, Leave: 0.05, Loss: 0.9}
	}
	if c.rng.IntN(2) == 0 {
		f.Jitter = f.Delay
	}
	return f
}

// Everything is the whole fault list for a time, and then a network that is healed.
func (c *StateCluster) Everything(length time.Duration) {
	n, f := c.Swarm()
	c.Start(n, f)
	c.Until(length)
	c.Shatter()
	c.Heal()
	c.Settle(2 * time.Second)
}
