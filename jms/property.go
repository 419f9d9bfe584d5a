package jms

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/jmsheader"
	"github.com/activeblaze/blaze/internal/words"
	"github.com/activeblaze/blaze/selector"
)

// Properties, section 3.5 of Jakarta Messaging 3.1. A name is an identifier of selectors that is no reserved word. The
// names that begin with JMSX are the specification's: JMSXGroupID and JMSXGroupSeq may be set. At most 256 properties,
// 64 KiB together, which Send checks.

// SetProperty sets a property to a bool, int8, int16, int32, int64, int, float32, float64 or string; nil is a property
// that is null. The error is ErrMessageFormat: of the name, or of another type.
func (m *Message) SetProperty(name string, value any) error {
	if err := checkPropertyName(name); err != nil {
		return err
	}
	v, err := propertyOf(value)
	if err != nil {
		return fmt.Errorf("%w: property %s: %w", ErrMessageFormat, name, err)
	}
	switch name {
	case "JMSXGroupID":
		if v.Kind != jmsheader.String || len(v.Text) > maxGroupID {
			return fmt.Errorf("%w: JMSXGroupID is a text of at most %d bytes", ErrMessageFormat, maxGroupID)
		}
	case "JMSXGroupSeq":
		if v.Kind == jmsheader.Bool || v.Kind >= jmsheader.Float || v.Kind == jmsheader.None || v.Num != int64(int32(v.Num)) {
			return fmt.Errorf("%w: JMSXGroupSeq is a 32-bit number", ErrMessageFormat)
		}
		v = jmsheader.IntValue(jmsheader.Int, v.Num)
	}
	m.head().Set(strings.Clone(name), v)
	return nil
}

const maxGroupID = 256 // bytes

func propertyOf(value any) (jmsheader.Value, error) {
	switch x := value.(type) {
	case nil:
		return jmsheader.Value{}, nil
	case bool:
		return jmsheader.BoolValue(x), nil
	case int8:
		return jmsheader.IntValue(jmsheader.Byte, int64(x)), nil
	case int16:
		return jmsheader.IntValue(jmsheader.Short, int64(x)), nil
	case int32:
		return jmsheader.IntValue(jmsheader.Int, int64(x)), nil
	case int64:
		return jmsheader.IntValue(jmsheader.Long, x), nil
	case int:
		return jmsheader.IntValue(jmsheader.Long, int64(x)), nil
	case float32:
		return jmsheader.FloatValue(x), nil
	case float64:
		return jmsheader.DoubleValue(x), nil
	case string:
		if !utf8.ValidString(x) {
			return jmsheader.Value{}, fmt.Errorf("a text that is not UTF-8")
		}
		return jmsheader.StringValue(x), nil
	}
	return jmsheader.Value{}, fmt.Errorf("%T is no type of properties", value)
}

// SetHidden sets a property that is carried with the message, and that neither Properties nor selectors show; nil removes
// it. It is for what an adapter keeps with a message: package jms20 does. The error is as for SetProperty.
func (m *Message) SetHidden(name string, value any) error {
	if name == "" || !utf8.ValidString(name) {
		return fmt.Errorf("%w: a hidden property needs a name that is UTF-8", ErrMessageFormat)
	}
	if value == nil {
		m.head().Delete("." + name)
		return nil
	}
	v, err := propertyOf(value)
	if err != nil {
		return fmt.Errorf("%w: hidden property %q: %w", ErrMessageFormat, words.Abridged(name), err)
	}
	m.head().Set("."+name, v)
	return nil
}

// Hidden returns a property that SetHidden has set.
func (m *Message) Hidden(name string) (value any, ok bool) {
	v, ok := m.head().Get("." + name)
	return v.Any(), ok
}

// checkPropertyName judges the name of a property that an application sets.
func checkPropertyName(name string) error {
	switch {
	case !selector.Identifier(name):
		return fmt.Errorf("%w: property %q: a name is an identifier of selectors, and no reserved word of theirs", ErrMessageFormat, words.Abridged(name))
	case strings.HasPrefix(name, "JMS_Blaze_"):
		return fmt.Errorf("%w: property %s is set by Blaze", ErrMessageFormat, name)
	case strings.HasPrefix(name, "JMS_"), name == "JMSXGroupID", name == "JMSXGroupSeq":
		return nil
	case strings.HasPrefix(name, "JMS"):
		return fmt.Errorf("%w: property %s: of names with JMS an application sets JMSXGroupID, JMSXGroupSeq and JMS_…", ErrMessageFormat, words.Abridged(name))
	}
	return nil
}

// checkTexts holds what an application has written to be valid UTF-8.
func checkTexts(h *jmsheader.Header) error {
	if !utf8.ValidString(h.CorrelationID) || !utf8.ValidString(h.Type) || !utf8.ValidString(h.ReplyTo) {
		return fmt.Errorf("%w: the correlation id or the type is not UTF-8", ErrMessageFormat)
	}
	return nil
}

