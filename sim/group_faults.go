package sim

import "time"

// GroupFaults is what goes wrong until Heal: the chance, in each virtual millisecond, that it begins.
type GroupFaults struct {
	Pause     float64
	Crash     float64
	Leave     float64
	Partition float64
	Lasting   time.Duration // how long a fault lasts, at most; zero means 500ms
	Spare     int           // nodes 0..Spare-1 neither pause, nor crash, nor leave; nothing on their links is cut
	Down      bool          // nobody starts anew before Heal
}

// groupInjector is what goes wrong in a GroupCluster.
type groupInjector struct {
	injecting
	c *GroupCluster
	f GroupFaults
}

// Inject lets faults happen until Heal.
func (c *GroupCluster) Inject(f GroupFaults) {
	in := &groupInjector{injectingInto(c.Net, c.Seed, f.Lasting, 500*time.Millisecond, &c.healed), c, f}
	in.every(f.Pause, func(m *GroupMember, lasts time.Duration) {
		if m.Alive() && !m.paused && !m.leaving {
			c.Pause(m.Node)
			in.later(lasts, func() { c.Resume(m.Node) })
		}
	})
	in.every(f.Crash, func(m *GroupMember, lasts time.Duration) {
		if m.Alive() && !m.leaving {
			c.Crash(m.Node)
			in.again(m, lasts)
		}
	})
	in.every(f.Leave, func(m *GroupMember, lasts time.Duration) {
		if m.Alive() && !m.paused && !m.leaving {
			c.Leave(m.Node)
			in.again(m, lasts)
		}
	})
	in.every(f.Partition, func(_ *GroupMember, lasts time.Duration) { in.partition(lasts) })
}

// every begins a fault of a member that it draws.
func (in *groupInjector) every(perMS float64, begin func(m *GroupMember, lasts time.Duration)) {
	in.often(perMS, func() {
		n := len(in.c.Members) - in.f.Spare
		begin(in.c.Members[in.f.Spare+in.rng.IntN(n)], in.draw())
	})
}

// again starts the next process of a node, as soon as the one before has ended.
func (in *groupInjector) again(m *GroupMember, after time.Duration) {
	if in.f.Down {
		return
	}
	in.later(after, func() {
		if m.Alive() {
			in.again(m, time.Millisecond)
			return
		}
		in.c.Restart(m.Node)
	})
}

// partition cuts two sides, one side one way, any ways, or one member's sending or receiving.
func (in *groupInjector) partition(lasts time.Duration) {
	n := len(in.c.Members)
	kind, one := in.rng.IntN(5), in.rng.IntN(n)
	side := make([]bool, n)
	for i := range side {
		side[i] = in.rng.IntN(2) == 0
	}
	var made []pair
	for i := range n {
		for j := range n {
			cut := false
			switch kind {
			case 0:
				cut = side[i] != side[j]
			case 1:
				cut = side[i] && !side[j]
			case 2:
				cut = in.rng.IntN(4) == 0
			case 3:
				cut = i == one
			case 4:
				cut = j == one
			}
			if cut && i != j && i >= in.f.Spare && j >= in.f.Spare && !in.c.Net.Severed(i, j) {
				in.c.Net.Cut(i, j)
				made = append(made, pair{i, j})
			}
		}
	}
	in.mendLater(lasts, made)
}
