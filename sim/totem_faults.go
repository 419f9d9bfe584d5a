package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/activeblaze/blaze/internal/check"
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

// FaultTally counts what went wrong in the rings of one run, or of many.
type FaultTally struct {
	Partitions                        [shapes]int
	Pauses, Crashes, Leaves, Restarts int
	Slow, Deaf, Narrow, BySize        int
	Squeezed, OneSort                 int
}

// add adds what another tally counted.
func (t *FaultTally) add(o *FaultTally) {
	for i := range t.Partitions {
		t.Partitions[i] += o.Partitions[i]
	}
	t.Pauses += o.Pauses
	t.Crashes += o.Crashes
	t.Leaves += o.Leaves
	t.Restarts += o.Restarts
	t.Slow += o.Slow
	t.Deaf += o.Deaf
	t.Narrow += o.Narrow
	t.BySize += o.BySize
	t.Squeezed += o.Squeezed
	t.OneSort += o.OneSort
}

// cuts lists the partitions by their shape.
func (t *FaultTally) cuts() string {
	total, list := 0, ""
	for i, n := range t.Partitions {
		total += n
		list += fmt.Sprintf(" %s %d,", shapeNames[i], n)
	}
	return fmt.Sprintf("partitions %d:%s", total, list)
}

// ringed is a cluster whose members are in rings: a RingCluster or a StateCluster.
type ringed interface {
	nodes() int
	standing(node int) standing
	For(d time.Duration)
	Pause(node int)
	Resume(node int)
	Crash(node int)
	Leave(node int)
	Restart(node int)
}

// standing is how the process on a node is.
type standing struct {
	proc            check.Proc
	alive           bool
	fair            bool // it may be paused, or crash
	paused, leaving bool
}

// ringInjector is what goes wrong in a RingCluster, or in a StateCluster.
type ringInjector struct {
	injecting
	c      ringed
	rare   RingFaults
	tally  *FaultTally
	deaf   []int // by node: faults of this kind that it suffers now
	narrow []int
}

// injectRing lets faults happen until the healing. Stall is the chance that a member leaves in order.
func injectRing(c ringed, i injecting, f Faults, rare RingFaults, tally *FaultTally) *ringInjector {
	in := &ringInjector{injecting: i, c: c, rare: rare, tally: tally, deaf: make([]int, c.nodes()), narrow: make([]int, c.nodes())}
	in.every(f.Partition, in.partition)
	in.every(f.Pause, func(lasts time.Duration) { in.pause(in.victim(), lasts) })
	in.every(f.Crash, func(lasts time.Duration) { in.crash(in.victim(), lasts) })
	in.every(f.Stall, func(lasts time.Duration) { in.leave(in.victim(), lasts) })
	in.every(f.BySize, func(lasts time.Duration) {
		made := narrowShape(in.net, in.rng, c.nodes())
		tally.BySize++
		in.later(lasts, func() { in.net.widen(made) })
	})
	in.every(f.Squeeze, func(lasts time.Duration) {
		tally.Squeezed++
		in.squeeze(c.nodes(), lasts)
	})
	in.every(f.OneSort, func(lasts time.Duration) {
		tally.OneSort++
		in.oneSort(c.nodes(), lasts)
	})
	in.every(rare.Slow, in.slow)
	in.every(rare.Deaf, func(lasts time.Duration) { in.tapped(&tally.Deaf, in.deaf, lasts) })
	in.every(rare.Narrow, func(lasts time.Duration) { in.tapped(&tally.Narrow, in.narrow, lasts) })
	if rare.Deaf > 0 || rare.Narrow > 0 {
		in.net.SetTap(in.tap)
	}
	return in
}

func (in *ringInjector) victim() int { return in.rng.IntN(in.c.nodes()) }

func (in *ringInjector) partition(lasts time.Duration) {
	kind, made := cutShape(in.net, in.rng, in.c.nodes())
	in.tally.Partitions[kind]++
	in.mendLater(lasts, made)
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

// shatter lets one partition, one pause and one crash happen at a time, on top of what else goes wrong, and leaves them to
// Heal: or else most runs would be whole already.
func (in *ringInjector) shatter() {
	const forever = time.Hour
	in.partition(forever)
	in.c.For(between(in.rng, 400*time.Millisecond))
	in.pause(in.victim(), forever)
	in.c.For(between(in.rng, 100*time.Millisecond))
	in.crash(in.victim(), forever)
	in.c.For(between(in.rng, 100*time.Millisecond))
}

func (in *ringInjector) pause(node int, lasts time.Duration) {
	if s := in.c.standing(node); s.fair && !s.paused {
		in.tally.Pauses++
		in.c.Pause(node)
		in.later(lasts, func() {
			if now := in.c.standing(node); now.alive && now.proc == s.proc {
				in.c.Resume(node)
			}
		})
	}
}

func (in *ringInjector) crash(node int, lasts time.Duration) {
	if in.c.standing(node).fair {
		in.tally.Crashes++
		in.c.Crash(node)
		in.later(lasts, func() { in.restart(node) })
	}
}

func (in *ringInjector) leave(node int, lasts time.Duration) {
	if s := in.c.standing(node); s.alive && !s.paused && !s.leaving {
		in.tally.Leaves++
		in.c.Leave(node)
		in.later(lasts, func() { in.restart(node) })
	}
}

// restart starts the next process of a node, as soon as the one before has ended.
func (in *ringInjector) restart(node int) {
	if in.c.standing(node).alive {
		in.later(time.Millisecond, func() { in.restart(node) })
		return
	}
	in.tally.Restarts++
	in.c.Restart(node)
}

// slow delays all that one member sends, or all that it is sent.
func (in *ringInjector) slow(lasts time.Duration) {
	by := in.rare.SlowBy
	if by == 0 {
		by = 150 * time.Millisecond
	}
	in.tally.Slow++
	one, out := in.victim(), in.rng.IntN(2) == 0
	l := in.net.Default()
	l.Delay += between(in.rng, by)
	set := func(l Link) {
		for i := range in.c.nodes() {
			if out {
				in.net.SetLink(one, i, l)
			} else {
				in.net.SetLink(i, one, l)
			}
		}
	}
	set(l)
	in.later(lasts, func() { set(in.net.Default()) })
}

// tapped begins a fault of the data path to one member, ten times as long as others: the ring needs time to notice.
func (in *ringInjector) tapped(count *int, by []int, lasts time.Duration) {
	*count++
	node := in.victim()
	by[node]++
	in.later(10*lasts, func() { by[node]-- })
}

func (in *ringInjector) tap(f *Flight) bool {
	return *in.healed || f.To >= len(in.deaf) ||
		!(f.Group && in.deaf[f.To] > 0) && !(len(f.Bytes) > narrow && in.narrow[f.To] > 0)
}
