package held

import (
	"slices"
)

// arrive is a message that comes into q, which has an account of it: it waits for its time, or is offered.
func (s *state) arrive(q *queue, m *message) {
	if m.hasID() {
		s.addID(m.idKey())
	}
	if due := m.due(); due > s.now && s.m.leave != leaveDelay {
		s.delay(q, m)
		return
	}
	s.offer(q, m)
}

// delay puts m where it waits for its time. due 0: the next Tick sets it.
func (s *state) delay(q *queue, m *message) {
	s.delayed.put(m.delayedKey(), m)
	q.delayed++
	s.touch(q)
}

// offer gives m to the first consumer in line that it is for, or puts it into its place.
func (s *state) offer(q *queue, m *message) {
	place := m.place()
	var next *consumer
	for c := q.first; c != nil; c = next {
		next = c.succ
		if s.lags(c) {
			q.lagPlace = min(q.lagPlace, place)
			s.touch(q)
			break
		}
		if s.steps <= 0 {
			s.lag(q, c, place)
			break
		}
		if c.working || !s.eligible(c) {
			// It looks later: in its walk, or when it becomes eligible.
			if c.pos > place {
				c.pos = place
				s.touch(c)
				if s.eligible(c) {
					s.goOn(c)
				}
			}
			continue
		}
		if s.matches(c, m) {
			taken := s.hand(c, m)
			s.m.notice(c.conn, Notice{Kind: NoticeMessage, Consumer: c.id}, taken)
			if s.m.leave == leaveRotation && c.credit > 0 {
				return
			}
			s.leaveLine(c)
			if c.credit > 0 {
				s.joinLine(c)
			}
			return
		}
	}
	s.ready.put(m.readyKey(), m)
	if m.expires != 0 {
		s.expiry.put(m.expiryKey(), m)
	}
	q.ready++
	s.touch(q)
	s.lower(q, place)
}

// lag lets Ticks show what lies at place to c and to those behind it in line: there are no steps left for them.
func (s *state) lag(q *queue, c *consumer, place uint64) {
	if q.lagAt == nil {
		q.lagPlace = place
		if !slices.Contains(s.lagging, q) {
			s.lagging = append(s.lagging, q)
		}
	}
	q.lagAt, q.lagPlace = c, min(q.lagPlace, place)
	s.touch(q)
}

// lags reports whether c has to look again from its queue's lagPlace on.
func (s *state) lags(c *consumer) bool {
	at := c.queue.lagAt
	return at != nil && c.line >= at.line
}

// catchUp moves c's position to where it has to look from.
func (s *state) catchUp(c *consumer) {
	if s.lags(c) && c.pos > c.queue.lagPlace {
		c.pos = c.queue.lagPlace
		s.touch(c)
	}
}

// doLags lets those look that lag, while there are steps.
func (s *state) doLags() {
	for s.steps > 0 && len(s.lagging) > 0 {
		q := s.lagging[0]
		c := q.lagAt
		if c == nil {
			s.lagging = s.lagging[1:]
			continue
		}
		s.steps -= stepsLook
		s.catchUp(c)
		q.lagAt = c.succ
		s.touch(q)
		if !c.working {
			s.goOnNow(c)
		}
	}
	if len(s.lagging) == 0 {
		s.lagging = nil
	}
}

// lower lets consumers that are not in line look at place again.
func (s *state) lower(q *queue, place uint64) {
	if q.top <= place || s.m.leave == leaveLower {
		return
	}
	q.top = place
	if q.waiting == len(q.consumers) {
		return
	}
	for _, c := range q.consumers {
		if c.line == 0 && c.pos > place {
			c.pos = place
			s.touch(c)
		}
	}
}

// rewind lets all consumers of q look at everything again.
func (s *state) rewind(q *queue) {
	for _, c := range q.consumers {
		if c.pos > 0 {
			c.pos = 0
			s.touch(c)
		}
		if c.credit > 0 {
			s.goOn(c)
		}
	}
	q.top = 0
}

// eligible reports whether c may be given anything now.
func (s *state) eligible(c *consumer) bool {
	return !c.conn.ended && (c.queue.exclusive == nil || c.queue.exclusive == c || s.m.leave == leaveExclusive) &&
		c.conn.flight < MaxInFlight
}

// matches reports whether m is for c, and takes the steps for it.
func (s *state) matches(c *consumer, m *message) bool {
	s.steps -= stepsLook
	if m.expires != 0 && m.expires <= s.now && s.m.leave != leaveExpiry {
		return false
	}
	if c.noLocal && s.m.leave != leaveNoLocal && m.sender == c.conn.client.member && m.from == c.conn.number {
		return false
	}
	if g := m.group(); g != "" && s.m.leave != leaveGroup {
		if owner := c.queue.groups[g]; owner != nil && owner != c {
			return false
		}
	}
	return c.selector == nil || s.selects(c.selector, m)
}

