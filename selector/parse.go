package selector

import (
	"math"
	"unicode/utf8"
)

// Bounds of a text.
const (
	MaxText  = 64 << 10 // bytes
	MaxDepth = 64       // levels of parentheses, NOT and signs
	MaxNodes = 4096     // literals, identifiers and operations
)

// Selector is a text that was parsed. The zero Selector matches every message.
type Selector struct {
	nodes []node // nodes[0] is none
	root  uint16 // 0: the text is blank
	names []string
}

// node is one literal, identifier or operation. Its operands follow each other from first by next.
type node struct {
	op    op
	join  byte   // + - * /: how it is joined with what is before it in a sum or product
	not   bool   // of between, in, like, null
	first uint16 // its first operand; 0: none
	next  uint16 // the operand behind it; 0: none
	num   uint64 // the bits of a literal; the number of a name; the escape character of like, and 1 more
	text  string // of a text; the pattern of like as it was written
	like  []segment
}

// op is what a node is.
type op uint8

const (
	noOp op = iota

	// Conditions.
	orOp  // of two or more
	andOp //
	notOp
	equalOp
	unequalOp
	lessOp
	lessEqualOp
	greaterOp
	greaterEqualOp
	betweenOp
	inOp // an identifier and texts
	likeOp
	nullOp // IS NULL

	// What may be a condition or not.
	nameOp
	boolOp

	// Numbers.
	exactOp
	inexactOp
	sumOp     // of two or more
	productOp //
	plusOp    // a sign
	minusOp   //

	textOp
)

func (o op) isCondition() bool { return o <= boolOp }
func (o op) isNumber() bool    { return o == nameOp || o >= exactOp && o <= minusOp }

// Parse reads a text. An error is an *Error. A text of white space alone is no selector: what is returned for it
// matches every message.
func Parse(source string, names Names) (*Selector, error) {
	if len(source) > MaxText {
		return nil, &Error{Column: 1, Text: "a selector is longer than 64 KiB"}
	}
	return parse(source, names)
}

// parse is Parse without the bound of the length: what String writes may be a little longer.
func parse(source string, names Names) (*Selector, error) {
	if at := invalid(source); at >= 0 {
		l := lexer{source: source}
		l.fail(at, "a byte %#02x is not UTF-8", source[at])
		return nil, l.err
	}
	p := parser{lexer: lexer{source: source, dots: names.Dots}, check: names.Check}
	p.next()
	if p.token == endToken && p.err == nil {
		return &Selector{}, nil
	}
	p.nodes, p.places = make([]node, 1, 16), make([]int, 1, 16)
	root := p.or()
	p.wantCondition(root)
	if p.token != endToken {
		p.fail(p.start, "AND, OR or the end is expected, not %s", p.shown())
	}
	if p.err != nil {
		return nil, p.err
	}
	return &Selector{nodes: p.nodes, root: root, names: p.names}, nil
}

// invalid is the place of the first byte that is not UTF-8, or -1.
func invalid(s string) int {
	if utf8.ValidString(s) {
		return -1
	}
	for i, r := range s {
		if _, size := utf8.DecodeRuneInString(s[i:]); r == utf8.RuneError && size == 1 {
			return i
		}
	}
	return -1
}

// Names are the different identifiers of the text, in the order in which they appear: Source.Lookup is given their
// places. The slice must not be changed.
func (s *Selector) Names() []string { return s.names }

// Empty reports whether the text was blank.
func (s *Selector) Empty() bool { return s.root == 0 }

// parser is a recursive descent with one function for each level of precedence. After an error the token is endToken
// for good, so that each of them returns.
type parser struct {
	lexer
	check  func(string) error
	nodes  []node
	places []int // where each node begins in source
	names  []string
	byName map[string]int
	depth  int
}

// add makes a node that begins at source[place].
func (p *parser) add(place int, n node) uint16 {
	if len(p.nodes) > MaxNodes {
		p.fail(place, "a selector has more than %d literals, identifiers and operations", MaxNodes)
		return 0
	}
	p.nodes = append(p.nodes, n)
	p.places = append(p.places, place)
	return uint16(len(p.nodes) - 1)
}

// enter and leave are around what recurses.
func (p *parser) enter() {
	if p.depth++; p.depth > MaxDepth {
		p.fail(p.start, "parentheses, NOT and signs nest deeper than %d", MaxDepth)
	}
}

