package check

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// ringOfProc is what one process has been given of its ring.
type ringOfProc struct {
	ring    wire.RingID // of the last regular view
	members []Proc
	at      clock.Time
	last    Proc          // whose event was given last, of those that follow from the view; -1: nobody's
	here    map[Proc]bool // of the ring, as handlers were given it
}

// views judges members of a ring: GR-1 to GR-3, and GR-5. Who of the ring is here changes at regular views only, in
// order of ids, before the first message of the view. The start of a member whose record comes after the view that
// has it may be given later.
func (c *groupChecker) views() {
	if c.rules.Ring == nil {
		return
	}
	procs := map[Proc]*ringOfProc{}
	agreed := map[wire.RingID]string{}
	for i := range c.l.Records {
		r := &c.l.Records[i]
		s := procs[r.Proc]
		if s == nil {
			s = &ringOfProc{last: -1, here: map[Proc]bool{}}
			procs[r.Proc] = s
		}
		switch r.Kind {
		case GroupViewed:
			if !slices.Contains(r.Members, r.Proc) {
				c.r.add("GR-1", i, "it is not in its own view")
			}
			if s.ring.Seq >= r.Ring.Seq && s.members != nil {
				c.r.add("GR-2", i, "the view before had number %d", s.ring.Seq)
			}
			members := fmt.Sprint(r.Members)
			if was, ok := agreed[r.Ring]; ok && was != members {
				c.r.add("GR-3", i, "another process has it of %s", was)
			}
			agreed[r.Ring] = members
			s.ring, s.members, s.at, s.last = r.Ring, r.Members, r.At, -1
		case GroupStarted, GroupStopped, GroupFailed:
			c.ringEvent(s, i)
		case GroupDelivered:
			if !slices.Contains(s.members, r.Subject) {
				c.r.add("GR-5", i, "it is not in the view, number %d", s.ring.Seq)
			}
			for p, here := range s.here {
				if here && !slices.Contains(s.members, p) {
					c.r.add("GR-3", i, "%s is still here, and not in the view, number %d", c.l.procName(p), s.ring.Seq)
				}
			}
		}
	}
}

// ringEvent judges a start or an end of one member of a ring at another one.
func (c *groupChecker) ringEvent(s *ringOfProc, i int) {
	r := &c.l.Records[i]
	if r.Subject < 0 || r.Subject == r.Proc || !c.rules.Ring(r.Proc) || !c.rules.Ring(r.Subject) {
		return
	}
	in := slices.Contains(s.members, r.Subject)
	if in != (r.Kind == GroupStarted) {
		c.r.add("GR-3", i, "in the view, number %d: %t", s.ring.Seq, in)
	}
	s.here[r.Subject] = in
	if r.Kind != GroupStarted && r.At != s.at {
		c.r.add("GR-3", i, "no view says so: the last one came at t=%v", s.at.Sub(0))
	}
	if r.At != s.at {
		return
	}
	if s.last >= 0 {
		if a, b := c.l.Procs[s.last].Member, c.l.Procs[r.Subject].Member; bytes.Compare(a[:], b[:]) > 0 {
			c.r.add("GR-3", i, "after the event of %s, whose id is higher", c.l.procName(s.last))
		}
	}
	s.last = r.Subject
}
