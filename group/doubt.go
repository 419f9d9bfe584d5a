package group

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// doubt is what is held against one member.
type doubt struct {
	from     clock.Time // since when it is doubted, by anybody; 0: it is not
	due      clock.Time // when this member says so next; 0: it does not
	mine     clock.Time // when it first did
	said     int        // how often it did
	doubters [3]wire.MemberID
	count    int // of doubters
}

// doubter is what a member's own judgement rests on, and the notices that it owes.
type doubter struct {
	distrust clock.Time // nobody is removed before
	owed     []*tombstone
	compare  comparison

	second          clock.Time // the counts below are of the second from here on
	words, excluded int
}

const (
	doubtsSaid   = 5           // how often one doubt is said
	wordsHandled = 2000        // a second
	exclusions   = 10          // a second
	maxPause     = time.Minute // between two looks at an entry
)

func (e *entry) life() clock.Time { return max(e.heard, e.vouched) }

// noteSilence takes in a silence that ends well.
func (p *Protocol) noteSilence(now clock.Time, e *entry) {
	share := func() uint64 { return min(uint64(now.Sub(e.life())*1000/(e.timeout*9/10)), 1000) }
	if share() <= p.stats.ClosestCall {
		return
	}
	p.listen(now, e) // perhaps only group datagrams did not come
	p.stats.ClosestCall = max(p.stats.ClosestCall, share())
	if p.stats.ClosestCall >= closeCall {
		p.warn(CloseCall)
	}
}

// heard notes a sign of life.
func (p *Protocol) heard(now clock.Time, e *entry) {
	if e.doubt.from != 0 {
		p.stats.Refuted++
	}
	if e.heard != 0 {
		p.noteSilence(now, e)
	}
	e.heard, e.doubt, e.holdFor, e.hold = now, doubt{}, 0, 0
	if p.cfg.defect == dropVouch {
		e.vouchAt = 0
	}
}

// listen looks whether another protocol received anything of a member.
func (p *Protocol) listen(now clock.Time, e *entry) {
	if p.cfg.Heard == nil {
		return
	}
	if at := min(p.cfg.Heard(e.id), now); at > e.heard {
		if e.doubt.from != 0 {
			p.stats.Refuted++
		}
		e.heard, e.doubt, e.holdFor, e.hold = at, doubt{}, 0, 0
	}
}

// wake has tickEntry look at an entry at the latest at at.
func (p *Protocol) wake(e *entry, at clock.Time) {
	if !e.removed && (e.timer.at == 0 || at < e.timer.at) {
		p.table.due.set(&e.timer, e, at)
	}
}

// tickEntries looks after each member that is here and whose time has come.
func (p *Protocol) tickEntries(now clock.Time) {
	due := &p.table.due
	for first := due.first(); first != 0 && first <= now; first = due.first() {
		e := (*due)[0].owner
		if next := p.tickEntry(now, e); !e.removed {
			due.set(&e.timer, e, max(next, now+1))
		}
	}
}

// leaveAfter is how long a member that leaves stays in the table. The Word came over the group's socket: what the
// member had sent before, to this one alone, may lie in the other socket still, with acknowledgements in it.
const leaveAfter = time.Millisecond

// leavesSoon removes a member that leaves by its own word. It reports whether it does: of a member of the ring, a view
// is to say so.
func (p *Protocol) leavesSoon(now clock.Time, e *entry) bool {
	switch {
	case p.leaving: // nobody looks at the table any more
		if p.seen(e) {
			e.hidden, e.told = true, false // no view says so, and so nobody is given its end
		}
		p.remove(now, e, left)
	case p.seen(e):
		e.leaving = true
		return false
	case e.leavesAt == 0:
		e.leavesAt = now.Add(leaveAfter)
		p.wake(e, e.leavesAt)
	}
	return true
}

