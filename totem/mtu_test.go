package totem

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/wire"
)

// sizes makes a rig of members that take datagrams of different lengths.
func sizes(t *testing.T, datagrams ...int) *rig {
	r := newRig(t, 0)
	for _, d := range datagrams {
		r.add(func(c *Config) { c.Datagram = d })
	}
	return r
}

// In a ring of members with different MTUs everything is delivered everywhere: whole messages, messages
// in fragments, and what was packed before the ring took in the member that takes less.
func TestRingOfSeveralSizes(t *testing.T) {
	for seed := range uint64(20) {
		for _, small := range []int{548, 1436, 1452, 1464, 1471} {
			rng := rand.New(rand.NewPCG(seed, uint64(small)))
			sent := 0
			datagrams := []int{1472, 1472, 1472}
			datagrams[rng.IntN(3)] = small
			r := sizes(t, datagrams...)
			r.lost = func(_, _ *rigNode, d *wire.Datagram) bool {
				return d.Frames()[0].Kind == wire.FrameData && rng.IntN(50) == 0
			}
			offer := func(n *rigNode, size int) {
				if n.p.Offer(r.now, fmt.Sprintf("t%d", rng.IntN(3)), 0, make([]byte, size), rng.IntN(2) == 0) == nil {
					sent++
				}
			}
			for _, n := range r.nodes { // before there is a ring
				for range 10 {
					offer(n, []int{10, 100, 1300, 1392, 5000}[rng.IntN(5)])
				}
			}
			r.form()
			views := r.nodes[0].p.Stats().Views
			for range 100 {
				offer(r.nodes[rng.IntN(3)], []int{10, 700, 1400, 20_000}[rng.IntN(4)])
				r.run(40 * time.Microsecond)
			}
			ok := r.until(3*time.Second, func() bool {
				for _, n := range r.nodes {
					if n.count < sent {
						return false
					}
				}
				return true
			})
			if !ok || r.nodes[0].p.Stats().Views != views {
				t.Fatalf("seed %d, %v: delivered %d, %d, %d of %d; %d views since the ring was formed", seed, datagrams,
					r.nodes[0].count, r.nodes[1].count, r.nodes[2].count, sent, r.nodes[0].p.Stats().Views-views)
			}
			r.same(sent)
			r.done()
		}
	}
}

// The MTU of one member's interface is lowered in the middle of traffic, and raised again: what it sends from then on fits,
// whole messages, what was packed before, and messages in fragments of which some are sent. No ring ends for it.
func TestMTULoweredInARing(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 3))
		sent, longest := 0, 1472
		r := sizes(t, 1472, 1472, 1472)
		narrow := r.nodes[rng.IntN(3)]
		r.heard = func(_ *rigNode, b []byte) {
			if h, ok := wire.Peek(b); ok && h.Transmitter == narrow.p.cfg.Self && len(b) > longest {
				t.Fatalf("seed %d: %d bytes left, of at most %d", seed, len(b), longest)
			}
		}
		r.form()
		views := narrow.p.Stats().Views
		for _, mtu := range []int{1372, 1472, 548, 1472} {
			for range 30 {
				n := r.nodes[rng.IntN(3)]
				for range 2 {
					if n.p.Offer(r.now, "a", 0, make([]byte, []int{10, 700, 1400, 20_000}[rng.IntN(4)]), false) == nil {
						sent++
					}
				}
				r.run(20 * time.Microsecond)
			}
			if !r.until(time.Second, func() bool { return narrow.p.out.empty() }) {
				t.Fatal("what was on its way does not leave")
			}
			longest = mtu
			narrow.p.Fit(r.now, buf.Way{Pack: mtu, Longest: mtu})
		}
		ok := r.until(3*time.Second, func() bool {
			for _, n := range r.nodes {
				if n.count < sent {
					return false
				}
			}
			return true
		})
		if got := narrow.p.Stats().Views; !ok || got != views {
			t.Fatalf("seed %d: delivered %d, %d, %d of %d; %d views", seed, r.nodes[0].count, r.nodes[1].count, r.nodes[2].count, sent, got-views)
		}
		r.same(sent)
		r.done()
	}
}

