package blaze

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/intake"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/internal/run"
)

// SubscribeOption changes how a subscription is served.
type SubscribeOption func(*subscribeOptions)

type subscribeOptions struct {
	inline bool
	onLoss func(Loss)
}

// Inline runs the handler on the engine's own thread: the lowest latency, no queue and no copy.
// While it runs nothing else of the channel moves, so it must not block; it may Offer, Claim
// and Broadcast, and gets ErrBackPressure where another goroutine would wait.
//
// With several engines (xdp:// with queues=N) the handler runs on the thread of whichever engine
// has the sender's streams: for one sender one call at a time and in order, for different senders
// also at the same time, so what handlers share needs a lock or atomics.
func Inline() SubscribeOption { return func(o *subscribeOptions) { o.inline = true } }

// OnLoss calls h with the numbers of messages that will never come, in their place in the stream. It
// runs where the subscription's handler runs.
func OnLoss(h func(Loss)) SubscribeOption { return func(o *subscribeOptions) { o.onLoss = h } }

// Subscription is a handler for the messages of a topic or pattern. It outlives Stop and
// Shutdown of its channel and works again after the next Start.
type Subscription struct {
	c       *Channel
	pattern string
	handler func(*Delivery)
	onLoss  func(Loss)
	queue   *intake.Intake  // nil: Inline
	size    int             // of the queue, messages
	to      member.Consumer // its entry in the table; nil: to no topic

	inbox    group.InboxHandler // of HandleInbox and HandleCalls
	consumer *run.Consumer      // of Consume

	closed   atomic.Bool
	mu       sync.Mutex
	err      error
	done     chan struct{}
	delivery lent // to the handler by its goroutine, or to an Inline one by the first engine

	handled intake.Times  // of an Inline one
	taken   atomic.Uint64 // of an Inline one, in steps of intake.TimedEvery
}

// lent is a Delivery that an Inline handler is lent by one engine, and how many that engine has lent.
type lent struct {
	Delivery
	count uint
}

// Done is closed when the subscription has ended; Err then returns the reason. Under SlowConsumer
// Disconnect OnLoss gets what was queued after that.
func (s *Subscription) Done() <-chan struct{} { return s.done }

// Err is nil while the subscription lives and after Close, else why it ended.
func (s *Subscription) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close ends the subscription. When it returns, the handler does not run and will not run
// again, unless it is the handler that calls Close: that one runs to its end, and so do calls of
// an Inline handler that another engine is just making. A second Close does nothing.
func (s *Subscription) Close() error {
	s.end(nil)
	s.c.forget(s)
	switch {
	case s.consumer != nil:
		s.consumer.Close()
	case s.queue != nil:
		s.queue.Stop()
		if st := s.c.turning(); s.inbox != nil && st != nil && st.InHandler() {
			break // its handler may wait for the engine
		}
		s.queue.Join(nil)
	default:
		s.c.barrier()
	}
	return nil
}

// end makes the subscription take nothing more. Any goroutine may call it; the first wins.
func (s *Subscription) end(err error) {
	if !s.closed.CompareAndSwap(false, true) {
		return
	}
	if s.to != nil {
		s.c.table.Remove(s.to)
	}
	if s.inbox != nil {
		s.c.group.handlers.CloseInbox(s.pattern, s.inbox)
	}
	s.mu.Lock()
	s.err = err
	s.mu.Unlock()
	if s.queue != nil {
		s.queue.End(err != nil)
	}
	close(s.done)
}

// newIntake makes what carries the messages of a subscription to its goroutine.
func (s *Subscription) newIntake(cfg *Config, handle func(*intake.Message)) *intake.Intake {
	s.size = cfg.SubscriptionQueue
	c := intake.Config{
		Size: cfg.SubscriptionQueue, Policy: cfg.SlowConsumer.intake(), Handle: handle, Count: cfg.group,
		Resume: s.c.resume, Full: s.disconnect, Slow: s.slow, Ended: func() { s.c.forget(s) },
		Labels: intake.Labels{Channel: cfg.Name, Subscription: s.pattern},
		Stock:  &s.c.stock, Watch: s.c.watch, Counters: &s.c.intakes,
	}
	if s.onLoss != nil {
		c.Lost = func(l core.Loss) { s.onLoss(lossOf(&l)) }
	}
	return intake.New(c)
}

// handle calls the handler on the subscription's goroutine.
func (s *Subscription) handle(m *intake.Message) {
	s.delivery.Delivery = Delivery{
		Payload: m.Payload, Kind: Kind(m.Kind), Topic: m.Topic, From: MemberID(m.From),
		Sequence: m.Sequence, Received: int64(m.Received),
	}
	s.handler(&s.delivery.Delivery)
}

