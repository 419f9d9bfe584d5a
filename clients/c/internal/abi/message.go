package abi

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"unicode/utf8"
	"unsafe"

	"github.com/activeblaze/blaze"
)

// tree is a Message with all that lies in it, what of it is lent to the caller, and the handles of what lies in it.
type tree struct {
	mu     sync.Mutex
	closed bool
	kept   bool // a handler's message outlives its handler
	lent   map[lentAt]unsafe.Pointer
	inner  map[*blaze.Message]uint64
}

// lentAt is a place in a tree.
type lentAt struct {
	m    *blaze.Message
	what lentWhat
	key  string
}

type lentWhat uint8

const (
	lentValue lentWhat = iota
	lentKey
	lentBody
	lentTopic
)

// message is one Message of a tree: the outermost, or one in it.
type message struct {
	root  *tree
	m     *blaze.Message
	outer bool
}

func (m *message) close() error {
	t := m.root
	t.mu.Lock()
	defer t.mu.Unlock()
	if !m.outer {
		delete(t.inner, m.m)
		return nil
	}
	t.closed = true
	t.changed()
	for _, h := range t.inner {
		handles.remove(h)
	}
	return nil
}

// changed takes back what is lent. The lock is held.
func (t *tree) changed() {
	for at, p := range t.lent {
		Heap.Free(p)
		delete(t.lent, at)
	}
}

// lend returns a copy of text that lives until the tree changes. The lock is held.
func (t *tree) lend(m *blaze.Message, what lentWhat, key, text string) unsafe.Pointer {
	at := lentAt{m, what, key}
	if p, ok := t.lent[at]; ok {
		return p
	}
	if t.lent == nil {
		t.lent = map[lentAt]unsafe.Pointer{}
	}
	p := copyText(text)
	t.lent[at] = p
	return p
}

func messageOf(h uint64) (*message, error) { return look[*message](h, KindMessage) }

// withMessage calls f with the message locked.
func withMessage(h uint64, f func(*message) error) error {
	m, err := messageOf(h)
	if err != nil {
		return err
	}
	m.root.mu.Lock()
	defer m.root.mu.Unlock()
	if m.root.closed {
		return badHandle(h, KindMessage)
	}
	return f(m)
}

// copyOf is a copy of a message, for a call that may wait.
func copyOf(h uint64) (c *blaze.Message, err error) {
	err = withMessage(h, func(m *message) error {
		c = m.m.Clone()
		return nil
	})
	return c, err
}

// adoptMessage gives a message a handle.
func adoptMessage(m *blaze.Message) (uint64, error) {
	return handles.add(KindMessage, &message{root: new(tree), m: m, outer: true})
}

// NewMessage makes an empty message.
func NewMessage() (uint64, error) { return adoptMessage(blaze.NewMessage()) }

// Keep has a message outlive the handler that it was given to.
func Keep(h uint64) error {
	return withMessage(h, func(m *message) error {
		m.root.kept = true
		return nil
	})
}

// handled closes a message that a handler was given, unless it was kept.
func handled(h uint64) {
	kept := true
	if withMessage(h, func(m *message) error { kept = m.root.kept; return nil }) == nil && !kept {
		_ = Close(h)
	}
}

// Value is a blaze.Value as blaze.h has it.
type Value struct {
	Kind    uint32
	Integer int64
	Real    float64
	Data    unsafe.Pointer
	Length  int
	Map     uint64
}

