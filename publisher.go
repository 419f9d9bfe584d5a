package blaze

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/internal/run"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/ring"
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

// binding is a publisher's place in one start of its channel.
type binding struct {
	run  *start
	lane *member.Lane
	safe bool // Totem: delivery when every member has it
	max  int  // Config.MaxMessageSize
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
		if _, err := p.bind(); err != nil && !errors.Is(err, ErrState) {
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

// bind finds the publisher's lane in the channel's present start.
func (p *Publisher) bind() (*binding, error) {
	run := p.c.run.Load()
	if b := p.bound.Load(); b != nil && b.run == run && !p.closed.Load() {
		return b, nil
	}
	if p.closed.Load() {
		return nil, fmt.Errorf("%w: publisher of %q", ErrClosed, p.topic)
	}
	if run == nil {
		return nil, fmt.Errorf("%w: publishing on %q in state %v: Start the channel first", ErrState, p.topic, p.c.State())
	}
	b := &binding{run: run, max: p.c.cfg.Load().MaxMessageSize}
	if run.Invoker() {
		run.Do(func() { b.lane, b.safe = run.Member().Lane(run.Opening(), p.topic) })
	} else {
		b.lane, b.safe = run.Member().Lane(0, p.topic) // the engine says when
	}
	p.bound.Store(b)
	return b, nil
}

// Offer hands a payload over for sending, as raw bytes, and never blocks. ErrBackPressure means
// that the window is full and nothing was taken: try again later. A payload above
// Config.MaxMessageSize is ErrTooLarge; an empty or nil one is a message without content. The caller may
// reuse the payload at once.
func (p *Publisher) Offer(payload []byte) error {
	b, err := p.bind()
	if err != nil {
		return err
	}
	return p.offer(b, wire.KindRaw, payload)
}

func (p *Publisher) offer(b *binding, kind wire.Kind, payload []byte) error {
	if len(payload) > b.max {
		return p.tooLarge(b, len(payload))
	}
	if b.run.Invoker() {
		return outward(b.run.Direct(func(now clock.Time) error {
			return b.run.Member().Offer(b.lane, now, p.topic, kind, payload, b.safe)
		}))
	}
	if !b.lane.Put(p.topic, kind, payload, b.safe) {
		return ErrBackPressure
	}
	b.run.Engine(0).Notify()
	return nil
}

func (p *Publisher) tooLarge(b *binding, n int) error {
	return fmt.Errorf("%w: %d bytes on %q; Config.MaxMessageSize is %d", ErrTooLarge, n, p.topic, b.max)
}

// outward is a runtime's or a sender's error as this package's callers see it.
func outward(err error) error {
	switch err {
	case nil:
		return nil
	case nack.ErrWindow, run.ErrOccupied: // waiting in a handler would wait for itself
		return ErrBackPressure
	case nack.ErrTooLarge:
		return ErrTooLarge
	case run.ErrClosed:
		return ErrClosed
	case nack.ErrClosed:
		return fmt.Errorf("%w: the channel stops", ErrClosed)
	case nack.ErrClaimed:
		return fmt.Errorf("%w: a claim on this stream is open: Commit or Abort it first", ErrState)
	}
	return err
}

// Claim is room for one message, to write the payload where it is sent from.
type Claim struct {
	p       *Publisher
	b       *binding
	record  ring.Record
	payload []byte
	how     claimKind
}

type claimKind uint8

const (
	claimDone   claimKind = iota
	claimRecord           // in the command queue
	claimFrame            // in the datagram itself
	claimCopy             // in memory of its own: with an Invoker, what does not fit one datagram
)

// Claim takes room for a payload of n bytes. The caller fills Bytes and then calls Commit or
// Abort, soon: what others publish on the same stream waits behind it. With Config.Invoker the
// bytes lie in the datagram itself and only one claim at a time may be open on a stream;
// without, they lie in the engine's queue, any number may be open, and any goroutine may claim.
// It fails like Offer.
func (p *Publisher) Claim(n int) (Claim, error) {
	b, err := p.bind()
	if err != nil {
		return Claim{}, err
	}
	if n < 0 || n > b.max {
		return Claim{}, p.tooLarge(b, n)
	}
	c := Claim{p: p, b: b}
	if !b.run.Invoker() {
		var ok bool
		if c.record, c.payload, ok = b.lane.Claim(p.topic, wire.KindRaw, n, b.safe); !ok {
			return Claim{}, ErrBackPressure
		}
		c.how = claimRecord
		return c, nil
	}
	err = outward(b.run.Direct(func(now clock.Time) (err error) {
		c.payload, err = b.lane.Frame(now, p.topic, wire.KindRaw, n)
		return err
	}))
	switch {
	case err == nil:
		c.how = claimFrame
		return c, nil
	case errors.Is(err, ErrTooLarge): // for one datagram: it will be sent in fragments, from a copy
		c.payload, c.how = make([]byte, n), claimCopy
		return c, nil
	}
	return Claim{}, err
}

// Bytes is the room that was claimed, to be filled before Commit. Its contents are not zeroed.
func (c *Claim) Bytes() []byte { return c.payload }

// Commit sends what was filled in. The error is nil but for a message of several datagrams with
// Config.Invoker, which may meet ErrBackPressure and then is still claimed; and for a claim that
// was committed or aborted before, which is ErrState.
func (c *Claim) Commit() error {
	switch c.how {
	case claimRecord:
		c.record.Commit()
		c.b.run.Engine(0).Notify()
	case claimFrame:
		_ = c.b.run.Direct(func(now clock.Time) error { c.b.lane.CommitFrame(now); return nil })
	case claimCopy:
		if err := c.p.offer(c.b, wire.KindRaw, c.payload); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%w: this claim was committed or aborted before", ErrState)
	}
	*c = Claim{}
	return nil
}

// Abort gives the room back. After Commit it does nothing.
func (c *Claim) Abort() {
	switch c.how {
	case claimRecord:
		c.record.Abort()
		c.b.run.Engine(0).Notify()
	case claimFrame:
		_ = c.b.run.Direct(func(clock.Time) error { c.b.lane.AbortFrame(); return nil })
	}
	*c = Claim{}
}

// Receivers is the number of members that receive the publisher's stream, as far as their
// reports tell; under Totem, of the ring's other members; 0 while the channel is not started.
func (p *Publisher) Receivers() int {
	b, err := p.bind()
	if err != nil {
		return 0
	}
	return b.lane.Receivers()
}

// WaitReceivers waits until at least n members receive the publisher's stream. What is sent
// afterwards reaches each of them. It ends with ctx's error, with ErrClosed when the channel
// stops, or with ErrState when it is not started.
func (p *Publisher) WaitReceivers(ctx context.Context, n int) error {
	b, err := p.bind()
	if err != nil {
		return err
	}
	err = p.c.await(ctx, b.run, b.lane, func() bool { return b.lane.Receivers() >= n })
	if err != nil {
		return fmt.Errorf("blaze: waiting for %d receivers of %q, %d are known: %w", n, p.topic, b.lane.Receivers(), err)
	}
	return nil
}

// Broadcast sends a message to all members that subscribe to the topic. It returns when the
// message has been accepted for sending; under back pressure it waits for that until ctx ends.
// The caller may change m as soon as it has returned.
func (c *Channel) Broadcast(ctx context.Context, topic string, m *Message) error {
	if m == nil {
		return fmt.Errorf("%w: Broadcast on %q: the message is nil", ErrArgument, topic)
	}
	p, err := c.bcasts.get(c, topic)
	if err != nil {
		return err
	}
	b, err := p.bind()
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
	if err = p.broadcast(b, payload); err != ErrBackPressure {
		return err
	}
	c.backPressure.Add(1)
	waited := c.await(ctx, b.run, b.lane, func() bool {
		err = p.broadcast(b, payload)
		return err != ErrBackPressure
	})
	if waited != nil {
		return fmt.Errorf("blaze: waiting to broadcast on %q: %w", topic, waited)
	}
	return err
}

// broadcast is offer, from any goroutine also with an Invoker.
func (p *Publisher) broadcast(b *binding, payload []byte) (err error) {
	if !b.run.Invoker() || b.run.TurnsHere() {
		return p.offer(b, wire.KindMessage, payload)
	}
	if len(payload) > b.max {
		return p.tooLarge(b, len(payload))
	}
	b.run.Do(func() {
		err = outward(b.run.Member().Offer(b.lane, b.run.Opening(), p.topic, wire.KindMessage, payload, b.safe))
	})
	return err
}

var encodings = sync.Pool{New: func() any { return new([]byte) }}

// topicCache keeps a publisher for each topic that Broadcast was called with, within a bound.
type topicCache struct {
	all   sync.Map // of *Publisher by topic
	count atomic.Int64
}

const maxCachedTopics = 4096

func (t *topicCache) get(c *Channel, topic string) (*Publisher, error) {
	if p, ok := t.all.Load(topic); ok {
		return p.(*Publisher), nil
	}
	p, err := c.Publisher(topic)
	if err != nil {
		return nil, err
	}
	if t.count.Add(1) > maxCachedTopics {
		t.all.Clear()
		t.count.Store(1)
	}
	t.all.Store(topic, p)
	return p, nil
}
