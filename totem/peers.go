package totem

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// peer is what this member has learned about another.
type peer struct {
	id      wire.MemberID
	at      buf.Endpoint
	node    uint64 // hash of its name; 0: it has none
	started uint64
	largest int    // UDP payload that it takes; 0: not known
	members uint32 // of the last ring that it installed, as it says; 0: not known
	ringSeq uint64 // the largest ring sequence of its Joins
	joins   uint64 // Join.Counter of its last one
	left    bool   // it sent a Leave, and never comes back: an id is of one start
	seen    clock.Time
	joined  clock.Time // when the last Join came
	pause   uint32     // µs that its loop stood still for at most, as it says
	side    int        // members that its last Join does not hold failed
	fails   bool       // its last Join holds members failed
	names   bool       // its last Join names this member, which it does not hold failed
}

// peers is a bounded table.
type peers struct {
	list [64]peer
	n    int
}

func (t *peers) find(id wire.MemberID) *peer {
	for i := range t.n {
		if t.list[i].id == id {
			return &t.list[i]
		}
	}
	return nil
}

// endpoint is where a member receives.
func (t *peers) endpoint(id wire.MemberID) (buf.Endpoint, bool) {
	if e := t.find(id); e != nil {
		return e.at, true
	}
	return 0, false
}

// entry finds a member, or makes an entry for it. When the table is full, the sender takes the place
// of the member that was silent for longest, among those that are not needed now.
func (t *peers) entry(p *Protocol, id wire.MemberID) *peer {
	e := t.find(id)
	if e == nil {
		if t.n < len(t.list) {
			e = &t.list[t.n]
			t.n++
		} else {
			for i := range t.list {
				o := &t.list[i]
				if !p.memb.has(o.id) && !p.cur.members.has(o.id) && (!p.proc.has(o.id) || p.fail.has(o.id)) && (e == nil || o.seen < e.seen) {
					e = o
				}
			}
			if e == nil {
				e = &t.list[0]
			}
		}
		*e = peer{id: id}
	}
	return e
}

// learn records what a Join states about its sender.
func (t *peers) learn(p *Protocol, now clock.Time, id wire.MemberID, j *wire.Join, at buf.Endpoint) *peer {
	e := t.entry(p, id)
	e.node, e.started, e.joins, e.at, e.seen, e.joined = j.Node, j.Started, j.Counter, at, now, now
	e.largest, e.members, e.pause = int(min(j.Datagram, 1<<16)), j.Standing.Members, j.Standing.Pause
	e.side, e.fails = j.Proc.Len()-j.Fail.Len(), j.Fail.Len() > 0
	e.names = membersHave(j.Proc, p.cfg.Self) && !membersHave(j.Fail, p.cfg.Self)
	return e
}

// says records what a word about a ring states about its sender.
func (t *peers) says(p *Protocol, now clock.Time, id wire.MemberID, s *wire.Standing, at buf.Endpoint) {
	if s.Datagram == 0 {
		return
	}
	e := t.entry(p, id)
	if e.seen = now; e.joins == 0 {
		e.at = at // a Join is what is believed, where there was one
	}
	e.largest, e.members = int(min(s.Datagram, 1<<16)), s.Members
}

// smallest returns the length of the longest datagram that all members of a ring take. own is what this
// member takes. An older member does not send what it takes, and is assumed to take the same: the
// older ones have always needed one size for all. If it takes less, it receives nothing that is longer,
// and the others put it out of the ring.
func (t *peers) smallest(members *idSet, own int) int {
	for i := range t.n {
		if e := &t.list[i]; e.largest > 0 && e.largest < own && members.has(e.id) {
			own = e.largest
		}
	}
	return own
}

// superseded reports whether a newer start of id's node is known.
func (t *peers) superseded(id wire.MemberID) bool {
	e := t.find(id)
	if e == nil || e.node == 0 {
		return false
	}
	for i := range t.n {
		if o := &t.list[i]; !o.left && o.node == e.node && o.id != id && o.started > e.started {
			return true
		}
	}
	return false
}

// gapMeter holds the longest of some times in the last ten to twenty seconds.
type gapMeter struct {
	now, before time.Duration
	since       clock.Time
}

const gapMemory = 10 * time.Second

func (g *gapMeter) add(now clock.Time, gap time.Duration) {
	switch age := now.Sub(g.since); {
	case age > 2*gapMemory:
		g.before, g.now, g.since = 0, 0, now
	case age > gapMemory:
		g.before, g.now, g.since = g.now, 0, now
	}
	g.now = max(g.now, gap)
}

func (g *gapMeter) longest(now clock.Time) time.Duration {
	switch age := now.Sub(g.since); {
	case age > 2*gapMemory:
		return 0
	case age > gapMemory:
		return g.now
	}
	return max(g.now, g.before)
}

// paused takes over how long another member of this ring stands still at times, so that the token is waited for.
// Otherwise, a member that gets a small share of a processor breaks one ring after the other.
func (p *Protocol) paused(now clock.Time, us uint32) {
	if us > 0 {
		p.rotations.add(now, min(time.Duration(us)*time.Microsecond, maxRaise*p.prof.TokenLoss))
	}
}

// stoodStill is the pause rule (section 13, 12): Joins and commit tokens that waited in the
// receive queue meanwhile speak of a time that is over, and would form strange rings.
func (p *Protocol) stoodStill(now clock.Time, gap time.Duration) {
	loss := p.tokenLossTime() // as it stood before: no other member saw this gap
	p.gaps.add(now, gap)
	if gap <= p.prof.TokenLoss/2 {
		return
	}
	p.stats.LoopGaps++
	p.event(Event{Kind: PauseNoticed, Ring: p.cur.id})
	p.discarding, p.discardEnd, p.stepped = true, now.Add(p.prof.TokenLoss), true
	if gap > loss && p.state != Gather && !p.closed {
		p.beginGather(now)
		p.enterGather(now, Paused)
	}
}
