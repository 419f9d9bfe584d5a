package selector

// MaxSteps bounds an evaluation: nodes, and eight bytes of texts for each step.
const MaxSteps = 50_000

const stepBytes = 8

// Source gives the values of one message.
type Source interface {
	// Lookup returns what the message has under name, and the zero Value where it has nothing. n is the name's place
	// in Selector.Names. An evaluation may ask several times for the same name, and must get the same answer.
	Lookup(n int, name string) Value
}

// Matches reports whether the selector is True for m.
func (s *Selector) Matches(m Source) bool {
	t, _ := s.Eval(m)
	return t == True
}

// Eval decides about one message, and returns how many steps that took, 0..MaxSteps. What would take more is ended:
// then the verdict is Unknown, and steps is MaxSteps+1.
func (s *Selector) Eval(m Source) (verdict Truth, steps int) {
	if s.root == 0 {
		return True, 0
	}
	e := evaluation{s, m, MaxSteps}
	verdict = e.truth(s.root)
	if e.left < 0 {
		return Unknown, MaxSteps + 1
	}
	return verdict, MaxSteps - e.left
}

// evaluation is one of a Selector on a message. When no step is left, left is negative for good, and every function
// returns as soon as it sees that.
type evaluation struct {
	*Selector
	source Source
	left   int // steps
}

// step takes one for a node, and reports whether it was left.
func (e *evaluation) step() bool {
	e.left--
	return e.left >= 0
}

// take takes the steps for n bytes, and reports whether they were left.
func (e *evaluation) take(n int) bool {
	if e.left >= 0 {
		e.left -= (n + stepBytes - 1) / stepBytes
	}
	return e.left >= 0
}

// truth is the condition nodes[i]. The depth of the recursion is bounded by MaxDepth.
func (e *evaluation) truth(i uint16) Truth {
	n := &e.nodes[i]
	switch n.op {
	case nameOp, boolOp:
		return e.value(i).condition()
	}
	if !e.step() {
		return Unknown
	}
	switch n.op {
	case orOp:
		t := False
		for c := n.first; c != 0 && t != True; c = e.nodes[c].next {
			t = t.Or(e.truth(c))
		}
		return t
	case andOp:
		t := True
		for c := n.first; c != 0 && t != False; c = e.nodes[c].next {
			t = t.And(e.truth(c))
		}
		return t
	case notOp:
		return e.truth(n.first).Not()
	case betweenOp:
		low := e.nodes[n.first].next
		x, a, b := e.value(n.first), e.value(low), e.value(e.nodes[low].next)
		return e.compare(greaterEqualOp, x, a).And(e.compare(lessEqualOp, x, b)).negatedIf(n.not)
	case inOp:
		return e.in(n).negatedIf(n.not)
	case likeOp:
		switch x := e.value(n.first); x.kind {
		case nullKind:
			return Unknown
		case textKind:
			return truthOf(e.like(n.like, x.text)).negatedIf(n.not)
		}
		return False.negatedIf(n.not)
	case nullOp:
		return truthOf(e.value(n.first).kind == nullKind).negatedIf(n.not)
	}
	return e.compare(n.op, e.value(n.first), e.value(e.nodes[n.first].next))
}

func (e *evaluation) in(n *node) Truth {
	x := e.value(n.first)
	switch x.kind {
	case nullKind:
		return Unknown
	case textKind:
		for c := e.nodes[n.first].next; c != 0; c = e.nodes[c].next {
			if !e.step() {
				return Unknown
			}
			if e.equal(x.text, e.nodes[c].text) {
				return True
			}
		}
	}
	return False
}

// compare is v o w.
func (e *evaluation) compare(o op, v, w Value) Truth {
	switch {
	case v.kind == nullKind || w.kind == nullKind:
		return Unknown
	case v.isNumber() && w.isNumber():
		sign, ok := order(v, w)
		return truthOf(compares(o, sign, ok))
	case o != equalOp && o != unequalOp:
		return False
	case v.kind == textKind && w.kind == textKind:
		return truthOf(e.equal(v.text, w.text) == (o == equalOp))
	case v.kind == boolKind && w.kind == boolKind:
		return truthOf((v.num == w.num) == (o == equalOp))
	}
	return False
}

// compares reports whether o holds between numbers of that order; ok is false if one is NaN.
func compares(o op, sign int, ok bool) bool {
	switch o {
	case equalOp:
		return ok && sign == 0
	case unequalOp:
		return !ok || sign != 0
	case lessOp:
		return ok && sign < 0
	case lessEqualOp:
		return ok && sign <= 0
	case greaterOp:
		return ok && sign > 0
	}
	return ok && sign >= 0
}

func (e *evaluation) equal(s, t string) bool {
	return len(s) == len(t) && e.take(len(s)) && s == t
}

// value is what nodes[i] is worth.
func (e *evaluation) value(i uint16) Value {
	n := &e.nodes[i]
	if n.op < nameOp {
		switch e.truth(i) {
		case False:
			return Bool(false)
		case True:
			return Bool(true)
		}
		return Value{}
	}
	if !e.step() {
		return Value{}
	}
	switch n.op {
	case nameOp:
		return e.source.Lookup(int(n.num), e.names[n.num])
	case boolOp:
		return Value{kind: boolKind, num: n.num}
	case exactOp:
		return Value{kind: intKind, num: n.num}
	case inexactOp:
		return Value{kind: floatKind, num: n.num}
	case textOp:
		return Text(n.text)
	case plusOp:
		return e.value(n.first).signed()
	case minusOp:
		return e.value(n.first).negated()
	}
	// A sum or a product.
	v := e.value(n.first)
	for c := e.nodes[n.first].next; c != 0; c = e.nodes[c].next {
		v = arithmetic(e.nodes[c].join, v, e.value(c))
	}
	return v
}
