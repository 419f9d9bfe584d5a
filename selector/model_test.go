package selector

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// The model is a second evaluator, slow and simple: generated selectors come with functions that say what they are
// worth, made without the parser. Numbers are compared as fractions, LIKE tries everything.

// chance is SplitMix64. It is here so that the golden file can be made again with any version of Go.
type chance uint64

func (c *chance) next() uint64 {
	*c += 0x9e3779b97f4a7c15
	z := uint64(*c)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (c *chance) intn(n int) int { return int(c.next() % uint64(n)) }

func (c *chance) one(in int) bool { return c.intn(in) == 0 }

func pick[T any](c *chance, from ...T) T { return from[c.intn(len(from))] }

// modelled is a generated condition or value: its text, how tightly that binds, and what it is worth: nil, bool,
// *big.Int, float64, string or Value (what is like nothing), and for a condition a Truth.
type modelled struct {
	text  string
	level level
	eval  func(message) any
}

// generator makes selectors. Literals are often worth what something is worth in one of the messages.
type generator struct {
	chance
	messages []message
}

var (
	numberNames = []string{"a", "b", "c", "price", "JMSPriority"}
	textNames   = []string{"s", "t", "JMSType"}
	boolNames   = []string{"f", "g"}
	someTexts   = []string{"", "a", "b", "ab", "abc", "aab", "it's", "a%b", "a_b", "é", "aéb", "東京", "x\xff", "a\nb", "PERSISTENT"}
	someInts    = []int64{0, 1, -1, 2, 3, 7, 10, 100, -100, 1 << 31, -1 << 31, 1<<53 - 1, 1 << 53, 1<<53 + 1, math.MaxInt64, math.MinInt64, 3037000499, 3037000500}
	someFloats  = []float64{0, math.Copysign(0, -1), 0.1, 0.2, 0.3, 1.1, 1.21, 2.5, -2.5, 1.0 / 3, 1e16, 1 << 53, 1 << 63, -1 << 63, 1e300, 1e-300,
		math.MaxFloat64, math.SmallestNonzeroFloat64, 1.0000000074505806, 99.95}
)

// message makes one. Most names have values of their own kind.
func (g *generator) message() message {
	m := message{}
	for _, name := range numberNames {
		m[name] = pick(&g.chance, Int(pick(&g.chance, someInts...)), Float(pick(&g.chance, someFloats...)), Int(int64(g.intn(20)-10)), Float(float64(g.intn(4000))/100))
	}
	for _, name := range textNames {
		m[name] = Text(pick(&g.chance, someTexts...))
	}
	for _, name := range boolNames {
		m[name] = Bool(g.one(2))
	}
	for _, names := range [][]string{numberNames, textNames, boolNames} {
		for _, name := range names {
			if g.one(6) {
				m[name] = pick(&g.chance, Value{}, Value{}, Value{}, Other(), Text("1"), Int(1), Bool(true), Float(math.NaN()), Float(math.Inf(1)), Float(math.Inf(-1)))
			}
			if m[name].kind == nullKind {
				delete(m, name)
			}
		}
	}
	return m
}

// plain is a Value for the model.
func plain(v Value) any {
	switch v.kind {
	case nullKind:
		return nil
	case boolKind:
		return v.num == 1
	case intKind:
		return big.NewInt(v.int())
	case floatKind:
		return v.float()
	case textKind:
		return v.text
	}
	return v
}

// within is x, in parentheses where it binds less than least, and sometimes where it does not.
func (g *generator) within(x modelled, least level) string {
	if x.level < least || g.one(12) {
		return "(" + g.space() + x.text + g.space() + ")"
	}
	return x.text
}

func (g *generator) space() string { return pick(&g.chance, "", "", "", " ", "\n", "\t ") }

// word is a reserved word in some case, with white space around it.
func (g *generator) word(s string) string {
	if g.one(3) {
		s = strings.ToLower(s)
	} else if g.one(4) {
		s = s[:1] + strings.ToLower(s[1:])
	}
	return " " + g.space() + s + g.space() + " "
}

func (g *generator) name(from ...string) modelled {
	if g.one(10) {
		from = append(append(numberNames[:len(numberNames):len(numberNames)], textNames...), "f", "g", "missing")
	}
	name := pick(&g.chance, from...)
	return modelled{name, signLevel, func(m message) any { return plain(m[name]) }}
}

func (g *generator) literal(v any) modelled {
	m := modelled{level: signLevel, eval: func(message) any { return v }}
	switch v := v.(type) {
	case *big.Int:
		m.text = v.String()
		if v.Sign() >= 0 {
			switch g.intn(8) {
			case 0:
				m.text = fmt.Sprintf("%#x", v)
			case 1:
				m.text = fmt.Sprintf("%#o", v)
			case 2:
				m.text = fmt.Sprintf("0b%b", v)
			case 3:
				m.text += "L"
			}
		}
	case float64:
		m.text = strconv.FormatFloat(v, pick(&g.chance, byte('g'), 'e', 'x'), -1, 64)
		if !strings.ContainsAny(m.text, ".epx") {
			m.text += pick(&g.chance, ".", ".0", "d", "e0")
		}
	case string:
		m.text = quoted(v)
	case bool:
		m.text = strings.TrimSpace(g.word(strings.ToUpper(strconv.FormatBool(v))))
	}
	return m
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// number makes an arithmetic expression.
func (g *generator) number(depth int) modelled {
	if depth <= 0 || g.one(3) {
		switch g.intn(3) {
		case 0:
			return g.literal(big.NewInt(pick(&g.chance, someInts...)))
		case 1:
			return g.literal(pick(&g.chance, someFloats...))
		}
		return g.name(numberNames...)
	}
	if g.one(6) {
		x, sign := g.number(depth-1), pick(&g.chance, "-", "+")
		text := g.within(x, signLevel)
		if c := text[0]; isDigit(c) || c == '.' {
			text = "(" + text + ")" // the sign would be the literal's
		}
		return modelled{sign + " " + text, signLevel, func(m message) any {
			if v := x.eval(m); sign == "+" {
				return modelArithmetic('+', v, big.NewInt(0))
			} else if f, ok := v.(float64); ok {
				return -f
			} else {
				return modelArithmetic('-', big.NewInt(0), v)
			}
		}}
	}
	x, y, sign := g.number(depth-1), g.number(depth-1), pick(&g.chance, byte('+'), '-', '*', '/')
	l := sumLevel
	if sign == '*' || sign == '/' {
		l = productLevel
	}
	text := g.within(x, l) + g.space() + string(sign) + " " + g.within(y, l+1)
	return modelled{text, l, func(m message) any { return modelArithmetic(sign, x.eval(m), y.eval(m)) }}
}

func modelArithmetic(sign byte, x, y any) any {
	if x == nil || y == nil {
		return nil
	}
	f, xIsFloat := x.(float64)
	h, yIsFloat := y.(float64)
	i, xIsInt := x.(*big.Int)
	j, yIsInt := y.(*big.Int)
	if !xIsFloat && !xIsInt || !yIsFloat && !yIsInt {
		return Other()
	}
	if xIsInt && yIsInt {
		z := new(big.Int)
		switch sign {
		case '+':
			z.Add(i, j)
		case '-':
			z.Sub(i, j)
		case '*':
			z.Mul(i, j)
		case '/':
			if j.Sign() == 0 {
				return nil
			}
			z.Quo(i, j)
		}
		if !z.IsInt64() {
			return nil
		}
		return z
	}
	if xIsInt {
		f = float64(i.Int64())
	}
	if yIsInt {
		h = float64(j.Int64())
	}
	var z float64
	switch sign {
	case '+':
		z = float64(f + h)
	case '-':
		z = float64(f - h)
	case '*':
		z = float64(f * h)
	case '/':
		if h == 0 {
			return nil
		}
		z = float64(f / h)
	}
	if math.IsInf(z, 0) && !math.IsInf(f, 0) && !math.IsInf(h, 0) {
		return nil
	}
	return z
}

// fraction is a number; ok is false for others, and nan for NaN. Infinities are beyond all other numbers.
func fraction(v any) (r *big.Rat, nan, ok bool) {
	switch v := v.(type) {
	case *big.Int:
		return new(big.Rat).SetInt(v), false, true
	case float64:
		switch {
		case v != v:
			return nil, true, true
		case math.IsInf(v, 0):
			r = new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(1), 2000))
			if v < 0 {
				r.Neg(r)
			}
			return r, false, true
		}
		return new(big.Rat).SetFloat64(v), false, true
	}
	return nil, false, false
}

