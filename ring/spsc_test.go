package ring

import (
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
)

// put reserves a slot for v, and publishes it.
func put(q *SPSC[int], v int) bool {
	p, ok := q.Reserve()
	if ok {
		*p = v
		q.Publish()
	}
	return ok
}

// take removes the oldest item.
func take(q *SPSC[int]) (v int, ok bool) {
	p, ok := q.Peek()
	if ok {
		v = *p
		q.Advance()
	}
	return v, ok
}

func TestSPSCCapacity(t *testing.T) {
	for _, c := range []struct{ ask, get int }{{1, 1}, {2, 2}, {3, 4}, {1000, 1024}, {1024, 1024}, {1025, 2048}} {
		if got := NewSPSC[byte](c.ask).Cap(); got != c.get {
			t.Errorf("capacity %d gives %d slots, want %d", c.ask, got, c.get)
		}
	}
	for _, n := range []int{0, -1, math.MaxInt} {
		if !panics(func() { NewSPSC[byte](n) }) {
			t.Errorf("capacity %d accepted", n)
		}
	}
}

// Every capacity from the smallest on, over several laps: exactly Cap items fit, and come
// out in order.
func TestSPSCFullAndEmpty(t *testing.T) {
	for _, capacity := range []int{1, 2, 4, 8, 512} {
		q := NewSPSC[int](capacity)
		next := 0
		for range 5 {
			if _, ok := q.Peek(); ok || !q.Empty() || q.Len() != 0 {
				t.Fatalf("capacity %d: not empty", capacity)
			}
			for i := range capacity {
				if !put(q, next+i) {
					t.Fatalf("capacity %d: full at %d", capacity, i)
				}
			}
			if put(q, -1) || q.Len() != capacity || q.Empty() {
				t.Fatalf("capacity %d: not full", capacity)
			}
			for range capacity {
				if v, ok := take(q); !ok || v != next {
					t.Fatalf("capacity %d: got %d %v, want %d", capacity, v, ok, next)
				}
				next++
			}
		}
	}
}

func TestSPSCPublishesInBatches(t *testing.T) {
	q := NewSPSC[int](4)
	for i := range 3 {
		p, _ := q.Reserve()
		*p = i
	}
	if _, ok := q.Peek(); ok || q.Len() != 0 {
		t.Fatal("visible before Publish")
	}
	q.Publish()
	p, _ := q.Reserve()
	*p = 99
	if _, ok := q.Reserve(); ok {
		t.Fatal("a reserved slot must count")
	}
	q.Discard()
	put(q, 3)
	for want := range 4 {
		if v, ok := take(q); !ok || v != want {
			t.Fatalf("got %d %v, want %d", v, ok, want)
		}
	}
	if _, ok := take(q); ok {
		t.Fatal("the discarded item came")
	}
}

// Slots go back late to save stores, yet never so late that the producer is stuck.
func TestSPSCFreesSlots(t *testing.T) {
	fill := func(capacity int) *SPSC[int] {
		q := NewSPSC[int](capacity)
		for put(q, 0) {
		}
		return q
	}
	q := fill(16)
	take(q)
	if put(q, 0) {
		t.Error("freed at once: the store is not shared")
	}
	q.Flush()
	if !put(q, 0) {
		t.Error("not freed by Flush")
	}
	q = fill(16)
	for range 4 {
		take(q)
	}
	if !put(q, 0) {
		t.Error("not freed after a quarter")
	}
	q = fill(1024)
	for range 64 {
		take(q)
	}
	if !put(q, 0) {
		t.Error("not freed after 64")
	}
	// Found empty: the producer may be waiting for all of it.
	for name, look := range map[string]func(q *SPSC[int]) bool{
		"Peek":  func(q *SPSC[int]) bool { _, ok := q.Peek(); return !ok },
		"Empty": (*SPSC[int]).Empty,
	} {
		q = NewSPSC[int](16)
		for range 3 {
			put(q, 0)
		}
		for range 3 {
			take(q)
		}
		if !look(q) || q.Len() != 0 {
			t.Errorf("%s of an empty queue kept %d slots", name, q.Len())
		}
	}
}

func TestSPSCAdvancePanics(t *testing.T) {
	q := NewSPSC[int](4)
	if !panics(q.Advance) {
		t.Error("Advance of an empty queue")
	}
	put(q, 1)
	take(q)
	if !panics(q.Advance) {
		t.Error("second Advance")
	}
}

// A slot is larger than a cache line and filled in several words, so that a slot that is seen
// too early, or overwritten too early, shows.
type wide [20]uint64

func TestSPSCStress(t *testing.T) {
	items := uint64(5_000_000)
	if testing.Short() || raceEnabled {
		items = 200_000
	}
	for _, capacity := range []int{1, 4, 1024} {
		items := items
		if capacity == 1 {
			items /= 50 // two goroutine switches for each item
		}
		q := NewSPSC[wide](capacity)
		go func() {
			rng := rand.New(rand.NewPCG(1, uint64(capacity)))
			for next := uint64(1); next <= items; {
				for n := rng.IntN(capacity) + 1; n > 0 && next <= items; n-- {
					w, ok := q.Reserve()
					if !ok {
						break
					}
					for i := range w {
						w[i] = next * uint64(i+1)
					}
					next++
				}
				q.Publish()
				if n := q.Len(); n == q.Cap() {
					runtime.Gosched()
				}
			}
		}()
		for want := uint64(1); want <= items; {
			w, ok := q.Peek()
			if !ok {
				runtime.Gosched()
				continue
			}
			for i := range w {
				if w[i] != want*uint64(i+1) {
					t.Fatalf("capacity %d, item %d: word %d is %d", capacity, want, i, w[i])
				}
			}
			clear(w[:]) // ours until Advance
			q.Advance()
			want++
		}
		if _, ok := q.Peek(); ok {
			t.Fatal("more than was sent")
		}
	}
}

func TestSPSCAllocations(t *testing.T) {
	q := NewSPSC[wide](8)
	if n := testing.AllocsPerRun(1000, func() {
		for range 5 {
			if w, ok := q.Reserve(); ok {
				w[0]++
			}
		}
		q.Publish()
		for _, ok := q.Peek(); ok; _, ok = q.Peek() {
			q.Advance()
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}