// value makes the Value of what a caller passes; data are the bytes at v.Data, which are copied.
func (v *Value) value(data []byte) (out blaze.Value, err error) {
	low, high := int64(math.MinInt64), int64(math.MaxInt64)
	kind := blaze.ValueKind(min(v.Kind, 255))
	switch kind {
	case blaze.ByteKind:
		low, high = math.MinInt8, math.MaxInt8
		out = blaze.ByteValue(int8(v.Integer))
	case blaze.BytesKind:
		out = blaze.BytesValue(append([]byte{}, data...))
	case blaze.CharKind:
		if low, high = 0, utf8.MaxRune; v.Integer >= low && v.Integer <= high && !utf8.ValidRune(rune(v.Integer)) {
			return out, fmt.Errorf("%w: %#x is no code point", blaze.ErrArgument, v.Integer)
		}
		out = blaze.CharValue(rune(v.Integer))
	case blaze.BoolKind:
		out = blaze.BoolValue(v.Integer != 0)
	case blaze.Int16Kind:
		low, high = math.MinInt16, math.MaxInt16
		out = blaze.Int16Value(int16(v.Integer))
	case blaze.Int32Kind:
		low, high = math.MinInt32, math.MaxInt32
		out = blaze.Int32Value(int32(v.Integer))
	case blaze.Int64Kind:
		out = blaze.Int64Value(v.Integer)
	case blaze.Float32Kind:
		out = blaze.Float32Value(float32(v.Real))
	case blaze.Float64Kind:
		out = blaze.Float64Value(v.Real)
	case blaze.StringKind:
		out = blaze.StringValue(string(data))
	case blaze.MapKind:
		m, err := copyOf(v.Map)
		if err != nil {
			return out, err
		}
		out = blaze.MapValue(m)
	default:
		return out, fmt.Errorf("%w: a value of kind %d: BLAZE_VALUE_BYTE to BLAZE_VALUE_MAP are 1 to 11", blaze.ErrArgument, v.Kind)
	}
	if v.Integer < low || v.Integer > high {
		return out, fmt.Errorf("%w: %d is no %v, which is %d to %d", blaze.ErrArgument, v.Integer, kind, low, high)
	}
	return out, nil
}

// shown makes the Value that a caller gets. The lock is held.
func (m *message) shown(what lentWhat, key string, v blaze.Value) (out Value, err error) {
	out.Kind = uint32(v.Kind())
	switch x := v.Any().(type) {
	case int8:
		out.Integer = int64(x)
	case int16:
		out.Integer = int64(x)
	case int32: // char too
		out.Integer = int64(x)
	case int64:
		out.Integer = x
	case bool:
		if x {
			out.Integer = 1
		}
	case float32:
		out.Real = float64(x)
	case float64:
		out.Real = x
	case []byte:
		out.Data, out.Length = m.root.lend(m.m, what, key, unsafe.String(unsafe.SliceData(x), len(x))), len(x)
	case string:
		out.Data, out.Length = m.root.lend(m.m, what, key, x), len(x)
	case *blaze.Message:
		out.Map, err = m.root.handleOf(x)
	default:
		return Value{}, fmt.Errorf("%w: key %q has a value of a kind that this version does not know", blaze.ErrUnsupported, key)
	}
	return out, err
}

// handleOf is the handle of a message that lies in the tree. The lock is held.
func (t *tree) handleOf(inner *blaze.Message) (uint64, error) {
	if h, ok := t.inner[inner]; ok {
		return h, nil
	}
	h, err := handles.add(KindMessage, &message{root: t, m: inner})
	if err != nil {
		return 0, err
	}
	if t.inner == nil {
		t.inner = map[*blaze.Message]uint64{}
	}
	t.inner[inner] = h
	return h, nil
}

// Set gives key a value; data are the bytes at v.Data.
func Set(h uint64, key string, v *Value, data []byte) error {
	value, err := v.value(data)
	if err != nil {
		return err
	}
	return withMessage(h, func(m *message) error {
		m.root.changed()
		m.m.Set(key, value)
		return nil
	})
}

// Get returns the value of key.
func Get(h uint64, key string) (out Value, err error) {
	err = withMessage(h, func(m *message) (err error) {
		v, ok := m.m.Get(key)
		if !ok {
			return fmt.Errorf("%w: the message has no key %q", ErrNotFound, key)
		}
		out, err = m.shown(lentValue, key, v)
		return err
	})
	return out, err
}

