package jms

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/jmsheader"
	"github.com/activeblaze/blaze/jms/held"
)

// held is the message as the holders keep it.
func (o outgoing) held(data []byte) held.Message {
	return held.Message{
		ID: o.id[:], Data: data, Priority: o.priority, Expires: o.expires, Due: o.due, Group: []byte(o.group), GroupSeq: o.groupSeq,
		Persistent: o.persistent,
	}
}

// partBytes is how much of a message one operation has.
const partBytes = 32 << 10

// parts sends what is too large for one operation ahead, and changes op to name it.
func (c *Context) parts(ctx context.Context, l *link, op *held.Op) error {
	data := op.Message.Data
	if len(data) <= partBytes {
		return nil
	}
	if len(data) > held.MaxStagedBytes {
		return fmt.Errorf("%w: a message of %d bytes; a queue takes at most %d", blaze.ErrTooLarge, len(data), held.MaxStagedBytes)
	}
	id, size := l.newID(), uint64(len(data))
	var last *call
	for len(data) > 0 {
		n := min(partBytes, len(data))
		part, err := l.start(ctx, &held.Op{Kind: held.KindPart, After: id, Limit: size, Data: data[:n]})
		if err != nil {
			return err
		}
		data, last = data[n:], part
	}
	if _, err := c.await(ctx, last); err != nil {
		return err
	}
	op.Message.Data, op.Message.Part = nil, id
	return nil
}

// await waits for the answer to an operation; once the context closes, at most for Linger.
func (c *Context) await(ctx context.Context, under *call) (held.Answer, error) {
	select {
	case <-under.done:
	case <-ctx.Done():
	case <-c.closing:
		short, cancel := context.WithTimeout(ctx, c.conn.channel().Config().Linger)
		defer cancel()
		return under.wait(short)
	}
	return under.wait(ctx)
}

// put sends a message to a held queue, or stages it.
func (c *Context) put(ctx context.Context, q *Queue, b *blaze.Message, out outgoing, noWait bool) (func(context.Context) error, error) {
	l, err := c.holders(ctx)
	if err != nil {
		return nil, err
	}
	data, err := b.MarshalBinary()
	if err != nil {
		return nil, err
	}
	op := &held.Op{Kind: held.KindPut, Queue: []byte(q.name), HasMessage: true}
	if c.mode == Transacted {
		op.Kind, op.Session, c.open = held.KindStage, c.id, true
	}
	return c.enterQueue(ctx, l, op, out, data, noWait)
}

// enterQueue sends an operation that has a message, and again when there is room for it.
func (c *Context) enterQueue(ctx context.Context, l *link, op *held.Op, out outgoing, data []byte, noWait bool) (func(context.Context) error, error) {
	begin := func(ctx context.Context) (*call, error) {
		op.Message = out.held(data)
		if !noWait {
			op.Flags |= held.FlagWait
		}
		if err := c.parts(ctx, l, op); err != nil {
			return nil, err
		}
		return l.start(ctx, op)
	}
	room := l.room(string(op.Queue))
	first, err := begin(ctx)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		for now := first; ; {
			a, err := c.await(ctx, now)
			if err == nil || noWait || a.Code != held.CodeQueueFull && a.Code != held.CodeHolderFull {
				return err
			}
			select {
			case <-room:
			case <-c.closing:
				return err
			case <-ctx.Done():
				return fmt.Errorf("%w (%w)", err, ended(ctx, "waiting for room"))
			}
			room = l.room(string(op.Queue))
			if now, err = begin(ctx); err != nil {
				return err
			}
		}
	}, nil
}

func topicName(d Destination) (string, bool) {
	switch d := d.(type) {
	case *Topic:
		return d.name, true
	case *TemporaryTopic:
		return d.name, true
	}
	return "", false
}

// heldBefore returns the link where subscriptions may be held: where this connection has one, or there is a holder.
func (c *Context) heldBefore(ctx context.Context) (*link, error) {
	if l := c.conn.linked(); l != nil {
		return l, nil
	}
	if there, err := c.holderThere(ctx); err != nil || !there {
		return nil, err
	}
	return c.holders(ctx)
}

// findBeats is how many heartbeats a member that has just started waits for holders to be found.
const findBeats = 5

