package sim

import (
	"math/rand/v2"
	"time"
)

// RingFaults is what goes wrong beside Faults: the chance, in each virtual millisecond, that it
// begins. It lasts as long as those do.
type RingFaults struct {
	Slow   float64       // all that one member sends, or all that it is sent, takes up to SlowBy
	SlowBy time.Duration // zero means 150ms, which is longer than the token-loss time
	Deaf   float64       // one member receives nothing of the group any more, but the token passes
	Narrow float64       // datagrams of more than narrow bytes do not reach one member
}

// narrow is what still passes to a member whose path lost its full size, bytes of UDP payload.
const narrow = 700

// shape is a way to cut a network.
type shape int

const (
	twoSides  shape = iota // two sides that do not reach each other
	manySides              // three to five of them
	oneWay                 // a side that does not reach the other
	somePairs              // any ways: reachability is no longer transitive
	deafDumb               // one member cannot send, or cannot receive
	isolated               // one member is alone
	shattered              // all are
	bridge                 // two sides that do not reach each other, and one member that reaches both
	shapes                 // their number
)

var shapeNames = [shapes]string{"two sides", "three to five sides", "one way", "some pairs", "deaf or dumb", "one alone", "all alone", "bridge"}

// ringInjector begins faults at random times and ends them again.
type ringInjector struct {
	c      *RingCluster
	f      Faults
	rng    *rand.Rand
	healed bool
	deaf   []int // by node: faults of this kind that it suffers now
	narrow []int
}

func (c *RingCluster) inject(f Faults) {
	if f.Lasting == 0 {
		f.Lasting = 200 * time.Millisecond
	}
	n := len(c.Members)
	in := &ringInjector{c: c, f: f, rng: rand.New(rand.NewPCG(c.Seed, 0x6661756c74)), deaf: make([]int, n), narrow: make([]int, n)}
	c.faults = in
	in.every(f.Partition, in.partition)
	in.every(f.Pause, in.pause)
	in.every(f.Crash, in.crash)
	in.every(f.Stall, in.leave)
	in.every(c.Rare.Slow, in.slow)
	in.every(c.Rare.Deaf, func(lasts time.Duration) { in.tapped(&in.c.Tally.Deaf, in.deaf, lasts) })
	in.every(c.Rare.Narrow, func(lasts time.Duration) { in.tapped(&in.c.Tally.Narrow, in.narrow, lasts) })
	if c.Rare.Deaf > 0 || c.Rare.Narrow > 0 {
		c.Net.SetTap(in.tap)
	}
}

func (in *ringInjector) every(perMS float64, begin func(lasts time.Duration)) {
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

func (in *ringInjector) later(d time.Duration, f func()) {
	in.c.Net.After(d, func() {
		if !in.healed {
			f()
		}
	})
}

func (in *ringInjector) victim() *RingMember { return in.c.Members[in.rng.IntN(len(in.c.Members))] }

func (in *ringInjector) partition(lasts time.Duration) {
	kind, made := cutShape(in.c.Net, in.rng, len(in.c.Members))
	in.c.Tally.Partitions[kind]++
	in.later(lasts, func() {
		for _, p := range made {
			in.c.Net.Mend(p.from, p.to)
		}
	})
}

// cutShape cuts a network of n nodes in a shape that it draws, and returns which ways it has cut.
func cutShape(net *Network, rng *rand.Rand, n int) (kind shape, made []pair) {
	kind = shape(rng.IntN(int(shapes)))
	sides := 2
	if kind == manySides {
		sides = 3 + rng.IntN(3)
	}
	side := make([]int, n)
	for i := range side {
		side[i] = rng.IntN(sides)
	}
	one := rng.IntN(n)
	for i := range n {
		for j := range n {
			cut := false
			switch kind {
			case twoSides, manySides:
				cut = side[i] != side[j]
			case oneWay:
				cut = side[i] == 0 && side[j] == 1
			case somePairs:
				cut = rng.IntN(4) == 0
			case deafDumb:
				cut = i == one && side[0] == 0 || j == one && side[0] == 1
			case isolated:
				cut = i == one || j == one
			case shattered:
				cut = true
			case bridge:
				cut = side[i] != side[j] && i != one && j != one
			}
			if cut && i != j && !net.Severed(i, j) {
				net.Cut(i, j)
				made = append(made, pair{i, j})
			}
		}
	}
	return kind, made
}

// Shatter lets one partition, one pause and one crash happen at a time, on top of what else goes
// wrong, and leaves them to Heal: or else most runs would end in one ring already.
func (c *RingCluster) Shatter() {
	const forever = time.Hour
	in := c.faults
	in.partition(forever)
	c.For(between(in.rng, 400*time.Millisecond))
	in.pause(forever)
	c.For(between(in.rng, 100*time.Millisecond))
	in.crash(forever)
	c.For(between(in.rng, 100*time.Millisecond))
}

func (in *ringInjector) pause(lasts time.Duration) {
	if m := in.victim(); m.Alive() && !m.paused && !m.leaving {
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

func (in *ringInjector) crash(lasts time.Duration) {
	if m := in.victim(); m.Alive() && !m.leaving {
		in.c.Tally.Crashes++
		in.c.Crash(m.Node)
		in.later(lasts, func() { in.restart(m) })
	}
}

func (in *ringInjector) leave(lasts time.Duration) {
	if m := in.victim(); m.Alive() && !m.paused && !m.leaving {
		in.c.Tally.Leaves++
		in.c.Leave(m.Node)
		in.later(lasts, func() { in.restart(m) })
	}
}

// restart starts the next process of a node, as soon as the one before has sent its farewell.
func (in *ringInjector) restart(m *RingMember) {
	if m.Alive() {
		in.later(time.Millisecond, func() { in.restart(m) })
		return
	}
	in.c.Tally.Restarts++
	in.c.Restart(m.Node)
}

// slow delays all that one member sends, or all that it is sent.
func (in *ringInjector) slow(lasts time.Duration) {
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

// tapped begins a fault of the data path to one member, ten times as long as others: the ring
// needs time to notice.
func (in *ringInjector) tapped(count *int, by []int, lasts time.Duration) {
	*count++
	node := in.victim().Node
	by[node]++
	in.later(10*lasts, func() { by[node]-- })
}

func (in *ringInjector) tap(f *Flight) bool {
	return in.healed || f.To >= len(in.deaf) ||
		!(f.Group && in.deaf[f.To] > 0) && !(len(f.Bytes) > narrow && in.narrow[f.To] > 0)
}