// unready removes m from its place.
func (s *state) unready(q *queue, m *message) {
	s.ready.remove(m.readyKey())
	if m.expires != 0 {
		s.expiry.remove(m.expiryKey())
	}
	q.ready--
	s.touch(q)
}

// hand puts m, which is in no tree any more, in flight for c.
func (s *state) hand(c *consumer, m *message) *message {
	s.steps -= stepsMessage
	q := c.queue
	t := *m
	t.conn, t.session, t.consumer = c.conn.no, c.session, c.no
	t.count++
	t.delivery = s.nextDelivery
	s.nextDelivery++
	s.flight.put(t.flightKey(), &t)
	c.credit--
	if c.conn.flight == 0 {
		s.undate(c.conn)
	}
	c.conn.flight++
	q.flight++
	q.stats.Taken++
	s.touch(q)
	s.touch(c)
	s.touch(c.conn)
	if g := m.group(); g != "" {
		s.assign(c, g, m.more.groupSeq < 0)
	}
	return &t
}

// assign gives c the group, or ends it.
func (s *state) assign(c *consumer, group string, end bool) {
	q := c.queue
	owner := q.groups[group]
	switch {
	case end && owner != nil && s.m.leave != leaveGroupEnd:
		s.freeGroup(owner, group)
		s.rewind(q) // others passed over its messages
	case !end && owner == nil:
		if q.groups == nil {
			q.groups = map[string]*consumer{}
		}
		if c.groups == nil {
			c.groups = map[string]uint64{}
		}
		for len(q.groups) >= MaxGroups {
			oldest := q.groupAge[0]
			q.groupAge = q.groupAge[1:]
			if o := q.groups[oldest.name]; o != nil && o.groups[oldest.name] == oldest.no {
				s.freeGroup(o, oldest.name)
			}
		}
		q.nextGroup++
		q.groups[group] = c
		c.groups[group] = q.nextGroup
		q.groupAge = append(q.groupAge, groupAge{group, q.nextGroup})
		if len(q.groupAge) > 2*len(q.groups)+64 {
			q.groupAge = slices.DeleteFunc(q.groupAge, func(a groupAge) bool {
				o := q.groups[a.name]
				return o == nil || o.groups[a.name] != a.no
			})
		}
	}
}

func (s *state) freeGroup(owner *consumer, group string) {
	delete(owner.queue.groups, group)
	delete(owner.groups, group)
	s.touch(owner)
}

// walk looks for messages for c from its place on, and calls found with each one. It is false where the steps of this
// operation ended before the queue did.
func (s *state) walk(c *consumer, found func(*message)) bool {
	s.catchUp(c)
	q := c.queue
	for c.credit > 0 && c.pos != endPlace && s.eligible(c) {
		var hit *message
		short := false
		pos := c.pos
		s.ready.from(key{uint64(q.no), pos}, func(k key, m *message) bool {
			switch {
			case k.hi != uint64(q.no):
				return false
			case s.steps <= 0:
				pos, short = k.lo, true
				return false
			case s.matches(c, m):
				hit = m
				return false
			}
			return true
		})
		s.touch(c)
		switch {
		case hit != nil:
			s.unready(q, hit)
			c.pos = hit.place() + 1
			found(s.hand(c, hit))
		case short:
			c.pos = pos
			s.settleTop(c)
			return false
		default:
			c.pos = endPlace
		}
	}
	s.settleTop(c)
	return true
}

func (s *state) settleTop(c *consumer) {
	if c.line == 0 {
		c.queue.top = max(c.queue.top, c.pos)
	}
}

// goOn lets c's walk go on: in this operation where there are steps, else at the next Tick.
func (s *state) goOn(c *consumer) {
	if !c.working && c.credit > 0 {
		c.working = true
		s.fresh = append(s.fresh, c)
		s.touch(c)
	}
}

// end is the end of an operation: walks that it caused go on while there are steps.
func (s *state) end() {
	for i := 0; i < len(s.fresh); i++ {
		if c := s.fresh[i]; s.steps > 0 {
			s.goOnNow(c)
		} else {
			s.work = append(s.work, c)
		}
		s.fresh[i] = nil
	}
	s.fresh = s.fresh[:0]
}

// doWork lets walks go on that Ticks are for.
func (s *state) doWork() {
	for n := len(s.work); n > 0 && s.steps > 0; n-- {
		c := s.work[0]
		s.work[0] = nil
		s.work = s.work[1:]
		s.goOnNow(c)
	}
	if len(s.work) == 0 {
		s.work = nil
	}
}

func (s *state) goOnNow(c *consumer) {
	c.working = false
	s.touch(c)
	if c.credit == 0 {
		return
	}
	done := s.walk(c, func(m *message) {
		s.m.notice(c.conn, Notice{Kind: NoticeMessage, Consumer: c.id}, m)
	})
	s.afterWalk(c, done, func() {
		s.m.notice(c.conn, Notice{Kind: NoticeNone, Consumer: c.id, Counter: c.counter}, nil)
	})
}

