package group

import (
	"math/bits"
	"slices"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// slot is one datagram that is not acknowledged.
type slot struct {
	buf    *buf.Buf
	length int // of the part that is sent again: without acknowledgements
	sentAt clock.Time
	tries  int
	again  bool // it is to be sent again
	held   bool // the other side holds it
}

// sending is one channel of a pair, outwards. oldest <= sent <= next. Datagrams below oldest are
// acknowledged, those below sent have left, next is the number of the one that is open or comes next.
type sending struct {
	pair    *pair
	channel wire.Channel

	next, oldest, sent uint64
	slots              []slot // by number; a power of two, or none
	limit              uint64 // the other side has room below it
	item               uint64 // number of the next item
	seen               uint64 // the outcome of items below it is known

	filling *filling // the open datagram; nil: none

	waiting callList    // that are not packed, or not wholly, in order
	unknown callList    // that are packed and have no outcome, in order
	old     *oldBuffers // of a dead session: their items go again, before everything else

	hasSend  bool  // the open datagram, or one before it in this turn, has an item that a Send waits for
	listed   bool  // in pairs.ready
	starving bool  // in pairs.starved
	asking   bool  // a question is to be sent
	repeats  int32 // slots with again

	timer    timer
	rto      time.Duration
	rtoAt    clock.Time // 0: nothing is unacknowledged
	repairAt clock.Time // what is missing below repairTo is sent again; 0: nothing is known to be missing
	repairTo uint64
	pause    time.Duration // until the next question
	askAt    clock.Time    // 0: there is nothing to ask
	beatAt   clock.Time    // items of queues are outstanding: the session is tried; 0: none are
}

// oldBuffers is datagrams of a dead session.
type oldBuffers struct{ list []*buf.Buf }

// filling is a datagram that items are packed into.
type filling struct {
	buf       *buf.Buf
	w         wire.PairWriter
	firstItem uint64
}

func (x *pairs) newFilling() *filling {
	if last := len(x.fillings) - 1; last >= 0 {
		f := x.fillings[last]
		x.fillings = x.fillings[:last]
		return f
	}
	return new(filling)
}

func (x *pairs) freeFilling(f *filling) {
	if *f = (filling{}); len(x.fillings) < maxFree {
		x.fillings = append(x.fillings, f)
	}
}

func newSending(pr *pair, c wire.Channel) *sending {
	s := &sending{pair: pr, channel: c}
	s.reset()
	return s
}

// reset begins a session.
func (s *sending) reset() {
	s.next, s.oldest, s.sent, s.item, s.seen = 1, 1, 1, 1, 1
	s.limit = 1 + firstWindow
	s.rto, s.rtoAt, s.repairAt, s.askAt, s.pause, s.beatAt = 0, 0, 0, 0, 0, 0
	s.asking, s.hasSend, s.repeats = false, false, 0
	s.pair.x.timers.set(&s.timer, s, 0)
}

func (s *sending) at(number uint64) *slot { return &s.slots[number&uint64(len(s.slots)-1)] }

// bound is the number below which the window lets datagrams be made.
func (s *sending) bound() uint64 { return min(s.limit, s.oldest+s.pair.x.window()) }

// waits reports whether something is to be packed.
func (s *sending) waits() bool { return s.waiting.first != nil || s.old != nil }

// unsent reports whether there is something for take.
func (s *sending) unsent() bool { return s.repeats > 0 || s.sent < s.next }

// canPack reports whether an item may be packed now, ahead of nothing that waits.
func (s *sending) canPack(now clock.Time) bool { return !s.waits() && s.open(now) }

// open opens a datagram unless one is open. It is false when the window or memory does not let it.
func (s *sending) open(clock.Time) bool {
	if s.filling != nil {
		return true
	}
	x := s.pair.x
	if s.next >= s.bound() {
		return false
	}
	b := x.get(s.channel, s.next-s.oldest)
	if b == nil {
		if !s.starving {
			s.starving = true
			x.starved = append(x.starved, s)
		}
		return false
	}
	s.pair.begin()
	s.filling = x.newFilling()
	s.filling.buf, s.filling.firstItem = b, s.item
	s.filling.w.Begin(b.Mem(), x.p.cfg.Datagram)
	x.opened = append(x.opened, s)
	return true
}

// add packs one item that fits an empty datagram. It is false when the window or memory does not let it.
func (s *sending) add(now clock.Time, i *wire.Item) bool {
	if !s.open(now) {
		return false
	}
	if !s.filling.w.Add(i) {
		if s.filling.w.Count() == 0 {
			return false
		}
		s.close(now, false)
		if !s.open(now) || !s.filling.w.Add(i) {
			return false
		}
	}
	s.item++
	s.hasSend = s.hasSend || i.Kind == wire.ItemSend
	return true
}

// close closes the open datagram. last: nothing follows for now.
func (s *sending) close(now clock.Time, last bool) {
	f, x := s.filling, s.pair.x
	if f == nil {
		return
	}
	b := f.buf
	s.filling = nil
	defer x.freeFilling(f)
	if !last { // flush clears the whole list
		if i := slices.Index(x.opened, s); i >= 0 {
			x.opened = slices.Delete(x.opened, i, i+1)
		}
	}
	if f.w.Count() == 0 {
		x.put(b)
		return
	}
	off, n := f.w.Close(x.head(), &wire.Pair{To: s.pair.e.id, Session: s.pair.session, ToIncarnation: s.pair.toIncarnation, Channel: s.channel,
		AckAtOnce: last && s.hasSend, Number: s.next, Oldest: s.oldest, Known: s.seen, FirstItem: f.firstItem})
	s.hasSend = s.hasSend && !last
	length := n
	if last && !x.p.gated() {
		room := min(off+x.p.cfg.Datagram, len(b.Mem()))
		n = len(s.pair.appendAcks(now, b.Mem()[:off+n:room], room, false)) - off
	}
	b.Set(off, n)
	wire.Seal(b.Bytes())
	if s.next-s.oldest >= uint64(len(s.slots)) {
		s.grow()
	}
	*s.at(s.next) = slot{buf: b, length: length}
	s.next++
	s.list()
}

func (s *sending) grow() {
	x := s.pair.x
	slots := x.newSlots(max(leastSlots, 2*len(s.slots)))
	for n := s.oldest; n < s.next; n++ {
		slots[n&uint64(len(slots)-1)] = *s.at(n)
		*s.at(n) = slot{}
	}
	x.freeSlots(s.slots)
	s.slots = slots
}

// An idle channel has no slots: those that are free are kept by their number, of powers of two from leastSlots
// to maxWindow.
const (
	leastSlots = 8
	maxFree    = 32 // of each number
)

func (x *pairs) newSlots(n int) []slot {
	free := &x.slots[bits.Len(uint(n/leastSlots))-1]
	if last := len(*free) - 1; last >= 0 {
		slots := (*free)[last]
		*free = (*free)[:last]
		return slots
	}
	return make([]slot, n)
}

// freeSlots takes back slots, which are empty.
func (x *pairs) freeSlots(slots []slot) {
	if len(slots) == 0 {
		return
	}
	if free := &x.slots[bits.Len(uint(len(slots)/leastSlots))-1]; len(*free) < maxFree {
		*free = append(*free, slots)
	}
}

// list has poll send what is unsent.
func (s *sending) list() {
	if !s.listed {
		s.listed = true
		s.pair.x.ready = append(s.pair.x.ready, s)
	}
}

// take returns the next datagram to send, with a reference of the caller's; nil: there is none.
func (s *sending) take(now clock.Time) *buf.Buf {
	var sl *slot
	if s.repeats > 0 {
		for n := s.oldest; n < s.sent; n++ {
			if sl = s.at(n); sl.again {
				break
			}
		}
		s.repeats--
		sl.again = false
		s.pair.x.stats.PairRepeats++
		s.refresh(sl)
	} else if s.sent < s.next {
		sl = s.at(s.sent)
		s.sent++
		if s.rtoAt == 0 {
			s.restart(now)
		}
	} else {
		return nil
	}
	sl.sentAt = now
	sl.tries++
	sl.buf.Retain()
	return sl.buf
}

// refresh puts a datagram up to date before it goes again, unless a driver still reads it.
func (s *sending) refresh(sl *slot) {
	b := sl.buf
	if b.Refs() > 1 {
		return
	}
	b.Set(b.Offset(), sl.length)
	wire.SetIncarnation(b.Bytes(), s.pair.x.p.incarnation)
	wire.SetPairAcknowledged(b.Bytes(), s.oldest, s.seen, true)
	wire.Seal(b.Bytes())
}

// restart begins the time-out anew.
func (s *sending) restart(now clock.Time) {
	s.rto = s.pair.rtt.Timeout(core.RTTInitial)
	s.rtoAt = now.Add(s.rto)
	s.arm()
}

// arm sets the timer to the earliest deadline.
func (s *sending) arm() {
	at := clock.Time(0)
	for _, t := range [...]clock.Time{s.rtoAt, s.repairAt, s.askAt, s.beatAt} {
		if t != 0 && (at == 0 || t < at) {
			at = t
		}
	}
	s.pair.x.timers.set(&s.timer, s, at)
}

// fire does what is due.
func (s *sending) fire(now clock.Time) {
	if s.repairAt != 0 && s.repairAt <= now {
		s.repairAt = 0
		for n := s.oldest; n < min(s.repairTo, s.sent); n++ {
			if sl := s.at(n); !sl.held && now.Sub(sl.sentAt) >= s.pair.rtt.Value(core.RTTInitial) {
				s.again(sl)
			}
		}
	}
	if s.rtoAt != 0 && s.rtoAt <= now {
		s.rto = min(2*s.rto, maxTimeout)
		s.rtoAt = now.Add(s.rto)
		s.again(s.at(s.oldest))
	}
	if s.askAt != 0 && s.askAt <= now {
		s.asking = true
		s.pair.tell()
		s.pause = min(2*s.pause, maxAsk)
		s.askAt = now.Add(s.pause)
	}
	if s.beatAt != 0 && s.beatAt <= now {
		s.beat(now)
	}
	s.arm()
}

// again has a datagram sent again. One that a driver still has is left alone: it has perhaps not left yet, and could
// not be refreshed. The next time-out or acknowledgement comes back to it.
func (s *sending) again(sl *slot) {
	if !sl.again && sl.buf.Refs() == 1 {
		sl.again = true
		s.repeats++
		s.list()
	}
}

// acknowledged takes in an acknowledgement.
func (s *sending) acknowledged(now clock.Time, a *wire.PairAck) error {
	switch {
	case a.Next > s.sent || a.Taken > s.item:
		return errRange
	case a.Next < s.oldest:
		return nil // an older one
	}
	s.limit = a.Limit
	if a.Next > s.oldest {
		for n := s.oldest; n < a.Next; n++ {
			sl := s.at(n)
			if n == a.Next-1 && sl.tries == 1 && !sl.held { // Karn; and it did not wait behind a gap
				s.pair.rtt.Sample(now.Sub(sl.sentAt) - time.Duration(a.Delay)*time.Microsecond)
			}
			if sl.again {
				s.repeats--
			}
			s.pair.x.put(sl.buf)
			*sl = slot{}
		}
		if s.oldest = a.Next; s.oldest == s.next {
			s.pair.x.freeSlots(s.slots)
			s.slots = nil
		}
		s.rtoAt = 0
		if s.oldest < s.sent {
			s.restart(now)
		}
	}
	s.gaps(now, a)
	if a.Taken > s.seen {
		s.outcome(now, a)
		s.pause = 0
	}
	s.pump(now)
	s.question(now)
	return nil
}

// gaps notes what the other side lacks below what it holds.
func (s *sending) gaps(now clock.Time, a *wire.PairAck) {
	if a.Held == 0 {
		return
	}
	for i := uint64(0); i < 64; i++ {
		if n := a.Next + 1 + i; a.Held&(1<<i) != 0 && n < s.sent && n >= s.oldest {
			s.at(n).held = true
			s.repairTo = max(s.repairTo, n)
		}
	}
	if s.repairAt == 0 {
		s.repairAt = now.Add(max(s.pair.rtt.Value(core.RTTInitial)/4, core.RTTMin))
		s.arm()
	}
}

// outcome ends calls whose item was taken or refused.
func (s *sending) outcome(now clock.Time, a *wire.PairAck) {
	x := s.pair.x
	s.seen = max(s.seen, a.Taken)
	refused, r := a.Refused, 0
	for c := s.unknown.first; c != nil && c.item < a.Taken; c = s.unknown.first {
		for r < refused.Len() && refused.At(r).Item < c.item {
			r++
		}
		switch {
		case r < refused.Len() && refused.At(r).Item == c.item && c.queued != nil:
			x.refusedItem(now, c)
		case r < refused.Len() && refused.At(r).Item == c.item:
			x.calls.end(x, c, End{Why: Refused, Reason: refused.At(r).Reason})
		case c.kind == wire.ItemSend:
			x.calls.end(x, c, End{Why: Answered})
		default: // it waits for a reply
			if c.queued != nil {
				x.tookItem(now, c.queued)
			}
			c.unlink()
			c.link(&s.pair.asked)
		}
	}
}

// question decides whether the other side has to be asked, and when.
func (s *sending) question(now clock.Time) {
	taken := s.seen == s.item
	limited := s.waiting.first != nil && s.filling == nil && s.next >= s.limit
	if s.oldest < s.next || taken && !limited || s.pair.x.is(noQuestion) {
		s.askAt, s.pause = 0, 0
	} else if s.askAt == 0 || s.pause == 0 {
		if s.pause = firstAsk; taken {
			s.pause = s.pair.rtt.Timeout(core.RTTInitial)
		}
		s.askAt = now.Add(s.pause)
	}
	s.arm()
}

// pump packs what waits, as far as the window goes.
func (s *sending) pump(now clock.Time) {
	if s.old != nil && !s.pumpOld(now) {
		return
	}
	for c := s.waiting.first; c != nil; c = s.waiting.first {
		if !s.pack(now, c) {
			s.question(now)
			return
		}
	}
}

// pumpOld packs the items of a dead session again. It is false when not all could be.
func (s *sending) pumpOld(now clock.Time) bool {
	x := s.pair.x
	for len(s.old.list) > 0 {
		// A whole datagram is packed at once, so that nothing of it has to be remembered.
		if s.next+1 >= s.bound() || x.buffers() < 2 {
			if !s.starving {
				s.starving = true
				x.starved = append(x.starved, s)
			}
			return false
		}
		b := s.old.list[0]
		s.old.list = slices.Delete(s.old.list, 0, 1)
		x.eachItem(b, s.channel, func(i *wire.Item) {
			if i.Kind != wire.ItemNothing {
				s.add(now, i)
			}
		})
		x.put(b)
	}
	s.old = nil
	return true
}

// eachItem walks over the items of a datagram that this member has made.
func (x *pairs) eachItem(b *buf.Buf, c wire.Channel, f func(i *wire.Item)) {
	if x.again == nil {
		x.again = new(wire.Datagram)
	}
	if wire.Decode(b.Bytes(), x.again) != nil {
		return
	}
	frames := x.again.Frames()
	for i := range frames {
		if frames[i].Kind == wire.FramePair {
			p := frames[i].Pair()
			if p.Channel != c {
				continue
			}
			for it := p.Items(); it.Step(); {
				f(&it.Item)
			}
		}
	}
}

// end ends a session that is dead at the other side. again: what was not acknowledged is kept for the
// next session.
func (s *sending) end(now clock.Time, again bool) {
	if again {
		s.close(now, false)
		for n := s.oldest; n < s.next; n++ {
			if s.old == nil {
				s.old = new(oldBuffers)
			}
			s.old.list = append(s.old.list, s.at(n).buf)
			*s.at(n) = slot{}
		}
		s.oldest, s.sent = s.next, s.next
	}
	x := s.pair.x
	resend := x.is(sendRepeated) && s.channel == wire.ChannelInboxes
	if c := s.waiting.first; c != nil && c.packed > 0 && !resend {
		if s.channel == wire.ChannelAnswers {
			c.packed = 0 // all of it goes again
		} else {
			x.fail(now, c, End{Why: Gone, Unknown: true})
		}
	}
	for c := s.unknown.last; c != nil; c = s.unknown.last {
		if resend {
			c.packed, c.whole = 0, false
			c.unlink()
			c.linkFirst(&s.waiting)
			continue
		}
		x.fail(now, c, End{Why: Gone, Unknown: true})
	}
	s.forget()
	s.reset()
}

// forget gives back what is not acknowledged.
func (s *sending) forget() {
	x := s.pair.x
	if s.filling != nil {
		x.put(s.filling.buf)
		x.freeFilling(s.filling)
		s.filling = nil
		if i := slices.Index(x.opened, s); i >= 0 {
			x.opened = slices.Delete(x.opened, i, i+1)
		}
	}
	for n := s.oldest; n < s.next; n++ {
		x.put(s.at(n).buf)
		*s.at(n) = slot{}
	}
	s.oldest, s.sent, s.repeats = s.next, s.next, 0
}

// release ends the channel with all its calls.
func (s *sending) release(now clock.Time, why Why) {
	x := s.pair.x
	for c := s.unknown.first; c != nil; c = s.unknown.first {
		x.fail(now, c, End{Why: why, Unknown: true})
	}
	for c := s.waiting.first; c != nil; c = s.waiting.first {
		x.fail(now, c, End{Why: why, Unknown: c.packed > 0})
	}
	s.forget()
	if s.old != nil {
		for _, b := range s.old.list {
			x.put(b)
		}
		s.old = nil
	}
	x.timers.set(&s.timer, s, 0)
	same := func(o *sending) bool { return o == s }
	x.ready = slices.DeleteFunc(x.ready, same)
	x.starved = slices.DeleteFunc(x.starved, same)
}
