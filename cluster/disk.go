package cluster

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// durability is what the core knows of its Store, and what the voters tell of theirs.
type durability struct {
	ticket   uint64      // of the last whole that is durable
	last     uint64      // that was handed over
	pending  []whole     // that are not
	dirty    bool        // something was handed over since the last Flush
	hurry    bool        // and must not wait
	durable  uint64      // index that is durable
	replaced uint64      // ticket of the whole with which another history began on the disk
	told     uint64      // index of the last Synced that was sent
	sent     bool        // it was not delivered yet
	synced   []uint64    // what the members of the ring have told, by place
	at       []wire.Seat // their seats, by place

	since      int // bytes of log since the last snapshot
	operations int
	writing    bool       // the services' parts of one are being made
	retry      clock.Time // no other one before
}

// whole is what one Flush of the Store has handed over.
type whole struct {
	ticket uint64
	at     clock.Time
}

// log hands one counted step to the disk.
func (c *Core) log(s *step) {
	e := s.entry()
	c.buf = wire.AppendClusterPart(c.buf[:0], &e)
	c.cfg.Store.Append(s.index, s.hash, c.buf)
	c.disk.dirty = true
	c.disk.since += len(c.buf)
	c.disk.operations++
}

// memory is what a seat must not forget, as the disk has it.
func (c *Core) memory() []byte {
	s := wire.ClusterState{Seat: c.seat, Last: c.last, Tried: c.tried, Certain: c.certain.Voters, CertainIndex: c.certain.Index, Ring: c.ring}
	return wire.AppendClusterPart(nil, &s)
}

// writeClaim hands over what must be durable before a Claim: what was tried, and the tail with the opening.
func (c *Core) writeClaim() (ticket uint64) {
	var records [][]byte
	add := func(s *step) {
		e := s.entry()
		records = append(records, wire.AppendClusterPart(nil, &e))
	}
	for i := range c.tail {
		add(&c.tail[i])
	}
	if c.judged().Current {
		add(&step{opening: &c.ex.d.Opening})
	}
	c.cfg.Store.Quorum(c.memory())
	c.cfg.Store.Tail(records)
	c.disk.dirty, c.disk.hurry = true, true
	return c.flushStore(c.now)
}

// writeEstablished hands over that a primary was established. It need not be waited for.
func (c *Core) writeEstablished() {
	if c.cfg.Store == nil {
		return
	}
	c.cfg.Store.Quorum(c.memory())
	c.cfg.Store.Tail(nil)
	c.disk.dirty = true
	c.disk.synced, c.disk.at = make([]uint64, len(c.members)), make([]wire.Seat, len(c.members))
	for i, t := range c.ex.told {
		c.disk.at[i] = t.Seat
	}
	c.disk.told, c.disk.sent = 0, false
}

// flushStore ends a whole.
func (c *Core) flushStore(now clock.Time) (ticket uint64) {
	d := &c.disk
	ticket = c.cfg.Store.Flush(d.hurry)
	d.last = ticket
	d.pending = append(d.pending, whole{ticket, now})
	d.dirty, d.hurry = false, false
	return ticket
}

// flushDisk is the disk's part of the end of a turn.
func (c *Core) flushDisk(now clock.Time) {
	if !c.disked() {
		return
	}
	if d := &c.disk; d.dirty {
		d.hurry = d.hurry || c.owns[exit]+c.owns[ready] > 0
		c.flushStore(now)
	}
	c.snapshot(now)
	c.tellSynced(now)
}

