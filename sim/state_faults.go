package sim

import (
	"math/rand/v2"
	"time"
)

// stateInjector begins faults at random times and ends them again.
type stateInjector struct {
	c      *StateCluster
	f      Faults
	rng    *rand.Rand
	healed bool
	deaf   []int // by node: faults of this kind that it suffers now
	narrow []int
}

// inject lets faults happen until Heal. Stall is the chance that a member leaves in order.
func (c *StateCluster) inject(f Faults) {
	if f.Lasting == 0 {
		f.Lasting = 200 * time.Millisecond
	}
	n := len(c.Members)
	in := &stateInjector{c: c, f: f, rng: rand.New(rand.NewPCG(c.Seed, 0x6661756c74)), deaf: make([]int, n), narrow: make([]int, n)}
	c.faults = in
	in.every(f.Partition, in.partition)
	in.every(f.Pause, in.pause)
	in.every(f.Crash, in.crash)
	in.every(f.Stall, in.leave)
	in.every(c.Rare.Slow, in.slow)
	in.every(c.Rare.Deaf, func(lasts time.Duration) { in.tapped(&c.Tally.Deaf, in.deaf, lasts) })
	in.every(c.Rare.Narrow, func(lasts time.Duration) { in.tapped(&c.Tally.Narrow, in.narrow, lasts) })
	if c.Rare.Deaf > 0 || c.Rare.Narrow > 0 {
		c.Net.SetTap(in.tap)
	}
}

func (in *stateInjector) every(perMS float64, begin func(lasts time.Duration)) {
	if perMS <= 0 {
		return
	}
	var next func()
	wait := func() { in.c.Net.After(time.Duration(in.rng.ExpFloat64()*float64(time.Millisecond)/perMS), next) }
	next = func() {
		if !in.healed {
			begin(1 + between(in.rng, in.f.Lasting))
			wait()
		}
	}
	wait()
}

func (in *stateInjector) later(d time.Duration, f func()) {
	in.c.Net.After(d, func() {
		if !in.healed {
			f()
		}
	})
}

func (in *stateInjector) victim() *StateMember { return in.c.Members[in.rng.IntN(len(in.c.Members))] }

func (in *stateInjector) partition(lasts time.Duration) {
	kind, made := cutShape(in.c.Net, in.rng, len(in.c.Members))
	in.c.Tally.Partitions[kind]++
	in.later(lasts, func() {
		for _, p := range made {
			in.c.Net.Mend(p.from, p.to)
		}
	})
}

func (in *stateInjector) pause(lasts time.Duration) {
	if m := in.victim(); m.Alive() && !m.paused {
		in.c.Tally.Pauses++
		in.c.Pause(m.Node)
		proc := m.Proc
		in.later(lasts, func() {
			if m.Alive() && m.Proc == proc {
				in.c.Resume(m.Node)
			}
		})
	}
}

func (in *stateInjector) crash(lasts time.Duration) {
	if m := in.victim(); m.Alive() {
		in.c.Tally.Crashes++
		in.c.Crash(m.Node)
		in.later(lasts, func() { in.restart(m) })
	}
}

func (in *stateInjector) leave(lasts time.Duration) {
	if m := in.victim(); m.Alive() && !m.paused && !m.leaving {
		in.c.Tally.Leaves++
		in.c.Leave(m.Node)
		in.later(lasts, func() { in.restart(m) })
	}
}

// restart starts the next process of a node, as soon as the one before has ended.
func (in *stateInjector) restart(m *StateMember) {
	if m.Alive() {
		in.later(time.Millisecond, func() { in.restart(m) })
		return
	}
	in.c.Tally.Restarts++
	in.c.Restart(m.Node)
}

// slow delays all that one member sends, or all that it is sent.
func (in *stateInjector) slow(lasts time.Duration) {
	by := in.c.Rare.SlowBy
	if by == 0 {
		by = 150 * time.Millisecond
	}
	in.c.Tally.Slow++
	one, out := in.victim().Node, in.rng.IntN(2) == 0
	l := in.c.Net.Default()
	l.Delay += between(in.rng, by)
	set := func(l Link) {
		for i := range in.c.Members {
			if out {
				in.c.Net.SetLink(one, i, l)
			} else {
				in.c.Net.SetLink(i, one, l)
			}
		}
	}
	set(l)
	in.later(lasts, func() { set(in.c.Net.Default()) })
}

// tapped begins a fault of the data path to one member, ten times as long as others.
func (in *stateInjector) tapped(count *int, by []int, lasts time.Duration) {
	*count++
	node := in.victim().Node
	by[node]++
	in.later(10*lasts, func() { by[node]-- })
}

func (in *stateInjector) tap(f *Flight) bool {
	return in.healed || f.To >= len(in.deaf) ||
		!(f.Group && in.deaf[f.To] > 0) && !(len(f.Bytes) > narrow && in.narrow[f.To] > 0)
}

// Shatter lets one partition, one pause and one crash happen at a time, on top of what else goes wrong, and leaves them
// to Heal: or else most runs would be whole already.
func (c *StateCluster) Shatter() {
	const forever = time.Hour
	in := c.faults
	in.partition(forever)
	c.For(between(in.rng, 400*time.Millisecond))
	in.pause(forever)
	c.For(between(in.rng, 100*time.Millisecond))
	in.crash(forever)
	c.For(between(in.rng, 100*time.Millisecond))
}