func (p *parser) leave() { p.depth-- }

func (p *parser) want(t token, name string) {
	if p.token != t {
		p.fail(p.start, "%s is expected, not %s", name, p.shown())
		return
	}
	p.next()
}

func (p *parser) wantCondition(x uint16) {
	if !p.nodes[x].op.isCondition() {
		p.fail(p.places[x], "a condition is expected, not a number or string")
	}
}

func (p *parser) wantNumber(x uint16) {
	switch o := p.nodes[x].op; {
	case o == noOp || o.isNumber():
	case o == textOp || o == boolOp:
		p.fail(p.places[x], "a number is expected: strings and booleans are compared by = and <> only")
	default:
		p.fail(p.places[x], "a number is expected, not a condition")
	}
}

func (p *parser) wantName(x uint16, before string) {
	if o := p.nodes[x].op; o != noOp && o != nameOp {
		p.fail(p.places[x], "an identifier is expected before %s", before)
	}
}

func (p *parser) or() uint16 {
	first := p.and()
	if p.token != orToken {
		return first
	}
	return p.join(first, orOp, p.and, p.wantCondition, orToken)
}

func (p *parser) and() uint16 {
	first := p.not()
	if p.token != andToken {
		return first
	}
	return p.join(first, andOp, p.not, p.wantCondition, andToken)
}

// join takes all operands of one level: first, and those that follow one of the tokens.
func (p *parser) join(first uint16, o op, operand func() uint16, check func(uint16), tokens ...token) uint16 {
	check(first)
	all := p.add(p.places[first], node{op: o, first: first})
	last := first
	for {
		i := 0
		for i < len(tokens) && p.token != tokens[i] {
			i++
		}
		if i == len(tokens) {
			return all
		}
		sign := p.source[p.start]
		p.next()
		x := operand()
		check(x)
		if o == sumOp || o == productOp {
			p.nodes[x].join = sign
		}
		p.nodes[last].next = x
		last = x
	}
}

func (p *parser) not() uint16 {
	if p.token != notToken {
		return p.comparison()
	}
	place := p.start
	p.enter()
	p.next()
	x := p.not()
	p.leave()
	p.wantCondition(x)
	return p.add(place, node{op: notOp, first: x})
}

func (p *parser) comparison() uint16 {
	x := p.sum()
	switch p.token {
	case equalToken, unequalToken, lessToken, lessEqualToken, greaterToken, greaterEqualToken:
		return p.compared(x)
	case isToken:
		return p.null(x)
	case notToken:
		p.next()
		switch p.token {
		case betweenToken, inToken, likeToken:
			return p.ranged(x, true)
		}
		p.fail(p.start, "BETWEEN, IN or LIKE is expected, not %s", p.shown())
	case betweenToken, inToken, likeToken:
		return p.ranged(x, false)
	}
	return x
}

func (p *parser) compared(x uint16) uint16 {
	o := equalOp + op(p.token-equalToken)
	p.next()
	y := p.sum()
	if o != equalOp && o != unequalOp {
		p.wantNumber(x)
		p.wantNumber(y)
	}
	p.nodes[x].next = y
	return p.add(p.places[x], node{op: o, first: x})
}

func (p *parser) null(x uint16) uint16 {
	p.wantName(x, "IS")
	p.next()
	not := p.token == notToken
	if not {
		p.next()
	}
	p.want(nullToken, "NULL")
	return p.add(p.places[x], node{op: nullOp, not: not, first: x})
}

func (p *parser) ranged(x uint16, not bool) uint16 {
	switch p.token {
	case betweenToken:
		return p.between(x, not)
	case inToken:
		return p.in(x, not)
	}
	return p.like(x, not)
}

func (p *parser) between(x uint16, not bool) uint16 {
	p.next()
	low := p.sum()
	p.want(andToken, "AND")
	high := p.sum()
	p.wantNumber(x)
	p.wantNumber(low)
	p.wantNumber(high)
	p.nodes[x].next, p.nodes[low].next = low, high
	return p.add(p.places[x], node{op: betweenOp, not: not, first: x})
}

