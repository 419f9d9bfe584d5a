package totem

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// beginGather leaves the state that this member is in, so that its sets may change. What the
// state has to keep is kept; enterGather follows.
func (p *Protocol) beginGather(now clock.Time) {
	switch p.state {
	case Operational:
		p.leaveRing()
		p.gathered = now
	case Recovery:
		p.failRecovery()
	}
	p.tok.forget()
	for _, t := range [...]timer{tokenRetransmit, tokenLoss, mergeDetect, holdEnd} {
		p.cancel(t)
	}
	p.state = Gather
}

// leaveRing makes the ring that this member was in the old one (8.1). Its messages stay, and
// nothing is delivered until the next ring is installed.
func (p *Protocol) leaveRing() {
	p.probe(LeftRing, p.cur.id, 0)
	if k := &p.tok; k.stuck > p.prof.StuckRotations/2 && p.cur.members.has(k.t.aruID) {
		p.holds.raise(p, p.last, k.t.aruID, answer) // another member was the first to put it out
	}
	p.old, p.cur = p.cur, p.old
	p.cur.begin(p.old.id, &p.old.members, p.cfg.Self)
	p.rec.received, p.firstTry = false, true
	p.tok.begin()
}

// enterGather begins or begins anew to gather a ring (8.2).
func (p *Protocol) enterGather(now clock.Time, why Reason) {
	if p.state != Gather {
		p.beginGather(now)
	}
	p.cancel(tokenLoss)
	p.proc.add(p.cfg.Self)
	p.fail.remove(p.cfg.Self)
	p.consensus, p.reached = setOf(p.cfg.Self), false
	p.enter(Gather, why)
	p.sendJoin()
	p.arm(joinAgain, now.Add(p.prof.Join))
	p.arm(consensusEnd, now.Add(p.consensusTime()))
	p.checkConsensus(now)
}

// sendJoin sends all others the sets as this member has them.
func (p *Protocol) sendJoin() { p.multicastJoin(&p.proc, &p.fail) }

func (p *Protocol) multicastJoin(proc, fail *idSet) {
	b, mem := p.frame()
	if b == nil {
		return
	}
	p.joins++
	var sets [2][wire.MaxSet * 16]byte
	j := wire.Join{Node: p.cfg.Node, Started: p.cfg.Started, RingSeq: p.maxRingSeq, Counter: p.joins, Datagram: uint32(p.longest),
		Proc: proc.append(sets[0][:0]), Fail: fail.append(sets[1][:0]), Standing: p.standing(nil)}
	others := proc.minus(fail)
	j.Standing.Padding = pad(wire.HeaderLen+joinOverhead+len(j.Proc)+len(j.Fail), p.peers.smallest(&others, p.longest))
	finish(b, wire.AppendJoin(mem, &j))
	p.out.put(theJoin, b, buf.Group)
	p.stats.Joins++
}

// joinOverhead is the length of a Join without members and padding, at most: padding makes two lengths longer.
const joinOverhead = wire.JoinMax - 2*16*wire.MaxSet + 2 + 1

// leaveCopies is how often a Leave is sent: nobody asks for it again.
const leaveCopies = 3

// sendLeave sends one of the Leaves: a Join in which the sender has failed (8.8).
func (p *Protocol) sendLeave(now clock.Time) {
	proc, fail := p.proc, p.fail
	proc.remove(p.cfg.Self)
	fail.add(p.cfg.Self)
	p.multicastJoin(&proc, &fail)
	if p.leaves--; p.leaves > 0 {
		p.arm(leaveAgain, now.Add(p.prof.Join))
	}
}

// maxLeap is how far one Join may raise the largest known ring sequence: far more than rings are
// ever formed. One that raises it by more than maxStride is believed once in a join interval only:
// then it takes hours of a flood to use the numbers up.
const (
	maxLeap   = 1 << 40
	maxStride = 1 << 20
)

// learnSeq takes over the largest ring sequence of a Join.
func (p *Protocol) learnSeq(now clock.Time, seq uint64) {
	if seq > p.maxRingSeq+maxStride {
		if now < p.leapAfter {
			return
		}
		p.leapAfter = now.Add(p.prof.Join)
		seq = min(seq, p.maxRingSeq+maxLeap)
	}
	p.maxRingSeq = max(p.maxRingSeq, seq)
}

