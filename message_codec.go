package blaze

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/activeblaze/blaze/internal/pb"
	"google.golang.org/protobuf/encoding/protowire"
)

// The encoding is blaze.wire.v1.Message of wire/blaze.proto, written by hand: no reflection, and
// always the same bytes for the same Message (fields in order, entries in key order). Tests hold
// it equal to the generated code. What follows is the schema's field numbers.
const (
	messageEntries protowire.Number = 1
	messageText    protowire.Number = 2
	messageBytes   protowire.Number = 3
	messageObject  protowire.Number = 4
	messageHeader  protowire.Number = 8

	entryKey   protowire.Number = 1
	entryValue protowire.Number = 2

	valueInt8    protowire.Number = 1
	valueBytes   protowire.Number = 2
	valueChar    protowire.Number = 3
	valueBool    protowire.Number = 4
	valueInt16   protowire.Number = 5
	valueInt32   protowire.Number = 6
	valueInt64   protowire.Number = 7
	valueFloat32 protowire.Number = 8
	valueFloat64 protowire.Number = 9
	valueText    protowire.Number = 10
	valueMap     protowire.Number = 11

	objectType  protowire.Number = 1
	objectBytes protowire.Number = 2
)

// What the decoder answers, made once: a flood of bad messages formats nothing.
var (
	errEncoding = fmt.Errorf("%w: not a protobuf encoding of it", ErrMalformed)
	errNesting  = fmt.Errorf("%w: nests deeper than %d", ErrMalformed, MaxNesting)
	errKey      = fmt.Errorf("%w: a key is empty", ErrMalformed)
	errUTF8     = fmt.Errorf("%w: a key or text is not valid UTF-8", ErrMalformed)
	errInteger  = fmt.Errorf("%w: an integer is out of its kind's range", ErrMalformed)
	errChar     = fmt.Errorf("%w: a character is not a Unicode code point", ErrMalformed)
)

// MarshalBinary encodes the entries and the body, always to the same bytes. It fails with
// ErrMalformed when m breaks one of the limits of Message.
func (m *Message) MarshalBinary() ([]byte, error) { return m.AppendBinary(nil) }

// AppendBinary appends what MarshalBinary returns to dst, and allocates nothing when there is
// room. On an error it returns dst as it was.
func (m *Message) AppendBinary(dst []byte) ([]byte, error) {
	if m == nil {
		return dst, fmt.Errorf("%w: the message is nil", ErrArgument)
	}
	if err := m.check(MaxNesting); err != nil {
		return dst, err
	}
	return m.append(slices.Grow(dst, m.size())), nil
}

// UnmarshalBinary makes m the Message that b encodes; what m held before, topic and sender
// included, is gone. It keeps no reference to b: there is one copy of b in memory, which all
// keys, texts and bytes of m share. Fields that it does not know, which are a later version's,
// are skipped. On an error (ErrMalformed) m is unchanged.
func (m *Message) UnmarshalBinary(b []byte) error {
	var d Message
	if err := d.parse(slices.Clone(b), MaxNesting); err != nil {
		return err
	}
	d.settle()
	*m = d
	return nil
}

// check reports whether m can be encoded: depth messages may nest, m included.
func (m *Message) check(depth int) error {
	if depth == 0 {
		return errNesting
	}
	for i := range m.entries {
		e := &m.entries[i]
		switch {
		case e.key == "":
			return errKey
		case !utf8.ValidString(e.key):
			return fmt.Errorf("%w: key %q is not valid UTF-8", ErrMalformed, e.key)
		case e.value.kind == StringKind && !utf8.ValidString(e.value.text()):
			return fmt.Errorf("%w: the text of key %q is not valid UTF-8", ErrMalformed, e.key)
		case e.value.kind == MapKind:
			if err := e.value.message().check(depth - 1); err != nil {
				return err
			}
		}
	}
	if m.body.kind == StringKind && !utf8.ValidString(m.body.text()) {
		return fmt.Errorf("%w: its text is not valid UTF-8", ErrMalformed)
	}
	return nil
}

// size is the length of m's encoding. All field numbers are below 16: each tag is one byte.
func (m *Message) size() int {
	n := 0
	for i := range m.entries {
		n += 1 + protowire.SizeBytes(m.entries[i].size())
	}
	switch m.body.kind {
	case StringKind, BytesKind:
		n += 1 + protowire.SizeBytes(int(m.body.num))
	case objectKind:
		n += 1 + protowire.SizeBytes(m.body.object().size())
	}
	if m.header != nil {
		n += 1 + protowire.SizeBytes(len(m.header))
	}
	return n
}

func (e *entry) size() int {
	return 1 + protowire.SizeBytes(len(e.key)) + 1 + protowire.SizeBytes(e.value.size())
}

