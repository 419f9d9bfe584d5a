package blaze

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/activeblaze/blaze/internal/pb"
	"github.com/activeblaze/blaze/wire/wirepb"
)

// golden is what testdata/message-NAME.hex encodes.
func golden(t testing.TB) map[string]*Message {
	object, err := NewObjectMessage(&durationpb.Duration{Seconds: 3})
	if err != nil {
		t.Fatal(err)
	}
	kinds := NewMessage()
	for _, v := range sample() {
		kinds.Set(v.Kind().String(), v)
	}
	jms := NewTextMessage("buy")
	jms.header = wireHeader(t)
	return map[string]*Message{
		"jms":    jms,
		"empty":  NewMessage(),
		"text":   NewTextMessage("héllo"),
		"bytes":  NewBytesMessage(nil), // an empty body is not the same as none
		"object": object,
		"kinds":  kinds,
		"nested": NewTextMessage("outer").Set("a", MapValue(NewMessage().Set("b", MapValue(nil)))).Set("none", Value{}),
	}
}

// wireHeader is the JmsHeader of testdata/message-jms.hex, by the generated code.
func wireHeader(t testing.TB) []byte {
	return marshalGenerated(t, &wirepb.JmsHeader{
		Id:            append(bytes.Repeat([]byte{0xab}, 16), 0, 0, 0, 0, 0, 0, 1, 2),
		CorrelationId: "c-1", ReplyTo: "queue:answers", Type: "order",
		Timestamp: 1_700_000_000_000, Expiration: 1_700_000_060_000, DeliveryTime: 1_700_000_001_000,
		Mode: wirepb.JmsDeliveryMode_JMS_DELIVERY_MODE_PERSISTENT, Priority: proto.Uint32(0), Count: 3,
		Connection: bytes.Repeat([]byte{0xcd}, 16),
		Properties: map[string]*wirepb.Value{
			"size": {Kind: &wirepb.Value_Int32{Int32: 700}}, "symbol": {Kind: &wirepb.Value_Text{Text: "ACME"}},
		},
		Body: wirepb.JmsBody_JMS_BODY_MAP,
	})
}

func TestGoldenMessages(t *testing.T) {
	for name, m := range golden(t) {
		want := readHex(t, filepath.Join("testdata", "message-"+name+".hex"))
		got, err := m.MarshalBinary()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: encoded as %x, %v\nwant %x", name, got, err, want)
			continue
		}
		generated := marshalGenerated(t, toProto(m))
		if header, found := headerOf(generated); found { // it writes oneofs last
			generated = append(pb.AppendLength(withoutHeaders(generated), messageHeader, len(header)), header...)
		}
		if !bytes.Equal(generated, want) {
			t.Errorf("%s: the generated code encodes it as %x\nwant %x", name, generated, want)
		}
		var back Message
		if err := back.UnmarshalBinary(want); err != nil || !back.Equal(m) {
			t.Errorf("%s: decoded as %v, %v; want %v", name, &back, err, m)
		}
		// A strict prefix that ends between two fields is a message too; any other is refused.
		for n := range want {
			agree(t, want[:n])
		}
	}
}

// takenRow is an encoding of a Message that no encoder here writes.
type takenRow struct {
	why  string
	in   []byte
	want *Message
}