// nextRing is the sequence of the next ring that this member makes; ok is false when none is left.
// Its low half, which is all that data carries of it, is ahead of that of the last one too, also
// when a Join from the future has raised the sequence by a multiple of 2^32: old data must not
// find its ring again.
func (p *Protocol) nextRing() (seq uint64, ok bool) {
	seq = p.maxRingSeq + 4
	if last := uint32(p.made); p.made > 0 && int32(uint32(seq)-last) <= 0 {
		seq += uint64(last + 4 - uint32(seq))
	}
	return seq, seq <= wire.MaxRingSeq
}

// stepJoin takes in a Join (8.3).
func (p *Protocol) stepJoin(now clock.Time, d *wire.Datagram, j *wire.Join, r buf.Received) error {
	q := d.Transmitter
	leaving := membersHave(j.Fail, q)
	switch {
	case q == p.cfg.Self || leaving == membersHave(j.Proc, q) || !wellFormed(j, q):
		return p.drop(DropMalformed)
	case p.discarding:
		return p.drop(DropHeld)
	}
	if e := p.peers.find(q); e != nil && j.Counter <= e.joins {
		return p.drop(DropStale) // late, twice, or recorded by a stranger, to which the token would go
	}
	e := p.peers.learn(p, now, q, j, r.From)
	if e.left {
		return p.drop(DropStale)
	}
	if p.cfg.Node != 0 && j.Node == p.cfg.Node && p.sameName(now, q, j) {
		return p.drop(DropForeign)
	}
	if p.peers.superseded(q) && !leaving {
		return p.drop(DropStale)
	}
	p.learnSeq(now, j.RingSeq)
	e.ringSeq = max(e.ringSeq, min(j.RingSeq, p.maxRingSeq))
	e.left = leaving
	p.holds.answered(p, now, q, e.names, false)
	if membersHave(j.Fail, p.cfg.Self) && !p.memb.has(q) {
		p.holds.excluded(p, now, q)
	}

	member := p.memb.has(q)
	if member {
		p.paused(now, j.Standing.Pause)
	}
	why := JoinHeard
	if leaving {
		why = LeaveHeard
	}
	switch p.state {
	case Operational:
		switch {
		case membersHave(j.Fail, p.cfg.Self):
			return p.drop(DropForeign)
		case leaving && !member || member && !leaving && j.RingSeq < p.cur.id.Seq:
			return p.drop(DropStale)
		case !member && !p.admits(now, q):
			return p.drop(DropHeld)
		}
		p.beginGather(now)
		if !leaving && p.memb.n == 1 {
			p.proc.add(q) // or this one, which is alone, would agree with itself first
		}
		p.enterGather(now, why)
	case Gather:
		if !member && !p.proc.has(q) && !p.founding && p.holds.holds(p, now, q) {
			return p.drop(DropHeld)
		}
	case Commit, Recovery:
		if !p.cur.members.has(q) || j.RingSeq < p.cur.id.Seq && !leaving && !p.contradicts(j) {
			return p.drop(DropState)
		}
		p.beginGather(now)
		p.enterGather(now, why)
	}
	return p.processJoin(now, q, j, leaving)
}

// contradicts reports whether the sender of a Join cannot take part in the ring that is being formed, since it holds
// one of the members failed.
func (p *Protocol) contradicts(j *wire.Join) bool {
	if p.state != Commit {
		return false
	}
	for i := range j.Fail.Len() {
		if p.cur.members.has(j.Fail.At(i)) {
			return true
		}
	}
	return false
}

// wellFormed reports whether every member that has failed was known before, but for a sender that
// leaves. So a set of failed members always has room for one more, and no ghost stays.
func wellFormed(j *wire.Join, q wire.MemberID) bool {
	for i := range j.Fail.Len() {
		if id := j.Fail.At(i); id != q && !membersHave(j.Proc, id) {
			return false
		}
	}
	return true
}

// sameName judges a Join of another member that has this one's name; true means that it is not
// looked at any further. After a restart the older one is dead. If it is not, and knows of this
// one, then the name is configured twice: the younger keeps out, for good.
func (p *Protocol) sameName(now clock.Time, q wire.MemberID, j *wire.Join) bool {
	if j.Started > p.cfg.Started || j.Started == p.cfg.Started && less(p.cfg.Self, q) {
		p.event(Event{Kind: SameName, Member: q})
		return true
	}
	if membersHave(j.Proc, p.cfg.Self) {
		p.event(Event{Kind: SameName, Member: q})
		p.Close(now)
	}
	return true
}