// snapshot offers the state to the disk when its log is long.
func (c *Core) snapshot(now clock.Time) {
	d := &c.disk
	if c.state == nil || d.since < snapshotLogBytes && d.operations < snapshotLogOps {
		return
	}
	if d.writing || now < d.retry {
		return
	}
	cut := c.state.Cut(now)
	left := 0 // parts that are to be made: those of services that this member has
	for _, h := range cut.hosted {
		if !h.written {
			left++
		}
	}
	if left == 0 {
		c.offerSnapshot(now, cut)
		return
	}
	// The services' parts are made first, on another goroutine: the store is given what is there.
	d.writing = true
	history := c.replaced
	for _, h := range cut.hosted {
		if h.err != nil {
			c.snapshotFailed(now, cut, h)
			return
		}
		if h.written {
			continue
		}
		c.writeOut(h, func(now clock.Time) {
			if left--; left > 0 || !d.writing {
				return
			}
			d.writing = false
			for _, h := range cut.hosted {
				if h.err != nil {
					c.snapshotFailed(now, cut, h)
					return
				}
			}
			if history == c.replaced && !c.failed {
				c.offerSnapshot(now, cut)
				d.dirty = true // nothing else may be written for a while
			}
		})
	}
}

func (c *Core) offerSnapshot(now clock.Time, cut *Cut) {
	if c.cfg.Store.Snapshot(snapshotOf(cut, now, false)) {
		c.disk.since, c.disk.operations = 0, 0
	}
}

// snapshotAgain is how long the disk waits after a snapshot of a service that has failed. The log grows meanwhile.
const snapshotAgain = 10 * time.Second

// snapshotFailed gives up a snapshot for the disk.
func (c *Core) snapshotFailed(now clock.Time, cut *Cut, h *hostedCut) {
	c.disk.writing, c.disk.retry = false, now.Add(snapshotAgain)
	c.sayFailed(now, h)
	cut.drop()
}

// snapshotPart is how long a part of a snapshot is, in bytes.
const snapshotPart = 256 << 10

// snapshotOf is a cut in parts, as the disk takes them. The first one is the cut's digest, each other one begins with the
// number of its part. What the services have, which is made by now, is behind the parts of the maps, each service as one part.
func snapshotOf(cut *Cut, now clock.Time, replace bool) Snapshot {
	part, from, begun := uint32(0), uint64(0), false
	return Snapshot{Index: cut.Index, Hash: cut.Hash, Replace: replace, Next: func() []byte {
		if !begun {
			begun = true
			return binary.LittleEndian.AppendUint64(nil, cut.Digest)
		}
		b := binary.LittleEndian.AppendUint32(nil, part)
		if k := int(part) - cut.Parts(); k >= 0 {
			if k >= len(cut.hosted) {
				return nil
			}
			all := cut.hosted[k].bytes
			piece := all[from:min(uint64(len(all)), from+snapshotPart)]
			if from += uint64(len(piece)); from == uint64(len(all)) {
				part, from = part+1, 0
			}
			return append(b, piece...)
		}
		b, _, next, end := cut.Part(b, now, part, from, snapshotPart)
		from = next
		if end {
			part, from = part+1, 0
		}
		return b
	}}
}

// readSnapshot makes a State of the parts of snapshotOf, and returns what its services have.
func readSnapshot(parts func(func([]byte) error) error) (s *State, hosted [][]byte, err error) {
	b, digest, begun := NewBuilder(), uint64(0), false
	err = parts(func(part []byte) error {
		switch {
		case !begun && len(part) == 8:
			begun, digest = true, binary.LittleEndian.Uint64(part)
			return nil
		case !begun || len(part) < 4:
			return wire.ErrMalformed
		}
		number := binary.LittleEndian.Uint32(part)
		if n := b.Parts(); n > 0 && int(number) >= n {
			k := int(number) - n
			if k >= len(b.state.services.list) {
				return wire.ErrRange
			}
			for len(hosted) <= k {
				hosted = append(hosted, nil)
			}
			hosted[k] = append(hosted[k], part[4:]...)
			return nil
		}
		return b.Add(0, number, part[4:])
	})
	if err != nil {
		return nil, nil, err
	}
	if s, err = b.State(digest); err == nil && len(hosted) != len(s.services.list) {
		return nil, nil, ErrDigest
	}
	return s, hosted, err
}

// restoreServices gives the machines what the disk had.
func (c *Core) restoreServices(s *State, parts [][]byte) error {
	r := &restoring{state: s, parts: parts}
	s.services.attach(c.cfg.Services)
	if h := s.services.lacking(); h != nil && !c.cfg.Observer {
		return fmt.Errorf("the data directory has the state of service %q, which this member does not have", h.name)
	}
	r.run(c.cfg.Services, func() bool { return false })
	return r.err
}

