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
	learnSlice = 24 << 10  // bytes of operations that it counts in one turn: 200 µs or so
)

// learning is a learner's part.
type learning struct {
	kept  []step // operations since front, in order; kept[next:] are to be counted
	next  int
	bytes int
	front position // before kept[next]
	fresh bool     // the replica is at front, or further

	partial bool // the replica is on its way to front, or to what is kept: it lacks operations that count in its primary
}

// enterLearning begins to learn what the primary holds.
func (c *Core) enterLearning(now clock.Time, me *Judged) {
	c.loseLocks(now)
	if me.Unsupported {
		c.unsupported(now, c.unsupportedRules())
		return
	}
	if me.Twin {
		c.unsupported(now, copiedSeat)
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

// endLearning forgets what was kept: the ring is gone. The replica lacks what it did not count.
func (c *Core) endLearning(now clock.Time) {
	c.unknown(now, c.learn.kept[c.learn.next:])
	c.learn = learning{partial: c.learn.partial}
	c.pauseTransfer()
}

// keep keeps one step until the state that it follows on is there.
func (c *Core) keep(now clock.Time, s *step) {
	for _, o := range s.slots {
		o.place = doubted
		if o.own == exit { // it needs no replica to have counted
			c.exited, c.exitDone = true, true
		}
	}
	l := &c.learn
	l.kept = append(l.kept, *s)
	l.bytes += len(s.batch) + stepBytes
	if l.bytes <= c.learnBytes() {
		return
	}
	for l.bytes > c.learnBytes() {
		c.passOver(now)
	}
	of := c.fetch.cut.index
	if c.fetch.of.Index != 0 {
		of = c.fetch.of.Index
	}
	if l.fresh || !c.fetch.anew && of < l.front.index || c.fetch.of.Index != 0 && of < l.front.index {
		c.overrun(now)
	}
}

func (c *Core) learnBytes() int {
	if c.cfg.learnBytes > 0 {
		return c.cfg.learnBytes
	}
	return learnBytes
}

// passOver drops the oldest step that is kept.
func (c *Core) passOver(now clock.Time) {
	l := &c.learn
	s := &l.kept[l.next]
	l.front.skip(s.by, s.batch)
	c.unknown(now, l.kept[l.next:l.next+1])
	l.drop()
}

// drop takes the oldest step out.
func (l *learning) drop() {
	l.bytes -= len(l.kept[l.next].batch) + stepBytes
	l.kept[l.next] = step{}
	if l.next++; l.next > 1024 && l.next > len(l.kept)/2 {
		n := copy(l.kept, l.kept[l.next:])
		clear(l.kept[n:])
		l.kept, l.next = l.kept[:n], 0
	}
}

// overrun begins anew: operations that follow on what is fetched were lost.
func (c *Core) overrun(now clock.Time) {
	c.stats.Overruns++
	c.warn(now, Warn, c.cfg.Self, "the state comes more slowly than operations do: it is fetched anew")
	c.learn.fresh = false
	c.fetch.anew = true
	c.startOver(now)
}

// restored takes a state that was fetched, with what its services have. It is that at a cut, which may be one of an earlier primary.
func (c *Core) restored(now clock.Time, s *State, parts [][]byte) {
	c.replace(now, s)
	if c.cfg.Probe != nil {
		c.probe(now, &Probe{Kind: ProbeRestored})
	}
	c.learn.partial = true
	if c.cfg.Store != nil {
		c.cfg.Store.Snapshot(snapshotOf(s.cutWith(now, parts), now, true))
		c.disk.writing = false
		c.cfg.Store.Quorum(c.memory())
		c.disk.dirty = true
		c.flushStore(now)
		c.disk.durable, c.disk.replaced = 0, c.disk.last
	}
	if c.phase != Learning {
		return // its ring is gone; it goes on from here in the next one
	}
	if s.Index() < max(c.fetch.cut.index, c.learn.front.index) || s.primary.Chain != c.fetch.opening.Primary.Chain {
		c.fetch.stateless = false
		c.ask(now) // for the operations that lead to the present one
		return
	}
	c.learned(now)
}

// learned takes in that the replica has come to where the kept operations follow on it.
func (c *Core) learned(now clock.Time) {
	c.learn.fresh, c.learn.partial = true, true
	if c.cfg.defect == presentSnapshot {
		c.learn.front = c.state.position
	}
	c.commit(now, c.state.Index())
	c.certain = wire.VoterSet{Index: c.state.Index(), Voters: c.state.Voters()}
	c.doubtful = nil
	c.stats.Transfers++
	if c.cfg.Store != nil {
		c.cfg.Store.Quorum(c.memory())
		c.disk.dirty = true
		c.flushStore(now)
	}
}

// workKept counts a part of what was kept.
func (c *Core) workKept(now clock.Time) (more bool) {
	l := &c.learn
	for cost := 0; cost < learnSlice && l.next < len(l.kept); {
		s := &l.kept[l.next]
		cost += len(s.batch) + stepBytes
		if l.front.index < c.state.Index() {
			c.passOver(now)
			continue
		}
		if !c.atFront(now) {
			return true
		}
		c.apply(now, s)
		l.drop()
		l.front.index, l.front.hash = c.state.Index(), c.state.Hash()
	}
	if l.next < len(l.kept) {
		return true
	}
	if l.front.index < c.state.Index() {
		return false // the cut is ahead of what has come here so far
	}
	if !c.atFront(now) {
		return true
	}
	c.learn = learning{}
	c.fetch = fetching{}
	c.phase = Complete
	c.served.common = common(&c.ex.d.Opening)
	return false
}

// demote has a member whose services have answered wrongly learn the state again, from those that were right. It stays in the
// member table, and votes: what it remembers of primaries is right.
func (c *Core) demote(now clock.Time, providers []wire.MemberID) {
	front := c.state.position
	c.loseLocks(now)
	c.phase = Learning
	c.outside(now, true)
	c.replace(now, nil)
	c.learn = learning{front: front}
	f := &c.fetch
	*f = fetching{on: true, opening: &c.ex.d.Opening, cut: position{index: front.index, hash: front.hash}, providers: providers, anew: true}
	c.ask(now)
}

// atFront reports whether the replica is where the kept operations begin. Otherwise it begins anew.
func (c *Core) atFront(now clock.Time) bool {
	if c.learn.front.index == c.state.Index() && c.learn.front.hash == c.state.Hash() {
		return true
	}
	c.mismatched(now)
	return false
}

// mismatched drops a replica that does not hold what others do.
func (c *Core) mismatched(now clock.Time) {
	c.stats.HashMismatches++
	c.warn(now, Error, c.cfg.Self, "the replica differs from the history of the primary: it is dropped, and the state is fetched from another member")
	c.replace(now, nil)
	c.learn.fresh = false
	c.fetch.anew = true
	c.startOver(now)
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
