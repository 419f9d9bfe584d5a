package blaze

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
)

// MaxNesting is how many messages may lie inside each other, by way of MapValue, the outermost
// included. A Message that nests deeper, or contains itself, cannot be encoded.
const MaxNesting = 32

// Message maps string keys to typed values, and may have a body besides: a text, bytes, or a
// protobuf message. The zero Message is empty and ready to use.
//
// A Message can be sent when its keys are not empty, its keys and texts are valid UTF-8, and it
// nests no deeper than MaxNesting. Setters do not check this; MarshalBinary and Broadcast do
// (ErrMalformed).
//
// Entries are kept in key order: looking up is a binary search, and setting keys in rising order
// appends. A Message is not safe for concurrent use while somebody changes it.
type Message struct {
	entries []entry // in key order, no key twice
	body    Value   // NoKind, StringKind, BytesKind or objectKind
	header  []byte  // the encoding of a JmsHeader, which this package does not look into; nil: there is none

	topic       string
	from        MemberID
	sequence    uint64
	redelivered bool
	asked       *asked // it is a request that was received; nil: it is not
}

type entry struct {
	key   string
	value Value
}

// object is a protobuf message in its encoding, as google.protobuf.Any has it.
type object struct {
	typeURL string
	value   []byte
}

// NewMessage returns an empty Message.
func NewMessage() *Message { return new(Message) }

// NewTextMessage returns a Message whose body is s.
func NewTextMessage(s string) *Message { return new(Message).SetText(s) }

// NewBytesMessage returns a Message whose body is b itself, not a copy.
func NewBytesMessage(b []byte) *Message { return new(Message).SetBytes(b) }

// NewObjectMessage returns a Message whose body is the encoding of o.
func NewObjectMessage(o proto.Message) (*Message, error) {
	m := new(Message)
	if err := m.SetObject(o); err != nil {
		return nil, err
	}
	return m, nil
}

// Text returns the body where that is a text.
func (m *Message) Text() (string, bool) {
	if m.body.kind != StringKind {
		return "", false
	}
	return m.body.text(), true
}

// SetText makes s the body, in place of what was there.
func (m *Message) SetText(s string) *Message {
	m.body = StringValue(s)
	return m
}

// Bytes returns the body where that is bytes, shared with m.
func (m *Message) Bytes() ([]byte, bool) {
	if m.body.kind != BytesKind {
		return nil, false
	}
	return m.body.bytes(), true
}

// SetBytes makes b itself the body, in place of what was there.
func (m *Message) SetBytes(b []byte) *Message {
	m.body = BytesValue(b)
	return m
}

// Object decodes the body where that is a protobuf message, anew at each call. Its type must be
// linked into the program (ErrUnsupported otherwise). Another body, or none, is ErrKind.
func (m *Message) Object() (proto.Message, error) {
	if m.body.kind != objectKind {
		return nil, fmt.Errorf("%w: the message has a body of kind %v, not an object", ErrKind, m.body.kind)
	}
	o := m.body.object()
	t, err := protoregistry.GlobalTypes.FindMessageByURL(o.typeURL)
	if err != nil {
		return nil, fmt.Errorf("%w: this program has no protobuf message %q: %w", ErrUnsupported, o.typeURL, err)
	}
	p := t.New().Interface()
	if err := proto.Unmarshal(o.value, p); err != nil {
		return nil, fmt.Errorf("%w: object of type %q: %w", ErrMalformed, o.typeURL, err)
	}
	return p, nil
}

// SetObject makes the encoding of o the body, in place of what was there: changing o afterwards
// changes nothing. On an error (ErrMalformed) the body stays as it is.
func (m *Message) SetObject(o proto.Message) error {
	var a anypb.Any
	if err := anypb.MarshalFrom(&a, o, proto.MarshalOptions{Deterministic: true}); err != nil {
		return fmt.Errorf("%w: object: %w", ErrMalformed, err)
	}
	m.body = objectValue(&object{typeURL: a.TypeUrl, value: a.Value})
	return nil
}

// Set gives key the value v, in place of an earlier one, and returns m. Bytes and maps inside v
// are shared, not copied.
func (m *Message) Set(key string, v Value) *Message {
	// Keys mostly come in order: from a decoder, from a struct's fields, from a sorted source.
	if n := len(m.entries); n == 0 || m.entries[n-1].key < key {
		m.entries = append(m.entries, entry{key, v})
		return m
	}
	i, found := m.find(key)
	if found {
		m.entries[i].value = v
	} else {
		m.entries = slices.Insert(m.entries, i, entry{key, v})
	}
	return m
}

// Get returns the value of key.
func (m *Message) Get(key string) (Value, bool) {
	i, found := m.find(key)
	if !found {
		return Value{}, false
	}
	return m.entries[i].value, true
}

