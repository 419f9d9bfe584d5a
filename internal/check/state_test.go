package check

import (
	"reflect"
	"testing"
)

func TestStateHash(t *testing.T) {
	type counters struct{ n int }
	type node struct {
		value int
		bytes []byte
		next  *node
		byKey map[string]*node
		f     func()
		stats counters
		cache int
	}
	make := func() *node {
		a := &node{value: 1, bytes: []byte{1, 2}, f: func() {}}
		a.next = &node{value: 2, next: a} // a cycle
		a.byKey = map[string]*node{"x": {value: 3}, "y": {value: 4}, "z": a.next}
		return a
	}
	skip := []any{reflect.TypeFor[counters](), "node.cache"}
	base := StateHash(make(), skip...)
	for range 10 {
		if StateHash(make(), skip...) != base {
			t.Fatal("equal states hash differently")
		}
	}
	for name, change := range map[string]func(n *node){
		"a value":            func(n *node) { n.value++ },
		"a byte":             func(n *node) { n.bytes[1]++ },
		"a length":           func(n *node) { n.bytes = n.bytes[:1] },
		"behind a pointer":   func(n *node) { n.next.value++ },
		"a pointer":          func(n *node) { n.next.next = &node{value: 1} },
		"behind a map":       func(n *node) { n.byKey["x"].value++ },
		"a key":              func(n *node) { n.byKey["w"] = n.byKey["x"]; delete(n.byKey, "x") },
		"values that change": func(n *node) { n.byKey["x"], n.byKey["y"] = n.byKey["y"], n.byKey["x"] },
	} {
		n := make()
		if change(n); StateHash(n, skip...) == base {
			t.Errorf("%s: the change does not show", name)
		}
	}
	n := make()
	n.stats.n++
	n.cache++
	if StateHash(n, skip...) != base {
		t.Error("a counter that is left out shows")
	}
}
