package group

import (
	"bytes"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// ChangeKind is what a Change is.
type ChangeKind uint8

// The kinds.
const (
	Started     ChangeKind = iota + 1 // the member is here
	Stopped                           // it has left
	Failed                            // it was removed
	JoinedGroup                       // Group says which
	LeftGroup
	Changed // its record or its incarnation is another; for the mirror only
)

var changeNames = [...]string{"?", "started", "stopped", "failed", "joined group", "left group", "changed"}

func (k ChangeKind) String() string { return changeNames[min(int(k), len(changeNames)-1)] }

// Change is one change of the table. The Change is lent for the call; Record and Group are never changed, and
// may be kept.
type Change struct {
	Kind        ChangeKind
	ID          wire.MemberID
	Incarnation uint32
	Endpoint    buf.Endpoint
	Record      []byte // canonical, as wire.ParseRecord takes it; its incarnation may be older
	Group       []byte
}

// waitingEnd is the end of a member that handlers are given when nothing of it is held up any more.
type waitingEnd struct {
	id     wire.MemberID
	at     clock.Time // of the end
	change Change
}

// endEvery is how often it is looked whether an end can be given to handlers.
const endEvery = 100_000 // ns

func (p *Protocol) mirror(now clock.Time, c *Change) {
	if p.cfg.Mirror != nil {
		p.cfg.Mirror(now, c)
	}
}

func (p *Protocol) tell(now clock.Time, c *Change) {
	if p.cfg.Tell != nil {
		p.cfg.Tell(now, c)
	}
}

func (e *entry) change(kind ChangeKind) Change {
	return Change{Kind: kind, ID: e.id, Incarnation: e.incarnation, Endpoint: e.endpoint, Record: e.record}
}

func (p *Protocol) mirrorEntry(now clock.Time, e *entry, kind ChangeKind) {
	if e.hidden {
		return
	}
	c := e.change(kind)
	p.mirror(now, &c)
}

func (p *Protocol) tellEntry(now clock.Time, e *entry, kind ChangeKind) {
	c := e.change(kind)
	p.tell(now, &c)
}

func (p *Protocol) ownChange(kind ChangeKind) Change {
	return Change{Kind: kind, ID: p.cfg.Self, Incarnation: p.incarnation, Endpoint: p.cfg.Local, Record: p.own.record}
}

func (p *Protocol) mirrorSelf(now clock.Time, kind ChangeKind) {
	c := p.ownChange(kind)
	p.mirror(now, &c)
}

// tellSelf gives a start or an end of this member itself.
func (p *Protocol) tellSelf(now clock.Time, kind ChangeKind) {
	c := p.ownChange(kind)
	p.mirror(now, &c)
	p.tell(now, &c)
	if kind == Started {
		for _, g := range p.own.groups {
			p.tellSelfGroup(now, JoinedGroup, g)
		}
	}
}

func (p *Protocol) tellSelfGroup(now clock.Time, kind ChangeKind, group string) {
	c := p.ownChange(kind)
	c.Group = []byte(group)
	p.tell(now, &c)
}

// tellStart gives handlers the start of a member, and its groups.
func (p *Protocol) tellStart(now clock.Time, e *entry) {
	e.told, e.since = true, e.incarnation
	p.tellEntry(now, e, Started)
	p.tellGroups(now, e, nil)
}

// tellGroups gives handlers what is different between the groups of an old record and those of now.
func (p *Protocol) tellGroups(now clock.Time, e *entry, old []byte) {
	var was, is wire.Record
	if old != nil {
		was, _ = wire.ParseRecord(old)
	}
	is, _ = wire.ParseRecord(e.record)
	a, b := was.Groups(), is.Groups()
	x, more := a.Next()
	y, ok := b.Next()
	for more || ok {
		order := 0
		switch {
		case !more:
			order = 1
		case !ok:
			order = -1
		default:
			order = bytes.Compare(x, y)
		}
		c := e.change(LeftGroup)
		switch {
		case order < 0:
			c.Group = x
			p.tell(now, &c)
		case order > 0:
			c.Kind, c.Group = JoinedGroup, y
			p.tell(now, &c)
		}
		if order <= 0 {
			x, more = a.Next()
		}
		if order >= 0 {
			y, ok = b.Next()
		}
	}
}

// end gives handlers the end of a member, as soon as nothing of it is held up by a full queue.
func (p *Protocol) end(now clock.Time, e *entry, kind ChangeKind) {
	if p.cfg.Forget != nil {
		p.cfg.Forget(now, e.id)
	}
	if !e.told {
		return // handlers were not given its start: an earlier end of it still waits
	}
	w := waitingEnd{id: e.id, at: now, change: e.change(kind)}
	if len(p.ends) < MaxTombstones && p.pending(e.id) && p.cfg.defect != endAtOnce {
		p.ends = append(p.ends, w)
		p.stats.EventsHeld++
		p.arm(now.Add(endEvery))
		return
	}
	p.tell(now, &w.change)
}

func (p *Protocol) pending(id wire.MemberID) bool { return p.cfg.Pending != nil && p.cfg.Pending(id) }

// waits reports whether an end of this member was not given to handlers yet.
func (p *Protocol) waits(id wire.MemberID) bool {
	for i := range p.ends {
		if p.ends[i].id == id {
			return true
		}
	}
	return false
}

func (p *Protocol) tickEnds(now clock.Time) {
	if len(p.ends) == 0 {
		return
	}
	list := p.ends
	p.ends = nil
	for i := range list {
		w := list[i]
		if p.pending(w.id) {
			p.ends = append(p.ends, w)
			continue
		}
		p.tell(now, &w.change)
		p.stats.EventHoldNS = max(p.stats.EventHoldNS, uint64(now.Sub(w.at)))
		if e := p.find(w.id); e != nil && !e.hidden {
			if p.cfg.Admit != nil {
				p.cfg.Admit(w.id)
			}
			p.tellStart(now, e)
		}
	}
	if len(p.ends) > 0 {
		p.arm(now.Add(endEvery))
	}
}