// processJoin is 8.4.
func (p *Protocol) processJoin(now clock.Time, q wire.MemberID, j *wire.Join, leaving bool) error {
	if p.fail.has(q) {
		return p.drop(DropStale)
	}
	changed := false
	// A newer start of a node proves that the older one is dead.
	for _, id := range p.proc.list() {
		if id != q && id != p.cfg.Self && !p.fail.has(id) && p.peers.superseded(id) {
			changed = p.fail.add(id) || changed
		}
	}
	switch {
	case leaving:
		p.proc.add(q)
		changed = p.fail.add(q) || changed
	case p.proc.equals(j.Proc) && p.fail.equals(j.Fail):
		p.consensus.add(q)
		p.checkConsensus(now)
		return nil
	case p.proc.contains(j.Proc) && p.fail.contains(j.Fail):
		// q is behind; this member's Join will bring it up to date.
	default:
		proc, fail := p.proc, p.fail
		ok := true
		for i := range j.Proc.Len() {
			id := j.Proc.At(i)
			ok = proc.add(id) && ok
			if id != q && id != p.cfg.Self && p.peers.superseded(id) {
				ok = fail.add(id) && ok // or else a restart counts twice
			}
		}
		if membersHave(j.Fail, p.cfg.Self) {
			ok = fail.add(q) && ok
		} else if x, found := p.disagrees(now, q, j); found && p.undecided(now, x) {
			return nil // it repeats its Join
		} else if found && p.prefers(x, q) {
			ok = fail.add(q) && ok
			p.holds.chose(p, now, q, x)
		} else {
			for i := range j.Fail.Len() {
				ok = fail.add(j.Fail.At(i)) && ok
			}
			if found {
				for i := range j.Fail.Len() {
					p.holds.chose(p, now, j.Fail.At(i), q)
				}
			}
		}
		if ring := proc.minus(&fail); !ok || ring.n > MaxMembers {
			return p.tooMany(now, j, q)
		}
		p.proc, p.fail = proc, fail
		changed = true
	}
	if changed {
		p.enterGather(now, SetsChanged)
	}
	return nil
}

// disagrees finds a member that q holds failed, while this member receives it, and it this member. This one is
// in the middle then: no ring has all three.
func (p *Protocol) disagrees(now clock.Time, q wire.MemberID, j *wire.Join) (x wire.MemberID, found bool) {
	for i := range j.Fail.Len() {
		id := j.Fail.At(i)
		if p.fail.has(id) || p.peers.superseded(id) {
			continue
		}
		if e := p.peers.find(id); e != nil && e.joined >= max(p.gathered, now.Add(-p.consensusTime())) && e.names && !e.left && (!found || p.prefers(id, x)) {
			x, found = id, true
		}
	}
	return x, found
}

// undecided reports whether it is too early to choose sides: x, which another member holds failed, has not said yet
// whom it holds failed. All of them notice at about the same time.
func (p *Protocol) undecided(now clock.Time, x wire.MemberID) bool {
	if e := p.peers.find(x); e == nil || e.fails {
		return false
	}
	if p.disputed < p.gathered {
		p.disputed = now
	}
	return now.Sub(p.disputed) < 4*p.prof.Join
}

// prefers reports whether this member, which is in the middle, goes with a rather than with b: with the larger
// ring, then with the one that it is in. Of two in the same ring every member in the middle goes with the same one.
func (p *Protocol) prefers(a, b wire.MemberID) bool {
	x, y := p.peers.find(a), p.peers.find(b)
	switch {
	case x != nil && y != nil && x.fails && y.fails && x.side != y.side:
		return x.side > y.side
	case x != nil && y != nil && x.members != y.members:
		return x.members > y.members
	case p.memb.has(a) != p.memb.has(b):
		return p.memb.has(a)
	}
	return less(a, b)
}

// tooMany refuses a Join that would make the ring too large. Members that are not in it already
// are ignored for a while, or they would make it form anew again and again.
func (p *Protocol) tooMany(now clock.Time, j *wire.Join, q wire.MemberID) error {
	p.event(Event{Kind: TooManyMembers, Member: q})
	for i := range j.Proc.Len() {
		if id := j.Proc.At(i); !p.memb.has(id) {
			p.holds.exile(p, now, id)
		}
	}
	if p.proc.has(q) && !p.memb.has(q) {
		p.proc.remove(q)
		p.enterGather(now, SetsChanged)
	}
	return p.drop(DropMembers)
}

// checkConsensus checks whether all members agree (8.5).
func (p *Protocol) checkConsensus(now clock.Time) {
	if p.state != Gather || p.reached || p.closed {
		return
	}
	ring := p.proc.minus(&p.fail)
	if p.founding && ring.n == 1 || ring.n > MaxMembers {
		return
	}
	for _, id := range ring.list() {
		if !p.consensus.has(id) {
			return
		}
	}
	p.reached = true
	if ring.ids[0] == p.cfg.Self {
		p.createCommit(now, &ring)
	} else {
		p.arm(tokenLoss, now.Add(p.tokenLossTime()))
	}
}

