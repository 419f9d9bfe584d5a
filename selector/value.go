package selector

import (
	"math"
	"math/bits"
	"unsafe"
)

// Value is what an identifier or an expression is worth. The zero Value is null: what a message does not have.
type Value struct {
	kind kind
	num  uint64 // the bits of a boolean or a number
	text string
}

type kind uint8

const (
	nullKind  kind = iota
	boolKind       // num is 0 or 1
	intKind        //
	floatKind      //
	textKind       //
	otherKind      // not null, and like nothing
)

// Bool is a boolean.
func Bool(b bool) Value {
	if b {
		return Value{kind: boolKind, num: 1}
	}
	return Value{kind: boolKind}
}

// Int is an exact number: Java's byte, short, int and long.
func Int(i int64) Value { return Value{kind: intKind, num: uint64(i)} }

// Float is an approximate number: Java's float and double. NaN and infinities are allowed.
func Float(f float64) Value { return Value{kind: floatKind, num: math.Float64bits(f)} }

// Text is a string.
func Text(s string) Value { return Value{kind: textKind, text: s} }

// TextBytes is Text(string(b)) without a copy: b must not change until the evaluation is over.
func TextBytes(b []byte) Value { return Text(unsafe.String(unsafe.SliceData(b), len(b))) }

// Other is a value that the language cannot compare, as bytes and maps are: not null, and like nothing.
func Other() Value { return Value{kind: otherKind} }

func (v Value) int() int64     { return int64(v.num) }
func (v Value) float() float64 { return math.Float64frombits(v.num) }
func (v Value) isNumber() bool { return v.kind == intKind || v.kind == floatKind }

// asFloat is Java's promotion of a number to double.
func (v Value) asFloat() float64 {
	if v.kind == intKind {
		return float64(v.int())
	}
	return v.float()
}

// condition is v where a condition stands: the same as v = TRUE.
func (v Value) condition() Truth {
	switch v.kind {
	case nullKind:
		return Unknown
	case boolKind:
		return truthOf(v.num != 0)
	}
	return False
}

// order compares two numbers; ok is false if one is NaN.
func order(v, w Value) (sign int, ok bool) {
	switch {
	case v.kind == intKind && w.kind == intKind:
		return compare(v.int(), w.int()), true
	case v.kind == intKind:
		return orderMixed(v.int(), w.float())
	case w.kind == intKind:
		sign, ok = orderMixed(w.int(), v.float())
		return -sign, ok
	}
	f, g := v.float(), w.float()
	return compare(f, g), f == f && g == g
}

// orderMixed compares without rounding i, which a conversion to float64 does from 2^53 on.
func orderMixed(i int64, f float64) (sign int, ok bool) {
	const limit = 1 << 63
	switch {
	case f != f:
		return 0, false
	case f >= limit:
		return -1, true
	case f < -limit:
		return 1, true
	}
	whole := int64(f) // towards zero, and exact: f is in range
	if i != whole {
		return compare(i, whole), true
	}
	return compare(float64(whole), f), true // exact too: f's own whole part
}

// compare is cmp.Compare, which has an order for NaN, without it.
func compare[T int64 | float64](x, y T) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// arithmetic is v op w, where op is one of + - * /.
func arithmetic(op byte, v, w Value) Value {
	switch {
	case v.kind == nullKind || w.kind == nullKind:
		return Value{}
	case !v.isNumber() || !w.isNumber():
		return Other()
	case v.kind == intKind && w.kind == intKind:
		return exactly(op, v.int(), w.int())
	}
	return approximately(op, v.asFloat(), w.asFloat())
}

// exactly is null where the result is not an int64.
func exactly(op byte, x, y int64) Value {
	switch op {
	case '+':
		if z := x + y; (z > x) == (y > 0) {
			return Int(z)
		}
	case '-':
		if z := x - y; (z < x) == (y > 0) {
			return Int(z)
		}
	case '*':
		high, low := bits.Mul64(magnitude(x), magnitude(y))
		if negative := (x < 0) != (y < 0); high == 0 && negative && low <= 1<<63 {
			return Int(-int64(low))
		} else if high == 0 && !negative && low < 1<<63 {
			return Int(int64(low))
		}
	case '/':
		if y != 0 && (x != math.MinInt64 || y != -1) {
			return Int(x / y)
		}
	}
	return Value{}
}

func magnitude(i int64) uint64 {
	if i < 0 {
		return -uint64(i)
	}
	return uint64(i)
}

// approximately is null where finite numbers give an infinite one, and for a division by zero. The conversions keep
// the compiler from fusing two operations into one that rounds once: it does so on some platforms only.
func approximately(op byte, x, y float64) Value {
	var z float64
	switch op {
	case '+':
		z = float64(x + y)
	case '-':
		z = float64(x - y)
	case '*':
		z = float64(x * y)
	case '/':
		if y == 0 {
			return Value{}
		}
		z = float64(x / y)
	}
	if math.IsInf(z, 0) && !math.IsInf(x, 0) && !math.IsInf(y, 0) {
		return Value{}
	}
	return Float(z)
}

// negated is -v.
func (v Value) negated() Value {
	switch v.kind {
	case intKind:
		return exactly('-', 0, v.int())
	case floatKind:
		return Float(-v.float())
	}
	return v.signed()
}

// signed is +v: a number, or what arithmetic makes of another value.
func (v Value) signed() Value {
	if v.kind == nullKind || v.isNumber() {
		return v
	}
	return Other()
}
