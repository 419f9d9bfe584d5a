package cluster

import (
	"fmt"
	"slices"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// The versions of the rules that this build supports.
const (
	rulesMin = 1
	rulesMax = rulesOfServices
)

// rulesFor is the highest version of the rules that a member follows. One without services has no part in a cluster that has
// some, unless it only watches. So a cluster of such members stays one with builds that know no services.
func rulesFor(cfg *Config) uint32 {
	if len(cfg.Services) == 0 && !cfg.Observer {
		return rulesOfServices - 1
	}
	return rulesMax
}

// Core is one member's part of a cluster. See the package.
type Core struct {
	cfg     Config
	seat    wire.Seat
	weight  int64
	now     clock.Time // of the last input
	started clock.Time // of the first one
	phase   Phase
	stats   Stats

	// The ring.
	ring         wire.RingID
	members      []wire.MemberID // ascending
	alone        bool            // the only one
	transitional bool            // between the transitional configuration and the next regular one
	full         bool            // a ring has refused this member, since it has as many members as it can have
	lastVisit    clock.Time      // of a token in any ring
	seen         clock.Time      // the last visit before this ring
	confirmed    clock.Time      // every member of the primary was in it then or later
	out          []message       // what the ring did not take yet
	ex           exchange

	// What is known of primaries.
	last  *wire.Primary  // the last established one
	tried []wire.Primary // claimed, and perhaps established; oldest first

	// The replica.
	state     *State // nil: none
	history   history
	tail      []step
	certain   wire.VoterSet   // the last voters that are certain, and up to where
	doubtful  []wire.VoterSet // those since
	committed uint64          // index up to which everything is certain
	reset     bool            // the replica was replaced since the last publication
	dirty     bool            // the replica has changed since
	events    []Event         // of maps, since
	learn     learning
	fetch     fetching
	questions uint64 // that a learner has asked
	provide   providing
	disk      durability
	served    serving
	taking    *restoring // nil: the machines are at rest
	machines  wire.Chain // whose state they hold
	replaced  int        // how often the replica was

	// Calls.
	calls       map[uint64]*slot // by Call.Number
	queue       queue            // not proposed
	again       queue            // dropped by everybody, and to be proposed before those of queue
	own         queue            // the core's own, not proposed
	owns        [7]int           // how many of each ownKind there are
	flight      queue            // offered to the ring, in order
	counts      []int            // of how many each message of them is; counts[counted:] have not come back
	counted     int
	uncommitted queue            // they have a result
	waiting     []*slot          // WaitReady
	forces      []*slot          // Force
	requests    map[uint64]*slot // Lock calls by their request, from the proposal to the grant
	request     uint64
	done        []*Call
	linear      linear
	given       int  // slots in queue whose callers have given up, about
	joining     bool // the tail is counted, before an establishment
	load        load
	spare       *slot
	buf         []byte
	ops         wire.ClusterOps
	packed      []*slot
	landing     []*slot

	// Locks.
	holds    map[uint64]*hold // that callers have, by the Number of their Lock calls
	firstEnd clock.Time       // the earliest deadline of holds; 0: not known
	lost     []uint64
	orphans  orphans
	guards   map[wire.MemberID]time.Duration
	maxGuard time.Duration
	sweepAt  clock.Time
	yielded  uint64 // the token of the mastership that this member has proposed to give up in the present primary

	// The end.
	closing    bool
	closeBy    clock.Time
	exited     bool // the own Exit has counted
	exitIndex  uint64
	exitDone   bool // and it is certain
	failed     bool // the disk has: this member only lets the others go on
	failure    Code // of calls outside, where it is not CodeOK
	why        string
	diskError  error
	blamed     clock.Time // when a member was named in the log
	published  Publication
	next       Publication
	everPublic bool
	warned     map[string]bool // what is said once
	clocksBack bool            // the log says that the wall clocks were set back
	outage     outage
	rules      ruleRange
	scratch    step
}

// message waits for the ring.
type message struct {
	payload []byte
	safe    bool
}

// New returns a Core that has heard of no ring yet. A Config that breaks its own rules panics: the root package has
// checked what applications give.
func New(cfg Config) *Core {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&cfg.Guard, DefaultGuard)
	def(&cfg.Discovery, DefaultDiscovery)
	def(&cfg.Rejoin, DefaultRejoin)
	if cfg.Ring == nil || cfg.Sink == nil || cfg.Datagram <= 0 {
		panic("cluster: Config lacks Ring, Sink or Datagram")
	}
	c := &Core{
		cfg: cfg, seat: wire.Seat(cfg.Self), weight: cfg.Weight, maxGuard: cfg.Guard,
		rules: ruleRange{min: rulesMin, max: rulesFor(&cfg)}, warned: map[string]bool{},
		calls: map[uint64]*slot{}, requests: map[uint64]*slot{}, holds: map[uint64]*hold{}, guards: map[wire.MemberID]time.Duration{},
	}
	if cfg.Store != nil {
		c.recover(cfg.Recovered)
	}
	return c
}

