package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/wire"
)

// GroupCluster is a number of members of a group on one network, and the log of what happened. Set its
// fields before Start.
type GroupCluster struct {
	Seed   uint64
	Config Config // of the network; Seed and Link are filled in by Prepare
	Rules  check.GroupRules
	// Change, where set, has the last word on a member's configuration.
	Change func(node int, c *group.Config)
	// Ending, where set, is called as the process of a node crashes or leaves.
	Ending func(node int)
	// Groups is the mean time between two changes of one member's groups; 0: none.
	Groups time.Duration
	// Data is the mean time between two messages of one member to all; 0: none.
	Data time.Duration
	// Listed, where set, has the members run without multicast: it returns the nodes that one lists. A node
	// keeps its address.
	Listed func(node int) []int
	// Ring, where set, reports which nodes are in a ring too.
	Ring func(node int) bool
	// Late is up to how late a member's loop may be for a deadline; some turns are. 0: never.
	Late time.Duration

	// Light has members without messages and without a log, which share one pool: a thousand fit a run.
	Light bool

	// Within is how long Settle gives the tables to become right; zero means 2s.
	Within time.Duration
	// Forged: members that there never were have been announced, and verdicts that nobody gave. Only what
	// is at the end is judged.
	Forged bool

	Net     *Network
	Log     *check.GroupLog
	Members []*GroupMember

	t        testing.TB
	rng      *rand.Rand
	shared   *buf.Pool // Light
	healed   bool
	finished bool
}

// GroupMember is a node with the process that runs on it now.
type GroupMember struct {
	Node     int
	Proc     check.Proc
	Engine   *engine.Engine
	Protocol *group.Protocol // nil when no process runs
	Driver   *Driver
	Served   uint64 // times that something was, or could be, handed to a handler

	c       *GroupCluster
	id      wire.MemberID
	pool    *buf.Pool
	rng     *rand.Rand
	paused  bool
	leaving bool
	resumed bool // and nothing was served since

	app  *groupApp
	ring *groupRing             // nil: it is in no ring
	ends map[wire.MemberID]bool // whose end handlers were given, and no start since
	here map[wire.MemberID]bool // whose start they were given, and no end since

	behind    time.Duration // what its clock has missed
	suspended clock.Time    // since when it misses more; 0: it does not
}

// Alive reports whether a process runs on the node.
func (m *GroupMember) Alive() bool { return m.Protocol != nil }

// ID is the member's.
func (m *GroupMember) ID() wire.MemberID { return m.id }

// NewGroupCluster makes a cluster for one seed. t is given the violations; it may be nil.
func NewGroupCluster(t testing.TB, seed uint64) *GroupCluster {
	return &GroupCluster{Seed: seed, t: t, Log: check.NewGroupLog(), rng: rand.New(rand.NewPCG(seed, 0x67726f7570))}
}

// Prepare makes the network, without members.
func (c *GroupCluster) Prepare(l Link) {
	c.Config.Seed, c.Config.Link = c.Seed, l
	c.Net = New(c.Config)
}

// Start makes n members, at about the same time.
func (c *GroupCluster) Start(n int, l Link) {
	c.Prepare(l)
	for range n {
		c.Join()
		c.For(between(c.rng, 2*time.Millisecond))
	}
}

// Join adds one member on a node of its own and returns the node's number.
func (c *GroupCluster) Join() int {
	m := &GroupMember{Node: len(c.Members), c: c}
	c.Members = append(c.Members, m)
	m.start()
	return m.Node
}

// groupBuffers is how many packet buffers a simulated member has.
const groupBuffers = 2048

