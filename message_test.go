package blaze

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func TestMessageAgainstAMap(t *testing.T) {
	// Random operations on a Message and on a Go map must agree.
	r := rand.New(rand.NewPCG(1, 2))
	m, model := NewMessage(), map[string]int64{}
	for i := range 20_000 {
		key := fmt.Sprintf("key%d", r.IntN(60))
		switch r.IntN(4) {
		case 0:
			m.Delete(key)
			delete(model, key)
		case 1:
			v, ok := m.Get(key)
			n, want := model[key]
			if got, _ := v.Int64(); ok != want || got != n {
				t.Fatalf("operation %d: Get(%q) = %v, %t; want %d, %t", i, key, v, ok, n, want)
			}
		default:
			m.Set(key, Int64Value(int64(i)))
			model[key] = int64(i)
		}
		if m.Len() != len(model) {
			t.Fatalf("operation %d: Len = %d, want %d", i, m.Len(), len(model))
		}
	}
	var keys []string
	for key, v := range m.All() {
		if n, _ := v.Int64(); n != model[key] {
			t.Errorf("All gives %q the value %v, want %d", key, v, model[key])
		}
		keys = append(keys, key)
	}
	if len(keys) != len(model) || !slices.IsSorted(keys) {
		t.Errorf("All went through %d keys, want %d, in order: %v", len(keys), len(model), keys)
	}
	for range m.All() {
		break // an early end is allowed
	}
}

func TestMessageBodies(t *testing.T) {
	object, err := NewObjectMessage(wrapperspb.String("payload"))
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		m                   *Message
		text, bytes, object bool
	}{
		{new(Message), false, false, false},
		{NewMessage(), false, false, false},
		{NewTextMessage(""), true, false, false}, // an empty text is a body
		{NewBytesMessage(nil), false, true, false},
		{object, false, false, true},
		{NewTextMessage("t").SetBytes([]byte("b")), false, true, false}, // the last one counts
		{NewBytesMessage([]byte("b")).SetText("t"), true, false, false},
	}
	for i, row := range rows {
		_, text := row.m.Text()
		_, bytes := row.m.Bytes()
		o, err := row.m.Object()
		if text != row.text || bytes != row.bytes || (err == nil) != row.object || (o != nil) != row.object {
			t.Errorf("row %d: text %t, bytes %t, object %v, %v", i, text, bytes, o, err)
		}
		if err != nil && !errors.Is(err, ErrKind) {
			t.Errorf("row %d: Object: %v, want ErrKind", i, err)
		}
	}
	if o, _ := object.Object(); !proto.Equal(o, wrapperspb.String("payload")) {
		t.Errorf("Object = %v", o)
	}
}

func TestObjectErrors(t *testing.T) {
	if m, err := NewObjectMessage(nil); !errors.Is(err, ErrMalformed) || m != nil {
		t.Errorf("NewObjectMessage(nil) = %v, %v", m, err)
	}
	if _, err := NewObjectMessage(wrapperspb.String("\xff")); !errors.Is(err, ErrMalformed) {
		t.Errorf("an object with a string that is not UTF-8: %v", err)
	}
	m := NewTextMessage("stays")
	if err := m.SetObject(nil); err == nil {
		t.Error("SetObject(nil) was taken")
	}
	if s, _ := m.Text(); s != "stays" {
		t.Errorf("a failed SetObject changed the body to %v", m)
	}
	unknown := &Message{body: objectValue(&object{typeURL: "type.googleapis.com/not.Here"})}
	if _, err := unknown.Object(); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "not.Here") {
		t.Errorf("an object of an unknown type: %v; want ErrUnsupported that names it", err)
	}
	damaged := &Message{body: objectValue(&object{typeURL: "type.googleapis.com/google.protobuf.StringValue", value: []byte{0xff}})}
	if _, err := damaged.Object(); !errors.Is(err, ErrMalformed) {
		t.Errorf("a damaged object: %v; want ErrMalformed", err)
	}
}

