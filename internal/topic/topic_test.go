package topic

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestValidate(t *testing.T) {
	long := strings.Repeat("x", MaxLen)
	for _, c := range []struct {
		path    string
		topic   bool   // may be published on
		pattern bool   // may be subscribed to
		why     string // in the error
	}{
		{"a", true, true, ""},
		{"prices.eu.bund", true, true, ""},
		{"Größe.温度", true, true, ""},
		{"with space.and/slash", true, true, ""}, // only dots and wildcards mean something
		{long, true, true, ""},
		{long + "x", false, false, "256 bytes"},
		{"", false, false, "empty"},
		{".", false, false, "element is empty"},
		{".a", false, false, "element is empty"},
		{"a.", false, false, "element is empty"},
		{"a..b", false, false, "element is empty"},
		{"a.\xff", false, false, "UTF-8"},
		{"a.\xc3", false, false, "UTF-8"}, // cut within a rune
		{"a.\x00", false, false, "control character"},
		{"a\n.b", false, false, "control character"},
		{"a.\u0085", false, false, "control character"}, // next line, a C1 control
		{"*", false, true, "for subscriptions"},
		{">", false, true, "for subscriptions"},
		{"a.*.b", false, true, "for subscriptions"},
		{"*.*", false, true, "for subscriptions"},
		{"a.>", false, true, "for subscriptions"},
		{"*.>", false, true, "for subscriptions"},
		{"a.>.b", false, false, "last"},
		{">.a", false, false, "last"},
		{"a*", false, false, "whole elements"},
		{"a.b>", false, false, "whole elements"},
		{"**", false, false, "whole elements"},
		{"a.*>", false, false, "whole elements"},
	} {
		err := Validate(c.path)
		if (err == nil) != c.topic {
			t.Errorf("Validate(%.40q) = %v", c.path, err)
		}
		perr := ValidatePattern(c.path)
		if (perr == nil) != c.pattern {
			t.Errorf("ValidatePattern(%.40q) = %v", c.path, perr)
		}
		last := perr // the reason why it is never valid, or why it is no topic
		if last == nil {
			last = err
		}
		if last != nil && (!errors.Is(last, ErrInvalid) || !strings.Contains(last.Error(), c.why)) {
			t.Errorf("%.40q: error %q, want ErrInvalid with %q", c.path, last, c.why)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern string
		match   []string
		not     []string
	}{
		{"a", []string{"a"}, []string{"b", "aa", "a.b", "", "a."}},
		{"a.b", []string{"a.b"}, []string{"a", "a.bb", "a.b.c", "ab", "a.", "a.c"}},
		{"*", []string{"a", "abc"}, []string{"a.b", "a.b.c"}},
		{"a.*", []string{"a.b", "a.xyz"}, []string{"a", "a.b.c", "b.b", "ab"}},
		{"*.b", []string{"a.b", "xyz.b"}, []string{"b", "a.b.c", "a.c", "a.bb"}},
		{"a.*.c", []string{"a.b.c"}, []string{"a.c", "a.b", "a.b.c.d", "a.b.d", "a.b.b.c"}},
		{"*.*", []string{"a.b"}, []string{"a", "a.b.c"}},
		// ActiveMQ: "> is used to recursively match any destination starting from this name".
		{">", []string{"a", "a.b", "a.b.c"}, nil},
		{"a.>", []string{"a", "a.b", "a.b.c"}, []string{"b", "ab", "aa.b", "b.a"}},
		{"a.b.>", []string{"a.b", "a.b.c", "a.b.c.d"}, []string{"a", "a.bc", "a.c"}},
		{"*.>", []string{"a", "a.b", "a.b.c"}, nil},
		{"a.*.>", []string{"a.b", "a.b.c"}, []string{"a", "b.b"}},
	} {
		for _, topic := range c.match {
			if !Match(c.pattern, []byte(topic)) {
				t.Errorf("%q should match %q", c.pattern, topic)
			}
		}
		for _, topic := range c.not {
			if Match(c.pattern, []byte(topic)) {
				t.Errorf("%q should not match %q", c.pattern, topic)
			}
		}
	}
}

func TestAllocations(t *testing.T) {
	name, pattern, topic := "prices.eu.bund.a-longer-name-than-32-bytes", "prices.*.>", []byte("prices.eu.bund.a-longer-name-than-32-bytes")
	if n := testing.AllocsPerRun(100, func() {
		if Validate(name) != nil || ValidatePattern(pattern) != nil || !Match(pattern, topic) {
			t.Error("valid and matching")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// naiveMatch and naiveValid are Match and the two judgements in the words of their definition.
func naiveMatch(pattern, topic string) bool {
	p, e := strings.Split(pattern, "."), strings.Split(topic, ".")
	if last := len(p) - 1; p[last] == ">" {
		if p = p[:last]; len(e) < len(p) {
			return false
		}
		e = e[:len(p)]
	}
	if len(p) != len(e) {
		return false
	}
	for i := range p {
		if p[i] != "*" && p[i] != e[i] {
			return false
		}
	}
	return true
}

func naiveValid(s string, wildcards bool) bool {
	elements := strings.Split(s, ".")
	for i, e := range elements {
		wild := e == "*" || e == ">" && i == len(elements)-1
		if e == "" || strings.ContainsAny(e, "*>") && !(wild && wildcards) {
			return false
		}
	}
	for _, r := range s { // C0, DEL and C1: Unicode's category Cc
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return false
		}
	}
	return len(s) <= 255 && utf8.ValidString(s)
}

func FuzzTopic(f *testing.F) {
	for _, s := range []string{"a|a", "a.*|a.b", "a.>|a", ">|a.b.c", "*.>|a", "a.*.c|a..c", "a..b|.", "a*|>", "a.>|a.", "a.*|a", "\xff|\xff", "0|\x01", "a\u009f|\u00a0"} {
		pattern, topic, _ := strings.Cut(s, "|")
		f.Add(pattern, topic)
	}
	f.Fuzz(func(t *testing.T, pattern, topic string) {
		for _, s := range []string{pattern, topic} {
			if got, want := Validate(s) == nil, naiveValid(s, false); got != want {
				t.Errorf("Validate(%q) = %v, want %v", s, got, want)
			}
			if got, want := ValidatePattern(s) == nil, naiveValid(s, true); got != want {
				t.Errorf("ValidatePattern(%q) = %v, want %v", s, got, want)
			}
		}
		got := Match(pattern, []byte(topic)) // whatever they are: no panic
		if ValidatePattern(pattern) == nil && got != naiveMatch(pattern, topic) {
			t.Errorf("Match(%q, %q) = %v", pattern, topic, got)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	topic := []byte("prices.eu.bund.2026")
	for _, pattern := range []string{"prices.eu.bund.2026", "prices.*.bund.*", "prices.>", "orders.>"} {
		b.Run(pattern, func(b *testing.B) {
			for b.Loop() {
				Match(pattern, topic)
			}
		})
	}
}
