package sim

import (
	"math/rand/v2"
	"time"

	"github.com/activeblaze/blaze/clock"
)

// Faults is what goes wrong until Heal. The first part describes the links, the second how
// often something happens to nodes: the chance, in each virtual millisecond, that it begins.
type Faults struct {
	Loss      float64       // as in Link
	Burst     Burst         // as in Link
	Duplicate float64       // as in Link
	Reorder   float64       // as in Link
	ReorderBy time.Duration // as in Link
	Delay     time.Duration // as in Link; zero means 5µs
	Jitter    time.Duration // as in Link

	Partition float64       // some nodes cannot reach some others: all of them, one way, or some pairs
	BySize    float64       // longer datagrams do not pass on some ways: between some pairs, or one way, or to or from one member
	Squeeze   float64       // a member's cable is a bottleneck, in one direction: slow, with a short queue
	OneSort   float64       // multicast alone, or unicast alone, does not pass on some ways, as with BySize
	Pause     float64       // one member's turns stop
	Crash     float64       // one member ends without a word; it starts anew later
	Stall     float64       // one member's application refuses messages
	Lasting   time.Duration // how long such a fault lasts, at most; zero means 5ms
	Spare     int           // nodes 0..Spare-1 neither pause, nor crash, nor stall
}

// link is the part of f that describes links.
func (f Faults) link() Link {
	delay := f.Delay
	if delay == 0 {
		delay = 5 * time.Microsecond
	}
	return Link{Loss: f.Loss, Burst: f.Burst, Duplicate: f.Duplicate, Reorder: f.Reorder, ReorderBy: f.ReorderBy,
		Delay: delay, Jitter: f.Jitter}
}

// injector is what goes wrong in a Cluster.
type injector struct {
	injecting
	c *Cluster
	f Faults
}

func (c *Cluster) inject(f Faults) {
	in := &injector{injectingInto(c.Net, c.Seed, f.Lasting, 5*time.Millisecond, &c.healed), c, f}
	in.every(f.Partition, in.partition)
	in.every(f.Pause, in.pause)
	in.every(f.Crash, in.crash)
	in.every(f.Stall, in.stall)
	in.every(f.BySize, func(lasts time.Duration) {
		made := narrowShape(c.Net, in.rng, len(c.Members))
		c.faulty = true
		in.later(lasts, func() { c.Net.widen(made) })
	})
	in.every(f.Squeeze, func(lasts time.Duration) {
		in.squeeze(len(c.Members), lasts)
		c.faulty = true
	})
	in.every(f.OneSort, func(lasts time.Duration) {
		in.oneSort(len(c.Members), lasts)
		c.faulty = true
	})
}

// squeeze makes the cable of one of n members a bottleneck in one direction.
func (in *injecting) squeeze(n int, lasts time.Duration) {
	set, node := in.net.SetDown, in.rng.IntN(n)
	if in.rng.IntN(2) == 0 {
		set = in.net.SetUp
	}
	set(node, squeezed(in.rng))
	in.later(lasts, func() { set(node, Port{}) })
}

// oneSort lets multicast alone, or unicast alone, not pass on some ways between n members.
func (in *injecting) oneSort(n int, lasts time.Duration) {
	made, group := someWays(in.rng, n), in.rng.IntN(2) == 0
	bar := func(on bool) {
		for _, p := range made {
			in.net.bar(p.from, p.to, group, on)
		}
	}
	bar(true)
	in.later(lasts, func() { bar(false) })
}

// leastMTU and mostMTU bound the MTU of ways that longer datagrams do not pass, bytes of an IP packet.
const leastMTU, mostMTU = 576, 1480

// narrowShape gives ways of a network of n nodes an MTU, in a shape that it draws, and returns which.
func narrowShape(net *Network, rng *rand.Rand, n int) (made []pair) {
	made, mtu := someWays(rng, n), leastMTU+rng.IntN(mostMTU-leastMTU+1)
	for _, p := range made {
		net.Narrow(p.from, p.to, mtu)
	}
	return made
}

// someWays draws some of the ways between n nodes.
func someWays(rng *rand.Rand, n int) (ways []pair) {
	kind, one := rng.IntN(4), rng.IntN(n)
	for i := range n {
		for j := range n {
			is := false
			switch kind {
			case 0: // some pairs, both ways
				is = i < j && rng.IntN(3) == 0
			case 1: // some ways
				is = rng.IntN(4) == 0
			case 2: // to one member
				is = j == one
			case 3: // from one member
				is = i == one
			}
			if is && i != j {
				ways = append(ways, pair{i, j})
				if kind == 0 {
					ways = append(ways, pair{j, i})
				}
			}
		}
	}
	return ways
}

// squeezed draws a bottleneck.
func squeezed(rng *rand.Rand) Port {
	return Port{Rate: 1_000_000 << rng.IntN(6), Queue: 8 << 10 << rng.IntN(4)}
}

// widen undoes Narrow on these ways.
func (n *Network) widen(ways []pair) {
	for _, p := range ways {
		n.Narrow(p.from, p.to, 0)
	}
}

// victim draws a node that may be hurt, or -1.
func (in *injector) victim() int {
	if n := len(in.c.Members) - in.f.Spare; n > 0 {
		return in.f.Spare + in.rng.IntN(n)
	}
	return -1
}

func (in *injector) partition(lasts time.Duration) {
	n := len(in.c.Members)
	side := make([]bool, n)
	for i := range side {
		side[i] = in.rng.IntN(2) == 0
	}
	kind := in.rng.IntN(3)
	var made []pair
	for i := range n {
		for j := range n {
			if i == j {
				continue
			}
			cut := false
			switch kind {
			case 0: // full: two sides
				cut = side[i] != side[j]
			case 1: // one way: a side does not reach the other
				cut = side[i] && !side[j]
			case 2: // partial: any pairs
				cut = in.rng.IntN(4) == 0
			}
			if cut && !in.c.Net.Severed(i, j) {
				in.c.Cut(i, j)
				made = append(made, pair{i, j})
			}
		}
	}
	in.later(lasts, func() {
		for _, p := range made {
			in.c.Mend(p.from, p.to)
		}
	})
}

func (in *injector) pause(lasts time.Duration) {
	if i := in.victim(); i >= 0 && in.c.Members[i].Alive() && !in.c.Members[i].paused {
		in.c.Pause(i)
		in.later(lasts, func() { in.c.Resume(i) })
	}
}

func (in *injector) crash(lasts time.Duration) {
	if i := in.victim(); i >= 0 && in.c.Members[i].Alive() {
		in.c.Crash(i)
		in.later(lasts, func() { in.c.Restart(i) })
	}
}

func (in *injector) stall(lasts time.Duration) {
	if i := in.victim(); i >= 0 && in.c.Members[i].Alive() && !in.c.Members[i].stalled {
		in.c.Stall(i)
		in.later(lasts, func() { in.c.Unstall(i) })
	}
}

// after is the time d from now.
func (c *Cluster) after(d time.Duration) clock.Time { return c.Net.Now().Add(d) }
