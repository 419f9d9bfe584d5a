package check

import (
	"slices"

	"github.com/activeblaze/blaze/clock"
)

// clusterNode is one position of a history, with what led to it. The nodes of a chain are a tree; what counts is one
// path of it.
type clusterNode struct {
	place   Place
	up      *clusterNode // nil: the chain begins here, or nobody recorded what is before
	record  int          // the first one that has it
	depth   int          // from the chain's beginning
	epoch   uint64
	first   clock.Time // when it was first counted anywhere
	by      Proc
	op      *ClusterOp
	code    ClusterCode
	version uint64
	grants  []ClusterGrant
	primary *ClusterPrimary // of an establishment
	digest  uint64
	answer  uint64 // of a service; 0: not recorded
	counts  bool   // it is on the path that leads to the chain's last primary, or follows on that
}

// clusterChain is what became of one founding.
type clusterChain struct {
	id      uint64
	founded *clusterNode
	leaf    *clusterNode   // of the path that counts
	path    []*clusterNode // from the beginning to the leaf
}

type clusterHistory struct {
	l      *ClusterLog
	r      *reports
	nodes  map[Place]*clusterNode
	chains map[uint64]*clusterChain
	order  []*clusterChain // by founding
	least  map[int]uint64  // by record of a linear read's end: the highest index that had been returned before it began
}

// newClusterHistory puts together what the replicas counted: MP-4, MP-5, MP-9, EL-1, EL-2.
func newClusterHistory(l *ClusterLog, r *reports) *clusterHistory {
	h := &clusterHistory{l: l, r: r, nodes: map[Place]*clusterNode{}, chains: map[uint64]*clusterChain{}, least: map[int]uint64{}}
	h.walk()
	h.paths()
	return h
}

// walk follows every replica from place to place.
func (h *clusterHistory) walk() {
	at := map[Proc]Place{}
	type position struct{ chain, epoch, index uint64 }
	hashes := map[position]*clusterNode{}
	type term struct{ chain, epoch uint64 }
	primaries := map[term]*clusterNode{}
	for i := range h.l.Records {
		r := &h.l.Records[i]
		switch r.Kind {
		case ClusterRestored:
			if !r.Place.IsZero() && h.nodes[r.Place] == nil {
				h.r.add("MP-9", i, "a state of which nobody counted the position")
			}
			h.digest(i)
			at[r.Proc] = r.Place
		case ClusterApplied, ClusterEstablished:
			if at[r.Proc] != r.Before && !(r.Primary != nil && r.Primary.Forced) {
				h.r.add("MP-9", i, "the replica was at %s", placeName(at[r.Proc]))
			}
			if r.Place.Index <= r.Before.Index && r.Before.Chain == r.Place.Chain {
				h.r.add("LK-2", i, "the index does not rise")
			}
			at[r.Proc] = r.Place
			n := h.nodes[r.Place]
			if n == nil {
				n = &clusterNode{place: r.Place, record: i, epoch: r.Epoch, first: r.At, by: r.By, op: r.Op, code: r.Code, version: r.Version, grants: r.Grants,
					primary: r.Primary, digest: r.Digest, answer: r.Answer}
				if !r.Before.IsZero() {
					if n.up = h.nodes[r.Before]; n.up == nil {
						h.r.add("MP-9", i, "nobody counted what is before")
					}
				}
				if n.up != nil && n.up.place.Chain == n.place.Chain {
					n.depth = n.up.depth + 1
				} else {
					n.up = nil
				}
				h.nodes[r.Place] = n
				h.enter(i, n)
			} else {
				h.same(i, n)
			}
			p := position{r.Place.Chain, r.Epoch, r.Place.Index}
			if o := hashes[p]; o == nil {
				hashes[p] = n
			} else if o != n {
				h.r.add("MP-4", i, "another history at the same position, in record %d", o.record)
			}
			if r.Kind == ClusterEstablished {
				t := term{r.Place.Chain, r.Epoch}
				if o := primaries[t]; o == nil {
					primaries[t] = n
				} else if o.primary.Ring != r.Primary.Ring {
					h.r.add("EL-1", i, "two primaries of one epoch, the other one in record %d", o.record)
				} else if o != n {
					h.r.add("MP-4", i, "one primary that begins with two histories, the other one in record %d", o.record)
				}
			}
		}
	}
}

