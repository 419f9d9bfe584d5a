package totem

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// A Join and a word about a ring are as long as data: what the smallest of those that are concerned takes, but for a
// few bytes, and never longer.
func TestJoinsAreAsLongAsData(t *testing.T) {
	for _, small := range []int{548, 1000, 1472, 9000} {
		r := sizes(t, 1472, small)
		seen := map[wire.FrameKind]int{}
		r.lost = func(from, _ *rigNode, d *wire.Datagram) bool {
			f := &d.Frames()[0]
			switch f.Kind {
			case wire.FrameJoin:
				seen[f.Kind] = f.Join().Standing.Padding
			case wire.FrameNotice:
				seen[f.Kind] = f.Notice().Standing.Padding
			}
			return false
		}
		longest := map[*rigNode]int{}
		r.heard = func(to *rigNode, b []byte) { longest[to] = max(longest[to], len(b)) }
		r.form()
		r.run(300 * time.Millisecond)
		for i, n := range r.nodes {
			if want := min(1472, small); longest[n] > want || longest[n] < want-4 {
				t.Errorf("%d bytes: member %d received up to %d, want nearly %d", small, i, longest[n], want)
			}
		}
		if seen[wire.FrameJoin] == 0 || seen[wire.FrameNotice] == 0 && small >= 1472 { // the first member sends the notices
			t.Errorf("%d bytes: padding %v", small, seen)
		}
		r.done()
	}
}

// A hold-down grows to Profile.HoldDown with each further time, ends when its cause is gone, and is forgotten when
// nothing was wrong for twice the longest time.
func TestHoldDownGrows(t *testing.T) {
	r := newRig(t, 2)
	r.form()
	p, id := r.nodes[0].p, wire.MemberID{9}
	h, now := &p.holds, r.now
	holds := func() bool { return h.holds(p, now, id) }
	var delays []time.Duration
	for range 5 {
		h.refused(p, now, id)
		if !holds() {
			t.Fatal("it is not held down")
		}
		delays = append(delays, h.at(p, id).until.Sub(now))
		h.answered(p, now, id, true, false)
		if holds() {
			t.Fatal("it has answered, and is held down")
		}
		now = now.Add(time.Millisecond)
	}
	for i, want := range []time.Duration{time.Second, 4 * time.Second, 16 * time.Second, time.Minute, time.Minute} {
		if delays[i] != want {
			t.Errorf("hold-down %d is %v, want %v", i, delays[i], want)
		}
	}
	now = now.Add(2*time.Minute + time.Second)
	h.refused(p, now, id)
	if d := h.at(p, id).until.Sub(now); d != time.Second {
		t.Errorf("long afterwards a hold-down is %v", d)
	}
	r.done()
}

// What ends a hold-down before its time, and what does not.
func TestHoldDownEnds(t *testing.T) {
	for _, c := range []struct {
		name  string
		begin func(h *holdDowns, p *Protocol, id wire.MemberID)
		then  func(h *holdDowns, p *Protocol, id wire.MemberID)
		over  bool
	}{
		{"stuck: a Join of the time before", stuck, names, false},
		{"stuck: seen apart, and then a Join", stuck, func(h *holdDowns, p *Protocol, id wire.MemberID) { apart(h, p, id); names(h, p, id) }, true},
		{"stuck: it lists this member", stuck, lists, true},
		{"no answer: a word about its ring", refused, apart, false},
		{"no answer: a Join", refused, names, true},
		{"no answer: it lists this member", refused, lists, true},
		{"in the middle: it lists this member", middle, lists, false},
		{"in the middle: a Join", middle, names, false},
		{"in the middle: the other is gone", middle, func(_ *holdDowns, p *Protocol, _ wire.MemberID) { p.memb.remove(p.memb.ids[1]) }, true},
		{"fell out of rings: it lists this member", fell, lists, false},
		{"fell out of rings: a Join", fell, func(h *holdDowns, p *Protocol, id wire.MemberID) { apart(h, p, id); names(h, p, id) }, false},
	} {
		r := newRig(t, 2)
		r.form()
		p, id := r.nodes[0].p, wire.MemberID{9}
		c.begin(&p.holds, p, id)
		if !p.holds.holds(p, p.last, id) {
			t.Fatalf("%s: it is not held down", c.name)
		}
		c.then(&p.holds, p, id)
		if over := !p.holds.holds(p, p.last, id); over != c.over {
			t.Errorf("%s: it is over: %v", c.name, over)
		}
	}
}

// A hold-down is of a name, since a process may start anew. But that rings did not last with the start before, which
// may have been killed again and again, does not count against a new one.
func TestHoldDownOfANewStart(t *testing.T) {
	for _, c := range []struct {
		name  string
		begin func(h *holdDowns, p *Protocol, id wire.MemberID)
		held  bool
	}{{"it did not answer", refused, true}, {"it fell out of rings", fell, false}} {
		r := newRig(t, 2)
		r.form()
		p := r.nodes[0].p
		before, after := wire.MemberID{9}, wire.MemberID{8}
		for _, id := range []wire.MemberID{before, after} {
			p.peers.entry(p, id).node = 77
		}
		c.begin(&p.holds, p, before)
		if held := p.holds.holds(p, p.last, after); held != c.held {
			t.Errorf("%s: the next start is held down: %v", c.name, held)
		}
		for range fallLimit - 1 {
			p.holds.falls(p, p.last, after)
		}
		if !c.held && p.holds.holds(p, p.last, after) {
			t.Errorf("%s: the falls of another start count", c.name)
		}
	}
}

func stuck(h *holdDowns, p *Protocol, id wire.MemberID)   { h.raise(p, p.last, id, answer) }
func refused(h *holdDowns, p *Protocol, id wire.MemberID) { h.refused(p, p.last, id) }
func middle(h *holdDowns, p *Protocol, id wire.MemberID)  { h.chose(p, p.last, id, p.memb.ids[1]) }
func fell(h *holdDowns, p *Protocol, id wire.MemberID) {
	for range fallLimit {
		h.falls(p, p.last, id)
	}
}
func names(h *holdDowns, p *Protocol, id wire.MemberID) { h.answered(p, p.last, id, true, false) }
func lists(h *holdDowns, p *Protocol, id wire.MemberID) { h.answered(p, p.last, id, false, true) }
func apart(h *holdDowns, p *Protocol, id wire.MemberID) { h.answered(p, p.last, id, false, false) }

// A number that the token asks for again and again is sent ever more rarely.
func TestRetransmissionBacksOff(t *testing.T) {
	r := newRig(t, 3)
	r.form()
	deaf := r.nodes[2]
	r.lost = func(_, to *rigNode, d *wire.Datagram) bool { return to == deaf && d.Frames()[0].Kind == wire.FrameData }
	if err := r.nodes[0].p.Offer(r.now, "a", 0, []byte("x"), false); err != nil {
		t.Fatal(err)
	}
	r.run(100 * time.Millisecond)
	var again, rotations uint64
	for _, n := range r.nodes {
		s := n.p.Stats()
		again, rotations = again+s.Retransmitted, max(rotations, s.Tokens)
	}
	if rotations < 1000 {
		t.Fatalf("only %d rotations", rotations)
	}
	if again < 3 || again > 20 {
		t.Errorf("sent again %d times in %d rotations", again, rotations)
	}
	r.lost = nil
	if !r.until(200*time.Millisecond, func() bool { return deaf.count == 1 }) {
		t.Error("it does not come when it could")
	}
	r.done()
}
