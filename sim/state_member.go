package sim

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/wire"
)

// StateMember is a node of a StateCluster with the process that runs on it now.
type StateMember struct {
	Node   int
	Proc   check.Proc
	Member *member.Member // nil when no process runs
	Driver *Driver

	c       *StateCluster
	id      wire.MemberID
	name    string
	wall    int64   // microseconds since 1970, at the beginning of the run
	rate    float64 // by how much its clock is fast
	disk    *Disk
	store   *diskStore
	durable uint64 // a ticket that the core has to be given; 0: none
	upTo    uint64 // and the index with it
	pool    *buf.Pool
	rng     *rand.Rand
	paused  bool
	leaving bool
	service hosted        // nil: it has none
	host    stateHost     // of service; nil: it is none
	places  []check.Place // of the service's operations that are not certain yet

	// What the process has published, and what its replica is at.
	place    check.Place
	epoch    uint64
	primary  bool
	ready    bool
	shown    bool // something was published
	reset    bool // a watcher is to begin anew
	until    clock.Time
	master   wire.MemberID
	ringSize int
	serves   span
	masters  span

	// Its application.
	calls uint64
	open  map[uint64]*stateCall
	at    map[uint64]check.Place // where own operations were counted, by call
	code  map[uint64]bool
	locks []*stateLock
	given map[uint64]bool // locks that were given up
}

// span is a stretch of time that goes on as long as it is renewed: one record of the log.
type span struct {
	record int
	open   bool
}

// Alive reports whether a process runs on the node.
func (m *StateMember) Alive() bool { return m.Member != nil }

// ID is the member's.
func (m *StateMember) ID() wire.MemberID { return m.id }

func (m *StateMember) core() *cluster.Core { return m.Member.Replica() }

// Core is the core that the process runs.
func (m *StateMember) Core() *cluster.Core { return m.core() }

// local is the time of the member's own clock.
func (m *StateMember) local(t clock.Time) clock.Time {
	return t + clock.Time(float64(t)*m.rate)
}

// global is when the member's own clock shows at.
func (m *StateMember) global(at clock.Time) clock.Time {
	if at > math.MaxInt64/2 {
		return at
	}
	t := clock.Time(float64(at) / (1 + m.rate))
	for m.local(t) < at {
		t++
	}
	return t
}

const stateGroupBuffers = 256

func (m *StateMember) start() {
	c := m.c
	now := c.Net.Now()
	binary.LittleEndian.PutUint64(m.id[:], c.rng.Uint64())
	binary.LittleEndian.PutUint64(m.id[8:], c.rng.Uint64())
	m.Driver = c.Net.Attach(m.Node)
	m.Proc = c.Log.Start(now, m.Node, m.id)
	m.rng = rand.New(rand.NewPCG(c.Seed, uint64(m.Proc)<<8|1))
	m.paused, m.leaving = false, false
	m.place, m.epoch, m.primary, m.ready, m.shown, m.reset, m.master, m.ringSize = check.Place{}, 0, false, false, false, true, wire.MemberID{}, 0
	m.serves, m.masters = span{}, span{}
	m.calls, m.open, m.at, m.code, m.locks = 0, map[uint64]*stateCall{}, map[uint64]check.Place{}, map[uint64]bool{}, nil
	m.given = map[uint64]bool{}
	m.durable, m.until = 0, 0
	proc := m.Proc
	cfg := cluster.Config{
		Name: m.name, Started: m.wall + int64(m.local(now))/1000, Wall: m.wall, Expected: c.Expected, Weight: int64(m.rng.IntN(3)),
		MaxValue: 1 << 20, StateLimit: 1 << 30, Interval: c.Interval,
		Guard: 4 * c.Profile.TokenLoss, Discovery: 5 * c.Profile.Merge,
		Sink:  &stateSink{m, proc},
		Probe: func(_ clock.Time, p *cluster.Probe) { m.probe(proc, p) },
	}
	if c.Observer != nil {
		cfg.Observer = c.Observer(m.Node)
	}
	m.serve(&cfg)
	if m.disk != nil {
		m.store, cfg.Recovered = m.disk.Open(c.Interval, func(ticket, index uint64) {
			if m.Proc == proc && m.Alive() {
				m.durable, m.upTo = ticket, index
				m.Driver.Wake()
			}
		})
		cfg.Store = m.store
	}
	if c.Change != nil {
		c.Change(m.Node, &cfg)
	}
	datagram := m.Driver.Datagram()
	const window = 64 << 10
	m.pool = buf.NewPool(member.ClusterBuffers(datagram)+nack.Buffers(window, datagram, 1, 2)+stateGroupBuffers+2*engine.Batch, datagram+nack.Headroom)
	grouping := &member.Group{
		Name: m.name, Started: uint64(cfg.Started) * 1000, HeartbeatInterval: groupInterval, FailureTimeout: groupTimeout,
		Queue: 64 << 10, Buffers: stateGroupBuffers,
		Mirror: func(clock.Time, *group.Change) {},
		Tell: func(_ clock.Time, ch *group.Change) {
			if ch.ID == m.id && ch.Kind == group.Failed {
				c.Net.After(between(m.rng, 100*time.Microsecond), func() { m.whenRuns(proc, func() { m.Member.Group().SelfTold(m.local(c.Net.Now())) }) })
			}
		},
		Calls: noCalls{},
	}
	if m.host != nil {
		m.host.grouped(grouping)
	}
	m.Member = member.New(member.Config{
		ID: m.id, Cluster: wire.ClusterHash("sim"), Driver: m.Driver, Pool: m.pool, Table: member.NewTable(),
		Rand: rand.New(rand.NewPCG(c.Seed, uint64(m.Proc)<<8|2)), Protocol: wire.BestEffort, Lanes: 1, Window: window,
		MaxMessageSize: 1 << 20, CPU: -1, Eviction: time.Second,
		Group: grouping,
		ClusterRing: &member.ClusterRing{Profile: c.Profile, Core: &cfg, Events: func(e totem.Event) {
			if e.Kind == totem.HeldDown && e.Sure {
				c.held = c.Net.Now()
			}
		}},
	})
	m.Driver.Drive(m)
	m.begin(&stateCall{call: cluster.Call{Kind: cluster.CallReady}})
	if m.host != nil {
		m.host.began()
	}
	m.load()
}

