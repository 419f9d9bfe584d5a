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
		if active == nil || c.before(active) {
			active = c
		}
	}
	return active
}

// before reports whether c comes before another exclusive consumer.
func (c *consumer) before(o *consumer) bool {
	return c.rank < o.rank || c.rank == o.rank && bytes.Compare(c.id[:], o.id[:]) < 0
}

// eachConsumer calls f with each consumer that the table has, this member included. The name of the queue is
// lent.
func (p *Protocol) eachConsumer(f func(queue []byte, c consumer)) {
	for i := range p.own.queues {
		q := &p.own.queues[i]
		f(nameBytes(q.queue), consumer{id: p.cfg.Self, handlers: max(1, int(q.handlers)), rank: q.rank})
	}
	for _, e := range p.table.order {
		if !e.consumes {
			continue
		}
		r, err := wire.ParseRecord(e.record)
		if err != nil {
			continue
		}
		it := r.Queues()
		for q, ok := it.Next(); ok; q, ok = it.Next() {
			f(q.Queue, consumer{id: e.id, e: e, handlers: min(max(1, int(q.Handlers)), mostOut), rank: q.Rank})
		}
	}
}

// NextRank is the rank of the next exclusive consumer of a queue: behind all that are in the table.
func (p *Protocol) NextRank(queue string) uint32 {
	rank := uint32(0)
	p.eachConsumer(func(name []byte, c consumer) {
		if string(name) == queue {
			rank = max(rank, c.rank)
		}
	})
	return rank + 1
}
