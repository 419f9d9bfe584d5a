package blaze

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
	"unsafe"
)

// Value is one typed value of a Message. Its constructors, except for MapValue(nil), allocate
// nothing. The zero Value has NoKind and holds nothing. Compare Values with Equal.
type Value struct {
	_    [0]func()      // forbids ==, which would compare pointers
	num  uint64         // a scalar's bits, or the length of text and bytes
	ptr  unsafe.Pointer // *byte of text and bytes, *Message of a map, *object (in Message.body)
	kind ValueKind
}

// ValueKind is the type of what a Value holds.
type ValueKind uint8

// The kinds of values.
const (
	NoKind      ValueKind = iota // the zero Value, or a kind of a later version
	ByteKind                     // int8
	BytesKind                    // []byte
	CharKind                     // rune: a Unicode code point
	BoolKind                     // bool
	Int16Kind                    // int16
	Int32Kind                    // int32
	Int64Kind                    // int64
	Float32Kind                  // float32
	Float64Kind                  // float64
	StringKind                   // string, valid UTF-8
	MapKind                      // *Message

	objectKind // a Message's body only
)

var valueKindNames = []string{
	NoKind: "none", ByteKind: "byte", BytesKind: "bytes", CharKind: "char", BoolKind: "bool",
	Int16Kind: "int16", Int32Kind: "int32", Int64Kind: "int64", Float32Kind: "float32",
	Float64Kind: "float64", StringKind: "string", MapKind: "map", objectKind: "object",
}

// String is the lower-case name: "int32".
func (k ValueKind) String() string { return nameOf("ValueKind", valueKindNames, k) }

// ByteValue holds an 8-bit integer.
func ByteValue(b int8) Value { return signed(ByteKind, int64(b)) }

// BytesValue holds b itself, not a copy.
func BytesValue(b []byte) Value {
	return Value{kind: BytesKind, num: uint64(len(b)), ptr: unsafe.Pointer(unsafe.SliceData(b))}
}

// CharValue holds a Unicode code point. One that is none becomes U+FFFD, as in string(r).
func CharValue(r rune) Value {
	if !utf8.ValidRune(r) {
		r = utf8.RuneError
	}
	return signed(CharKind, int64(r))
}

// BoolValue holds b.
func BoolValue(b bool) Value {
	if b {
		return Value{kind: BoolKind, num: 1}
	}
	return Value{kind: BoolKind}
}

// Int16Value holds a 16-bit integer.
func Int16Value(i int16) Value { return signed(Int16Kind, int64(i)) }

// Int32Value holds a 32-bit integer.
func Int32Value(i int32) Value { return signed(Int32Kind, int64(i)) }

// Int64Value holds a 64-bit integer.
func Int64Value(i int64) Value { return signed(Int64Kind, i) }

// Float32Value holds f.
func Float32Value(f float32) Value {
	return Value{kind: Float32Kind, num: uint64(math.Float32bits(f))}
}

// Float64Value holds f.
func Float64Value(f float64) Value { return Value{kind: Float64Kind, num: math.Float64bits(f)} }

// StringValue holds s, which must be valid UTF-8 for the message to be sent.
func StringValue(s string) Value {
	return Value{kind: StringKind, num: uint64(len(s)), ptr: unsafe.Pointer(unsafe.StringData(s))}
}

// MapValue holds m itself, not a copy; nil stands for an empty Message. What is inside a message
// nests: see MaxNesting.
func MapValue(m *Message) Value {
	if m == nil {
		m = new(Message)
	}
	return Value{kind: MapKind, ptr: unsafe.Pointer(m)}
}

func signed(k ValueKind, i int64) Value { return Value{kind: k, num: uint64(i)} }

