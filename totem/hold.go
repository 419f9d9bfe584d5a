package totem

import (
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// holdDowns are members that are ignored for a while, because they make rings break (8.7).
type holdDowns struct {
	list  [32]holdDown
	rings [flapLimit]clock.Time // when the last rings were installed, in turn
	turn  int
}

// holdDown is what is known of one member. The entry stays when the time is over: the next hold-down of the same
// member is longer.
type holdDown struct {
	id    wire.MemberID
	node  uint64
	until clock.Time
	delay time.Duration
	why   holdCause

	with  wire.MemberID // of between: the member of this ring that the other does not agree with
	apart bool          // of answer: since it began, the other has shown that it is in a ring without this member
	heard clock.Time    // when the last Join or MergeDetect came from it; 0: never

	falls [fallLimit]clock.Time // when it fell out of rings, in turn
	fell  int
}

// holdCause is why a member is held down, and with that, what ends it before its time.
type holdCause uint8

const (
	answer  holdCause = iota // it did not answer, or data does not reach it. It ends when the member shows that it receives this one
	between                  // it and a member of this ring do not receive each other. It ends when that member is gone
	unrest                   // rings with it do not last. Only time ends it
	full                     // there is no room for it. A ring that becomes smaller ends it
)

// flapLimit rings in flapWindow token-loss times are too many.
const (
	flapLimit  = 12
	flapWindow = 20
)

// A member that fell out of fallLimit rings within fallWindow is held down.
const (
	fallLimit  = 6
	fallWindow = time.Minute
)

// The first hold-down takes firstHold token-loss times, and each further one holdGrowth times as long as the one
// before. A member that was not held down for twice the longest time begins anew.
const (
	firstHold  = 20
	holdGrowth = 4
)

// longestUnrest bounds hold-downs for rings that do not last in general, and those for want of room.
const longestUnrest = time.Second

// at finds a member, by its name if it has one: it may start again.
func (h *holdDowns) at(p *Protocol, id wire.MemberID) *holdDown {
	node := uint64(0)
	if o := p.peers.find(id); o != nil {
		node = o.node
	}
	for i := range h.list {
		if o := &h.list[i]; o.id != (wire.MemberID{}) && (o.id == id || node != 0 && o.node == node) {
			return o
		}
	}
	return nil
}

// entry finds a member, or gives it the entry whose time was over first.
func (h *holdDowns) entry(p *Protocol, id wire.MemberID) *holdDown {
	e := h.at(p, id)
	if e == nil {
		e = &h.list[0]
		for i := range h.list {
			if o := &h.list[i]; o.until < e.until {
				e = o
			}
		}
		*e = holdDown{id: id}
		if o := p.peers.find(id); o != nil {
			e.node = o.node
		}
	}
	if e.id != id { // a new start: that rings with the one before did not last says nothing of it
		e.id, e.falls = id, [fallLimit]clock.Time{}
		if e.why == unrest {
			e.until = 0
		}
	}
	return e
}

// raise holds a member down, for longer than the last time.
func (h *holdDowns) raise(p *Protocol, now clock.Time, id wire.MemberID, why holdCause) *holdDown {
	e := h.entry(p, id)
	if e.runs(p, now) && e.why != full {
		if why == unrest && e.why != unrest {
			e.until, e.why = now.Add(e.delay), why
			p.event(Event{Kind: HeldDown, Member: id, Hold: e.delay, Sure: true})
		}
		return e
	}
	if e.delay == 0 || now.Sub(e.until) > 2*p.prof.HoldDown {
		e.delay = firstHold * p.prof.TokenLoss / holdGrowth
	}
	e.delay = min(holdGrowth*e.delay, p.prof.HoldDown)
	e.until, e.why, e.apart = now.Add(e.delay), why, false
	p.stats.HeldDown++
	p.event(Event{Kind: HeldDown, Member: id, Hold: e.delay, Sure: why == unrest})
	if p.state == Operational {
		p.armMerge(now)
	}
	return e
}

// refused holds a member down that made this one leave its ring, and then is not in the ring that was formed.
func (h *holdDowns) refused(p *Protocol, now clock.Time, id wire.MemberID) {
	h.raise(p, now, id, answer).apart = true
}

// excluded holds a member down that puts this one out. The choice is its own: it comes back by itself.
func (h *holdDowns) excluded(p *Protocol, now clock.Time, id wire.MemberID) {
	e := h.raise(p, now, id, answer)
	if e.why != answer {
		return // it does so because this one chose another
	}
	e.apart = true
	if o := p.peers.find(id); o != nil && o.members > 0 { // older members do not
		e.until = max(e.until, now.Add(p.prof.HoldDown))
	}
}

// chose holds a member down because another one, with which this one keeps, does not receive it.
func (h *holdDowns) chose(p *Protocol, now clock.Time, id, with wire.MemberID) {
	if !p.memb.has(id) {
		h.raise(p, now, id, between).with = with
	}
}

// flaps holds a member down because too many rings are formed. Nobody knows whose fault it is.
func (h *holdDowns) flaps(p *Protocol, now clock.Time, id wire.MemberID) {
	e := h.entry(p, id)
	e.delay = min(max(e.delay, 5*p.prof.TokenLoss), longestUnrest/2, p.prof.HoldDown/2)
	e.delay *= 2
	e.until, e.why = max(e.until, now.Add(e.delay)), unrest
	p.stats.HeldDown++
	p.event(Event{Kind: HeldDown, Member: id, Hold: e.delay, Sure: true})
}

// falls notes that a member fell out of the ring.
func (h *holdDowns) falls(p *Protocol, now clock.Time, id wire.MemberID) {
	e := h.entry(p, id)
	e.falls[e.fell] = now
	e.fell = (e.fell + 1) % fallLimit
	if oldest := e.falls[e.fell]; oldest != 0 && now.Sub(oldest) < fallWindow {
		h.raise(p, now, id, unrest)
	}
}

// answered ends the hold-down of a member that receives this one after all: a Join of it names this one, or it
// lists this one among those that it receives. Otherwise, two members could hold each other down in turn.
func (h *holdDowns) answered(p *Protocol, now clock.Time, id wire.MemberID, names, lists bool) {
	e := h.at(p, id)
	if e == nil {
		return
	}
	e.heard = now
	switch {
	case e.until <= now || e.why != answer:
	case lists || names && e.apart:
		e.until = now
	case !names:
		e.apart = true
	}
}

// exile holds a member down because there is no room for it. The ring may still count members that
// are dead, so the first time is not much longer than it takes to notice that; each further one is
// four times as long.
func (h *holdDowns) exile(p *Protocol, now clock.Time, id wire.MemberID) {
	e := h.entry(p, id)
	longest := min(p.prof.HoldDown, longestUnrest)
	switch {
	case e.until > now:
		return
	case e.why != full || now.Sub(e.until) > 2*longest:
		e.delay = 5 * p.prof.TokenLoss / 4
	}
	e.delay = min(4*e.delay, 10*longest)
	e.until, e.why = now.Add(e.delay), full
}

// pardon ends all exiles: the ring has become smaller, so there may be room.
func (h *holdDowns) pardon() {
	for i := range h.list {
		if h.list[i].why == full {
			h.list[i] = holdDown{}
		}
	}
}

// runs reports whether a hold-down is in force.
func (e *holdDown) runs(p *Protocol, now clock.Time) bool {
	return e.until > now && (e.why != between || p.memb.has(e.with))
}

// holds reports whether a member is ignored now.
func (h *holdDowns) holds(p *Protocol, now clock.Time, id wire.MemberID) bool {
	e := h.at(p, id)
	return e != nil && e.runs(p, now) && (e.why != unrest || e.id == id)
}

// any reports whether somebody is held down who could show that the cause is gone.
func (h *holdDowns) any(p *Protocol, now clock.Time) bool {
	for i := range h.list {
		if e := &h.list[i]; e.why != full && e.runs(p, now) {
			return true
		}
	}
	return false
}

// hears appends those who are held down because they do not answer, and whom this member receives.
func (h *holdDowns) hears(p *Protocol, now clock.Time, dst wire.Members) wire.Members {
	for i := range h.list {
		e := &h.list[i]
		if e.why == answer && e.runs(p, now) && e.heard != 0 && now.Sub(e.heard) < hearsFor*p.prof.Merge && dst.Len() < wire.MaxHears {
			dst = append(dst, e.id[:]...)
		}
	}
	return dst
}

// hearsFor merge intervals after its last Join or MergeDetect a member is no longer received.
const hearsFor = 5

// installed notes that a ring was formed.
func (h *holdDowns) installed(now clock.Time) {
	h.rings[h.turn] = now
	h.turn = (h.turn + 1) % flapLimit
}

// flapping reports whether rings are formed too often.
func (h *holdDowns) flapping(p *Protocol, now clock.Time) bool {
	oldest := h.rings[h.turn]
	return oldest != 0 && now.Sub(oldest) < flapWindow*p.prof.TokenLoss
}

// armMerge sets when this member next sends a word about its ring to others. The representative always does. Others
// do while they hold somebody down, who could not otherwise find out that this member is received again.
func (p *Protocol) armMerge(now clock.Time) {
	switch {
	case p.cur.me == 0:
		p.arm(mergeDetect, now.Add(p.prof.Merge))
	case p.holds.any(p, now):
		p.arm(mergeDetect, now.Add(2*p.prof.Merge))
	}
}

// standing is how this member stands, without padding.
func (p *Protocol) standing(hears wire.Members) wire.Standing {
	return wire.Standing{Datagram: uint32(p.longest), Members: uint32(p.memb.n),
		Pause: uint32(min(p.gaps.longest(p.last), time.Minute) / time.Microsecond), Hears: hears}
}

// pad is the padding with which a datagram of at most n bytes without it is as long as one of data, but for a few
// bytes.
func pad(n, datagram int) int { return max(datagram-n, 0) }
