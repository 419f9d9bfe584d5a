package sim

import (
	"slices"
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

// Stops has members stand still, for longest at most, while what arrives for them waits (GR-13). With even
// seeds a half never does: nobody may report one of these.
func (c *GroupCluster) Stops(n int, longest time.Duration) {
	spare := 0
	if c.Seed%2 == 0 {
		spare = n / 2
	}
	c.Rules = check.GroupRules{Exclusion: 3 * groupTimeout / 2, Accurate: true,
		Excused: func(_, subject check.Proc) bool { return c.Log.Procs[subject].Node >= spare }}
	c.Begin(n, 0)
	c.Inject(GroupFaults{Pause: 0.004, Lasting: longest, Spare: spare})
	c.For(4 * time.Second)
	c.Heal()
}

// Suspended has the hosts of some members be suspended, with their clocks, while what arrives for them waits: the
// others remove them, and they cannot notice by themselves. They report nobody, and nobody reports one of the
// others.
func (c *GroupCluster) Suspended(n int) {
	c.Rules = check.GroupRules{Accurate: true, Excused: func(_, subject check.Proc) bool { return c.Log.Procs[subject].Node < n/2 }}
	c.Begin(n, 0)
	for end := c.Net.Now().Add(4 * time.Second); c.Net.Now() < end; {
		i := c.rng.IntN(n / 2)
		c.Suspend(i)
		c.For(between(c.rng, 800*time.Millisecond))
		c.Resume(i)
		c.For(between(c.rng, 300*time.Millisecond))
	}
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

// Mixed is Everything for a part of the members. The others never stand still, and their links lose nothing:
// nobody may report one of these.
func (c *GroupCluster) Mixed(n int) {
	steady := n/4 + int(c.Seed%uint64(n/2))
	c.Rules = check.GroupRules{Accurate: true, Excused: func(_, subject check.Proc) bool { return c.Log.Procs[subject].Node >= steady }}
	loss := [...]float64{0, 0.01, 0.1, 0.3}[c.Seed%4]
	if c.Data == 0 && c.Seed/4%4 == 0 {
		c.Data = time.Duration(n) * time.Millisecond
	} else {
		c.Data = time.Hour // none
	}
	c.Begin(n, 0)
	l := c.Net.Default()
	l.Loss = loss
	for i := steady; i < n; i++ {
		for j := steady; j < n; j++ {
			c.Net.SetLink(i, j, l)
		}
	}
	c.Inject(GroupFaults{Pause: 0.004, Crash: 0.004, Leave: 0.002, Partition: 0.003, Spare: steady})
	c.For(5 * time.Second)
	c.Heal()
}

// OneWays cuts one way between two members again and again, and many of these together. Of each two members
// there is one that receives of both, and that both receive of (two such where the network loses): nobody may
// be reported.
func (c *GroupCluster) OneWays(n int, loss float64) {
	c.Rules.Accurate = true
	c.Begin(n, loss)
	witnesses := 1
	if loss > 0 {
		witnesses = 2
	}
	var cuts []pair
	for end := c.Net.Now().Add(4 * time.Second); c.Net.Now() < end; {
		if len(cuts) > 0 && c.rng.IntN(3) == 0 {
			at := c.rng.IntN(len(cuts))
			c.Net.Mend(cuts[at].from, cuts[at].to)
			cuts = slices.Delete(cuts, at, at+1)
		} else if i, j := c.rng.IntN(n), c.rng.IntN(n); i != j && !c.Net.Severed(i, j) {
			c.Net.Cut(i, j)
			cuts = append(cuts, pair{i, j})
			for _, p := range cuts {
				if c.witnesses(p.from, p.to) < witnesses {
					c.Net.Mend(i, j)
					cuts = cuts[:len(cuts)-1]
					break
				}
			}
		}
		c.For(between(c.rng, 400*time.Millisecond))
	}
	c.Heal()
}

// witnesses counts the members that have both ways to both of two.
func (c *GroupCluster) witnesses(i, j int) (n int) {
	for w := range c.Members {
		if w != i && w != j && !c.Net.Severed(i, w) && !c.Net.Severed(w, i) && !c.Net.Severed(j, w) && !c.Net.Severed(w, j) {
			n++
		}
	}
	return n
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

// Rings has some or all of up to eight members in a ring, while some stand still, crash, leave, and are cut off: for
// the ring's members its views say who is here.
func (c *GroupCluster) Rings() {
	n := 2 + int(c.Seed%7)
	c.Ring = func(node int) bool { return c.Seed%3 != 2 || node%3 != 2 }
	c.Rules.Ring = func(p check.Proc) bool { return c.Ring(c.Log.Procs[p].Node) }
	c.Data = time.Hour // none
	c.Within = 4 * time.Second
	c.Begin(n, [...]float64{0, 0.01, 0.05}[c.Seed/7%3])
	c.Inject(GroupFaults{Pause: 0.002, Crash: 0.002, Leave: 0.001, Partition: 0.001})
	c.For(5 * time.Second)
	c.Heal()
}
