package blaze

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MarshalJSON writes m with the type of every value, so that UnmarshalJSON gives back an Equal Message:
//
//	{"topic":"prices.acme","entries":{"bid":{"float64":99.5},"venue":{"string":"XETR"}},"text":"…"}
//
// Where it came from stands there too, if it was received: topic, from, sequence, redelivered. The body is text, bytes (in
// base64) or object ({"type":…,"value": base64}). A value is an object of one field, named after its kind as ValueKind
// prints it. What JSON has no number for is a text: "NaN", "+Inf", "-Inf". A message within is {"map":{"entries":…}}.
//
// What cannot be sent is an error (ErrMalformed) that names the key.
func (m *Message) MarshalJSON() ([]byte, error) {
	if !m.nests(MaxNesting) {
		return nil, fmt.Errorf("%w: it nests deeper than %d", ErrMalformed, MaxNesting)
	}
	return m.appendJSON(nil, "")
}

// appendJSON appends the object of m, which lies at path in the outermost message.
func (m *Message) appendJSON(dst []byte, path string) ([]byte, error) {
	open := len(dst)
	field := func(name string) { dst = append(append(append(dst, ',', '"'), name...), '"', ':') }
	if m.topic != "" {
		field("topic")
		dst = appendString(dst, m.topic)
	}
	if !m.from.IsZero() {
		field("from")
		dst = appendString(dst, m.from.String())
	}
	if m.sequence != 0 {
		field("sequence")
		dst = strconv.AppendUint(dst, m.sequence, 10)
	}
	if m.redelivered {
		field("redelivered")
		dst = append(dst, "true"...)
	}
	if len(m.entries) > 0 {
		field("entries")
		for i := range m.entries {
			e := &m.entries[i]
			at := path + "." + e.key
			if e.key == "" || !utf8.ValidString(e.key) {
				return nil, fmt.Errorf("%w: key %q: must be valid UTF-8, and not empty", ErrMalformed, at[1:])
			}
			dst = append(dst, "{,"[min(i, 1)])
			dst = append(appendString(dst, e.key), ':')
			var err error
			if dst, err = e.value.appendJSON(dst, at); err != nil {
				return nil, err
			}
		}
		dst = append(dst, '}')
	}
	switch b := m.body; b.kind {
	case StringKind:
		if !utf8.ValidString(b.text()) {
			return nil, fmt.Errorf("%w: the text%s is not valid UTF-8", ErrMalformed, within(path))
		}
		field("text")
		dst = appendString(dst, b.text())
	case BytesKind:
		field("bytes")
		dst = appendBase64(dst, b.bytes())
	case objectKind:
		field("object")
		dst = appendString(append(dst, `{"type":`...), b.object().typeURL)
		dst = append(appendBase64(append(dst, `,"value":`...), b.object().value), '}')
	}
	if m.header != nil {
		field("header")
		dst = appendBase64(dst, m.header)
	}
	if len(dst) == open {
		return append(dst, "{}"...), nil
	}
	dst[open] = '{'
	return append(dst, '}'), nil
}

func (v *Value) appendJSON(dst []byte, path string) ([]byte, error) {
	dst = append(append(append(dst, '{', '"'), v.kind.String()...), '"', ':')
	var err error
	switch v.kind {
	case ByteKind, Int16Kind, Int32Kind, Int64Kind:
		dst = strconv.AppendInt(dst, int64(v.num), 10)
	case BytesKind:
		dst = appendBase64(dst, v.bytes())
	case CharKind:
		dst = appendString(dst, string(rune(v.num)))
	case BoolKind:
		dst = strconv.AppendBool(dst, v.num != 0)
	case Float32Kind:
		f := float64(math.Float32frombits(uint32(v.num)))
		dst = appendFloat(dst, f, 32, math.Float32bits(float32(math.NaN())) == uint32(v.num), v.num)
	case Float64Kind:
		dst = appendFloat(dst, math.Float64frombits(v.num), 64, math.Float64bits(math.NaN()) == v.num, v.num)
	case StringKind:
		if !utf8.ValidString(v.text()) {
			return nil, fmt.Errorf("%w: the text of %q is not valid UTF-8", ErrMalformed, path[1:])
		}
		dst = appendString(dst, v.text())
	case MapKind:
		if dst, err = v.message().appendJSON(dst, path); err != nil {
			return nil, err
		}
	default:
		dst = append(dst, "null"...)
	}
	return append(dst, '}'), nil
}

// appendFloat appends a number, or a text where JSON has none. A NaN other than the usual one has its bits.
func appendFloat(dst []byte, f float64, bits int, usual bool, as uint64) []byte {
	switch {
	case math.IsNaN(f) && !usual:
		return fmt.Appendf(dst, `"NaN(%#x)"`, as)
	case math.IsNaN(f), math.IsInf(f, 0):
		return fmt.Appendf(dst, `"%v"`, f)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, bits)
}

func appendString(dst []byte, s string) []byte {
	text, _ := json.Marshal(s) // of a string: no error
	return append(dst, text...)
}

func appendBase64(dst, b []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(append(dst, '"'), b), '"')
}

