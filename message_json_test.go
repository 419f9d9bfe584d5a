package blaze

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/durationpb"
)

// everyType has values at the bounds of each kind.
func everyType(t testing.TB) *Message {
	t.Helper()
	m := NewTextMessage("a\"\x00\u2028<\U0010FFFF")
	for i, v := range []Value{
		ByteValue(-128), ByteValue(127), BytesValue([]byte{}), BytesValue([]byte{0, 255, 10}),
		CharValue('A'), CharValue(0), CharValue('\U0010FFFF'), CharValue('\uFFFD'), BoolValue(true), BoolValue(false),
		Int16Value(math.MinInt16), Int32Value(math.MaxInt32), Int64Value(math.MinInt64), Int64Value(math.MaxInt64), Int64Value(1<<53 + 1),
		Float32Value(0.1), Float32Value(math.MaxFloat32), Float32Value(float32(math.Inf(-1))), Float32Value(float32(math.NaN())), Float32Value(math.Float32frombits(0x7f800001)),
		Float64Value(99.5), Float64Value(math.Copysign(0, -1)), Float64Value(math.SmallestNonzeroFloat64), Float64Value(math.Inf(1)), Float64Value(math.NaN()), Float64Value(math.Float64frombits(0xfff8000000000007)),
		StringValue(""), StringValue("é\u0000"), MapValue(NewBytesMessage([]byte("b")).Set("k", MapValue(nil))), {},
	} {
		m.Set(string(rune('A'+i)), v)
	}
	return m
}