// tickEntry returns when it is to look at the entry again.
func (p *Protocol) tickEntry(now clock.Time, e *entry) (next clock.Time) {
	if e.leavesAt != 0 && p.seen(e) {
		e.leavesAt, e.leaving = 0, true // a view has it since
	}
	if e.leavesAt != 0 {
		if now >= e.leavesAt {
			p.remove(now, e, left)
			return 0
		}
		return e.leavesAt
	}
	next = now.Add(maxPause)
	if e.probeAt != 0 {
		if now >= e.probeAt {
			if e.mayProbe() {
				p.question(now, e)
			}
			again := p.h()
			if e.tries++; e.tries > 5 {
				again = p.t()
			}
			e.probeAt = now.Add(again)
		}
		next = e.probeAt
	}
	if e.vouchAt != 0 {
		if now >= e.vouchAt {
			e.vouchAt, e.vouchedLast = 0, now
			p.stats.VouchesSent++
			p.say(wire.About{ID: e.id, Incarnation: e.incarnation, Kind: wire.AboutVouch, Age: micros(now.Sub(e.heard))})
		} else {
			next = min(next, e.vouchAt)
		}
	}
	if now.Sub(e.life()) >= e.suspect {
		p.listen(now, e)
	}
	silence := now.Sub(e.life())
	if silence < e.suspect {
		return min(next, e.life().Add(e.suspect))
	}
	next = min(next, now.Add(p.h())) // what is known of the others may change the verdict
	if p.cfg.defect == silenceAlone && silence >= e.timeout*9/10 {
		p.convict(now, e)
		return 0
	}
	d := &e.doubt
	switch {
	case now < e.hold && (d.from == 0 || p.cfg.defect == borrowedDoubt):
		next = min(next, e.hold)
	case d.due == 0 && d.said == 0:
		d.due = now.Add(p.within(e.timeout / 10))
	case d.due != 0 && now >= d.due:
		if d.from == 0 {
			d.from = now
			p.stats.Suspected++
		}
		if d.mine == 0 {
			d.mine = now
		}
		d.due = 0
		if d.said++; d.said < doubtsSaid && p.cfg.defect != doubtOnce {
			d.due = now.Add(e.timeout / 10)
		}
		if d.count < len(d.doubters) || e.holdFor > 0 {
			p.say(wire.About{ID: e.id, Incarnation: e.incarnation, Kind: wire.AboutDoubt})
			if e.mayProbe() {
				p.question(now, e)
			}
		}
	}
	if d.due != 0 {
		next = min(next, d.due)
	}
	if d.from == 0 {
		return next
	}
	at := p.verdictAt(now, e)
	switch {
	case now < at:
		return min(next, at)
	case p.seen(e) && p.cfg.defect != ringVerdict:
		return next // the ring's view is to say so
	}
	p.convict(now, e)
	return 0
}

// verdictAt is when a member that is doubted is removed if nothing of it is received until then.
func (p *Protocol) verdictAt(now clock.Time, e *entry) clock.Time {
	stood := e.doubt.from.Add(e.timeout / 4)
	switch {
	case e.holdFor == 0 || p.cfg.defect == doubtOnce:
	case p.cfg.defect == borrowedDoubt:
		stood = e.doubt.from.Add(e.timeout * 45 / 100)
	default:
		// Of one that only others receive of, silence means nothing: this member's own doubts have to be out for
		// long. The vouches that answer the doubts of others may not reach it.
		if stood = e.doubt.mine; stood == 0 {
			stood = now
		}
		stood = stood.Add(e.timeout * 45 / 100)
	}
	at := max(e.life().Add(e.timeout*9/10), p.doubt.distrust, stood)
	if now >= at && len(p.table.order) > 1 {
		for _, o := range p.table.order {
			if o != e && now.Sub(o.heard) < o.suspect {
				return at
			}
		}
		// Nothing comes of anybody: this member's own link may be the reason.
		return max(at, e.life().Add(e.timeout*14/10))
	}
	return at
}

// convict removes a member as failed, and says so.
func (p *Protocol) convict(now clock.Time, e *entry) {
	p.say(wire.About{ID: e.id, Incarnation: e.incarnation, Kind: wire.AboutVerdict})
	p.remove(now, e, failed)
}

// mayHandle counts the Words of this second.
func (p *Protocol) mayHandle(now clock.Time) bool {
	d := &p.doubt
	if now.Sub(d.second) >= time.Second || d.second == 0 {
		d.second, d.words, d.excluded = now, 0, 0
	}
	d.words++
	return d.words <= wordsHandled
}

