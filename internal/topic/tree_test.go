package topic

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// draw is a path of up to four elements of a small alphabet, with wildcards where they may be.
func draw(r *rand.Rand, wildcards bool) string {
	var elements []string
	for n := 1 + r.IntN(4); n > 0; n-- {
		switch k := r.IntN(6); {
		case wildcards && k == 0:
			elements = append(elements, "*")
		case wildcards && k == 1 && n == 1:
			elements = append(elements, ">")
		default:
			elements = append(elements, string(rune('a'+r.IntN(3))))
		}
	}
	return strings.Join(elements, ".")
}

// A Tree finds what Match finds, whatever is put in and taken out.
func TestTreeIsMatch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var tree Tree[int]
	patterns := map[int]string{}
	topics := []string{"", ".", "a.", ".a", "a..b", "a.b.c.d.e"}
	for range 200 {
		topics = append(topics, draw(r, false))
	}
	for i := range 3000 {
		if r.IntN(2) == 0 || len(patterns) == 0 {
			patterns[i] = draw(r, true)
			tree.Add(patterns[i], i)
		} else {
			for k, p := range patterns {
				if tree.Remove(p, func(v int) bool { return v == -1 }) || !tree.Remove(p, func(v int) bool { return v == k }) || tree.Remove(p, func(v int) bool { return v == k }) {
					t.Fatalf("%q: not taken out once", p)
				}
				delete(patterns, k)
				break
			}
		}
		topic := topics[r.IntN(len(topics))]
		got := tree.Append(nil, []byte(topic))
		var want []int
		for k, p := range patterns {
			if Match(p, []byte(topic)) {
				want = append(want, k)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("%q matches %v, want %v of %v", topic, got, want, patterns)
		}
	}
	for k, p := range patterns {
		tree.Remove(p, func(v int) bool { return v == k })
	}
	if !tree.root.empty() {
		t.Errorf("nodes are left: %+v", tree.root)
	}
}

func FuzzTree(f *testing.F) {
	f.Add("a.*.>", "a.b")
	f.Add("*", "")
	f.Add("a.>", "a.")
	f.Fuzz(func(t *testing.T, pattern, topic string) {
		if ValidatePattern(pattern) != nil {
			return
		}
		var tree Tree[bool]
		tree.Add(pattern, true)
		if got, want := len(tree.Append(nil, []byte(topic))) == 1, Match(pattern, []byte(topic)); got != want {
			t.Errorf("%q and %q: %v, and Match says %v", pattern, topic, got, want)
		}
	})
}

func TestTreeAllocatesNothing(t *testing.T) {
	var tree Tree[int]
	tree.Add("prices.*.bund.>", 1)
	tree.Add(">", 2)
	room, topic := make([]int, 0, 4), []byte("prices.eu.bund.a-longer-name-than-32-bytes")
	if n := testing.AllocsPerRun(100, func() { room = tree.Append(room[:0], topic) }); n != 0 || len(room) != 2 {
		t.Errorf("%v allocations, %v", n, room)
	}
}

// What is in use stays; what nobody has asked for goes, one at a time.
func TestCache(t *testing.T) {
	c := NewCache[int](8)
	name := func(i int) string { return fmt.Sprint("topic ", i) }
	for i := range 8 {
		c.Put(name(i), i)
	}
	for i := 8; i < 100; i++ {
		for _, used := range []int{2, 5} {
			if v := c.Get([]byte(name(used))); v == nil || *v != used {
				t.Fatalf("after %d: topic %d is in use, and is gone", i, used)
			}
		}
		if c.Get([]byte(name(i))) != nil {
			t.Fatalf("topic %d is there", i)
		}
		if v := c.Put(name(i), i); *v != i {
			t.Fatalf("%d", *v)
		}
		if c.Len() != 8 || c.Get([]byte(name(i))) == nil {
			t.Fatalf("%d topics, the last one is missing", c.Len())
		}
	}
	one := NewCache[int](1)
	one.Put("a", 1)
	one.Get([]byte("a"))
	if one.Put("b", 2); one.Get([]byte("a")) != nil || one.Len() != 1 {
		t.Error("two topics in room for one")
	}
	topic := []byte(name(99))
	if n := testing.AllocsPerRun(100, func() { c.Get(topic) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkTree is one look-up among so many patterns, a tenth of which have wildcards.
func BenchmarkTree(b *testing.B) {
	for _, n := range []int{1, 100, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var tree Tree[int]
			for i := range n {
				switch p := fmt.Sprintf("prices.eu.bund%d.2026", i); {
				case i%10 > 0:
					tree.Add(p, i)
				case i%20 == 0:
					tree.Add(fmt.Sprintf("prices.*.bund%d.>", i), i)
				default:
					tree.Add(fmt.Sprintf("*.eu.bund%d.*", i), i)
				}
			}
			topic, room := []byte("prices.eu.bund0.2026"), make([]int, 0, 8)
			for b.Loop() {
				room = tree.Append(room[:0], topic)
			}
		})
	}
}