// holderThere reports whether there is a holder. A member that has just started does not know the others yet, and waits.
func (c *Context) holderThere(ctx context.Context) (bool, error) {
	ch := c.conn.ch
	known := ch.began.Add(findBeats * ch.g.Config().HeartbeatInterval)
	for len(ch.holders()) == 0 {
		left := time.Until(known)
		if left <= 0 {
			return false, nil
		}
		select {
		case <-time.After(min(left, time.Millisecond)):
		case <-c.closing:
			return false, errContextClosed
		case <-ctx.Done():
			return false, ended(ctx, "looking for holders of subscriptions")
		}
	}
	return true, nil
}

// stageTopic has the holders keep a message of a transaction for the subscriptions of its topic.
func (c *Context) stageTopic(ctx context.Context, name string, b *blaze.Message, out outgoing) (kept bool, err error) {
	l, err := c.heldBefore(ctx)
	if err != nil || l == nil {
		return false, err
	}
	data, err := b.MarshalBinary()
	if err != nil {
		return false, err
	}
	if out.id == (jmsheader.ID{}) {
		out.id = jmsheader.MakeID(c.conn.channel().ID(), c.conn.ch.ids.Add(1))
	}
	op := &held.Op{Kind: held.KindStage, Session: c.id, Topic: []byte(name), HasMessage: true, Message: out.held(data)}
	if err := c.parts(ctx, l, op); err != nil {
		return false, err
	}
	c.open = true
	stage, err := l.start(ctx, op)
	if err == nil {
		_, err = c.await(ctx, stage)
	}
	return err == nil, err
}

// publish broadcasts a message. A persistent one reaches subscriptions that are held first.
func (c *Context) publish(ctx context.Context, name string, b *blaze.Message, out outgoing) error {
	if out.persistent && !out.kept {
		l, err := c.heldBefore(ctx)
		if err != nil {
			return err
		}
		if l != nil {
			data, err := b.MarshalBinary()
			if err != nil {
				return err
			}
			if out.id == (jmsheader.ID{}) {
				out.id = jmsheader.MakeID(c.conn.channel().ID(), c.conn.ch.ids.Add(1))
			}
			op := &held.Op{Kind: held.KindPublish, Topic: []byte(name), HasMessage: true}
			finish, err := c.enterQueue(ctx, l, op, out, data, false)
			if err == nil {
				err = finish(ctx)
			}
			if err != nil {
				return err
			}
		}
	}
	return c.conn.channel().Broadcast(ctx, name, b)
}

// heldSource is a consumer of a queue or subscription at the holders.
type heldSource struct {
	k        *Consumer
	l        *link
	id       uint64
	from     Destination // of what it receives
	prefetch int

	mu       sync.Mutex     // the link's may be held around it
	buf      []held.Message // that have arrived: whoever receives one decodes it
	lazy     []*Message     // DupsOKAcknowledge: to be acknowledged, together
	done     []uint64       // AutoAcknowledge: the same, by their numbers
	settling bool           // AutoAcknowledge: an acknowledgement is under way
	credit   int            // messages that the holders may still send
	stopped  bool           // a Stop was sent: what came before it may still be on its way
	refused  error          // the holders have given it nothing, and will not
	closed   bool
}

// consumeHeld begins to consume from a held queue.
func (c *Context) consumeHeld(k *Consumer, q *Queue) (*Consumer, error) {
	op := &held.Op{Kind: held.KindConsume, Queue: []byte(q.name), Selector: []byte(k.options.text)}
	if q.exclusive {
		op.Flags |= held.FlagExclusive
	}
	return c.beginHeld(k, op, q)
}

// beginHeld begins a consumer by an operation.
func (c *Context) beginHeld(k *Consumer, op *held.Op, from Destination) (*Consumer, error) {
	ctx, cancel := c.within(c.conn.f.o.wait + becomeWait)
	defer cancel()
	l, err := c.holders(ctx)
	if err != nil {
		return nil, err
	}
	s := &heldSource{k: k, l: l, id: l.newID(), from: from, prefetch: c.conn.f.o.prefetch}
	op.Consumer, op.Session = s.id, c.id
	l.mu.Lock()
	l.consumers[s.id] = s
	l.mu.Unlock()
	if _, err := l.do(ctx, op); err != nil {
		s.forget()
		return nil, err
	}
	return k.begin(s, nil)
}

