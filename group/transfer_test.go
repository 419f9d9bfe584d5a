package group

import (
	"bytes"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// Items of a cluster's transfer arrive whole and in order, whatever their length, and beside the memory of the others.
func TestTransfer(t *testing.T) {
	r := newPairRig(t, 3, 256)
	var got [][]byte
	taken := true
	r.m[1].p.cfg.Transfer = func(_ clock.Time, from wire.MemberID, payload []byte) bool {
		if from != r.m[0].p.cfg.Self {
			t.Errorf("from %v", from)
		}
		if taken {
			got = append(got, bytes.Clone(payload))
		}
		return taken
	}
	a, to := r.m[0], r.m[1].p.cfg.Self
	var want [][]byte
	for i, n := range []int{0, 1, 200, 64 << 10, 64 << 10, 300 << 10, 5, 2 << 20, wire.MaxTransfer, 64 << 10} {
		payload := bytes.Repeat([]byte{byte(i), byte(n), 3}, n/3+1)[:n]
		for tries := 0; !a.p.SendTransfer(r.now, to, payload); tries++ {
			if r.pass(2*time.Millisecond, time.Millisecond); tries == 3 {
				t.Fatalf("no room for %d bytes", n)
			}
		}
		want = append(want, bytes.Clone(payload))
		clear(payload) // it was copied
	}
	r.exchange()
	if len(got) != len(want) {
		t.Fatalf("%d of %d arrived", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("item %d of %d bytes differs", i, len(want[i]))
		}
	}
	if x := r.m[1].p.pairs; x.parts.made != 0 || x.transfers.made > wire.MaxTransfer {
		t.Errorf("%d bytes of the memory of others, %d of its own", x.parts.made, x.transfers.made)
	}

	// One that is refused is no obstacle, for what follows or for its sender.
	taken = false
	if !a.p.SendTransfer(r.now, to, make([]byte, 3000)) {
		t.Error("no room")
	}
	r.exchange()
	taken, got = true, nil
	if !a.p.SendTransfer(r.now, to, []byte("next")) {
		t.Error("no room after a refusal")
	}
	r.exchange()
	if len(got) != 1 || r.m[1].p.pairs.stats.Refused != 1 {
		t.Errorf("%d items, %d refused", len(got), r.m[1].p.pairs.stats.Refused)
	}

	// A member of no cluster refuses them, and others do not get them at all.
	if !a.p.SendTransfer(r.now, r.m[2].p.cfg.Self, []byte("x")) {
		t.Error("no room for a member that is in no cluster")
	}
	r.exchange()
	if n := r.m[2].p.pairs.stats.Refused; n != 1 {
		t.Errorf("%d refused", n)
	}
	if a.p.SendTransfer(r.now, wire.MemberID{9}, nil) || a.p.SendTransfer(r.now, a.p.cfg.Self, nil) || a.p.SendTransfer(r.now, to, make([]byte, wire.MaxTransfer+1)) {
		t.Error("sent to nobody, to itself, or too much")
	}
	r.idle()
}

// Room is limited, and what was refused for it costs nothing: a full window says so, and a member that takes nothing
// holds up nobody else.
func TestTransferRoom(t *testing.T) {
	r := newPairRig(t, 3, 256)
	n := 0
	for _, m := range r.m[1:] {
		m.p.cfg.Transfer = func(clock.Time, wire.MemberID, []byte) bool { n++; return true }
	}
	a := r.m[0]
	r.m[1].deaf = true
	sent := 0
	for a.p.SendTransfer(r.now, r.m[1].p.cfg.Self, make([]byte, 64<<10)) {
		if sent++; sent > 100 {
			t.Fatal("no end of it")
		}
	}
	r.exchange()
	if a.p.pairs.held > 256 {
		t.Errorf("%d buffers", a.p.pairs.held)
	}
	for !a.p.SendTransfer(r.now, r.m[2].p.cfg.Self, make([]byte, 8<<10)) {
		if r.pass(time.Millisecond, time.Millisecond); r.now > clock.Time(time.Second) {
			t.Fatal("another member gets nothing")
		}
	}
	r.exchange()
	if n != 1 {
		t.Errorf("%d arrived", n)
	}
	r.m[1].deaf = false
	r.pass(time.Second, time.Millisecond)
	if n != 1+sent {
		t.Errorf("%d of %d arrived", n, 1+sent)
	}
	r.idle()
}

// A transfer whose receiver goes in the middle gives all back.
func TestTransferGone(t *testing.T) {
	r := newPairRig(t, 2, 64)
	for i, m := range r.m {
		m.p.cfg.Transfer = func(clock.Time, wire.MemberID, []byte) bool { return i == 1 }
	}
	a, b := r.m[0], r.m[1]
	if !a.p.SendTransfer(r.now, b.p.cfg.Self, make([]byte, 4<<20)) {
		t.Fatal("no room")
	}
	for range 20 { // a part of it
		a.p.pairs.flush(r.now)
		if s, ok := a.p.pairs.poll(r.now); ok {
			r.carry(a, s)
		}
	}
	if b.p.pairs.transfers.out == 0 {
		t.Fatal("nothing of it has arrived: this tests nothing")
	}
	for i, m := range r.m {
		e := m.p.find(r.m[1-i].p.cfg.Self)
		m.p.pairs.gone(r.now, e, 0)
	}
	if a.p.pairs.held != 0 || b.p.pairs.held != 0 || b.p.pairs.transfers.out != 0 || a.pool.Out() != 0 {
		t.Errorf("%d and %d buffers, %d bytes of parts, %d out of the pool", a.p.pairs.held, b.p.pairs.held, b.p.pairs.transfers.out, a.pool.Out())
	}
}

// An item that fits its place costs its datagrams and nothing else.
func TestTransferAllocatesNothing(t *testing.T) {
	r := newPairRig(t, 2, 256)
	r.m[1].p.cfg.Transfer = func(clock.Time, wire.MemberID, []byte) bool { return true }
	payload := make([]byte, 64<<10)
	once := func() {
		if !r.m[0].p.SendTransfer(r.now, r.m[1].p.cfg.Self, payload) {
			t.Fatal("no room")
		}
		r.pass(5*time.Millisecond, time.Millisecond)
	}
	for range 10 {
		once()
	}
	if n := testing.AllocsPerRun(100, once); n > 2 { // the parts of the message, and what the codec of tests takes
		t.Errorf("%v allocations", n)
	}
}