func (p *parser) in(x uint16, not bool) uint16 {
	p.wantName(x, "IN")
	p.next()
	p.want(openToken, "(")
	all := p.add(p.places[x], node{op: inOp, not: not, first: x})
	last := x
	for {
		place, text := p.start, p.text
		p.want(textToken, "a string")
		member := p.add(place, node{op: textOp, text: text})
		p.nodes[last].next = member
		last = member
		if p.token != commaToken {
			break
		}
		p.next()
	}
	p.want(closeToken, ", or )")
	return all
}

func (p *parser) like(x uint16, not bool) uint16 {
	p.wantName(x, "LIKE")
	p.next()
	place, pattern := p.start, p.text
	p.want(textToken, "a string")
	n := node{op: likeOp, not: not, first: x, text: pattern}
	escape := rune(-1)
	if p.token == escapeToken {
		p.next()
		at, text := p.start, p.text
		p.want(textToken, "a string")
		r, size := utf8.DecodeRuneInString(text)
		if p.err == nil && (size == 0 || size != len(text)) {
			p.fail(at, "an escape character is one character")
		}
		escape = r
		n.num = uint64(r) + 1
	}
	if p.err != nil {
		return 0
	}
	like, ok := compileLike(pattern, escape)
	if !ok {
		p.fail(place, "in a pattern %q stands before _, %% or itself", escape)
	}
	n.like = like
	return p.add(p.places[x], n)
}

func (p *parser) sum() uint16 {
	first := p.product()
	if p.token != plusToken && p.token != minusToken {
		return first
	}
	return p.join(first, sumOp, p.product, p.wantNumber, plusToken, minusToken)
}

func (p *parser) product() uint16 {
	first := p.sign()
	if p.token != timesToken && p.token != overToken {
		return first
	}
	return p.join(first, productOp, p.sign, p.wantNumber, timesToken, overToken)
}

// sign makes one literal of a sign and the number behind it, so that the least int64 can be written. The number
// 0x8000000000000000 is that one already, and minus it is no int64.
func (p *parser) sign() uint16 {
	place, minus := p.start, p.token == minusToken
	if !minus && p.token != plusToken {
		return p.primary()
	}
	p.next()
	if n := p.value; p.token == numberToken && (!minus || n.inexact || n.decimal || n.bits != 1<<63) {
		return p.number(place, minus)
	}
	p.enter()
	x := p.sign()
	p.leave()
	p.wantNumber(x)
	if minus {
		return p.add(place, node{op: minusOp, first: x})
	}
	return p.add(place, node{op: plusOp, first: x})
}

func (p *parser) primary() uint16 {
	place := p.start
	switch p.token {
	case openToken:
		p.enter()
		p.next()
		x := p.or()
		p.want(closeToken, ")")
		p.leave()
		return x
	case numberToken:
		return p.number(place, false)
	case textToken:
		n := node{op: textOp, text: p.text}
		p.next()
		return p.add(place, n)
	case trueToken, falseToken:
		n := node{op: boolOp}
		if p.token == trueToken {
			n.num = 1
		}
		p.next()
		return p.add(place, n)
	case wordToken:
		return p.name()
	}
	p.fail(p.start, "an identifier or a literal is expected, not %s", p.shown())
	return 0
}

// number adds the literal that the token is.
func (p *parser) number(place int, minus bool) uint16 {
	v := p.value
	n := node{op: exactOp, num: v.bits}
	switch {
	case v.inexact:
		n.op = inexactOp
		if minus {
			v.float = -v.float
		}
		n.num = math.Float64bits(v.float)
	case v.decimal && (v.bits > 1<<63 || v.bits == 1<<63 && !minus):
		p.fail(place, "a number is beyond the range of a long")
		return 0
	case minus:
		n.num = -v.bits
	}
	p.next()
	return p.add(place, n)
}

// name adds the identifier that the token is.
func (p *parser) name() uint16 {
	place, name := p.start, p.source[p.start:p.end]
	number, known := p.byName[name]
	if !known {
		if p.check != nil {
			if err := p.check(name); err != nil {
				p.fail(place, "%s", err)
				p.err.Err = err
				return 0
			}
		}
		if p.byName == nil {
			p.byName = map[string]int{}
		}
		number = len(p.names)
		p.byName[name] = number
		p.names = append(p.names, name)
	}
	p.next()
	return p.add(place, node{op: nameOp, num: uint64(number)})
}
