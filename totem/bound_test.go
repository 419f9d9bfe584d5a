package totem

import (
	"testing"
	"time"
)

// A member's share of a rotation does not follow its bound: one that could send little for a while, and has a low bound
// since, has an equal share again soon.
func TestShareDoesNotFollowBound(t *testing.T) {
	const n = 8
	r := newRig(t, n)
	r.form()
	load := func(turns int) {
		for range turns {
			for _, m := range r.nodes {
				m.quiet = true
				for m.p.Offer(r.now, "a", 0, make([]byte, 1300), false) == nil {
				}
			}
			r.turn()
			r.now = r.now.Add(300 * time.Microsecond)
		}
	}
	load(300)
	least := &r.nodes[3].p.send.bound
	if !least.on() {
		t.Fatal("an overloaded ring has no bound")
	}
	least.most = boundLeast
	load(200)
	var before [n]uint64
	for i, m := range r.nodes {
		before[i] = m.p.Stats().Datagrams
	}
	load(200)
	all := uint64(0)
	for i, m := range r.nodes {
		before[i] = m.p.Stats().Datagrams - before[i]
		all += before[i]
	}
	t.Log("datagrams of each:", before)
	if share := float64(before[3]*n) / float64(all); share < 0.9 {
		t.Errorf("it has %.2f of an equal share", share)
	}
	r.done()
}

// The bound follows what leaves while messages are refused, and ends when the application limits.
func TestBound(t *testing.T) {
	const slow, fast = 10 * time.Millisecond, 100 * time.Microsecond
	steps := func(n int, refused bool, sent, left int, rotation time.Duration) func(*bound) {
		return func(b *bound) {
			for range n {
				b.refused = refused
				b.step(sent, left, rotation)
			}
		}
	}
	for _, c := range []struct {
		what     string
		do       []func(*bound)
		from, to float64
	}{
		{"nothing is learned where nothing is refused", []func(*bound){steps(100, false, 1, 200, slow)}, 256, 256},
		{"three rotations", []func(*bound){steps(100, true, 10, 100, slow)}, 29, 31},
		{"2 ms of a fast ring", []func(*bound){steps(100, true, 5, 100, fast)}, 99, 101},
		{"no more than the queue takes", []func(*bound){steps(100, true, 50, 100, fast)}, 256, 256},
		{"not nothing, where nothing leaves", []func(*bound){steps(100, true, 0, 100, slow)}, boundLeast, boundLeast},
		{"a faster ring at once", []func(*bound){steps(100, true, 0, 100, slow), steps(1, true, 4, 0, slow)}, 12, 12},
		{"two visits with little end nothing", []func(*bound){steps(100, true, 10, 100, slow), steps(2, false, 10, 10, slow)}, 29, 31},
		{"three do", []func(*bound){steps(100, true, 10, 100, slow), steps(boundEnds, false, 10, 5, slow)}, 256, 256},
		{"not where much is left", []func(*bound){steps(100, true, 10, 100, slow), steps(100, false, 10, 20, slow)}, 29, 31},
		{"nor where more was refused in between", []func(*bound){steps(100, true, 10, 100, slow), steps(2, false, 10, 5, slow), steps(1, true, 10, 20, slow), steps(2, false, 10, 5, slow)}, 29, 31},
	} {
		var b bound
		b.init(256)
		for _, do := range c.do {
			do(&b)
		}
		if b.most < c.from || b.most > c.to {
			t.Errorf("%s: %.1f datagrams, want %v to %v", c.what, b.most, c.from, c.to)
		}
	}
}