// begin is the beginning of every input.
func (c *Core) begin(now clock.Time) {
	c.now = max(c.now, now)
	if c.started == 0 {
		c.started = now
		c.recovered(now)
	}
	c.expireHolds(now)
}

// wall is the wall clock, in microseconds since 1970.
func (c *Core) wall(now clock.Time) uint64 {
	if c.cfg.defect == noClockInIndex {
		return 0
	}
	return uint64(max(c.cfg.Wall+int64(now)/1000, 0))
}

// stamp is what the own operations carry.
func (c *Core) stamp(now clock.Time) uint64 {
	if c.cfg.defect == stampsAtEstablishments {
		return 0
	}
	return c.wall(now)
}

// put multicasts a message of the exchange, now or when the ring takes it.
func (c *Core) put(payload []byte, safe bool) {
	c.out = append(c.out, message{payload, safe})
	c.send(c.now)
}

func (c *Core) send(now clock.Time) {
	n := 0
	for n < len(c.out) && c.cfg.Ring.Offer(now, c.out[n].payload, c.out[n].safe) == nil {
		n++
	}
	c.out = slices.Delete(c.out, 0, n)
}

func (c *Core) warn(now clock.Time, kind WarningKind, m wire.MemberID, format string, args ...any) {
	c.cfg.Sink.Warn(now, &Warning{Kind: kind, Member: m, Text: fmt.Sprintf(format, args...)})
}

// Deliver takes one message of the ring in its place. What d points to is lent.
func (c *Core) Deliver(now clock.Time, d *core.Delivery) {
	c.begin(now)
	kind, body, err := wire.ParseCluster(d.Payload)
	if err != nil {
		c.stats.Ignored++
		return
	}
	place := c.place(d.From)
	switch kind {
	case wire.KindBatch:
		c.onBatch(now, d.Received, d.From, body)
	case wire.KindState:
		c.onState(now, place, body)
	case wire.KindFill:
		c.onFill(now, d.From, body)
	case wire.KindClaim:
		c.onClaim(now, place, body)
	case wire.KindSynced:
		c.onSynced(now, place, body)
	case wire.KindForce:
		c.onForce(now, d.From, body)
	case wire.KindCompared:
		c.onCompared(now, place, body)
	}
}

// onBatch takes operations of one member.
func (c *Core) onBatch(now, received clock.Time, by wire.MemberID, body []byte) {
	slots := c.landed(by)
	switch {
	case c.phase == Complete && !c.transitional:
		c.scratch = step{by: by, batch: body, received: received, slots: slots}
		c.apply(now, &c.scratch)
	case c.phase == Complete || c.phase == Claiming && c.ex.open && c.judged().Current:
		if c.cfg.defect == answersInTransition {
			c.answerEarly(slots)
		}
		c.addTail(now, received, by, body, slices.Clone(slots))
	case c.phase == Learning && !c.transitional:
		c.keep(now, &step{by: by, batch: append([]byte(nil), body...), received: received, slots: slices.Clone(slots)})
	case c.phase == Learning, c.phase == Claiming && c.ex.open:
		c.giveUp(slots, CodeUnknown) // others may have it in their tails
	default:
		if c.cfg.defect == earlyCounts {
			c.ex.early = append(c.ex.early, step{by: by, batch: append([]byte(nil), body...), received: received, slots: slices.Clone(slots)})
			return
		}
		c.dropped(slots)
	}
}