// noCalls takes the ends of calls between members, of which there are none.
type noCalls struct{}

func (noCalls) Ended(clock.Time, *group.End) {}

// Turn is the engine's.
func (m *StateMember) Turn(now clock.Time) int {
	local := m.local(now)
	p := m.Member
	if m.durable > 0 {
		ticket := m.durable
		m.durable = 0
		m.core().Durable(local, ticket, m.upTo)
	}
	work := p.Turn(local)
	if m.Member == p {
		m.ringSize = len(p.Cluster().Members())
	}
	return work
}

// Deadline is the engine's.
func (m *StateMember) Deadline() (at clock.Time, ok bool) {
	at, ok = m.Member.Engine().Deadline()
	return m.global(at), ok
}

// whenRuns calls f as soon as the process does not stand still.
func (m *StateMember) whenRuns(proc check.Proc, f func()) {
	switch {
	case m.Proc != proc || !m.Alive():
	case m.paused:
		m.c.Net.After(time.Millisecond, func() { m.whenRuns(proc, f) })
	default:
		f()
		m.Driver.Wake()
	}
}

// crash ends the process without a word.
func (m *StateMember) crash() {
	if !m.Alive() {
		return
	}
	m.ended(true)
}

func (m *StateMember) ended(crash bool) {
	m.c.Log.Ended(m.c.Net.Now(), m.Proc, crash)
	m.c.Tally.process(m.core().Stats(), m.Member.Cluster().Stats())
	m.Driver.Close()
	if m.store != nil {
		m.store.Close(crash)
		m.store = nil
	}
	m.Member = nil
}

// leave ends the process in order: Stop.
func (m *StateMember) leave() {
	if !m.Alive() || m.leaving {
		return
	}
	m.leaving = true
	c, proc := m.c, m.Proc
	if m.host != nil {
		m.host.leaves()
	}
	const linger = time.Second
	m.stop()
	m.core().Close(m.local(c.Net.Now()), linger)
	m.Driver.Wake()
	var wait func()
	closed := false
	wait = func() {
		if m.Proc != proc || !m.Alive() {
			return
		}
		if !m.paused && !closed {
			if done, exited := m.core().Closed(); done {
				closed = true
				if !exited {
					c.Tally.Lingered++
				}
				for number, a := range m.open {
					c.Log.Found("MP-6", "node %d: call %d (%v) has not ended with the channel", m.Node, number, &a.op)
				}
				m.Member.Close(m.local(c.Net.Now()))
				m.Driver.Wake()
			}
		}
		if !m.paused && closed && m.Member.Silent() {
			m.release()
			m.ended(false)
			return
		}
		c.Net.After(100*time.Microsecond, wait)
	}
	c.Net.After(100*time.Microsecond, wait)
}

