package selector

import (
	"math"
	"strconv"
	"strings"
)

// String writes the selector with its words in capitals and no more parentheses than it needs. Parsing it again gives
// the same Selector, unless it has become longer than MaxText.
func (s *Selector) String() string {
	if s == nil || s.root == 0 {
		return ""
	}
	p := printer{Selector: s}
	p.print(s.root, orLevel)
	return p.out.String()
}

type printer struct {
	*Selector
	out strings.Builder
}

// level is how tightly an operation binds: an operand that binds less needs parentheses.
type level int

const (
	orLevel level = iota
	andLevel
	notLevel
	comparisonLevel
	sumLevel
	productLevel
	signLevel
)

func (o op) level() level {
	switch o {
	case orOp:
		return orLevel
	case andOp:
		return andLevel
	case notOp:
		return notLevel
	case sumOp:
		return sumLevel
	case productOp:
		return productLevel
	}
	if o < nameOp {
		return comparisonLevel
	}
	return signLevel
}

var comparisons = map[op]string{
	equalOp: " = ", unequalOp: " <> ", lessOp: " < ", lessEqualOp: " <= ", greaterOp: " > ", greaterEqualOp: " >= ",
}

// print writes nodes[i] where what binds less than least needs parentheses.
func (p *printer) print(i uint16, least level) {
	n := &p.nodes[i]
	if n.op.level() < least {
		p.out.WriteByte('(')
		defer p.out.WriteByte(')')
	}
	switch n.op {
	case orOp:
		p.chain(n, " OR ", andLevel)
	case andOp:
		p.chain(n, " AND ", notLevel)
	case notOp:
		p.out.WriteString("NOT ")
		p.print(n.first, notLevel)
	case sumOp:
		p.chain(n, "", productLevel)
	case productOp:
		p.chain(n, "", signLevel)
	case plusOp:
		p.sign('+', n.first)
	case minusOp:
		p.sign('-', n.first)
	case betweenOp, inOp, likeOp, nullOp:
		p.ranged(n)
	case nameOp:
		p.out.WriteString(p.names[n.num])
	case boolOp:
		p.out.WriteString(strings.ToUpper(strconv.FormatBool(n.num != 0)))
	case exactOp:
		p.out.WriteString(strconv.FormatInt(int64(n.num), 10))
	case inexactOp:
		p.out.WriteString(formatFloat(math.Float64frombits(n.num)))
	case textOp:
		p.quote(n.text)
	default:
		p.print(n.first, sumLevel)
		p.out.WriteString(comparisons[n.op])
		p.print(p.nodes[n.first].next, sumLevel)
	}
}

// chain writes n's operands with between, or with how they are joined.
func (p *printer) chain(n *node, between string, least level) {
	for c := n.first; c != 0; c = p.nodes[c].next {
		if c != n.first && between != "" {
			p.out.WriteString(between)
		} else if c != n.first {
			p.out.WriteByte(' ')
			p.out.WriteByte(p.nodes[c].join)
			p.out.WriteByte(' ')
		}
		p.print(c, least)
	}
}

// sign keeps the sign apart from another one, and from a number that it would become a part of.
func (p *printer) sign(sign byte, i uint16) {
	p.out.WriteByte(sign)
	switch n := &p.nodes[i]; {
	case n.op == exactOp && int64(n.num) >= 0, n.op == inexactOp && n.num>>63 == 0:
		p.out.WriteByte('(')
		p.print(i, signLevel)
		p.out.WriteByte(')')
		return
	case n.op == exactOp, n.op == inexactOp, n.op == plusOp, n.op == minusOp:
		p.out.WriteByte(' ')
	}
	p.print(i, signLevel)
}

// ranged writes what stands between an identifier and a list of literals, or between numbers.
func (p *printer) ranged(n *node) {
	p.print(n.first, sumLevel)
	if n.op == nullOp {
		p.out.WriteString(" IS")
	}
	if n.not {
		p.out.WriteString(" NOT")
	}
	second := p.nodes[n.first].next
	switch n.op {
	case nullOp:
		p.out.WriteString(" NULL")
	case betweenOp:
		p.out.WriteString(" BETWEEN ")
		p.print(second, sumLevel)
		p.out.WriteString(" AND ")
		p.print(p.nodes[second].next, sumLevel)
	case inOp:
		p.out.WriteString(" IN (")
		for c := second; c != 0; c = p.nodes[c].next {
			if c != second {
				p.out.WriteString(", ")
			}
			p.quote(p.nodes[c].text)
		}
		p.out.WriteByte(')')
	case likeOp:
		p.out.WriteString(" LIKE ")
		p.quote(n.text)
		if n.num > 0 {
			p.out.WriteString(" ESCAPE ")
			p.quote(string(rune(n.num - 1)))
		}
	}
}

func (p *printer) quote(s string) {
	p.out.WriteByte('\'')
	p.out.WriteString(strings.ReplaceAll(s, "'", "''"))
	p.out.WriteByte('\'')
}

// formatFloat writes f so that it is not taken for an exact number.
func formatFloat(f float64) string {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}