// Delete removes key, if it is there.
func (m *Message) Delete(key string) {
	if i, found := m.find(key); found {
		m.entries = slices.Delete(m.entries, i, i+1)
	}
}

// Len is the number of entries; the body does not count.
func (m *Message) Len() int { return len(m.entries) }

// All goes through the entries in key order. The loop may give existing keys other values; it
// must not add or delete keys.
func (m *Message) All() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for _, e := range m.entries {
			if !yield(e.key, e.value) {
				return
			}
		}
	}
}

// Clone returns a deep copy: bytes and maps are copied, and so is what is known about a received
// message. Of a Message that nests deeper than MaxNesting the maps are shared.
func (m *Message) Clone() *Message {
	if m == nil {
		return nil
	}
	return m.clone(m.nests(MaxNesting))
}

func (m *Message) clone(deep bool) *Message {
	c := *m
	c.entries = slices.Clone(m.entries)
	c.body = m.body.clone(deep)
	c.header = slices.Clone(m.header)
	for i := range c.entries {
		c.entries[i].value = c.entries[i].value.clone(deep)
	}
	return &c
}

func (v Value) clone(deep bool) Value {
	switch {
	case v.kind == BytesKind:
		return BytesValue(slices.Clone(v.bytes()))
	case v.kind == MapKind && deep:
		return MapValue(v.message().clone(deep))
	}
	return v // the bytes of an object never change
}

// Equal reports whether m and o have the same entries and the same body. Where they came from does
// not matter. Objects are equal when their types and encodings are, and so are the headers of messages that package
// jms has made.
func (m *Message) Equal(o *Message) bool {
	if m == o {
		return true
	}
	return m != nil && o != nil && m.body.Equal(o.body) &&
		(m.header == nil) == (o.header == nil) && bytes.Equal(m.header, o.header) &&
		slices.EqualFunc(m.entries, o.entries, func(a, b entry) bool { return a.key == b.key && a.value.Equal(b.value) })
}

// String is m for people to read, and not meant to be parsed: {bid:99.5 symbol:"ACME"} "body". Braces
// that would be empty are left out beside a body.
func (m *Message) String() string {
	if m == nil {
		return "<nil>"
	}
	if !m.nests(MaxNesting) {
		return "{…}"
	}
	if len(m.entries) == 0 && m.body.kind != NoKind {
		return m.bodyString()
	}
	var s strings.Builder
	s.WriteByte('{')
	for i, e := range m.entries {
		if i > 0 {
			s.WriteByte(' ')
		}
		fmt.Fprintf(&s, "%s:", e.key)
		if e.value.kind == StringKind {
			fmt.Fprintf(&s, "%q", e.value.text())
		} else {
			s.WriteString(e.value.String())
		}
	}
	s.WriteByte('}')
	if m.body.kind != NoKind {
		s.WriteString(" " + m.bodyString())
	}
	return s.String()
}

func (m *Message) bodyString() string {
	switch m.body.kind {
	case StringKind:
		return strconv.Quote(m.body.text())
	case objectKind:
		return m.body.object().typeURL
	}
	return m.body.String()
}

// Topic is the topic, in-box or queue that m was received on; empty on a message that was made here, and on a reply.
func (m *Message) Topic() string { return m.topic }

// From is the member that sent m; zero on a message that was made here.
func (m *Message) From() MemberID { return m.from }

// Sequence is m's number in its stream, from 1; zero on a message that was made here, and on a reply. The in-box
// messages of one member to another are numbered together, and so are its queue messages: the numbers of one in-box or
// queue have gaps. Those of a member to itself have none.
func (m *Message) Sequence() uint64 { return m.sequence }

// Redelivered reports whether a queue handed m to another consumer before, which may have worked on it.
func (m *Message) Redelivered() bool { return m.redelivered }

// Wanted reports whether m is a request that was received: its sender waits for a Reply.
func (m *Message) Wanted() bool { return m.asked != nil }

// setReceived notes where m came from.
func (m *Message) setReceived(topic string, from MemberID, sequence uint64, redelivered bool) {
	m.topic, m.from, m.sequence, m.redelivered = topic, from, sequence, redelivered
}

func (m *Message) find(key string) (int, bool) {
	return slices.BinarySearchFunc(m.entries, key, func(e entry, key string) int { return strings.Compare(e.key, key) })
}

// nests reports whether m is at most depth messages deep. It stops at the first that is deeper,
// so that a message that contains itself ends it at once.
func (m *Message) nests(depth int) bool {
	if depth == 0 {
		return false
	}
	for i := range m.entries {
		if v := &m.entries[i].value; v.kind == MapKind && !v.message().nests(depth-1) {
			return false
		}
	}
	return true
}

func objectValue(o *object) Value { return Value{kind: objectKind, ptr: unsafe.Pointer(o)} }

func (o *object) equal(p *object) bool {
	return o.typeURL == p.typeURL && slices.Equal(o.value, p.value)
}
