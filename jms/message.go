package jms

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/jmsheader"
	"github.com/activeblaze/blaze/internal/reach"
)

// Kind is what a message's body is, as Jakarta Messaging calls it.
type Kind uint8

// The kinds of messages.
const (
	PlainMessage  Kind = iota // no body: Jakarta's Message
	TextMessage               //
	BytesMessage              //
	MapMessage                // names with values: a blaze.Message's entries
	StreamMessage             // a row of values
	ObjectMessage             // a protobuf message
)

// String is Jakarta's name of the interface: "TextMessage".
func (k Kind) String() string {
	return [...]string{"Message", "TextMessage", "BytesMessage", "MapMessage", "StreamMessage", "ObjectMessage"}[min(k, ObjectMessage)]
}

// DeliveryMode says what a message may cost its sender, and what it survives. docs/jms.md has a table.
type DeliveryMode uint8

// The delivery modes.
const (
	Persistent    DeliveryMode = iota // the default of producers
	NonPersistent                     //
)

// String is the name as selectors have it.
func (d DeliveryMode) String() string {
	if d == Persistent {
		return "PERSISTENT"
	}
	return "NON_PERSISTENT"
}

// Message is a message: header, properties and body. The zero Message has no body. It is not safe for concurrent use.
//
// Send fills in the header fields that Jakarta Messaging assigns to it. What Send has carried is a copy: the same Message
// may be changed and sent again, as another message, unless SendAsync is under way with it.
type Message struct {
	header   jmsheader.Header
	assigned bool // header was filled in, by New or from the wire
	body     blaze.Message

	destination Destination
	received    bool
	replyTo     Destination // as it was set here; nil: header.ReplyTo counts
	context     *Context    // that received it
	source      source      // that it came from
	number      uint64      // at the holders
	size        uint64      // of data that is to be fetched; 0: it is all here
	done        chan error  // of a direct queue: takes the outcome
	sending     atomic.Bool // SendAsync is under way
}

// NewMessage returns a message without a body.
func NewMessage() *Message { return new(Message) }

// NewTextMessage returns a TextMessage.
func NewTextMessage(s string) *Message {
	m := new(Message)
	m.body.SetText(s)
	return m
}

// NewBytesMessage returns a BytesMessage that has b itself, not a copy.
func NewBytesMessage(b []byte) *Message {
	m := new(Message)
	m.body.SetBytes(b)
	return m
}

// NewMapMessage returns a MapMessage with the entries of values, shared with it. A nil map is an empty one.
func NewMapMessage(values *blaze.Message) *Message {
	m := new(Message)
	m.head().Body = jmsheader.Map
	if values != nil {
		for key, v := range values.All() {
			m.body.Set(key, v)
		}
	}
	return m
}

// NewStreamMessage returns a StreamMessage of the values, each of a type that blaze.ValueOf takes (else blaze.ErrKind).
func NewStreamMessage(values ...any) (*Message, error) {
	m := new(Message)
	m.head().Body = jmsheader.Stream
	for i, x := range values {
		v, err := blaze.ValueOf(x)
		if err != nil {
			return nil, fmt.Errorf("%w: value %d of a StreamMessage: %w", ErrMessageFormat, i, err)
		}
		m.body.Set(strconv.Itoa(i), v)
	}
	return m, nil
}

// NewObjectMessage returns an ObjectMessage with the encoding of o. Other objects are not carried, and nothing that comes
// over the network makes one by running code of its own.
func NewObjectMessage(o proto.Message) (*Message, error) {
	m := new(Message)
	if err := m.body.SetObject(o); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessageFormat, err)
	}
	return m, nil
}

// head is the header, which begins with its defaults.
func (m *Message) head() *jmsheader.Header {
	if !m.assigned {
		m.header, m.assigned = jmsheader.New(), true
	}
	return &m.header
}

// Body is the body as the core's message, shared with m: what a program that does not use this package receives.
func (m *Message) Body() *blaze.Message { return &m.body }

// Kind is what the body is.
func (m *Message) Kind() Kind {
	if _, ok := m.body.Text(); ok {
		return TextMessage
	}
	if _, ok := m.body.Bytes(); ok {
		return BytesMessage
	}
	if m.hasObject() {
		return ObjectMessage
	}
	switch m.head().Body {
	case jmsheader.Map:
		return MapMessage
	case jmsheader.Stream:
		return StreamMessage
	case jmsheader.Text:
		return TextMessage
	case jmsheader.Bytes:
		return BytesMessage
	case jmsheader.Object:
		return ObjectMessage
	}
	if m.body.Len() > 0 {
		return MapMessage
	}
	return PlainMessage
}

