package jms

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/topic"
)

// source is where a consumer's messages come from. All but release after a listener's end is called under the guard of
// the consumer's context.
type source interface {
	// poll returns a message that is here; nil: there is none now.
	poll() *Message
	// want says that a message is waited for, one or (many) as many as are on their way at a time. What comes wakes the
	// consumer.
	want(many bool)
	// ask returns once poll has all that there was when it was called: ReceiveNoWait. ctx bounds it.
	ask(ctx context.Context) error
	// look asks for what was given to the consumer and did not arrive.
	look()
	// err is why nothing will come any more; nil: it may.
	err() error
	// stop says that nothing is waited for any longer. poll may still have something.
	stop()
	// expire takes back a message that poll returned and that has expired.
	expire(m *Message)
	// settle acknowledges messages, release gives them back to be delivered again. They may have come before close.
	settle(ms []*Message) error
	release(ms []*Message) error
	// close ends the source. What poll has not returned goes where it belongs.
	close() error
}

// topicSource is a subscription to a topic.
type topicSource struct {
	k      *Consumer
	in     *local
	sub    *blaze.Subscription
	cancel context.CancelFunc // of a handler that waits for room
}

// subscribe begins to consume from a topic.
func subscribe(k *Consumer, pattern string) (*topicSource, error) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &topicSource{k: k, in: newLocal(k.c.conn.f.o.prefetch, false), cancel: cancel}
	_, exact := k.d.(*Topic)
	exact = exact && topic.Validate(pattern) == nil
	var err error
	s.sub, err = k.c.conn.channel().Subscribe(pattern, func(b *blaze.Message) {
		m, err := decode(b)
		if err != nil {
			k.c.conn.ch.bad.Add(1)
			return
		}
		if exact {
			m.destination = k.d
		} else {
			m.destination = &Topic{b.Topic()}
		}
		if k.noLocal && m.header.Connection == k.c.conn.id || !k.matches(m) {
			return
		}
		m.source = s
		s.in.put(ctx, m)
	}, blaze.OnLoss(func(l blaze.Loss) { k.c.conn.exception(&LossError{pattern, l}) }))
	if err != nil {
		cancel()
		return nil, err
	}
	s.in.attach(&k.waker)
	return s, nil
}

func (s *topicSource) poll() *Message              { return s.in.take(nil) }
func (s *topicSource) look()                       {}
func (s *topicSource) err() error                  { return nil }
func (s *topicSource) want(bool)                   {}
func (s *topicSource) ask(context.Context) error   { return nil }
func (s *topicSource) stop()                       {}
func (s *topicSource) expire(*Message)             {}
func (s *topicSource) settle([]*Message) error     { return nil }
func (s *topicSource) release(ms []*Message) error { s.in.back(ms); return nil }
func (s *topicSource) close() error {
	s.cancel()
	s.in.close()
	return s.sub.Close()
}

// temporary is a temporary queue where it lives: an in-box of this member.
type temporary struct {
	n      *connection
	queue  *TemporaryQueue
	in     *local
	sub    *blaze.Subscription
	cancel context.CancelFunc
	users  atomic.Int32 // consumers
}

// temporaryDepth is how many messages a temporary queue has before senders wait.
const temporaryDepth = 4096

// TemporaryQueue makes a queue of this connection's own, which ends with the context. A message to it goes to this member
// directly, one hop, and is kept here: no holder has it.
func (c *Context) TemporaryQueue() (*TemporaryQueue, error) {
	if c.isClosing() {
		return nil, errContextClosed
	}
	t, err := c.conn.temporary()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		_ = t.close()
		return nil, errContextClosed
	}
	c.temps = append(c.temps, t)
	c.mu.Unlock()
	return t.queue, nil
}

func (n *connection) temporary() (*temporary, error) {
	ctx, cancel := context.WithCancel(context.Background())
	g := n.channel()
	t := &temporary{n: n, in: newLocal(temporaryDepth, true), cancel: cancel}
	t.queue = &TemporaryQueue{member: g.ID(), number: n.ch.temps.Add(1), of: t}
	var err error
	t.sub, err = g.HandleInbox(t.queue.inbox(), func(b *blaze.Message) {
		m, err := decode(b)
		if err != nil {
			n.ch.bad.Add(1)
			return
		}
		m.destination = t.queue
		t.in.put(ctx, m)
	})
	if err != nil {
		cancel()
		return nil, err
	}
	return t, nil
}

// forgetTemporary takes t from the context that made it, which may be another one of the connection.
func (n *connection) forgetTemporary(t *temporary) {
	n.mu.Lock()
	all := slices.Collect(maps.Keys(n.contexts))
	n.mu.Unlock()
	for _, c := range all {
		c.mu.Lock()
		c.temps = slices.DeleteFunc(c.temps, func(o *temporary) bool { return o == t })
		c.mu.Unlock()
	}
}

