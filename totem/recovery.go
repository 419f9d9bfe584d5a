package totem

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// recovery is the exchange of the old rings' messages before a new ring is installed (section 9).
type recovery struct {
	commit  commit
	entries wire.CommitEntries // memory to write them in

	// These survive an attempt that fails: if this member has once said that it has received
	// all, then another may have installed the ring and delivered a safe message, relying on it.
	received   bool
	deliverSet idSet

	transSet idSet  // members that come from this member's old ring
	high     uint64 // H: the highest number that any of them has delivered or seen to be stable
	old      uint8  // the old ring's place in commit.rings
	obliged  bool   // all of transSet had received all before

	left    int    // datagrams that are still to be sent again
	next    uint64 // where to look for them
	flagged bool   // this member has set the token's flag
	clear   int    // visits in a row without the flag
	install uint64 // the end of the recovery's messages
	round   int    // visits in a row at which everybody had them
}

// enterRecovery begins the exchange with a commit token that everybody has filled in (9.1).
func (p *Protocol) enterRecovery(now clock.Time) {
	c, rec, old := &p.rec.commit, &p.rec, p.old
	members := c.members()
	p.tok.begin()
	p.cur.begin(c.ring, &members, p.cfg.Self)
	rec.old = c.entries[p.cur.me].Old
	rec.transSet, rec.high, rec.obliged = idSet{}, 0, true
	low := old.high
	for i := range c.n {
		e := &c.entries[i]
		if e.Old != rec.old {
			continue
		}
		rec.transSet.add(e.ID)
		rec.high = max(rec.high, e.Bound)
		low = min(low, e.Aru)
		rec.obliged = rec.obliged && e.Received
	}
	if p.cfg.defect == ownBound {
		rec.high = old.bound()
	}
	rec.left, rec.next = 0, low+1
	if rec.obliged && p.cfg.defect != forgetReceived {
		// 9.5: deliverSet stays what it was in the earlier attempt.
	} else {
		rec.received, rec.deliverSet = false, rec.transSet
		for seq := max(low, old.discarded) + 1; seq <= old.high; seq++ {
			if s := old.at(seq); s != nil && s.recovered {
				p.stats.Impossible++ // every member that installed the old ring has these
			} else if s != nil {
				s.queued = true
				rec.left++
			}
		}
	}
	rec.flagged, rec.clear, rec.install, rec.round = false, 0, 0, 0
	p.enter(Recovery, CommitHeard)
	p.arm(tokenLoss, now.Add(p.tokenLossTime()))
}

// recover builds the next datagram of the old ring that is to be sent again, as number seq of
// the new one. It is nil when none is left, or no buffer.
func (p *Protocol) recover(g *wire.Ring, seq uint64) *buf.Buf {
	rec, old := &p.rec, p.old
	for ; rec.next <= old.high; rec.next++ {
		s := old.at(rec.next)
		if s == nil || !s.queued {
			continue
		}
		stored := s.buf.Bytes()
		span := wire.DataSpan(stored)
		if span+wire.RingMax > p.cfg.Datagram {
			// Its origin left no room for recovery, against the protocol. Another member may send it.
			p.stats.Drops[DropLong]++
			s.queued = false
			rec.left--
			continue
		}
		b, mem := p.frame()
		if b == nil {
			return nil
		}
		g.Safe, g.Origin, g.Recovered, g.Old, g.Number = s.safe, s.origin, true, rec.old, seq
		finish(b, wire.AppendRing(append(mem, stored[wire.HeaderLen:span]...), *g))
		s.queued = false
		rec.left--
		p.stats.RecoverySent++
		return b
	}
	return nil
}

// recovered takes over what another member has sent again of the old ring, at once, so that it
// survives when this attempt fails too (9.2). stored is where the datagram lies in the new ring.
func (p *Protocol) recovered(m *wire.Data, g *wire.Ring, stored *slot) {
	rec, old := &p.rec, p.old
	if g.Old != rec.old || stored == nil || int(g.Origin) >= old.members.n {
		return
	}
	if s := old.at(m.Number); s != nil {
		if s.queued {
			s.queued = false // it need not be sent again
			rec.left--
		}
		return
	}
	if p.cfg.defect == forgetRecovered || !old.accepts(m.Number) {
		return
	}
	stored.buf.Retain()
	old.put(slot{buf: stored.buf, seq: m.Number, origin: g.Origin, safe: g.Safe, received: p.last})
}

