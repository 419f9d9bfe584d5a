package blaze

import (
	"fmt"
	"slices"

	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/wire"
)

// View is a configuration of Totem's ring: its members. It comes in its place in the stream of messages.
type View struct {
	ID       ViewID
	Kind     ViewKind
	Members  []MemberID // in order of their ids
	Previous ViewID     // the regular view before this one; zero in a member's first
	Together []MemberID // those of Members that came here from Previous with this member
}

// ViewID names one ring. No two memberships ever share one. A transitional view bears the ID of
// the regular view that follows it.
type ViewID struct {
	Sequence       uint64 // rises with every view that a member installs
	Representative MemberID
}

// String is "sequence@representative".
func (v ViewID) String() string { return fmt.Sprintf("%d@%v", v.Sequence, v.Representative) }

// ViewKind is one of the two kinds of views.
type ViewKind uint8

// The kinds of views.
const (
	ViewTransitional ViewKind = iota + 1 // those of the old view that go on together; ends the old view
	ViewRegular                          // the new membership
)

// String is "transitional" or "regular".
func (k ViewKind) String() string {
	return nameOf("ViewKind", []string{"unknown", "transitional", "regular"}, k)
}

// OnView has h called with every configuration of the ring of Totem, in its place among the
// messages that Inline handlers see: what is delivered after a view and before the next one was
// agreed among its members. A transitional view comes before each regular one; what is
// delivered between the two was agreed only among those that go on together.
//
// h runs on the engine's thread, as an Inline handler does, and must not block. It may be called
// in every state of the channel. cancel ends it; h may still be running when cancel returns.
func (c *Channel) OnView(h func(View)) (cancel func()) {
	if h == nil {
		return func() {}
	}
	entry := &h
	c.changeViews(func(all []*func(View)) []*func(View) { return append(slices.Clone(all), entry) })
	return func() {
		c.changeViews(func(all []*func(View)) []*func(View) {
			return slices.DeleteFunc(slices.Clone(all), func(e *func(View)) bool { return e == entry })
		})
	}
}

func (c *Channel) changeViews(change func([]*func(View)) []*func(View)) {
	c.viewsMu.Lock()
	defer c.viewsMu.Unlock()
	var all []*func(View)
	if p := c.views.Load(); p != nil {
		all = *p
	}
	all = change(all)
	c.views.Store(&all)
}

// viewer turns the configurations of one start of a channel into views. It belongs to the
// engine's thread.
type viewer struct {
	c        *Channel
	previous ViewID     // the last regular view
	together []MemberID // the members of the transitional view that came after it
	full     refusalLog
	failing  ringLog
}

// event takes in an event of the ring's core.
func (v *viewer) event(e totem.Event) {
	if e.Kind == totem.TooManyMembers {
		v.full.warn(v.c, "blaze: the ring has as many members as it can have, so another one does not join",
			"fewer members with topics under Totem", totem.MaxMembers, e.Member)
	}
	v.failing.event(v.c, e)
}

// ringLog logs what does not get through in a ring.
type ringLog [2]refusalLog

func (l *ringLog) event(c *Channel, e totem.Event) {
	lengths := []any{"datagram", e.Number, "longest that arrived", withHeaders(e.Longest), "mtu", c.datagram() + ipHeaders}
	const remedy = "where longer datagrams never arrive, a link on the way has a smaller MTU: give all members mtu=N in their URI"
	switch e.Kind {
	case totem.RemovedStuck:
		l[0].warn(c, "blaze: a member of the ring does not receive what is sent again and again: it is put out", remedy, 0, e.Member,
			append(lengths, "length", withHeaders(e.Length))...)
	case totem.LacksData:
		l[1].warn(c, "blaze: this member does not receive what the ring sends again and again: the others will put it out", remedy, 0, e.Member, lengths...)
	}
}

// withHeaders is the length of the packet of a datagram; 0 for none.
func withHeaders(datagram int) int {
	if datagram == 0 {
		return 0
	}
	return datagram + ipHeaders
}

func (v *viewer) view(w totem.View) {
	view := View{
		ID:       ViewID{Sequence: uint64(w.Ring.Seq), Representative: MemberID(w.Ring.Rep)},
		Members:  memberIDs(w.Members),
		Previous: v.previous,
	}
	if w.Kind == totem.Transitional {
		view.Kind, view.Together = ViewTransitional, view.Members
		v.together = view.Members
	} else {
		view.Kind, view.Together = ViewRegular, v.together
		v.previous = view.ID
	}
	if all := v.c.views.Load(); all != nil {
		for _, h := range *all {
			own := view // a handler may keep, and change, its lists
			own.Members, own.Together = slices.Clone(view.Members), slices.Clone(view.Together)
			(*h)(own)
		}
	}
}

func memberIDs(ids []wire.MemberID) []MemberID {
	out := make([]MemberID, len(ids))
	for i, id := range ids {
		out[i] = MemberID(id)
	}
	return out
}