// stepWord takes in a Word of a member that has an entry.
func (p *Protocol) stepWord(now clock.Time, from *entry, w *wire.Word, r buf.Received) error {
	if !p.mayHandle(now) {
		return p.drop(DropRate)
	}
	list := w.About()
	for a, ok := list.Next(); ok; a, ok = list.Next() {
		if a.Kind == wire.AboutLeave {
			if a.ID != from.id {
				return p.drop(DropForeign)
			}
			if !p.leavesSoon(now, from) {
				continue
			}
			return nil
		}
		if a.ID == from.id {
			continue
		}
		if a.ID == p.cfg.Self {
			switch a.Kind {
			case wire.AboutDoubt:
				p.beatNow(now)
			case wire.AboutVerdict:
				p.pairs.removedThere(from, a.Incarnation)
				p.excludedBy(now, a.Incarnation)
			}
			continue
		}
		e := p.find(a.ID)
		if e == nil {
			if t := p.table.tombs[a.ID]; t != nil && a.Kind == wire.AboutVerdict && a.Incarnation >= t.incarnation {
				t.due = 0 // the notice that was owed
			}
			continue
		}
		p.listen(now, e)
		switch a.Kind {
		case wire.AboutDoubt:
			p.doubted(now, e, from)
		case wire.AboutVouch:
			p.vouched(now, e, time.Duration(a.Age)*time.Microsecond)
		case wire.AboutVerdict, wire.AboutLeft:
			if a.Incarnation < e.incarnation || p.seen(e) && p.cfg.defect != ringVerdict {
				continue
			}
			limit := e.timeout * 3 / 4
			if p.cfg.defect == believeSoon {
				limit = e.suspect * 3 / 4
			}
			switch {
			case now < p.doubt.distrust:
			case now.Sub(e.heard) < limit && p.cfg.defect != believeVerdicts:
			case a.Kind == wire.AboutLeft:
				p.remove(now, e, left)
				if t := p.table.tombs[a.ID]; t != nil {
					t.left = false // by hearsay: it may come back
				}
			default:
				p.remove(now, e, failed)
			}
		}
	}
	return nil
}

// doubted takes in that another member doubts one.
func (p *Protocol) doubted(now clock.Time, e *entry, from *entry) {
	recent := e.suspect * 3 / 4
	switch {
	case now.Sub(e.heard) < recent:
		// Its own answer reaches all but the member that doubts it.
		p.beginVouch(now, e)
	case now.Sub(e.life()) >= recent:
		d := &e.doubt
		if d.from == 0 {
			d.from = now
			p.stats.Suspected++
		}
		for _, id := range d.doubters[:d.count] {
			if id == from.id {
				return
			}
		}
		if d.count < len(d.doubters) {
			d.doubters[d.count] = from.id
			d.count++
		}
		p.wake(e, now)
	}
}

func (p *Protocol) beginVouch(now clock.Time, e *entry) {
	if e.vouchAt != 0 || e.vouchedLast != 0 && now.Sub(e.vouchedLast) < e.timeout/16 {
		return
	}
	e.vouchAt = now.Add(p.within(e.timeout / 16))
	// A doubt after a vouch: that one has not reached the member that doubts. Some more vouch then, and many the
	// next time.
	if e.vouchHeard != 0 && now.Sub(e.vouchHeard) < e.timeout/5 {
		e.vouchRound = min(e.vouchRound+1, 3)
	} else {
		e.vouchRound = 0
	}
	e.vouchNeed = 1 << (2 * e.vouchRound)
	p.wake(e, e.vouchAt)
}

// vouched takes in that another member received something of one.
func (p *Protocol) vouched(now clock.Time, e *entry, age time.Duration) {
	p.stats.VouchesHeard++
	if p.cfg.defect == noVouches {
		return
	}
	e.vouchHeard = now
	if e.vouchNeed--; e.vouchNeed <= 0 || p.cfg.defect == softVouch {
		e.vouchAt = 0
	}
	e.vouched = max(e.vouched, now.Add(-min(age, e.timeout)))
	e.doubt = doubt{}
	if now.Sub(e.heard) >= e.suspect*3/4 {
		p.stats.Vouched++
		e.holdFor = min(max(2*e.holdFor, e.timeout/4), time.Second)
		e.hold = now.Add(e.holdFor)
	}
}