// ValueOf returns the Value that holds x exactly. Go types without a kind of their own take the
// smallest that holds all their values: uint8 an int16, uint16 an int32, uint32 an int64.
// An int, uint or uint64 becomes an int64. Bytes and *Message are shared, not copied. A rune is
// an int32 to Go, and becomes one: say CharValue where a character is meant.
//
// Any other type, nil, and a uint too large for int64 give an error that names it (ErrKind).
func ValueOf(x any) (Value, error) {
	switch x := x.(type) {
	case Value:
		return x, nil
	case int8:
		return ByteValue(x), nil
	case []byte:
		return BytesValue(x), nil
	case bool:
		return BoolValue(x), nil
	case int16:
		return Int16Value(x), nil
	case int32:
		return Int32Value(x), nil
	case int64:
		return Int64Value(x), nil
	case int:
		return Int64Value(int64(x)), nil
	case uint8:
		return Int16Value(int16(x)), nil
	case uint16:
		return Int32Value(int32(x)), nil
	case uint32:
		return Int64Value(int64(x)), nil
	case uint:
		return valueOfUint64(uint64(x))
	case uint64:
		return valueOfUint64(x)
	case float32:
		return Float32Value(x), nil
	case float64:
		return Float64Value(x), nil
	case string:
		return StringValue(x), nil
	case *Message:
		return MapValue(x), nil
	case nil:
		return Value{}, fmt.Errorf("%w: nil has no kind of value", ErrKind)
	default:
		return Value{}, fmt.Errorf("%w: %T has no kind of value", ErrKind, x)
	}
}

func valueOfUint64(u uint64) (Value, error) {
	if u > math.MaxInt64 {
		return Value{}, fmt.Errorf("%w: %d is too large for an int64 value", ErrKind, u)
	}
	return Int64Value(int64(u)), nil
}

// Kind is the type of what v holds.
func (v Value) Kind() ValueKind { return v.kind }

// The accessors below widen where nothing can be lost, by type and not by value:
//
//	byte → int16 → int32 → int64
//	char → int32 → int64             a rune is an int32
//	byte, int16 → float32 → float64
//	int32 → float64
//
// Everything else, text that looks like a number included, is an error that matches ErrKind.

// Byte returns v as an 8-bit integer.
func (v Value) Byte() (int8, error) { return integer[int8](v, ByteKind) }

// Bytes returns the bytes that v holds, shared with it.
func (v Value) Bytes() ([]byte, error) {
	if v.kind != BytesKind {
		return nil, v.not(BytesKind)
	}
	return v.bytes(), nil
}

// Char returns the code point that v holds.
func (v Value) Char() (rune, error) { return integer[rune](v, CharKind) }

// Bool returns the bool that v holds.
func (v Value) Bool() (bool, error) {
	if v.kind != BoolKind {
		return false, v.not(BoolKind)
	}
	return v.num != 0, nil
}

// Int16 returns v as a 16-bit integer.
func (v Value) Int16() (int16, error) { return integer[int16](v, Int16Kind) }

// Int32 returns v as a 32-bit integer.
func (v Value) Int32() (int32, error) { return integer[int32](v, Int32Kind) }

// Int64 returns v as a 64-bit integer.
func (v Value) Int64() (int64, error) { return integer[int64](v, Int64Kind) }

// Float32 returns v as a 32-bit floating point number.
func (v Value) Float32() (float32, error) {
	switch v.kind {
	case Float32Kind:
		return v.float32(), nil
	case ByteKind, Int16Kind:
		return float32(int64(v.num)), nil
	}
	return 0, v.not(Float32Kind)
}

// Float64 returns v as a 64-bit floating point number.
func (v Value) Float64() (float64, error) {
	switch v.kind {
	case Float64Kind:
		return v.float64(), nil
	case Float32Kind:
		return float64(v.float32()), nil
	case ByteKind, Int16Kind, Int32Kind:
		return float64(int64(v.num)), nil
	}
	return 0, v.not(Float64Kind)
}

// Text returns the string that v holds. String is for printing and takes every kind.
func (v Value) Text() (string, error) {
	if v.kind != StringKind {
		return "", v.not(StringKind)
	}
	return v.text(), nil
}