func takenRows() []takenRow {
	field := func(n protowire.Number, parts ...[]byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), slices.Concat(parts...))
	}
	number := func(n protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v)
	}
	key := func(s string) []byte { return field(1, []byte(s)) }
	mapOf := func(entries ...[]byte) []byte { return field(2, field(11, entries...)) }
	one, two := field(2, number(5, 2)), field(2, number(5, 4))
	a, b := NewMessage().Set("a", Int16Value(1)), NewMessage().Set("a", Int16Value(1)).Set("b", Int16Value(2))
	group := protowire.AppendTag(protowire.AppendTag(nil, 99, protowire.StartGroupType), 99, protowire.EndGroupType)
	return []takenRow{
		{"entries in any order", slices.Concat(field(1, key("b"), two), field(1, key("a"), one)), b},
		{"of a key that comes twice the last one counts", slices.Concat(field(1, key("a"), two), field(1, key("a"), one)), a},
		{"so also with others between", slices.Concat(field(1, key("b"), one), field(1, key("a"), one), field(1, key("b"), two)), b},
		{"value before key", field(1, one, key("a")), a},
		{"a header in pieces is all of them", slices.Concat(field(8, []byte{0x40}), field(2, []byte("t")), field(8, []byte{0x02}), field(8)),
			&Message{body: StringValue("t"), header: []byte{0x40, 0x02}}},
		{"an empty header is not the same as none", field(8), &Message{header: []byte{}}},
		{"what no header can be is kept too", field(8, []byte{0xff}), &Message{header: []byte{0xff}}},
		{"no value", field(1, key("a")), NewMessage().Set("a", Value{})},
		{"unknown fields of a later version", slices.Concat(field(99, []byte("x")), group, field(1, number(7, 7), key("a"), field(2, number(5, 2), field(50, nil)))), a},
		{"a known number with another type is unknown", slices.Concat(number(1, 7), number(2, 1), field(1, number(1, 1), key("a"), field(2, number(5, 2), field(6, nil)))), a},
		{"the last of several kinds counts", field(1, key("a"), field(2, number(1, 9), field(10, []byte("t")), number(5, 2))), a},
		{"the last of several bodies counts", slices.Concat(field(3, []byte("b")), field(2, []byte("t"))), NewTextMessage("t")},
		{"a map that comes twice is merged", field(1, key("m"), mapOf(field(1, key("b"), two)), mapOf(field(1, key("a"), one))), NewMessage().Set("m", MapValue(b))},
		{"a varint that is longer than needed", field(1, key("a"), field(2, []byte{5 << 3, 0x82, 0x80, 0x00})), a},
		{"a 32-bit varint is cut", field(1, key("a"), field(2, number(6, 1<<32|2))), NewMessage().Set("a", Int32Value(1))},
		{"any number but 0 is true", field(1, key("a"), field(2, number(4, 7))), NewMessage().Set("a", BoolValue(true))},
	}
}

func TestDecoderTakesWhatOthersWrite(t *testing.T) {
	for _, row := range takenRows() {
		var got Message
		if err := got.UnmarshalBinary(row.in); err != nil || !got.Equal(row.want) {
			t.Errorf("%s: %x is %v, %v; want %v", row.why, row.in, &got, err, row.want)
		}
		agree(t, row.in)
	}
}

// refusedRow is what is no encoding of a Message.
type refusedRow struct {
	why  string
	in   []byte
	want error
}

func refusedRows() []refusedRow {
	value := func(v []byte) []byte {
		e := protowire.AppendBytes([]byte{0x0a, 0x01, 'a', 0x12}, v)
		return protowire.AppendBytes([]byte{0x0a}, e)
	}
	zigzag := func(n protowire.Number, i int64) []byte {
		return value(protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), protowire.EncodeZigZag(i)))
	}
	char := func(c uint64) []byte { return value(protowire.AppendVarint([]byte{3 << 3}, c)) }
	return []refusedRow{
		{"a length beyond the end", []byte{0x12, 0x05, 'x'}, errEncoding},
		{"a length of 2^63", []byte{0x12, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}, errEncoding},
		{"a varint without end", bytes.Repeat([]byte{0xff}, 16), errEncoding},
		{"field number 0", []byte{0x02, 0x00}, errEncoding},
		{"field number 2^29", append(protowire.AppendVarint(nil, 1<<32), 0), errEncoding},
		{"an end without its group", []byte{0x0c}, errEncoding},
		{"a group without its end", []byte{0x1b}, errEncoding},
		{"an empty key", []byte{0x0a, 0x02, 0x0a, 0x00}, errKey},
		{"no key", []byte{0x0a, 0x00}, errKey},
		{"a key that is not UTF-8", []byte{0x0a, 0x03, 0x0a, 0x01, 0xff}, errUTF8},
		{"a text that is not UTF-8", []byte{0x12, 0x01, 0xff}, errUTF8},
		{"a text value that is not UTF-8", value([]byte{10<<3 | 2, 0x01, 0xff}), errUTF8},
		{"a type that is not UTF-8", []byte{0x22, 0x03, 0x0a, 0x01, 0xff}, errUTF8},
		{"int8 above", zigzag(valueInt8, math.MaxInt8+1), errInteger},
		{"int8 below", zigzag(valueInt8, math.MinInt8-1), errInteger},
		{"int16 above", zigzag(valueInt16, math.MaxInt16+1), errInteger},
		{"int16 below", zigzag(valueInt16, math.MinInt16-1), errInteger},
		{"a surrogate", char(0xd800), errChar},
		{"above the last code point", char(0x110000), errChar},
		{"a negative rune", char(math.MaxUint32), errChar},
	}
}