// release looks for what a process forgot to give back.
func (m *StateMember) release() {
	m.Member.Release()
	if m.pool.Free() != m.pool.Count() {
		m.c.Log.Found("RS-2", "node %d: %d of %d buffers are free", m.Node, m.pool.Free(), m.pool.Count())
	}
}

// renew lets a span go on until a time of the member's clock, or ends it.
func (m *StateMember) renew(s *span, r check.ClusterRecord, local clock.Time) {
	now := m.c.Net.Now()
	until := m.global(local)
	if s.open {
		last := &m.c.Log.Records[s.record]
		switch {
		case until <= now && last.Until > now: // ended now
			r.At, r.Until = now, 0
			m.c.Log.Add(r)
			s.open = false
			return
		case until <= now:
			s.open = false
			return
		case last.Until >= now && last.Place.Chain == r.Place.Chain && last.Version == r.Version:
			if until >= last.Until {
				last.Until = until
				return
			}
		}
	}
	if until <= now {
		return
	}
	r.At, r.Until = now, until
	s.record, s.open = len(m.c.Log.Records), true
	m.c.Log.Add(r)
}

// probe takes one step of the replica.
func (m *StateMember) probe(proc check.Proc, p *cluster.Probe) {
	c := m.c
	now := c.Net.Now()
	if c.Probed != nil {
		c.Probed(m, p)
	}
	r := check.ClusterRecord{At: now, Proc: proc, By: check.Nobody, Subject: check.Nobody, Before: m.place, Epoch: p.Epoch}
	r.Place = check.Place{Chain: chainName(p.Chain) + p.Epoch>>32, Index: p.Index, Hash: p.Hash} // what Force begins is a chain of its own
	if p.Index == 0 {
		r.Place = check.Place{}
	}
	for _, g := range p.Grants {
		r.Grants = append(r.Grants, check.ClusterGrant{Map: g.Map, Key: g.Key, To: c.proc(g.To), Request: g.Request, Token: g.Token})
	}
	// Their order says nothing: they have one index.
	slices.SortFunc(r.Grants, func(a, b check.ClusterGrant) int { return cmp.Or(cmp.Compare(a.Map, b.Map), cmp.Compare(a.Key, b.Key)) })
	switch p.Kind {
	case cluster.ProbeApplied:
		r.Kind, r.By = check.ClusterApplied, c.proc(p.By)
		r.Code, r.Version, r.Call = stateCode(p.Code), p.Result, p.Call
		op := check.ClusterOp{}
		if p.Op == nil {
			r.Code = check.ClusterRefused
		} else {
			op = c.operation(p.Op)
		}
		r.Op = &op
		if p.Op != nil && p.Op.Kind == wire.OpLock && p.Code == cluster.CodeOK && p.Result == 0 {
			r.Code = check.ClusterQueued
		}
		if p.Call != 0 {
			m.at[p.Call] = r.Place
		}
		if p.Op != nil && p.Op.Kind == wire.OpService && p.Code == cluster.CodeOK && m.service != nil {
			r.Answer = check.Hash(p.Answer)
			m.places = append(m.places, r.Place)
		}
		c.counted(r.Place)
	case cluster.ProbeEstablished:
		r.Kind = check.ClusterEstablished
		r.Primary = c.opening(p)
		if r.Primary.Forced && r.Before.Chain != r.Place.Chain {
			r.Before = check.Place{}
		} else if p.Opening.Founding {
			r.Before = check.Place{}
			if m.place.Chain != 0 {
				c.Log.Found("EL-2", "node %d founds a chain, and has the replica of another one", m.Node)
			}
		}
		c.excuse(p)
		c.counted(r.Place)
		c.Tally.Established++
	case cluster.ProbeFollowed:
		r.Kind, r.Place = check.ClusterFollowed, m.place
		c.Log.Add(r)
		return
	case cluster.ProbeRestored:
		r.Kind = check.ClusterRestored
		m.reset = true
		c.Tally.Restored++
		m.places = nil
	case cluster.ProbeOpen:
		c.Tally.Open++
		return
	case cluster.ProbeFailed:
		c.Tally.Failed++
		return
	default:
		return
	}
	m.place, m.epoch = r.Place, p.Epoch
	c.Log.Add(r)
	c.Net.Note(uint64(now), 'k', uint64(proc), uint64(r.Kind), r.Place.Index, r.Place.Hash)
}

// counted notes the highest place of a chain.
func (c *StateCluster) counted(p check.Place) {
	if p.Index > c.tips[p.Chain].Index {
		c.tips[p.Chain] = p
	}
}

