package totem

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/wire"
)

// Parts that come in any order, doubled, and mixed with those of other datagrams, are put together.
func TestPartsInAnyOrder(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 8))
		r := newRig(t, 3)
		r.form()
		views := r.nodes[0].p.Stats().Views
		r.nodes[0].p.whole = 300 // what is packed stays as long as it was
		sent := 0
		parts := func(b []byte) bool {
			return wire.Decode(b, &r.d) == nil && len(r.d.Frames()) == 1 && r.d.Frames()[0].Kind == wire.FrameData
		}
		for range 50 {
			if sent < 40 && r.nodes[sent%2].p.Offer(r.now, "a", 0, make([]byte, 1400), false) == nil {
				sent++
			}
			r.turn()
			for _, n := range r.nodes {
				var at []int
				for i, b := range n.inbox {
					if parts(b) {
						at = append(at, i)
					}
				}
				rng.Shuffle(len(at), func(i, j int) {
					n.inbox[at[i]], n.inbox[at[j]] = n.inbox[at[j]], n.inbox[at[i]]
				})
				if len(at) > 0 && rng.IntN(2) == 0 {
					n.inbox = append(n.inbox, append([]byte(nil), n.inbox[at[0]]...))
				}
			}
			r.now += 20_000
		}
		ok := r.until(time.Second, func() bool { return r.nodes[1].count == sent && r.nodes[2].count == sent })
		if got := r.nodes[0].p.Stats().Views; !ok || got != views || sent != 40 {
			t.Fatalf("seed %d: delivered %d and %d of %d; %d views", seed, r.nodes[1].count, r.nodes[2].count, sent, got-views)
		}
		r.same(sent)
		r.done()
	}
}

// Parts that make no sense are refused, and what they make up is judged like a datagram that came whole.
func TestBadParts(t *testing.T) {
	r := newRig(t, 2)
	r.form()
	n, other := r.nodes[0], r.nodes[1]
	part := func(from wire.MemberID, number, step uint64, topic string, at, size int, payload []byte) error {
		mem := make([]byte, 2000)
		var w wire.DataWriter
		h := other.p.header()
		h.Transmitter = from
		w.Begin(mem, 1472, h, number, step)
		if !w.AddFragment(topic, 0, uint32(at), uint32(size), payload) {
			t.Fatal("a fragment does not fit")
		}
		off, k := w.Finish()
		return n.step(mem[off : off+k])
	}
	long := make([]byte, 100)
	for _, c := range []struct {
		why      string
		from     wire.MemberID
		step     uint64
		topic    string
		at, size int
		length   int
		want     error
	}{
		{"a stranger's", wire.MemberID{9}, 100, "-", 0, 200, 100, ErrForeign},
		{"another topic", other.id, 100, "x", 0, 200, 100, ErrFrames},
		{"tiny pieces", other.id, 10, "-", 0, 200, 10, ErrFrames},
		{"a step beyond all bounds", other.id, 1 << 63, "-", 0, 200, 100, ErrFrames},
		{"between two pieces", other.id, 100, "-", 50, 200, 100, ErrFrames},
		{"a short piece", other.id, 100, "-", 0, 200, 99, ErrFrames},
		{"too many pieces", other.id, 32, "-", 0, 32*64 + 1, 32, ErrFrames},
		{"longer than this member takes", other.id, 100, "-", 0, 1473, 100, ErrLong},
		{"a piece", other.id, 100, "-", 0, 200, 100, nil},
		{"the same again", other.id, 100, "-", 0, 200, 100, ErrStale},
		{"they make no datagram", other.id, 100, "-", 100, 200, 100, ErrMalformed},
	} {
		if err := part(c.from, 5, c.step, c.topic, c.at, c.size, long[:c.length]); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.why, err, c.want)
		}
	}
	// A datagram in parts is one of a ring, and its transmitter's own.
	token := wire.AppendHeader(nil, other.p.header())
	token = wire.AppendToken(token, &wire.Token{Ring: n.p.cur.id, TokenSeq: 1 << 40, Seq: 1})
	wire.Seal(token)
	if err := part(other.id, 6, 200, "-", 0, len(token), token); !errors.Is(err, ErrFrames) {
		t.Errorf("a token in one part: %v", err)
	}
	mem := make([]byte, 2000)
	var w wire.DataWriter
	w.Begin(mem, 1000, n.p.header(), 1, 1)
	w.Add("a", 0, long)
	off, k := w.Close()
	whole := wire.AppendRing(mem[:off+k], wire.Ring{Key: n.p.cur.key})[off:]
	wire.Seal(whole)
	if err := part(other.id, 7, 500, "-", 0, len(whole), whole); !errors.Is(err, ErrMalformed) {
		t.Errorf("another member's datagram: %v", err)
	}
	r.done()
}

// A token of a member with a small MTU asks for as many datagrams as it has room for, and the rest later.
func TestTokenOfASmallMTU(t *testing.T) {
	r := sizes(t, 548, 548, 548)
	r.form()
	views, lose := r.nodes[0].p.Stats().Views, true
	r.lost = func(_, to *rigNode, d *wire.Datagram) bool {
		return lose && to == r.nodes[1] && d.Frames()[0].Kind == wire.FrameData
	}
	sent, most := 0, 0
	r.heard = func(_ *rigNode, b []byte) {
		if wire.Decode(b, &r.d) == nil && r.d.Frames()[0].Kind == wire.FrameToken {
			token := r.d.Frames()[0].Token()
			most = max(most, token.Wanted.Len())
			if len(b) > 548 {
				t.Fatalf("a token of %d bytes", len(b))
			}
		}
	}
	for range 40 {
		for range 5 {
			if r.nodes[0].p.Offer(r.now, "a", 0, make([]byte, 400), false) == nil {
				sent++
			}
		}
		r.run(40 * time.Microsecond)
	}
	lose = false
	ok := r.until(time.Second, func() bool { return r.nodes[1].count == sent })
	if got := r.nodes[0].p.Stats().Views; !ok || got != views || most < 20 {
		t.Fatalf("delivered %d of %d; %d views; up to %d numbers on a token", r.nodes[1].count, sent, got-views, most)
	}
	r.same(sent)
	r.done()
}

// While the MTU is lower than any that carries a part, datagrams that are too long wait for it to be raised.
func TestNoPartFits(t *testing.T) {
	r := newRig(t, 2)
	r.form()
	if err := r.nodes[0].p.Offer(r.now, "a", 0, make([]byte, 1400), false); err != nil {
		t.Fatal(err)
	}
	r.nodes[0].p.whole = 100
	r.run(time.Millisecond)
	if r.nodes[1].count > 0 {
		t.Fatal("1,400 bytes left where 100 fit")
	}
	r.nodes[0].p.Fit(r.now, buf.Way{Pack: 1472, Longest: 1472})
	if !r.until(100*time.Millisecond, func() bool { return r.nodes[1].count == 1 }) {
		t.Error("not delivered after the MTU was raised")
	}
	r.done()
}
