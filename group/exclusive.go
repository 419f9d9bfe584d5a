package group

import (
	"bytes"

	"github.com/activeblaze/blaze/wire"
)

// exclusiveOf returns the active one of exclusive consumers: that with the lowest rank, and id; nil when
// none is exclusive.
func exclusiveOf(list []consumer) *consumer {
	var active *consumer
	for i := range list {
		c := &list[i]
		if c.rank == 0 {
			continue
		}
		if active == nil || c.rank < active.rank || c.rank == active.rank && bytes.Compare(c.id[:], active.id[:]) < 0 {
			active = c
		}
	}
	return active
}

// consumersOf calls f with each consumer of a queue that the table has, this member included.
func (p *Protocol) consumersOf(queue string, f func(c consumer)) {
	for i := range p.own.queues {
		if q := &p.own.queues[i]; q.queue == queue {
			f(consumer{id: p.cfg.Self, handlers: max(1, int(q.handlers)), rank: q.rank})
		}
	}
	for _, e := range p.table.order {
		r, err := wire.ParseRecord(e.record)
		if err != nil {
			continue
		}
		for it := r.Queues(); ; {
			q, ok := it.Next()
			if !ok {
				break
			}
			if string(q.Queue) == queue {
				f(consumer{id: e.id, e: e, handlers: min(max(1, int(q.Handlers)), mostOut), rank: q.Rank})
			}
		}
	}
}

// NextRank is the rank of the next exclusive consumer of a queue: behind all that are in the table.
func (p *Protocol) NextRank(queue string) uint32 {
	rank := uint32(0)
	p.consumersOf(queue, func(c consumer) { rank = max(rank, c.rank) })
	return rank + 1
}

// refreshActive finds out for each work queue whether this member is to take from it.
func (x *pairs) refreshActive() {
	for _, w := range x.workList {
		var list []consumer
		x.p.consumersOf(w.name, func(c consumer) { list = append(list, c) })
		active := exclusiveOf(list)
		w.active = active == nil || active.e == nil || x.is(acceptInactive)
	}
}