// operation is an operation as the log has it.
func (c *StateCluster) operation(op *wire.ClusterOp) check.ClusterOp {
	o := check.ClusterOp{Kind: stateOps[op.Kind], Map: string(op.Map), Key: string(op.Key), Compare: op.Compare, HasToken: op.HasToken, Version: op.Version,
		Token: op.Token, Request: op.Request, Lease: time.Duration(op.Lease), TTL: time.Duration(op.TTL), Owned: op.RemoveOnExit, Try: op.Try, Keep: op.Keep,
		Weight: op.Weight}
	if op.Kind == wire.OpPut || op.Kind == wire.OpService {
		o.Value = check.Hash(op.Value)
	}
	if o.Map == "" {
		o.Key = "" // the master's lock
	}
	if op.Member != (wire.MemberID{}) {
		o.Member = c.proc(op.Member)
	}
	return o
}

var stateOps = map[wire.OpKind]check.ClusterOpKind{
	wire.OpPut: check.ClusterPut, wire.OpDelete: check.ClusterDelete, wire.OpLock: check.ClusterLock, wire.OpUnlock: check.ClusterUnlock,
	wire.OpExtend: check.ClusterExtend, wire.OpCancel: check.ClusterCancel, wire.OpExpire: check.ClusterExpire, wire.OpExpireEntry: check.ClusterExpireEntry,
	wire.OpRelease: check.ClusterRelease, wire.OpReady: check.ClusterReady, wire.OpExit: check.ClusterExit, wire.OpSweep: check.ClusterSweep,
	wire.OpWeight: check.ClusterWeight, wire.OpRules: check.ClusterRules, wire.OpService: check.ClusterService, wire.OpTick: check.ClusterService,
	wire.OpAnswers: check.ClusterService, wire.OpServe: check.ClusterService,
}

func stateCode(c cluster.Code) check.ClusterCode {
	switch c {
	case cluster.CodeOK:
		return check.ClusterOK
	case cluster.CodeLocked:
		return check.ClusterLocked
	case cluster.CodeNotOwner:
		return check.ClusterNotOwner
	case cluster.CodeVersion:
		return check.ClusterVersion
	case cluster.CodeNoQuorum:
		return check.ClusterNoQuorum
	case cluster.CodeUnknown, cluster.CodeDisk, cluster.CodeUnsupported:
		return check.ClusterUnknown
	case cluster.CodeClosed:
		return check.ClusterClosed
	}
	return check.ClusterRefused
}

// opening is what an establishment decided, as the log has it.
func (c *StateCluster) opening(p *cluster.Probe) *check.ClusterPrimary {
	o := p.Opening
	out := &check.ClusterPrimary{Epoch: o.Primary.Epoch, Ring: ringNumber(o.Primary.Ring), Founding: o.Founding, Forced: o.Primary.Epoch >= 1<<32}
	for i := range o.Members {
		e := &o.Members[i]
		out.Members = append(out.Members, check.ClusterMember{Proc: c.proc(e.Member), Started: e.Started, Weight: e.Weight, Current: e.Current, Observer: e.Observer})
		out.Seats = append(out.Seats, seatNumber(e.Seat))
	}
	if !o.Founding {
		taken := c.takenOver(p)
		for _, v := range p.Voters {
			out.Before = append(out.Before, seatNumber(v.Seat))
			if taken[v.Seat] {
				out.Seats = append(out.Seats, seatNumber(v.Seat))
			}
		}
	}
	return out
}

// takenOver are the voters' seats that restarted processes of their names count for (memory mode).
func (c *StateCluster) takenOver(p *cluster.Probe) map[wire.Seat]bool {
	taken := map[wire.Seat]bool{}
	if c.Disks {
		return taken
	}
	here := map[wire.Seat]bool{}
	for i := range p.Opening.Members {
		here[p.Opening.Members[i].Seat] = true
	}
	used := map[wire.Seat]bool{}
	for _, v := range p.Voters {
		used[v.Seat] = true // who has a seat takes no other one
	}
	for _, v := range p.Voters {
		if here[v.Seat] {
			continue
		}
		for i := range p.Opening.Members {
			e := &p.Opening.Members[i]
			if !used[e.Seat] && wire.ClusterHash(e.Name) == v.Name && e.Started > v.Started {
				used[e.Seat], taken[v.Seat] = true, true
				break
			}
		}
	}
	return taken
}