// hasObject reports whether the body is a protobuf message, of whatever type.
func (m *Message) hasObject() bool { return reach.Blaze.HasObject(&m.body) }

func (m *Message) not(k Kind) error {
	return fmt.Errorf("%w: the message is a %v, not a %v", ErrNotReadable, m.Kind(), k)
}

// Text is the text of a TextMessage; "" where it is null. Of another message the error is ErrNotReadable.
func (m *Message) Text() (string, error) {
	if m.Kind() != TextMessage {
		return "", m.not(TextMessage)
	}
	s, _ := m.body.Text()
	return s, nil
}

// Bytes are the bytes of a BytesMessage, shared with m. Of another message the error is ErrNotReadable.
func (m *Message) Bytes() ([]byte, error) {
	if m.Kind() != BytesMessage {
		return nil, m.not(BytesMessage)
	}
	b, _ := m.body.Bytes()
	return b, nil
}

// Map is a MapMessage's map, shared with m. Convert reads its values as Jakarta Messaging converts them. Of another
// message the error is ErrNotReadable.
func (m *Message) Map() (*blaze.Message, error) {
	if m.Kind() != MapMessage {
		return nil, m.not(MapMessage)
	}
	return &m.body, nil
}

// Object decodes the protobuf message of an ObjectMessage, anew at each call; nil where it has none. Its type must be
// linked into the program (blaze.ErrUnsupported otherwise). Of another message the error is ErrNotReadable.
func (m *Message) Object() (proto.Message, error) {
	if m.Kind() != ObjectMessage {
		return nil, m.not(ObjectMessage)
	}
	if !m.hasObject() {
		return nil, nil
	}
	return m.body.Object()
}

// Stream are the values of a StreamMessage, in their order. Of another message the error is ErrNotReadable.
func (m *Message) Stream() (*StreamReader, error) {
	if m.Kind() != StreamMessage {
		return nil, m.not(StreamMessage)
	}
	return &StreamReader{m: &m.body}, nil
}

// StreamReader reads a StreamMessage from its first value to its last one.
type StreamReader struct {
	m    *blaze.Message
	next int
}

// Read returns the next value, and io.EOF behind the last one.
func (r *StreamReader) Read() (blaze.Value, error) {
	v, ok := r.m.Get(strconv.Itoa(r.next))
	if !ok {
		return blaze.Value{}, io.EOF
	}
	r.next++
	return v, nil
}

// Len is the number of values that were not read.
func (r *StreamReader) Len() int {
	n := r.next
	for ; ; n++ {
		if _, ok := r.m.Get(strconv.Itoa(n)); !ok {
			return n - r.next
		}
	}
}

// ClearBody removes the body: a text, bytes or object becomes null, a map or stream empty.
func (m *Message) ClearBody() {
	kind := m.Kind()
	m.body = blaze.Message{}
	m.head().Body = [...]jmsheader.Body{
		PlainMessage: jmsheader.Derived, TextMessage: jmsheader.Text, BytesMessage: jmsheader.Bytes, MapMessage: jmsheader.Map,
		StreamMessage: jmsheader.Stream, ObjectMessage: jmsheader.Object,
	}[kind]
}

// The header fields of Jakarta Messaging 3.1, section 3.4.

// MessageID is JMSMessageID: "ID:" and 48 hexadecimal digits; "" before Send, and of a message that no program of this
// API sent.
func (m *Message) MessageID() string { return m.head().ID.String() }

// Timestamp is JMSTimestamp: when the message was sent, by its sender's clock, to the millisecond; zero before Send.
func (m *Message) Timestamp() time.Time { return timeOf(m.head().Timestamp) }

// Expiration is JMSExpiration: the timestamp and the time to live; zero: it does not expire.
func (m *Message) Expiration() time.Time { return timeOf(m.head().Expiration) }

// DeliveryTime is JMSDeliveryTime: it is not delivered before; zero: at once.
func (m *Message) DeliveryTime() time.Time { return timeOf(m.head().DeliveryTime) }

