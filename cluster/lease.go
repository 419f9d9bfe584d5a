package cluster

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// Locks in time: how long this member may believe that it holds one, and what the leader proposes because time asks for it.

// never is an open end.
const never = clock.Time(math.MaxInt64)

// retry is when the leader proposes again what had no effect.
const retry = 100 * time.Millisecond

// mostTerms is how many operations of the leader's duties may be under way when it proposes the end of another term.
const mostTerms = 4 * wire.MaxClusterOps

// hold is a lock of this member.
type hold struct {
	number    uint64 // of the Lock call
	name, key []byte
	request   uint64
	token     uint64
	index     uint64 // of the grant
	deadline  clock.Time
	gone      bool // lost, or given up
	owed      bool // its Unlock is queued, or was counted
}

// ends is when a lease ends for its holder: a little before the leader's count of it does, whatever their clocks' rates.
func ends(received clock.Time, lease int64) clock.Time {
	return received.Add(time.Duration(lease - lease/64))
}

// until is when this member stops to believe that it is in the primary: min with a lock's own deadline.
func (c *Core) until() clock.Time {
	switch {
	case c.cfg.defect == lostIgnoresConfirmed:
		return never
	case c.alone && (c.phase == Complete):
		return never // no primary can follow without its only member
	case c.confirmed == 0:
		return 0
	}
	return c.confirmed.Add(c.cfg.Guard)
}

// confirm notes that every member of the primary was in it at that time or later.
func (c *Core) confirm(at clock.Time) { c.confirmed = max(c.confirmed, at) }

// granted takes the grant of a lock to this member.
func (c *Core) granted(now, received clock.Time, e *Event) {
	s := c.requests[e.Request]
	if s == nil || s.call == nil {
		return // it was given up, and a Cancel is on its way
	}
	if c.cfg.defect == leaseFromDelivery {
		received = now
	}
	s.hold = &hold{
		number: s.number, name: []byte(e.Map), key: []byte(e.Key), request: e.Request, token: e.Token, index: e.Index,
		deadline: ends(received, e.Lease),
	}
	if s.place == inLine {
		s.index, s.code = e.Index, CodeOK
		c.settle(now, s)
	}
}

// handOut returns a lock to its caller. If it is over already it goes back, and the call waits for another one.
func (c *Core) handOut(now clock.Time, s *slot) {
	h := s.hold
	delete(c.requests, s.request)
	s.request = 0
	if h.gone || now >= min(h.deadline, c.until()) {
		c.owe(h)
		s.hold, s.once = nil, true
		s.place = queued
		c.queue.push(s)
		return
	}
	c.holds[h.number] = h
	c.firstEnd = 0
	s.call.Token, s.call.Deadline = h.token, h.deadline
	c.answer(s, CodeOK)
}

// owe gives up a lock: its Unlock is proposed as soon as this member is in the primary.
func (c *Core) owe(h *hold) {
	h.gone = true
	if h.owed || c.exited {
		return
	}
	h.owed = true
	c.propose(owed, wire.ClusterOp{Kind: wire.OpUnlock, Map: h.name, Key: h.key, Token: h.token})
}

// lose takes a lock from its caller.
func (c *Core) lose(now clock.Time, h *hold) {
	if h.gone {
		return
	}
	c.owe(h)
	if c.holds[h.number] == h {
		delete(c.holds, h.number)
		c.stats.LostLocks++
		c.lost = append(c.lost, h.number)
	}
}

// held are the locks that callers have, in the order in which they got them.
func (c *Core) held() []*hold {
	list := make([]*hold, 0, len(c.holds))
	for _, h := range c.holds {
		list = append(list, h)
	}
	slices.SortFunc(list, func(a, b *hold) int { return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(a.number, b.number)) })
	return list
}

// loseLocks takes all locks from their callers.
func (c *Core) loseLocks(now clock.Time) {
	for _, h := range c.held() {
		c.lose(now, h)
	}
}

// expireHolds loses what is over.
func (c *Core) expireHolds(now clock.Time) {
	at, ok := c.nextLost()
	if !ok || now < at {
		return
	}
	until := c.until()
	c.firstEnd = 0
	for _, h := range c.held() {
		if now >= min(h.deadline, until) {
			c.lose(now, h)
		}
	}
}

// nextLost is when the next lock is lost if nothing happens.
func (c *Core) nextLost() (at clock.Time, ok bool) {
	if len(c.holds) == 0 {
		return 0, false
	}
	if c.firstEnd == 0 { // some deadline may be another one
		c.firstEnd = never
		for _, h := range c.holds {
			c.firstEnd = min(c.firstEnd, h.deadline)
		}
	}
	return min(c.firstEnd, c.until()), true
}