func modelCompare(sign string, x, y any) Truth {
	if x == nil || y == nil {
		return Unknown
	}
	p, pNaN, pOK := fraction(x)
	q, qNaN, qOK := fraction(y)
	if pOK && qOK {
		if pNaN || qNaN {
			return truthOf(sign == "<>")
		}
		switch c := p.Cmp(q); sign {
		case "=":
			return truthOf(c == 0)
		case "<>":
			return truthOf(c != 0)
		case "<":
			return truthOf(c < 0)
		case "<=":
			return truthOf(c <= 0)
		case ">":
			return truthOf(c > 0)
		default:
			return truthOf(c >= 0)
		}
	}
	if s, ok := x.(string); ok && (sign == "=" || sign == "<>") {
		if t, ok := y.(string); ok {
			return truthOf((s == t) == (sign == "="))
		}
	}
	if s, ok := x.(bool); ok && (sign == "=" || sign == "<>") {
		if t, ok := y.(bool); ok {
			return truthOf((s == t) == (sign == "="))
		}
	}
	return False
}

func modelNot(t Truth) Truth {
	switch t {
	case True:
		return False
	case False:
		return True
	}
	return Unknown
}

func modelAnd(t, u Truth) Truth {
	switch {
	case t == False || u == False:
		return False
	case t == True && u == True:
		return True
	}
	return Unknown
}

