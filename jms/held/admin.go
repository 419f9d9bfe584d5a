package held

import (
	"cmp"
	"slices"

	"github.com/activeblaze/blaze/selector"
	"google.golang.org/protobuf/encoding/protowire"
)

// configure sets what holds for one queue, which it makes, or for all.
func (s *state) configure(op *Op) Answer {
	x := op.Settings
	switch {
	case x == nil:
		return refuse(CodeMalformed)
	case len(op.Queue) == 0:
		d := *x
		if d.Depth == 0 {
			d.Depth = DefaultDepth
		}
		if d.Bytes == 0 {
			d.Bytes = DefaultBytes
		}
		if d.MaxRedeliveries == 0 {
			d.MaxRedeliveries = DefaultMaxRedeliveries
		}
		if d.HolderDepth == 0 {
			d.HolderDepth = DefaultHolderDepth
		}
		if d.HolderBytes == 0 {
			d.HolderBytes = DefaultHolderBytes
		}
		s.defaults = d
		return Answer{}
	case op.Queue[0] == 0:
		return refuse(CodeMalformed)
	}
	q := s.queues[string(op.Queue)]
	if q == nil {
		if len(s.queues)-len(s.subs) >= MaxQueues {
			return refuse(CodeTooMany)
		}
		q = s.newQueue(string(op.Queue))
	}
	q.settings, q.declared = *x, true
	s.touch(q)
	return Answer{}
}

// drop ends a queue that is empty and has no consumers.
func (s *state) drop(op *Op) Answer {
	q := s.queues[string(op.Queue)]
	switch {
	case q == nil || q.sub != nil:
		return refuse(CodeNoQueue)
	case q.total() > 0 || len(q.consumers) > 0:
		return refuse(CodeInUse)
	}
	s.dropQueue(q)
	return Answer{}
}

// sift purges, moves or retries messages that wait in a queue. Next is the place to go on from where More is set.
func (s *state) sift(op *Op) (a Answer) {
	q := s.queues[string(op.Queue)]
	var to *queue
	switch {
	case op.Limit < 1 || op.Limit > MaxLimit:
		return refuse(CodeMalformed)
	case q == nil:
		return refuse(CodeNoQueue)
	case op.Kind == KindMove:
		var code Code
		if to, code = s.open(op.Name); code != CodeOK {
			return refuse(code)
		}
		if to == q || to.sub != nil {
			return refuse(CodeMalformed)
		}
	}
	sel, err := parseSelector(op.Selector)
	if err != nil {
		return Answer{Code: CodeSelector, Detail: err.Error()}
	}
	var hits []*message
	a.Next, a.More = s.search(q, op.After, sel, func(m *message) bool {
		s.steps -= 2 * stepsMessage
		hits = append(hits, m)
		return uint64(len(hits)) < op.Limit
	})
	for _, m := range hits {
		target := to
		if op.Kind == KindRetry {
			if m.more == nil || m.more.reason == ReasonNone {
				continue
			}
			if target = s.queues[m.more.origin]; target == nil {
				continue
			}
		}
		if target != nil {
			if code := s.full(target, 1, uint64(m.size())); code == CodeQueueFull || code == CodeTooLarge {
				a.Code, a.Next, a.More = code, m.place(), true
				break
			}
		}
		a.Value++
		s.unready(q, m)
		s.discount(q, m)
		q.stats.Removed++
		if target == nil {
			continue
		}
		moved := *m
		if op.Kind == KindRetry {
			moved = *m.copyWith(func(x *more) { x.origin, x.reason = "", ReasonNone })
			moved.count = min(moved.count, 1)
		}
		moved.queue = target.no
		s.enter(target, &moved)
	}
	return a
}

// search calls found for messages of q from a place on that match sel, until it is false, the steps end, or the queue does.
// next is the place to go on from, and more is false at the end.
func (s *state) search(q *queue, from uint64, sel *selector.Selector, found func(*message) bool) (next uint64, more bool) {
	s.ready.from(key{uint64(q.no), from}, func(k key, m *message) bool {
		if k.hi != uint64(q.no) {
			return false
		}
		if s.steps <= 0 {
			next, more = k.lo, true
			return false
		}
		s.steps -= stepsLook
		if (sel == nil || s.selects(sel, m)) && !found(m) {
			next, more = k.lo+1, true
			return false
		}
		next = k.lo + 1
		return true
	})
	return next, more
}