func (t *temporary) close() error {
	t.cancel()
	t.in.close()
	return t.sub.Close()
}

// DeleteTemporaryQueue ends a temporary queue before its context does. With a consumer open it is ErrIllegalState.
func (c *Context) DeleteTemporaryQueue(q *TemporaryQueue) error {
	if q == nil || q.of == nil || q.of.n != c.conn {
		return fmt.Errorf("%w: DeleteTemporaryQueue: not one of this connection", ErrInvalidDestination)
	}
	if q.of.users.Load() > 0 {
		return fmt.Errorf("%w: DeleteTemporaryQueue: it has a consumer", ErrIllegalState)
	}
	c.conn.forgetTemporary(q.of)
	return q.of.close()
}

// TemporaryTopic makes a topic of this connection's own.
func (c *Context) TemporaryTopic() (*TemporaryTopic, error) {
	if c.isClosing() {
		return nil, errContextClosed
	}
	n := c.conn
	return &TemporaryTopic{Topic{fmt.Sprintf("%s%v.%d", temporaryTopics, n.channel().ID(), n.ch.temps.Add(1))}, n}, nil
}

// temporarySource is a consumer's share of a temporary queue.
type temporarySource struct {
	k *Consumer
	t *temporary
}

func newTemporarySource(k *Consumer, t *temporary) *temporarySource {
	t.users.Add(1)
	s := &temporarySource{k, t}
	t.in.attach(&k.waker)
	return s
}

func (s *temporarySource) poll() *Message {
	m := s.t.in.take(s.k.wants)
	if m != nil {
		m.source = s
	}
	return m
}

func (s *temporarySource) look()                       {}
func (s *temporarySource) err() error                  { return nil }
func (s *temporarySource) want(bool)                   {}
func (s *temporarySource) ask(context.Context) error   { return nil }
func (s *temporarySource) stop()                       {}
func (s *temporarySource) expire(*Message)             {}
func (s *temporarySource) settle([]*Message) error     { return nil }
func (s *temporarySource) release(ms []*Message) error { s.t.in.back(ms); return nil }
func (s *temporarySource) close() error {
	s.t.users.Add(-1)
	s.t.in.detach(&s.k.waker)
	return nil
}

// directSource takes part in consuming a queue whose messages stay with their senders.
type directSource struct {
	k      *Consumer
	in     *local
	sub    *blaze.Subscription
	ctx    context.Context
	cancel context.CancelFunc
}

var errGivenBack = errors.New("jms: given back")

func consumeDirect(k *Consumer, q *Queue) (*directSource, error) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &directSource{k: k, in: newLocal(1, false), ctx: ctx, cancel: cancel}
	var opts []blaze.ConsumeOption
	if q.exclusive {
		opts = append(opts, blaze.Exclusive())
	}
	var err error
	s.sub, err = k.c.conn.channel().Consume(q.name, func(b *blaze.Message) error {
		again := b.Redelivered()
		m, err := decode(b)
		if err != nil {
			k.c.conn.ch.bad.Add(1)
			return nil // nobody else can read it either
		}
		if again {
			m.header.Count = max(m.header.Count, 1)
		}
		m.destination, m.source, m.done = q, s, make(chan error, 1)
		if !s.in.put(ctx, m) {
			return errGivenBack
		}
		select {
		case err := <-m.done:
			return err
		case <-ctx.Done():
			select {
			case err := <-m.done:
				return err
			default:
				return errGivenBack
			}
		}
	}, opts...)
	if err != nil {
		cancel()
		return nil, err
	}
	s.in.attach(&k.waker)
	return s, nil
}

func (s *directSource) poll() *Message            { return s.in.take(nil) }
func (s *directSource) look()                     {}
func (s *directSource) err() error                { return nil }
func (s *directSource) want(bool)                 {}
func (s *directSource) ask(context.Context) error { return nil }
func (s *directSource) stop()                     {}
func (s *directSource) expire(m *Message)         { m.done <- nil }

func (s *directSource) settle(ms []*Message) error { return s.answer(ms, nil) }

// release has this consumer get them again: with their sender they would lose their place.
func (s *directSource) release(ms []*Message) error {
	if !s.in.back(ms) {
		return s.answer(ms, errGivenBack)
	}
	return nil
}

func (s *directSource) answer(ms []*Message, err error) error {
	for _, m := range ms {
		select {
		case m.done <- err:
		default: // it has its outcome
		}
	}
	return nil
}

func (s *directSource) close() error {
	s.cancel()
	for _, m := range s.in.close() {
		m.done <- errGivenBack
	}
	return s.sub.Close()
}

// expired reports whether m has expired by this process's clock.
func (m *Message) expired() bool {
	return m.header.Expiration != 0 && m.header.Expiration <= nowMillis()
}