// apply counts one step: the replica goes on by it.
func (c *Core) apply(now clock.Time, s *step) {
	c.dirty = true
	if s.opening != nil {
		c.guard(s.opening)
		c.machines = s.opening.Primary.Chain
		before := c.state.Voters()
		c.state.Establish(now, s.opening)
		grants := c.react(now, s.received, nil)
		c.record(s)
		c.compareAnswers(now)
		if c.cfg.Probe != nil {
			c.probe(now, &Probe{Kind: ProbeEstablished, Opening: s.opening, Voters: before, Grants: grants})
		}
		return
	}
	b, err := wire.ParseBatch(s.batch)
	if err != nil {
		r := c.state.Refuse(s.by, b.Stamp, s.batch)
		c.stats.RefusedMalformed++
		c.blame(now, s.by)
		for _, o := range s.slots {
			o.index, o.code = r.Index, CodeMalformed
			c.settle(now, o)
		}
		c.probeOp(now, s, nil, r, nil, nil)
		c.record(s)
		return
	}
	it := b.Ops()
	for i := 0; it.Step(); i++ {
		r := c.state.Apply(now, s.by, b.Stamp, &it.ClusterOp)
		c.stats.Applied++
		var own *slot
		if i < len(s.slots) {
			own = s.slots[i]
		}
		grants := c.react(now, s.received, own)
		c.count(now, s.by, it.Kind, r.Code)
		c.probeOp(now, s, &it.ClusterOp, r, own, grants)
		if own != nil {
			c.result(now, s.received, own, &it.ClusterOp, r)
		}
	}
	c.record(s)
}

// record notes a step that was counted in the log, and what is certain by it.
func (c *Core) record(s *step) {
	kept := step{index: c.state.Index(), hash: c.state.Hash(), by: s.by, opening: s.opening, received: s.received}
	if s.opening == nil {
		kept.batch = c.history.keep(s.batch)
	}
	c.history.add(kept)
	if c.cfg.Store != nil {
		c.log(&kept)
		return
	}
	c.committed = kept.index
	c.certain = wire.VoterSet{Index: kept.index, Voters: c.state.Voters()}
}

// react takes what the last operation has changed. own is the slot of that operation, if it is this member's.
func (c *Core) react(now, received clock.Time, own *slot) (grants []ProbeGrant) {
	for i, list := 0, c.state.Events(); i < len(list); i++ {
		e := &list[i]
		switch e.Kind {
		case EventPut, EventDeleted, EventExpired, EventOwnerGone:
			c.events = append(c.events, *e)
			if e.Kind == EventExpired {
				c.stats.Expired++
			}
		case EventGranted:
			c.stats.Grants++
			if c.cfg.Probe != nil {
				grants = append(grants, ProbeGrant{e.Map, e.Key, e.By, e.Request, e.Token})
			}
			if e.By == c.cfg.Self {
				c.granted(now, received, e)
			}
		case EventMaster:
			if c.cfg.Probe != nil {
				grants = append(grants, ProbeGrant{To: e.By, Token: e.Token})
			}
		case EventReleased:
			c.orphans.forget(e.Map, e.Key)
		case EventVacant:
			c.orphans.forget("", MasterKey)
		case EventOrphaned:
			c.orphaned(now, e.Map, e.Key, e)
		case EventUnseated:
			c.orphaned(now, "", MasterKey, e)
		case EventPanicked:
			c.stats.Panics++
			c.served.soon = true
		case EventAnswers:
			c.compareAnswers(now)
		case EventVoters:
			if c.cfg.Store != nil {
				c.doubtful = append(c.doubtful, wire.VoterSet{Index: e.Index, Voters: c.state.Voters()})
			}
		}
	}
	c.state.ClearEvents()
	return grants
}

// guard notes the guard times of the members, before some leave the table.
func (c *Core) guard(o *wire.Opening) {
	clear(c.guards)
	for _, m := range c.state.Members() {
		c.guards[m.ID] = time.Duration(m.Guard)
	}
	for i := range o.Members {
		c.maxGuard = max(c.maxGuard, time.Duration(o.Members[i].Guard))
	}
}

// count counts the release of an orphaned lock, and a refusal under its reason.
func (c *Core) count(now clock.Time, by wire.MemberID, kind wire.OpKind, code Code) {
	switch code {
	case CodeOK:
		if kind == wire.OpRelease {
			c.stats.Released++
		}
	case CodeLocked:
		c.stats.RefusedLocked++
	case CodeNotOwner:
		c.stats.RefusedOwner++
	case CodeVersion:
		c.stats.RefusedVersion++
	case CodeTooLarge:
		c.stats.RefusedLimit++
	case CodeMalformed:
		c.stats.RefusedMalformed++
		c.blame(now, by)
	}
}

