package jms

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/words"
	"github.com/activeblaze/blaze/selector"
)

// ConsumerOption is an option of Consumer and its like, and of Browser.
type ConsumerOption func(*consumerOptions) error

type consumerOptions struct {
	selector *selector.Selector
	text     string
	noLocal  bool
}

// Selector has the consumer receive only messages that a selector is true of: Jakarta Messaging 3.1, section 3.8.1.1.
// One that is empty, or blanks, selects all. The error is ErrInvalidSelector, with the place.
func Selector(s string) ConsumerOption {
	return func(o *consumerOptions) error {
		parsed, err := selector.Parse(s, selector.JMS())
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalidSelector, err)
		}
		o.selector, o.text = parsed, s
		return nil
	}
}

// NoLocal keeps messages that the consumer's own connection has published on a topic from it.
func NoLocal() ConsumerOption {
	return func(o *consumerOptions) error { o.noLocal = true; return nil }
}

func optionsOf(opts []ConsumerOption) (o consumerOptions, err error) {
	for _, opt := range opts {
		if opt == nil {
			return o, fmt.Errorf("%w: a ConsumerOption is nil", blaze.ErrArgument)
		}
		if err := opt(&o); err != nil {
			return o, err
		}
	}
	return o, nil
}

// Consumer receives messages of one destination.
type Consumer struct {
	c       *Context
	d       Destination
	src     source
	options consumerOptions
	noLocal bool

	waker    waker
	listener atomic.Pointer[func(*Message)]
	ended    chan struct{} // closed with the consumer
	closed   atomic.Bool
}

// Consumer begins to consume from a destination. Of a topic it receives what is published after that, in the order of
// each publisher; the subscription ends with it.
//
// The errors: ErrInvalidDestination, d is nil or another connection's temporary one; ErrInvalidSelector;
// blaze.ErrUnsupported, a selector or a transacted session with a direct queue; ErrNotHeld.
func (c *Context) Consumer(d Destination, opts ...ConsumerOption) (*Consumer, error) {
	o, err := optionsOf(opts)
	if err != nil {
		return nil, err
	}
	if err := c.entered(c.guard.enterBesideListener()); err != nil {
		return nil, err
	}
	defer c.guard.leave()
	c.conn.use()
	k := c.newConsumer(d, o)
	switch d := d.(type) {
	case *Topic:
		if d == nil {
			return nil, errNilDestination
		}
		k.noLocal = o.noLocal
		return k.begin(subscribed(subscribe(k, d.name)))
	case *TemporaryTopic:
		if d == nil || d.of != c.conn {
			return nil, errForeign
		}
		k.noLocal = o.noLocal
		return k.begin(subscribed(subscribe(k, d.name)))
	case *TemporaryQueue:
		if d == nil || d.of == nil || d.of.n != c.conn {
			return nil, errForeign
		}
		return k.begin(newTemporarySource(k, d.of), nil)
	case *Queue:
		if d == nil {
			return nil, errNilDestination
		}
		if err := checkQueueName(d.name); err != nil {
			return nil, err
		}
		if d.direct {
			return k.beginDirect(d)
		}
		return c.consumeHeld(k, d)
	}
	return nil, errNilDestination
}

var (
	errNilDestination = fmt.Errorf("%w: it is nil", ErrInvalidDestination)
	errForeign        = fmt.Errorf("%w: a temporary destination of another connection cannot be consumed from", ErrInvalidDestination)
)