// Read returns the value of key as one kind, widened without loss.
func Read(h uint64, key string, kind blaze.ValueKind) (out Value, err error) {
	err = withMessage(h, func(m *message) (err error) {
		v, ok := m.m.Get(key)
		if !ok {
			return fmt.Errorf("%w: the message has no key %q", ErrNotFound, key)
		}
		switch kind {
		case blaze.Int64Kind:
			var i int64
			i, err = v.Int64()
			v = blaze.Int64Value(i)
		case blaze.Float64Kind:
			var f float64
			f, err = v.Float64()
			v = blaze.Float64Value(f)
		case blaze.BoolKind:
			_, err = v.Bool()
		case blaze.StringKind:
			_, err = v.Text()
		case blaze.BytesKind:
			_, err = v.Bytes()
		}
		if err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
		out, err = m.shown(lentValue, key, v)
		return err
	})
	return out, err
}

// Delete removes a key, if it is there.
func Delete(h uint64, key string) error {
	return withMessage(h, func(m *message) error {
		m.root.changed()
		m.m.Delete(key)
		return nil
	})
}

// Count is the number of entries.
func Count(h uint64) (n int, err error) {
	err = withMessage(h, func(m *message) error {
		n = m.m.Len()
		return nil
	})
	return n, err
}

// At returns an entry by its place in the order of keys.
func At(h uint64, i uint64) (key unsafe.Pointer, out Value, err error) {
	err = withMessage(h, func(m *message) (err error) {
		at := uint64(0)
		for k, v := range m.m.All() {
			if at == i {
				key = m.root.lend(m.m, lentKey, k, k)
				out, err = m.shown(lentValue, k, v)
				return err
			}
			at++
		}
		return fmt.Errorf("%w: entry %d of a message with %d", ErrNotFound, i, at)
	})
	return key, out, err
}

// SetBody makes a value of kind bytes or text the body.
func SetBody(h uint64, v *Value, data []byte) error {
	kind := blaze.ValueKind(min(v.Kind, 255))
	if kind != blaze.BytesKind && kind != blaze.StringKind {
		return fmt.Errorf("%w: a body of kind %d: it is bytes or text", blaze.ErrArgument, v.Kind)
	}
	return withMessage(h, func(m *message) error {
		m.root.changed()
		if kind == blaze.StringKind {
			m.m.SetText(string(data))
		} else {
			m.m.SetBytes(append([]byte{}, data...))
		}
		return nil
	})
}

// Body returns the body, of kind none where there is none.
func Body(h uint64) (out Value, err error) {
	err = withMessage(h, func(m *message) (err error) {
		if text, ok := m.m.Text(); ok {
			out, err = m.shown(lentBody, "", blaze.StringValue(text))
		} else if b, ok := m.m.Bytes(); ok {
			out, err = m.shown(lentBody, "", blaze.BytesValue(b))
		} else if _, oerr := m.m.Object(); oerr == nil || errors.Is(oerr, blaze.ErrUnsupported) {
			err = fmt.Errorf("%w: the body is a protobuf message, which the C library does not read", blaze.ErrUnsupported)
		}
		return err
	})
	return out, err
}

// Encode returns a block with the encoding of a message.
func Encode(h uint64) (p unsafe.Pointer, n int, err error) {
	err = withMessage(h, func(m *message) error {
		b, err := m.m.MarshalBinary()
		if err == nil {
			p, n = TextBlock(b), len(b)
		}
		return err
	})
	return p, n, err
}

// Decode makes a message of its encoding.
func Decode(b []byte) (uint64, error) {
	m := blaze.NewMessage()
	if err := m.UnmarshalBinary(b); err != nil {
		return 0, err
	}
	return adoptMessage(m)
}

// FromRaw makes a message whose body is a raw payload.
func FromRaw(b []byte) (uint64, error) {
	return adoptMessage(blaze.NewBytesMessage(append([]byte{}, b...)))
}

// About is where a received message came from.
type About struct {
	Topic               unsafe.Pointer
	From                blaze.MemberID
	Sequence            uint64
	Redelivered, Wanted bool
}

// AboutOf returns where a message came from.
func AboutOf(h uint64) (a About, err error) {
	err = withMessage(h, func(m *message) error {
		a = About{
			Topic: m.root.lend(m.m, lentTopic, "", m.m.Topic()), From: m.m.From(), Sequence: m.m.Sequence(),
			Redelivered: m.m.Redelivered(), Wanted: m.m.Wanted(),
		}
		return nil
	})
	return a, err
}
