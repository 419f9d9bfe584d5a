package jms

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/jmsheader"
	"github.com/activeblaze/blaze/internal/topic"
)

// Producer sends messages to any destination. Its setters hold for all that it sends afterwards, and return it. A value
// out of range is not taken: Send returns the error until the setter is called again.
type Producer struct {
	c *Context

	mode         jmsheader.Mode
	priority     int
	ttl, delay   time.Duration
	noID, noTime bool
	noWait       bool

	correlation, kind string
	hasCorrelation    bool
	hasKind           bool
	replyTo           Destination
	properties        Message // its properties only

	bad map[string]error // by setter
}

// Producer returns a new producer: Persistent, priority 4, no expiry, no delay.
func (c *Context) Producer() *Producer {
	return &Producer{c: c, mode: jmsheader.Persistent, priority: jmsheader.DefaultPriority}
}

// check remembers whether what a setter was given is allowed.
func (p *Producer) check(setter string, ok bool, err error) bool {
	delete(p.bad, setter)
	if !ok {
		if p.bad == nil {
			p.bad = make(map[string]error)
		}
		p.bad[setter] = err
	}
	return ok
}

// SetDeliveryMode sets how messages are sent. The default is Persistent.
func (p *Producer) SetDeliveryMode(m DeliveryMode) *Producer {
	if p.check("DeliveryMode", m <= NonPersistent, fmt.Errorf("%w: delivery mode %d", blaze.ErrArgument, m)) {
		p.mode = jmsheader.Persistent
		if m == NonPersistent {
			p.mode = jmsheader.NonPersistent
		}
	}
	return p
}

// DeliveryMode is what SetDeliveryMode has set.
func (p *Producer) DeliveryMode() DeliveryMode {
	if p.mode == jmsheader.Persistent {
		return Persistent
	}
	return NonPersistent
}

// SetPriority sets the priority, 0..9. Held queues deliver a higher one first; topics and direct queues ignore it.
func (p *Producer) SetPriority(n int) *Producer {
	if p.check("Priority", n >= 0 && n <= jmsheader.MaxPriority, fmt.Errorf("%w: priority %d: must be 0 to %d", blaze.ErrArgument, n, jmsheader.MaxPriority)) {
		p.priority = n
	}
	return p
}

// Priority is what SetPriority has set.
func (p *Producer) Priority() int { return p.priority }

// maxTime is the longest time to live and delivery delay: a hundred years.
const maxTime = 100 * 365 * 24 * time.Hour

// SetTimeToLive sets after which time a message expires, to the millisecond, rounded up; 0: never. At most 100 years.
// The sender's clock writes when that is, and the consumer's clock judges it.
func (p *Producer) SetTimeToLive(d time.Duration) *Producer {
	if p.check("TimeToLive", d >= 0 && d <= maxTime, fmt.Errorf("%w: time to live %v: must be 0 to 100 years", blaze.ErrArgument, d)) {
		p.ttl = d
	}
	return p
}

// TimeToLive is what SetTimeToLive has set.
func (p *Producer) TimeToLive() time.Duration { return p.ttl }

// SetDeliveryDelay sets how long a message stays invisible, to the millisecond, rounded up; at most 100 years, and not
// beyond the time to live. Held queues do it, to about 100 ms; to other destinations Send is
// blaze.ErrUnsupported.
func (p *Producer) SetDeliveryDelay(d time.Duration) *Producer {
	if p.check("DeliveryDelay", d >= 0 && d <= maxTime, fmt.Errorf("%w: delivery delay %v: must be 0 to 100 years", blaze.ErrArgument, d)) {
		p.delay = d
	}
	return p
}

// DeliveryDelay is what SetDeliveryDelay has set.
func (p *Producer) DeliveryDelay() time.Duration { return p.delay }

// SetDisableMessageID has messages sent without an id, which a topic's messages then are.
func (p *Producer) SetDisableMessageID(off bool) *Producer { p.noID = off; return p }