func (v Value) size() int {
	switch v.kind {
	case ByteKind, Int16Kind, Int32Kind, Int64Kind:
		return 1 + protowire.SizeVarint(protowire.EncodeZigZag(int64(v.num)))
	case CharKind:
		return 1 + protowire.SizeVarint(v.num)
	case BoolKind:
		return 1 + 1
	case Float32Kind:
		return 1 + 4
	case Float64Kind:
		return 1 + 8
	case BytesKind, StringKind:
		return 1 + protowire.SizeBytes(int(v.num))
	case MapKind:
		return 1 + protowire.SizeBytes(v.message().size())
	}
	return 0
}

// size leaves out what is empty, as proto3 does for fields without presence.
func (o *object) size() int {
	n := 0
	if o.typeURL != "" {
		n += 1 + protowire.SizeBytes(len(o.typeURL))
	}
	if len(o.value) > 0 {
		n += 1 + protowire.SizeBytes(len(o.value))
	}
	return n
}

func (m *Message) append(dst []byte) []byte {
	for i := range m.entries {
		e := &m.entries[i]
		dst = pb.AppendLength(dst, messageEntries, e.size())
		dst = pb.AppendLength(dst, entryKey, len(e.key))
		dst = append(dst, e.key...)
		dst = pb.AppendLength(dst, entryValue, e.value.size())
		dst = e.value.append(dst)
	}
	switch m.body.kind {
	case StringKind:
		dst = pb.AppendLength(dst, messageText, int(m.body.num))
		dst = append(dst, m.body.text()...)
	case BytesKind:
		dst = pb.AppendLength(dst, messageBytes, int(m.body.num))
		dst = append(dst, m.body.bytes()...)
	case objectKind:
		o := m.body.object()
		dst = pb.AppendLength(dst, messageObject, o.size())
		dst = o.append(dst)
	}
	if m.header != nil {
		dst = pb.AppendLength(dst, messageHeader, len(m.header))
		dst = append(dst, m.header...)
	}
	return dst
}

func (v Value) append(dst []byte) []byte {
	switch v.kind {
	case ByteKind:
		return pb.AppendSigned(dst, valueInt8, v.num)
	case BytesKind:
		return append(pb.AppendLength(dst, valueBytes, int(v.num)), v.bytes()...)
	case CharKind:
		return pb.AppendVarint(dst, valueChar, v.num)
	case BoolKind:
		return pb.AppendVarint(dst, valueBool, v.num)
	case Int16Kind:
		return pb.AppendSigned(dst, valueInt16, v.num)
	case Int32Kind:
		return pb.AppendSigned(dst, valueInt32, v.num)
	case Int64Kind:
		return pb.AppendSigned(dst, valueInt64, v.num)
	case Float32Kind:
		return protowire.AppendFixed32(protowire.AppendTag(dst, valueFloat32, protowire.Fixed32Type), uint32(v.num))
	case Float64Kind:
		return protowire.AppendFixed64(protowire.AppendTag(dst, valueFloat64, protowire.Fixed64Type), v.num)
	case StringKind:
		return append(pb.AppendLength(dst, valueText, int(v.num)), v.text()...)
	case MapKind:
		m := v.message()
		return m.append(pb.AppendLength(dst, valueMap, m.size()))
	}
	return dst // NoKind: an empty Value
}

func (o *object) append(dst []byte) []byte {
	if o.typeURL != "" {
		dst = append(pb.AppendLength(dst, objectType, len(o.typeURL)), o.typeURL...)
	}
	if len(o.value) > 0 {
		dst = append(pb.AppendLength(dst, objectBytes, len(o.value)), o.value...)
	}
	return dst
}

