package jms

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/activeblaze/blaze"
)

// TestPropertyConversions is the table of section 3.5.4: a value of the row's type is read as each column's type.
func TestPropertyConversions(t *testing.T) {
	const no = "error"
	columns := []string{"boolean", "byte", "short", "int", "long", "float", "double", "String"}
	rows := []struct {
		set  any
		want []any
	}{
		{true, []any{true, no, no, no, no, no, no, "true"}},
		{int8(-7), []any{no, int8(-7), int16(-7), int32(-7), int64(-7), no, no, "-7"}},
		{int16(300), []any{no, no, int16(300), int32(300), int64(300), no, no, "300"}},
		{int32(70000), []any{no, no, no, int32(70000), int64(70000), no, no, "70000"}},
		{int64(1 << 40), []any{no, no, no, no, int64(1 << 40), no, no, "1099511627776"}},
		{float32(1.5), []any{no, no, no, no, no, float32(1.5), 1.5, "1.5"}},
		{2.25, []any{no, no, no, no, no, no, 2.25, "2.25"}},
		{"12", []any{false, int8(12), int16(12), int32(12), int64(12), float32(12), 12.0, "12"}},
		{"TrUe", []any{true, no, no, no, no, no, no, "TrUe"}},
		{"300", []any{false, no, int16(300), int32(300), int64(300), float32(300), 300.0, "300"}},
		{"-1.5e3", []any{false, no, no, no, no, float32(-1500), -1500.0, "-1.5e3"}},
		{" NaN ", []any{false, no, no, no, no, math.NaN(), math.NaN(), " NaN "}},
		{"1e999", []any{false, no, no, no, no, float32(math.Inf(1)), math.Inf(1), "1e999"}},
		{"2.5f", []any{false, no, no, no, no, float32(2.5), 2.5, "2.5f"}},
		{"inf", []any{false, no, no, no, no, no, no, "inf"}},
		{"1_000", []any{false, no, no, no, no, no, no, "1_000"}},
		{"", []any{false, no, no, no, no, no, no, ""}},
		{nil, []any{false, no, no, no, no, no, no, ""}}, // null: what valueOf(null) does in Java
	}
	for _, row := range rows {
		m := NewMessage()
		if err := m.SetProperty("p", row.set); err != nil {
			t.Fatal(err)
		}
		check := func(column int, got any, err error) {
			t.Helper()
			switch want := row.want[column]; {
			case want == any(no) && !(column == 7) || want == any(no):
				if !errors.Is(err, ErrMessageFormat) {
					t.Errorf("%T %v as a %s: %v, %v; want an error", row.set, row.set, columns[column], got, err)
				}
			case err != nil:
				t.Errorf("%T %v as a %s: %v", row.set, row.set, columns[column], err)
			case !same(got, want):
				t.Errorf("%T %v as a %s: %v (%T), want %v (%T)", row.set, row.set, columns[column], got, got, want, want)
			}
		}
		b, err := m.BoolProperty("p")
		check(0, b, err)
		i8, err := m.ByteProperty("p")
		check(1, i8, err)
		i16, err := m.ShortProperty("p")
		check(2, i16, err)
		i32, err := m.IntProperty("p")
		check(3, i32, err)
		i64, err := m.LongProperty("p")
		check(4, i64, err)
		f32, err := m.FloatProperty("p")
		check(5, f32, err)
		f64, err := m.DoubleProperty("p")
		check(6, f64, err)
		s, err := m.StringProperty("p")
		check(7, s, err)
	}
}

func same(a, b any) bool {
	if f, ok := b.(float64); ok && f != f {
		switch g := a.(type) {
		case float32:
			return g != g
		case float64:
			return g != g
		}
	}
	return a == b
}

// Java's Float.toString and Double.toString.
func TestJavaFloat(t *testing.T) {
	for _, row := range []struct {
		f    float64
		bits int
		want string
	}{
		{0, 64, "0.0"}, {math.Copysign(0, -1), 64, "-0.0"}, {1, 64, "1.0"}, {100, 64, "100.0"}, {9999999, 64, "9999999.0"}, {1e7, 64, "1.0E7"},
		{1.25e10, 64, "1.25E10"}, {0.001, 64, "0.001"}, {0.0001, 64, "1.0E-4"}, {-1.5, 32, "-1.5"}, {float64(float32(0.1)), 32, "0.1"},
		{math.Inf(1), 64, "Infinity"}, {math.Inf(-1), 64, "-Infinity"}, {math.NaN(), 64, "NaN"}, {math.MaxFloat64, 64, "1.7976931348623157E308"},
	} {
		if got := javaFloat(row.f, row.bits); got != row.want {
			t.Errorf("%v: %s, want %s", row.f, got, row.want)
		}
	}
}