func (m *GroupMember) start() {
	c := m.c
	binary.LittleEndian.PutUint64(m.id[:], c.rng.Uint64())
	binary.LittleEndian.PutUint64(m.id[8:], c.rng.Uint64())
	if c.Listed == nil || m.Driver == nil {
		m.Driver = c.Net.Attach(m.Node)
	} else {
		m.Driver = c.Net.Reattach(m.Driver)
	}
	m.Proc = c.Log.Start(c.Net.Now(), m.Node, m.id)
	m.paused, m.leaving, m.resumed, m.behind, m.suspended = false, false, false, 0, 0
	m.rng = rand.New(rand.NewPCG(c.Seed, uint64(m.Proc)<<8|1))
	proc := m.Proc
	cfg := group.Config{
		Self: m.id, Cluster: wire.ClusterHash("sim"), Local: m.Driver.Local(), Name: fmt.Sprintf("node %d", m.Node),
		Started: 1_000_000_000 + uint64(c.Net.Now()), Datagram: m.Driver.Datagram(),
		HeartbeatInterval: groupInterval, FailureTimeout: groupTimeout,
		Rand:   rand.New(rand.NewPCG(c.Seed, uint64(m.Proc)<<8|2)),
		Mirror: func(now clock.Time, ch *group.Change) { m.mirror(proc, now, ch) },
		Tell:   func(now clock.Time, ch *group.Change) { m.tell(proc, now, ch) },
	}
	if c.Light {
		m.startLight(cfg)
		return
	}
	m.app, m.ends, m.here = newGroupApp(m), map[wire.MemberID]bool{}, map[wire.MemberID]bool{}
	app := m.app
	cfg.Heard = func(id wire.MemberID) clock.Time { return app.heard[id] }
	cfg.Forget = func(now clock.Time, id wire.MemberID) {
		app.barred[id] = true
		if !m.here[id] {
			c.Log.Add(check.GroupRecord{At: now, Kind: check.GroupForgotten, Proc: proc, Subject: c.Log.ProcOf(id)})
		}
	}
	cfg.Admit = func(id wire.MemberID) { delete(app.barred, id) }
	cfg.Pending = app.pending
	m.pool = buf.NewPool(groupBuffers+2*engine.Batch, cfg.Datagram+wire.DataOverhead)
	cfg.Pool = m.pool
	m.run(cfg, map[wire.Protocol]engine.Protocol{wire.BestEffort: m.app})
	m.changes()
}

// startLight goes on for a member that is Light.
func (m *GroupMember) startLight(cfg group.Config) {
	c := m.c
	if c.shared == nil {
		c.shared = buf.NewPool(32*groupBuffers, cfg.Datagram+wire.DataOverhead)
	}
	m.pool, cfg.Pool = c.shared, c.shared
	cfg.Mirror, cfg.Tell = nil, nil
	m.run(cfg, map[wire.Protocol]engine.Protocol{})
}

func (m *GroupMember) run(cfg group.Config, protocols map[wire.Protocol]engine.Protocol) {
	c := m.c
	if c.Listed != nil {
		var addresses []buf.Endpoint
		for _, i := range c.Listed(m.Node) {
			addresses = append(addresses, buf.Endpoint(i+1))
		}
		m.Driver.Pointcast(addresses...)
		cfg.Peers = m.Driver.SetPeers
	}
	if c.Change != nil {
		c.Change(m.Node, &cfg)
	}
	if m.ring = m.startRing(&cfg); m.ring != nil {
		protocols[wire.Totem] = m.ring.p
	}
	m.Protocol = group.New(cfg)
	protocols[wire.Group] = m.Protocol
	m.Engine = engine.New(engine.Config{Driver: m.Driver, Self: m.id, Cluster: cfg.Cluster, CPU: -1, Protocols: protocols,
		Stalled: m.Protocol.Stalled, StallLimit: m.Protocol.StallLimit()})
	m.Driver.Drive(m)
}

// AllAlike reports whether all members hold the same table, of all of them.
func (c *GroupCluster) AllAlike() bool {
	for _, m := range c.Members {
		if m.Protocol.Size() != len(c.Members) || m.Protocol.Digest() != c.Members[0].Protocol.Digest() {
			return false
		}
	}
	return true
}

// now is the time of the member's own clock.
func (m *GroupMember) now() clock.Time { return m.c.Net.Now().Add(-m.behind) }

// Turn is the engine's.
func (m *GroupMember) Turn(now clock.Time) int {
	now = now.Add(-m.behind)
	p := m.Protocol
	work := m.Engine.Turn(now)
	if m.Protocol == p && !p.Gated() {
		m.serve(now)
	}
	return work
}

// Deadline is the engine's, and later where the loop is late.
func (m *GroupMember) Deadline() (at clock.Time, ok bool) {
	at, ok = m.Engine.Deadline()
	at = at.Add(m.behind)
	if late := m.c.Late; ok && late > 0 && m.rng.IntN(8) == 0 {
		at = at.Add(between(m.rng, late))
	}
	return at, ok
}

func (m *GroupMember) mirror(proc check.Proc, now clock.Time, ch *group.Change) {
	if ch.ID != m.id && ch.Kind == group.Failed {
		m.c.Log.Add(check.GroupRecord{At: m.c.Net.Now(), Kind: check.GroupRemoved, Proc: proc, Subject: m.c.Log.ProcOf(ch.ID), Incarnation: ch.Incarnation})
	}
}

