package jmsheader

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/activeblaze/blaze/internal/pb"
	"github.com/activeblaze/blaze/selector"
	"github.com/activeblaze/blaze/wire/wirepb"
)

var member = [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

// full has each field, and a property of each kind.
func full() Header {
	return Header{
		ID: MakeID(member, 258), CorrelationID: "c-1", ReplyTo: "queue:answers", Type: "order",
		Timestamp: 1_700_000_000_000, Expiration: 1_700_000_060_000, DeliveryTime: 1_700_000_001_000,
		Mode: Persistent, Priority: 0, Count: 3, Connection: [16]byte{15: 1}, Body: Stream,
		Properties: []Property{
			{".hidden", StringValue("x")}, {"bool", BoolValue(true)}, {"byte", IntValue(Byte, -128)}, {"double", DoubleValue(-0.1)},
			{"float", FloatValue(1.5)}, {"int", IntValue(Int, math.MaxInt32)}, {"long", IntValue(Long, math.MinInt64)}, {"nothing", Value{}},
			{"short", IntValue(Short, -32768)}, {"text", StringValue("héllo")},
		},
	}
}

// generated is h in generated types.
func generated(h *Header) *wirepb.JmsHeader {
	p := &wirepb.JmsHeader{
		CorrelationId: h.CorrelationID, ReplyTo: h.ReplyTo, Type: h.Type, Timestamp: h.Timestamp, Expiration: h.Expiration,
		DeliveryTime: h.DeliveryTime, Mode: wirepb.JmsDeliveryMode(h.Mode), Count: h.Count, Body: wirepb.JmsBody(h.Body),
	}
	if h.ID != (ID{}) {
		p.Id = h.ID[:]
	}
	if h.Connection != ([16]byte{}) {
		p.Connection = h.Connection[:]
	}
	if h.Priority != DefaultPriority {
		p.Priority = proto.Uint32(uint32(h.Priority))
	}
	for _, q := range h.Properties {
		v := &wirepb.Value{}
		switch q.Value.Kind {
		case Bool:
			v.Kind = &wirepb.Value_Bool{Bool: q.Value.Num != 0}
		case Byte:
			v.Kind = &wirepb.Value_Int8{Int8: int32(q.Value.Num)}
		case Short:
			v.Kind = &wirepb.Value_Int16{Int16: int32(q.Value.Num)}
		case Int:
			v.Kind = &wirepb.Value_Int32{Int32: int32(q.Value.Num)}
		case Long:
			v.Kind = &wirepb.Value_Int64{Int64: q.Value.Num}
		case Float:
			v.Kind = &wirepb.Value_Float32{Float32: float32(q.Value.Float64())}
		case Double:
			v.Kind = &wirepb.Value_Float64{Float64: q.Value.Float64()}
		case String:
			v.Kind = &wirepb.Value_Text{Text: q.Value.Text}
		}
		if p.Properties == nil {
			p.Properties = make(map[string]*wirepb.Value)
		}
		p.Properties[q.Name] = v
	}
	return p
}

func marshal(t testing.TB, p proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCodecIsTheGeneratedCode(t *testing.T) {
	none, nine := New(), New()
	nine.Priority = 9
	for _, h := range []Header{full(), none, nine} {
		b := h.Append(nil)
		if want := marshal(t, generated(&h)); !bytes.Equal(b, want) {
			t.Errorf("%+v is encoded as %x, by the generated code as %x", h, b, want)
		}
		for n := range b {
			agree(t, b[:n])
		}
		agree(t, b)
		got, err := Parse(b)
		if err != nil || !bytes.Equal(got.Append(nil), b) || len(got.Properties) != len(h.Properties) {
			t.Errorf("%x comes back as %+v, %v", b, got, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	bytesOf := func(field protowire.Number, b ...byte) []byte {
		return append(pb.AppendLength(nil, field, len(b)), b...)
	}
	value := func(v ...byte) []byte {
		return bytesOf(fieldProperties, append(append(bytesOf(entryKey, 'a'), 0x12, byte(len(v))), v...)...)
	}
	many := New()
	for i := range MaxProperties + 1 {
		many.Properties = append(many.Properties, Property{string([]byte{'a' + byte(i>>4), 'a' + byte(i&15)}), BoolValue(true)})
	}
	large := New()
	large.Properties = []Property{{"a", StringValue(strings.Repeat("x", MaxPropertyBytes))}}
	rows := []struct {
		why  string
		in   []byte
		want error
	}{
		{"a length beyond the end", []byte{0x12, 5, 'x'}, ErrEncoding},
		{"a time before 1970", pb.AppendVarint(nil, fieldTimestamp, math.MaxUint64), errTime},
		{"an expiration before 1970", pb.AppendVarint(nil, fieldExpiration, 1<<63), errTime},
		{"a delivery time before 1970", pb.AppendVarint(nil, fieldDeliveryTime, 1<<63), errTime},
		{"priority 10", pb.AppendVarint(nil, fieldPriority, 10), errPriority},
		{"priority 200", pb.AppendVarint(nil, fieldPriority, 200), errPriority},
		{"priority 260 is not 4", pb.AppendVarint(nil, fieldPriority, 260), errPriority},
		{"an id of 23 bytes", bytesOf(fieldID, make([]byte, 23)...), errID},
		{"a connection of 17 bytes", bytesOf(fieldConnection, make([]byte, 17)...), errID},
		{"a type that is not UTF-8", bytesOf(fieldType, 0xff), errUTF8},
		{"a long correlation id", bytesOf(fieldCorrelationID, bytes.Repeat([]byte("x"), MaxText+1)...), errText},
		{"a long reply-to", bytesOf(fieldReplyTo, bytes.Repeat([]byte("x"), MaxReplyTo+1)...), errText},
		{"257 properties", many.Append(nil), errProperties},
		{"64 KiB of properties and a byte", large.Append(nil), errProperties},
		{"a property without a name", bytesOf(fieldProperties), errName},
		{"bytes as a property", value(0x12, 0), errKind},
		{"a map as a property", value(0x5a, 0), errKind},
		{"a character as a property", value(0x18, 'a'), errKind},
		{"a byte of 128", value(0x08, 0x80, 0x02), errKind},
		{"a text that is not UTF-8", value(0x52, 1, 0xff), errUTF8},
		{"a property that ends early", bytesOf(fieldProperties, 0x0a, 2, 'a'), ErrEncoding},
		{"a value that ends early", value(0x30), ErrEncoding},
	}
	for _, row := range rows {
		if h, err := Parse(row.in); !errors.Is(err, row.want) {
			t.Errorf("%s: %+v, %v; want %v", row.why, h, err, row.want)
		}
	}
	// What is taken although it is odd.
	late := New()
	late.Timestamp, late.Expiration = 2000, 1000
	if h, err := Parse(late.Append(nil)); err != nil || h.Expiration != 1000 {
		t.Errorf("an expiration before the timestamp: %+v, %v", h, err)
	}
	odd := pb.AppendVarint(pb.AppendVarint(nil, fieldMode, 9), fieldBody, 99)
	if h, err := Parse(odd); err != nil || h.Mode != Unspecified || h.Body != Derived {
		t.Errorf("a later version's mode and body: %+v, %v", h, err)
	}
	twice := slices.Concat(value(0x30, 2), bytesOf(fieldProperties, append(bytesOf(entryKey, 'A'), 0x12, 2, 0x30, 4)...), value(0x30, 6))
	if h, err := Parse(twice); err != nil || len(h.Properties) != 2 || h.Properties[1].Value.Num != 3 {
		t.Errorf("a property that comes twice: %+v, %v; the last one counts", h, err)
	}
}

// agree decodes b here and with the generated code, which must agree but for the bounds.
func agree(t *testing.T, b []byte) {
	t.Helper()
	h, err := Parse(b)
	var p wirepb.JmsHeader
	generatedErr := proto.Unmarshal(b, &p)
	if err != nil {
		if (err == ErrEncoding || err == errUTF8) && generatedErr == nil {
			t.Fatalf("%x: %v, and the generated code takes it", b, err)
		}
		return // a bound of ours
	}
	if generatedErr != nil {
		t.Fatalf("%x is %+v, and the generated code says %v", b, h, generatedErr)
	}
	out := h.Append(nil)
	if want := marshal(t, generated(&h)); !bytes.Equal(out, want) {
		t.Fatalf("%+v is encoded as %x, by the generated code as %x", h, out, want)
	}
	p.ProtoReflect().SetUnknown(nil)
	for _, v := range p.Properties {
		v.ProtoReflect().SetUnknown(nil)
	}
	if p.Mode > wirepb.JmsDeliveryMode_JMS_DELIVERY_MODE_PERSISTENT || p.Mode < 0 {
		p.Mode = 0
	}
	if p.Body > wirepb.JmsBody_JMS_BODY_OBJECT || p.Body < 0 {
		p.Body = 0
	}
	if p.Priority == nil {
		p.Priority = proto.Uint32(DefaultPriority)
	}
	mine := generated(&h)
	mine.Priority = proto.Uint32(uint32(h.Priority))
	if bytes.Equal(p.Connection, make([]byte, 16)) {
		p.Connection = nil
	}
	if bytes.Equal(p.Id, make([]byte, 24)) {
		p.Id = nil
	}
	if !proto.Equal(mine, &p) {
		t.Fatalf("%x is %+v, by the generated code %v", b, h, &p)
	}
	back, err := Parse(out)
	if err != nil || !bytes.Equal(back.Append(nil), out) {
		t.Fatalf("%x comes back as %+v, %v", out, back, err)
	}
}

func FuzzHeader(f *testing.F) {
	h, none := full(), New()
	f.Add(h.Append(nil))
	f.Add(none.Append(nil))
	f.Add(append(h.Append(nil), h.Append(nil)...))
	f.Fuzz(agree)
}

func TestID(t *testing.T) {
	id := MakeID(member, 1<<63+5)
	const text = "ID:0102030405060708090a0b0c0d0e0f108000000000000005"
	if id.String() != text || id.Member() != member || id.Counter() != 1<<63+5 {
		t.Errorf("%v, of %v, %d", id, id.Member(), id.Counter())
	}
	if got, ok := ParseID(text); !ok || got != id {
		t.Errorf("%s is %v, %t", text, got, ok)
	}
	if got, ok := ParseID(""); !ok || got.String() != "" {
		t.Errorf("an empty id is %v, %t", got, ok)
	}
	for _, bad := range []string{"ID:", text[3:], text + "0", text[:len(text)-1], strings.ToUpper(text), "ID:" + strings.Repeat("x", 48), "ID:" + strings.Repeat("0", 48), "id:" + text[3:]} {
		if got, ok := ParseID(bad); ok {
			t.Errorf("%q is %v", bad, got)
		}
	}
}

func TestLookup(t *testing.T) {
	h, none := full(), New()
	h.Properties = append(h.Properties, Property{"zone", StringValue("EU")})
	rows := []struct {
		selector string
		of       *Header
		want     bool
	}{
		{"JMSDeliveryMode = 'PERSISTENT' AND JMSPriority = 0 AND JMSTimestamp = 1700000000000", &h, true},
		{"JMSMessageID = 'ID:0102030405060708090a0b0c0d0e0f100000000000000102'", &h, true},
		{"JMSCorrelationID = 'c-1' AND JMSType LIKE 'ord%' AND JMSXDeliveryCount = 4", &h, true},
		{"bool AND byte = -128 AND double < 0 AND float = 1.5 AND int = 2147483647 AND short = -32768 AND text = 'héllo' AND zone = 'EU'", &h, true},
		{"long = 9223372036854775807 OR long < -9223372036854775807", &h, true},
		{"nothing IS NULL AND zone IS NOT NULL", &h, true},
		{"JMSDeliveryMode = 'NON_PERSISTENT' AND JMSPriority = 4", &none, true},
		{"JMSMessageID IS NULL AND JMSCorrelationID IS NULL AND JMSType IS NULL AND JMSTimestamp = 0", &none, true},
		{"missing = 1 OR NOT missing = 1", &h, false},
	}
	for _, row := range rows {
		s, err := selector.Parse(row.selector, selector.JMS())
		if err != nil {
			t.Errorf("%s: %v", row.selector, err)
			continue
		}
		if got := s.Matches(row.of); got != row.want {
			t.Errorf("%s: %t, want %t", row.selector, got, row.want)
		}
	}
}
