package cluster

import (
	"bytes"
	"slices"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// maxFill bounds what a Fill carries, and one message of it.
const (
	maxFill     = 16 << 20
	maxFillPart = 256 << 10
)

// exchange is what goes on in one ring until its primary is established.
type exchange struct {
	told           []*wire.ClusterState // by place in Core.members; nil: not yet
	missing        int                  // of told
	filled, forced bool                 // which round: after a fill, after a Force
	d              *Decision

	fill      wire.ClusterFill // as it is put together
	fillBytes int

	claimed  []bool // by place in Core.members
	claims   int
	sent     bool       // the own Claim was offered
	sentAt   clock.Time // when
	ticket   uint64     // of what the disk must have before
	earliest clock.Time // no Claim before
	asked    bool       // the disk was given what it must have
	open     bool       // all have claimed, and the last claim came in the transition

	early []step // with the defect earlyCounts
}

// Transitional takes the transitional configuration of the ring that ends: what is delivered from here on to the next
// Regular went only to those members for certain.
func (c *Core) Transitional(now clock.Time, old wire.RingID, members []wire.MemberID) {
	c.begin(now)
	c.transitional = true
}

// Regular takes a new ring with its members, ascending; the Core keeps the slice.
func (c *Core) Regular(now clock.Time, ring wire.RingID, members []wire.MemberID) {
	c.begin(now)
	switch c.phase {
	case Claiming:
		c.endClaim()
	case Learning:
		c.endLearning(now)
	}
	c.provide.end(now)
	c.ring, c.members, c.alone, c.transitional = ring, members, len(members) == 1, false
	if !c.failed {
		c.failure, c.why = CodeOK, ""
	}
	c.full = c.full && c.alone
	if c.cfg.defect == tailProposedAgain {
		c.proposeTail()
	}
	c.seen = c.lastVisit // of the leader: before a lock is orphaned in this ring
	if c.seen == 0 {
		c.seen = c.started
	}
	c.linear.again()
	c.out = c.out[:0]
	c.enterExchange(now, false, false)
}

// enterExchange begins a round of States.
func (c *Core) enterExchange(now clock.Time, filled, forced bool) {
	c.phase = Exchange
	c.ex = exchange{told: make([]*wire.ClusterState, len(c.members)), missing: len(c.members), filled: filled, forced: forced}
	s := c.tell(now)
	c.put(wire.AppendCluster(nil, wire.KindState, s), true)
}

// place is where a member stands in the ring; -1: it is not in it.
func (c *Core) place(id wire.MemberID) int {
	i, ok := slices.BinarySearchFunc(c.members, id, func(a, b wire.MemberID) int { return bytes.Compare(a[:], b[:]) })
	if !ok {
		return -1
	}
	return i
}

// tell is this member's State.
func (c *Core) tell(now clock.Time) *wire.ClusterState {
	s := &wire.ClusterState{
		Ring: c.ring, Seat: c.seat, Name: c.cfg.Name, Started: uint64(max(c.cfg.Started, 0)), Wall: c.wall(now),
		Last: c.last, Tried: c.tried, Expected: uint32(c.cfg.Expected), Weight: c.weight, Guard: uint64(c.cfg.Guard),
		RulesMin: c.rules.min, RulesMax: c.rules.max, Load: c.load.get(now), MaxValue: uint32(c.cfg.MaxValue), StateLimit: uint64(c.cfg.StateLimit),
		Disk: c.cfg.Store != nil, Observer: c.cfg.Observer, Services: c.serviceNames(), Forced: c.ex.forced, Filled: c.ex.filled,
	}
	if c.cfg.defect == openForgotten {
		s.Tried = nil
	}
	if c.failed {
		s.Seat, s.Disk, s.Observer = wire.Seat(c.cfg.Self), false, true
	}
	if c.failed || c.learn.partial {
		return s // what is not complete must not pass for what it is on its way to
	}
	if c.state != nil && !c.founding() {
		s.Index, s.Hash = c.state.Index(), c.state.Hash()
		s.Certain, s.CertainIndex = c.certain.Voters, c.certain.Index
	}
	s.Stages = c.stages()
	return s
}

// onState takes one member's State.
func (c *Core) onState(now clock.Time, place int, body []byte) {
	s := new(wire.ClusterState)
	if err := wire.ParseClusterPart(body, s); err != nil || place < 0 || s.Ring != c.ring || c.phase != Exchange || c.transitional ||
		s.Filled != c.ex.filled || s.Forced != c.ex.forced || c.ex.told[place] != nil {
		c.stats.Ignored++
		return
	}
	c.ex.told[place] = s
	if c.ex.missing--; c.ex.missing > 0 {
		return
	}
	told := make([]Told, len(c.members))
	for i, id := range c.members {
		told[i] = Told{id, c.ex.told[i]}
	}
	d := judge(c.ring, told, c.cfg.defect)
	c.ex.d = d
	c.notice(now)
	switch {
	case !d.OK && c.judged().Unsupported:
		c.unsupported(now, c.unsupportedRules())
	case !d.OK:
		c.enterOutside(now)
	case d.Opening.Founding && c.full:
		c.unsupported(now, ringFull)
	case d.Filler != (wire.MemberID{}) && !c.ex.filled:
		c.enterFilling(now)
	default:
		c.enterClaiming(now)
	}
}

// judged is what was decided of this member.
func (c *Core) judged() *Judged { return &c.ex.d.Members[c.place(c.cfg.Self)] }

// enterOutside answers all callers: there is no primary here until the next ring.
func (c *Core) enterOutside(now clock.Time) {
	c.phase = Outside
	c.outage.begun(now)
	c.refuseAll(now)
}

// enterFilling waits for recent history, or sends it.
func (c *Core) enterFilling(now clock.Time) {
	c.phase = Filling
	if c.ex.d.Filler == c.cfg.Self {
		c.sendFill()
	}
}

// sendFill multicasts what the others may lack of the history that the primary begins with.
func (c *Core) sendFill() {
	f := wire.ClusterFill{Ring: c.ring, Chain: c.ex.d.Opening.Primary.Chain, Epoch: c.ex.d.Opening.Primary.Epoch}
	c.unknown(c.now, c.trimTail(c.judged().Stages))
	steps := c.missed(&f)
	tail := c.positions()
	size := 0
	for i := range tail {
		size += len(tail[i].batch) + stepBytes
	}
	for i := len(steps) - 1; i >= 0; i-- {
		if size += len(steps[i].batch) + stepBytes; size > maxFill {
			f.Index, f.Hash = steps[i].index, steps[i].hash
			steps = steps[i+1:]
			break
		}
	}
	size = 0
	add := func(s *step) {
		if size > 0 && size+len(s.batch)+stepBytes > maxFillPart {
			c.put(wire.AppendCluster(nil, wire.KindFill, &f), true)
			f.Entries, size = nil, 0
		}
		f.Entries = append(f.Entries, s.entry())
		size += len(s.batch) + stepBytes
	}
	for i := range steps {
		add(&steps[i])
	}
	for i := range tail {
		add(&tail[i])
	}
	f.Last = true
	c.put(wire.AppendCluster(nil, wire.KindFill, &f), true)
}

// missed is what this replica has counted since the earliest of the replicas of the others that are a prefix of its history and
// in reach of its log; f begins there.
func (c *Core) missed(f *wire.ClusterFill) (steps []step) {
	if c.founding() {
		return nil // all is in the tail
	}
	f.Index, f.Hash = c.state.Index(), c.state.Hash()
	for i := range c.ex.d.Members {
		m := &c.ex.d.Members[i]
		if m.Current || m.Refused || len(m.State.Stages) == 0 {
			continue
		}
		if l, ok := c.history.after(m.State.Index, m.State.Hash); ok && len(l) > len(steps) {
			steps, f.Index, f.Hash = l, m.State.Index, m.State.Hash
		}
	}
	return steps
}

// onFill takes one message of a fill. With the last one everybody tells its State once more.
func (c *Core) onFill(now clock.Time, from wire.MemberID, body []byte) {
	var f wire.ClusterFill
	if c.phase != Filling || c.transitional || from != c.ex.d.Filler || wire.ParseClusterPart(body, &f) != nil || f.Ring != c.ring {
		c.stats.Ignored++
		return
	}
	whole := &c.ex.fill
	if c.ex.fillBytes += len(body); c.ex.fillBytes > 4*maxFill {
		c.stats.Ignored++
		f.Entries = nil // more than any member sends: as if it had sent nothing
		whole.Entries = nil
	}
	if whole.Ring != c.ring {
		*whole = wire.ClusterFill{Ring: c.ring, Index: f.Index, Hash: f.Hash}
	}
	if from != c.cfg.Self {
		for i := range f.Entries {
			e := f.Entries[i]
			if e.Opening == nil {
				e.Batch = bytes.Clone(e.Batch)
			}
			whole.Entries = append(whole.Entries, e)
		}
	}
	if !f.Last {
		return
	}
	if from != c.cfg.Self {
		c.takeFill(now)
	}
	c.enterExchange(now, true, c.ex.forced)
}

// takeFill makes what follows on this replica its tail, if the replica is a prefix of that history.
func (c *Core) takeFill(now clock.Time) {
	f, me := &c.ex.fill, c.judged()
	if me.Current || me.Unsupported || c.state == nil && !c.founding() {
		return
	}
	var chain wire.Chain
	var index, hash uint64
	if c.founding() {
		chain = c.tail[0].opening.Primary.Chain
	} else {
		chain, index, hash = c.state.Primary().Chain, c.state.Index(), c.state.Hash()
	}
	if chain != c.ex.d.Opening.Primary.Chain {
		return
	}
	entries, ok := f.Entries, f.Index == index && f.Hash == hash
	for i := 0; !ok && i < len(f.Entries); i++ {
		if e := &f.Entries[i]; e.Index == index && e.Hash == hash && index > 0 {
			entries, ok = f.Entries[i+1:], true
		}
	}
	if !ok {
		return
	}
	c.stats.Fills++
	told := c.ex.told[c.place(c.ex.d.Filler)]
	if told.Last != nil && c.last == nil {
		c.last = told.Last
	}
	c.goneOn(told.Last)
	old, tail := c.tail, make([]step, 0, len(entries))
	for i := range entries {
		e := &entries[i]
		s := step{by: e.Member, batch: e.Batch, opening: e.Opening, received: now}
		if p := e.Opening; p != nil {
			if c.last == nil || c.last.Chain != p.Primary.Chain || p.Primary.Epoch > c.last.Epoch {
				c.try(&p.Primary)
			}
		} else if k := slices.IndexFunc(old, func(o step) bool { return o.opening == nil && o.by == s.by && bytes.Equal(o.batch, s.batch) }); k >= 0 {
			c.unknown(now, old[:k])
			s.received, s.slots = old[k].received, old[k].slots
			old = old[k+1:]
		}
		tail = append(tail, s)
	}
	c.unknown(now, old)
	c.tail = tail
}

// try notes a primary that may have been established. Of more than a member can remember the oldest one goes: only a Force
// claims one more.
func (c *Core) try(p *wire.Primary) {
	if !among(c.tried, p) {
		c.tried = append(slices.Clip(c.tried), *p)
		c.tried = c.tried[max(len(c.tried)-wire.MaxTried, 0):]
	}
}

// goneOn takes it that the chain has come to p: what was tried before it in the chain is moot.
func (c *Core) goneOn(p *wire.Primary) {
	if p == nil || c.last == nil || c.last.Chain != p.Chain {
		return
	}
	if p.Epoch > c.last.Epoch {
		c.last = p
	}
	c.tried = slices.DeleteFunc(slices.Clone(c.tried), func(o wire.Primary) bool {
		return o.Chain == c.last.Chain && o.Epoch <= c.last.Epoch
	})
}

// enterClaiming notes the primary that is judged, and claims it when it may.
func (c *Core) enterClaiming(now clock.Time) {
	d, me := c.ex.d, c.judged()
	c.phase = Claiming
	c.ex.claimed = make([]bool, len(c.members))
	if c.cfg.defect != nothingFails {
		c.tried = slices.DeleteFunc(slices.Clone(c.tried), func(p wire.Primary) bool { return among(d.Failed, &p) })
		c.unknown(now, c.trimTail(me.Stages))
		c.goneOn(d.Last)
	}
	c.try(&d.Opening.Primary)
	if c.cfg.Probe != nil {
		c.probe(now, &Probe{Kind: ProbeClaimed, Opening: &d.Opening})
	}
	if !me.Current {
		// Its history may not be the one that goes on.
		if c.state != nil && c.state.Primary().Chain != d.Opening.Primary.Chain {
			c.loseLocks(now)
		}
	}
	switch d.Wait {
	case WaitDiscovery:
		c.ex.earliest = c.started.Add(c.cfg.Discovery)
	case WaitRejoin:
		c.ex.earliest = now.Add(c.cfg.Rejoin)
	}
	c.maybeClaim(now)
}

// maybeClaim sends the Claim if its time has come: the disk is given what must be on it first.
func (c *Core) maybeClaim(now clock.Time) {
	x := &c.ex
	if c.phase != Claiming || x.sent || c.transitional || now < x.earliest {
		return
	}
	if c.disked() && !x.asked {
		x.asked = true
		x.ticket = c.writeClaim()
	}
	if c.disked() && c.disk.ticket < x.ticket && c.cfg.defect != claimBeforeDisk {
		return
	}
	x.sent, x.sentAt = true, now
	c.put(wire.AppendCluster(nil, wire.KindClaim, &wire.ClusterClaim{Ring: c.ring}), true)
}

// onClaim takes one member's Claim.
func (c *Core) onClaim(now clock.Time, place int, body []byte) {
	var m wire.ClusterClaim
	if wire.ParseClusterPart(body, &m) != nil || place < 0 || m.Ring != c.ring || c.phase != Claiming || c.ex.claimed[place] {
		c.stats.Ignored++
		return
	}
	c.ex.claimed[place] = true
	if c.ex.claims++; c.ex.claims < len(c.members) && !(c.cfg.defect == oneRound && place == c.place(c.cfg.Self)) {
		return
	}
	if c.transitional && c.cfg.defect != openIsEstablished {
		c.ex.open = true
		c.stats.ClaimsOpen++
		if c.judged().Current && c.cfg.defect != openingNotInTail {
			c.tail = append(c.tail, step{opening: &c.ex.d.Opening, received: now})
		}
		if c.cfg.Probe != nil {
			c.probe(now, &Probe{Kind: ProbeOpen, Opening: &c.ex.d.Opening})
		}
		return
	}
	c.established(now)
}

// endClaim ends an attempt whose ring is gone before all have claimed: it has failed, since whoever had established it would
// have brought all claims here too.
func (c *Core) endClaim() {
	if c.ex.open {
		return
	}
	c.stats.ClaimsFailed++
	if c.cfg.Probe != nil {
		c.probe(c.now, &Probe{Kind: ProbeFailed, Opening: &c.ex.d.Opening})
	}
	p := &c.ex.d.Opening.Primary
	c.tried = slices.DeleteFunc(slices.Clone(c.tried), func(o wire.Primary) bool { return samePrimary(&o, p) })
}

// established begins the primary that all have claimed.
func (c *Core) established(now clock.Time) {
	d, me := c.ex.d, c.judged()
	o := &d.Opening
	c.stats.Establishments++
	c.outage = outage{}
	c.last, c.tried = &o.Primary, nil
	if c.failed {
		c.phase = Outside
		c.outside(now, false) // an Exit that did not count: in this primary it would not free the seat
		return
	}
	if me.Current && c.beginPrimary(now, o) {
		return
	}
	c.unknown(now, c.tail)
	c.tail = nil
	c.enterLearning(now, me)
}

// beginPrimary makes this replica one of those that primary o begins with. It is false where the replica is not what it was judged by.
func (c *Core) beginPrimary(now clock.Time, o *wire.Opening) bool {
	if o.Founding || c.founding() {
		if c.taking != nil {
			c.taking.cancel()
			c.taking = nil
		}
		c.emptyMachines(now, nil, c.otherChain(o.Primary.Chain))
		c.replace(now, NewState())
	}
	tail := c.tail
	c.tail, c.joining = nil, true
	for i := range tail {
		c.apply(now, &tail[i])
	}
	c.joining = false
	if !o.Founding && (c.state.Index() != o.End || c.state.Hash() != o.Hash) {
		c.mismatch(now, o)
		return false
	}
	c.phase = Complete
	c.apply(now, &step{opening: o, received: now})
	c.confirm(c.ex.sentAt)
	c.yielded, c.served.common = 0, common(o)
	c.compareLocks(now)
	c.commit(now, c.state.Index())
	c.fetch = fetching{}
	c.provide.begin(now, c.state)
	c.writeEstablished()
	for i := range c.ex.early {
		c.apply(now, &c.ex.early[i])
	}
	return true
}

// mismatch drops a replica that does not hold what it should.
func (c *Core) mismatch(now clock.Time, o *wire.Opening) {
	c.stats.HashMismatches++
	c.warn(now, Error, c.cfg.Self, "the replica differs from those of the primary that it should continue; it is dropped, and the state is fetched from another member")
	c.replace(now, nil)
}
