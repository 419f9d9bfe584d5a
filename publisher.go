package blaze

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/activeblaze/blaze/internal/run"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// Publisher sends messages on one topic. It works whenever its channel is started, also after
// it has been stopped and started again.
type Publisher struct {
	c      *Channel
	topic  string
	bound  atomic.Pointer[binding]
	closed atomic.Bool
}

// binding is a publisher's place in one start of its channel. It does not hold the start: a publisher that
// is not used any more would keep all of its memory.
type binding struct {
	serial uint64 // of the start
	to     run.Topic
	max    int // Config.MaxMessageSize
}

// Publisher returns a publisher for a topic: a path of non-empty elements without wildcards,
// else ErrTopic. Where the channel is started its stream is announced, so that WaitReceivers
// has something to wait for.
func (c *Channel) Publisher(topic string) (*Publisher, error) {
	if err := validateTopic(topic); err != nil {
		return nil, err
	}
	p := &Publisher{c: c, topic: topic}
	if c.State() == Started {
		if _, _, err := p.bind(); err != nil && !errors.Is(err, ErrState) {
			return nil, err
		}
	}
	return p, nil
}

// Topic is the topic that the publisher sends on.
func (p *Publisher) Topic() string { return p.topic }

// Close makes every later call ErrClosed. What was accepted is still sent.
func (p *Publisher) Close() error {
	p.closed.Store(true)
	return nil
}

// bind finds the channel's present start, and the publisher's lane in it.
func (p *Publisher) bind() (*start, *binding, error) {
	st, b := p.c.run.Load(), p.bound.Load()
	if st != nil && b != nil && b.serial == st.serial && !p.closed.Load() {
		return st, b, nil
	}
	if p.closed.Load() {
		return nil, nil, fmt.Errorf("%w: publisher of %q", ErrClosed, p.topic)
	}
	if st == nil {
		return nil, nil, fmt.Errorf("%w: publishing on %q in state %v: Start the channel first", ErrState, p.topic, p.c.State())
	}
	to, err := st.Topic(p.topic)
	if err != nil {
		return nil, nil, outward(err)
	}
	b = &binding{serial: st.serial, to: to, max: p.c.cfg.Load().MaxMessageSize}
	p.bound.Store(b)
	return st, b, nil
}

// Offer hands a payload over for sending, as raw bytes, and never blocks. ErrBackPressure means
// that the window is full and nothing was taken: try again later. Under Totem it also means that what leaves in a few
// rotations of the token waits already, while the ring carries no more: a burst is taken as far as the queue goes, but
// who sends more than the ring carries waits before Offer and not behind it. A payload above
// Config.MaxMessageSize is ErrTooLarge; an empty or nil one is a message without content. The caller may
// reuse the payload at once.
func (p *Publisher) Offer(payload []byte) error {
	st, b, err := p.bind()
	if err != nil {
		return err
	}
	return p.offer(st, b, wire.KindRaw, payload)
}

func (p *Publisher) offer(st *start, b *binding, kind wire.Kind, payload []byte) error {
	if len(payload) > b.max {
		return p.tooLarge(b, len(payload))
	}
	return outward(st.Offer(&b.to, kind, payload))
}

func (p *Publisher) tooLarge(b *binding, n int) error {
	return fmt.Errorf("%w: %d bytes on %q; Config.MaxMessageSize is %d", ErrTooLarge, n, p.topic, b.max)
}

// errStops is bare: Offer returns it, and allocates nothing.
var errStops = fmt.Errorf("%w: the channel stops", ErrClosed)

// outward is a runtime's or a sender's error as this package's callers see it.
func outward(err error) error {
	switch err {
	case nil:
		return nil
	case nack.ErrWindow, run.ErrOccupied: // waiting in a handler would wait for itself
		return ErrBackPressure
	case nack.ErrTooLarge:
		return ErrTooLarge
	case run.ErrClosed, nack.ErrClosed:
		return errStops
	case nack.ErrClaimed:
		return fmt.Errorf("%w: a claim on this stream is open: Commit or Abort it first", ErrState)
	}
	return err
}

// Receivers returns the number of members that have reported that they receive the publisher's stream.
// Under Totem it is the number of the ring's other members. It is 0 while the channel is not started.
func (p *Publisher) Receivers() int {
	_, b, err := p.bind()
	if err != nil {
		return 0
	}
	return b.to.Lane.Receivers()
}

// WaitReceivers waits until at least n members receive the publisher's stream. What is sent
// afterwards reaches each of them. It ends with ctx's error, with ErrClosed when the channel
// stops, or with ErrState when it is not started.
func (p *Publisher) WaitReceivers(ctx context.Context, n int) error {
	st, b, err := p.bind()
	if err != nil {
		return err
	}
	lane := b.to.Lane
	err = outward(st.Await(ctx, lane, func() bool { return lane.Receivers() >= n }))
	if err != nil {
		return fmt.Errorf("blaze: waiting for %d receivers of %q, %d are known: %w", n, p.topic, lane.Receivers(), err)
	}
	return nil
}

// Broadcast sends a message to all members that subscribe to the topic. It returns when the
// message has been accepted for sending; under back pressure it waits for that until ctx ends. The error
// then names the receiver that holds the stream back, where one does. In an Inline handler it does not
// wait, and the error is ErrBackPressure.
//
// The caller may change m as soon as it has returned.
func (c *Channel) Broadcast(ctx context.Context, topic string, m *Message) error {
	if m == nil {
		return fmt.Errorf("%w: Broadcast on %q: the message is nil", ErrArgument, topic)
	}
	p, err := c.broadcaster(topic)
	if err != nil {
		return err
	}
	st, b, err := p.bind()
	if err != nil {
		return err
	}
	scratch := encodings.Get().(*[]byte)
	defer encodings.Put(scratch)
	payload, err := m.AppendBinary((*scratch)[:0])
	if err != nil {
		return err
	}
	*scratch = payload
	if err = p.offer(st, b, wire.KindMessage, payload); err != ErrBackPressure {
		return err
	}
	c.backPressure.Add(1)
	waited := outward(st.Await(ctx, b.to.Lane, func() bool {
		err = p.offer(st, b, wire.KindMessage, payload)
		return err != ErrBackPressure
	}))
	if waited != nil {
		if l, ok := st.Limiting(b.to.Lane); ok && ctx.Err() != nil {
			waited = fmt.Errorf("%v holds the stream back: %w", heldBy{l, st.res}, waited)
		}
		return fmt.Errorf("blaze: waiting to broadcast on %q: %w", topic, waited)
	}
	return err
}

var encodings = sync.Pool{New: func() any { return new([]byte) }}

// broadcaster is the publisher of a topic that Broadcast was called with; those of the last member.MaxCachedTopics topics
// are kept.
func (c *Channel) broadcaster(topic string) (*Publisher, error) {
	if p, ok := c.bcasts.Get(topic); ok {
		return p, nil
	}
	p, err := c.Publisher(topic)
	if err == nil {
		c.bcasts.Put(topic, p)
	}
	return p, err
}