func TestCloneIsDeep(t *testing.T) {
	raw, inner := []byte("bytes"), NewBytesMessage([]byte("inner"))
	m := NewBytesMessage(raw).Set("raw", BytesValue(raw)).Set("map", MapValue(inner))
	m.setReceived("topic", MemberID{1}, 7, true)
	m.header = []byte("header")
	c := m.Clone()
	m.header[0] = 'X'
	if string(c.header) != "header" {
		t.Errorf("a change of the original's header reached the clone: %s", c.header)
	}
	m.header, c.header = nil, nil
	if !c.Equal(m) || c.Topic() != "topic" || c.From() != (MemberID{1}) || c.Sequence() != 7 || !c.Redelivered() {
		t.Fatalf("the clone %v differs from %v", c, m)
	}
	raw[0] = 'X'
	inner.Set("new", BoolValue(true))
	b, _ := inner.Bytes()
	b[0] = 'X'
	m.Set("added", BoolValue(true))
	want := NewBytesMessage([]byte("bytes")).Set("raw", BytesValue([]byte("bytes"))).Set("map", MapValue(NewBytesMessage([]byte("inner"))))
	if !c.Equal(want) {
		t.Errorf("a change of the original reached the clone: %v", c)
	}
	if (*Message)(nil).Clone() != nil {
		t.Error("the clone of nil is not nil")
	}
}

func TestMessageEqual(t *testing.T) {
	object := func(s string) *Message {
		m, err := NewObjectMessage(wrapperspb.String(s))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	a, b := ByteValue(1), ByteValue(2)
	all := []*Message{
		nil, NewMessage(), NewTextMessage(""), NewTextMessage("x"), NewBytesMessage(nil), NewBytesMessage([]byte("x")), object("x"), object("y"),
		NewMessage().Set("a", a), NewMessage().Set("a", b), NewMessage().Set("b", a), NewMessage().Set("a", a).Set("b", b),
		NewMessage().Set("a", MapValue(NewMessage().Set("a", a))), NewMessage().Set("a", Value{}),
		{header: []byte{}}, {header: []byte{1}}, {body: StringValue("x"), header: []byte{1}},
	}
	for i, m := range all {
		for j, o := range all {
			if got := m.Equal(o.Clone()); got != (i == j) {
				t.Errorf("%v Equal %v = %t", m, o, got)
			}
		}
	}
	// The order of Set does not matter, nor where a message came from.
	m, o := NewMessage().Set("b", b).Set("a", a), NewMessage().Set("a", b).Set("b", b).Set("a", a)
	m.setReceived("topic", MemberID{1}, 1, true)
	if !m.Equal(o) {
		t.Errorf("%v differs from %v", m, o)
	}
}

func TestMessageThatContainsItself(t *testing.T) {
	m := NewTextMessage("loop")
	m.Set("a", MapValue(m)).Set("b", MapValue(m)).Set("c", StringValue("c"))
	if _, err := m.MarshalBinary(); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "deeper") {
		t.Errorf("it was encoded: %v", err)
	}
	if c := m.Clone(); c.Len() != 3 || m.String() != "{…}" || !m.Equal(m) {
		t.Errorf("its clone has %d entries, and it prints as %v", c.Len(), m)
	}
}

func TestMessageString(t *testing.T) {
	for _, c := range []struct {
		m    *Message
		want string
	}{
		{NewTextMessage("message 0"), `"message 0"`},
		{NewBytesMessage([]byte{1}), "0x01"},
		{NewMessage(), "{}"},
		{NewMessage().Set("a", Int32Value(1)), "{a:1}"},
	} {
		if got := c.m.String(); got != c.want {
			t.Errorf("String = %s, want %s", got, c.want)
		}
	}
	m := NewTextMessage("body").Set("symbol", StringValue("ACME")).Set("bid", Float64Value(99.5)).Set("in", MapValue(NewBytesMessage([]byte{1})))
	if got, want := m.String(), `{bid:99.5 in:0x01 symbol:"ACME"} "body"`; got != want {
		t.Errorf("String = %s, want %s", got, want)
	}
}