func (m *GroupMember) tell(proc check.Proc, now clock.Time, ch *group.Change) {
	kind := [...]check.GroupKind{group.Started: check.GroupStarted, group.Stopped: check.GroupStopped, group.Failed: check.GroupFailed,
		group.JoinedGroup: check.GroupJoined, group.LeftGroup: check.GroupLeft}[ch.Kind]
	subject := m.c.Log.ProcOf(ch.ID)
	m.c.Log.Add(check.GroupRecord{At: m.c.Net.Now(), Kind: kind, Proc: proc, Subject: subject, Incarnation: ch.Incarnation, Group: string(ch.Group)})
	switch ch.Kind {
	case group.Started:
		delete(m.ends, ch.ID)
		m.here[ch.ID] = true
	case group.Stopped, group.Failed:
		m.ends[ch.ID] = true
		delete(m.here, ch.ID)
	}
	m.c.Net.Note(uint64(now), 'g', uint64(proc), uint64(kind), uint64(subject), uint64(ch.Incarnation))
	if ch.ID == m.id && ch.Kind == group.Failed {
		// The teller is another goroutine: it begins a little later.
		m.c.Net.After(between(m.rng, 100*time.Microsecond), func() {
			if m.Proc == proc && m.Alive() {
				m.whenRuns(proc, func() { m.Protocol.SelfTold(m.now()) })
			}
		})
	}
}

// whenRuns calls f as soon as the process does not stand still.
func (m *GroupMember) whenRuns(proc check.Proc, f func()) {
	switch {
	case m.Proc != proc || !m.Alive():
	case m.paused:
		m.c.Net.After(time.Millisecond, func() { m.whenRuns(proc, f) })
	default:
		f()
		m.Driver.Wake()
	}
}

// changes has a process join and leave groups.
func (m *GroupMember) changes() {
	every, proc := m.c.Groups, m.Proc
	if every <= 0 {
		return
	}
	var next func()
	wait := func() { m.c.Net.After(time.Duration(m.rng.ExpFloat64()*float64(every)), next) }
	next = func() {
		if m.Proc != proc || !m.Alive() || m.leaving || m.c.finished {
			return
		}
		if !m.paused {
			name := string(rune('a' + m.rng.IntN(6)))
			if m.rng.IntN(2) == 0 {
				m.Protocol.Join(m.now(), name)
			} else {
				m.Protocol.Leave(m.now(), name)
			}
			m.Driver.Wake()
		}
		wait()
	}
	wait()
}

// Crash ends the member on node i without a word.
func (c *GroupCluster) Crash(i int) {
	m := c.Members[i]
	if !m.Alive() {
		return
	}
	c.ending(i)
	c.Log.Ended(c.Net.Now(), m.Proc, true)
	m.Driver.Close()
	m.Protocol, m.Engine = nil, nil
}

func (c *GroupCluster) ending(i int) {
	if c.Ending != nil {
		c.Ending(i)
	}
}

// Leave ends the member on node i in order.
func (c *GroupCluster) Leave(i int) {
	m := c.Members[i]
	if !m.Alive() || m.leaving {
		return
	}
	c.ending(i)
	m.leaving = true
	p := m.Protocol
	p.Close(m.now())
	if m.ring != nil {
		m.ring.p.Close(m.now())
	}
	c.Log.Ended(c.Net.Now(), m.Proc, false)
	m.Driver.Wake()
	var wait func()
	wait = func() {
		switch {
		case m.Protocol != p:
		case m.paused || !p.Left() || !m.ring.left() || !m.Engine.Flushed():
			c.Net.After(100*time.Microsecond, wait)
		default:
			m.Driver.Close()
			m.release()
			m.Protocol, m.Engine = nil, nil
		}
	}
	wait()
}

// release looks for what a process forgot to give back.
func (m *GroupMember) release() {
	m.Engine.Release()
	m.Protocol.Release()
	m.ring.release()
	if m.pool.Free() != m.pool.Count() {
		m.c.Log.Found("RS-2", "node %d: %d of %d buffers are free", m.Node, m.pool.Free(), m.pool.Count())
	}
}

// Restart starts a new member on node i, where the old one has ended.
func (c *GroupCluster) Restart(i int) {
	if m := c.Members[i]; !m.Alive() {
		m.start()
	}
}

// Pause stops the turns of node i.
func (c *GroupCluster) Pause(i int) {
	m := c.Members[i]
	if m.paused || !m.Alive() {
		return
	}
	m.paused = true
	m.Driver.Pause()
	c.Log.Add(check.GroupRecord{At: c.Net.Now(), Kind: check.GroupPaused, Proc: m.Proc})
}

