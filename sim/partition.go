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

// MendAll undoes every Cut.
func (n *Network) MendAll() {
	n.trace.mix(uint64(n.now), 'M')
	clear(n.cuts)
}

// Severed reports whether datagrams from one node to another are lost by a Cut.
func (n *Network) Severed(from, to int) bool { return n.cuts[pair{from, to}] }
