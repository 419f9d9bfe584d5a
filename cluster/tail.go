package cluster

import (
	"slices"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// The tail: operations, and openings of primaries, that were delivered where it is not certain that they count. It is kept
// through any number of rings, until a primary is established: then it is applied, or thrown away.

// trimTail drops what follows on the first stages of the replica, and returns it. With no stage nothing stands.
func (c *Core) trimTail(stages int) []step {
	openings := stages
	if !c.founding() {
		openings--
	}
	from := 0 // what follows on the last opening that stands goes from the next one on
	for i := 0; i < len(c.tail) && openings > 0; i++ {
		if o := c.tail[i].opening; o != nil && !c.over(o) {
			openings--
			from = i + 1
		}
	}
	for i := from; i < len(c.tail); i++ {
		if openings < 0 || c.tail[i].opening != nil {
			gone := slices.Clone(c.tail[i:])
			clear(c.tail[i:])
			c.tail = c.tail[:i]
			return gone
		}
	}
	return nil
}

// over reports whether the primary of an opening is over, since this member knows a later one of its chain that was established:
// nothing goes on from its end. It has no stage of its own; a tail may have any number of these, from a fill.
func (c *Core) over(o *wire.Opening) bool {
	return c.last != nil && c.last.Chain == o.Primary.Chain && c.last.Epoch > o.Primary.Epoch
}

// founding reports whether the tail begins with the opening of a founding: it follows on an empty replica, whatever this member holds.
func (c *Core) founding() bool {
	return len(c.tail) > 0 && c.tail[0].opening != nil && c.tail[0].opening.Founding
}

// preview runs the tail on a copy of what numbers the history, and hands out each place that it comes to.
func (c *Core) preview(f func(i int, p *position)) {
	s := c.state
	if c.founding() {
		s = NewState()
	}
	p := s.preview()
	for i := range c.tail {
		p.follow(&c.tail[i])
		f(i, &p.position)
	}
}

// preview is a copy of what numbers the history and says who votes: place, hash, members, voters and rules.
func (s *State) preview() *State {
	t := newTables(s.primary.Chain)
	t.members, t.master = slices.Clone(s.tables.members), s.tables.master
	p := &State{position: s.position}
	p.setTables(t)
	return p
}

// follow goes on by one step. Nothing is right afterwards but what preview is for.
func (s *State) follow(st *step) {
	defer s.ClearEvents()
	if st.opening != nil {
		s.Establish(0, st.opening)
		return
	}
	b, err := wire.ParseBatch(st.batch)
	if err != nil {
		s.Refuse(st.by, b.Stamp, st.batch)
		return
	}
	it := b.Ops() // in the head of the loop it would be allocated anew for each operation
	for it.Step() {
		switch op := &it.ClusterOp; op.Kind {
		case wire.OpReady, wire.OpExit, wire.OpRules:
			s.Apply(0, st.by, b.Stamp, op)
		default:
			s.advance(b.Stamp)
			s.hash = hashOp(s.hash, s.index, st.by, op)
		}
	}
}

// positions is the tail with the index and the hash that each step would have.
func (c *Core) positions() []step {
	steps := slices.Clone(c.tail)
	c.preview(func(i int, p *position) { steps[i].index, steps[i].hash = p.index, p.hash })
	return steps
}

// stages is how far the replica has come with its tail: one stage for each primary on the way.
func (c *Core) stages() []wire.Stage {
	var list []wire.Stage
	var voters []wire.Voter
	if s := c.state; s != nil && !c.founding() {
		voters = s.Voters()
		list = append(list, wire.Stage{Primary: *s.Primary(), End: s.Index(), Hash: s.Hash(), Rules: s.Rules(), Voters: voters, Between: slices.Clone(c.doubtful)})
	}
	if c.cfg.defect == tailNotCounted || list == nil && !c.founding() {
		return list
	}
	over := false
	c.preview(func(i int, p *position) {
		if o := c.tail[i].opening; o != nil {
			if over = c.over(o); !over {
				list = append(list, wire.Stage{Primary: o.Primary})
			}
		}
		if over {
			return
		}
		st := &list[len(list)-1]
		st.End, st.Hash, st.Rules, st.Voters = p.index, p.hash, p.rules, p.voters
		if !slices.Equal(voters, p.voters) || c.tail[i].opening != nil {
			voters = p.voters
			st.Between = append(st.Between, wire.VoterSet{Index: p.index, Voters: voters})
		}
	})
	return list
}

// addTail keeps a batch of which it is not certain that it counts.
func (c *Core) addTail(now, received clock.Time, by wire.MemberID, body []byte, slots []*slot) {
	if c.cfg.defect == tailDropped {
		c.giveUp(slots, CodeUnknown)
		return
	}
	for _, s := range slots {
		s.place = doubted
	}
	c.tail = append(c.tail, step{by: by, batch: append([]byte(nil), body...), received: received, slots: slots})
}

// unknown ends the calls of steps that this replica will not count: others may have.
func (c *Core) unknown(now clock.Time, steps []step) {
	for i := range steps {
		c.giveUp(steps[i].slots, CodeUnknown)
		steps[i].slots = nil
	}
}