// within says where a nested message lies.
func within(path string) string {
	if path == "" {
		return ""
	}
	return fmt.Sprintf(" in %q", path[1:])
}

// UnmarshalJSON makes m what MarshalJSON has written. Fields that it does not know are skipped; an unknown kind of a
// value, a key that comes twice, a number that its kind cannot hold, text that is no UTF-8, and nesting deeper than
// MaxNesting are errors (ErrMalformed) that name line and key, and leave m as it was.
func (m *Message) UnmarshalJSON(b []byte) error {
	r := &jsonReader{source: b, d: json.NewDecoder(bytes.NewReader(b))}
	r.d.UseNumber()
	var out Message
	err := r.characters()
	if err == nil {
		err = r.message(&out, MaxNesting, "")
	}
	if err == nil {
		if _, more := r.d.Token(); more != io.EOF {
			err = errors.New("there is more behind it")
		}
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("%w: JSON, line %d: %w", ErrMalformed, r.line(), err)
	}
	*m = out
	return nil
}

// jsonReader reads a Message from JSON.
type jsonReader struct {
	source []byte
	d      *json.Decoder
	at     int // where what is wrong was found; 0: where d is
}

// line is the line of what was read last, from 1.
func (r *jsonReader) line() int {
	at := r.at
	if at == 0 {
		at = int(r.d.InputOffset())
	}
	return 1 + bytes.Count(r.source[:min(at, len(r.source))], []byte{'\n'})
}

// characters refuses what a decoder would silently replace: bytes that are no UTF-8, and halves of surrogate pairs.
func (r *jsonReader) characters() error {
	b := r.source
	for i := 0; i < len(b); i++ {
		if b[i] >= utf8.RuneSelf {
			c, n := utf8.DecodeRune(b[i:])
			if r.at = i; c == utf8.RuneError && n == 1 {
				return errors.New("not valid UTF-8")
			}
			if c == '\ufeff' && i == 0 {
				return errors.New("a byte order mark")
			}
			i += n - 1
			continue
		}
		if b[i] != '\\' {
			continue
		}
		high := surrogate(b[i:])
		if r.at = i; high == 0 {
			i++ // what is escaped is no escape itself
			continue
		}
		if high >= 0xdc00 || i+6 > len(b) || surrogate(b[i+6:]) < 0xdc00 {
			return errors.New("half of a surrogate pair")
		}
		i += 11
	}
	r.at = 0
	return nil
}

// surrogate is the half of a surrogate pair that b begins with, as an escape; 0: none.
func surrogate(b []byte) uint64 {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0
	}
	if n, err := strconv.ParseUint(string(b[2:6]), 16, 16); err == nil && n >= 0xd800 && n < 0xe000 {
		return n
	}
	return 0
}

// object reads an object, calling field with each name; field reads the value.
func (r *jsonReader) object(path string, field func(name string) error) error {
	if err := r.delim('{', path, "an object"); err != nil {
		return err
	}
	seen := map[string]bool{}
	for r.d.More() {
		t, err := r.d.Token()
		if err != nil {
			return err
		}
		name := t.(string) // the decoder takes nothing else
		if seen[name] {
			return fmt.Errorf("%s comes twice", quoted(path, name))
		}
		seen[name] = true
		if err := field(name); err != nil {
			return err
		}
	}
	_, err := r.d.Token()
	return err
}

func quoted(path, name string) string { return strconv.Quote(strings.TrimPrefix(path+"."+name, ".")) }

func (r *jsonReader) delim(want json.Delim, path, what string) error {
	t, err := r.d.Token()
	if err == nil && t != want {
		err = fmt.Errorf("want %s%s", what, within(path))
	}
	return err
}

func (r *jsonReader) message(m *Message, depth int, path string) error {
	if depth == 0 {
		return fmt.Errorf("%q nests deeper than %d", path[1:], MaxNesting)
	}
	bodies := 0
	return r.object(path, func(name string) (err error) {
		switch name {
		case "entries":
			return r.object(path, func(key string) error {
				at := path + "." + key
				if key == "" {
					return fmt.Errorf("an empty key%s", within(path))
				}
				v, err := r.value(depth, at)
				if err == nil {
					m.Set(key, v)
				}
				return err
			})
		case "text", "bytes", "object":
			if bodies++; bodies > 1 {
				return fmt.Errorf("two bodies%s", within(path))
			}
			if name == "object" {
				return r.objectBody(m, path)
			}
			err = r.plainBody(m, name)
		case "header":
			m.header, err = r.bytes()
		case "topic":
			m.topic, err = r.text()
		case "from":
			var id string
			if id, err = r.text(); err == nil {
				m.from, err = ParseMemberID(id)
			}
		case "sequence":
			var n json.Number
			if err = r.d.Decode(&n); err == nil {
				m.sequence, err = strconv.ParseUint(n.String(), 10, 64)
			}
		case "redelivered":
			err = r.d.Decode(&m.redelivered)
		default:
			var skipped json.RawMessage
			return r.d.Decode(&skipped)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", quoted(path, name), err)
		}
		return err
	})
}