// subscribed makes a nil source of a failed one.
func subscribed(s *topicSource, err error) (source, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (c *Context) newConsumer(d Destination, o consumerOptions) *Consumer {
	k := &Consumer{c: c, d: d, options: o, ended: make(chan struct{})}
	k.waker = waker{c: make(chan struct{}, 1), session: &c.session}
	return k
}

// begin takes k in once its source is there.
func (k *Consumer) begin(s source, err error) (*Consumer, error) {
	if err != nil {
		return nil, err
	}
	k.src = s
	k.c.mu.Lock()
	k.c.consumers = append(slices.Clip(k.c.consumers), k)
	k.c.mu.Unlock()
	return k, nil
}

func (k *Consumer) beginDirect(q *Queue) (*Consumer, error) {
	switch {
	case k.options.selector != nil && k.options.selector.String() != "":
		return nil, fmt.Errorf("%w: %v is direct: its senders keep the messages, and no selector is asked", blaze.ErrUnsupported, q)
	case k.c.mode == Transacted:
		return nil, fmt.Errorf("%w: %v is direct: it has no transactions", blaze.ErrUnsupported, q)
	}
	s, err := consumeDirect(k, q)
	if err != nil {
		return nil, err
	}
	return k.begin(s, nil)
}

// Destination is where k receives from.
func (k *Consumer) Destination() Destination { return k.d }

// SelectorText is the selector as it was given; "": there is none.
func (k *Consumer) SelectorText() string { return k.options.text }

// matches reports whether the selector is true of m. Any goroutine may call it.
func (k *Consumer) matches(m *Message) bool {
	return k.options.selector == nil || k.options.selector.Matches(m.head())
}

// wants reports whether k may have m.
func (k *Consumer) wants(m *Message) bool { return k.matches(m) }

// poll returns a message that is here and has not expired.
func (k *Consumer) poll() *Message {
	for {
		m := k.src.poll()
		if m == nil || !m.expired() {
			return m
		}
		k.src.expire(m)
	}
}

func (k *Consumer) isClosed() bool { return k.closed.Load() }

var errConsumerClosed = closedError("consumer")

// mayReceive begins a use of the context by Receive.
func (k *Consumer) mayReceive() error {
	if k.isClosed() {
		return errConsumerClosed
	}
	if err := k.c.enter(); err != nil {
		return err
	}
	if k.c.session.listening.Load() > 0 {
		k.c.guard.leave()
		return fmt.Errorf("%w: Receive in a session that has a listener", ErrIllegalState)
	}
	return nil
}

// lookEvery is how often a Receive that waits asks whether something was given to it and did not arrive.
const lookEvery = 2 * time.Second

// Receive returns the next message. It waits until ctx ends, whose error it then wraps. What has expired, by this
// process's clock, is passed over.
//
// The errors besides: ErrIllegalState, the session has a listener, another goroutine uses it, or it or the consumer is
// closed, also meanwhile (blaze.ErrClosed too).
func (k *Consumer) Receive(ctx context.Context) (*Message, error) {
	if err := k.mayReceive(); err != nil {
		return nil, err
	}
	defer k.c.guard.leave()
	var again *time.Timer
	var look <-chan time.Time
	for {
		if m := k.poll(); m != nil {
			return k.deliver(m)
		}
		if again == nil {
			again = time.NewTimer(lookEvery)
			defer again.Stop()
			look = again.C
		}
		k.src.want(false)
		if err := k.src.err(); err != nil {
			return nil, err
		}
		select {
		case <-k.waker.c:
			continue
		case <-look:
			k.src.look()
			again.Reset(lookEvery)
			continue
		case <-ctx.Done():
		case <-k.c.closing:
			return nil, errContextClosed
		case <-k.ended:
			return nil, errConsumerClosed
		}
		k.src.stop()
		if m := k.poll(); m != nil {
			return k.deliver(m)
		}
		return nil, ended(ctx, "waiting for a message of "+words.Abridged(k.d.String()))
	}
}

// ReceiveNoWait returns the next message; nil, and no error, when there is none. Of a held queue it asks a holder: what
// had been sent before the call is there.
func (k *Consumer) ReceiveNoWait() (*Message, error) {
	if err := k.mayReceive(); err != nil {
		return nil, err
	}
	defer k.c.guard.leave()
	if m := k.poll(); m != nil {
		return k.deliver(m)
	}
	ctx, cancel := k.c.within(k.c.conn.f.o.wait)
	defer cancel()
	if err := k.src.ask(ctx); err != nil {
		return nil, err
	}
	if m := k.poll(); m != nil {
		return k.deliver(m)
	}
	return nil, nil
}

// within is a context that ends with the Context's Close too.
func (c *Context) within(d time.Duration) (context.Context, context.CancelFunc) {
	return c.whileOpen(context.WithTimeout(context.Background(), d))
}

// whileOpen has ctx end when the context closes, too.
func (c *Context) whileOpen(ctx context.Context, cancel context.CancelFunc) (context.Context, context.CancelFunc) {
	go func() {
		select {
		case <-c.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// deliver hands m to the caller of Receive.
func (k *Consumer) deliver(m *Message) (*Message, error) {
	c := k.c
	c.hold(m)
	if c.mode == AutoAcknowledge || c.mode == DupsOKAcknowledge {
		if err := c.settle([]*Message{m}); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Listen has h called with each message, on a goroutine of the session: one call at a time for all listeners of the
// session. h may use the context and its producers; meanwhile other goroutines must not. A session with a listener refuses
// Receive. Nil ends it. A panic in h is not caught.
func (k *Consumer) Listen(h func(*Message)) error {
	if k.isClosed() {
		return errConsumerClosed
	}
	c := k.c
	if err := c.entered(c.guard.enterBesideListener()); err != nil {
		return err
	}
	defer c.guard.leave()
	if h == nil {
		if k.listener.Swap(nil) != nil {
			c.session.listening.Add(-1)
			k.src.stop()
		}
		return nil
	}
	if k.listener.Swap(&h) == nil {
		c.session.listening.Add(1)
	}
	c.mu.Lock()
	c.session.start()
	c.mu.Unlock()
	k.src.want(true)
	c.session.wake()
	return nil
}

// Close ends the consumer. What it has not received goes back, or is gone with a topic's subscription. What it has
// received stays to be acknowledged. It waits for a listener that runs, unless that calls it. A Receive that waits in
// another goroutine ends. A second Close does nothing.
func (k *Consumer) Close() error {
	if !k.closed.CompareAndSwap(false, true) {
		return nil
	}
	close(k.ended)
	if !k.c.guard.mine() {
		k.c.guard.take(false)
		defer k.c.guard.leave()
	}
	return k.finish()
}

// end is Close by the context, which has the guard.
func (k *Consumer) end() error {
	if !k.closed.CompareAndSwap(false, true) {
		return nil
	}
	close(k.ended)
	return k.finish()
}

func (k *Consumer) finish() error {
	if k.listener.Swap(nil) != nil {
		k.c.session.listening.Add(-1)
	}
	k.c.mu.Lock()
	k.c.consumers = slices.DeleteFunc(slices.Clone(k.c.consumers), func(o *Consumer) bool { return o == k })
	k.c.mu.Unlock()
	return k.src.close()
}
