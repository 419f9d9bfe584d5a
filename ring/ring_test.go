package ring

import "testing"

func TestThin(t *testing.T) {
	q := NewSPSC[int](3)
	for i := range q.Cap() {
		p, ok := q.Reserve()
		if !ok {
			t.Fatal("full")
		}
		*p = i
	}
	q.Publish()
	for i := range q.Cap() {
		p, ok := q.Peek()
		if !ok || *p != i {
			t.Fatal(i, ok)
		}
		q.Advance()
	}
	b := NewBytes(128)
	for i := range 1000 {
		r, ok := b.Claim(i % 40)
		if !ok {
			t.Fatal("full", i)
		}
		r.SetWord(uint64(i))
		r.Commit()
		w, p, ok := b.Peek()
		if !ok || w != uint64(i) || len(p) != i%40 {
			t.Fatal(w, p, ok)
		}
		b.Advance()
		b.Peek()
	}
}
