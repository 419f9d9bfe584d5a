package group

import (
	"slices"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// receiving is one channel of a pair, inwards. due <= next: datagrams below due are dealt with, those below
// next have come.
type receiving struct {
	pair    *pair
	channel wire.Channel

	due, next uint64
	ring      []*buf.Buf // what is kept, by number; a power of two, or none
	highest   uint64     // one above the highest datagram that has come
	item      uint64     // the next item; those before it were taken or refused
	first     uint64     // the first item of the datagram that is due
	refused   wire.Refusals
	parts     *parts

	blocked bool // in pairs.blocked: an item waits
	ended   bool // the session is over

	owed, urgent bool       // an acknowledgement
	arrived      clock.Time // when the last datagram came in order
	toldDue      uint64     // due, in the last acknowledgement
	ackAt        clock.Time // an acknowledgement goes at the latest; 0: none waits
	heard        clock.Time // when the last frame came
	gapAt        clock.Time // what is kept behind a gap is dropped if no frame comes; 0: there is no gap
	timer        timer
}

func newReceiving(pr *pair, c wire.Channel) *receiving {
	in := &receiving{pair: pr, channel: c, due: 1, next: 1, highest: 1, item: 1, first: 1, toldDue: 1}
	return in
}

func (in *receiving) at(number uint64) **buf.Buf { return &in.ring[number&uint64(len(in.ring)-1)] }

// has reports whether a datagram from next on has come.
func (in *receiving) has(number uint64) bool {
	return number < in.highest && number-in.due < uint64(len(in.ring)) && *in.at(number) != nil
}

// step takes in a frame of this channel and session.
func (in *receiving) step(now clock.Time, p *wire.Pair, r buf.Received) error {
	x := in.pair.x
	in.heard = now
	in.forget(p)
	if p.Count == 0 {
		in.owe(now, true)
		return nil
	}
	x.stats.PairDatagramsReceived++
	switch {
	case p.Number < in.next || in.has(p.Number):
		in.owe(now, true)
		return nil
	case p.Number >= in.due+maxWindow:
		return errRange
	}
	if p.Number == in.due && !in.blocked { // what was expected
		if in.take(now, p) {
			in.due++
			in.next = in.due
			in.arrived = now
			if in.ended {
				return nil
			}
			if in.highest <= in.due {
				in.highest = in.due
				in.owe(now, p.AckAtOnce || in.due-in.toldDue >= x.room()/4)
				return nil
			}
			in.advance(now)
			in.owe(now, true)
			in.drain(now)
			return nil
		}
	}
	if p.Number >= in.due+x.room() {
		x.stats.PairNoBuffer++
		in.owe(now, true)
		return nil
	}
	kept := x.keep(r.Buf)
	if kept == nil {
		in.owe(now, true)
		return nil // it is sent again; items that were taken are passed over then
	}
	for p.Number-in.due >= uint64(len(in.ring)) {
		in.grow()
	}
	*in.at(p.Number) = kept
	in.highest = max(in.highest, p.Number+1)
	gap := p.Number > in.next
	in.advance(now)
	if in.next < in.highest {
		in.watchGap(now)
	}
	in.owe(now, p.AckAtOnce || gap || in.next < in.highest)
	if !in.blocked {
		in.drain(now)
	}
	return nil
}

// advance passes over what is here.
func (in *receiving) advance(now clock.Time) {
	for in.next < in.highest && *in.at(in.next) != nil {
		in.next++
		in.arrived = now
	}
}

func (in *receiving) grow() {
	ring := make([]*buf.Buf, max(8, 2*len(in.ring)))
	for n := in.due; n < in.highest; n++ {
		if n-in.due < uint64(len(in.ring)) {
			ring[n&uint64(len(ring)-1)] = *in.at(n)
		}
	}
	in.ring = ring
}

// forget drops refusals whose outcome the transmitter has.
func (in *receiving) forget(p *wire.Pair) {
	known := p.Known
	if in.pair.x.is(refusalsByOldest) && p.Oldest == in.due {
		known = in.item
	}
	n := 0
	for n < in.refused.Len() && in.refused.At(n).Item < known {
		n++
	}
	if n > 0 {
		const entry = 12
		if in.refused = in.refused[:copy(in.refused, in.refused[n*entry:])]; len(in.refused) == 0 {
			in.refused = nil
		}
	}
}

// drain deals with what was kept, in order, and returns the number of items.
func (in *receiving) drain(now clock.Time) (n int) {
	x := in.pair.x
	first := in.item
	for in.due < in.next && !in.ended {
		b := *in.at(in.due)
		if !in.takeKept(now, b) {
			break
		}
		if in.ended {
			break // the session ended meanwhile, and gave the buffer back
		}
		*in.at(in.due) = nil
		x.putKept(b)
		in.due++
	}
	if in.due == in.highest && len(in.ring) > leastSlots {
		in.ring = nil // it was a long line
	}
	if in.item != first {
		in.owe(now, true)
	}
	return int(in.item - first)
}

// takeKept deals with the items of a kept datagram. It is false when one has to wait.
func (in *receiving) takeKept(now clock.Time, b *buf.Buf) bool {
	d := &in.pair.x.scratch
	if wire.Decode(b.Bytes(), d) != nil {
		return true // it was decoded before: this cannot be
	}
	frames := d.Frames()
	for i := range frames {
		if frames[i].Kind == wire.FramePair {
			if p := frames[i].Pair(); p.Channel == in.channel && p.Number == in.due && p.Session == in.pair.from {
				return in.take(now, &p)
			}
		}
	}
	return true
}

// take hands on the items of the datagram that is due. It is false when one has to wait.
func (in *receiving) take(now clock.Time, p *wire.Pair) bool {
	x := in.pair.x
	if p.FirstItem != in.first { // no member that keeps to the rules leaves items out
		x.stats.PairDrops++
		in.pair.contradicts(p)
		return true
	}
	number := p.FirstItem
	for it := p.Items(); it.Step(); number++ {
		if number < in.item {
			continue
		}
		v := Wait
		var reason wire.RefusalReason
		if in.refused.Len() < x.maxRefused && !x.p.gated() {
			v, reason = in.hand(now, &it.Item, number)
		}
		if in.ended {
			return true
		}
		switch v {
		case Wait:
			x.stats.PairBlocked++
			if !in.blocked {
				in.blocked = true
				x.blocked = append(x.blocked, in)
			}
			return false
		case Refuse:
			in.refused = in.refused.Append(wire.Refusal{Item: number, Reason: reason})
			x.stats.Refused++
			in.owe(now, true)
		}
		in.item = number + 1
	}
	in.first = in.item
	return true
}

// owe has an acknowledgement sent, at once or with the next datagram that goes there.
func (in *receiving) owe(now clock.Time, atOnce bool) {
	if in.ended {
		return
	}
	if !in.owed {
		in.owed = true
	}
	if atOnce {
		in.urgent = true
		in.pair.tell()
	} else if in.ackAt == 0 {
		in.ackAt = now.Add(ackDelay)
		in.arm()
	}
}

// arm sets the timer to the earliest deadline.
func (in *receiving) arm() {
	at := in.ackAt
	if in.gapAt != 0 && (at == 0 || in.gapAt < at) {
		at = in.gapAt
	}
	in.pair.x.timers.set(&in.timer, in, at)
}

// fire does what is due.
func (in *receiving) fire(now clock.Time) {
	if in.ackAt != 0 && in.ackAt <= now { // it waited in vain for a datagram to go with
		in.ackAt = 0
		in.owe(now, true)
	}
	if in.gapAt != 0 && in.gapAt <= now {
		in.closeGap(now)
	}
	in.arm()
}

// closeGap drops what is kept behind a gap, and an unfinished message, when their sender has been silent for
// long: a sender with more to send repeats, so the session is over. What was dropped in error behind a gap
// comes again.
func (in *receiving) closeGap(now clock.Time) {
	in.gapAt = 0
	switch {
	case in.next == in.highest && in.parts == nil:
	case in.blocked || now.Sub(in.heard) < keepGap:
		in.gapAt = now.Add(keepGap)
	default:
		for n := in.next; n < in.highest; n++ {
			if b := in.at(n); *b != nil {
				in.pair.x.putKept(*b)
				*b = nil
			}
		}
		in.highest = in.next
		in.dropParts()
	}
}

// watchGap has closeGap called.
func (in *receiving) watchGap(now clock.Time) {
	if in.gapAt == 0 {
		in.gapAt = now.Add(keepGap)
		in.arm()
	}
}

const keepGap = time.Second

// appendAck appends the acknowledgement of this channel.
func (in *receiving) appendAck(now clock.Time, datagram []byte) []byte {
	x := in.pair.x
	a := wire.PairAck{To: in.pair.e.id, Session: in.pair.from, Channel: in.channel, Next: in.next, Taken: in.item,
		Limit: max(in.due+x.room(), in.next), Refused: in.refused}
	if in.arrived != 0 {
		a.Delay = uint32(min(now.Sub(in.arrived), time.Second) / time.Microsecond)
	}
	for i := uint64(0); i < 64 && a.Next+1+i < in.highest; i++ {
		if in.has(a.Next + 1 + i) {
			a.Held |= 1 << i
		}
	}
	in.owed, in.urgent, in.toldDue = false, false, in.due
	if in.ackAt != 0 {
		in.ackAt = 0
		in.arm()
	}
	x.stats.AcksSent++
	datagram = wire.AppendPairAck(datagram, &a)
	if x.is(refusalOnce) {
		in.refused = in.refused[:0]
	}
	return datagram
}

// release ends the channel.
func (in *receiving) release() {
	x := in.pair.x
	in.ended = true
	for _, b := range in.ring {
		if b != nil {
			x.putKept(b)
		}
	}
	in.ring = nil
	in.dropParts()
	in.owed, in.urgent = false, false
	in.ackAt, in.gapAt = 0, 0
	in.arm()
	x.blocked = slices.DeleteFunc(x.blocked, func(o *receiving) bool { return o == in })
}