// Map returns the Message that v holds, shared with it; on success it is not nil.
func (v Value) Map() (*Message, error) {
	if v.kind != MapKind {
		return nil, v.not(MapKind)
	}
	return v.message(), nil
}

// Any returns what v holds as int8, []byte, rune, bool, int16, int32, int64, float32, float64,
// string or *Message; nil for the zero Value. Bytes and maps are shared, not copied.
func (v Value) Any() any {
	switch v.kind {
	case ByteKind:
		return int8(v.num)
	case BytesKind:
		return v.bytes()
	case CharKind:
		return rune(v.num)
	case BoolKind:
		return v.num != 0
	case Int16Kind:
		return int16(v.num)
	case Int32Kind:
		return int32(v.num)
	case Int64Kind:
		return int64(v.num)
	case Float32Kind:
		return v.float32()
	case Float64Kind:
		return v.float64()
	case StringKind:
		return v.text()
	case MapKind:
		return v.message()
	}
	return nil
}

// String is v for people to read: numbers in decimal, bytes in hexadecimal, text and characters
// as they are.
func (v Value) String() string {
	switch v.kind {
	case ByteKind, Int16Kind, Int32Kind, Int64Kind:
		return strconv.FormatInt(int64(v.num), 10)
	case BytesKind:
		return "0x" + hex.EncodeToString(v.bytes())
	case CharKind:
		return string(rune(v.num))
	case BoolKind:
		return strconv.FormatBool(v.num != 0)
	case Float32Kind:
		return strconv.FormatFloat(float64(v.float32()), 'g', -1, 32)
	case Float64Kind:
		return strconv.FormatFloat(v.float64(), 'g', -1, 64)
	case StringKind:
		return v.text()
	case MapKind:
		return v.message().String()
	}
	return "<" + v.kind.String() + ">"
}

// Equal reports whether v and w have the same kind and hold the same. Floating point numbers
// compare as numbers, except that NaN equals NaN; maps compare as Message.Equal does.
func (v Value) Equal(w Value) bool {
	if v.kind != w.kind {
		return false
	}
	switch v.kind {
	case BytesKind, StringKind:
		return bytes.Equal(v.bytes(), w.bytes())
	case Float32Kind:
		return sameFloat(float64(v.float32()), float64(w.float32()))
	case Float64Kind:
		return sameFloat(v.float64(), w.float64())
	case MapKind:
		return v.message().Equal(w.message())
	case objectKind:
		return v.object().equal(w.object())
	default:
		return v.num == w.num
	}
}

func sameFloat(x, y float64) bool { return x == y || x != x && y != y }

// integer reads v as a T, whose own kind is want.
func integer[T int8 | int16 | int32 | int64](v Value, want ValueKind) (T, error) {
	if v.kind == want || v.widensTo(want) {
		return T(v.num), nil
	}
	return 0, v.not(want)
}

// widensTo reports whether v is an integer of a kind that is narrower than want.
func (v Value) widensTo(want ValueKind) bool {
	switch v.kind {
	case ByteKind:
		return want == Int16Kind || want == Int32Kind || want == Int64Kind
	case Int16Kind, CharKind:
		return want == Int32Kind || want == Int64Kind
	case Int32Kind:
		return want == Int64Kind
	}
	return false
}

func (v Value) not(want ValueKind) error {
	return fmt.Errorf("%w: a value of kind %v cannot be read as %v", ErrKind, v.kind, want)
}

// The readers below trust the kind.

func (v Value) bytes() []byte     { return unsafe.Slice((*byte)(v.ptr), int(v.num)) }
func (v Value) text() string      { return unsafe.String((*byte)(v.ptr), int(v.num)) }
func (v Value) message() *Message { return (*Message)(v.ptr) }
func (v Value) object() *object   { return (*object)(v.ptr) }
func (v Value) float32() float32  { return math.Float32frombits(uint32(v.num)) }
func (v Value) float64() float64  { return math.Float64frombits(v.num) }