// Suspend stops the turns of node i and its clock, as a host does that is suspended: the process cannot notice.
// Resume undoes it.
func (c *GroupCluster) Suspend(i int) {
	m := c.Members[i]
	if m.paused || !m.Alive() {
		return
	}
	c.Pause(i)
	m.suspended = c.Net.Now()
}

// Resume undoes Pause and Suspend.
func (c *GroupCluster) Resume(i int) {
	m := c.Members[i]
	if !m.paused || !m.Alive() {
		return
	}
	m.paused, m.resumed = false, true
	if m.suspended != 0 {
		m.behind += c.Net.Now().Sub(m.suspended)
		m.suspended = 0
	}
	c.Log.Add(check.GroupRecord{At: c.Net.Now(), Kind: check.GroupResumed, Proc: m.Proc})
	m.Driver.Resume()
}

// For lets d pass.
func (c *GroupCluster) For(d time.Duration) { c.Net.Run(c.Net.Now().Add(d)) }

// Heal ends all faults: the network loses nothing any more, and everybody runs.
func (c *GroupCluster) Heal() {
	c.healed = true
	c.Net.MendAll()
	c.Net.SetTap(nil)
	for i := range c.Members {
		c.Resume(i)
		c.Restart(i)
	}
	c.Net.ClearLinks()
	c.Net.SetDefault(Link{Delay: c.Net.Default().Delay})
	c.Log.Healed = c.Net.Now()
}

// Settle lets Within pass, in which all tables have to become equal and right (GM-1), and judges the run.
func (c *GroupCluster) Settle() {
	for _, v := range c.SettleFor() {
		if c.t != nil {
			c.t.Helper()
			c.t.Errorf("seed %d: %v", c.Seed, v)
		}
	}
}

// SettleFor is Settle that returns what the checkers found.
func (c *GroupCluster) SettleFor() []check.Violation {
	c.finished = true
	if c.Within == 0 {
		c.Within = 2 * time.Second
	}
	c.For(c.Within)
	c.converged()
	for _, m := range c.Members {
		if m.Alive() {
			m.Driver.Close()
			m.release()
		}
	}
	vs := check.Groups(c.Log, c.Rules)
	if c.Forged {
		vs = slices.DeleteFunc(vs, func(v check.Violation) bool {
			return v.ID == "GR-4" && !strings.HasPrefix(v.Text, "handlers of node") || v.ID == "GM-4"
		})
	}
	if err := c.Net.Conserved(); err != nil {
		vs = append(vs, check.Violation{ID: "RS-7", At: -1, Text: err.Error()})
	}
	return vs
}

// converged: GM-1.
func (c *GroupCluster) converged() {
	var live []*GroupMember
	for _, m := range c.Members {
		if m.Alive() && !m.leaving {
			live = append(live, m)
		}
	}
	slices.SortFunc(live, func(a, b *GroupMember) int { return bytes.Compare(a.id[:], b.id[:]) })
	for _, m := range live {
		list := m.Protocol.Members(nil)
		slices.SortFunc(list, func(a, b group.Info) int { return bytes.Compare(a.ID[:], b.ID[:]) })
		if len(list) != len(live) {
			c.Log.Found("GM-1", "node %d holds %d members, %d run", m.Node, len(list), len(live))
			continue
		}
		for i, o := range live {
			is := &list[i]
			want := o.Protocol.Members(nil)
			at := slices.IndexFunc(want, func(x group.Info) bool { return x.ID == o.id })
			w := &want[at]
			if is.ID != w.ID || is.Incarnation != w.Incarnation || is.Version != w.Version || listsOf(is.Record) != listsOf(w.Record) {
				c.Log.Found("GM-1", "node %d holds of node %d incarnation %d, version %d; it is at %d, %d", m.Node, o.Node,
					is.Incarnation, is.Version, w.Incarnation, w.Version)
				continue
			}
			given, here := check.GroupsOf(c.Log, m.Proc, o.Proc)
			if !here || fmt.Sprint(given) != listsOf(w.Record) {
				c.Log.Found("GR-4", "handlers of node %d were given of node %d: here %t, groups %v; it is in %s", m.Node, o.Node, here, given, listsOf(w.Record))
			}
		}
	}
}

// listsOf is the groups of a record, as text.
func listsOf(record []byte) string {
	r, err := wire.ParseRecord(record)
	if err != nil {
		return err.Error()
	}
	var list []string
	groups := r.Groups()
	for g, ok := groups.Next(); ok; g, ok = groups.Next() {
		list = append(list, string(g))
	}
	return fmt.Sprint(list)
}