// doubtLeave looks at what comes of a member that has left: if it goes on, the Leave was not its own. It does not matter
// from where, nor with which incarnation: what this member held of that one may have been made up as well. A beat that
// was long on its way, or made up too, costs a notice that nobody answers.
func (p *Protocol) doubtLeave(now clock.Time, t *tombstone, d *wire.Datagram, r buf.Received) {
	if now.Sub(t.at) < p.h()/2 {
		return
	}
	for i := range d.Frames() {
		if d.Frames()[i].Kind == wire.FrameBeat {
			t.left, t.from = false, r.From
			p.owe(now, t)
			return
		}
	}
}

// stepProbe takes in a question or an answer of a member that has an entry.
func (p *Protocol) stepProbe(now clock.Time, d *wire.Datagram, q *wire.Probe, r buf.Received, e *entry) error {
	if q.Kind == wire.ProbeNotTo {
		return p.stepNotTo(now, q)
	}
	if q.To != p.cfg.Self {
		if asks(q.Kind) {
			p.probe(r.From, wire.Probe{To: q.To, Kind: wire.ProbeNotTo, Incarnation: p.incarnation, Nonce: q.Nonce})
		}
		return p.drop(DropForeign)
	}
	switch q.Kind {
	case wire.ProbeThere:
		p.probe(r.From, wire.Probe{To: e.id, Kind: wire.ProbeHere, Incarnation: p.incarnation, Nonce: q.Nonce})
	case wire.ProbeHere:
		if e.nonce == 0 || q.Nonce != e.nonce {
			return p.drop(DropUnasked)
		}
		p.confirm(now, e)
	case wire.ProbeAmIIn:
		p.probe(r.From, wire.Probe{To: e.id, Kind: wire.ProbeIn, Incarnation: e.incarnation, Nonce: q.Nonce})
	case wire.ProbeIn:
		p.gateAnswer(now, q)
	case wire.ProbeRemoved:
		p.pairs.removedThere(e, q.Incarnation)
		p.excludedBy(now, q.Incarnation)
	case wire.ProbeRecord:
		p.answerHello(now, e, r.From, q.Nonce)
	}
	return nil
}

// stepNotTo takes in that another member has the endpoint of one that was asked.
func (p *Protocol) stepNotTo(now clock.Time, q *wire.Probe) error {
	e := p.find(q.To)
	if e == nil || e.nonce == 0 || q.Nonce != e.nonce {
		return p.drop(DropUnasked)
	}
	if !p.seen(e) {
		p.convict(now, e)
	}
	return nil
}

// asks reports whether a Probe of this kind is a question.
func asks(k wire.ProbeKind) bool {
	return k == wire.ProbeThere || k == wire.ProbeAmIIn || k == wire.ProbeRecord
}

// aboutMeOnly reads in a datagram that is refused what it says of this member: its transmitter may be refused
// for the same reason as this member is there.
func (p *Protocol) aboutMeOnly(now clock.Time, d *wire.Datagram) {
	frames := d.Frames()
	for i := range frames {
		p.aboutMe(now, &frames[i])
	}
}

// aboutMe reads in a datagram of an id that has no entry what it says of this member: that it was removed.
func (p *Protocol) aboutMe(now clock.Time, f *wire.Frame) (known bool) {
	switch f.Kind {
	case wire.FrameWord:
		if !p.mayHandle(now) {
			p.stats.Drops[DropRate]++
			return false
		}
		w := f.Word()
		list := w.About()
		for a, ok := list.Next(); ok; a, ok = list.Next() {
			if a.ID == p.cfg.Self && a.Kind == wire.AboutVerdict {
				p.excludedBy(now, a.Incarnation)
			} else if t := p.table.tombs[a.ID]; t != nil && a.Kind == wire.AboutVerdict && a.Incarnation >= t.incarnation {
				t.due = 0
			}
		}
	case wire.FrameProbe:
		q := f.Probe()
		if q.To == p.cfg.Self && q.Kind == wire.ProbeRemoved {
			p.excludedBy(now, q.Incarnation)
		} else if q.Kind == wire.ProbeNotTo {
			known = p.stepNotTo(now, &q) == nil
		}
	}
	return known
}
