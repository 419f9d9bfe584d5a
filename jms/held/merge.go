package held

import (
	"cmp"
	"io"
	"iter"
	"slices"

	"github.com/activeblaze/blaze/internal/topic"
)

// Restore takes over the state that r has, or begins empty where r is nil. On an error nothing has changed. With chain the
// state that goes belonged to another set of holders: again yields the operations that put its messages again. Each member
// of that set may propose all of them; what is there, or was there lately, is not put twice. again may be used on another
// goroutine.
func (m *Machine) Restore(r io.Reader, chain bool) (again iter.Seq[[]byte], err error) {
	s := newState(m)
	if r != nil {
		if err := s.load(r); err != nil {
			return nil, err
		}
	}
	old := m.state
	m.state = s
	m.notices, m.due = nil, 0
	m.subscribed++
	if chain {
		old.m = &Machine{self: m.self, maxSteps: MaxSteps}
		again = old.remains()
	}
	return again, nil
}

// remains yields what puts the messages of a state that is over into another one: subscriptions first, then the messages of
// each queue in their order. What was in flight is marked as delivered. What was staged is not put: its transactions are
// over.
func (s *state) remains() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, q := range s.subs {
			x := q.sub
			if !x.durable {
				continue
			}
			op := Op{
				Kind: KindMerge, Queue: []byte(q.name), Topic: []byte(x.topic), Name: []byte(x.name), Data: []byte(x.client),
				Selector: []byte(x.text), Flags: FlagDurable,
			}
			if x.noLocal {
				op.Flags |= FlagNoLocal
			}
			if x.shared {
				op.Flags |= FlagShared
			}
			if !yield(op.Append(nil)) {
				return
			}
		}
		for m := range s.remaining() {
			if !yieldMerge(s.queueByNo[m.queue], m, yield) {
				return
			}
		}
		for _, f := range s.feeds {
			i, _ := slices.BinarySearchFunc(s.subs, f.next, func(q *queue, no uint32) int { return cmp.Compare(q.no, no) })
			for ; i < len(s.subs) && s.subs[i].no < f.until; i++ {
				if q := s.subs[i]; s.wants(f, q) && !yieldMerge(q, f.m, yield) {
					return
				}
			}
		}
	}
}

// wants reports whether the publication is for the subscription q.
func (s *state) wants(f *feed, q *queue) bool {
	sub := q.sub
	if !topic.Match(sub.topic, []byte(f.topic)) || sub.noLocal && sub.client != "" && sub.client == f.name {
		return false
	}
	return sub.selector == nil || s.selects(sub.selector, f.m)
}

// remaining yields all messages, queue by queue, in the order of their places.
func (s *state) remaining() iter.Seq[*message] {
	return func(yield func(*message) bool) {
		var others []*message // that do not lie in their places
		add := func(_ key, m *message) bool {
			others = append(others, m)
			return true
		}
		s.flight.from(key{}, add)
		s.delayed.from(key{}, add)
		slices.SortFunc(others, func(a, b *message) int { return compareKeys(a.readyKey(), b.readyKey()) })
		until := func(k key) bool {
			for len(others) > 0 && others[0].readyKey().less(k) {
				if !yield(others[0]) {
					return false
				}
				others = others[1:]
			}
			return true
		}
		done := true
		s.ready.from(key{}, func(k key, m *message) bool {
			done = until(k) && yield(m)
			return done
		})
		if done {
			until(key{endPlace, endPlace})
		}
	}
}

// yieldMerge yields the operations that put m into q again: one, or one for each piece.
func yieldMerge(q *queue, m *message, yield func([]byte) bool) bool {
	if q == nil || q.dropped || q.sub != nil && !q.sub.durable {
		return true
	}
	op := Op{Kind: KindMerge, Queue: []byte(q.name), HasMessage: true, Message: m.wire()}
	size := m.size()
	if size <= MaxInline {
		op.Message.Data = m.whole()
		return yield(op.Append(nil))
	}
	for at := 0; at < size; at += MaxInline {
		op.After, op.Limit, op.Data = uint64(at), uint64(size), m.cut(uint64(at), MaxInline)
		if !yield(op.Append(nil)) {
			return false
		}
	}
	return true
}

// join is a large message of another set of holders that is on its way.
type join struct {
	m      *message // without data
	size   uint64
	have   uint64
	pieces [][]byte
}

// maxJoins bounds them: of more, the oldest is given up.
const maxJoins = 1_000

// merge puts what another set of holders had, unless it is there or was there lately. No bound of a queue holds it up:
// its senders were told that it is kept.
func (s *state) merge(op *Op) Answer {
	q := s.queues[string(op.Queue)]
	switch {
	case len(op.Queue) == 0:
		return refuse(CodeMalformed)
	case !op.HasMessage:
		return s.mergeSubscription(op, q)
	case q == nil && op.Queue[0] == 0:
		return refuse(CodeNoSubscription)
	case q == nil:
		q = s.newQueue(string(op.Queue))
	}
	w := &op.Message
	m, code := s.incoming(nil, op)
	if code != CodeOK {
		return refuse(code)
	}
	m.queue, m.count = q.no, w.Count
	if len(w.Queue) > 0 || w.Reason != ReasonNone {
		m = m.copyWith(func(x *more) { x.origin, x.reason = string(w.Queue), w.Reason })
	}
	if s.known(m.idKey()) {
		return Answer{}
	}
	if op.Limit > 0 {
		if m = s.join(m, op); m == nil {
			return Answer{}
		}
	}
	id := m.idKey()
	s.enter(q, m)
	s.merged[id] = struct{}{}
	s.mergedOrder.put(key{uint64(s.now), m.number}, id)
	return Answer{Value: 1}
}

// join keeps a piece of m, and returns m once it is whole. Pieces come in order, some of them several times.
func (s *state) join(m *message, op *Op) *message {
	i := slices.IndexFunc(s.joins, func(j *join) bool { return j.m.idKey() == m.idKey() })
	if i < 0 {
		if op.After != 0 || op.Limit > MaxStagedBytes {
			return nil
		}
		if len(s.joins) >= maxJoins {
			s.joins = slices.Delete(s.joins, 0, 1)
		}
		i = len(s.joins)
		s.joins = append(s.joins, &join{m: m, size: op.Limit})
	}
	j := s.joins[i]
	if op.After != j.have || j.have+uint64(len(op.Data)) > j.size || len(op.Data) == 0 {
		return nil
	}
	j.pieces = append(j.pieces, slices.Clone(op.Data))
	if j.have += uint64(len(op.Data)); j.have < j.size {
		return nil
	}
	s.joins = slices.Delete(s.joins, i, i+1)
	whole := j.m.copyWith(func(x *more) { x.rest, x.size = j.pieces[1:], int(j.size) })
	whole.data = j.pieces[0]
	return whole
}

func (s *state) mergeSubscription(op *Op, q *queue) Answer {
	if q != nil {
		return Answer{}
	}
	sel, err := parseSelector(op.Selector)
	if err != nil || op.Flags&FlagDurable == 0 || string(op.Queue) != subscriptionKey(op.Data, op.Name, true) ||
		topic.ValidatePattern(string(op.Topic)) != nil {
		return refuse(CodeMalformed)
	}
	q = s.newQueue(string(op.Queue))
	q.sub = &subscription{
		client: string(op.Data), name: string(op.Name), topic: string(op.Topic), selector: sel, text: string(op.Selector),
		noLocal: op.Flags&FlagNoLocal != 0, durable: true, shared: op.Flags&FlagShared != 0,
	}
	s.subs = append(s.subs, q)
	s.m.subscribed++
	return Answer{}
}
