package trie

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/activeblaze/blaze/wire"
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

// The order of a trie is part of what replicas agree on: it is the same in every build. The numbers are SipHash-1-3 of the
// bytes 00 01 … under the key 00 01 … 0f, as computed by a second implementation that gives the vector of SipHash-2-4 in
// the paper of Aumasson and Bernstein (appendix A).
func TestHashIsFixed(t *testing.T) {
	seed := Seed{0x0706050403020100, 0x0f0e0d0c0b0a0908}
	for n, want := range map[int]uint64{
		0: 0xabac0158050fc4dc, 1: 0xc9f49bf37d57ca93, 7: 0xd3927d989bb11140, 8: 0x369095118d299a8e,
		15: 0xd320d86d2a519956, 16: 0xcc4fdd1a7d908b66, 63: 0x9d199062b7bbb3a8,
	} {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i)
		}
		if got := seed.sip(b); got != want || seed.Hash(b) != want>>2 {
			t.Errorf("%d bytes: %x, want %x", n, got, want)
		}
	}
}

// Keys whose hashes are equal, or differ in the last bits only, are told apart, by a second hash where they are many.
func TestTrieCollisions(t *testing.T) {
	seed := Seed{1, 2}
	for _, c := range []struct {
		why    string
		keys   int
		hashes uint64
	}{
		{"a list", 16, 1}, {"a full leaf", bucket, 1}, {"deeper by a second hash", 2000, 1}, {"two lists", 3000, 2},
		{"the last levels", 3000, 300},
	} {
		rng := rand.New(rand.NewPCG(4, 4))
		tr, model := New(seed), map[string]uint64{}
		hash := func(i int) uint64 { return 5<<50 | uint64(i)%c.hashes }
		for step := range 4 * c.keys {
			i := rng.IntN(c.keys)
			key := []byte(fmt.Sprint(i))
			if got := tr.Find(hash(i), key); (got == nil) != (model[string(key)] == 0) || got != nil && got.Version() != model[string(key)] {
				t.Fatalf("%s: %s: %v, the model has %d", c.why, key, got, model[string(key)])
			}
			if rng.IntN(3) > 0 {
				model[string(key)] = uint64(step + 1)
				tr.Put(NewEntry(hash(i), key, nil, uint64(step+1), More{}))
			} else {
				delete(model, string(key))
				tr.Remove(hash(i), key)
			}
			if step%1000 == 0 {
				tr.Root()
			}
		}
		n, last := 0, uint64(0)
		for e := range tr.Root().All() {
			n++
			if model[e.Key()] != e.Version() || e.Hash() < last {
				t.Fatalf("%s: %s", c.why, e.Key())
			}
			last = e.Hash()
		}
		if n != len(model) || tr.Len() != n {
			t.Fatalf("%s: %d entries of %d", c.why, n, len(model))
		}
		for i := range c.keys {
			tr.Remove(hash(i), []byte(fmt.Sprint(i)))
		}
		if tr.Len() != 0 || tr.Bytes() != 0 || tr.Digest() != 0 || tr.Root().kids != [rootWide]*node{} {
			t.Errorf("%s: something is left of nothing", c.why)
		}
	}
}

// A walk that goes on where another one stopped, entry by entry, is the whole walk.
func TestFrom(t *testing.T) {
	seed := Seed{3, 4}
	tr := New(seed)
	for i := range 5000 {
		key := []byte(fmt.Sprint(i))
		tr.Put(NewEntry(seed.Hash(key), key, nil, 1, More{}))
	}
	r := tr.Root()
	var whole []*Entry
	for e := range r.All() {
		whole = append(whole, e)
	}
	for i := range whole {
		for j, from := range []uint64{whole[i].Hash(), whole[i].Hash() + 1} {
			want := (*Entry)(nil)
			if i+j < len(whole) {
				want = whole[i+j]
			}
			var got *Entry
			for e := range r.From(from) {
				got = e
				break
			}
			if got != want {
				t.Fatalf("from %x: %v, want %v", from, got, want)
			}
		}
	}
	for e := range r.From(Places) {
		t.Fatalf("%v behind the end", e)
	}
	for range (*Root)(nil).All() {
		t.Fatal("an entry of nothing")
	}
	if (*Root)(nil).Get("k") != nil || (*Root)(nil).Len() != 0 {
		t.Error("nothing holds something")
	}
}

// Roots are read while the trie goes on: the race detector is the judge, and a root stays what it was.
func TestReadersAndWriter(t *testing.T) {
	seed := Seed{5, 6}
	tr := New(seed)
	var shown atomic.Pointer[Root]
	shown.Store(tr.Root())
	var readers sync.WaitGroup
	var stop atomic.Bool
	for range 2 {
		readers.Go(func() {
			for !stop.Load() {
				r := shown.Load()
				var sum uint64
				n := 0
				for e := range r.All() {
					sum += e.Digest()
					n++
					if r.Get(e.Key()) != e {
						t.Error("an entry is not found")
						return
					}
				}
				if sum != r.Digest() || n != r.Len() {
					t.Errorf("%d entries with digest %x, want %d with %x", n, sum, r.Len(), r.Digest())
					return
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(6, 6))
	for turn := range 300 {
		for range 64 {
			key := []byte(fmt.Sprint(rng.IntN(2000)))
			if rng.IntN(3) > 0 {
				tr.Put(NewEntry(seed.Hash(key), key, key, uint64(turn), More{Owner: wire.MemberID{byte(turn)}}))
			} else {
				tr.Delete(key)
			}
		}
		shown.Store(tr.Root())
	}
	stop.Store(true)
	readers.Wait()
}

func TestEntry(t *testing.T) {
	more := More{Owner: wire.MemberID{7}, TTL: 5, Expires: 6, Began: 8}
	for _, m := range []More{{}, more, {TTL: 1}, {Began: 1}} {
		for _, v := range []string{"", "value"} {
			e := NewEntry(9, []byte("key"), []byte(v), 3, m)
			if e.Key() != "key" || string(e.Value()) != v || e.Value() == nil || e.Version() != 3 || e.Hash() != 9 || e.More() != m ||
				e.Owner() != m.Owner || e.Expires() != m.Expires || e.Size() != 3+len(v) || cap(e.Value()) != len(v) {
				t.Errorf("%v %q: %v %q %v", m, v, e.Key(), e.Value(), e.More())
			}
		}
	}
	if e := NewEntry(0, nil, nil, 0, More{}); e.Key() != "" || len(e.Value()) != 0 {
		t.Error("an entry of nothing")
	}
	base := NewEntry(9, []byte("key"), []byte("value"), 3, more)
	same := more
	same.Began = 100 // not part of the state
	if NewEntry(9, []byte("key"), []byte("value"), 3, same).Digest() != base.Digest() {
		t.Error("the digest depends on this replica's clock")
	}
	for _, e := range []*Entry{
		NewEntry(9, []byte("kez"), []byte("value"), 3, more), NewEntry(9, []byte("key"), []byte("valuf"), 3, more),
		NewEntry(9, []byte("keyv"), []byte("alue"), 3, more), NewEntry(9, []byte("key"), []byte("value"), 4, more),
		NewEntry(9, []byte("key"), []byte("value"), 3, More{}), NewEntry(9, []byte("key"), []byte("value"), 3, More{Owner: more.Owner, TTL: 6, Expires: 6}),
	} {
		if e.Digest() == base.Digest() {
			t.Errorf("%s=%s %v has the same digest", e.Key(), e.Value(), e.More())
		}
	}
}