// onDurable takes how far the disk has come.
func (c *Core) onDurable(now clock.Time, ticket, index uint64) {
	d := &c.disk
	d.ticket = max(d.ticket, ticket)
	if d.durable = index; ticket < d.replaced {
		d.durable = 0 // of the history that is to be replaced
	}
	n := 0
	for n < len(d.pending) && d.pending[n].ticket <= ticket {
		took := now.Sub(d.pending[n].at)
		if c.stats.Sync == 0 {
			c.stats.Sync = took
		}
		c.stats.Sync += (took - c.stats.Sync) / 8
		n++
	}
	d.pending = slices.Delete(d.pending, 0, n)
	c.tellSynced(now)
}

// tellSynced multicasts how far the own disk is: one such message is under way at most.
func (c *Core) tellSynced(now clock.Time) {
	d := &c.disk
	if c.phase != Complete || c.transitional || d.sent || d.durable <= d.told || c.cfg.Store == nil {
		return
	}
	d.told, d.sent = d.durable, true
	hash, _ := c.history.hash(d.durable)
	c.put(wire.AppendCluster(nil, wire.KindSynced, &wire.ClusterSynced{Epoch: c.last.Epoch, Index: d.durable, Hash: hash}), false)
}

// onSynced takes how far a member's disk is. An index is committed when a quorum of the voters has it, and of every set of
// voters up to it.
func (c *Core) onSynced(now clock.Time, place int, body []byte) {
	var m wire.ClusterSynced
	d := &c.disk
	if c.cfg.Store == nil || wire.ParseClusterPart(body, &m) != nil || place < 0 || c.phase != Complete && c.phase != Learning || m.Epoch != c.last.Epoch ||
		place >= len(d.synced) || m.Index >= maxBelow {
		if c.cfg.Store != nil {
			c.stats.Ignored++
		}
		return
	}
	if h, ok := c.history.hash(m.Index); ok && m.Hash != 0 && h != m.Hash {
		c.stats.HashMismatches++
		c.warn(now, Error, c.members[place], "its history differs from this member's at index %d", m.Index)
		return
	}
	d.synced[place] = max(d.synced[place], m.Index)
	if c.members[place] == c.cfg.Self {
		d.sent = false
	}
	if c.phase != Complete || c.transitional {
		return
	}
	c.commitSynced(now)
	c.tellSynced(now)
}

// commitSynced commits the highest index that enough disks have.
func (c *Core) commitSynced(now clock.Time) {
	d := &c.disk
	best := c.committed
	for _, index := range d.synced {
		index = min(index, c.state.Index())
		if index <= best {
			continue
		}
		here := func(s wire.Seat) bool {
			for i := range d.synced {
				if d.at[i] == s && d.synced[i] >= index {
					return true
				}
			}
			return false
		}
		// Voters without a disk, all of a set or none, are asked for nothing: to them what was counted is certain.
		durable := func(set []wire.Voter) bool { return len(set) > 0 && !set[0].Disk || Quorum(set, c.last.N, here) }
		ok := durable(c.certain.Voters)
		for i := 0; ok && i < len(c.doubtful) && c.doubtful[i].Index <= index; i++ {
			ok = durable(c.doubtful[i].Voters)
		}
		if ok {
			best = index
		}
	}
	if best > c.committed {
		c.commit(now, best)
		c.cfg.Store.Committed(best)
		c.end(now)
	}
}

// DiskFailed ends this member's part for good: the store has failed. Get goes on.
func (c *Core) DiskFailed(now clock.Time, err error) {
	c.begin(now)
	if c.diskError != nil {
		return
	}
	c.diskError = err
	c.warn(now, Error, c.cfg.Self, "the disk has failed, and this member takes no part any more: %v", err)
	c.loseLocks(now)
	c.failure = CodeDisk
	c.endCalls(CodeDisk)
	if c.phase == Complete && !c.transitional {
		c.propose(exit, wire.ClusterOp{Kind: wire.OpExit})
		c.pack(now)
	}
	c.failed, c.phase = true, Outside
	c.maybeClaim(now)
}