// SetDisableMessageTimestamp has messages sent without a timestamp.
func (p *Producer) SetDisableMessageTimestamp(off bool) *Producer { p.noTime = off; return p }

// SetNoWait has Send return ErrQueueFull at once where a held queue is full. By default it waits for room, until ctx ends.
func (p *Producer) SetNoWait(on bool) *Producer { p.noWait = on; return p }

// SetCorrelationID sets JMSCorrelationID of what is sent, in place of the message's own.
func (p *Producer) SetCorrelationID(id string) *Producer {
	p.correlation, p.hasCorrelation = id, true
	return p
}

// SetType sets JMSType of what is sent, in place of the message's own.
func (p *Producer) SetType(s string) *Producer {
	p.kind, p.hasKind = s, true
	return p
}

// SetReplyTo sets JMSReplyTo of what is sent, in place of the message's own; nil: the message's own holds.
func (p *Producer) SetReplyTo(d Destination) *Producer { p.replyTo = d; return p }

// SetProperty sets a property of what is sent, in place of the message's own. Message.SetProperty has the rules.
func (p *Producer) SetProperty(name string, value any) *Producer {
	err := p.properties.SetProperty(name, value)
	p.check("Property "+name, err == nil, err)
	return p
}

// ClearProperties removes what SetProperty has set.
func (p *Producer) ClearProperties() *Producer {
	p.properties.ClearProperties()
	for setter := range p.bad {
		if strings.HasPrefix(setter, "Property ") {
			delete(p.bad, setter)
		}
	}
	return p
}

// Send sends m, and fills in its id, timestamp, expiration, delivery time, mode and priority. When it returns nil
//
//   - a held queue has m at every holder, and, where they have a DataDir and m is Persistent, on the disks of a majority;
//   - a topic's consumers will receive m, as Channel.Broadcast has it; durable subscriptions of it have a Persistent m;
//   - a direct queue's m lies in this member's own queue (DirectBuffer), until a consumer is done with it;
//   - a temporary queue's member has m;
//   - a transacted session keeps m for Commit.
//
// Where there is no room, Send waits for ctx. A message may be sent twice: the second time it is another message, with an id
// of its own.
//
// The errors: ErrInvalidDestination; ErrMessageFormat, a bound of the header; ErrQueueFull; ErrNotHeld;
// ErrIllegalState; blaze.ErrArgument, m is nil, or a setter was given what it does not take; blaze.ErrUnsupported, the
// destination does not do this; blaze.ErrTooLarge; blaze.ErrUnknownOutcome, m may have been sent; blaze.ErrNoQuorum.
// When ctx ends first, the error wraps ctx's.
func (p *Producer) Send(ctx context.Context, d Destination, m *Message) error {
	if err := p.c.enter(); err != nil {
		return err
	}
	defer p.c.guard.leave()
	finish, err := p.begin(ctx, d, m)
	if err != nil || finish == nil {
		return err
	}
	return finish(ctx)
}

// SendText sends a TextMessage.
func (p *Producer) SendText(ctx context.Context, d Destination, s string) error {
	return p.Send(ctx, d, NewTextMessage(s))
}

// SendBytes sends a BytesMessage.
func (p *Producer) SendBytes(ctx context.Context, d Destination, b []byte) error {
	return p.Send(ctx, d, NewBytesMessage(b))
}

// staged is a message that leaves with Commit.
type staged struct {
	d   Destination
	m   *blaze.Message
	out outgoing
}

// outgoing is what a destination has to know of a message besides its encoding.
type outgoing struct {
	id         jmsheader.ID
	persistent bool
	priority   uint8
	expires    int64
	due        int64
	group      string
	groupSeq   int64
	kept       bool // by the holders, for subscriptions
}