// compareLocks keeps, at an establishment, what the replica still shows as this member's own.
func (c *Core) compareLocks(now clock.Time) {
	if c.cfg.defect == locksNotCompared {
		return
	}
	mine := c.state.HeldBy(c.cfg.Self)
	shown := func(h *hold) bool {
		return slices.ContainsFunc(mine, func(m Held) bool {
			return m.Token == h.token && m.Map == string(h.name) && m.Key == string(h.key)
		})
	}
	for _, h := range c.held() {
		if !shown(h) {
			h.owed = true // nothing is
			c.lose(now, h)
		}
	}
	for _, s := range c.uncommitted.items() {
		if s.kind == CallLock && s.hold != nil && !shown(s.hold) {
			s.hold.owed, s.hold.gone = true, true
		}
	}
	// A primary without this member may have come and gone, and have taken its waits out of their lines.
	for _, s := range c.inLines() {
		if c.state.waits(c.cfg.Self, s.request) {
			continue
		}
		delete(c.requests, s.request)
		s.request, s.place, s.once = 0, queued, true
		c.queue.push(s)
	}
}

// orphaned notes a lock that is not free yet. It costs the holder's guard time.
func (c *Core) orphaned(now clock.Time, name, key string, e *Event) {
	c.stats.Orphaned++
	seen := c.seen
	if c.phase == Learning {
		seen = now
	}
	c.orphans.add(lockName{name, key}, e.Token, c.freed(seen, e.By))
}

// freed is when a lock of a member that was last heard of at seen may be released.
func (c *Core) freed(seen clock.Time, by wire.MemberID) clock.Time {
	if d := c.cfg.defect; d == releaseAtOnce || d == lostFreeAtOnce {
		return seen
	}
	g := c.guards[by]
	if g == 0 {
		g = c.maxGuard
	}
	return seen.Add(g + g/50 + time.Millisecond)
}

// waits reports whether a member's Lock operation is in line, or holds its lock.
func (s *State) waits(id wire.MemberID, number uint64) bool {
	return s.tables.waits[request{id, number}] != nil
}

// duties proposes what time asks for, if this member is the leader.
func (c *Core) duties(now clock.Time) {
	if c.phase != Complete || c.transitional || c.exited || c.closing {
		return
	}
	if h, ok := c.state.Master(); ok && h.Holder == c.cfg.Self && !h.Orphaned && c.owns[yield] == 0 {
		if heir := c.state.Heir(); heir != c.cfg.Self && heir != (wire.MemberID{}) {
			c.yielded = h.Token
			c.propose(yield, wire.ClusterOp{Kind: wire.OpUnlock, Key: []byte(MasterKey), Token: h.Token})
		}
	}
	if c.served.soon && c.owns[compare] == 0 {
		c.proposeComparison(now)
	}
	if c.state.Leader() != c.cfg.Self {
		return
	}
	c.serviceDuties(now)
	for c.owns[duty] < wire.MaxClusterOps {
		o := c.orphans.take(now, retry)
		if o == nil {
			break
		}
		c.propose(duty, wire.ClusterOp{Kind: wire.OpRelease, Map: []byte(o.name.table), Key: []byte(o.name.key), Token: o.token})
	}
	for c.owns[duty] < mostTerms {
		op, ok := c.state.EndedTerm(now, now.Add(retry))
		if !ok {
			break
		}
		c.propose(duty, op)
	}
	if id, ok := c.state.Unswept(); ok && now >= c.sweepAt {
		c.sweepAt = now.Add(retry)
		c.propose(duty, wire.ClusterOp{Kind: wire.OpSweep, Member: id})
	}
}

// nextDuty is when the leader has something to propose if nothing happens.
func (c *Core) nextDuty() (at clock.Time, ok bool) {
	if c.phase != Complete || c.transitional || c.exited || c.closing || c.state.Leader() != c.cfg.Self {
		return 0, false
	}
	// What waits for operations under way is proposed by the turn that counts those. Their time may have passed.
	if c.owns[duty] < mostTerms {
		at, ok = c.state.NextTerm()
	}
	tick, ticks := c.nextServiceDuty()
	at, ok = clock.Earlier(at, ok, tick, ticks)
	if c.owns[duty] < wire.MaxClusterOps {
		due, orphaned := c.orphans.next()
		at, ok = clock.Earlier(at, ok, due, orphaned)
	}
	if _, due := c.state.Unswept(); due {
		at, ok = clock.Earlier(at, ok, c.sweepAt, true)
	}
	return at, ok
}