// parse adds what b encodes to m, and m keeps b: an embedded message that
// comes twice is merged, as in protobuf. Entries are left in the order in which they come; settle puts them
// right once, at the end, so that no order of entries costs more than a sort.
func (m *Message) parse(b []byte, depth int) error {
	if depth == 0 {
		return errNesting
	}
	m.entries = slices.Grow(m.entries, countEntries(b))
	for len(b) > 0 {
		f, n := pb.Next(b)
		if n < 0 {
			return errEncoding
		}
		b = b[n:]
		if f.Type != protowire.BytesType {
			continue
		}
		var err error
		switch f.Number {
		case messageEntries:
			var e entry
			if err = e.parse(f.Bytes, depth); err == nil {
				m.entries = append(m.entries, e)
			}
		case messageText:
			var s string
			s, err = textOf(f.Bytes)
			m.body = StringValue(s)
		case messageBytes:
			m.body = BytesValue(f.Bytes)
		case messageObject:
			if m.body.kind != objectKind {
				m.body = objectValue(new(object))
			}
			err = m.body.object().parse(f.Bytes)
		case messageHeader:
			m.addHeader(f.Bytes)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addHeader adds a piece of the header: an embedded message that comes in pieces is all of them, one behind the other.
func (m *Message) addHeader(b []byte) {
	if m.header == nil {
		m.header = b[:len(b):len(b)] // the next piece, if there is one, moves it to memory of its own
		return
	}
	m.header = append(m.header, b...)
}

// countEntries counts the entries of b, so that there is one allocation for them. What is
// wrong with b is found by parse.
func countEntries(b []byte) int {
	count := 0
	for len(b) > 0 {
		f, n := pb.Next(b)
		if n < 0 {
			break
		}
		if f.Number == messageEntries && f.Type == protowire.BytesType {
			count++
		}
		b = b[n:]
	}
	return count
}

func (e *entry) parse(b []byte, depth int) error {
	for len(b) > 0 {
		f, n := pb.Next(b)
		if n < 0 {
			return errEncoding
		}
		b = b[n:]
		if f.Type != protowire.BytesType {
			continue
		}
		var err error
		switch f.Number {
		case entryKey:
			e.key, err = textOf(f.Bytes)
		case entryValue:
			err = e.value.parse(f.Bytes, depth)
		}
		if err != nil {
			return err
		}
	}
	if e.key == "" {
		return errKey
	}
	return nil
}

func (v *Value) parse(b []byte, depth int) error {
	for len(b) > 0 {
		f, n := pb.Next(b)
		if n < 0 {
			return errEncoding
		}
		b = b[n:]
		var err error
		switch f.Type {
		case protowire.VarintType:
			err = v.setVarint(f.Number, f.Bits)
		case protowire.Fixed32Type:
			if f.Number == valueFloat32 {
				*v = Value{kind: Float32Kind, num: f.Bits}
			}
		case protowire.Fixed64Type:
			if f.Number == valueFloat64 {
				*v = Value{kind: Float64Kind, num: f.Bits}
			}
		case protowire.BytesType:
			switch f.Number {
			case valueBytes:
				*v = BytesValue(f.Bytes)
			case valueText:
				var s string
				s, err = textOf(f.Bytes)
				*v = StringValue(s)
			case valueMap:
				if v.kind != MapKind {
					*v = MapValue(new(Message))
				}
				err = v.message().parse(f.Bytes, depth-1)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (v *Value) setVarint(field protowire.Number, bits uint64) error {
	// A 32-bit field whose varint is longer is cut, as in protobuf.
	small := int32(protowire.DecodeZigZag(bits & math.MaxUint32))
	switch field {
	case valueInt8:
		if small != int32(int8(small)) {
			return errInteger
		}
		*v = ByteValue(int8(small))
	case valueChar:
		if c := uint32(bits); c > utf8.MaxRune || !utf8.ValidRune(rune(c)) {
			return errChar
		}
		*v = CharValue(rune(bits))
	case valueBool:
		*v = BoolValue(protowire.DecodeBool(bits))
	case valueInt16:
		if small != int32(int16(small)) {
			return errInteger
		}
		*v = Int16Value(int16(small))
	case valueInt32:
		*v = Int32Value(small)
	case valueInt64:
		*v = Int64Value(protowire.DecodeZigZag(bits))
	}
	return nil
}

func (o *object) parse(b []byte) error {
	for len(b) > 0 {
		f, n := pb.Next(b)
		if n < 0 {
			return errEncoding
		}
		b = b[n:]
		if f.Type != protowire.BytesType {
			continue
		}
		switch f.Number {
		case objectType:
			s, err := textOf(f.Bytes)
			if err != nil {
				return err
			}
			o.typeURL = s
		case objectBytes:
			o.value = f.Bytes
		}
	}
	return nil
}

// settle puts the entries of m, and of all inside it, in key order. Of a key that came twice the
// last one counts.
func (m *Message) settle() {
	if !rising(m.entries) {
		m.entries = sorted(m.entries)
	}
	for i := range m.entries {
		if v := &m.entries[i].value; v.kind == MapKind {
			v.message().settle()
		}
	}
}

// sorted returns entries in key order, of equal keys the last. It sorts indexes: that is stable,
// and several times as fast as a stable sort of entries when a hostile message has 100,000.
func sorted(entries []entry) []entry {
	order := make([]int32, len(entries))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		if c := strings.Compare(entries[a].key, entries[b].key); c != 0 {
			return c
		}
		return int(a - b)
	})
	out := make([]entry, 0, len(entries))
	for i, at := range order {
		if i+1 == len(order) || entries[order[i+1]].key != entries[at].key {
			out = append(out, entries[at])
		}
	}
	return out
}

func rising(entries []entry) bool {
	for i := 1; i < len(entries); i++ {
		if entries[i-1].key >= entries[i].key {
			return false
		}
	}
	return true
}

// textOf is b as a string, which shares b's memory: nobody writes to it any more.
func textOf(b []byte) (string, error) {
	if !utf8.Valid(b) {
		return "", errUTF8
	}
	return unsafe.String(unsafe.SliceData(b), len(b)), nil
}
