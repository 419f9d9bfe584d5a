package sim

import (
	"time"

	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/wire"
)

// What the members of a GroupCluster are set to.
const (
	groupInterval = 20 * time.Millisecond
	groupTimeout  = 100 * time.Millisecond
)

// Begin starts n members, with changes of groups, and lets them find each other. From then on so much is
// lost.
func (c *GroupCluster) Begin(n int, loss float64) {
	c.Groups = 100 * time.Millisecond
	if c.Data == 0 && c.Seed/3%2 == 0 {
		c.Data = 5 * time.Millisecond
	}
	c.Config.Guard = c.Seed%5 == 0
	c.Start(n, Link{Delay: 20 * time.Microsecond, Jitter: time.Duration(c.Seed%3) * time.Millisecond})
	c.For(300 * time.Millisecond)
	l := c.Net.Default()
	l.Loss = loss
	c.Net.SetDefault(l)
}

// Stops has members stand still, for longest at most, while what arrives for them waits (GR-13).
func (c *GroupCluster) Stops(n int, longest time.Duration) {
	c.Rules.Exclusion = 3 * groupTimeout / 2
	c.Begin(n, 0)
	c.Inject(GroupFaults{Pause: 0.004, Lasting: longest})
	c.For(4 * time.Second)
	c.Heal()
}

// StopAlone has two members stand still after each other, so that each removes the other one unheard. The first
// one then holds nobody, and what waits for it is long. It is to report its exclusion before it serves.
func (c *GroupCluster) StopAlone() {
	c.Data = 500 * time.Microsecond // more waits in the socket than one turn takes
	c.Rules.Exclusion = 3 * groupTimeout / 2
	c.Begin(2, 0)
	var d wire.Datagram
	c.Net.SetTap(func(f *Flight) bool { // no verdict reaches the second one
		return f.To != 1 || wire.Decode(f.Bytes, &d) != nil || d.Frames()[0].Kind != wire.FrameWord
	})
	c.Pause(1)
	c.For(110 * time.Millisecond)
	c.Pause(0)
	c.For(20 * time.Millisecond)
	c.Resume(1)
	c.For(140 * time.Millisecond)
	c.Net.SetTap(nil)
	c.Resume(0)
	c.For(time.Second)
	c.Heal()
}

// Stutter has one member stand still again and again, and run for a moment in between, while its socket
// overflows: it may not report anybody.
func (c *GroupCluster) Stutter() {
	const n = 12
	c.Config.Room = 4 << 10
	c.Data = time.Hour // none
	c.Rules = check.GroupRules{Accurate: true, Excused: func(_, subject check.Proc) bool { return c.Log.Procs[subject].Node == n-1 }}
	c.Begin(n, 0)
	for range 40 {
		c.Pause(n - 1)
		c.For(groupTimeout/2 + between(c.rng, 2*groupTimeout))
		c.Resume(n - 1)
		c.For(between(c.rng, groupInterval))
	}
	c.Heal()
}

// ShortStops is Stops of 0.4 of the timeout at most: nobody may be reported.
func (c *GroupCluster) ShortStops(n int) {
	c.Rules.Accurate = true
	c.Begin(n, 0)
	c.Inject(GroupFaults{Pause: 0.01, Lasting: groupTimeout * 4 / 10})
	c.For(4 * time.Second)
	c.Heal()
}

// Overflow has one member stand still while its socket overflows: nobody else may be reported.
func (c *GroupCluster) Overflow(loss float64) {
	n := 3 + int(c.Seed%10)
	c.Config.Room = 8 << 10
	c.Rules = check.GroupRules{Accurate: true, Excused: func(_, subject check.Proc) bool { return c.Log.Procs[subject].Node == n-1 }}
	c.Begin(n, loss)
	c.Inject(GroupFaults{Pause: 0.003, Lasting: 1500 * time.Millisecond, Spare: n - 1})
	c.For(4 * time.Second)
	c.Heal()
}

// Everything is crashes with restarts, leaves, stops, splits, one-way cuts, deaf and dumb members, and loss of
// up to 30 %.
func (c *GroupCluster) Everything(n int) {
	c.Begin(n, [...]float64{0, 0.01, 0.1, 0.3}[c.Seed%4])
	c.Inject(GroupFaults{Pause: 0.002, Crash: 0.002, Leave: 0.001, Partition: 0.002})
	c.For(5 * time.Second)
	c.Heal()
}

// OneWay cuts the way from one member to another for 3 s. All others receive of both: nobody may be reported.
func (c *GroupCluster) OneWay(loss float64) {
	c.Rules.Accurate = true
	c.Begin(4+int(c.Seed%4), loss)
	c.Net.Cut(0, 1)
	c.For(3 * time.Second)
	c.Heal()
}

// Deaf has one member receive nothing for 3 s. It alone may report others.
func (c *GroupCluster) Deaf(loss float64) {
	c.Rules = check.GroupRules{Accurate: true, Excused: func(observer, _ check.Proc) bool { return c.Log.Procs[observer].Node == 0 }}
	n := 4 + int(c.Seed%4)
	c.Begin(n, loss)
	for i := 1; i < n; i++ {
		c.Net.Cut(i, 0)
	}
	c.For(3 * time.Second)
	c.Heal()
}