func (s *heldSource) forget() {
	s.l.mu.Lock()
	delete(s.l.consumers, s.id)
	s.l.mu.Unlock()
}

// arrive takes a message that the holders have given to this consumer. It reports whether there is anybody to have it. mu
// of the link is held.
func (s *heldSource) arrive(w *held.Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.credit = max(0, s.credit-1)
	s.buf = append(s.buf, *w)
	s.k.waker.wake()
	return true
}

// readHeld is a message of the holders. Where its data is not all there, it is to be fetched.
func readHeld(w *held.Message) *Message {
	m := &Message{received: true, assigned: true, header: jmsheader.New(), size: w.Size}
	if len(w.Data) > 0 || w.Size == 0 {
		m = readData(w.Data)
	}
	m.header.Count = max(w.Count, 1) - 1
	if w.Reason != held.ReasonNone {
		m.header.Expiration = 0 // a dead letter stays
		m.header.Set("JMS_Blaze_Queue", jmsheader.StringValue(held.Label(string(w.Queue))))
		m.header.Set("JMS_Blaze_Reason", jmsheader.StringValue(w.Reason.String()))
	}
	return m
}

// readData decodes a message. One that nobody can decode has no body.
func readData(data []byte) *Message {
	var b blaze.Message
	err := b.UnmarshalBinary(data)
	if err == nil {
		var m *Message
		if m, err = decode(&b); err == nil {
			return m
		}
	}
	return &Message{received: true, assigned: true, header: jmsheader.New()}
}

// fetch gets the data of a large message.
func (s *heldSource) fetch(m *Message) error {
	ctx, cancel := s.k.c.within(becomeWait)
	defer cancel()
	data, err := s.l.fetch(ctx, &held.Op{Kind: held.KindFetch, Session: s.k.c.id, Numbers: []uint64{m.number}}, m.size)
	if err != nil {
		return err
	}
	m.fill(data)
	return nil
}

// fill gives a message that came without its data what it has. The holders' own count, and what they say of a dead letter,
// stay.
func (m *Message) fill(data []byte) {
	read := readData(data)
	count, more := m.header.Count, m.header.Properties
	m.header, m.body, m.size = read.header, read.body, 0
	m.header.Count = count
	for _, p := range more { // those of a dead letter
		m.header.Expiration = 0
		m.header.Set(p.Name, p.Value)
	}
}

// fetch reads the data of a message by pieces.
func (l *link) fetch(ctx context.Context, op *held.Op, size uint64) ([]byte, error) {
	var data []byte
	for uint64(len(data)) < size {
		op.After = uint64(len(data))
		a, err := l.read(ctx, op)
		if err != nil {
			return nil, err
		}
		if a.Code != held.CodeOK || len(a.Messages) != 1 || len(a.Messages[0].Data) == 0 {
			return nil, codeError(a, "reading a large message")
		}
		data = append(data, a.Messages[0].Data...)
	}
	return data, nil
}

func (s *heldSource) poll() *Message {
	s.mu.Lock()
	if len(s.buf) == 0 {
		s.mu.Unlock()
		return nil
	}
	w := s.buf[0]
	s.buf[0] = held.Message{}
	s.buf = s.buf[1:]
	s.mu.Unlock()
	m := readHeld(&w)
	m.source, m.number, m.destination = s, w.Number, s.from
	if m.size > 0 {
		if err := s.fetch(m); err != nil {
			s.k.c.conn.exception(err)
			s.l.background(&held.Op{Kind: held.KindRelease, Session: s.k.c.id, Numbers: []uint64{m.number}})
			return nil
		}
	}
	return m
}

func (s *heldSource) want(many bool) {
	s.mu.Lock()
	n := 1
	if many {
		if n = s.prefetch - len(s.buf); s.credit > s.prefetch/2 {
			n = 0
		}
	}
	n -= s.credit
	if n <= 0 || s.closed || !many && len(s.buf) > 0 {
		s.mu.Unlock()
		return
	}
	s.credit += n
	s.mu.Unlock()
	c := &call{then: func(c *call) {
		if c.err == nil && c.answer.Code != held.CodeOK && c.answer.Code != held.CodeLater {
			s.mu.Lock()
			s.refused = codeError(c.answer, "consuming from "+s.from.String())
			s.mu.Unlock()
			s.k.waker.wake()
		}
	}}
	op := &held.Op{Kind: held.KindTake, Consumer: s.id, Limit: uint64(n), Flags: held.FlagWait}
	if err := s.l.submit(s.l.life, c, func() *held.Op { return op }); err != nil {
		s.k.waker.wake() // the link is over: see err
	}
}