func (r *jsonReader) plainBody(m *Message, name string) error {
	if name == "text" {
		s, err := r.text()
		m.SetText(s)
		return err
	}
	b, err := r.bytes()
	m.SetBytes(b)
	return err
}

func (r *jsonReader) objectBody(m *Message, path string) error {
	o := new(object)
	m.body = objectValue(o)
	return r.object(path+".object", func(field string) (err error) {
		switch field {
		case "type":
			o.typeURL, err = r.text()
		case "value":
			o.value, err = r.bytes()
		default:
			return fmt.Errorf("unknown field %s", quoted(path+".object", field))
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", quoted(path+".object", field), err)
		}
		return err
	})
}

// value reads a Value, which is an object of one field.
func (r *jsonReader) value(depth int, path string) (v Value, err error) {
	fields := 0
	err = r.object(path, func(kind string) error {
		if fields++; fields > 1 {
			return fmt.Errorf("%q has several kinds", path[1:])
		}
		v, err = r.ofKind(kind, depth, path)
		return err
	})
	if err == nil && fields == 0 {
		err = fmt.Errorf("%q has no kind", path[1:])
	}
	return v, err
}

func (r *jsonReader) ofKind(kind string, depth int, path string) (v Value, err error) {
	bad := func(err error) (Value, error) { return v, fmt.Errorf("%q: %s: %w", path[1:], kind, err) }
	integer := func(bits int) (int64, error) {
		t, err := r.d.Token()
		if err != nil {
			return 0, err
		}
		n, ok := t.(json.Number)
		if !ok {
			return 0, errors.New("want a number")
		}
		return strconv.ParseInt(n.String(), 10, bits)
	}
	var n int64
	switch kind {
	case "none":
		if t, err := r.d.Token(); err != nil || t != nil {
			return bad(errors.New("want null"))
		}
		return v, nil
	case "byte":
		if n, err = integer(8); err == nil {
			v = ByteValue(int8(n))
		}
	case "int16":
		if n, err = integer(16); err == nil {
			v = Int16Value(int16(n))
		}
	case "int32":
		if n, err = integer(32); err == nil {
			v = Int32Value(int32(n))
		}
	case "int64":
		if n, err = integer(64); err == nil {
			v = Int64Value(n)
		}
	case "bool":
		t, terr := r.d.Token()
		b, ok := t.(bool)
		if err = terr; err == nil && !ok {
			err = errors.New("want true or false")
		}
		v = BoolValue(b)
	case "char":
		var s string
		if s, err = r.text(); err == nil {
			c, size := utf8.DecodeRuneInString(s)
			if size == 0 || size != len(s) {
				return bad(errors.New("want a text of one character"))
			}
			v = CharValue(c)
		}
	case "string":
		var s string
		if s, err = r.text(); err == nil {
			v = StringValue(s)
		}
	case "bytes":
		var b []byte
		if b, err = r.bytes(); err == nil {
			v = BytesValue(b)
		}
	case "float32":
		var num uint64
		if num, err = r.float(32); err == nil {
			v = Value{kind: Float32Kind, num: num}
		}
	case "float64":
		var num uint64
		if num, err = r.float(64); err == nil {
			v = Value{kind: Float64Kind, num: num}
		}
	case "map":
		in := new(Message)
		return MapValue(in), r.message(in, depth-1, path)
	default:
		return v, fmt.Errorf("%q has the unknown kind %q", path[1:], kind)
	}
	if err != nil {
		return bad(err)
	}
	return v, nil
}

// float reads the bits of a number, or of the text that stands for what JSON has no number for.
func (r *jsonReader) float(bits int) (uint64, error) {
	t, err := r.d.Token()
	if err != nil {
		return 0, err
	}
	var f float64
	switch t := t.(type) {
	case json.Number:
		if f, err = strconv.ParseFloat(t.String(), bits); err != nil {
			return 0, err
		}
	case string:
		if inner, ok := strings.CutPrefix(t, "NaN(0x"); ok && strings.HasSuffix(t, ")") {
			n, err := strconv.ParseUint(strings.TrimSuffix(inner, ")"), 16, bits)
			nan := math.IsNaN(math.Float64frombits(n))
			if bits == 32 {
				nan = math.IsNaN(float64(math.Float32frombits(uint32(n))))
			}
			if err == nil && !nan {
				err = errors.New("these bits are no NaN")
			}
			return n, err
		}
		switch t {
		case "NaN":
			f = math.NaN()
		case "+Inf", "-Inf":
			f, _ = strconv.ParseFloat(t, 64)
		default:
			return 0, errors.New(`want a number, "NaN", "+Inf" or "-Inf"`)
		}
	default:
		return 0, errors.New("want a number")
	}
	if bits == 32 {
		return uint64(math.Float32bits(float32(f))), nil
	}
	return math.Float64bits(f), nil
}

// text reads a text.
func (r *jsonReader) text() (string, error) {
	t, err := r.d.Token()
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", errors.New("want a text")
	}
	return s, nil
}

// bytes reads base64.
func (r *jsonReader) bytes() ([]byte, error) {
	s, err := r.text()
	if err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if b == nil {
		b = []byte{}
	}
	return b, err
}