// read answers without changing anything.
func (s *state) read(c *conn, op *Op) (a Answer) {
	limit := op.Limit
	if limit < 1 || limit > MaxLimit {
		limit = MaxLimit
	}
	inline := 0
	switch op.Kind {
	case KindAttach:
		high := uint64(c.no+1) << 32
		s.flight.from(key{uint64(c.no)<<32 | uint64(op.Session), op.After + 1}, func(k key, m *message) bool {
			if k.hi >= high {
				return false
			}
			if uint64(len(a.Messages)) == limit || inline+MaxInline > MaxAnswer {
				a.More = true
				return false
			}
			a.Messages = append(a.Messages, s.shown(m, s.consumerID(m), &inline))
			return true
		})
		a.Next, a.Value = c.next, s.nextDelivery
	case KindFetch:
		if len(op.Numbers) != 1 {
			return refuse(CodeMalformed)
		}
		m := s.flying(c, op.Session, op.Numbers[0])
		if len(op.Queue) > 0 {
			m = nil
			if q := s.queues[string(op.Queue)]; q != nil {
				m, _ = s.ready.get(key{uint64(q.no), op.Numbers[0]})
			}
		}
		if m == nil {
			return refuse(CodeNotHeld)
		}
		w := m.wire()
		w.Data, w.Size = m.cut(op.After, MaxAnswer), uint64(m.size())
		a.Messages = []Message{w}
		a.Next = op.After + uint64(len(w.Data))
		a.More = a.Next < w.Size
	case KindBrowse:
		q := s.queues[string(op.Queue)]
		if q == nil {
			return refuse(CodeNoQueue)
		}
		sel, err := parseSelector(op.Selector)
		if err != nil {
			return Answer{Code: CodeSelector, Detail: err.Error()}
		}
		a.Next, a.More = s.search(q, op.After, sel, func(m *message) bool {
			w := s.shown(m, 0, &inline)
			if op.Flags&FlagHeads != 0 {
				w.Data, w.Size, inline = nil, uint64(m.size()), 0
			}
			w.Place = m.place()
			a.Messages = append(a.Messages, w)
			return uint64(len(a.Messages)) < limit && inline+MaxInline <= MaxAnswer
		})
	case KindList:
		if op.Flags&FlagHolding != 0 {
			s.holding(op.After, &a)
			break
		}
		i, found := slices.BinarySearch(s.names, string(op.Name))
		if found {
			i++
		}
		for ; i < len(s.names); i++ {
			if uint64(len(a.Queues)) == min(limit, maxList) {
				a.More = true
				break
			}
			a.Queues = append(a.Queues, s.statsOf(s.queues[s.names[i]]))
		}
	}
	return a
}

// Bounds of an answer to KindList.
const (
	maxList    = 100 // queues, or connections
	maxHolding = 16  // queues of one connection
)

// holding lists connections with numbers above after that have something in flight.
func (s *state) holding(after uint64, a *Answer) {
	var conns []*conn
	for _, c := range s.connByNo {
		if c.flight > 0 && uint64(c.no) > after {
			conns = append(conns, c)
		}
	}
	slices.SortFunc(conns, func(x, y *conn) int { return cmp.Compare(x.no, y.no) })
	for _, c := range conns {
		if len(a.Holding) == maxList {
			a.More = true
			return
		}
		a.Next = uint64(c.no)
		h := Holding{Member: c.client.member, Client: c.name, InFlight: uint64(c.flight), Since: c.since}
		for _, k := range c.consumers {
			if i, found := slices.BinarySearch(h.Queues, k.queue.name); !found && len(h.Queues) < maxHolding {
				h.Queues = slices.Insert(h.Queues, i, k.queue.name)
			}
		}
		a.Holding = append(a.Holding, h)
	}
}

// statsOf is q's counters now.
func (s *state) statsOf(q *queue) QueueStats {
	x := q.stats
	x.Name, x.Depth, x.Bytes, x.InFlight, x.Delayed, x.Staged = q.name, q.ready+q.delayed, q.bytes, q.flight, q.delayed, q.staged
	x.Consumers, x.Waiting = uint64(len(q.consumers)), uint64(q.waiting)
	if q.sub != nil {
		x.Topic = q.sub.topic
	}
	for priority := range uint64(10) {
		from := key{uint64(q.no), priority << placeBits}
		if k, m, ok := s.ready.first(from); ok && k.hi == from.hi && k.lo>>placeBits == priority {
			if t := s.m.source.timestamp(m); t > 0 && (x.Oldest == 0 || t < x.Oldest) {
				x.Oldest = t
			}
		}
	}
	return x
}

// timestamp is the JMSTimestamp of m; 0: it has none.
func (s *source) timestamp(m *message) int64 {
	s.open(m)
	defer s.close()
	if f, ok := s.find(headerTimestamp); ok && f.Type == protowire.VarintType {
		return int64(f.Bits)
	}
	return 0
}
