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
	ringSeq uint64 // the largest ring sequence of its Joins
	joins   uint64 // Join.Counter of its last one
	left    bool   // it sent a Leave, and never comes back: an id is of one start
	seen    clock.Time
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

// learn records what a Join states about its sender. When the table is full, the sender takes the place
// of the member that was silent for longest, among those that are not needed now.
func (t *peers) learn(p *Protocol, now clock.Time, id wire.MemberID, j *wire.Join, at buf.Endpoint) *peer {
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
	e.node, e.started, e.joins, e.at, e.seen = j.Node, j.Started, j.Counter, at, now
	e.largest = int(min(j.Datagram, 1<<16))
	return e
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

// holdDowns are members that are ignored for a while, because they make rings break:
// one that can send but not receive would make the ring form anew for ever (8.7).
type holdDowns struct {
	list  [32]holdDown
	rings [flapLimit]clock.Time // when the last rings were installed, in turn
	turn  int
}

type holdDown struct {
	id    wire.MemberID
	node  uint64
	until clock.Time
	delay time.Duration
	full  bool // because there was no room
	mute  bool // because it did not answer
}

// flapLimit rings in flapWindow token-loss times are too many.
const (
	flapLimit  = 12
	flapWindow = 20
)

// entry finds a member, by its name if it has one: it may start again.
func (h *holdDowns) entry(p *Protocol, id wire.MemberID) (e *holdDown, found bool) {
	node := uint64(0)
	if o := p.peers.find(id); o != nil {
		node = o.node
	}
	e = &h.list[0]
	for i := range h.list {
		o := &h.list[i]
		if o.until != 0 && (o.id == id || node != 0 && o.node == node) {
			return o, true
		}
		if o.until < e.until {
			e = o
		}
	}
	*e = holdDown{id: id, node: node}
	return e, false
}

// raise holds a member down, twice as long as the last time.
func (h *holdDowns) raise(p *Protocol, now clock.Time, id wire.MemberID) {
	e, found := h.entry(p, id)
	if !found || now.Sub(e.until) > 10*p.prof.HoldDown {
		e.delay = 5 * p.prof.TokenLoss
	}
	e.delay = min(2*e.delay, p.prof.HoldDown)
	e.until, e.mute = max(e.until, now.Add(e.delay)), false
	p.stats.HeldDown++
	p.event(Event{Kind: HeldDown, Member: id})
}

// mute notes that a foreign member made this one leave its ring and then did not answer: it may receive
// nothing. After the second time it is held down; a single one may be the loss of a few datagrams.
func (h *holdDowns) mute(p *Protocol, now clock.Time, id wire.MemberID) {
	e, found := h.entry(p, id)
	if found && now.Sub(e.until) <= 10*p.prof.HoldDown {
		h.raise(p, now, id)
		e.mute = true
		return
	}
	e.until, e.delay = now, 5*p.prof.TokenLoss
}

// answered ends the hold-down of a member that receives after all: it has named this one. Otherwise, two
// members could hold each other down in turn.
func (h *holdDowns) answered(id wire.MemberID) {
	for i := range h.list {
		if o := &h.list[i]; o.mute && o.id == id {
			*o = holdDown{}
		}
	}
}

// exile holds a member down because there is no room for it. The ring may still count members that
// are dead, so the first time is not much longer than it takes to notice that; each further one is
// four times as long.
func (h *holdDowns) exile(p *Protocol, now clock.Time, id wire.MemberID) {
	e, found := h.entry(p, id)
	if found && e.full && e.until > now {
		return
	}
	if !found || !e.full || now.Sub(e.until) > 2*p.prof.HoldDown {
		e.delay = 5 * p.prof.TokenLoss / 4
	}
	e.delay = min(4*e.delay, 10*p.prof.HoldDown)
	e.until, e.full = max(e.until, now.Add(e.delay)), true
}

// pardon ends all exiles: the ring has become smaller, so there may be room.
func (h *holdDowns) pardon() {
	for i := range h.list {
		if h.list[i].full {
			h.list[i] = holdDown{}
		}
	}
}

// holds reports whether a member is ignored now.
func (h *holdDowns) holds(p *Protocol, now clock.Time, id wire.MemberID) bool {
	node := uint64(0)
	if o := p.peers.find(id); o != nil {
		node = o.node
	}
	for i := range h.list {
		if o := &h.list[i]; o.until > now && (o.id == id || node != 0 && o.node == node) {
			return true
		}
	}
	return false
}

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