// excuse notes that seats that were taken over voted, and that more had been counted than the new primary begins with: E3.
func (c *StateCluster) excuse(p *cluster.Probe) {
	o := p.Opening
	if c.rings[o.Primary.Ring] || o.Founding || c.Log.Excused != "" {
		return
	}
	c.rings[o.Primary.Ring] = true
	if c.Disks {
		return
	}
	if tip := c.tips[chainName(p.Chain)+p.Epoch>>32]; tip.Index > o.End && len(c.takenOver(p)) > 0 {
		c.Log.Excused = "E3"
		c.Tally.Excused++
	}
}

// stateSink takes what a core puts out.
type stateSink struct {
	m    *StateMember
	proc check.Proc
}

// Publish implements cluster.Sink.
func (s *stateSink) Publish(_ clock.Time, p *cluster.Publication) {
	m, c := s.m, s.m.c
	now := c.Net.Now()
	watched := func(r check.ClusterRecord) {
		r.At, r.Kind, r.Proc, r.Call = now, check.ClusterWatched, s.proc, 1
		c.Log.Add(r)
	}
	if p.Reset || !m.shown && (p.State != nil || len(p.Events) > 0) {
		at := m.place
		if !m.shown && !p.Reset {
			at.Index, at.Hash = 0, 0 // from the beginning
		}
		if p.Reset {
			at = m.place
		}
		for _, name := range stateMaps {
			watched(check.ClusterRecord{Op: &check.ClusterOp{Kind: check.ClusterReset, Map: name}, Place: at})
		}
		m.reset, m.shown = false, true
	}
	if !p.Reset {
		for i := range p.Events {
			e := &p.Events[i]
			op := &check.ClusterOp{Map: e.Map}
			r := check.ClusterRecord{Op: op, Before: m.place, Place: check.Place{Chain: m.place.Chain, Index: e.Index}}
			switch e.Kind {
			case cluster.EventPut:
				op.Kind, op.Key, r.Version = check.ClusterPut, e.New.Key(), e.New.Version()
			case cluster.EventDeleted:
				op.Kind, op.Key, r.Version = check.ClusterDelete, e.Old.Key(), e.Old.Version()
			case cluster.EventExpired:
				op.Kind, op.Key, r.Version = check.ClusterExpireEntry, e.Old.Key(), e.Old.Version()
			case cluster.EventOwnerGone:
				op.Kind, op.Key, r.Version = check.ClusterExit, e.Old.Key(), e.Old.Version()
			default:
				continue
			}
			watched(r)
		}
	}
	until := p.Until
	if !p.Primary {
		until = 0
	}
	m.primary, m.ready, m.until = p.Primary, p.Ready, p.Until
	m.renew(&m.serves, check.ClusterRecord{Kind: check.ClusterServes, Proc: s.proc, Place: check.Place{Chain: m.place.Chain}}, until)
	if p.Master != m.master {
		m.master = p.Master
		if p.Primary && p.Master != (wire.MemberID{}) {
			c.Log.Add(check.ClusterRecord{At: now, Kind: check.ClusterNames, Proc: s.proc, Place: m.place, Subject: c.proc(p.Master)})
		}
	}
	mine := p.Until
	if p.Master != m.id {
		mine = 0
	}
	m.renew(&m.masters, check.ClusterRecord{Kind: check.ClusterMasters, Proc: s.proc, Place: check.Place{Chain: m.place.Chain}}, mine)
	for _, l := range m.locks {
		m.believe(l)
	}
}

// Done implements cluster.Sink.
func (s *stateSink) Done(_ clock.Time, call *cluster.Call) { s.m.done(call) }

// Lost implements cluster.Sink.
func (s *stateSink) Lost(_ clock.Time, lock uint64) {
	m := s.m
	at := slices.IndexFunc(m.locks, func(l *stateLock) bool { return l.number == lock })
	if at < 0 && (m.leaving || m.given[lock]) {
		return // Stop gives up all of them, and closes Lost; and what is given up may be over just then
	}
	if at < 0 {
		m.c.Log.Found("LK-6", "node %d: the loss of a lock that it does not hold", m.Node)
		return
	}
	l := m.locks[at]
	m.locks = slices.Delete(m.locks, at, at+1)
	l.gone = true
	m.c.Log.Add(check.ClusterRecord{At: m.c.Net.Now(), Kind: check.ClusterTold, Proc: m.Proc, Version: l.token, Op: &check.ClusterOp{Map: l.name, Key: l.key}})
	m.c.Tally.Lost++
}

// Warn implements cluster.Sink.
func (s *stateSink) Warn(_ clock.Time, w *cluster.Warning) {
	if s.m.c.Warned != nil {
		s.m.c.Warned(s.m, w)
	}
}
