package topic

import (
	"bytes"
	"slices"
	"strings"
)

// Tree holds patterns, each with a value, by their elements. It finds those that match a topic in a time that the depth
// of the topic decides, and not the number of patterns: no node is visited twice, and of the nodes below one only the
// topic's own element and * are. The zero Tree is empty. One goroutine uses it at a time.
type Tree[V any] struct {
	root node[V]
}

// node stands for the elements on the way to it.
type node[V any] struct {
	next  map[string]*node[V] // by element, without wildcards
	any   *node[V]            // *
	here  []V                 // of the patterns that end with this element
	below []V                 // of those that go on with >, which matches the element itself too
}

// Add puts in a valid pattern with its value. One pattern may have several.
func (t *Tree[V]) Add(pattern string, v V) {
	n, rest := &t.root, pattern
	for more := true; more; {
		var element string
		element, rest, more = strings.Cut(rest, ".")
		if element == ">" {
			n.below = append(n.below, v)
			return
		}
		n = n.child(element)
	}
	n.here = append(n.here, v)
}

// child is the node of an element below n, made where it is missing.
func (n *node[V]) child(element string) *node[V] {
	if element == "*" {
		if n.any == nil {
			n.any = new(node[V])
		}
		return n.any
	}
	c := n.next[element]
	if c == nil {
		if n.next == nil {
			n.next = map[string]*node[V]{}
		}
		c = new(node[V])
		n.next[element] = c
	}
	return c
}

// Remove takes out the first value of a pattern for which is holds, and the nodes that nothing needs any more. ok is false
// when there is none.
func (t *Tree[V]) Remove(pattern string, is func(V) bool) (ok bool) {
	return t.root.remove(pattern, is)
}

func (n *node[V]) remove(pattern string, is func(V) bool) (ok bool) {
	element, rest, more := strings.Cut(pattern, ".")
	switch element {
	case ">":
		return drop(&n.below, is)
	case "*":
		if n.any == nil || !n.any.leave(rest, more, is) {
			return false
		}
		if n.any.empty() {
			n.any = nil
		}
		return true
	}
	c := n.next[element]
	if c == nil || !c.leave(rest, more, is) {
		return false
	}
	if c.empty() {
		delete(n.next, element)
	}
	return true
}

// leave takes out what is at n, or below it where there is more of the pattern.
func (n *node[V]) leave(rest string, more bool, is func(V) bool) (ok bool) {
	if more {
		return n.remove(rest, is)
	}
	return drop(&n.here, is)
}

func drop[V any](list *[]V, is func(V) bool) (ok bool) {
	i := slices.IndexFunc(*list, is)
	if i >= 0 {
		*list = slices.Delete(*list, i, i+1)
	}
	return i >= 0
}

func (n *node[V]) empty() bool {
	return len(n.next) == 0 && n.any == nil && len(n.here) == 0 && len(n.below) == 0
}

// Append appends the values of all patterns that Match topic, in no particular order. It allocates nothing where to has
// room. The topic may be anything.
func (t *Tree[V]) Append(to []V, topic []byte) []V { return t.root.append(to, topic, true) }

// append goes on with what is left of the topic; more is false when nothing is.
func (n *node[V]) append(to []V, topic []byte, more bool) []V {
	to = append(to, n.below...)
	if !more {
		return append(to, n.here...)
	}
	element, rest, more := bytes.Cut(topic, dot)
	if c := n.next[string(element)]; c != nil { // without a copy
		to = c.append(to, rest, more)
	}
	if n.any != nil {
		to = n.any.append(to, rest, more)
	}
	return to
}

var dot = []byte(".")
