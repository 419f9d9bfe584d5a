package nack

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// GR-7: of a member that is barred nothing is delivered but what came before, however much it sends. It is
// no receiver either. Admitted again its stream goes on, and what was missed is reported in its place.
func TestForgetBars(t *testing.T) {
	for _, id := range []wire.StreamID{testStream, wire.NewStreamID(wire.BestEffort, 0), wire.NewStreamID(wire.Hybrid, 0)} {
		net := newNetwork(t, 21)
		net.extra = 300
		fec := func(c *Config) { c.FEC = FEC{Source: 20, Interleave: 1, Max: 6} }
		a, r := net.add(fec), net.add(fec)
		s, back := net.open(a, id), net.open(r, id)
		net.offer(a, s, 20, 64)
		net.offer(r, back, 20, 64)
		h, other := r.stream(a.id, id), a.stream(r.id, id)
		if !net.until(time.Second, func() bool { return h.delivered == 20 && other.delivered == 20 && len(back.receivers) == 1 }) {
			t.Fatalf("%v: %d and %d messages were delivered to %d receivers", id.Protocol(), h.delivered, other.delivered, len(back.receivers))
		}
		r.p.Forget(net.now, a.id, true)
		r.p.Forget(net.now, a.id, true)
		if len(back.receivers) != 0 {
			t.Errorf("%v: a barred member is a receiver", id.Protocol())
		}
		refused := r.p.Stats().Drops[DropBarred]
		for range 20 {
			net.offer(a, s, 5, 64)
			net.offer(r, back, 5, 64)
			net.run(50 * time.Millisecond)
		}
		if h.delivered != 20 || len(back.receivers) != 0 {
			t.Errorf("%v: %d messages of a barred member were delivered, %d barred receivers", id.Protocol(), h.delivered-20, len(back.receivers))
		}
		if now := r.p.Stats().Drops[DropBarred]; now < refused+20 {
			t.Errorf("%v: %d datagrams were counted as barred", id.Protocol(), now-refused)
		}
		if at := r.p.Heard(a.id); net.now.Sub(at) < 900*time.Millisecond {
			t.Errorf("%v: a barred member was heard %v ago", id.Protocol(), net.now.Sub(at))
		}
		r.p.Admit(net.now, a.id)
		r.p.Admit(net.now, a.id)
		net.offer(a, s, 5, 64)
		if !net.until(2*time.Second, func() bool { return h.next == 126 && len(back.receivers) == 1 }) {
			t.Errorf("%v: admitted, it goes on at %d with %d receivers, lost %v", id.Protocol(), h.next, len(back.receivers), h.lost)
		}
		net.done()
	}
}

// What a full queue refused is still pending after Forget, and nothing is once it was delivered.
func TestPendingAfterForget(t *testing.T) {
	net := newNetwork(t, 22)
	a, b, r := net.add(), net.add(), net.add()
	sa, sb := net.open(a, testStream), net.open(b, testStream)
	full := false
	r.refuse = func(m *core.Delivery) bool { return full && m.From == a.id }
	net.offer(a, sa, 10, 64)
	net.offer(b, sb, 10, 64)
	h := r.stream(a.id, testStream)
	net.until(time.Second, func() bool { return h.delivered == 10 })
	if r.p.Pending(a.id) {
		t.Error("pending, although everything was delivered")
	}
	full = true
	for range 3 { // datagrams
		net.offer(a, sa, 5, 64)
		net.offer(b, sb, 5, 64)
	}
	net.run(10 * time.Millisecond)
	r.p.Forget(net.now, a.id, true)
	net.run(10 * time.Millisecond)
	if !r.p.Pending(a.id) || r.p.Pending(b.id) || h.delivered != 10 {
		t.Errorf("pending %v, of the other one %v, %d delivered", r.p.Pending(a.id), r.p.Pending(b.id), h.delivered)
	}
	full = false
	net.turn(r)
	if r.p.Pending(a.id) || h.delivered != 25 || len(h.lost) != 0 {
		t.Errorf("there is room: pending %v, %d delivered, lost %v", r.p.Pending(a.id), h.delivered, h.lost)
	}
	net.done()
}

// Heard is the latest of all streams and reports, and zero of a member that nothing came from.
func TestHeard(t *testing.T) {
	net := newNetwork(t, 23)
	a, r := net.add(), net.add()
	if at := r.p.Heard(a.id); at != 0 {
		t.Errorf("heard at %v, although nothing came", at)
	}
	s := net.open(r, testStream)
	net.offer(r, s, 1, 64)
	if !net.until(time.Second, func() bool { return r.p.Heard(a.id) > 0 }) { // a's report as a receiver
		t.Error("a report of a receiver is no sign of life")
	}
	sa := net.open(a, testStream)
	for range 20 {
		net.run(5 * time.Millisecond)
		net.offer(a, sa, 1, 64)
		before := net.now
		net.run(20 * time.Microsecond)
		if at := r.p.Heard(a.id); at < before || at > net.now {
			t.Fatalf("heard at %v, data came between %v and %v", at, before, net.now)
		}
	}
	net.done()
}

// However many members are barred, the set is bounded; the last ones are in it.
func TestBarredIsBounded(t *testing.T) {
	var b barred
	for i := range 3 * maxBarred {
		b.add(wire.MemberID{byte(i), byte(i >> 8), 1})
	}
	if len(b.known) != maxBarred || len(b.order) != maxBarred {
		t.Fatalf("%d and %d members are barred, at most %d may be", len(b.known), len(b.order), maxBarred)
	}
	last := 3*maxBarred - 1
	for i := range maxBarred {
		m := wire.MemberID{byte(last - i), byte((last - i) >> 8), 1}
		if !b.has(m) {
			t.Fatalf("member %d is not barred", last-i)
		}
		b.remove(m)
	}
	if len(b.known) != 0 || len(b.order) != 0 {
		t.Error("members are left")
	}
}
