package cluster

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// A learner is in the ring of a primary whose history its replica does not hold. transfer.go fetches the state at the cut;
// meanwhile operations are kept, and they are counted when it is there.

// Bounds of a learner.
const (
	learnBytes = 256 << 20 // of operations that it keeps
	learnStep  = 200       // operations that it counts in one turn
)

// learning is a learner's part.
type learning struct {
	kept    []step // operations since the cut, in order; kept[next:] are to be counted
	next    int
	bytes   int
	fresh   bool // the state at the cut is there
	partial bool // the replica is on its way from the cut, or to it: it lacks operations that count in its primary
}

// enterLearning begins to learn what the primary holds.
func (c *Core) enterLearning(now clock.Time, me *Judged) {
	c.loseLocks(now)
	if me.Unsupported {
		c.unsupported(now, c.unsupportedRules())
		return
	}
	c.phase = Learning
	c.outside(now, true)
	c.learn = learning{partial: c.learn.partial}
	c.writeEstablished()
	if c.cfg.Probe != nil {
		c.probe(now, &Probe{Kind: ProbeFollowed, Opening: &c.ex.d.Opening})
	}
	c.beginTransfer(now)
}

// endLearning forgets what was kept: the ring is gone, or the learner has too much of it.
func (c *Core) endLearning(now clock.Time) {
	c.unknown(now, c.learn.kept[c.learn.next:])
	c.learn = learning{partial: c.learn.partial}
	c.endTransfer(now)
}

// keep keeps one step until the state at the cut is there.
func (c *Core) keep(now clock.Time, s *step) {
	for _, o := range s.slots {
		o.place = doubted
		if o.own == exit { // it needs no replica to have counted
			c.exited, c.exitDone = true, true
		}
	}
	l := &c.learn
	l.kept = append(l.kept, *s)
	if l.bytes += len(s.batch) + stepBytes; l.bytes > learnBytes {
		c.stats.Overruns++
		c.warn(now, Warn, c.cfg.Self, "the state comes more slowly than operations do: it is fetched anew")
		c.unknown(now, l.kept[l.next:])
		*l = learning{partial: l.partial}
		c.overrun(now)
	}
}

// restored takes the state at the cut: what was kept follows on it.
func (c *Core) restored(now clock.Time, s *State) {
	if c.phase != Learning {
		return
	}
	c.replace(now, s)
	if c.cfg.Store != nil {
		c.cfg.Store.Snapshot(snapshotOf(s.Cut(now), now, true))
	}
	c.learned(now)
	if c.cfg.Store != nil {
		c.disk.durable, c.disk.replaced = 0, c.disk.last
	}
}

// caughtUp takes the steps from this replica to the cut. It is false where they do not lead there.
func (c *Core) caughtUp(now clock.Time, steps []step, index, hash uint64) bool {
	if c.phase != Learning || c.state == nil {
		return false
	}
	c.learn.partial = true
	for i := range steps {
		c.apply(now, &steps[i])
	}
	if c.state.Index() != index || c.state.Hash() != hash {
		c.stats.HashMismatches++
		c.replace(now, nil)
		return false
	}
	c.learned(now)
	return true
}

func (c *Core) learned(now clock.Time) {
	c.learn.fresh, c.learn.partial = true, true
	c.commit(now, c.state.Index())
	c.certain, c.doubtful = wire.VoterSet{Index: c.state.Index(), Voters: c.state.Voters()}, nil
	c.stats.Transfers++
	if c.cfg.Store != nil {
		c.cfg.Store.Quorum(c.memory())
		c.disk.dirty = true
		c.flushStore(now)
	}
	if c.cfg.Probe != nil {
		c.probe(now, &Probe{Kind: ProbeRestored})
	}
}

// workLearning counts a part of what was kept.
func (c *Core) workLearning(now clock.Time) (more bool) {
	l := &c.learn
	if c.phase != Learning || !l.fresh || c.transitional {
		return false
	}
	for n := 0; n < learnStep && l.next < len(l.kept); n++ {
		c.apply(now, &l.kept[l.next])
		l.kept[l.next] = step{}
		l.next++
	}
	if l.next < len(l.kept) {
		return true
	}
	c.learn = learning{}
	c.phase = Complete
	c.endTransfer(now)
	return false
}

// proposeReady proposes Ready as soon as this replica is complete, with a disk as soon as that holds it.
func (c *Core) proposeReady(now clock.Time) {
	if c.phase != Complete || c.transitional || c.closing || c.owns[ready] > 0 {
		return
	}
	if m, ok := c.state.Member(c.cfg.Self); !ok || m.Ready || c.cfg.Store != nil && c.disk.durable < c.cutIndex() {
		return
	}
	c.propose(ready, wire.ClusterOp{Kind: wire.OpReady, Seat: c.seat})
}

// cutIndex is the index at which the present primary began.
func (c *Core) cutIndex() uint64 {
	m, _ := c.state.Member(c.cfg.Self)
	return m.Age
}