// begin prepares m and begins to send it. finish waits until it has been sent; nil: it has.
func (p *Producer) begin(ctx context.Context, d Destination, m *Message) (finish func(context.Context) error, err error) {
	if m == nil {
		return nil, fmt.Errorf("%w: Send: the message is nil", blaze.ErrArgument)
	}
	if m.sending.Load() {
		return nil, fmt.Errorf("%w: Send: SendAsync is under way with this message", ErrIllegalState)
	}
	if err := p.checkDestination(d); err != nil {
		return nil, err
	}
	for _, err := range p.bad {
		return nil, err
	}
	if p.delay > p.ttl && p.ttl > 0 {
		return nil, fmt.Errorf("%w: a delivery delay of %v is beyond the time to live of %v", blaze.ErrArgument, p.delay, p.ttl)
	}
	b, out, err := p.prepare(d, m)
	if err != nil {
		return nil, err
	}
	p.c.conn.use()
	if q, ok := d.(*Queue); ok && !q.direct {
		return p.c.put(ctx, q, b, out, p.noWait)
	}
	if p.c.mode == Transacted {
		if t, ok := topicName(d); ok && out.persistent {
			kept, err := p.c.stageTopic(ctx, t, b, out)
			if err != nil {
				return nil, err
			}
			out.kept = kept
		}
		if len(p.c.staged) >= maxStaged {
			return nil, fmt.Errorf("%w: a transaction has at most %d messages", blaze.ErrTooLarge, maxStaged)
		}
		raw := b.Clone() // the caller may change m
		p.c.staged = append(p.c.staged, &staged{d, raw, out})
		return nil, nil
	}
	return p.c.send(ctx, d, b, out)
}

// maxStaged is how many messages to topics and temporary queues a transaction has.
const maxStaged = 10_000

// checkDestination judges what Send was given.
func (p *Producer) checkDestination(d Destination) error {
	switch d := d.(type) {
	case *Topic:
		if d == nil {
			return errNilDestination
		}
		return checkPublished(d.name, p.delay)
	case *TemporaryTopic:
		if d == nil {
			return errNilDestination
		}
		return checkPublished(d.name, p.delay)
	case *TemporaryQueue:
		switch {
		case d == nil:
			return errNilDestination
		case p.delay > 0:
			return fmt.Errorf("%w: a delivery delay to a temporary queue", blaze.ErrUnsupported)
		}
		return nil
	case *Queue:
		if d == nil {
			return errNilDestination
		}
		if err := checkQueueName(d.name); err != nil || !d.direct {
			return err
		}
		switch {
		case p.c.mode == Transacted:
			return fmt.Errorf("%w: %v is direct: it has no transactions", blaze.ErrUnsupported, d)
		case p.mode == jmsheader.Persistent:
			return fmt.Errorf("%w: %v is direct: its messages are NonPersistent, and the producer sends Persistent ones", blaze.ErrUnsupported, d)
		case p.priority != jmsheader.DefaultPriority:
			return fmt.Errorf("%w: %v is direct: it has no priorities", blaze.ErrUnsupported, d)
		case p.delay > 0:
			return fmt.Errorf("%w: %v is direct: it has no delivery delay", blaze.ErrUnsupported, d)
		}
		return nil
	}
	return errNilDestination
}

func checkPublished(name string, delay time.Duration) error {
	if err := topic.Validate(name); err != nil {
		return fmt.Errorf("%w: topic %w (%w)", ErrInvalidDestination, err, blaze.ErrTopic)
	}
	if delay > 0 {
		return fmt.Errorf("%w: a delivery delay to topic %q", blaze.ErrUnsupported, name)
	}
	return nil
}

// millis is d, rounded up.
func millis(d time.Duration) int64 { return int64((d + time.Millisecond - 1) / time.Millisecond) }