// The MTU is lowered while datagrams that some members lack have their numbers already, and were packed for the longer
// one: some were lost on the way, some did not leave at all. They leave in parts then, and the ring stays. Whoever lost
// which copy, everything is delivered everywhere in one order, and no datagram is longer than what can leave.
func TestMTULoweredUnderHeldDatagrams(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 5))
		r := sizes(t, 1472, 1472, 1472)
		r.form()
		views := r.nodes[0].p.Stats().Views
		narrow := map[wire.MemberID]int{}
		for _, n := range r.nodes[:1+rng.IntN(3)] {
			narrow[n.id] = []int{1372, 548}[rng.IntN(2)]
		}
		sent, lowered, refused := 0, false, 0
		loss := []float64{0.05, 0.3, 1}[rng.IntN(3)] // 1: the interface was narrow before this member learned of it
		r.lost = func(from, _ *rigNode, d *wire.Datagram) bool {
			k := d.Frames()[0].Kind
			return k == wire.FrameData && narrow[from.id] > 0 && (!lowered || loss < 1) && rng.Float64() < loss
		}
		r.heard = func(_ *rigNode, b []byte) {
			if h, ok := wire.Peek(b); ok && lowered && narrow[h.Transmitter] > 0 && len(b) > narrow[h.Transmitter] {
				refused++
			}
		}
		offer := func() {
			for range 4 {
				if r.nodes[rng.IntN(3)].p.Offer(r.now, "a", 0, make([]byte, []int{10, 700, 1400, 5000}[rng.IntN(4)]), false) == nil {
					sent++
				}
			}
		}
		for range 10 {
			offer()
			r.run(20 * time.Microsecond)
		}
		lowered = true
		for _, n := range r.nodes {
			if mtu := narrow[n.id]; mtu > 0 {
				n.p.Fit(r.now, buf.Way{Pack: mtu, Longest: mtu})
			}
		}
		for range 10 {
			offer()
			r.run(20 * time.Microsecond)
		}
		ok := r.until(3*time.Second, func() bool {
			for _, n := range r.nodes {
				if n.count < sent {
					return false
				}
			}
			return true
		})
		if got := r.nodes[0].p.Stats().Views - views; !ok || got > 0 || refused > 0 {
			t.Fatalf("seed %d, %d narrow, %v lost: delivered %d, %d, %d of %d; %d views; %d datagrams longer than what leaves", seed, len(narrow), loss,
				r.nodes[0].count, r.nodes[1].count, r.nodes[2].count, sent, got, refused)
		}
		r.same(sent)
		r.done()
	}
}

// A member that takes less joins a ring in which longer datagrams are on their way. It cannot take part
// in their recovery; in the end there is one ring, and all that is sent from then on is delivered.
func TestSmallerMemberJoinsBusyRing(t *testing.T) {
	r := sizes(t, 1472, 1472)
	r.form()
	offer := func() {
		for _, n := range r.nodes {
			for range 3 {
				_ = n.p.Offer(r.now, "a", 0, make([]byte, 1400), false)
			}
		}
	}
	deaf := true
	r.lost = func(_, to *rigNode, d *wire.Datagram) bool {
		return deaf && to == r.nodes[1] && d.Frames()[0].Kind == wire.FrameData
	}
	offer()
	r.run(200 * time.Microsecond)
	r.add(func(c *Config) { c.Datagram = 1000 })
	r.run(3 * time.Millisecond)
	deaf = false
	r.form()
	if !r.until(5*time.Second, func() bool { return r.formed() && r.nodes[2].p.cur.aru == r.nodes[0].p.cur.high }) {
		t.Fatal("no ring of three that has everything")
	}
	before := [3]int{r.nodes[0].count, r.nodes[1].count, r.nodes[2].count}
	offer()
	if !r.until(time.Second, func() bool {
		for i, n := range r.nodes {
			if n.count < before[i]+9 {
				return false
			}
		}
		return true
	}) {
		t.Error("what was sent in the ring of three is not delivered everywhere")
	}
	r.done()
}

// A member that does not send what it takes is held to take as much as this one.
func TestOlderMemberWithoutSize(t *testing.T) {
	r := sizes(t, 1472, 1452)
	p := r.nodes[0].p
	older := wire.MemberID{9}
	for _, j := range []wire.Join{{}, {Datagram: 1400}, {Datagram: 9000}, {}} {
		p.peers.learn(p, 1, older, &j, 9)
		want := 1472
		if j.Datagram == 1400 {
			want = 1400
		}
		ring := setOf(older)
		if got := p.peers.smallest(&ring, 1472); got != want {
			t.Errorf("a Join with %d bytes: the ring takes %d, want %d", j.Datagram, got, want)
		}
	}
	r.done()
}

// finish panics rather than send what does not lie in its buffer.
func TestFinishPanics(t *testing.T) {
	pool := buf.NewPool(1, 100)
	b := pool.Get()
	defer func() {
		if recover() == nil {
			t.Error("a datagram that does not fit its buffer was finished")
		}
	}()
	finish(b, append(b.Mem()[:0:50], make([]byte, 60)...))
}
