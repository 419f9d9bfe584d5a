package group

import "slices"

// newPairMember makes a member whose table a test fills, and whose own membership does nothing.
func newPairMember(cfg Config) *Protocol {
	p := &Protocol{cfg: cfg.withDefaults(), started: true}
	p.table.init()
	p.pairs = newPairs(p)
	p.own.build(p)
	return p
}

func setPairEntry(p *Protocol, e *entry) {
	p.table.entries[e.id] = e
	p.table.order = append(p.table.order, e)
	p.pairs.recordsChanged()
}

func dropPairEntry(p *Protocol, e *entry) {
	delete(p.table.entries, e.id)
	p.table.order = slices.DeleteFunc(p.table.order, func(o *entry) bool { return o == e })
}

func setPairGate(p *Protocol, closed bool) { p.gate.closed = closed }
