package jmsheader

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"github.com/activeblaze/blaze/selector"
)

// Bounds of a header.
const (
	MaxProperties    = 256      // of one message
	MaxPropertyBytes = 64 << 10 // their names, and their values that are texts, together
	MaxText          = 64 << 10 // bytes of a correlation id, and of a type
	MaxReplyTo       = 512      // bytes
	MaxPriority      = 9
	DefaultPriority  = 4 // Jakarta Messaging 3.1, section 3.4.10
)

// Mode is a delivery mode.
type Mode uint8

// The delivery modes. Unspecified is what messages have that no program of this API sent; it means NonPersistent.
const (
	Unspecified Mode = iota
	NonPersistent
	Persistent
)

// Body says what a body stands for, where the Message does not show it.
type Body uint8

// The kinds of bodies.
const (
	Derived Body = iota
	Map
	Stream
	Text   // a null text
	Bytes  // no bytes
	Object // no object
)

// ID is a message's id: the MemberID of the sender's start and a counter, big-endian. The zero ID is none.
type ID [24]byte

// MakeID is the id of the n-th message of a member's start.
func MakeID(member [16]byte, n uint64) (id ID) {
	copy(id[:], member[:])
	binary.BigEndian.PutUint64(id[16:], n)
	return id
}

// Member is the member that the id names. Nothing proves that it sent the message.
func (id ID) Member() [16]byte { return [16]byte(id[:16]) }

// Counter is the number of the message among those of Member.
func (id ID) Counter() uint64 { return binary.BigEndian.Uint64(id[16:]) }

const prefix = "ID:"

// String is "ID:" and 48 hexadecimal digits; "" for the zero ID.
func (id ID) String() string {
	if id == (ID{}) {
		return ""
	}
	b := make([]byte, 0, len(prefix)+2*len(id))
	return string(hex.AppendEncode(append(b, prefix...), id[:]))
}

// ParseID is the inverse of String. ok is false for any other text.
func ParseID(s string) (id ID, ok bool) {
	digits, found := strings.CutPrefix(s, prefix)
	if s == "" {
		return ID{}, true
	}
	if !found || len(digits) != 2*len(id) || strings.ToLower(digits) != digits {
		return ID{}, false
	}
	if _, err := hex.Decode(id[:], []byte(digits)); err != nil || id == (ID{}) {
		return ID{}, false
	}
	return id, true
}

// Header is what a message has besides its body. Times are milliseconds since 1970, 0: none.
type Header struct {
	ID            ID
	CorrelationID string
	ReplyTo       string // "queue:NAME", "topic:NAME", "temp-queue:MEMBER/NUMBER"
	Type          string
	Timestamp     int64 // when it was sent, by its sender's clock
	Expiration    int64
	DeliveryTime  int64 // not to be delivered before
	Mode          Mode
	Priority      uint8  // 0..MaxPriority
	Count         uint32 // how often it was delivered before
	Connection    [16]byte
	Properties    []Property // in the order of names, no name twice
	Body          Body
}

// New is the header of a message that has none.
func New() Header { return Header{Priority: DefaultPriority} }

// Property is a named value.
type Property struct {
	Name  string
	Value Value
}

// Hidden reports whether name is one that applications and selectors are not shown.
func Hidden(name string) bool { return strings.HasPrefix(name, ".") }

// Get returns the property of that name.
func (h *Header) Get(name string) (Value, bool) {
	if i, found := h.find(name); found {
		return h.Properties[i].Value, true
	}
	return Value{}, false
}

// Set gives the property of that name a value.
func (h *Header) Set(name string, v Value) {
	if i, found := h.find(name); found {
		h.Properties[i].Value = v
	} else {
		h.Properties = slices.Insert(h.Properties, i, Property{name, v})
	}
}

// Delete removes the property of that name.
func (h *Header) Delete(name string) {
	if i, found := h.find(name); found {
		h.Properties = slices.Delete(h.Properties, i, i+1)
	}
}

func (h *Header) find(name string) (int, bool) {
	return slices.BinarySearchFunc(h.Properties, name, func(p Property, name string) int { return strings.Compare(p.Name, name) })
}

// Check returns why h cannot be encoded, or nil: which of its bounds it breaks.
func (h *Header) Check() error {
	switch {
	case h.Timestamp < 0 || h.Expiration < 0 || h.DeliveryTime < 0:
		return errTime
	case h.Priority > MaxPriority:
		return errPriority
	case h.Mode > Persistent || h.Body > Object:
		return errEnum
	case len(h.CorrelationID) > MaxText || len(h.Type) > MaxText || len(h.ReplyTo) > MaxReplyTo:
		return errText
	case len(h.Properties) > MaxProperties:
		return errProperties
	}
	size := 0
	for i := range h.Properties {
		p := &h.Properties[i]
		if size += len(p.Name) + len(p.Value.Text); size > MaxPropertyBytes {
			return errProperties
		}
		if p.Name == "" {
			return errName
		}
	}
	return nil
}

// Errors of Check and Parse, made once: a flood of bad headers formats nothing.
var (
	ErrEncoding   = errors.New("jms header: not a protobuf encoding of it")
	errTime       = errors.New("jms header: a time lies before 1970")
	errPriority   = errors.New("jms header: the priority is above 9")
	errEnum       = errors.New("jms header: an unknown delivery mode or kind of body")
	errText       = errors.New("jms header: a text is too long: 64 KiB for a correlation id or type, 512 bytes for a destination")
	errProperties = errors.New("jms header: more than 256 properties, or more than 64 KiB of them")
	errName       = errors.New("jms header: a property without a name")
	errUTF8       = errors.New("jms header: a text is not valid UTF-8")
	errID         = errors.New("jms header: an id that has not 24 bytes, or a connection that has not 16")
	errKind       = errors.New("jms header: a property's value is of a kind that properties do not have, or out of its range")
)

// Lookup implements selector.Source: the six header fields that selectors know, JMSXDeliveryCount, and the properties
// that are not hidden.
func (h *Header) Lookup(_ int, name string) selector.Value {
	if strings.HasPrefix(name, "JMS") {
		switch name {
		case "JMSDeliveryMode":
			if h.Mode == Persistent {
				return selector.Text("PERSISTENT")
			}
			return selector.Text("NON_PERSISTENT")
		case "JMSPriority":
			return selector.Int(int64(h.Priority))
		case "JMSMessageID":
			return orNull(h.ID.String())
		case "JMSTimestamp":
			return selector.Int(h.Timestamp)
		case "JMSCorrelationID":
			return orNull(h.CorrelationID)
		case "JMSType":
			return orNull(h.Type)
		case "JMSXDeliveryCount":
			return selector.Int(int64(h.Count) + 1)
		}
	}
	v, _ := h.Get(name)
	return v.Selector()
}

func orNull(s string) selector.Value {
	if s == "" {
		return selector.Value{}
	}
	return selector.Text(s)
}
