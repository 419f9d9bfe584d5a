package selector

import (
	"math"
	"reflect"
	"testing"
	"unicode/utf8"
)

// sameTree reports whether two texts were parsed to the same.
func sameTree(s, t *Selector) bool { return reflect.DeepEqual(s, t) }

// addTable gives a fuzz target every selector of the tables.
func addTable(f *testing.F, add func(source string)) {
	for _, c := range table {
		for _, r := range c.rows {
			if len(r.selector) < 1000 {
				add(r.selector)
			}
		}
	}
	add("order.price * -1 + - -2 * +(3) / - 0x8000000000000000 > -(5) AND ((a = 1) = (b = 2)) = TRUE")
	add("((a OR b) OR (c OR NOT NOT d)) AND (a AND b)")
	add("a LIKE '%%_a__%b!_%' ESCAPE '!' AND b NOT IN ('''', '') AND c IS NOT NULL")
}

// A text is refused with a place in it, or printing it and parsing that gives the same tree.
func FuzzParse(f *testing.F) {
	addTable(f, func(source string) { f.Add(source, false) })
	f.Add("x = 'abc", true)
	f.Add("x = \xff", true)
	f.Fuzz(func(t *testing.T, source string, dots bool) {
		names := JMS()
		names.Dots = dots
		s, err := Parse(source, names)
		if err != nil {
			if column := err.(*Error).Column; s != nil || column < 1 || column > utf8.RuneCountInString(source)+1 {
				t.Fatalf("%v, with %v", err, s)
			}
			return
		}
		if len(source) > MaxText || len(s.nodes) > MaxNodes+1 {
			t.Fatalf("%d bytes and %d nodes were accepted", len(source), len(s.nodes)-1)
		}
		again, err := parse(s.String(), names)
		if err != nil || !sameTree(s, again) || again.String() != s.String() {
			t.Fatalf("printed as %q, then as %q: %v", s, again, err)
		}
	})
}

// values is a Source whose values are in bytes: the name with number n has the value that begins at 9 n.
type values []byte

func (v values) Lookup(n int, _ string) Value {
	if len(v) == 0 {
		return Value{}
	}
	at := n * 9 % len(v)
	num := uint64(0)
	for i := range 8 {
		num = num<<8 | uint64(v[(at+1+i)%len(v)])
	}
	switch v[at] % 8 {
	case 0:
		return Value{}
	case 1:
		return Bool(num%2 == 0)
	case 2:
		return Int(int64(num))
	case 3:
		return Int(int64(num) >> 56)
	case 4:
		return Float(math.Float64frombits(num))
	case 5:
		return Float(float64(int8(num)) / 4)
	case 6:
		return TextBytes(v[at:])
	}
	return Other()
}

// Any selector on any message ends within its steps, with the same verdict each time, and after it was printed too.
func FuzzEval(f *testing.F) {
	addTable(f, func(source string) {
		f.Add(source, []byte("\x06abcdefgh\x02\x00\x00\x00\x00\x00\x00\x00\x05\x041234567"))
	})
	f.Fuzz(func(t *testing.T, source string, message []byte) {
		s, err := Parse(source, Names{Dots: true})
		if err != nil {
			return
		}
		verdict, steps := s.Eval(values(message))
		if verdict > True || steps < 0 || steps > MaxSteps+1 || steps > MaxSteps && verdict != Unknown {
			t.Fatalf("%v after %d steps", verdict, steps)
		}
		again, err := parse(s.String(), Names{Dots: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range []*Selector{s, again} {
			if v, n := x.Eval(values(message)); v != verdict || n != steps {
				t.Fatalf("%v after %d steps, then %v after %d", verdict, steps, v, n)
			}
		}
		if s.Matches(values(message)) != (verdict == True) {
			t.Fatal("Matches and Eval differ")
		}
	})
}

// Every text begins with a character of the width that package utf8 gives it.
func TestWidth(t *testing.T) {
	for a := range 256 {
		for b := range 256 {
			for _, rest := range []string{"", "\x80", "\xbf\xbf", "a"} {
				s := string([]byte{byte(a), byte(b)}) + rest
				if _, want := utf8.DecodeRuneInString(s); width(s) != want || width(s[:1]) != 1 {
					t.Fatalf("%q begins with %d bytes, want %d", s, width(s), want)
				}
			}
		}
	}
}

// LIKE gives what trying everything gives.
func FuzzLike(f *testing.F) {
	f.Add("a%b_c", "!", "axxbxc")
	f.Add("%_a_%%_", "", "äa\xffé")
	f.Add("!_%!%", "!", "_a%")
	f.Fuzz(func(t *testing.T, pattern, escaped, text string) {
		if len(pattern) > 20 || len(text) > 30 || !utf8.ValidString(pattern) {
			return
		}
		escape := rune(-1)
		if r, size := utf8.DecodeRuneInString(escaped); size > 0 && size == len(escaped) && utf8.ValidString(escaped) {
			escape = r
		}
		segments, ok := compileLike(pattern, escape)
		if !ok {
			return
		}
		e := evaluation{left: MaxSteps}
		if got, want := e.like(segments, text), modelLike(pattern, escape, text); got != want {
			t.Fatalf("%q LIKE %q ESCAPE %q is %v, by the model %v; %v", text, pattern, escaped, got, want, segments)
		}
	})
}
