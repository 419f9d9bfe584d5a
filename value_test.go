package blaze

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

// sample is one value of each kind, with a message in the map.
func sample() []Value {
	return []Value{
		ByteValue(-128), BytesValue([]byte{0, 0xff}), CharValue('é'), BoolValue(true), Int16Value(math.MinInt16),
		Int32Value(math.MaxInt32), Int64Value(math.MinInt64), Float32Value(1.5), Float64Value(-0.1), StringValue("text"),
		MapValue(NewTextMessage("inner")),
	}
}

func TestValueConversions(t *testing.T) {
	// Each row lists every accessor that must succeed; all others must refuse.
	const byteA, bytesA, charA, boolA, i16, i32, i64, f32, f64, text, mapA = "Byte", "Bytes", "Char", "Bool", "Int16", "Int32", "Int64", "Float32", "Float64", "Text", "Map"
	rows := []struct {
		v    Value
		kind ValueKind
		as   []string
	}{
		{ByteValue(-128), ByteKind, []string{byteA, i16, i32, i64, f32, f64}},
		{BytesValue([]byte("b")), BytesKind, []string{bytesA}},
		{CharValue('é'), CharKind, []string{charA, i32, i64}}, // a rune is an int32
		{BoolValue(true), BoolKind, []string{boolA}},
		{Int16Value(7), Int16Kind, []string{i16, i32, i64, f32, f64}}, // 7 would fit a byte, but its kind decides
		{Int32Value(7), Int32Kind, []string{i32, i64, f64}},           // an int32 has more bits than a float32's mantissa
		{Int64Value(7), Int64Kind, []string{i64}},
		{Float32Value(7), Float32Kind, []string{f32, f64}},
		{Float64Value(7), Float64Kind, []string{f64}},
		{StringValue("7"), StringKind, []string{text}}, // no parsing
		{MapValue(nil), MapKind, []string{mapA}},
		{Value{}, NoKind, nil},
	}
	for _, row := range rows {
		if got := row.v.Kind(); got != row.kind {
			t.Errorf("Kind = %v, want %v", got, row.kind)
		}
		errs := map[string]error{}
		_, errs[byteA] = row.v.Byte()
		_, errs[bytesA] = row.v.Bytes()
		_, errs[charA] = row.v.Char()
		_, errs[boolA] = row.v.Bool()
		_, errs[i16] = row.v.Int16()
		_, errs[i32] = row.v.Int32()
		_, errs[i64] = row.v.Int64()
		_, errs[f32] = row.v.Float32()
		_, errs[f64] = row.v.Float64()
		_, errs[text] = row.v.Text()
		_, errs[mapA] = row.v.Map()
		for _, name := range row.as {
			if errs[name] != nil {
				t.Errorf("%v read as %s: %v", row.kind, name, errs[name])
			}
			delete(errs, name)
		}
		for name, err := range errs {
			if !errors.Is(err, ErrKind) || !strings.Contains(err.Error(), row.kind.String()) {
				t.Errorf("%v read as %s: error %v, want ErrKind that names both kinds", row.kind, name, err)
			}
		}
	}
	_, err := StringValue("7").Int32()
	if want := "blaze: wrong kind: a value of kind string cannot be read as int32"; err.Error() != want {
		t.Errorf("error = %q, want %q", err, want)
	}
}

func TestValueWidensExactly(t *testing.T) {
	for _, x := range []int8{-128, -1, 0, 127} {
		v := ByteValue(x)
		i16, _ := v.Int16()
		i32, _ := v.Int32()
		i64, _ := v.Int64()
		f32, _ := v.Float32()
		f64, _ := v.Float64()
		if i16 != int16(x) || i32 != int32(x) || i64 != int64(x) || f32 != float32(x) || f64 != float64(x) {
			t.Errorf("%d widens to %d, %d, %d, %v, %v", x, i16, i32, i64, f32, f64)
		}
	}
	if f, _ := Int32Value(math.MinInt32).Float64(); f != math.MinInt32 {
		t.Errorf("the smallest int32 widens to %v", f)
	}
	if i, _ := Int16Value(math.MinInt16).Int64(); i != math.MinInt16 {
		t.Errorf("the smallest int16 widens to %v", i)
	}
	if f, _ := Float32Value(math.SmallestNonzeroFloat32).Float64(); f != math.SmallestNonzeroFloat32 {
		t.Errorf("the smallest float32 widens to %v", f)
	}
	if c, _ := CharValue(0x10ffff).Int32(); c != 0x10ffff {
		t.Errorf("the last code point widens to %#x", c)
	}
}

func TestCharValueOfNoCodePoint(t *testing.T) {
	for _, r := range []rune{-1, 0xd800, 0xdfff, 0x110000, math.MaxInt32} {
		if c, err := CharValue(r).Char(); c != '\uFFFD' || err != nil {
			t.Errorf("CharValue(%#x) holds %#x, %v; want U+FFFD", r, c, err)
		}
	}
}

