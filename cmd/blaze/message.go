package main

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/activeblaze/blaze"
)

// content is what a message holds, as --json has it.
type content struct {
	Kind   string         `json:"kind"`             // "text", "bytes", "object" or "map": the message's body; "raw": a payload that is no Message
	Text   *string        `json:"text,omitempty"`   // a text body, or raw bytes that are UTF-8
	Bytes  []byte         `json:"bytes,omitempty"`  // other bytes, in base64
	Type   string         `json:"type,omitempty"`   // the type of an object
	Fields map[string]any `json:"fields,omitempty"` // the message's entries
}

// contentOf is what m holds.
func contentOf(m *blaze.Message) content {
	c := content{Kind: "map", Fields: fieldsOf(m)}
	if s, ok := m.Text(); ok {
		c.Kind, c.Text = "text", &s
	} else if b, ok := m.Bytes(); ok {
		c.Kind, c.Bytes = "bytes", b
	} else if _, err := m.Object(); !errors.Is(err, blaze.ErrKind) {
		body := m.Clone()
		for key := range m.All() {
			body.Delete(key)
		}
		c.Kind, c.Type = "object", body.String()
	}
	return c
}

// rawContent is the content of a payload that is no Message.
func rawContent(b []byte) content {
	if utf8.Valid(b) {
		s := string(b)
		return content{Kind: "raw", Text: &s}
	}
	return content{Kind: "raw", Bytes: b}
}

func fieldsOf(m *blaze.Message) map[string]any {
	fields := make(map[string]any, m.Len())
	for key, v := range m.All() {
		fields[key] = jsonValue(v)
	}
	return fields
}

// jsonValue is v as JSON can have it: what JSON has no number for is a text.
func jsonValue(v blaze.Value) any {
	switch x := v.Any().(type) {
	case *blaze.Message:
		if c := contentOf(x); c.Kind != "map" {
			return c
		}
		return fieldsOf(x)
	case rune: // a character, or an Int32
		if v.Kind() == blaze.CharKind {
			return string(x)
		}
		return x
	default:
		return jsonNumber(x)
	}
}

// jsonNumber is x, but a text where it is a number that JSON has none for.
func jsonNumber(x any) any {
	f, ok := x.(float64)
	if g, single := x.(float32); single {
		f, ok = float64(g), true
	}
	if ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
		return fmt.Sprint(x)
	}
	return x
}

// plain is what m holds as text: its body where that is all, else all of it for people to read.
func plain(m *blaze.Message) string {
	if m.Len() == 0 {
		if s, ok := m.Text(); ok {
			return s
		}
		if b, ok := m.Bytes(); ok {
			return string(b)
		}
	}
	return m.String()
}