// disked reports whether a Claim waits for a disk.
func (c *Core) disked() bool { return c.cfg.Store != nil && !c.failed }

// recover begins with what the disk held. A record that does not fit leaves the member without a part: the store has
// checked each one against its own sums.
func (c *Core) recover(r *Recovered) {
	c.seat = r.Seat
	if err := c.restore(r); err != nil {
		c.diskError, c.failure, c.failed = err, CodeDisk, true
	}
}

// recovered has what the disk held count from the first input on: until then there was no time.
func (c *Core) recovered(now clock.Time) {
	if c.state == nil {
		return
	}
	c.state.resume(now)
	c.orphans.shift(now)
}

func (c *Core) restore(r *Recovered) error {
	if r.Quorum == nil {
		return nil
	}
	var m wire.ClusterState
	if err := wire.ParseClusterPart(r.Quorum, &m); err != nil {
		return fmt.Errorf("what the seat remembers of primaries: %w", err)
	}
	c.last, c.tried = m.Last, m.Tried
	state := NewState()
	if r.Base != 0 {
		var err error
		var parts [][]byte
		if state, parts, err = readSnapshot(r.Parts); err != nil {
			return err
		}
		if err = c.restoreServices(state, parts); err != nil {
			return err
		}
	}
	if r.Base != 0 || r.End != 0 {
		c.replace(0, state)
		if c.cfg.Probe != nil && r.Base != 0 {
			c.probe(0, &Probe{Kind: ProbeRestored})
		}
		if state.Index() > m.CertainIndex && len(m.Certain) > 0 {
			c.doubtful = []wire.VoterSet{{Index: state.Index(), Voters: state.Voters()}}
		}
		c.committed = m.CertainIndex
		if len(m.Certain) > 0 {
			c.certain = wire.VoterSet{Index: m.CertainIndex, Voters: m.Certain}
		}
		err := r.Log(func(index, hash uint64, record []byte) error {
			var e wire.ClusterEntry
			if err := wire.ParseClusterPart(record, &e); err != nil {
				return err
			}
			c.replay(&step{by: e.Member, batch: slices.Clone(e.Batch), opening: e.Opening})
			if h := c.state.services.lacking(); h != nil && !c.cfg.Observer {
				return fmt.Errorf("the log has operations of service %q, which this member does not have", h.name)
			}
			if c.state.Index() != index || c.state.Hash() != hash {
				return fmt.Errorf("the log leads to index %d, hash %x; its record says %d, %x", c.state.Index(), c.state.Hash(), index, hash)
			}
			return nil
		})
		if err != nil {
			return err
		}
		c.commit(0, min(max(m.CertainIndex, r.Committed), c.state.Index()))
		// Sets of voters from before the certain index are no doubt any more, though the log has led through them again.
		c.doubtful = slices.DeleteFunc(c.doubtful, func(v wire.VoterSet) bool { return v.Index <= c.committed })
		c.disk.dirty = false
	}
	for _, record := range r.Tail {
		var e wire.ClusterEntry
		if err := wire.ParseClusterPart(record, &e); err != nil {
			return err
		}
		c.tail = append(c.tail, step{by: e.Member, batch: slices.Clone(e.Batch), opening: e.Opening})
	}
	c.disk.durable = r.End
	return nil
}

// replay counts one step of the disk's log.
func (c *Core) replay(s *step) {
	store := c.cfg.Store
	c.cfg.Store = replaying{store}
	c.apply(0, s)
	c.cfg.Store = store
	if s.opening != nil {
		c.commit(0, c.state.Index()) // what a primary began with is certain
	}
}

// replaying is the disk while what it held is read.
type replaying struct{ Store }

// Append does nothing: the disk has what is replayed.
func (replaying) Append(index, hash uint64, record []byte) {}