// blame names, at most once a second, a member whose operation makes no sense.
func (c *Core) blame(now clock.Time, by wire.MemberID) {
	if c.blamed == 0 || now.Sub(c.blamed) >= time.Second {
		c.blamed = now
		c.warn(now, Warn, by, "an operation that breaks the rules of the encoding was refused")
	}
}

// replace takes another replica in the place of the present one; nil: none.
func (c *Core) replace(now clock.Time, s *State) {
	c.state, c.learn.partial, c.served.certain = s, false, 0
	c.replaced++
	c.history.reset()
	c.orphans, c.doubtful, c.events = orphans{}, nil, nil
	c.reset, c.dirty = true, true
	c.certain, c.committed = wire.VoterSet{}, 0
	if s == nil {
		return
	}
	s.tables.leave = c.cfg.defect
	s.services.attach(c.cfg.Services)
	c.machines = s.primary.Chain
	s.ClearEvents()
	c.history.add(step{index: s.Index(), hash: s.Hash()})
	c.certain, c.committed = wire.VoterSet{Index: s.Index(), Voters: s.Voters()}, s.Index()
	for _, h := range s.Orphans() {
		c.orphans.add(lockName{h.Map, h.Key}, h.Token, c.freed(now, h.Holder))
	}
}

// Visit is totem's Config.Visit: an accepted token, before what it lets be delivered.
func (c *Core) Visit(now, confirmed clock.Time, high uint64) {
	c.begin(now)
	if c.lastVisit != 0 {
		c.stats.TokenGap = max(c.stats.TokenGap, now.Sub(c.lastVisit))
	}
	c.lastVisit = now
	c.provide.pace.visit(now, high)
	if c.phase != Complete || c.transitional {
		return
	}
	c.confirm(confirmed)
	c.visitLinear(now, confirmed, high)
}

// ringFull is why a member stays outside that finds no room in the ring.
var ringFull = fmt.Sprintf("the ring has as many members as it can have, %d", wire.MaxRing)

// Full says that the ring has refused this member because it has as many members as a ring can have.
func (c *Core) Full(now clock.Time) {
	c.begin(now)
	if c.full || c.phase == Complete || c.phase == Learning || c.failed || len(c.members) > 1 {
		return
	}
	c.full = true
	c.warn(now, Error, c.cfg.Self, "the ring has as many members as it can have, %d: this member stays outside", wire.MaxRing)
	if c.phase == Outside || c.phase == Claiming && !c.ex.sent {
		c.unsupported(now, ringFull)
	}
}

// unsupported ends all calls, also those that wait until this member is ready.
func (c *Core) unsupported(now clock.Time, why string) {
	c.failure, c.why = CodeUnsupported, why
	c.enterOutside(now)
	for _, s := range c.waiting {
		c.answer(s, CodeUnsupported)
	}
	c.waiting = nil
}

// Durable says that the disk has everything up to a ticket of Store.Flush, and up to which index its replica goes: 0 while
// a snapshot replaces it.
func (c *Core) Durable(now clock.Time, ticket, index uint64) {
	c.begin(now)
	c.onDurable(now, ticket, index)
	c.maybeClaim(now)
}

// Tick fires what is due at or before now.
func (c *Core) Tick(now clock.Time) {
	c.begin(now)
	c.maybeClaim(now)
	c.tickLearning(now)
	c.duties(now)
	c.tellOutside(now)
}

// Deadline is when Tick is next needed; ok is false when nothing is pending.
func (c *Core) Deadline() (at clock.Time, ok bool) {
	at, ok = c.nextLost()
	if c.phase == Claiming && !c.ex.sent && !c.ex.asked && !c.transitional {
		at, ok = clock.Earlier(at, ok, c.ex.earliest, true)
	}
	d, due := c.nextDuty()
	at, ok = clock.Earlier(at, ok, d, due)
	if c.closing && !c.exitDone && c.now < c.closeBy {
		at, ok = clock.Earlier(at, ok, c.closeBy, true)
	}
	if c.published.Primary || c.published.Master == c.cfg.Self {
		u := c.until()
		at, ok = clock.Earlier(at, ok, u, u != never)
	}
	if c.alone && len(c.linear.rounds) > 0 {
		at, ok = clock.Earlier(at, ok, c.now, true)
	}
	d, due = c.nextTold()
	at, ok = clock.Earlier(at, ok, d, due)
	d, due = c.nextLearning()
	return clock.Earlier(at, ok, d, due)
}

