package held

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// A tree is a sorted map, and its views stay as they were.
func TestTree(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var tr tree[int]
		model := map[key]int{}
		type kept struct {
			v    view[int]
			want map[key]int
		}
		var views []kept
		span := uint64(1 + rng.IntN(3000))
		for step := range 6000 {
			k := key{rng.Uint64N(3), rng.Uint64N(span)}
			if seed%3 == 0 && step < 3000 {
				k = key{1, uint64(step)} // at the end, as messages come
			}
			switch r := rng.IntN(10); {
			case r < 5 || seed%3 == 0 && step < 3000:
				tr.put(k, step)
				model[k] = step
			case r < 9:
				got, ok := tr.remove(k)
				want, there := model[k]
				if ok != there || got != want {
					t.Fatalf("seed %d step %d: remove %v gives %d, %v, want %d, %v", seed, step, k, got, ok, want, there)
				}
				delete(model, k)
			default:
				got, ok := tr.get(k)
				want, there := model[k]
				if ok != there || got != want {
					t.Fatalf("seed %d step %d: get %v gives %d, %v, want %d, %v", seed, step, k, got, ok, want, there)
				}
			}
			if step%1500 == 700 {
				views = append(views, kept{tr.snapshot(), maps.Clone(model)})
			}
		}
		views = append(views, kept{tr.view, model})
		for i, s := range views {
			low := key{rng.Uint64N(3), rng.Uint64N(span)}
			want := slices.SortedFunc(maps.Keys(s.want), compareKeys)
			if s.v.len() != len(want) {
				t.Fatalf("seed %d view %d: %d items, want %d", seed, i, s.v.len(), len(want))
			}
			for _, from := range []key{{}, low} {
				at, _ := slices.BinarySearchFunc(want, from, compareKeys)
				rest := want[at:]
				s.v.from(from, func(k key, val int) bool {
					if len(rest) == 0 || rest[0] != k || s.want[k] != val {
						t.Fatalf("seed %d view %d: %v = %d is not what was there", seed, i, k, val)
					}
					rest = rest[1:]
					return true
				})
				if len(rest) > 0 {
					t.Fatalf("seed %d view %d: %v is missing", seed, i, rest[0])
				}
			}
		}
		for _, k := range slices.SortedFunc(maps.Keys(model), compareKeys) {
			tr.remove(k)
		}
		if tr.len() != 0 || tr.root != nil {
			t.Fatalf("seed %d: %d items are left of an empty tree", seed, tr.len())
		}
	}
}

// What is taken at one end and put at the other leaves no thin nodes behind.
func TestTreeStaysDense(t *testing.T) {
	var tr tree[int]
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range uint64(100_000) {
		tr.put(key{1, i}, 0)
	}
	for _, i := range rng.Perm(100_000)[:90_000] {
		tr.remove(key{1, uint64(i)})
	}
	leaves := 0
	var count func(n *treeNode[int])
	count = func(n *treeNode[int]) {
		if n.kids == nil {
			leaves++
		}
		for _, k := range n.kids {
			count(k)
		}
	}
	count(tr.root)
	if leaves > 10_000/treeWidth*6 {
		t.Errorf("%d leaves for 10000 items", leaves)
	}
}
