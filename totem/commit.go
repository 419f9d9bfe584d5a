package totem

import (
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// commit is this member's copy of a commit token.
type commit struct {
	ring    wire.RingID
	index   uint32
	rings   wire.OldRings
	entries [MaxMembers]wire.CommitEntry
	n       int
}

func (c *commit) take(w *wire.Commit) {
	c.ring, c.index, c.n = w.Ring, w.Index, w.Entries.Len()
	c.rings = append(c.rings[:0], w.Rings...)
	for i := range c.n {
		c.entries[i] = w.Entries.At(i)
	}
}

// members is the set of the ring to be formed.
func (c *commit) members() (s idSet) {
	for i := range c.n {
		s.add(c.entries[i].ID)
	}
	return s
}

// fill fills in this member's entry, with how far it is in its old ring.
func (c *commit) fill(i int, old *ring, received bool) {
	k := 0
	for k < c.rings.Len() && c.rings.At(k) != old.id {
		k++
	}
	if k == c.rings.Len() {
		c.rings = c.rings.Append(old.id)
	}
	c.entries[i] = wire.CommitEntry{ID: c.entries[i].ID, Old: uint8(k), Filled: true, Received: received,
		Aru: old.aru, High: old.high, Bound: old.bound()}
	c.index++
}

// createCommit makes the commit token of a ring of the given members, of which this one is the
// representative (8.5).
func (p *Protocol) createCommit(now clock.Time, members *idSet) {
	seq, ok := p.nextRing()
	if !ok {
		return // rather no ring than one with an identifier that was used before
	}
	p.made = seq
	c := &p.rec.commit
	*c = commit{ring: wire.RingID{Rep: p.cfg.Self, Seq: seq}, rings: c.rings[:0], n: members.n}
	for i, id := range members.list() {
		c.entries[i] = wire.CommitEntry{ID: id}
	}
	c.fill(0, p.old, p.rec.received)
	p.enterCommit(now, members, ConsensusReached)
	if members.n == 1 {
		p.enterRecovery(now) // both rotations and the exchange are over before they begin
		p.install(now)
		p.deliver()
		p.discardStable()
		return
	}
	p.forwardCommit(now)
}

// enterCommit adopts the new ring's identifier. From here on the old ring's messages change only
// through recovery, because their numbers have been published.
func (p *Protocol) enterCommit(now clock.Time, members *idSet, why Reason) {
	for _, t := range [...]timer{joinAgain, consensusEnd, foundingEnd} {
		p.cancel(t)
	}
	c := &p.rec.commit
	p.firstTry, p.founding = false, false
	for _, id := range members.list() {
		if e := p.peers.find(id); e != nil {
			p.paused(now, e.pause)
		}
	}
	p.tok.begin()
	p.cur.begin(c.ring, members, p.cfg.Self)
	p.maxRingSeq = max(p.maxRingSeq, c.ring.Seq)
	if p.cfg.Persist != nil {
		p.cfg.Persist(p.maxRingSeq)
	}
	p.enter(Commit, why)
	p.armCommitLoss(now)
}

// armCommitLoss sets the time to wait for the next commit token. It is a little longer than for a regular one, and
// random: members that give up at the same moment would meet again and again at the wrong one.
func (p *Protocol) armCommitLoss(now clock.Time) {
	d := p.tokenLossTime()
	p.arm(tokenLoss, now.Add(d+time.Duration(p.cfg.Rand.Int64N(int64(d)/4+1))))
}

// forwardCommit sends the commit token to the next member.
func (p *Protocol) forwardCommit(now clock.Time) {
	b, mem := p.frame()
	p.armCommitLoss(now)
	if b == nil {
		return
	}
	c := &p.rec.commit
	w := wire.Commit{Ring: c.ring, Index: c.index, Rings: c.rings, Entries: p.rec.entries[:0]}
	for i := range c.n {
		w.Entries = w.Entries.Append(c.entries[i])
	}
	p.rec.entries = w.Entries
	finish(b, wire.AppendCommit(mem, &w))
	p.pass(now, theCommit, b, 0, 0)
}

// stepCommit takes in a commit token (8.6).
func (p *Protocol) stepCommit(now clock.Time, d *wire.Datagram, w *wire.Commit) error {
	if p.discarding {
		return p.drop(DropHeld)
	}
	c := &p.rec.commit
	n := w.Entries.Len()
	switch p.state {
	case Gather:
		ring := p.proc.minus(&p.fail)
		me, ok := ring.index(p.cfg.Self)
		if !ok || n != ring.n || w.Ring.Seq <= p.cur.id.Seq || w.Ring.Seq < p.maxRingSeq || w.Entries.At(me).Filled || w.Ring.Seq > p.maxRingSeq+maxLeap {
			return p.drop(DropState)
		}
		if !p.receives(&ring) {
			return p.drop(DropState)
		}
		for i := range n {
			if w.Entries.At(i).ID != ring.ids[i] {
				return p.drop(DropState)
			}
		}
		if e := p.peers.find(w.Ring.Rep); e != nil && e.ringSeq >= w.Ring.Seq {
			// Its maker has gathered anew since it made this. Two members that take each other's
			// abandoned tokens, again and again at the same moments, would never form a ring.
			return p.drop(DropStale)
		}
		c.take(w)
		c.fill(me, p.old, p.rec.received)
		if c.rings.Len() > wire.MaxRing {
			return p.drop(DropMalformed)
		}
		p.enterCommit(now, &ring, CommitHeard)
		p.forwardCommit(now)
		return nil
	case Commit:
		if w.Ring != p.cur.id || int(w.Index) != n || !p.fits(w) {
			return p.drop(DropState)
		}
		c.take(w)
		p.enterRecovery(now)
		p.forwardCommit(now)
		return nil
	case Recovery:
		if p.cur.me != 0 || w.Ring != p.cur.id || int(w.Index) != n || p.tok.originated {
			return p.drop(DropToken)
		}
		p.originate(now)
		return nil
	}
	return p.drop(DropState)
}

// receives reports whether a Join of another member of the ring has come since this one gathers. A member that a
// token reaches, and nothing that is as long as data, has no place in the ring.
func (p *Protocol) receives(ring *idSet) bool {
	for i := range p.peers.n {
		if e := &p.peers.list[i]; e.joined >= p.gathered && ring.has(e.id) {
			return true
		}
	}
	return false
}

// fits reports whether a full commit token is the one whose entry this member has filled in.
func (p *Protocol) fits(w *wire.Commit) bool {
	if w.Entries.Len() != p.cur.members.n {
		return false
	}
	for i := range w.Entries.Len() {
		if e := w.Entries.At(i); e.ID != p.cur.members.ids[i] || !e.Filled {
			return false
		}
	}
	e := w.Entries.At(p.cur.me)
	return w.Rings.At(int(e.Old)) == p.old.id && e.Aru == p.old.aru && e.High == p.old.high && e.Bound == p.old.bound() && e.Received == p.rec.received
}

// originate makes the first regular token of the ring, and treats it as if it had come.
func (p *Protocol) originate(now clock.Time) {
	p.tok.originated = true
	p.tok.t = token{}
	p.tok.resting = true // the time since the last ring's token is no rotation
	p.tok.accept(p, now)
	p.visit(now)
}