// err is why nothing comes any more; nil: it may.
func (s *heldSource) err() error {
	if s.l.life.Err() != nil {
		return s.l.why()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

func (s *heldSource) ask(ctx context.Context) error {
	s.mu.Lock()
	late := s.stopped || s.credit > 0
	s.credit, s.stopped = 1, false
	s.mu.Unlock()
	c := &call{over: make(chan struct{})}
	err := s.l.submit(ctx, c, func() *held.Op { return &held.Op{Kind: held.KindTake, Consumer: s.id, Limit: 1} })
	if err != nil {
		return err
	}
	a, err := c.wait(ctx) // what came with it has arrived before
	if err == nil && late && !s.has() {
		// What was given to this consumer when it waited may be on its way: a holder knows of it.
		err = s.l.look(ctx)
	}
	for err == nil && a.Code == held.CodeLater && !s.has() {
		select {
		case <-c.over:
			a.Code = held.CodeOK
		case <-s.k.waker.c:
		case <-ctx.Done():
			err = ended(ctx, "looking for a message")
		case <-s.l.life.Done():
			return s.l.why()
		}
	}
	s.l.forgetLater(c)
	if err != nil {
		s.stop() // the holders still look
		return err
	}
	s.mu.Lock()
	s.credit = 0
	s.mu.Unlock()
	return nil
}

// has reports whether a message is here.
func (s *heldSource) has() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.buf) > 0
}

func (s *heldSource) look() { s.l.lookSoon() }

func (s *heldSource) stop() {
	s.mu.Lock()
	waited := s.credit > 0
	s.credit = 0
	s.stopped = s.stopped || waited
	s.mu.Unlock()
	if waited {
		s.l.background(&held.Op{Kind: held.KindStop, Consumer: s.id})
	}
}

func (s *heldSource) expire(m *Message) { _ = s.settle([]*Message{m}) }

// settle acknowledges. In ClientAcknowledge it waits for the holders; else what it sends is on its way, in its turn.
func (s *heldSource) settle(ms []*Message) error {
	switch s.k.c.mode {
	case DupsOKAcknowledge:
		return s.settleLazily(ms)
	case ClientAcknowledge:
		return s.tell(held.KindSettle, ms, true)
	}
	return s.settleSoon(ms)
}

// settleSoon acknowledges at once, or together with others when the acknowledgement before has been answered.
func (s *heldSource) settleSoon(ms []*Message) error {
	s.mu.Lock()
	for _, m := range ms {
		s.done = append(s.done, m.number)
	}
	if s.settling {
		s.mu.Unlock()
		return nil
	}
	s.settling = true
	s.mu.Unlock()
	return s.l.submit(s.l.life, &call{then: s.settled}, s.settleDone)
}

// settleDone acknowledges what is done, as far as one operation can. mu of the link is held.
func (s *heldSource) settleDone() *held.Op {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.done), held.MaxNumbers)
	op := &held.Op{Kind: held.KindSettle, Session: s.k.c.id, Numbers: slices.Clone(s.done[:n])}
	s.done = s.done[:copy(s.done, s.done[n:])]
	return op
}

// settled goes on with what was done meanwhile. mu of the link is held.
func (s *heldSource) settled(*call) {
	s.mu.Lock()
	s.settling = len(s.done) > 0
	more := s.settling
	s.mu.Unlock()
	if more {
		s.l.submitNow(&call{then: s.settled}, s.settleDone())
	}
}

// What DupsOKAcknowledge collects before it acknowledges.
const (
	lazyMessages = 64
	lazyTime     = 100 * time.Millisecond
)

