package nack

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// want is how a datagram will be repaired.
type want uint8

const (
	notWanted want = iota
	wantUnicast
	wantMulticast
)

// repairs is the queue of datagrams to be sent again. A datagram is in it once at most.
type repairs struct {
	queue  []uint64 // ring of datagram numbers
	head   uint64
	n      uint64
	budget repairBudget
	turn   bool // a repair goes before waiting data
}

// stepNak queues what a receiver asks for.
func (s *Sender) stepNak(now clock.Time, d *wire.Datagram, n *wire.Nak, from buf.Received) error {
	if !s.nack {
		return s.p.drop(DropProtocol)
	}
	// The work for one datagram is bounded, however its gaps overlap.
	left := s.window
	sent, gone := false, false
	r := (*receiver)(nil)
	at, known := s.index[d.Transmitter]
	if known && s.encoding != nil {
		r = &s.receivers[at]
	}
	for list := range 2 {
		it := n.Gaps()
		if list == 1 {
			it = n.Again()
		}
		for left > 0 {
			g, ok := it.Next()
			if !ok {
				break
			}
			lo, hi := max(g.First, s.first), min(g.First+uint64(g.Count), s.sent)
			sent = sent || g.First < s.sent
			gone = gone || g.First < s.first
			for ; lo < hi && left > 0; lo, left = lo+1, left-1 {
				s.ask(now, lo, list == 1 && !from.Group, from.From, at)
				if r != nil && list == 0 {
					s.encoding.countAsked(s, now, r, lo)
				}
			}
		}
	}
	if !sent {
		return s.p.drop(DropNotSent)
	}
	s.p.stats.NaksReceived++
	s.asks(now, d, from)
	s.asksAgain(now, d, n)
	s.lacksGroup(now, d, n, from)
	if gone {
		s.beat.probe(s, now, from.From)
	}
	return nil
}

// asks notes that a receiver has asked for something that was sent.
func (s *Sender) asks(now clock.Time, d *wire.Datagram, from buf.Received) {
	if r := s.admit(now, d.Transmitter, from.From, false); r != nil {
		r.heard = now
		r.endpoint = from.From
		r.mute.asks(from.Group)
		if r.limit <= s.first {
			// Not reported yet: that it asks shows that it is about here.
			r.next, r.highest, r.limit = s.first, s.sent, s.sent+minWindow
			s.flow.stale = true
		}
	}
}

// ask queues one datagram. The first answer goes to all: other receivers may miss it too. A receiver
// that asks again gets a repair of its own, unless a second one asks again within the same round
// trip. One that asks again through the group gets it through the group: unicast does not get through to us, and
// perhaps not to it.
func (s *Sender) ask(now clock.Time, n uint64, again bool, asker buf.Endpoint, by int) {
	t := &s.slots[n&s.mask]
	if t.buf.Len() > s.p.way.Longest {
		t.later = true
		s.p.stats.NaksTooLong++
		return
	}
	hold := s.tripOf(by, asker)
	w := wantMulticast
	if again {
		hold /= 2
		w = wantUnicast
	}
	if t.want != notWanted {
		if t.want == wantUnicast && (w == wantMulticast || t.asker != asker) {
			t.want = wantMulticast
		}
		return
	}
	if t.repaired != 0 && now.Sub(t.repaired) < hold {
		if t.last == wantMulticast || t.asker == asker {
			s.p.stats.NaksHeldOff++ // it is on its way
			return
		}
		w = wantMulticast
	}
	t.want, t.asker, t.askedBy = w, asker, int32(by)
	q := &s.repairs
	q.queue[(q.head+q.n)&s.mask] = n
	q.n++
	s.rouse()
}

// tripOf is the round trip of a receiver: what it has asked for within that time of a repair, it asked for before
// the repair came. It is the longest in the group where its own is not known.
func (s *Sender) tripOf(i int, at buf.Endpoint) time.Duration {
	if r := s.receiverAt(int32(i), at); r != nil {
		return r.rtt.Value(s.flow.roundTrip())
	}
	return s.flow.roundTrip()
}

// receiverAt is the receiver in a place of the table, if it is still the one with that address.
func (s *Sender) receiverAt(i int32, at buf.Endpoint) *receiver {
	if int(i) < len(s.receivers) && s.receivers[i].endpoint == at {
		return &s.receivers[i]
	}
	return nil
}

// pollRepair hands out the next repair.
func (s *Sender) pollRepair(now clock.Time) (buf.Send, bool) {
	q := &s.repairs
	if !q.budget.allows(now) {
		q.budget.short = true
		if at := q.budget.next(now); at < s.timers[repairsDue] {
			s.arm(repairsDue, max(at, now+1))
		}
		return buf.Send{}, false
	}
	for q.n > 0 {
		if q.budget.short || s.pace.rate != 0 {
			q.oldest(s.mask)
		}
		n := q.queue[q.head&s.mask]
		q.head++
		q.n--
		if n < s.first || n >= s.sent {
			continue // its slot was used again meanwhile
		}
		t := &s.slots[n&s.mask]
		if t.buf.Len() > s.p.way.Longest {
			t.want, t.later = notWanted, true
			continue
		}
		b := s.repairOf(now, t)
		if b == nil {
			t.want = notWanted
			s.p.stats.Drops[DropNoBuffer]++
			continue
		}
		send := buf.Send{Buf: b, Wait: true}
		if t.want == wantUnicast {
			send.To = t.asker
			if r := s.receiverAt(t.askedBy, t.asker); r != nil {
				r.arrivals.direct += uint64(b.Len())
			}
			if s.pace.rate != 0 {
				s.pace.charge(now, b.Len())
			}
			s.p.stats.RepairsUnicast++
		} else {
			s.pace.spend(now, b.Len())
			s.p.stats.RepairsMulticast++
		}
		t.last, t.want, t.repaired = t.want, notWanted, now
		s.stats.Repairs++
		q.budget.spend(b.Len())
		q.budget.highest = max(q.budget.highest, n+1)
		if q.n == 0 {
			q.budget.short = false
		}
		q.turn = false
		return send, true
	}
	return buf.Send{}, false
}

// repairOf is the datagram in t, to be sent again, with one reference: the very buffer, but for
// the stream's first datagrams. These have the stream's age, which has changed: with the old age a
// receiver that came later would act as if it had been there at the beginning.
func (s *Sender) repairOf(now clock.Time, t *slot) *buf.Buf {
	if !t.start {
		t.buf.Retain()
		return t.buf
	}
	b := s.p.cfg.Pool.Get()
	if b == nil {
		return nil
	}
	mem := append(b.Mem()[:0], t.buf.Bytes()[:t.buf.Len()-wire.StartLen]...)
	mem = wire.AppendStart(mem, s.startFrame(now))
	wire.Seal(mem)
	b.Set(0, len(mem))
	return b
}