func TestPropertyNames(t *testing.T) {
	m := NewMessage()
	for _, name := range []string{"a", "_x", "$1", "größe", "JMSXGroupID", "JMS_IBM_Format", "JMS_AMQ_x", "and1"} {
		if err := m.SetProperty(name, "1"); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if !m.PropertyExists(name) {
			t.Errorf("%q is not there", name)
		}
	}
	for _, name := range []string{
		"", " ", "a b", "1a", "a.b", "a-b", "NULL", "true", "Not", "between", "ESCAPE", "\xff", "a\x00", ".hidden",
		"JMSType", "JMSXDeliveryCount", "JMSXUserID", "JMSanything", "JMS_Blaze_Queue", strings.Repeat("'", 256),
	} {
		if err := m.SetProperty(name, "1"); !errors.Is(err, ErrMessageFormat) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, v := range []any{[]byte("x"), uint8(1), 'x' + 0i, struct{}{}, "\xff", blaze.NewMessage()} {
		if err := m.SetProperty("a", v); !errors.Is(err, ErrMessageFormat) {
			t.Errorf("%T: %v", v, err)
		}
	}
	for name, v := range map[string]any{"JMSXGroupID": int32(1), "JMSXGroupSeq": "1"} {
		if err := m.SetProperty(name, v); !errors.Is(err, ErrMessageFormat) {
			t.Errorf("%s = %v: %v", name, v, err)
		}
	}
	if err := m.SetProperty("JMSXGroupSeq", 1<<40); !errors.Is(err, ErrMessageFormat) {
		t.Errorf("JMSXGroupSeq = 2^40: %v", err)
	}
	m.ClearProperties()
	if m.PropertyExists("a") {
		t.Error("a property survives ClearProperties")
	}
}

// Bounds of a message's header are judged by Send, before anything leaves.
func TestHeaderBounds(t *testing.T) {
	c := connect(t, factory(t, testConfig(t)), AutoAcknowledge)
	d := topicOf(t, c, "bounds")
	many := NewMessage()
	for i := range 257 {
		_ = many.SetProperty("p"+strings.Repeat("x", i), true)
	}
	large := NewMessage()
	_ = large.SetProperty("p", strings.Repeat("x", 64<<10))
	correlated, typed, bad := NewMessage(), NewMessage(), NewMessage()
	correlated.SetCorrelationID(strings.Repeat("x", 64<<10+1))
	typed.SetType(strings.Repeat("x", 64<<10+1))
	bad.SetType("\xff")
	for why, m := range map[string]*Message{
		"257 properties": many, "64 KiB of properties": large, "a long correlation id": correlated, "a long type": typed, "a type that is not UTF-8": bad,
	} {
		if err := c.Producer().Send(within(t, patience), d, m); !errors.Is(err, ErrMessageFormat) {
			t.Errorf("%s: %v", why, err)
		}
		if m.MessageID() != "" {
			t.Errorf("%s: it got the id %s", why, m.MessageID())
		}
	}
}

func TestConvert(t *testing.T) {
	bytes, err := Convert[[]byte](blaze.BytesValue([]byte("x")))
	if err != nil || string(bytes) != "x" {
		t.Errorf("bytes: %q, %v", bytes, err)
	}
	for _, v := range []blaze.Value{blaze.StringValue("1"), blaze.BoolValue(true), blaze.CharValue('x'), blaze.MapValue(nil)} {
		if b, err := Convert[[]byte](v); !errors.Is(err, ErrMessageFormat) {
			t.Errorf("%v as bytes: %q, %v", v, b, err)
		}
	}
	if s, err := Convert[string](blaze.CharValue('ü')); err != nil || s != "ü" {
		t.Errorf("a character as a text: %q, %v", s, err)
	}
	if _, err := Convert[int64](blaze.CharValue('1')); !errors.Is(err, ErrMessageFormat) {
		t.Errorf("a character as a long: %v", err)
	}
	if i, err := Convert[int64](blaze.Int16Value(5)); err != nil || i != 5 {
		t.Errorf("a short as a long: %d, %v", i, err)
	}
	if _, err := Convert[int16](blaze.Int64Value(5)); !errors.Is(err, ErrMessageFormat) {
		t.Errorf("a long as a short: %v", err)
	}
	if f, err := Convert[float64](blaze.Float32Value(1.5)); err != nil || f != 1.5 {
		t.Errorf("a float as a double: %v, %v", f, err)
	}
	if s, err := Convert[string](blaze.BytesValue(nil)); !errors.Is(err, ErrMessageFormat) {
		t.Errorf("bytes as a text: %q, %v", s, err)
	}
	if i, err := Convert[int32](blaze.StringValue("12")); err != nil || i != 12 {
		t.Errorf("a text as an int: %d, %v", i, err)
	}
}