// property is the property of that name; JMSXDeliveryCount is the delivery count.
func (m *Message) property(name string) (jmsheader.Value, bool) {
	if name == "JMSXDeliveryCount" && m.received {
		return jmsheader.IntValue(jmsheader.Int, int64(m.DeliveryCount())), true
	}
	if jmsheader.Hidden(name) {
		return jmsheader.Value{}, false
	}
	return m.head().Get(name)
}

// Property returns a property as it was set: a bool, int8, int16, int32, int64, float32, float64 or string, or nil. ok
// is false where there is none.
func (m *Message) Property(name string) (value any, ok bool) {
	v, ok := m.property(name)
	return v.Any(), ok
}

// PropertyExists reports whether there is a property of that name.
func (m *Message) PropertyExists(name string) bool {
	_, ok := m.property(name)
	return ok
}

// Properties are all properties, in the order of their names.
func (m *Message) Properties() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		for _, p := range m.head().Properties {
			if !jmsheader.Hidden(p.Name) && !yield(p.Name, p.Value.Any()) {
				return
			}
		}
	}
}

// ClearProperties removes all properties but the hidden ones.
func (m *Message) ClearProperties() {
	h := m.head()
	h.Properties = slices.DeleteFunc(h.Properties, func(p jmsheader.Property) bool { return !jmsheader.Hidden(p.Name) })
}

// DeleteProperty removes a property, if it is there.
func (m *Message) DeleteProperty(name string) { m.head().Delete(name) }

// The getters below convert as the table of section 3.5.4 has it. A conversion that the table does not have, and a text
// that is no such number, is ErrMessageFormat. So is a property that is missing or null, where a number is asked for;
// it is false as a boolean and "" as a string, as Java's valueOf(null) has it.

// BoolProperty returns a property as a boolean.
func (m *Message) BoolProperty(name string) (bool, error) {
	v, _ := m.property(name)
	return asBool(v)
}

// ByteProperty returns a property as a byte.
func (m *Message) ByteProperty(name string) (int8, error) {
	i, err := m.integer(name, jmsheader.Byte)
	return int8(i), err
}

// ShortProperty returns a property as a short.
func (m *Message) ShortProperty(name string) (int16, error) {
	i, err := m.integer(name, jmsheader.Short)
	return int16(i), err
}

// IntProperty returns a property as an int.
func (m *Message) IntProperty(name string) (int32, error) {
	i, err := m.integer(name, jmsheader.Int)
	return int32(i), err
}

// LongProperty returns a property as a long.
func (m *Message) LongProperty(name string) (int64, error) { return m.integer(name, jmsheader.Long) }

// FloatProperty returns a property as a float.
func (m *Message) FloatProperty(name string) (float32, error) {
	f, err := m.float(name, jmsheader.Float)
	return float32(f), err
}

// DoubleProperty returns a property as a double.
func (m *Message) DoubleProperty(name string) (float64, error) {
	return m.float(name, jmsheader.Double)
}

// StringProperty returns a property as a string.
func (m *Message) StringProperty(name string) (string, error) {
	v, _ := m.property(name)
	return asString(v), nil
}

func (m *Message) integer(name string, want jmsheader.Kind) (int64, error) {
	v, _ := m.property(name)
	i, err := asInteger(v, want)
	if err != nil {
		return 0, fmt.Errorf("%w: property %s", err, words.Abridged(name))
	}
	return i, nil
}

func (m *Message) float(name string, want jmsheader.Kind) (float64, error) {
	v, _ := m.property(name)
	f, err := asFloat(v, want)
	if err != nil {
		return 0, fmt.Errorf("%w: property %s", err, words.Abridged(name))
	}
	return f, nil
}

func cannot(v jmsheader.Value, want jmsheader.Kind) error {
	return fmt.Errorf("%w: a %v cannot be read as a %v", ErrMessageFormat, v.Kind, want)
}

func asBool(v jmsheader.Value) (bool, error) {
	switch v.Kind {
	case jmsheader.Bool:
		return v.Num != 0, nil
	case jmsheader.String:
		return strings.EqualFold(v.Text, "true"), nil // java.lang.Boolean.valueOf
	case jmsheader.None:
		return false, nil
	}
	return false, cannot(v, jmsheader.Bool)
}

// asInteger widens an integer, or reads a text.
func asInteger(v jmsheader.Value, want jmsheader.Kind) (int64, error) {
	switch {
	case v.Kind >= jmsheader.Byte && v.Kind <= want:
		return v.Num, nil
	case v.Kind == jmsheader.String:
		bits := map[jmsheader.Kind]int{jmsheader.Byte: 8, jmsheader.Short: 16, jmsheader.Int: 32, jmsheader.Long: 64}[want]
		if i, err := strconv.ParseInt(v.Text, 10, bits); err == nil {
			return i, nil
		}
		return 0, fmt.Errorf("%w: the text %q is no %v", ErrMessageFormat, words.Abridged(v.Text), want)
	}
	return 0, cannot(v, want)
}