func TestDecoderRefuses(t *testing.T) {
	for _, row := range refusedRows() {
		m := NewTextMessage("unchanged")
		err := m.UnmarshalBinary(row.in)
		if !errors.Is(err, ErrMalformed) || err != row.want {
			t.Errorf("%s: %x: error %v, want %v", row.why, row.in, err, row.want)
		}
		if !m.Equal(NewTextMessage("unchanged")) {
			t.Errorf("%s: a refused encoding changed the message to %v", row.why, m)
		}
		agree(t, row.in)
	}
}

func TestLimits(t *testing.T) {
	deep := NewMessage()
	for range MaxNesting - 1 {
		deep = NewMessage().Set("in", MapValue(deep))
	}
	b, err := deep.MarshalBinary()
	if err != nil {
		t.Fatalf("%d messages inside each other: %v", MaxNesting, err)
	}
	var back Message
	if err := back.UnmarshalBinary(b); err != nil || !back.Equal(deep) || !deep.Clone().Equal(deep) {
		t.Errorf("%d messages inside each other do not come back: %v", MaxNesting, err)
	}
	deeper := NewMessage().Set("in", MapValue(deep))
	if _, err := deeper.MarshalBinary(); err != errNesting {
		t.Errorf("%d messages inside each other: %v", MaxNesting+1, err)
	}
	if err := back.UnmarshalBinary(marshalGenerated(t, toProto(deeper))); err != errNesting {
		t.Errorf("%d messages inside each other were decoded: %v", MaxNesting+1, err)
	}
	for why, m := range map[string]*Message{
		"an empty key":                   NewMessage().Set("", BoolValue(true)),
		"a key that is not UTF-8":        NewMessage().Set("\xff", BoolValue(true)),
		"a text that is not UTF-8":       NewTextMessage("\xff"),
		"a text value that is not UTF-8": NewMessage().Set("a", StringValue("\xff")),
		"one inside another":             NewMessage().Set("a", MapValue(NewTextMessage("\xff"))),
	} {
		dst := []byte("before")
		if out, err := m.AppendBinary(dst); !errors.Is(err, ErrMalformed) || string(out) != "before" {
			t.Errorf("%s: encoded as %q, %v", why, out, err)
		}
	}
}

func TestUnmarshalKeepsNothingOfItsInput(t *testing.T) {
	m := golden(t)["kinds"].Clone().SetBytes([]byte("body"))
	b, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var got Message
	got.setReceived("old", MemberID{1}, 1, true)
	if err := got.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	if got.Topic() != "" || !got.From().IsZero() || got.Sequence() != 0 || got.Redelivered() {
		t.Error("what was known of an earlier message is still there")
	}
	for i := range b {
		b[i] = 0xaa
	}
	if !got.Equal(m) {
		t.Errorf("overwriting the input changed the message to %v", &got)
	}
	// What the application appends to one value does not reach another.
	body, _ := got.Bytes()
	_ = append(body, "beyond"...)
	v, _ := got.Get("bytes")
	raw, _ := v.Bytes()
	_ = append(raw, "beyond"...)
	if !got.Equal(m) {
		t.Errorf("appending to a value changed another: %v", &got)
	}
}