func TestValueOf(t *testing.T) {
	m := NewTextMessage("m")
	rows := []struct {
		in   any
		want Value
	}{
		{int8(-3), ByteValue(-3)},
		{[]byte("b"), BytesValue([]byte("b"))},
		{true, BoolValue(true)},
		{int16(-3), Int16Value(-3)},
		{int32(-3), Int32Value(-3)},
		{'x', Int32Value('x')}, // Go cannot tell
		{int64(-3), Int64Value(-3)},
		{-3, Int64Value(-3)},
		{uint8(255), Int16Value(255)},
		{uint16(65535), Int32Value(65535)},
		{uint32(math.MaxUint32), Int64Value(math.MaxUint32)},
		{uint(3), Int64Value(3)},
		{uint64(math.MaxInt64), Int64Value(math.MaxInt64)},
		{float32(1.5), Float32Value(1.5)},
		{1.5, Float64Value(1.5)},
		{"s", StringValue("s")},
		{m, MapValue(m)},
		{CharValue('x'), CharValue('x')},
	}
	for _, row := range rows {
		if got, err := ValueOf(row.in); err != nil || !got.Equal(row.want) {
			t.Errorf("ValueOf(%T %v) = %v %v, %v; want %v %v", row.in, row.in, got.Kind(), got, err, row.want.Kind(), row.want)
		}
	}
	for in, name := range map[any]string{nil: "nil", time.Second: "time.Duration", uint64(math.MaxInt64 + 1): "9223372036854775808", complex(1, 1): "complex128"} {
		if got, err := ValueOf(in); !errors.Is(err, ErrKind) || !strings.Contains(err.Error(), name) || got.Kind() != NoKind {
			t.Errorf("ValueOf(%v) = %v, %v; want an ErrKind that names %s", in, got, err, name)
		}
	}
}

func TestValueAnyGivesItBack(t *testing.T) {
	for _, v := range sample() {
		back, err := ValueOf(v.Any())
		if v.Kind() == CharKind {
			v = Int32Value('é') // a rune is an int32 to Go
		}
		if err != nil || !back.Equal(v) {
			t.Errorf("ValueOf(%v.Any()) = %v, %v", v, back, err)
		}
	}
	if got := (Value{}).Any(); got != nil {
		t.Errorf("the zero Value's Any = %v, want nil", got)
	}
}

func TestValueEqual(t *testing.T) {
	for i, v := range append(sample(), Value{}) {
		for j, w := range append(sample(), Value{}) {
			if got := v.Equal(w); got != (i == j) {
				t.Errorf("%v %v Equal %v %v = %t", v.Kind(), v, w.Kind(), w, got)
			}
		}
	}
	rows := []struct {
		v, w Value
		want bool
	}{
		{Float64Value(math.NaN()), Float64Value(math.Float64frombits(0x7ff8000000000123)), true}, // NaN is NaN
		{Float32Value(0), Float32Value(float32(math.Copysign(0, -1))), true},                     // as numbers
		{Int16Value(1), Int32Value(1), false},                                                    // another kind
		{BytesValue(nil), BytesValue([]byte{}), true},
		{StringValue("a"), StringValue("b"), false},
		{BytesValue([]byte("a")), StringValue("a"), false},
		{MapValue(NewMessage().Set("a", ByteValue(1))), MapValue(NewMessage().Set("a", ByteValue(1))), true},
		{MapValue(NewMessage().Set("a", ByteValue(1))), MapValue(NewMessage().Set("a", ByteValue(2))), false},
	}
	for _, row := range rows {
		if got := row.v.Equal(row.w); got != row.want {
			t.Errorf("%v Equal %v = %t, want %t", row.v, row.w, got, row.want)
		}
	}
}

func TestValueString(t *testing.T) {
	var got []string
	for _, v := range append(sample(), Value{}) {
		got = append(got, v.String())
	}
	want := `-128 0x00ff é true -32768 2147483647 -9223372036854775808 1.5 -0.1 text "inner" <none>`
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

func TestValueSharesBytes(t *testing.T) {
	b := []byte{1, 2, 3}
	got, _ := BytesValue(b[:2]).Bytes()
	got[0] = 9
	if b[0] != 9 {
		t.Error("Bytes returned a copy")
	}
	if _ = append(got, 7); b[2] != 3 {
		t.Error("appending to what Bytes returned wrote beyond it")
	}
	if got, _ := BytesValue(nil).Bytes(); got != nil {
		t.Errorf("nil bytes came back as %v", got)
	}
}

func TestScalarsDoNotAllocate(t *testing.T) {
	b, s, m := []byte("bytes"), strings.Repeat("s", 9), NewMessage()
	var sink Value
	var sum int64
	if n := testing.AllocsPerRun(100, func() {
		for _, v := range [...]Value{ByteValue(1), BytesValue(b), CharValue('c'), BoolValue(true), Int16Value(2), Int32Value(3),
			Int64Value(4), Float32Value(5), Float64Value(6), StringValue(s), MapValue(m)} {
			sink = v
			i, _ := Int64Value(4).Int64()
			sum += i
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	_ = sink
}