// recoveryRules are the token's rules in recovery (9.3). It reports whether the ring is to be
// installed after the token has been forwarded: two visits without the flag mean that no member has
// anything left to send, and two more that all members have all of it.
func (p *Protocol) recoveryRules(t *token) bool {
	rec := &p.rec
	if rec.left > 0 {
		if !t.flag {
			t.flag, rec.flagged = true, true
		}
	} else if t.flag && rec.flagged {
		t.flag, rec.flagged = false, false
	}
	if t.flag {
		rec.clear = 0
	} else {
		rec.clear++
	}
	if rec.clear == 2 {
		rec.install = t.high
	}
	if p.cfg.defect == recoveryTooShort {
		return rec.clear >= 2
	}
	if rec.clear >= 2 && p.cur.aru >= rec.install && !rec.received {
		rec.received, rec.deliverSet = true, rec.transSet
	}
	if rec.clear >= 3 && t.aru >= rec.install {
		rec.round++
	} else {
		rec.round = 0
	}
	return rec.round == 2
}

// failRecovery gives the attempt up (9.4). What was recovered of the old ring stays, and so does
// the new ring's number.
func (p *Protocol) failRecovery() {
	old := p.old
	for seq := old.discarded + 1; seq <= old.high; seq++ {
		if s := old.at(seq); s != nil {
			s.queued = false
		}
	}
	p.rec.left = 0
	if p.cfg.defect == forgetOldRing {
		old.id, old.key = p.cur.id, p.cur.key
	}
	old.recount()
	p.tok.begin()
	p.cur.begin(p.cur.id, &p.cur.members, p.cfg.Self)
}

// install ends the old ring and begins the new one (section 10).
func (p *Protocol) install(now clock.Time) {
	rec, old := &p.rec, p.old
	datagram := func(s *slot) {
		p.later(todo{buf: s.buf, origin: s.origin, ring: old.id, seq: s.seq, received: s.received})
	}
	// (a) The rest of the old regular configuration. The cut uses only what all of transSet know.
	seq := old.delivered + 1
	for ; ; seq++ {
		s := old.at(seq)
		if s == nil || s.safe && seq > rec.high {
			break
		}
		if !s.recovered {
			datagram(s)
		}
	}
	if seq <= rec.high && p.cfg.defect == none {
		p.stats.Impossible++ // a hole at or below H
	}
	// (b)
	p.later(todo{view: &View{Kind: Transitional, Ring: p.cur.id, Old: old.id, Members: append([]wire.MemberID(nil), rec.transSet.list()...), Incarnation: p.cfg.Incarnation}})
	// (c) What can be promised only among the members that come along. After a hole a message may
	// depend on one that is lost, unless its sender comes along.
	hole := false
	for ; seq <= old.high; seq++ {
		s := old.at(seq)
		switch {
		case s == nil:
			hole = true
		case s.recovered:
		case hole && !rec.deliverSet.has(old.members.ids[s.origin]) && p.cfg.defect != noDeliverSet:
			p.stats.Skipped++
		default:
			datagram(s)
		}
	}
	// (d) Half messages are dropped when the view is shown. (e)
	members := p.cur.members
	if p.wasExcluded(&members) {
		p.cfg.Incarnation++
		p.stats.Exclusions++
		p.event(Event{Kind: WasExcluded, Ring: p.cur.id})
	}
	p.later(todo{view: &View{Kind: Regular, Ring: p.cur.id, Old: old.id, Members: append([]wire.MemberID(nil), members.list()...), Incarnation: p.cfg.Incarnation}})

	if members.n < p.memb.n {
		p.holds.pardon()
	}
	for _, id := range p.memb.list() {
		if e := p.peers.find(id); !members.has(id) && e != nil && !e.left && !p.peers.superseded(id) {
			p.holds.falls(p, now, id)
		}
	}
	p.memb, p.proc, p.fail, rec.deliverSet, rec.received = members, members, idSet{}, members, false
	old.begin(p.cur.id, &members, p.cfg.Self)
	p.send.newRing(p.peers.smallest(&members, p.longest))
	p.holds.installed(now)
	p.tok.idle = 0
	p.pace.installed(now, p.tok.t.high)
	p.enter(Operational, Recovered)
	if members.n == 1 {
		p.cancel(tokenLoss)
		p.cancel(tokenRetransmit)
		p.tok.forget()
		p.cur.stable = p.cur.high
	}
	p.armMerge(now)
}

// wasExcluded reports whether a member of the old ring is in the new one and did not come from the
// old one: it has installed another ring meanwhile, without this member.
func (p *Protocol) wasExcluded(members *idSet) bool {
	for _, id := range p.old.members.list() {
		if members.has(id) && !p.rec.transSet.has(id) {
			return true
		}
	}
	return false
}