// condition makes one.
func (g *generator) condition(depth int) modelled {
	if depth <= 0 {
		return g.comparison(0)
	}
	switch g.intn(6) {
	case 0:
		x := g.condition(depth - 1)
		return modelled{strings.TrimLeft(g.word("NOT"), " \t\n") + g.within(x, notLevel), notLevel, func(m message) any { return modelNot(x.eval(m).(Truth)) }}
	case 1, 2:
		x, y := g.condition(depth-1), g.condition(depth-1)
		return modelled{g.within(x, andLevel) + g.word("AND") + g.within(y, notLevel), andLevel, func(m message) any {
			return modelAnd(x.eval(m).(Truth), y.eval(m).(Truth))
		}}
	case 3, 4:
		x, y := g.condition(depth-1), g.condition(depth-1)
		return modelled{g.within(x, orLevel) + g.word("OR") + g.within(y, andLevel), orLevel, func(m message) any {
			return modelNot(modelAnd(modelNot(x.eval(m).(Truth)), modelNot(y.eval(m).(Truth))))
		}}
	}
	return g.comparison(depth)
}

// comparison makes a condition without AND, OR and NOT of its own.
func (g *generator) comparison(depth int) modelled {
	not := g.one(3)
	word := func(s string) string {
		if not {
			return g.word("NOT") + g.word(s)
		}
		return g.word(s)
	}
	done := func(text string, eval func(message) Truth) modelled {
		return modelled{text, comparisonLevel, func(m message) any {
			if t := eval(m); not {
				return modelNot(t)
			} else {
				return t
			}
		}}
	}
	switch g.intn(10) {
	case 0:
		x := g.name(boolNames...)
		return modelled{x.text, signLevel, func(m message) any { return modelCompare("=", x.eval(m), true) }}
	case 1:
		x, y, sign := g.name(boolNames...), g.literal(g.one(2)), pick(&g.chance, "=", "<>")
		return modelled{x.text + g.space() + sign + g.space() + y.text, comparisonLevel, func(m message) any { return modelCompare(sign, x.eval(m), y.eval(m)) }}
	case 2:
		x := g.name(append(textNames, "a", "f", "missing")...)
		text := x.text + g.word("IS")
		if not {
			text += g.word("NOT")
		}
		return done(text+strings.TrimRight(g.word("NULL"), " \t\n"), func(m message) Truth { return truthOf(x.eval(m) == nil) })
	case 3:
		x, y := g.name(textNames...), g.literal(pick(&g.chance, someTexts[:12]...))
		sign := pick(&g.chance, "=", "<>")
		return modelled{x.text + g.space() + sign + g.space() + y.text, comparisonLevel, func(m message) any { return modelCompare(sign, x.eval(m), y.eval(m)) }}
	case 4:
		x := g.name(textNames...)
		members := []string{pick(&g.chance, someTexts[:12]...)}
		for g.one(2) {
			members = append(members, pick(&g.chance, someTexts[:12]...))
		}
		text := x.text + word("IN") + "(" + quoted(members[0])
		for _, s := range members[1:] {
			text += "," + g.space() + quoted(s)
		}
		return done(text+")", func(m message) Truth {
			t := False
			for _, s := range members {
				t = modelNot(modelAnd(modelNot(t), modelNot(modelCompare("=", x.eval(m), s))))
			}
			return t
		})
	case 5:
		x := g.name(textNames...)
		pattern, escape := g.pattern()
		text := x.text + word("LIKE") + quoted(pattern)
		if escape >= 0 {
			text += g.word("ESCAPE") + quoted(string(escape))
		}
		return done(text, func(m message) Truth {
			switch v := x.eval(m).(type) {
			case nil:
				return Unknown
			case string:
				return truthOf(modelLike(pattern, escape, v))
			}
			return False
		})
	case 6:
		x, y, z := g.number(depth), g.number(0), g.number(0)
		text := g.within(x, sumLevel) + word("BETWEEN") + g.within(y, sumLevel) + g.word("AND") + g.within(z, sumLevel)
		return done(text, func(m message) Truth {
			v := x.eval(m)
			return modelAnd(modelCompare(">=", v, y.eval(m)), modelCompare("<=", v, z.eval(m)))
		})
	}
	sign := pick(&g.chance, "=", "<>", "<", "<=", ">", ">=")
	x, y := g.number(depth+1), g.number(depth-1)
	if g.one(2) {
		// A value that x has: only then does it matter how each operation rounded.
		switch v := x.eval(pick(&g.chance, g.messages...)).(type) {
		case *big.Int:
			y = g.literal(v)
		case float64:
			if v == v && !math.IsInf(v, 0) {
				y = g.literal(v)
			}
		}
	}
	text := g.within(x, sumLevel) + g.space() + sign + g.space() + g.within(y, sumLevel)
	return modelled{text, comparisonLevel, func(m message) any { return modelCompare(sign, x.eval(m), y.eval(m)) }}
}

