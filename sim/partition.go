package sim

import "slices"

// Cut loses everything on the way from one node to another, and nothing the other way.
func (n *Network) Cut(from, to int) {
	n.trace.mix(uint64(n.now), 'c', uint64(from), uint64(to))
	n.cuts[pair{from, to}] = true
}

// Mend undoes Cut.
func (n *Network) Mend(from, to int) {
	n.trace.mix(uint64(n.now), 'm', uint64(from), uint64(to))
	delete(n.cuts, pair{from, to})
}

// Narrow loses datagrams whose IP packets are longer than mtu bytes on the way from one node to another, and nothing
// the other way. 0 undoes it.
func (n *Network) Narrow(from, to, mtu int) {
	n.trace.mix(uint64(n.now), 'n', uint64(from)<<32|uint64(to), uint64(mtu))
	if mtu == 0 {
		delete(n.narrow, pair{from, to})
		return
	}
	n.narrow[pair{from, to}] = mtu
}

// bar loses multicast, or unicast, on the way from one node to another, and nothing the other way; on false undoes it.
func (n *Network) bar(from, to int, group, on bool) {
	w := wayOf{pair{from, to}, group}
	n.trace.mix(uint64(n.now), 'b', uint64(from)<<32|uint64(to), uint64(len(n.barred)))
	if !on {
		delete(n.barred, w)
		return
	}
	n.barred[w] = true
}

// Partition cuts both ways between the nodes of a and all others, attached or yet to come.
// count is the number of nodes there are.
func (n *Network) Partition(count int, a ...int) {
	for i := range count {
		for j := range count {
			if i != j && slices.Contains(a, i) != slices.Contains(a, j) {
				n.Cut(i, j)
			}
		}
	}
}

// MendAll undoes every Cut, every Narrow, and what bar did.
func (n *Network) MendAll() {
	n.trace.mix(uint64(n.now), 'M')
	clear(n.cuts)
	clear(n.narrow)
	clear(n.barred)
}

// Severed reports whether datagrams from one node to another are lost by a Cut.
func (n *Network) Severed(from, to int) bool { return n.cuts[pair{from, to}] }
