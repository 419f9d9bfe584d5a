package blaze

import (
	"context"
	"fmt"

	"github.com/activeblaze/blaze/internal/intake"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/internal/run"
	"github.com/activeblaze/blaze/wire"
)

// Enqueue hands m to exactly one of the consumers of a queue, of this member or of others, and returns nil once
// that consumer's handler has returned nil. Where the consumer leaves or fails first, or its handler returns an
// error, another one gets m, marked Redelivered: a new one where there is one. A consumer that is slow keeps what it
// has. With no consumer Enqueue waits for one. The sender holds the message meanwhile: it is lost when the sender is.
//
// The messages of one sender are handed out in the order of its calls, each to the consumer with the least to do.
//
// When ctx ends first, the error wraps ctx's, and ErrNoConsumer too if nobody took from the queue at that moment or
// all had failed on m; it is open whether a handler that has begun finishes. The other errors: ErrTopic, the name is
// empty, longer than 255 bytes or not UTF-8; ErrArgument, it begins with "blaze.", or m is nil; ErrTooLarge, ErrState,
// ErrClosed and, in an Inline handler, ErrBackPressure as for SendInbox.
func (g *GroupChannel) Enqueue(ctx context.Context, queue string, m *Message) error {
	if err := checkName("queue", queue); err != nil {
		return err
	}
	w := what{kind: member.CallEnqueue, name: queue}
	st, c, err := g.callWith(ctx, w, m)
	if err != nil {
		return err
	}
	return g.finish(ctx, st, c, w)
}

// enqueue is Enqueue in two steps: when it returns, m has its place among this member's. finish waits for the end.
func (g *GroupChannel) enqueue(ctx context.Context, queue string, m *Message) (finish func(context.Context) error, err error) {
	if err := checkName("queue", queue); err != nil {
		return nil, err
	}
	w := what{kind: member.CallEnqueue, name: queue}
	st, c, err := g.callWith(ctx, w, m)
	if err != nil {
		return nil, err
	}
	if err := g.checkSize(w, len(c.Payload)); err != nil {
		st.Free(c)
		return nil, err
	}
	if err := st.Begin(ctx, c, false); err != nil {
		return nil, callError(w, nil, err)
	}
	return func(ctx context.Context) error {
		err := g.await(ctx, st, c, w, false)
		if err == nil {
			st.Free(c)
		}
		return err
	}, nil
}

// RequestQueue is Enqueue of a request: it returns the reply of the consumer that m was handed to. If its handler
// returns nil without a reply, the error is ErrNoReply. A reply is final: an error that the handler returns after it
// changes nothing.
func (g *GroupChannel) RequestQueue(ctx context.Context, queue string, m *Message) (*Message, error) {
	if err := checkName("queue", queue); err != nil {
		return nil, err
	}
	return g.request(ctx, what{kind: member.CallRequestQueue, name: queue}, m)
}

// Queues are the names of the queues that members consume from, this one included, in ascending order. While the
// channel is not started there are none.
func (g *GroupChannel) Queues() []string {
	return g.group.handlers.Consumed()
}

// ConsumeOption is an option of Consume.
type ConsumeOption func(*consumeOptions)

type consumeOptions struct{ exclusive bool }

// Exclusive lets one consumer at a time have the queue; another takes over when it goes: the one that has been
// waiting for the longest. Consumers of the queue without this option stand by too. A new one takes nothing for
// about a FailureTimeout, until all members have its record, so that two that begin at a time are not both active.
//
// While members disagree about who is here, after a false report of a failure and until it is mended, two may be
// active. What must never overlap needs a lock with a fencing token (ClusterChannel).
func Exclusive() ConsumeOption { return func(o *consumeOptions) { o.exclusive = true } }

// Consume takes part in consuming a queue: h is called with messages that were enqueued, one at a time, on a
// goroutine of its own. Several Consume calls, of one member or of many, share the queue. h owns the message that it
// gets. If h returns nil, the message is done with; after an error another consumer gets it, or this one again after
// a pause. Message.Redelivered reports whether it may have been begun before. Requests arrive here too: see Reply.
//
// Close waits until a handler that runs has returned, unless a handler calls it; what it has not begun goes back to
// its senders. So it is in Stop, at most for Config.Linger. Consume works in every state, and the consumer outlives Stop and Shutdown.
//
// The errors: ErrTopic, the name is empty, longer than 255 bytes or not UTF-8; ErrArgument, it begins with "blaze.",
// or h or an option is nil; ErrTooLarge, this member consumes from 4,096 queues already, or this queue has 1,024
// consumers in it.
func (g *GroupChannel) Consume(queue string, h func(*Message) error, opts ...ConsumeOption) (*Subscription, error) {
	if err := checkName("queue", queue); err != nil {
		return nil, err
	}
	if h == nil {
		return nil, fmt.Errorf("%w: Consume %q: the handler is nil", ErrArgument, queue)
	}
	var o consumeOptions
	for _, opt := range opts {
		if opt == nil {
			return nil, fmt.Errorf("%w: Consume %q: an option is nil", ErrArgument, queue)
		}
		opt(&o)
	}
	s := &Subscription{c: g.Channel, pattern: queue, done: make(chan struct{})}
	k := &consumer{s: s, h: h}
	var err error
	switch s.consumer, err = g.group.handlers.Consume(queue, intake.NewWorker(queue, intake.Labels{Channel: g.cfg.Load().Name, Subscription: queue}, k.take, k.handle), o.exclusive); err {
	case nil:
		return s, nil
	case run.ErrConsumers:
		return nil, fmt.Errorf("%w: Consume %q: it has %d consumers in this member", ErrTooLarge, queue, run.MaxConsumers)
	}
	return nil, fmt.Errorf("%w: Consume %q: this member consumes from %d queues, or their names are too long together", ErrTooLarge, queue, wire.MaxConsumes)
}

// consumer calls the handler of a Consume. It belongs to one goroutine.
type consumer struct {
	s      *Subscription
	h      func(*Message) error
	m      *Message // that is being handled; nil: it could not be read
	wanted bool
}

// take reads an item where it lies.
func (k *consumer) take(i *intake.Work) {
	m, err := messageFrom(Kind(i.Kind), i.Payload)
	if k.wanted = i.Wanted; err != nil {
		k.s.c.badMessages.Add(1)
		k.m = nil
		return
	}
	m.setReceived(k.s.pattern, MemberID(i.From), i.Sequence, i.Redelivered)
	if i.Wanted {
		m.asked = &asked{g: k.s.c, start: k.s.c.serial(), from: i.From, call: i.Call}
	}
	k.m = m
}

// handle calls the handler with what take has read.
func (k *consumer) handle() wire.Result {
	m := k.m
	if k.m = nil; m == nil {
		return wire.ResultError
	}
	a := m.asked
	err := k.h(m)
	switch {
	case err != nil:
		return wire.ResultError
	case k.wanted && !a.replied.Load():
		return wire.ResultNoReply
	}
	return wire.ResultHandled
}