// DeliveryMode is JMSDeliveryMode. A message that no program of this API sent is NonPersistent, as one is before Send.
func (m *Message) DeliveryMode() DeliveryMode {
	if m.head().Mode == jmsheader.Persistent {
		return Persistent
	}
	return NonPersistent
}

// Priority is JMSPriority, 0..9; 4 before Send.
func (m *Message) Priority() int { return int(m.head().Priority) }

// Destination is JMSDestination: where the message was sent to, or came from. Of a message that came on a topic it is
// the topic that it was published on. Nil before Send.
func (m *Message) Destination() Destination { return m.destination }

// Redelivered is JMSRedelivered: the message was delivered before, and not acknowledged.
func (m *Message) Redelivered() bool { return m.head().Count > 0 }

// DeliveryCount is JMSXDeliveryCount: how often the message was delivered, this time included; 0 before Send.
func (m *Message) DeliveryCount() int {
	if !m.received {
		return 0
	}
	return int(m.head().Count) + 1
}

// From is the member that a topic's or temporary queue's message came from; zero elsewhere.
func (m *Message) From() blaze.MemberID { return m.body.From() }

// CorrelationID is JMSCorrelationID.
func (m *Message) CorrelationID() string { return m.head().CorrelationID }

// SetCorrelationID sets JMSCorrelationID: any text of at most 64 KiB, which Send checks.
func (m *Message) SetCorrelationID(id string) { m.head().CorrelationID = id }

// Type is JMSType.
func (m *Message) Type() string { return m.head().Type }

// SetType sets JMSType: any text of at most 64 KiB, which Send checks.
func (m *Message) SetType(s string) { m.head().Type = s }

// ReplyTo is JMSReplyTo, where a reply is expected; nil: nowhere, or what the sender wrote is no destination.
func (m *Message) ReplyTo() Destination {
	if m.replyTo != nil || m.head().ReplyTo == "" {
		return m.replyTo
	}
	d, err := parseDestination(m.header.ReplyTo)
	if err != nil {
		return nil
	}
	m.replyTo = d
	return d
}

// SetReplyTo sets JMSReplyTo; nil: no reply is expected.
func (m *Message) SetReplyTo(d Destination) {
	m.head().ReplyTo, m.replyTo = "", d
	if d != nil {
		m.header.ReplyTo = d.String()
	}
}

func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// Acknowledge acknowledges everything that the context which received m has received: Context.Acknowledge.
func (m *Message) Acknowledge() error {
	if m.context == nil {
		return fmt.Errorf("%w: Acknowledge of a message that was not received", ErrIllegalState)
	}
	return m.context.Acknowledge()
}

// GiveBack gives one message back that was received and not acknowledged: it is delivered again, marked redelivered, and
// what was received besides is not touched. In AutoAcknowledge and DupsOKAcknowledge, which have acknowledged it, it is
// ErrIllegalState.
func (m *Message) GiveBack() error {
	c := m.context
	if c == nil {
		return fmt.Errorf("%w: GiveBack of a message that was not received", ErrIllegalState)
	}
	if err := c.enter(); err != nil {
		return err
	}
	defer c.guard.leave()
	i := slices.Index(c.unacked, m)
	if i < 0 {
		return fmt.Errorf("%w: GiveBack of a message that was acknowledged", ErrIllegalState)
	}
	c.unacked = slices.Delete(c.unacked, i, i+1)
	return c.release([]*Message{m})
}

// encode is the message as it travels, header included. The Message itself stays without one.
func (m *Message) encode() (*blaze.Message, error) {
	h := m.head()
	if err := h.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessageFormat, err)
	}
	if err := checkTexts(h); err != nil {
		return nil, err
	}
	out := m.body // entries and body are shared: it is encoded before anybody changes them
	reach.Blaze.SetHeader(&out, h.Append(nil))
	return &out, nil
}

// decode makes the Message that b is, which it takes.
func decode(b *blaze.Message) (*Message, error) {
	m := &Message{received: true, assigned: true, header: jmsheader.New()}
	if raw := reach.Blaze.Header(b); raw != nil {
		h, err := jmsheader.Parse(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMessageFormat, err)
		}
		m.header = h
		reach.Blaze.SetHeader(b, nil)
	}
	m.body = *b
	return m, nil
}