// What is written comes back, of every kind, with its bounds; the form is the one that is documented.
func TestMessageJSON(t *testing.T) {
	object, err := NewObjectMessage(durationpb.New(7))
	if err != nil {
		t.Fatal(err)
	}
	received := NewTextMessage("x").Set("bid", Float64Value(99.5))
	received.setReceived("prices.acme", MemberID{1, 2}, math.MaxUint64, true)
	jms := NewTextMessage("x")
	jms.header = []byte{}
	for name, m := range map[string]*Message{"empty": {}, "every type": everyType(t), "object": object, "received": received, "jms": jms, "empty bytes": NewBytesMessage([]byte{})} {
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(name, err)
		}
		got := NewTextMessage("before").Set("before", BoolValue(true))
		if err := json.Unmarshal(b, got); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, b)
		}
		if !got.Equal(m) || got.topic != m.topic || got.from != m.from || got.sequence != m.sequence || got.redelivered != m.redelivered {
			t.Errorf("%s: %v became %v\n%s", name, m, got, b)
		}
	}
	b, _ := json.Marshal(received)
	if want := `{"topic":"prices.acme","from":"01020000-00000000-00000000-00000000","sequence":18446744073709551615,"redelivered":true,"entries":{"bid":{"float64":99.5}},"text":"x"}`; string(b) != want {
		t.Errorf("%s", b)
	}
	nested := NewMessage()
	for range MaxNesting - 1 {
		nested = NewMessage().Set("m", MapValue(nested))
	}
	b, err = json.Marshal(nested)
	if err != nil {
		t.Fatal(err)
	}
	var again Message
	if err := json.Unmarshal(b, &again); err != nil || !again.Equal(nested) {
		t.Errorf("%d deep: %v", MaxNesting, err)
	}
	for what, m := range map[string]*Message{
		"deeper": NewMessage().Set("m", MapValue(nested)), `"bad\xff"`: NewMessage().Set("bad\xff", BoolValue(true)),
		`"a.b"`: NewMessage().Set("a", MapValue(NewMessage().Set("b", StringValue("\xff")))), "key": NewMessage().Set("", BoolValue(true)), "text": NewTextMessage("\xff"),
	} {
		if _, err := json.Marshal(m); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What no Message can be is refused with its line and key, and changes nothing.
func TestMessageJSONRefused(t *testing.T) {
	deep := strings.Repeat(`{"entries":{"m":{"map":`, MaxNesting) + `{}` + strings.Repeat("}}}", MaxNesting)
	for _, row := range []struct{ text, want string }{
		{"{\n\"entries\":{\n\"a\":{\"float\":1}}}", `line 3: "a" has the unknown kind "float"`},
		{`{"entries":{"a":{"byte":128}}}`, `"a": byte: `},
		{`{"entries":{"a":{"int64":9223372036854775808}}}`, `"a": int64: `},
		{`{"entries":{"a":{"int32":1.5}}}`, `"a": int32: `},
		{`{"entries":{"a":{"int32":"1"}}}`, `"a": int32: want a number`},
		{`{"entries":{"a":{"float64":"nan"}}}`, `"a": float64: want a number`},
		{`{"entries":{"a":{"float64":NaN}}}`, `invalid character 'N'`},
		{`{"entries":{"a":{"float64":1e999}}}`, `"a": float64: `},
		{`{"entries":{"a":{"float32":1e39}}}`, `"a": float32: `},
		{`{"entries":{"a":{"float64":"NaN(0x1)"}}}`, `no NaN`},
		{`{"entries":{"a":{"char":"ab"}}}`, `"a": char: want a text of one character`},
		{`{"entries":{"a":{"char":""}}}`, `"a": char: `},
		{`{"entries":{"a":{"char":"\ud800"}}}`, `half of a surrogate pair`},
		{`{"entries":{"a":{"string":"\udc00\ud800"}}}`, `half of a surrogate pair`},
		{"{\"text\":\"\xff\"}", `not valid UTF-8`},
		{"\ufeff{}", `byte order mark`},
		{`{"entries":{"a":{"bool":1}}}`, `"a": bool: `},
		{`{"entries":{"a":{"none":1}}}`, `"a": none: want null`},
		{`{"entries":{"a":{"bytes":"="}}}`, `"a": bytes: `},
		{`{"entries":{"a":{"bool":true},"a":{"bool":true}}}`, `"a" comes twice`},
		{`{"entries":{"":{"bool":true}}}`, `an empty key`},
		{`{"entries":{"a":{}}}`, `"a" has no kind`},
		{`{"entries":{"a":{"bool":true,"byte":1}}}`, `"a" has several kinds`},
		{`{"entries":{"a":1}}`, `want an object in "a"`},
		{`{"entries":[]}`, `want an object`},
		{`{"text":"a","bytes":""}`, `two bodies`},
		{`{"text":1}`, `"text": want a text`},
		{`{"object":{"typ":""}}`, `unknown field "object.typ"`},
		{`{"from":"x"}`, `"from": `},
		{`{"sequence":-1}`, `"sequence": `},
		{deep, "nests deeper than 32"},
		{`{"entries":{"a":{"bool":true}`, "unexpected EOF"},
		{`{"text":"a"`, "unexpected EOF"},
		{`{} {}`, "there is more"},
		{``, "unexpected EOF"},
		{`null`, "want an object"},
	} {
		m := NewTextMessage("as it was")
		err := m.UnmarshalJSON([]byte(row.text))
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%.80s: %v, want %q", row.text, err, row.want)
		}
		if !m.Equal(NewTextMessage("as it was")) {
			t.Errorf("%.80s changed the message", row.text)
		}
	}
	var m Message
	if err := m.UnmarshalJSON([]byte(`{"time":"2026","new":{"a":[1,{}]},"text":"😀 😀 \\ud800","entries":{}}`)); err != nil {
		t.Error(err)
	} else if s, _ := m.Text(); s != `😀 😀 \ud800` {
		t.Errorf("%q", s)
	}
}

// Whatever is read is written and read again as the same; nothing panics.
func FuzzMessageJSON(f *testing.F) {
	b, _ := json.Marshal(everyType(f))
	f.Add(b)
	f.Add([]byte(`{"object":{"type":"t","value":"AA=="},"header":"","topic":"a","entries":{"c":{"char":"é"}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m, again Message
		if m.UnmarshalJSON(b) != nil {
			return
		}
		out, err := json.Marshal(&m)
		if err != nil {
			t.Fatalf("%q was read, and cannot be written: %v", b, err)
		}
		if err := json.Unmarshal(out, &again); err != nil || !again.Equal(&m) {
			t.Fatalf("%q became %q: %v", b, out, err)
		}
	})
}
