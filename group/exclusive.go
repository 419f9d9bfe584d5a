package group

import (
	"bytes"
	"slices"

	"github.com/activeblaze/blaze/clock"
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

// claim is how a newcomer among exclusive consumers takes its place. Ranks alone do not keep two from handling at
// a time: B, which has not received the record of A, takes A's rank or a lower one, and A is at work. So a newcomer
// begins nothing until its table was equal to that of each member. Should it come before another consumer
// meanwhile that it did not know when it took its rank, it takes the next one behind all.
type claim struct {
	from  clock.Time      // when the rank was taken
	until clock.Time      // it lasts as long at least
	known []wire.MemberID // consumers of the queue when the rank was taken
}

// maxSettling is how long a claim lasts at most, in times the least: a table may be another for ever.
const maxSettling = 10

// claim begins the claim of a queue that has just been given its rank.
func (p *Protocol) claim(now clock.Time, q *consumes) {
	q.claim = nil
	if q.rank == 0 {
		return
	}
	// A record that was lost has come by then, as when a member is removed.
	q.claim = &claim{from: now, until: now.Add(max(p.t(), 5*p.every(len(p.table.order)+1)))}
	p.eachConsumer(func(name []byte, c consumer) {
		if string(name) == q.queue {
			q.claim.known = append(q.claim.known, c.id)
		}
	})
}

// over reports whether a claim has ended.
func (c *claim) over(p *Protocol, now clock.Time) bool {
	if now < c.until {
		return false
	}
	if now < c.from.Add(maxSettling*c.until.Sub(c.from)) {
		for _, e := range p.table.order {
			if e.agreed < c.from {
				return false
			}
		}
	}
	return true
}

// tickClaims ends claims.
func (p *Protocol) tickClaims(now clock.Time) {
	for i := range p.own.queues {
		if q := &p.own.queues[i]; q.claim != nil && q.claim.over(p, now) {
			q.claim = nil
			if w := p.pairs.works[q.queue]; w != nil {
				w.claim = nil
			}
		}
	}
}

// reclaim gives queues a higher rank whose claim would displace a consumer that was here before.
func (p *Protocol) reclaim(now clock.Time) {
	for i := range p.own.queues {
		q := &p.own.queues[i]
		if q.claim == nil {
			continue
		}
		own := consumer{id: p.cfg.Self, rank: q.rank}
		highest, displaces := q.rank, false
		p.eachConsumer(func(name []byte, c consumer) {
			if string(name) != q.queue || c.e == nil || c.rank == 0 {
				return
			}
			highest = max(highest, c.rank)
			displaces = displaces || own.before(&c) && !slices.Contains(q.claim.known, c.id)
		})
		if displaces && highest < 1<<32-1 {
			q.rank = highest + 1
			p.claim(now, q)
			p.change(0)
			p.pairs.recordsChanged()
		}
	}
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