// asFloat widens a float, or reads a text.
func asFloat(v jmsheader.Value, want jmsheader.Kind) (float64, error) {
	switch {
	case v.Kind == jmsheader.Float || v.Kind == want:
		return v.Float64(), nil
	case v.Kind == jmsheader.String:
		bits := 64
		if want == jmsheader.Float {
			bits = 32
		}
		// Java's valueOf: blanks around it, a sign, NaN, Infinity, a suffix of the type, hexadecimal.
		s := strings.TrimSpace(v.Text)
		if plain := strings.TrimRight(s, "fFdD"); len(plain) == len(s)-1 && plain != "" && !strings.ContainsAny(s, "xX") {
			s = plain
		}
		f, err := strconv.ParseFloat(s, bits)
		bare := strings.TrimLeft(s, "+-")
		switch {
		case bare == "NaN" || bare == "Infinity":
			return f, nil
		case strings.ContainsAny(bare, "_nN"): // nan, inf, 1_000
		case err == nil || math.IsInf(f, 0): // 1e999 is infinite
			return f, nil
		}
		return 0, fmt.Errorf("%w: the text %q is no %v", ErrMessageFormat, words.Abridged(v.Text), want)
	}
	return 0, cannot(v, want)
}

// asString writes a value as Java's String.valueOf does.
func asString(v jmsheader.Value) string {
	switch v.Kind {
	case jmsheader.Bool:
		return strconv.FormatBool(v.Num != 0)
	case jmsheader.Byte, jmsheader.Short, jmsheader.Int, jmsheader.Long:
		return strconv.FormatInt(v.Num, 10)
	case jmsheader.Float:
		return javaFloat(v.Float64(), 32)
	case jmsheader.Double:
		return javaFloat(v.Float64(), 64)
	}
	return v.Text
}

// javaFloat is Double.toString: the shortest digits, at least one of them behind the point, and an exponent below 10^-3
// and from 10^7 on.
func javaFloat(f float64, bits int) string {
	switch abs := math.Abs(f); {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 0):
		return strings.TrimPrefix(strconv.FormatFloat(f, 'g', -1, bits), "+") + "inity"
	case abs != 0 && (abs < 1e-3 || abs >= 1e7):
		digits, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, bits), "e")
		if !strings.Contains(digits, ".") {
			digits += ".0"
		}
		n, _ := strconv.Atoi(exponent)
		return digits + "E" + strconv.Itoa(n)
	}
	s := strconv.FormatFloat(f, 'f', -1, bits)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// Convert reads a value of a MapMessage or StreamMessage as another type, as the table of section 3.11.3 has it, which
// is that of properties; bytes are bytes alone, and a character a string besides. T is the type that is wanted; rune is
// int32, so a character is read with blaze.Value.Char.
func Convert[T bool | int8 | int16 | int32 | int64 | float32 | float64 | string | []byte](v blaze.Value) (T, error) {
	var out T
	var x jmsheader.Value
	switch v.Kind() {
	case blaze.BytesKind:
		if p, ok := any(&out).(*[]byte); ok {
			*p, _ = v.Bytes()
			return out, nil
		}
		return out, fmt.Errorf("%w: bytes can be read as bytes only", ErrMessageFormat)
	case blaze.CharKind:
		if p, ok := any(&out).(*string); ok {
			*p = v.String()
			return out, nil
		}
		return out, fmt.Errorf("%w: a character can be read as a character or a text", ErrMessageFormat)
	case blaze.MapKind:
		return out, fmt.Errorf("%w: a map can be read as a map only", ErrMessageFormat)
	case blaze.NoKind:
	default:
		x, _ = propertyOf(v.Any())
	}
	var err error
	switch p := any(&out).(type) {
	case *bool:
		*p, err = asBool(x)
	case *int8:
		*p, err = narrow[int8](x, jmsheader.Byte)
	case *int16:
		*p, err = narrow[int16](x, jmsheader.Short)
	case *int32:
		*p, err = narrow[int32](x, jmsheader.Int)
	case *int64:
		*p, err = asInteger(x, jmsheader.Long)
	case *float32:
		var f float64
		f, err = asFloat(x, jmsheader.Float)
		*p = float32(f)
	case *float64:
		*p, err = asFloat(x, jmsheader.Double)
	case *string:
		*p = asString(x)
	case *[]byte:
		if x.Kind != jmsheader.None {
			err = fmt.Errorf("%w: a %v cannot be read as bytes", ErrMessageFormat, x.Kind)
		}
	}
	return out, err
}

func narrow[T int8 | int16 | int32](v jmsheader.Value, want jmsheader.Kind) (T, error) {
	i, err := asInteger(v, want)
	return T(i), err
}
