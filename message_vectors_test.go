package blaze

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/activeblaze/blaze/internal/vectors"
)

var updateVectors = flag.Bool("update", false, "write wire/testdata/messages.json anew")

// messageVector is a Message for codecs of all languages. wire/testdata/README.md explains the fields.
type messageVector struct {
	Name    string        `json:"name"`
	Verdict string        `json:"verdict"`
	Bytes   string        `json:"bytes"`
	Message *plainMessage `json:"message,omitempty"`
	Written string        `json:"written,omitempty"`
}

type plainMessage struct {
	Entries []plainEntry `json:"entries"`
	Text    *string      `json:"text,omitempty"`
	Bytes   *string      `json:"bytes,omitempty"`
	Object  *plainObject `json:"object,omitempty"`
	Header  *string      `json:"header,omitempty"`
}

type plainEntry struct {
	Key   string `json:"key"`
	Kind  string `json:"kind"`
	Value any    `json:"value,omitempty"`
}

type plainObject struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

// plainOfMessage has a Message as JSON: 64 bits as text, bytes in hexadecimal, floats by their bits.
func plainOfMessage(m *Message) *plainMessage {
	p := &plainMessage{Entries: []plainEntry{}}
	hexOf := func(b []byte) *string { s := hex.EncodeToString(b); return &s }
	for key, v := range m.All() {
		e := plainEntry{Key: key, Kind: v.Kind().String()}
		switch x := v.Any().(type) {
		case int64:
			e.Value = strconv.FormatInt(x, 10)
		case []byte:
			e.Value = hex.EncodeToString(x)
		case float32:
			e.Value = fmt.Sprintf("%08x", math.Float32bits(x))
		case float64:
			e.Value = fmt.Sprintf("%016x", math.Float64bits(x))
		case *Message:
			e.Value = plainOfMessage(x)
		default:
			e.Value = x
		}
		p.Entries = append(p.Entries, e)
	}
	if s, ok := m.Text(); ok {
		p.Text = &s
	}
	if b, ok := m.Bytes(); ok {
		p.Bytes = hexOf(b)
	}
	if m.body.kind == objectKind {
		o := m.body.object()
		p.Object = &plainObject{o.typeURL, hex.EncodeToString(o.value)}
	}
	if m.header != nil {
		p.Header = hexOf(m.header)
	}
	return p
}

// wire/testdata/messages.json is what this package answers, and the codecs of other languages must answer the same.
func TestMessageVectors(t *testing.T) {
	var list []messageVector
	add := func(name string, in []byte) {
		v := messageVector{Name: name, Verdict: "malformed", Bytes: hex.EncodeToString(in)}
		var m Message
		if m.UnmarshalBinary(in) == nil {
			written, err := m.MarshalBinary()
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			v.Verdict, v.Message, v.Written = "valid", plainOfMessage(&m), hex.EncodeToString(written)
			if bytes.Equal(written, in) {
				v.Verdict, v.Written = "canonical", ""
			}
		}
		list = append(list, v)
	}
	goldens := golden(t)
	for _, name := range slices.Sorted(maps.Keys(goldens)) {
		b, err := goldens[name].MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		add(name, b)
	}
	for _, row := range takenRows() {
		add(row.why, row.in)
	}
	for _, row := range refusedRows() {
		add(row.why, row.in)
	}
	for name, v := range edgesOfValues() {
		b, err := NewMessage().Set("k", v).MarshalBinary()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		add(name, b)
	}
	deep := NewMessage()
	for i := 2; i <= MaxNesting+1; i++ {
		deep = NewMessage().Set("in", MapValue(deep))
		if i >= MaxNesting {
			add(fmt.Sprintf("%d messages inside each other", i), marshalGenerated(t, toProto(deep)))
		}
	}
	keys := NewMessage()
	for _, k := range []string{"\x00", "a", "A", "aa", "é", "e\u0301", "\uffff", "\U00010000", strings.Repeat("k", 300)} {
		keys.Set(k, BoolValue(true))
	}
	b, err := keys.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	add("keys in the order of their bytes", b)

	vectors.Compare(t, filepath.Join("wire", "testdata", "messages.json"), "go test . -run TestMessageVectors -update", *updateVectors,
		vectors.ListOf(t, "messages", list))
}

// edgesOfValues goes through the values at both ends of each kind.
func edgesOfValues() func(yield func(string, Value) bool) {
	return func(yield func(string, Value) bool) {
		for _, v := range []Value{
			ByteValue(math.MinInt8), ByteValue(math.MaxInt8), ByteValue(0), Int16Value(math.MinInt16), Int16Value(math.MaxInt16),
			Int32Value(math.MinInt32), Int32Value(math.MaxInt32), Int64Value(math.MinInt64), Int64Value(math.MaxInt64), Int64Value(1<<53 + 1),
			CharValue(0), CharValue(0xd7ff), CharValue(0xe000), CharValue(0x10ffff), BoolValue(false), BoolValue(true),
			Float32Value(float32(math.Inf(-1))), Float32Value(math.SmallestNonzeroFloat32), Float32Value(math.MaxFloat32), Float32Value(float32(math.Copysign(0, -1))),
			Float64Value(math.Inf(1)), Float64Value(math.SmallestNonzeroFloat64), Float64Value(math.MaxFloat64), Float64Value(math.NaN()),
			StringValue(""), StringValue("\x00"), StringValue("\U0010ffff"), BytesValue(nil), BytesValue([]byte{0, 255}), MapValue(nil), {},
		} {
			name := v.String()
			if v.Kind() == CharKind {
				c, _ := v.Char()
				name = fmt.Sprintf("U+%04X", c)
			}
			if !yield(fmt.Sprintf("%v %q", v.Kind(), name), v) {
				return
			}
		}
	}
}
