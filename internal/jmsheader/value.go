package jmsheader

import (
	"math"

	"github.com/activeblaze/blaze/selector"
)

// Kind is the type of a property.
type Kind uint8

// The kinds of properties. They are Java's.
const (
	None   Kind = iota // null
	Bool               //
	Byte               // int8
	Short              // int16
	Int                // int32
	Long               // int64
	Float              // float32
	Double             // float64
	String             //
)

// String is the Java name: "int".
func (k Kind) String() string {
	return [...]string{"null", "boolean", "byte", "short", "int", "long", "float", "double", "String"}[min(k, String)]
}

// Value is the value of a property. The zero Value is null.
type Value struct {
	Kind Kind
	Num  int64  // of Bool 0 or 1, of Float and Double the bits of a float64, of integers themselves
	Text string // of String
}

// BoolValue is a boolean.
func BoolValue(b bool) Value {
	if b {
		return Value{Kind: Bool, Num: 1}
	}
	return Value{Kind: Bool}
}

// IntValue is an integer of kind Byte, Short, Int or Long, which must be able to hold it.
func IntValue(k Kind, i int64) Value { return Value{Kind: k, Num: i} }

// FloatValue is a float32.
func FloatValue(f float32) Value {
	return Value{Kind: Float, Num: int64(math.Float64bits(float64(f)))}
}

// DoubleValue is a float64.
func DoubleValue(f float64) Value { return Value{Kind: Double, Num: int64(math.Float64bits(f))} }

// StringValue is a text, which must be valid UTF-8 for the message to be sent.
func StringValue(s string) Value { return Value{Kind: String, Text: s} }

// Float64 is the number of a Float or Double.
func (v Value) Float64() float64 { return math.Float64frombits(uint64(v.Num)) }

// Selector is v as selectors see it.
func (v Value) Selector() selector.Value {
	switch v.Kind {
	case Bool:
		return selector.Bool(v.Num != 0)
	case Byte, Short, Int, Long:
		return selector.Int(v.Num)
	case Float, Double:
		return selector.Float(v.Float64())
	case String:
		return selector.Text(v.Text)
	}
	return selector.Value{}
}

// Any is v as a bool, int8, int16, int32, int64, float32, float64 or string; nil for null.
func (v Value) Any() any {
	switch v.Kind {
	case Bool:
		return v.Num != 0
	case Byte:
		return int8(v.Num)
	case Short:
		return int16(v.Num)
	case Int:
		return int32(v.Num)
	case Long:
		return v.Num
	case Float:
		return float32(v.Float64())
	case Double:
		return v.Float64()
	case String:
		return v.Text
	}
	return nil
}
