package selector

import (
	"fmt"
	"strings"
	"testing"
)

func mustParse(t testing.TB, source string) *Selector {
	t.Helper()
	s, err := Parse(source, JMS())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// An evaluation allocates nothing, whatever it meets.
func TestEvalAllocatesNothing(t *testing.T) {
	long := of("x", strings.Repeat("aé", 20_000), "a", 1, "b", 2.5)
	sources := []string{"x LIKE '%b%' OR x LIKE 'a_a_%a_' OR (a + 1) * b / 3 - -a > 7 OR NOT (a = b) = (x = 'a')"}
	for _, c := range table {
		for _, r := range c.rows {
			sources = append(sources, r.selector)
		}
	}
	for _, source := range sources {
		s := mustParse(t, source)
		if n := testing.AllocsPerRun(10, func() { s.Matches(long) }); n != 0 {
			t.Errorf("%.80s: %v allocations", source, n)
		}
	}
}

// hard are selectors of up to 64 KiB that take much on hardMessage; over are those that take too much.
var hard = []struct {
	name, source string
	over         bool
}{
	{"LIKE, many", "x LIKE '%ab%'" + strings.Repeat(" OR x LIKE '%ab%'", 2000), true},
	{"LIKE, wildcards", "x LIKE '%a" + strings.Repeat("_", 1000) + "b%'", true},
	{"LIKE, characters", "u LIKE '%é" + strings.Repeat("_", 1000) + "b%'", true},
	{"LIKE, half", "x LIKE '%" + strings.Repeat("a", 50) + "_b%'", true},
	{"LIKE, long", "x LIKE '%" + strings.Repeat("a", 30_000) + "b%'", false},
	{"LIKE, many %", "x LIKE '" + strings.Repeat("%a_", 15_000) + "b'", false},
	{"LIKE, at start", strings.Repeat("x LIKE '"+strings.Repeat("_", 6_000)+"b' OR ", 10) + "FALSE", false},
	{"LIKE, at end", "u LIKE '%b" + strings.Repeat("_", 30_000) + "'", false},
	{"=", "x = y" + strings.Repeat(" OR x = y", 1300), true},
	{"IN", "x IN ('" + strings.Repeat("a', '", 4000) + "')", false},
	{"sum", "z = 1 + z" + strings.Repeat(" * z - z", 1300), false},
	{"nodes", "z = 1" + strings.Repeat(" OR z = 1", 1300), false},
	{"nesting", strings.Repeat("(NOT (", MaxDepth/3) + "z = 1" + strings.Repeat("))", MaxDepth/3), false},
}

// hardMessage has texts of 64 KiB.
func hardMessage() message {
	a := strings.Repeat("a", 64<<10-1)
	return of("x", a, "y", a[1:]+"b", "z", 0.5, "u", strings.Repeat("é", 32<<10-1))
}

// What would take more than 50,000 steps is ended there, and is no match, nor is its negation.
func TestSteps(t *testing.T) {
	m := hardMessage()
	for _, c := range hard {
		verdict, steps := mustParse(t, c.source).Eval(m)
		if c.over != (steps > MaxSteps) {
			t.Errorf("%s: %d steps", c.name, steps)
		}
		if c.over && (verdict != Unknown || steps != MaxSteps+1 || mustParse(t, "NOT ("+c.source+")").Matches(m)) {
			t.Errorf("%s: %v after %d steps", c.name, verdict, steps)
		}
	}
	// Nodes and eight bytes are one step each.
	for _, c := range []struct {
		source string
		steps  int
	}{
		{"z = 1", 3}, {"NOT z = 1", 4}, {"z = 1 OR z = 0.5 OR z = 2", 7}, {"z BETWEEN 1 AND 2", 4}, {"z IS NULL", 2}, {"w", 1}, {"TRUE", 1},
		{"s = 'abcdefgh'", 4}, {"s = 'abcdefghi'", 5}, {"s = ''", 3}, {"z IN ('a', 'b')", 2}, {"s IN ('a', 'b')", 4}, {"s IN ('abcdefgh', 'b')", 4},
		{"s LIKE 'abc%'", 3}, {"s LIKE '%zz%'", 3}, {"s LIKE '_________'", 4}, {"s LIKE '%'", 2},
	} {
		value := map[string]string{"s = 'abcdefghi'": "abcdefghi", "s LIKE '_________'": "123456789"}[c.source]
		if value == "" {
			value = "abcdefgh"
		}
		if _, steps := mustParse(t, c.source).Eval(of("z", 0.5, "s", value)); steps != c.steps {
			t.Errorf("%s takes %d steps, want %d", c.source, steps, c.steps)
		}
	}
}

// The first one is what most selectors look like. The others are the longest evaluations that were found.
func BenchmarkEval(b *testing.B) {
	run := func(name, source string, m Source) {
		b.Run(name, func(b *testing.B) {
			s := mustParse(b, source)
			_, steps := s.Eval(m)
			b.ReportAllocs()
			for b.Loop() {
				s.Eval(m)
			}
			b.ReportMetric(float64(steps), "steps")
		})
	}
	car := &pairs{"JMSType", Text("car"), "color", Text("blue"), "weight", Int(2501)}
	run("usual", "JMSType = 'car' AND color = 'blue' AND weight > 2500", car)
	m := hardMessage()
	for _, c := range hard {
		run(c.name, c.source, m)
	}
}

// pairs is a Source that a benchmark is not slowed by.
type pairs [6]any

func (p *pairs) Lookup(n int, _ string) Value { return p[2*n+1].(Value) }

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct{ name, source string }{
		{"usual", "JMSType = 'car' AND color = 'blue' AND weight > 2500"},
		{"64KiB", "x IN ('" + strings.Repeat("abcdefghijk', '", 4000) + "')"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.source)))
			for b.Loop() {
				mustParse(b, c.source)
			}
		})
	}
}

func ExampleParse() {
	s, err := Parse("color in ('blue', 'grey') and weight/1000 > 2.5", JMS())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s)
	fmt.Println(s.Matches(message{"color": Text("blue"), "weight": Int(3600)}))
	fmt.Println(s.Eval(message{"color": Text("blue")}))
	_, err = Parse("color = 'blue", JMS())
	fmt.Println(err)
	// Output:
	// color IN ('blue', 'grey') AND weight / 1000 > 2.5
	// true
	// unknown 10
	// selector:9: a string is not closed
}
