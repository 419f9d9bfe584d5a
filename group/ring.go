package group

import (
	"bytes"
	"slices"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// This file is for a member that is in a ring, as others of the group are. The ring agrees on who is in it. So
// the ring's views, and nothing else, say for its members when one starts and ends here. The detector goes on
// running, and what it finds about one of them changes nothing. Members that are in no ring are as everywhere.

// ringed reports whether views say whether a member is here.
func (p *Protocol) ringed(e *entry) bool { return e.ring }

// sameRing reports whether a member is in a ring of the kind whose views this one takes in.
func (p *Protocol) sameRing(r *wire.Record) bool {
	if p.cfg.InCluster {
		return r.Cluster
	}
	return p.cfg.Ring && r.Ring
}

// seen reports whether a member is here by a view.
func (p *Protocol) seen(e *entry) bool { return p.ringed(e) && !e.hidden }

// inView reports whether the last view has a member.
func (p *Protocol) inView(id wire.MemberID) bool {
	_, ok := slices.BinarySearchFunc(p.view, id, compareIDs)
	return ok
}

func compareIDs(a, b wire.MemberID) int { return bytes.Compare(a[:], b[:]) }

// View takes in a regular view of the ring: its members in ascending order, which the callee keeps. It is to be
// called in its place among the ring's messages. The changes that follow from it are handed up in order of ids.
func (p *Protocol) View(now clock.Time, members []wire.MemberID) {
	p.observe(now)
	p.view = members
	if p.leaving {
		return
	}
	ids := slices.Clone(members)
	for _, e := range p.table.order {
		if p.seen(e) && !p.inView(e.id) {
			ids = append(ids, e.id)
		}
	}
	slices.SortFunc(ids, compareIDs)
	unknown := false
	for _, id := range ids {
		e := p.find(id)
		switch {
		case id == p.cfg.Self:
		case e == nil:
			unknown = true // it starts when its record comes
		case !p.inView(id):
			why := failed
			if e.leaving {
				why = left
			}
			p.remove(now, e, why)
		case e.hidden:
			p.show(now, e)
		}
	}
	if unknown {
		p.sendAsk()
	}
}

// Excluded takes in that the ring has excluded this member, and has it back. It is to be called before the view
// that says so.
func (p *Protocol) Excluded(now clock.Time) {
	p.observe(now)
	p.excludedBy(now, p.incarnation)
}

// show hands up the start of a member, unless the view does not have it yet.
func (p *Protocol) show(now clock.Time, e *entry) {
	if e.hidden = p.ringed(e) && !p.inView(e.id) && p.cfg.defect != startBeforeView; e.hidden {
		return
	}
	p.mirrorEntry(now, e, Started)
	if !p.waits(e.id) {
		if p.cfg.Admit != nil {
			p.cfg.Admit(e.id)
		}
		p.tellStart(now, e)
	}
}