// settleLazily acknowledges several messages together.
func (s *heldSource) settleLazily(ms []*Message) error {
	s.mu.Lock()
	s.lazy = append(s.lazy, ms...)
	n := len(s.lazy)
	if n == len(ms) {
		time.AfterFunc(lazyTime, func() { _ = s.settleRest() })
	}
	s.mu.Unlock()
	if n < lazyMessages {
		return nil
	}
	return s.settleRest()
}

func (s *heldSource) settleRest() error {
	s.mu.Lock()
	ms := s.lazy
	s.lazy = nil
	for len(s.done) > 0 {
		s.mu.Unlock()
		if err := s.l.submit(s.l.life, &call{}, s.settleDone); err != nil {
			return err
		}
		s.mu.Lock()
	}
	s.mu.Unlock()
	return s.tell(held.KindSettle, ms, false)
}

func (s *heldSource) release(ms []*Message) error { return s.tell(held.KindRelease, ms, false) }

func (s *heldSource) tell(kind held.Kind, ms []*Message, wait bool) error {
	last, err := s.begin(kind, ms)
	if err != nil || last == nil || !wait {
		return err
	}
	_, err = last.wait(s.l.life)
	return err
}

// begin settles or releases messages. last is the last operation of it; nil: there was none.
func (s *heldSource) begin(kind held.Kind, ms []*Message) (last *call, err error) {
	for len(ms) > 0 {
		n := min(len(ms), held.MaxNumbers)
		if last, err = s.l.start(s.l.life, &held.Op{Kind: kind, Session: s.k.c.id, Numbers: numbersOf(ms[:n])}); err != nil {
			return nil, err
		}
		ms = ms[n:]
	}
	return last, nil
}

func numbersOf(ms []*Message) []uint64 {
	all := make([]uint64, len(ms))
	for i, m := range ms {
		all[i] = m.number
	}
	return all
}

// unseen takes out what has arrived and was not received, and adds its numbers, as far as one operation can have them.
func (s *heldSource) unseen(numbers []uint64) (all []uint64, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.buf), held.MaxNumbers-len(numbers))
	for i := range s.buf[:n] {
		numbers = append(numbers, s.buf[i].Number)
	}
	s.buf = s.buf[n:]
	return numbers, len(s.buf) > 0
}

func (s *heldSource) close() error {
	if err := s.settleRest(); err != nil && s.l.life.Err() == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.l.life, s.k.c.conn.channel().Config().Linger)
	defer cancel()
	for more := true; more; {
		err := s.l.submit(ctx, &call{}, func() *held.Op {
			op := &held.Op{Kind: held.KindRelease, Session: s.k.c.id, Flags: held.FlagUnseen}
			if op.Numbers, more = s.l.unseen(s.k.c.id, s); !more {
				op.Kind, op.Consumer, op.Flags = held.KindCancel, s.id, 0
				s.mu.Lock()
				s.closed = true
				s.mu.Unlock()
				delete(s.l.consumers, s.id)
			}
			return op
		})
		switch {
		case s.l.life.Err() != nil:
			s.forget()
			return nil // the holders have ended it
		case err != nil:
			s.forget()
			return err
		}
	}
	return nil
}

// Commit makes what a transacted session has sent and received definite, all of it or nothing: a failure of holders, or
// of this process, changes nothing about that. Topics are published after it. A session that has done nothing commits
// nothing.
//
// The errors: ErrIllegalState, the session is not transacted; ErrRolledBack, nothing of it happened, and what was received
// is delivered again; ErrInDoubt, the outcome is not known: ctx or the connection ended. Whether what was published on
// topics after a Commit reaches its consumers is as for Send. It waits for SendAsync and its completions; where ctx ends
// meanwhile nothing has been committed, and by a completion it is ErrIllegalState.
func (c *Context) Commit(ctx context.Context) error {
	if err := c.enter(); err != nil {
		return err
	}
	defer c.guard.leave()
	if c.mode != Transacted {
		return fmt.Errorf("%w: Commit in mode %v", ErrIllegalState, c.mode)
	}
	if err := c.async.wait(ctx, c, "Commit"); err != nil {
		return err
	}
	staged, unacked, open := c.staged, c.unacked, c.open
	c.staged, c.unacked, c.open = nil, nil, false
	var numbers []uint64
	var others []*Message
	for _, m := range unacked {
		if _, ok := m.source.(*heldSource); ok {
			numbers = append(numbers, m.number)
		} else {
			others = append(others, m)
		}
	}
	if open || len(numbers) > 0 {
		if err := c.commitHeld(ctx, numbers); err != nil {
			if !errors.Is(err, ErrInDoubt) {
				err = errors.Join(err, c.rollbackHeld())
			}
			return errors.Join(err, c.release(others))
		}
	}
	if err := c.settle(others); err != nil {
		return err
	}
	for _, s := range staged {
		if _, err := c.send(ctx, s.d, s.m, s.out); err != nil {
			return fmt.Errorf("jms: after the commit: %v: %w", s.d, err)
		}
	}
	return nil
}