// Flush ends a turn: it packs the operations that wait and offers them, publishes what the turn has changed, and then ends the
// calls that were answered.
func (c *Core) Flush(now clock.Time) {
	c.begin(now)
	c.readLinear(now)
	c.duties(now)
	c.proposeReady(now)
	c.raise(now)
	c.forced(now)
	c.end(now)
	c.send(now)
	c.pack(now)
	c.flushDisk(now)
	if len(c.linear.waiting) > 0 || len(c.linear.rounds) > 0 {
		c.cfg.Ring.Hurry()
	}
	c.tellLost(now)
	c.publish(now)
	c.tellCertain()
	for i := 0; i < len(c.done); i++ {
		call := c.done[i]
		c.done[i] = nil
		c.cfg.Sink.Done(now, call)
	}
	c.done = c.done[:0]
	for _, n := range c.lost {
		c.cfg.Sink.Lost(now, n)
	}
	c.lost = c.lost[:0]
}

// tellLost says which locks are lost before the publication lets others be held for longer: a reader must not believe in a lock
// again that was over. Those whose calls end in this turn come after their Done.
func (c *Core) tellLost(now clock.Time) {
	kept := c.lost[:0]
	for _, n := range c.lost {
		if slices.ContainsFunc(c.done, func(call *Call) bool { return call.Number == n }) {
			kept = append(kept, n)
			continue
		}
		c.cfg.Sink.Lost(now, n)
	}
	c.lost = kept
}

// publish shows readers what has changed.
func (c *Core) publish(now clock.Time) {
	p := &c.next
	*p = Publication{Until: c.until()}
	p.Primary = c.phase == Complete && now < p.Until
	if c.state != nil && c.phase != Outside && c.phase != Learning && !c.failed && now < p.Until {
		// Whoever gives it up does not believe in it from the proposal on: others count that before this member does, and a
		// primary without it may have counted what it does not get. The next establishment shows what came of it.
		if h, ok := c.state.Master(); ok && !h.Orphaned && !(h.Holder == c.cfg.Self && (h.Token == c.yielded || c.closing)) {
			p.Master, p.MasterIndex = h.Holder, h.Token
		}
	}
	if p.Primary && p.Master != (wire.MemberID{}) {
		m, ok := c.state.Member(c.cfg.Self)
		p.Ready = ok && m.Ready && !c.transitional
	}
	same := p.Primary == c.published.Primary && p.Until == c.published.Until && p.Ready == c.published.Ready &&
		p.Master == c.published.Master && p.MasterIndex == c.published.MasterIndex
	if p.Ready {
		for _, s := range c.waiting {
			c.answer(s, CodeOK)
		}
		c.waiting = c.waiting[:0]
	}
	// Until a state that was fetched is complete, readers have the old one. What follows is in the state that they get then.
	show := c.dirty && !(c.learn.partial && c.reset)
	if !show && c.learn.partial || c.reset {
		clear(c.events)
		c.events = c.events[:0]
	}
	if same && !show && c.everPublic {
		return
	}
	c.published = *p
	if show {
		p.State, p.Events, p.Reset = c.state, c.events, c.reset
		c.dirty, c.reset = false, false
	}
	c.everPublic = true
	c.cfg.Sink.Publish(now, p)
	p.State, p.Events = nil, nil
	if show {
		clear(c.events)
		c.events = c.events[:0]
	}
}

// State is the replica; nil: there is none. It is the working copy: what other goroutines may read of it is in Publication.
func (c *Core) State() *State { return c.state }

// Stats are the Core's counters since it began. It is called on the engine's thread.
func (c *Core) Stats() Stats {
	s := c.stats
	s.Primary, s.Calls, s.Committed = c.published.Primary, len(c.calls), c.committed
	if c.last != nil {
		s.Chain, s.Epoch = c.last.Chain, c.last.Epoch
	}
	if c.state != nil {
		s.Index, s.Hash = c.state.Index(), c.state.Hash()
		z := c.state.Size()
		s.Entries, s.Maps, s.Locks, s.Waits, s.Bytes = z.Entries, z.Maps, z.Locks, z.Waits, z.Bytes
	}
	return s
}
