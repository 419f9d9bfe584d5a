package nack

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Runs of missing datagrams: the operations against a plain set.
func TestGaps(t *testing.T) {
	rnd := rand.New(rand.NewPCG(2, 2))
	for range 300 {
		var g gaps
		set := map[uint64]bool{}
		n := uint64(1)
		for range 60 {
			switch rnd.IntN(6) {
			case 0, 1:
				n += rnd.Uint64N(3)
				end := n + 1 + rnd.Uint64N(9)
				g.add(gap{first: n, end: end})
				for ; n < end; n++ {
					set[n] = true
				}
				n++
			case 2, 3:
				x := rnd.Uint64N(n + 1)
				if _, ok := g.remove(x); ok != set[x] {
					t.Fatalf("remove %d: %v", x, ok)
				}
				delete(set, x)
			case 4:
				if i := g.find(rnd.Uint64N(n + 1)); i < len(g.list) && g.list[i].end > g.list[i].first+1 {
					x := g.list[i]
					j := g.isolate(i, x.first+1, x.end)
					if g.list[j].first != x.first+1 {
						t.Fatal("not isolated")
					}
				}
			case 5:
				x := rnd.Uint64N(n/8 + 1)
				g.below(x)
				g.above(n - x/4)
				for y := range set {
					if y < x || y >= n-x/4 {
						delete(set, y)
					}
				}
			}
			var want, got []uint64
			for y := range set {
				want = append(want, y)
			}
			slices.Sort(want)
			for i, r := range g.list {
				if r.first >= r.end || i > 0 && r.first < g.list[i-1].end {
					t.Fatalf("runs %v", g.list)
				}
				for y := r.first; y < r.end; y++ {
					got = append(got, y)
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%v, want %v", got, want)
			}
		}
	}
}