// afterWalk settles where c stands then. none is called where a Take that does not wait is over with credit left.
func (s *state) afterWalk(c *consumer, done bool, none func()) {
	switch {
	case c.credit == 0:
		s.leaveLine(c)
	case !done:
		s.goOn(c)
		if c.wait {
			s.joinLine(c)
		}
	case !c.wait:
		c.credit = 0
		s.leaveLine(c)
		none()
	default:
		s.joinLine(c)
	}
}

// joinLine puts c at the end of the line, unless it is in it.
func (s *state) joinLine(c *consumer) {
	if c.line != 0 {
		return
	}
	q := c.queue
	c.line = s.nextLine
	s.nextLine++
	c.prev, c.succ = q.last, nil
	if q.last != nil {
		q.last.succ = c
	} else {
		q.first = c
	}
	q.last = c
	q.waiting++
	s.touch(c)
}

func (s *state) leaveLine(c *consumer) {
	if c.line == 0 {
		return
	}
	s.catchUp(c)
	q := c.queue
	if q.lagAt == c {
		q.lagAt = c.succ
		s.touch(q)
	}
	if c.prev != nil {
		c.prev.succ = c.succ
	} else {
		q.first = c.succ
	}
	if c.succ != nil {
		c.succ.prev = c.prev
	} else {
		q.last = c.prev
	}
	c.prev, c.succ, c.line = nil, nil, 0
	q.waiting--
	q.top = max(q.top, c.pos)
	s.touch(c)
}

// undate lets the next Tick say since when c has what it has in flight.
func (s *state) undate(c *conn) {
	c.since = 0
	if !c.undated {
		c.undated = true
		s.undated = append(s.undated, c)
	}
}

// unflight removes a message from what is in flight.
func (s *state) unflight(c *conn, m *message) *queue {
	s.flight.remove(m.flightKey())
	if c.flight--; c.flight > 0 {
		s.undate(c)
	}
	if c.flight == MaxInFlight-1 {
		for _, k := range c.consumers {
			s.goOn(k)
		}
	}
	s.touch(c)
	q := s.queueByNo[m.queue]
	q.flight--
	s.touch(q)
	return q
}

// settle is the end of a message that is in flight.
func (s *state) settle(c *conn, m *message) {
	s.steps -= stepsMessage
	q := s.unflight(c, m)
	q.stats.Settled++
	s.discount(q, m)
}

// release gives back a message that is in flight. Where it was not seen, that was no delivery.
func (s *state) release(c *conn, m *message, unseen bool) {
	s.steps -= stepsMessage
	q := s.unflight(c, m)
	r := *m
	r.conn, r.session, r.consumer, r.delivery = 0, 0, 0, 0
	if q.dropped {
		s.discount(q, m)
		return
	}
	if s.m.leave == leavePlace {
		r.number = s.number()
	}
	if unseen && s.m.leave != leaveUnseen || s.m.leave == leaveCount {
		r.count--
		s.offer(q, &r)
		return
	}
	q.stats.Redelivered++
	x := s.settingsOf(q)
	switch {
	case s.m.leave != leaveDead && x.MaxRedeliveries >= 0 && int64(r.count) > x.MaxRedeliveries && !q.isDead():
		q.stats.Redelivered--
		s.bury(q, &r, ReasonRedelivered)
	case x.RedeliveryDelay > 0:
		s.delay(q, r.copyWith(func(x *more) { x.due = 0 }))
	default:
		s.offer(q, &r)
	}
}

const deadPrefix = "DLQ."

func (q *queue) isDead() bool {
	return len(q.name) >= len(deadPrefix) && q.name[:len(deadPrefix)] == deadPrefix
}

// bury puts m, which is in no tree of q any more, into q's dead-letter queue, whatever its bounds.
func (s *state) bury(q *queue, m *message, why Reason) {
	s.discount(q, m)
	q.stats.Dead++
	name := deadPrefix + Label(q.name)
	dlq := s.queues[name]
	if dlq == nil {
		dlq = s.newQueue(name)
	}
	d := m.copyWith(func(x *more) { x.origin, x.reason, x.due = q.name, why, 0 })
	d.queue, d.number, d.expires = dlq.no, s.number(), 0
	s.account(dlq, d.size())
	dlq.stats.Put++
	s.arrive(dlq, d)
}

func (s *state) number() uint64 {
	n := s.nextNumber
	s.nextNumber++
	return n
}

// expire is the end of m, which lies in its place in q.
func (s *state) expire(q *queue, m *message) {
	s.steps -= stepsMessage
	s.unready(q, m)
	q.stats.Expired++
	if s.settingsOf(q).DeadLetterExpired && !q.isDead() {
		s.bury(q, m, ReasonExpired)
		return
	}
	s.discount(q, m)
}
