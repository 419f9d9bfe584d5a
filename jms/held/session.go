package held

import (
	"cmp"
	"slices"

	"github.com/activeblaze/blaze/internal/topic"
)

// session returns what a session has staged; nil: nothing.
func (c *conn) session(id uint32) (i int, s *session) {
	i, ok := slices.BinarySearchFunc(c.sessions, id, func(s *session, id uint32) int { return cmp.Compare(s.id, id) })
	if !ok {
		return i, nil
	}
	return i, c.sessions[i]
}

// stage keeps a message, or settlements, until the session commits. It has room in its queue from now on.
func (s *state) stage(c *conn, op *Op) Answer {
	i, x := c.session(op.Session)
	n := len(op.Numbers)
	if op.HasMessage {
		n++
	}
	size := uint64(len(op.Message.Data))
	if p := c.part(op.Message.Part); p != nil {
		size = p.size
	}
	switch {
	case n == 0:
		return refuse(CodeMalformed)
	case x == nil && len(c.sessions) >= MaxSessions, x != nil && x.count+n > MaxStaged, x != nil && x.bytes+size > MaxStagedBytes:
		return refuse(CodeTooMany)
	}
	for _, number := range op.Numbers {
		if s.flying(c, op.Session, number) == nil {
			s.refused++
			return refuse(CodeNotHeld)
		}
	}
	var m *message
	if op.HasMessage {
		var q *queue
		var code Code
		if len(op.Topic) > 0 {
			if topic.Validate(string(op.Topic)) != nil {
				return refuse(CodeMalformed)
			}
			if s.bytes+size > s.defaults.HolderBytes || s.depth >= s.defaults.HolderDepth {
				return refuse(CodeHolderFull)
			}
		} else if q, code = s.open(op.Queue); code == CodeOK {
			code = s.admit(c, op, q)
		}
		if code == CodeOK {
			m, code = s.incoming(c, op)
		}
		if code != CodeOK {
			return refuse(code)
		}
		if q != nil {
			m.queue = q.no
		} else {
			m = m.copyWith(func(x *more) { x.topic = string(op.Topic) })
		}
	}
	if x == nil {
		x = &session{id: op.Session, next: 1}
		c.sessions = slices.Insert(c.sessions, i, x)
	}
	x.count += n
	x.bytes += size
	x.settle = append(x.settle, op.Numbers...)
	if m != nil && m.queue != 0 && s.m.leave == leaveHidden {
		s.enter(s.queueByNo[m.queue], m)
		return Answer{}
	}
	if m != nil {
		s.steps -= stepsMessage
		m.conn, m.session, m.number = c.no, op.Session, x.next
		x.next++
		s.staged.put(m.flightKey(), m)
		if q := s.queueByNo[m.queue]; q != nil {
			q.staged++
			s.account(q, m.size())
		} else {
			s.depth++
			s.bytes += uint64(m.size())
		}
	}
	return Answer{}
}

// unstage removes a staged message, and the account of it.
func (s *state) unstage(k key, m *message) {
	s.steps -= stepsMessage
	s.staged.remove(k)
	q := s.queueByNo[m.queue]
	if q == nil {
		s.depth--
		s.bytes -= uint64(m.size())
		return
	}
	q.staged--
	s.discountStaged(q, m)
}

// discountStaged is discount of a message whose id is not known yet.
func (s *state) discountStaged(q *queue, m *message) {
	c := *m
	c.id = [idLen]byte{}
	s.discount(q, &c)
}

// commit is all of what the session has staged, and Numbers, at once; or nothing, if one of the settlements cannot be.
func (s *state) commit(c *conn, op *Op) Answer {
	i, x := c.session(op.Session)
	var settle []uint64
	if x != nil {
		settle = append(settle, x.settle...)
	}
	settle = append(settle, op.Numbers...)
	for _, n := range settle {
		if s.flying(c, op.Session, n) == nil && s.m.leave != leaveAtomic {
			s.refused++
			return refuse(CodeNotHeld)
		}
	}
	for _, n := range settle {
		if m := s.flying(c, op.Session, n); m != nil { // it may be named twice
			s.settle(c, m)
		}
	}
	if x == nil {
		return Answer{}
	}
	c.sessions = slices.Delete(c.sessions, i, i+1)
	low := key{hi: uint64(c.no)<<32 | uint64(op.Session)}
	for {
		k, m, ok := s.staged.first(low)
		if !ok || k.hi != low.hi {
			return Answer{}
		}
		put := *m
		put.conn, put.session = 0, 0
		q := s.queueByNo[m.queue]
		if q == nil {
			name := m.more.topic
			s.unstage(k, m)
			s.feed(put.copyWith(func(x *more) { x.topic = "" }), name, c.name)
			continue
		}
		s.steps -= stepsMessage
		s.staged.remove(k) // its room is the message's now
		q.staged--
		put.number = s.number()
		q.stats.Put++
		s.arrive(q, &put)
	}
}

// rollback drops what the session has staged, and gives back what it took: all deliveries below Answer.Value. Answer.More
// asks for another one: there was more than one operation may do.
func (s *state) rollback(c *conn, op *Op) Answer {
	first := s.nextDelivery
	s.releaseNumbers(c, op.Session, op.Numbers, true)
	low := key{hi: uint64(c.no)<<32 | uint64(op.Session)}
	if i, x := c.session(op.Session); x != nil {
		for {
			k, m, ok := s.staged.first(low)
			if !ok || k.hi != low.hi {
				break
			}
			if s.steps <= 0 {
				return Answer{More: true, Value: first}
			}
			s.unstage(k, m)
		}
		c.sessions = slices.Delete(c.sessions, i, i+1)
	}
	// What is given back may come to a consumer of this session again, and stays with it then.
	var all []*message
	more := false
	s.flight.from(low, func(k key, m *message) bool {
		switch {
		case k.hi != low.hi && (s.m.leave != leaveSession || m.conn != c.no):
			return false
		case len(all)*stepsMessage >= s.m.maxSteps:
			more = true
			return false
		}
		all = append(all, m)
		return true
	})
	for _, m := range all {
		s.release(c, m, false)
	}
	return Answer{More: more, Value: first}
}