// digest compares the digest that record i gives with that of others at the same place.
func (h *clusterHistory) digest(i int) {
	r := &h.l.Records[i]
	n := h.nodes[r.Place]
	if n == nil || r.Digest == 0 {
		return
	}
	if n.digest == 0 {
		n.digest = r.Digest
	} else if n.digest != r.Digest {
		h.r.add("MP-4", i, "the state is another one than in record %d", n.record)
	}
}

// same compares what another replica counted at a place.
func (h *clusterHistory) same(i int, n *clusterNode) {
	r := &h.l.Records[i]
	h.digest(i)
	if n.answer == 0 {
		n.answer = r.Answer
	} else if r.Answer != 0 && r.Answer != n.answer {
		h.r.add("MP-16", i, "the service has answered otherwise than in record %d", n.record)
	}
	up := Place{}
	if n.up != nil {
		up = n.up.place
	}
	before := r.Before
	if before.Chain != r.Place.Chain {
		before = Place{}
	}
	switch {
	case before != up && n.primary == nil:
		h.r.add("MP-4", i, "the position before is another one than in record %d", n.record)
	case (r.Op == nil) != (n.op == nil) || r.Op != nil && (*r.Op != *n.op || r.By != n.by):
		h.r.add("MP-4", i, "another operation than in record %d", n.record)
	case r.Code != n.code || r.Version != n.version || !slices.Equal(r.Grants, n.grants):
		h.r.add("MP-5", i, "another result than in record %d", n.record)
	}
}

// enter takes in a new position: of an establishment.
func (h *clusterHistory) enter(i int, n *clusterNode) {
	c := h.chains[n.place.Chain]
	if c == nil {
		c = &clusterChain{id: n.place.Chain, founded: n}
		h.chains[c.id] = c
		h.order = append(h.order, c)
		if len(h.order) > 1 && h.l.Disk && h.l.Expected > 0 && h.l.Excused == "" {
			h.r.add("EL-6", i, "a second chain was founded, with a majority's disks")
		}
	}
	if n.primary == nil || n.up == nil || n.primary.Forced {
		return
	}
	p := n.primary
	if n.epoch <= n.up.epoch {
		h.r.add("EL-2", i, "the epoch does not rise")
	}
	here := 0
	for _, v := range p.Before {
		if slices.Contains(p.Seats, v) {
			here++
		}
	}
	if 2*here <= len(p.Before) && !(h.l.Expected == 0 && 2*here == len(p.Before) && slices.Contains(p.Seats, p.Before[0])) && h.l.Excused == "" {
		h.r.add("EL-2", i, "%d of the %d voters of the primary before are here", here, len(p.Before))
	}
}

// paths finds what counts in each chain: EL-1, EL-2.
func (h *clusterHistory) paths() {
	all := make([]*clusterNode, 0, len(h.nodes))
	for _, n := range h.nodes {
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b *clusterNode) int { return a.record - b.record })
	last := map[uint64]*clusterNode{} // the primary of the highest epoch, by chain
	for _, n := range all {
		if n.primary != nil && (last[n.place.Chain] == nil || n.epoch > last[n.place.Chain].epoch) {
			last[n.place.Chain] = n
		}
	}
	for _, c := range h.order {
		c.leaf = last[c.id]
		if c.leaf == nil {
			continue
		}
		for _, n := range all {
			if n.place.Chain == c.id && n.epoch == c.leaf.epoch && n.depth > c.leaf.depth && (n.up == c.leaf || h.above(last[c.id], n)) {
				c.leaf = n
			}
		}
		for n := c.leaf; n != nil; n = n.up {
			n.counts = true
			c.path = append(c.path, n)
		}
		slices.Reverse(c.path)
	}
	for _, n := range all {
		switch {
		case n.counts:
		case n.primary != nil:
			h.r.add("EL-2", n.record, "a later primary does not follow on this one")
		case !h.l.Disk:
			h.r.add("EL-1", n.record, "counted, and not part of what the chain's last primary has")
		}
	}
}

// above reports whether a is n, or leads to it.
func (h *clusterHistory) above(a, n *clusterNode) bool {
	for n != nil && n.depth > a.depth {
		n = n.up
	}
	return n == a
}

// Counting returns what tells whether a place is part of what its chain has come to: with disks, what a replica has counted may
// be lost before enough disks have it.
func (l *ClusterLog) Counting() func(Place) bool {
	h := newClusterHistory(l, &reports{log: l})
	return func(p Place) bool {
		n := h.nodes[p]
		return n != nil && n.counts
	}
}