// endConsensus is what happens when the wait for the others is over (8.5).
func (p *Protocol) endConsensus(now clock.Time) {
	if p.state != Gather {
		return
	}
	if p.reached {
		// Everybody agreed, and no commit token came. One more round.
		p.consensus, p.reached = setOf(p.cfg.Self), false
		p.cancel(tokenLoss)
		p.arm(consensusEnd, now.Add(p.consensusTime()))
		p.checkConsensus(now)
		return
	}
	p.founding = false
	ring := p.proc.minus(&p.fail)
	for _, id := range ring.list() {
		if !p.consensus.has(id) {
			p.fail.add(id)
			if !p.memb.has(id) {
				p.holds.refused(p, now, id)
			}
		}
	}
	p.enterGather(now, ConsensusFailed)
}

// lostToken is what happens when no token came for too long.
func (p *Protocol) lostToken(now clock.Time) {
	why := TokenLost
	if p.state == Commit || p.state == Gather {
		why = CommitLost
	}
	p.enterGather(now, why)
}

// admits reports whether a foreign member may make this one leave its ring (8.7).
func (p *Protocol) admits(now clock.Time, f wire.MemberID) bool {
	if p.holds.holds(p, now, f) {
		return false
	}
	if p.full() {
		p.event(Event{Kind: TooManyMembers, Member: f})
		p.holds.exile(p, now, f)
		return false
	}
	if p.holds.flapping(p, now) {
		p.holds.flaps(p, now, f)
		return false
	}
	return true
}

// full reports whether the ring has no room for one more. A member that has started anew since is dead,
// and its place is free.
func (p *Protocol) full() bool {
	n := p.memb.n
	if n < MaxMembers {
		return false
	}
	for _, id := range p.memb.list() {
		if p.peers.superseded(id) {
			n--
		}
	}
	return n >= MaxMembers
}

// foreign takes in a sign of another ring, from member f (8.7). seq is the low half of that
// ring's sequence.
func (p *Protocol) foreign(now clock.Time, f wire.MemberID, seq uint32) error {
	if e := p.peers.find(f); e != nil && e.left || p.peers.superseded(f) {
		return p.drop(DropStale)
	}
	switch p.state {
	case Operational:
		if p.memb.has(f) {
			if int32(seq-uint32(p.cur.id.Seq)) <= 0 {
				return p.drop(DropStale) // it was late
			}
			// It went on without this member.
		} else if !p.admits(now, f) {
			return p.drop(DropHeld)
		}
		p.beginGather(now)
		p.proc.add(f)
		p.enterGather(now, ForeignHeard)
		return nil
	case Gather:
		if p.proc.has(f) || p.fail.has(f) {
			return p.drop(DropStale)
		}
		if p.holds.holds(p, now, f) {
			return p.drop(DropHeld)
		}
		if ring := p.proc.minus(&p.fail); ring.n >= MaxMembers || !p.proc.add(f) {
			return p.drop(DropMembers)
		}
		p.enterGather(now, ForeignHeard)
		return nil
	}
	return p.drop(DropState)
}

// stepNotice takes in a Notice about a ring.
func (p *Protocol) stepNotice(now clock.Time, d *wire.Datagram, n *wire.Notice, r buf.Received) error {
	switch {
	case n.Kind == wire.HoldCancel && n.Ring == p.cur.id && p.state == Operational && p.cur.members.has(d.Transmitter):
		p.tok.idle = 0 // also when the token is somewhere else: it is not held when it comes
		p.endHold(now)
		return nil
	case n.Kind != wire.MergeDetect:
		return p.drop(DropState)
	case p.discarding:
		return p.drop(DropHeld)
	case n.Ring == p.cur.id:
		return nil
	}
	p.peers.says(p, now, d.Transmitter, &n.Standing, r.From)
	p.holds.answered(p, now, d.Transmitter, false, membersHave(n.Standing.Hears, p.cfg.Self))
	if n.Standing.Members >= MaxMembers && !p.memb.has(d.Transmitter) && p.memb.n < MaxMembers {
		p.event(Event{Kind: TooManyMembers, Member: p.cfg.Self}) // that ring is full, and does not say so to this member
	}
	return p.foreign(now, d.Transmitter, uint32(n.Ring.Seq))
}