// disconnect ends a subscription that is full (SlowConsumer Disconnect).
func (s *Subscription) disconnect(waiting int) {
	s.c.disconnected.Add(1)
	s.end(fmt.Errorf("%w: %s was disconnected: its queue of %d messages was full, with %d waiting (Config.SlowConsumer Disconnect)",
		ErrClosed, s.what(), s.size, waiting))
}

// slow logs that the subscription is slow, or that it has recovered.
func (s *Subscription) slow(r intake.Slow) {
	text, level := "blaze: a slow consumer holds up its streams: its queue was full for more than half of the last second", slog.LevelWarn
	switch {
	case r.Recovered:
		text, level = "blaze: a slow consumer has recovered: its queue was not full in the last second", slog.LevelInfo
	case s.c.cfg.Load().SlowConsumer == Drop:
		text = "blaze: a slow consumer misses messages: its queue was full for more than half of the last second"
	}
	s.c.logger().Log(context.Background(), level, text, "subscription", s.label(), "queue", s.size, "waiting", r.Waiting,
		"full_percent", int(100*r.Full+0.5), "taken_per_second", int(r.Taken+0.5))
}

// Subscribe has h called with every message of the topics that match: one at a time and in
// order, on a goroutine of the subscription, or on the engine's thread with Inline. The path
// may hold the wildcards * (one element) and > (at the end: the path itself and all below it);
// a malformed one is ErrTopic. A raw payload arrives as a bytes message. The handler owns the
// message that it gets. Subscribe works in every state.
func (c *Channel) Subscribe(topic string, h func(*Message), opts ...SubscribeOption) (*Subscription, error) {
	if h == nil {
		return nil, fmt.Errorf("%w: Subscribe %q: the handler is nil", ErrArgument, topic)
	}
	return c.SubscribePayload(topic, func(d *Delivery) {
		m, err := messageOf(d)
		if err != nil {
			c.badMessages.Add(1)
			return
		}
		h(m)
	}, opts...)
}

// messageOf makes the Message that a Delivery carries.
func messageOf(d *Delivery) (*Message, error) {
	m := new(Message)
	if d.Kind == KindMessage {
		if err := m.UnmarshalBinary(d.Payload); err != nil {
			return nil, err
		}
	} else {
		m.SetBytes(append([]byte(nil), d.Payload...))
	}
	m.setReceived(d.Topic, d.From, d.Sequence, false)
	return m, nil
}

// SubscribePayload is Subscribe without the Message: h borrows each payload as it was sent, or
// the encoding of a Message that was broadcast. The Delivery and its Payload are valid until h
// returns.
func (c *Channel) SubscribePayload(topic string, h func(*Delivery), opts ...SubscribeOption) (*Subscription, error) {
	if h == nil {
		return nil, fmt.Errorf("%w: SubscribePayload %q: the handler is nil", ErrArgument, topic)
	}
	if err := validatePattern(topic); err != nil {
		return nil, err
	}
	var o subscribeOptions
	for _, opt := range opts {
		if opt == nil {
			return nil, fmt.Errorf("%w: Subscribe %q: an option is nil", ErrArgument, topic)
		}
		opt(&o)
	}
	c.warnOfPattern(topic)
	s := &Subscription{c: c, pattern: topic, handler: h, onLoss: o.onLoss, done: make(chan struct{})}
	if err := c.add(s, o.inline); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("blaze: Subscribe %q: its lane cannot be received: %w", topic, err)
	}
	return s, nil
}

// inline serves a subscription on an engine's thread.
type inline struct {
	*Subscription
	lent *lent // to the handler, by this engine
}

// At implements member.Divided: the handler may run on several engines at the same time.
func (s inline) At(engine int) member.Consumer {
	if engine == 0 {
		return s
	}
	return inline{s.Subscription, new(lent)}
}

func (s inline) Ready(clock.Time) bool { return true }

func (s inline) Deliver(now clock.Time, topic string, d *core.Delivery) {
	if s.closed.Load() {
		return
	}
	s.lent.Delivery = Delivery{
		Payload: d.Payload, Kind: Kind(d.Kind), Topic: topic, From: MemberID(d.From),
		Sequence: d.Sequence, Received: int64(now),
	}
	if s.lent.count++; s.lent.count%intake.TimedEvery == 1 {
		s.timed()
		return
	}
	s.handler(&s.lent.Delivery)
}

// timed calls the handler, and takes its time.
func (s inline) timed() {
	began := engine.Now()
	s.handler(&s.lent.Delivery)
	s.handled.Add(engine.Now().Sub(began))
	s.taken.Add(intake.TimedEvery)
}

func (s inline) Lost(l *core.Loss) {
	if s.onLoss != nil && !s.closed.Load() {
		s.onLoss(lossOf(l))
	}
}

func lossOf(l *core.Loss) Loss {
	return Loss{
		From: MemberID(l.From), Stream: uint32(l.Stream),
		First: l.First, Last: l.Last, Reason: LossReason(l.Reason),
	}
}
