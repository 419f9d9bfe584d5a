package trie

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// A trie does what a Go map does, and its Roots keep what they were.
func TestTrieIsAMap(t *testing.T) {
	for _, size := range []int{3, 40, 1000, 20000} {
		rng := rand.New(rand.NewPCG(1, uint64(size)))
		seed := Seed{7, 9}
		tr, model := New(seed), map[string]uint64{}
		type kept struct {
			root  *Root
			model map[string]uint64
		}
		var roots []kept
		for i := range 6 * size {
			key := fmt.Sprint("key", rng.IntN(size))
			var old *Entry
			if v := uint64(i + 1); rng.IntN(10) < 6-4*(i/(3*size)) {
				old = tr.Put(NewEntry(seed.Hash([]byte(key)), []byte(key), []byte("value"), v, More{}))
				if (old == nil) != (model[key] == 0) || old != nil && old.Version() != model[key] {
					t.Fatalf("put %s: old %v, model %d", key, old, model[key])
				}
				model[key] = v
			} else {
				old = tr.Delete([]byte(key))
				if (old == nil) != (model[key] == 0) || old != nil && old.Version() != model[key] {
					t.Fatalf("delete %s: old %v, model %d", key, old, model[key])
				}
				delete(model, key)
			}
			if i%(size+1) == size {
				c := map[string]uint64{}
				for k, v := range model {
					c[k] = v
				}
				roots = append(roots, kept{tr.Root(), c})
			}
		}
		for _, k := range append(roots, kept{tr.Root(), model}) {
			same(t, k.root, k.model)
		}
	}
}

func same(t *testing.T, r *Root, model map[string]uint64) {
	t.Helper()
	if r.Len() != len(model) {
		t.Fatalf("%d entries, the model has %d", r.Len(), len(model))
	}
	bytes, digest, n, last := int64(0), uint64(0), 0, uint64(0)
	for e := range r.All() {
		if e.Version() != model[e.Key()] || e.Hash() < last {
			t.Fatalf("%s has version %d and hash %x after %x, the model %d", e.Key(), e.Version(), e.Hash(), last, model[e.Key()])
		}
		last = e.Hash()
		n++
		bytes += int64(e.Size())
		digest += e.Digest()
		if r.Get(e.Key()) != e {
			t.Fatalf("%s is not found", e.Key())
		}
	}
	if n != len(model) || bytes != r.Bytes() || digest != r.Digest() {
		t.Fatalf("%d of %d entries, %d bytes of %d, digest %x of %x", n, len(model), bytes, r.Bytes(), digest, r.Digest())
	}
}