// TestHostileMessages holds memory and time in proportion to the input (SE-1).
func TestHostileMessages(t *testing.T) {
	const size = 1 << 20
	repeat := func(unit ...byte) []byte { return bytes.Repeat(unit, size/len(unit)) }
	var falling []byte // keys in falling order: the worst for a sorted slice
	for i := 0x7ffff; len(falling) < size; i-- {
		falling = append(falling, 0x0a, 6, 0x0a, 4, '0'+byte(i>>18&63), '0'+byte(i>>12&63), '0'+byte(i>>6&63), '0'+byte(i&63))
	}
	nested := []byte{}
	for range 100_000 {
		nested = protowire.AppendBytes([]byte{0x0a, 0x01, 'a', 0x12}, protowire.AppendBytes([]byte{11<<3 | 2}, protowire.AppendBytes([]byte{0x0a}, nested)))
		if len(nested) > 1<<10 {
			break
		}
	}
	inputs := map[string][]byte{
		"the smallest entries":             repeat(0x0a, 3, 0x0a, 1, 'a'),
		"entries without key":              repeat(0x0a, 0),
		"the smallest maps":                repeat(0x0a, 7, 0x0a, 1, 'a', 0x12, 2, 11<<3|2, 0),
		"one map in a million pieces":      protowire.AppendBytes([]byte{0x0a}, slices.Concat([]byte{0x0a, 1, 'a', 0x12}, protowire.AppendBytes(nil, repeat(11<<3|2, 5, 0x0a, 3, 0x0a, 1, 'a')))),
		"objects":                          repeat(0x22, 0),
		"bodies by turns":                  repeat(0x22, 0, 0x12, 0),
		"keys in falling order":            falling,
		"unknown fields":                   repeat(0x78, 0),
		"groups inside groups":             repeat(0x7b),
		"nesting without end":              protowire.AppendBytes([]byte{0x0a}, nested),
		"two keys by turns, out of order":  repeat(0x0a, 3, 0x0a, 1, 'b', 0x0a, 3, 0x0a, 1, 'a'),
		"a long body, and nothing else":    protowire.AppendBytes([]byte{0x1a}, make([]byte, size)),
		"long lengths that are not there":  repeat(0x0a, 0xff, 0xff, 0xff, 0xff, 0x07),
		"many values in one entry":         protowire.AppendBytes([]byte{0x0a}, slices.Concat([]byte{0x0a, 1, 'a'}, repeat(0x12, 2, 0x08, 2))),
		"an entry's key a million times":   protowire.AppendBytes([]byte{0x0a}, repeat(0x0a, 1, 'a')),
		"a header in a million pieces":     repeat(0x42, 2, 0x40, 1),
		"maps inside maps, in many pieces": protowire.AppendBytes([]byte{0x0a}, slices.Concat([]byte{0x0a, 1, 'a', 0x12}, protowire.AppendBytes(nil, repeat(11<<3|2, 9, 0x0a, 7, 0x0a, 1, 'b', 0x12, 2, 11<<3|2, 0)))),
	}
	for name, in := range inputs {
		var before, after runtime.MemStats
		var m Message
		runtime.ReadMemStats(&before)
		err := m.UnmarshalBinary(in)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 64*uint64(len(in))+1<<16 {
			t.Errorf("%s: %d bytes were allocated for %d (error %v)", name, grown, len(in), err)
		}
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzMessage(f *testing.F) {
	for _, m := range golden(f) {
		b, err := m.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("\x0a\x07\x0a\x01m\x12\x02\x5a\x00\x0a\x03\x0a\x01a"))
	f.Fuzz(agree)
}

// agree decodes b here and with the generated code, which must agree but for the limits that are
// stricter here, and holds what was decoded stable.
func agree(t *testing.T, b []byte) {
	t.Helper()
	var m Message
	err := m.UnmarshalBinary(b)
	var generated wirepb.Message
	if generatedErr := proto.Unmarshal(withoutHeaders(b), &generated); (generatedErr != nil) != (err == errEncoding || err == errUTF8) {
		// A limit that is broken before what generated code refuses is told first.
		if generatedErr == nil || err == nil {
			t.Fatalf("%x: error %v, of the generated code %v", b, err, generatedErr)
		}
		return
	} else if generatedErr != nil {
		return
	}
	if err != nil {
		return // one of our limits
	}
	if broken := limit(&generated, MaxNesting); broken != "" {
		t.Fatalf("%x was taken, although it has %s", b, broken)
	}
	discardUnknown(&generated)
	plain := m.Clone()
	dropHeaders(plain)
	if !proto.Equal(toProto(plain), &generated) {
		t.Fatalf("%x is %v, by the generated code %v", b, &m, &generated)
	}
	if want, found := headerOf(b); !bytes.Equal(m.header, want) || found != (m.header != nil) {
		t.Fatalf("%x has the header %x, not %x", b, m.header, want)
	}

	out, err := m.MarshalBinary()
	if err != nil {
		t.Fatalf("%x is %v, which cannot be encoded: %v", b, &m, err)
	}
	if want := marshalGenerated(t, toProto(plain)); !bytes.Equal(withoutHeaders(out), want) {
		t.Fatalf("%v is encoded as %x, by the generated code as %x", &m, out, want)
	}
	var back Message
	if err := back.UnmarshalBinary(out); err != nil || !back.Equal(&m) || !m.Clone().Equal(&back) {
		t.Fatalf("%v comes back as %v, %v", &m, &back, err)
	}
	if again, err := back.MarshalBinary(); err != nil || !bytes.Equal(again, out) {
		t.Fatalf("%v is encoded as %x, then as %x, %v", &m, out, again, err)
	}
}

// headerOf returns field 8 of b, which comes in any number of pieces.
func headerOf(b []byte) (header []byte, found bool) {
	for len(b) > 0 {
		f, n := pb.Next(b)
		if n < 0 {
			break
		}
		if b = b[n:]; f.Number == messageHeader && f.Type == protowire.BytesType {
			header, found = append(header, f.Bytes...), true
		}
	}
	return header, found
}

// withoutHeaders is b, an encoded Message, without field 8, at all depths: the generated code looks into it. What
// cannot be read is left as it is.
func withoutHeaders(b []byte) []byte {
	return rewrite(b, func(f pb.Field) ([]byte, bool) {
		switch f.Number {
		case messageHeader:
			return nil, false
		case messageEntries:
			return rewrite(f.Bytes, func(f pb.Field) ([]byte, bool) {
				if f.Number != entryValue {
					return f.Bytes, true
				}
				return rewrite(f.Bytes, func(f pb.Field) ([]byte, bool) {
					if f.Number != valueMap {
						return f.Bytes, true
					}
					return withoutHeaders(f.Bytes), true
				}), true
			}), true
		}
		return f.Bytes, true
	})
}

// rewrite is b with other contents of its length-delimited fields, or without them.
func rewrite(b []byte, change func(pb.Field) ([]byte, bool)) []byte {
	var out []byte
	for len(b) > 0 {
		f, n := pb.Next(b)
		if n < 0 {
			return append(out, b...)
		}
		field := b[:n]
		if b = b[n:]; f.Type == protowire.BytesType {
			inside, keep := change(f)
			if !keep {
				continue
			}
			if !bytes.Equal(inside, f.Bytes) {
				field = append(pb.AppendLength(nil, f.Number, len(inside)), inside...)
			}
		}
		out = append(out, field...)
	}
	return out
}

func dropHeaders(m *Message) {
	m.header = nil
	for _, v := range m.All() {
		if v.Kind() == MapKind {
			dropHeaders(v.message())
		}
	}
}

// limit names the limit of Message that p breaks, if any.
func limit(p *wirepb.Message, depth int) string {
	if depth == 0 {
		return "too many levels"
	}
	for key, v := range p.Entries {
		switch k := v.Kind.(type) {
		case *wirepb.Value_Int8:
			if k.Int8 != int32(int8(k.Int8)) {
				return "an int8 out of range"
			}
		case *wirepb.Value_Int16:
			if k.Int16 != int32(int16(k.Int16)) {
				return "an int16 out of range"
			}
		case *wirepb.Value_Char:
			if k.Char > utf8.MaxRune || !utf8.ValidRune(rune(k.Char)) {
				return "a character that is none"
			}
		case *wirepb.Value_Map:
			if broken := limit(k.Map, depth-1); broken != "" {
				return broken
			}
		}
		if key == "" {
			return "an empty key"
		}
	}
	return ""
}

// discardUnknown removes what a later version may have added, but for what is inside an object.
func discardUnknown(p *wirepb.Message) {
	p.ProtoReflect().SetUnknown(nil)
	for _, v := range p.Entries {
		v.ProtoReflect().SetUnknown(nil)
		if m, ok := v.Kind.(*wirepb.Value_Map); ok {
			discardUnknown(m.Map)
		}
	}
	if o, ok := p.Body.(*wirepb.Message_Object); ok {
		o.Object.ProtoReflect().SetUnknown(nil)
	}
}

// toProto says m in generated types.
func toProto(m *Message) *wirepb.Message {
	p := &wirepb.Message{}
	for key, v := range m.All() {
		if p.Entries == nil {
			p.Entries = make(map[string]*wirepb.Value)
		}
		pv := &wirepb.Value{}
		switch x := v.Any().(type) {
		case int8:
			pv.Kind = &wirepb.Value_Int8{Int8: int32(x)}
		case []byte:
			pv.Kind = &wirepb.Value_Bytes{Bytes: x}
		case bool:
			pv.Kind = &wirepb.Value_Bool{Bool: x}
		case int16:
			pv.Kind = &wirepb.Value_Int16{Int16: int32(x)}
		case int32:
			pv.Kind = &wirepb.Value_Int32{Int32: x}
			if v.Kind() == CharKind {
				pv.Kind = &wirepb.Value_Char{Char: uint32(x)}
			}
		case int64:
			pv.Kind = &wirepb.Value_Int64{Int64: x}
		case float32:
			pv.Kind = &wirepb.Value_Float32{Float32: x}
		case float64:
			pv.Kind = &wirepb.Value_Float64{Float64: x}
		case string:
			pv.Kind = &wirepb.Value_Text{Text: x}
		case *Message:
			pv.Kind = &wirepb.Value_Map{Map: toProto(x)}
		}
		p.Entries[key] = pv
	}
	if s, ok := m.Text(); ok {
		p.Body = &wirepb.Message_Text{Text: s}
	}
	if b, ok := m.Bytes(); ok {
		p.Body = &wirepb.Message_Bytes{Bytes: b}
	}
	if m.header != nil {
		p.Jms = new(wirepb.JmsHeader)
		if err := proto.Unmarshal(m.header, p.Jms); err != nil {
			panic(err)
		}
	}
	if m.body.kind == objectKind {
		o := m.body.object()
		p.Body = &wirepb.Message_Object{Object: &anypb.Any{TypeUrl: o.typeURL, Value: o.value}}
	}
	return p
}

func marshalGenerated(t testing.TB, p proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readHex reads a file of hexadecimal bytes; # begins a comment.
func readHex(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return b
}

func BenchmarkMessage(b *testing.B) {
	m := NewMessage()
	for i := range 10 {
		m.Set(fmt.Sprintf("field%d", i), Float64Value(float64(i)))
	}
	m.Set("symbol", StringValue("ACME")).Set("venue", StringValue("XETR"))
	encoded, _ := m.MarshalBinary()
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		var dst []byte
		for b.Loop() {
			dst, _ = m.AppendBinary(dst[:0])
		}
	})
	b.Run("unmarshal", func(b *testing.B) {
		b.ReportAllocs()
		var d Message
		for b.Loop() {
			_ = d.UnmarshalBinary(encoded)
		}
	})
	b.Run("set", func(b *testing.B) {
		b.ReportAllocs()
		keys := strings.Fields("symbol bid ask size venue time")
		for b.Loop() {
			m := NewMessage()
			for _, k := range keys {
				m.Set(k, Int32Value(1))
			}
		}
	})
}