// commitHeld commits at the holders.
func (c *Context) commitHeld(ctx context.Context, numbers []uint64) error {
	l := c.conn.linked()
	if l == nil {
		return errConnectionOver
	}
	for len(numbers) > held.MaxNumbers {
		op := &held.Op{Kind: held.KindStage, Session: c.id, Numbers: numbers[:held.MaxNumbers]}
		stage, err := l.start(ctx, op)
		if err == nil {
			_, err = c.await(ctx, stage)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrRolledBack, err)
		}
		numbers = numbers[held.MaxNumbers:]
	}
	commit, err := l.start(ctx, &held.Op{Kind: held.KindCommit, Session: c.id, Numbers: numbers})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRolledBack, err)
	}
	a, err := c.await(ctx, commit)
	switch {
	case err == nil:
		return nil
	case a.Code != held.CodeOK, commit.lost():
		return fmt.Errorf("%w: %w", ErrRolledBack, err)
	}
	return fmt.Errorf("%w: %w", ErrInDoubt, err)
}

// Rollback drops what a transacted session has sent since its last Commit, and has what it received delivered again, marked
// redelivered. In other sessions it is ErrIllegalState. It waits for SendAsync and its completions, as Commit does.
func (c *Context) Rollback(ctx context.Context) error {
	if err := c.enter(); err != nil {
		return err
	}
	defer c.guard.leave()
	if c.mode != Transacted {
		return fmt.Errorf("%w: Rollback in mode %v", ErrIllegalState, c.mode)
	}
	if err := ctx.Err(); err != nil {
		return ended(ctx, "Rollback")
	}
	if err := c.async.wait(ctx, c, "Rollback"); err != nil {
		return err
	}
	return c.giveBack()
}

// giveBack ends what the session has open: a transaction, or messages that were not acknowledged.
func (c *Context) giveBack() error {
	ms := c.unacked
	c.unacked, c.staged = nil, nil
	if c.mode != Transacted {
		return c.release(ms)
	}
	var others []*Message
	for _, m := range ms {
		if _, ok := m.source.(*heldSource); ok {
			c.open = true
		} else {
			others = append(others, m)
		}
	}
	err := c.release(others)
	if c.open {
		c.open = false
		err = errors.Join(err, c.rollbackHeld())
	}
	return err
}

// rollbackHeld rolls back at the holders. What has arrived and was not received goes back as if it had not; what is on its
// way then is void, and comes again.
func (c *Context) rollbackHeld() error {
	l := c.conn.linked()
	if l == nil || l.life.Err() != nil {
		return nil // the end of a connection rolls back
	}
	var sources []*heldSource
	c.mu.Lock()
	for _, k := range c.consumers {
		if s, ok := k.src.(*heldSource); ok {
			sources = append(sources, s)
		}
	}
	c.mu.Unlock()
	for _, s := range sources {
		s.stop() // what was given to it before the rollback would count as what it waits for
	}
	ctx, cancel := context.WithTimeout(l.life, becomeWait)
	defer cancel()
	for {
		var more bool
		rollback := &call{}
		err := l.submit(ctx, rollback, func() *held.Op {
			op := &held.Op{Kind: held.KindRelease, Session: c.id, Flags: held.FlagUnseen}
			if op.Numbers, more = l.unseen(c.id, nil); !more {
				op.Kind, op.Flags = held.KindRollback, 0
			}
			return op
		})
		if err != nil {
			return err
		}
		if !more {
			_, err := rollback.wait(ctx)
			c.session.wake() // listeners wait anew
			return err
		}
	}
}
