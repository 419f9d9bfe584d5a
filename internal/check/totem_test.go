package check

import (
	"slices"
	"testing"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// ringScene is a small run of three processes on one ring and then on the next, which a test
// breaks in one place.
type ringScene struct {
	l    *RingLog
	ids  [3]wire.MemberID
	a, b wire.RingID // the two rings
	at   clock.Time
}

func newRingScene() *ringScene {
	s := &ringScene{l: NewRingLog()}
	for i := range s.ids {
		s.ids[i] = wire.MemberID{byte(i + 1)}
		s.l.Start(0, i, s.ids[i])
	}
	s.a, s.b = wire.RingID{Rep: s.ids[0], Seq: 5}, wire.RingID{Rep: s.ids[0], Seq: 9}
	return s
}

func (s *ringScene) view(p int, ring, old wire.RingID, trans, members []wire.MemberID) {
	s.l.View(s.at, Proc(p), false, ring, old, trans)
	s.l.View(s.at, Proc(p), true, ring, old, members)
}

func payloadOf(p int, n uint64) []byte { return []byte{byte(p), byte(n)} }

func (s *ringScene) send(p int, ring wire.RingID, seq, n, position uint64, safe bool) {
	s.l.Sent(s.at, Proc(p), payloadOf(p, n), safe)
	s.l.Sequenced(Proc(p), ring, seq, n, 1, 0, safe, position)
}

func (s *ringScene) deliver(p int, ring wire.RingID, seq uint64, from int, n uint64) {
	s.l.Handed(s.at, Proc(p), ring, seq)
	s.l.Delivered(s.at, Proc(p), &core.Delivery{From: s.ids[from], Sequence: n, Payload: payloadOf(from, n)}, ring, seq)
}

// play is the run; skip leaves out one delivery, and each event may be replaced.
func (s *ringScene) play(breaks string) []Violation {
	all := s.ids[:]
	is := func(name string) bool { return breaks == name }
	for p := range 3 {
		first := wire.RingID{Rep: s.ids[p], Seq: 1}
		members, trans := all, s.ids[p:p+1]
		if is("two come from one's beginning") && p == 0 {
			trans = all[:2]
		}
		if is("other members") && p == 2 {
			members = all[:2]
		}
		if is("no transitional view") && p == 1 {
			s.l.View(s.at, Proc(p), true, s.a, first, members)
			continue
		}
		if is("never in the old ring") && p == 2 {
			break
		}
		s.view(p, s.a, first, trans, members)
	}
	s.at = 10
	s.send(0, s.a, 1, 1, 0, true)
	s.send(1, s.a, 2, 1, 1, false)
	if is("one number twice") {
		s.l.Sequenced(2, s.a, 2, 1, 1, 0, false, 0)
	}
	for p := range 3 {
		last := p == 2
		switch {
		case is("wrong bytes") && last:
			s.l.Handed(s.at, 2, s.a, 1)
			s.l.Delivered(s.at, 2, &core.Delivery{From: s.ids[0], Sequence: 1, Payload: []byte("x")}, s.a, 1)
			s.deliver(p, s.a, 2, 1, 1)
		case is("other order") && last:
			s.deliver(p, s.a, 2, 1, 1)
			s.deliver(p, s.a, 1, 0, 1)
		case is("twice") && last:
			s.deliver(p, s.a, 1, 0, 1)
			s.deliver(p, s.a, 2, 1, 1)
			s.deliver(p, s.a, 2, 1, 1)
		case is("a safe one is missing") && last:
		case is("an own one is missing") && p == 1:
			s.deliver(p, s.a, 1, 0, 1)
		case is("another message under the number") && last:
			s.deliver(p, s.a, 1, 0, 1)
			s.l.Handed(s.at, 2, s.a, 2)
			s.l.Delivered(s.at, 2, &core.Delivery{From: s.ids[0], Sequence: 1, Payload: payloadOf(0, 1)}, s.a, 2)
		case is("outside of Operational") && last:
			s.deliver(p, s.a, 1, 0, 1)
			s.l.Left(s.at, 2, s.a)
			s.deliver(p, s.a, 2, 1, 1)
		default:
			s.deliver(p, s.a, 1, 0, 1)
			s.deliver(p, s.a, 2, 1, 1)
		}
	}
	s.at = 20
	for p := range 3 {
		ring, trans := s.b, all
		if is("the same ring again") {
			ring = s.a
		}
		if is("other transitional members") && p == 0 {
			trans = all[:2]
		}
		old := s.a
		if is("a transitional member from elsewhere") && p == 2 {
			old, trans = wire.RingID{Rep: s.ids[2], Seq: 6}, all[2:]
			s.view(2, old, s.a, trans, trans)
		}
		s.view(p, ring, old, trans, all)
	}
	if is("of the ring before") {
		s.send(0, s.a, 3, 2, 2, false)
		s.deliver(0, s.a, 3, 0, 2)
	}
	if is("two tokens") {
		s.l.Token(0, s.b, 0)
		s.l.Token(1, s.b, 1)
		s.l.Token(2, s.b, 1)
	}
	s.at = 30
	s.send(1, s.b, 1, 2, 0, false)
	for p := range 3 {
		if p < 2 || !is("another end") {
			s.deliver(p, s.b, 1, 1, 2)
		}
	}
	s.at = 40
	s.l.Settle(s.at, 5, 15)
	s.send(1, s.b, 2, 3, 1, false)
	s.send(1, s.b, 3, 4, 1, true)
	s.at = 45
	for p := range 3 {
		if is("an agreed one takes long") && p == 2 {
			s.at = 46
		}
		if p < 2 || !is("an agreed one is missing at another") {
			s.deliver(p, s.b, 2, 1, 3)
		}
	}
	s.at = 55
	for p := range 3 {
		if is("a safe one takes long") && p == 2 {
			s.at = 56
		}
		s.deliver(p, s.b, 3, 1, 4)
	}
	if is("a change without reason") {
		c := wire.RingID{Rep: s.ids[0], Seq: 13}
		for p := range 3 {
			s.view(p, c, s.b, all, all)
		}
	}
	return Rings(s.l, true)
}

// Each checker of Totem's properties notices what it is for, and a clean run has nothing.
func TestRingCheckers(t *testing.T) {
	for _, c := range []struct{ breaks, id string }{
		{"", ""},
		{"wrong bytes", "TO-1"},
		{"other members", "TO-2"},
		{"the same ring again", "TO-2"},
		{"one number twice", "TO-3"},
		{"another message under the number", "TO-3"},
		{"twice", "TO-4"},
		{"of the ring before", "TO-5"},
		{"other order", "TO-6"},
		{"other order", "TO-7"},
		{"a safe one is missing", "TO-8"},
		{"a safe one is missing", "TO-9"},
		{"an own one is missing", "TO-10"},
		{"other members", "TO-11"},
		{"other transitional members", "TO-12"},
		{"twice", "TO-13"},
		{"no transitional view", "TO-15"},
		{"two tokens", "TO-17"},
		{"outside of Operational", "TO-18"},
		{"another end", "TO-9"},
		{"two come from one's beginning", "TO-12"},
		{"never in the old ring", "TO-12"},
		{"a transitional member from elsewhere", "TO-12"},
		{"an agreed one is missing at another", "TO-20"},
		{"an agreed one takes long", "TO-20"},
		{"a safe one takes long", "TO-20"},
		{"a change without reason", "TO-21"},
	} {
		found := IDs(newRingScene().play(c.breaks))
		if c.id == "" && len(found) > 0 || c.id != "" && !slices.Contains(found, c.id) {
			t.Errorf("%q: %v, want %s", c.breaks, found, c.id)
		}
	}
}

// TO-14: two starts of one node never share a configuration.
func TestRingTwoStarts(t *testing.T) {
	s := newRingScene()
	again := wire.MemberID{9}
	s.l.Start(0, 2, again)
	all := append(s.ids[:], again)
	s.view(0, s.a, wire.RingID{Rep: s.ids[0], Seq: 1}, all[:1], all)
	if found := IDs(Rings(s.l, false)); !slices.Contains(found, "TO-14") {
		t.Errorf("found %v", found)
	}
}

// TO-26 counts what members of rings send again in each second, against the data of that second and the one before.
func TestRingBytesAgain(t *testing.T) {
	const second = clock.Time(1_000_000_000)
	for _, c := range []struct {
		name         string
		again, later int
		healed       clock.Time
		want         int
	}{
		{"within the bound", 2100, 2100, 0, 0},
		{"too much", 2101, 0, 0, 1},
		{"in the second after the data", 0, 2101, 0, 1},
		{"after the healing", 0, 2101, 3 * second, 0},
	} {
		l := NewRingLog()
		l.Wire(2*second, RingFresh, 1000)
		l.Wire(2*second+1, RingAgain, c.again)
		l.Wire(2*second+2, RingRecovered, 9999)
		l.Wire(3*second, RingAgain, c.later)
		l.Wire(4*second, RingAgain, 100)
		l.Healed = c.healed
		if vs := TO26(l, 100); len(vs) != c.want {
			t.Errorf("%s: %s, want %d", c.name, Text(vs), c.want)
		}
	}
}
