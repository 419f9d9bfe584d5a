package group

import (
	"slices"

	"github.com/activeblaze/blaze/wire"
)

// newPairMember makes a member whose table a test fills, and whose own membership does nothing.
func newPairMember(cfg Config) *Protocol {
	p := &Protocol{cfg: cfg.withDefaults(), started: true}
	p.table.init()
	p.pairs = newPairs(p)
	p.own.build(p)
	return p
}

// setPairRecord gives an entry a record, which a member has of itself.
func setPairRecord(p *Protocol, e *entry, record []byte) {
	e.record = slices.Clone(record)
	if r, err := wire.ParseRecord(record); err == nil {
		queues := r.Queues()
		_, e.consumes = queues.Next()
	}
	p.pairs.recordsChanged()
}

func setPairEntry(p *Protocol, e *entry) {
	setPairRecord(p, e, e.record)
	p.table.entries[e.id] = e
	p.table.order = append(p.table.order, e)
	p.pairs.recordsChanged()
}

func dropPairEntry(p *Protocol, e *entry) {
	delete(p.table.entries, e.id)
	p.table.order = slices.DeleteFunc(p.table.order, func(o *entry) bool { return o == e })
}

func setPairGate(p *Protocol, closed bool) { p.gate.closed = closed }
