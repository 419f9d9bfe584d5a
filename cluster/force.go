package cluster

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// callForce asks all connected members to be the primary, where there is none. The call ends when this member is in a primary.
func (c *Core) callForce(s *slot) {
	if c.phase == Complete && !c.transitional {
		c.answer(s, CodeOK)
		return
	}
	c.forces = append(c.forces, s)
	c.put(wire.AppendCluster(nil, wire.KindForce, &wire.ClusterForce{Ring: c.ring}), true)
}

// onForce makes the members that are connected the primary, where there is none.
func (c *Core) onForce(now clock.Time, from wire.MemberID, body []byte) {
	var m wire.ClusterForce
	if wire.ParseClusterPart(body, &m) != nil || c.place(from) < 0 || m.Ring != c.ring || c.phase != Outside || c.transitional {
		c.stats.Ignored++
		return
	}
	c.warn(now, Warn, from, "an operator makes the connected members the primary: writes may be lost")
	c.enterExchange(now, false, true)
}

// forced ends the calls of Force whose time has come.
func (c *Core) forced(now clock.Time) {
	if c.phase != Complete && c.phase != Learning {
		return
	}
	for _, s := range c.forces {
		c.answer(s, CodeOK)
	}
	c.forces = c.forces[:0]
}