// prepare fills in m's header and encodes it.
func (p *Producer) prepare(d Destination, m *Message) (*blaze.Message, outgoing, error) {
	h := m.head()
	was := *h
	now := nowMillis()
	n := p.c.conn
	h.ID, h.Timestamp, h.Expiration, h.DeliveryTime = jmsheader.ID{}, 0, 0, 0
	if q, ok := d.(*Queue); !p.noID || ok && !q.direct { // a held message is known by its id
		h.ID = jmsheader.MakeID(n.channel().ID(), n.ch.ids.Add(1))
	}
	if !p.noTime {
		h.Timestamp = now
	}
	if p.ttl > 0 {
		h.Expiration = now + millis(p.ttl)
	}
	if p.delay > 0 {
		h.DeliveryTime = now + millis(p.delay)
	}
	h.Mode, h.Priority, h.Count, h.Connection = p.mode, uint8(p.priority), 0, n.id
	if p.hasCorrelation {
		h.CorrelationID = p.correlation
	}
	if p.hasKind {
		h.Type = p.kind
	}
	if p.replyTo != nil {
		m.SetReplyTo(p.replyTo)
	}
	for _, q := range p.properties.head().Properties {
		h.Set(q.Name, q.Value)
	}
	b, err := m.encode()
	if err != nil {
		m.header = was
		return nil, outgoing{}, err
	}
	m.destination = d
	return b, outgoingOf(h), nil
}

// outgoingOf is what a destination has to know of a message with this header.
func outgoingOf(h *jmsheader.Header) outgoing {
	out := outgoing{id: h.ID, persistent: h.Mode == jmsheader.Persistent, priority: h.Priority, expires: h.Expiration, due: h.DeliveryTime}
	if v, ok := h.Get("JMSXGroupID"); ok {
		out.group = v.Text
		seq, _ := h.Get("JMSXGroupSeq")
		out.groupSeq = seq.Num
	}
	return out
}

// send sends what needs no holder.
func (c *Context) send(ctx context.Context, d Destination, b *blaze.Message, out outgoing) (func(context.Context) error, error) {
	switch d := d.(type) {
	case *Topic:
		return nil, c.publish(ctx, d.name, b, out)
	case *TemporaryTopic:
		return nil, c.publish(ctx, d.name, b, out)
	case *TemporaryQueue:
		err := c.conn.channel().SendInbox(ctx, d.member, d.inbox(), b)
		if errors.Is(err, blaze.ErrNoConsumer) || errors.Is(err, blaze.ErrNoSuchMember) {
			err = fmt.Errorf("%w: %w", ErrInvalidDestination, err)
		}
		return nil, err
	case *Queue:
		return nil, c.direct.send(ctx, c, d, b)
	}
	return nil, errNilDestination
}

// Request sends m with a temporary queue as JMSReplyTo, and returns the message that comes back with m's id as its
// JMSCorrelationID. It waits for ctx. In a transacted session, where m would leave at Commit only, it is ErrIllegalState.
// The other errors are those of Send.
func (p *Producer) Request(ctx context.Context, d Destination, m *Message) (*Message, error) {
	c := p.c
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer c.guard.leave()
	if c.mode == Transacted {
		return nil, fmt.Errorf("%w: Request in mode %v", ErrIllegalState, c.mode)
	}
	if p.noID {
		return nil, fmt.Errorf("%w: Request without message ids", ErrIllegalState)
	}
	if m == nil {
		return nil, fmt.Errorf("%w: Request: the message is nil", blaze.ErrArgument)
	}
	if c.replies == nil {
		q, err := c.TemporaryQueue()
		if err != nil {
			return nil, err
		}
		c.replies = q.of
	}
	w := &waker{c: make(chan struct{}, 1)}
	c.replies.in.attach(w)
	defer c.replies.in.detach(w)
	before := p.replyTo
	p.replyTo = c.replies.queue
	finish, err := p.begin(ctx, d, m)
	p.replyTo = before
	if err == nil && finish != nil {
		err = finish(ctx)
	}
	if err != nil {
		return nil, err
	}
	for {
		for {
			r := c.replies.in.take(nil)
			if r == nil {
				break
			}
			if r.header.CorrelationID == m.MessageID() && !r.expired() { // else a late one, of an earlier request
				r.context = c
				return r, nil
			}
		}
		select {
		case <-w.c:
		case <-ctx.Done():
			return nil, ended(ctx, "waiting for a reply from "+d.String())
		case <-c.closing:
			return nil, errContextClosed
		}
	}
}