func (g *generator) pattern() (pattern string, escape rune) {
	escape = pick(&g.chance, rune(-1), '!', 'a', '%', 'é')
	for range g.intn(7) {
		c := pick(&g.chance, "a", "b", "é", "!", "_", "%", "%", "_%", "東", "'")
		if escape >= 0 && c == string(escape) {
			c += pick(&g.chance, "_", "%", string(escape))
		}
		if c == "_%" && escape == '%' {
			c = "_"
		}
		pattern += c
	}
	return pattern, escape
}

// modelLike tries everything; texts are short.
func modelLike(pattern string, escape rune, s string) bool {
	if pattern == "" {
		return s == ""
	}
	r, size := utf8.DecodeRuneInString(pattern)
	rest := pattern[size:]
	_, width := utf8.DecodeRuneInString(s)
	switch {
	case r == escape:
		_, size := utf8.DecodeRuneInString(rest)
		return strings.HasPrefix(s, rest[:size]) && modelLike(rest[size:], escape, s[size:])
	case r == '%':
		return modelLike(rest, escape, s) || s != "" && modelLike(pattern, escape, s[width:])
	case r == '_':
		return s != "" && modelLike(rest, escape, s[width:])
	}
	return strings.HasPrefix(s, pattern[:size]) && modelLike(rest, escape, s[size:])
}

// Generated selectors are worth what the model says, and what is printed is parsed to the same again.
func TestModel(t *testing.T) {
	n := 50_000
	if testing.Short() {
		n = 5_000
	}
	g := &generator{chance: 1}
	for range 50 {
		g.messages = append(g.messages, g.message())
	}
	count := map[Truth]int{}
	for range n {
		x := g.condition(g.intn(4))
		s, err := Parse(x.text, JMS())
		if err != nil {
			t.Fatalf("%s: %v", x.text, err)
		}
		again, err := Parse(s.String(), JMS())
		if err != nil || !sameTree(s, again) {
			t.Fatalf("%s\nprinted as %s\nis another one: %v", x.text, s, err)
		}
		for range 4 {
			m := pick(&g.chance, g.messages...)
			got, _ := s.Eval(m)
			if want := x.eval(m).(Truth); got != want {
				t.Fatalf("%s\non %v is %v, by the model %v", x.text, m, got, want)
			}
			count[got]++
		}
	}
	for _, truth := range []Truth{False, Unknown, True} {
		if count[truth] < n/10 {
			t.Errorf("of %d verdicts only %d are %v: the generator is too narrow", 4*n, count[truth], truth)
		}
	}
}
