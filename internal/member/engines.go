package member

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/fanin"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/wire"
)

// unit is one engine of a member, with what runs on its thread. The first unit's engine sends, runs
// the ring and has Member as its Source. The others only receive, and are their engines' Source
// themselves.
type unit struct {
	engine    *engine.Engine
	nack      *nack.Protocol
	branch    *fanin.Branch // nil: the member has one engine
	listeners *listeners
	witness   *witness // of a further engine whose member is in a group; else nil
	released  func(id wire.MemberID)
	losses    losses
}

// Deliver implements nack.Sink and totem.Sink.
func (u *unit) Deliver(d *core.Delivery) bool { return u.listeners.deliver(u.engine.Now(), d) }

// Lost implements nack.Sink and totem.Sink.
func (u *unit) Lost(l *core.Loss) {
	u.losses.note(u.engine.Now(), l)
	u.listeners.lost(l)
}

// Drain implements engine.Source, except for commands.
func (u *unit) Drain(now clock.Time) int {
	u.listeners.settle()
	n := u.branch.Take(now)
	u.note(now)
	return n
}

// Waiting implements engine.Source, except for commands.
func (u *unit) Waiting() bool { return u.listeners.resumed.Load() || u.branch.Waiting() }

// makeUnits makes a unit with its core for each engine.
func (m *Member) makeUnits() {
	cfg := &m.cfg
	if report := cfg.RepairNS; report != nil && len(cfg.Branches) > 0 {
		var mu sync.Mutex
		cfg.RepairNS = func(ns int64) {
			mu.Lock()
			defer mu.Unlock()
			report(ns)
		}
	}
	var cores []*nack.Protocol
	for i, l := range m.table.share(1 + len(cfg.Branches)) {
		u := &unit{listeners: l, released: m.released}
		u.nack = nack.New(m.nackConfig(i, m.sink(u)))
		m.units, cores = append(m.units, u), append(cores, u.nack)
	}
	if len(cores) == 1 {
		return
	}
	for i, b := range fanin.New(cfg.ID, cores, cmp.Or(cfg.MaxStreams, nack.MaxStreams)) {
		m.units[i].branch = b
	}
}

// nackConfig returns the Config of an engine's core.
func (m *Member) nackConfig(engine int, sink nack.Sink) nack.Config {
	cfg := &m.cfg
	driver, pool, random, _ := cfg.parts(engine)
	c := nack.Config{
		Self: cfg.ID, Incarnation: cfg.Incarnation, Cluster: cfg.Cluster,
		Datagram: driver.Datagram(), Window: cfg.Window, MaxMessageSize: cfg.MaxMessageSize,
		Fastest: cfg.Fastest, Eviction: cfg.Eviction, SlowestFor: cfg.SlowestFor, RepairTimeout: cfg.RepairTimeout, FreePace: cfg.FreePace, MaxStreams: cfg.MaxStreams, Pacer: m.pacer, FEC: cfg.FEC,
		Room: driver.Room(), Lanes: cfg.Lanes, Wanted: m.wanted.Wanted(),
		Pool: pool, Rand: random, Sink: sink, RepairNS: cfg.RepairNS,
	}
	post := func(f func()) { m.Engine().Post(f) } // rare
	c.Events = m.event
	if len(cfg.Branches) > 0 {
		// Those of the first engine, too: a stream may end at one engine and begin at another.
		c.Events = func(e nack.Event) { post(func() { m.event(e) }) }
	}
	if engine == 0 {
		c.SelfDelivery = cfg.SelfDelivery
		if cfg.uses(wire.Totem) {
			c.Reserved = totem.Buffers(cfg.Window, c.Datagram)
		}
		if cfg.ClusterRing != nil {
			c.Reserved += ClusterBuffers(c.Datagram)
		}
		if m.group != nil {
			c.Reserved += m.group.cfg.Buffers
		}
		c.OtherLanes = m.wanted.Others(nil)
		return c
	}
	c.Pacer = m.pacer.Branch(&m.spent)
	c.OtherLanes = m.wanted.Others(post)
	return c
}

// parts returns what the engine of that number is made of.
func (c *Config) parts(engine int) (d engine.Driver, p *buf.Pool, r *rand.Rand, cpu int) {
	if engine == 0 {
		return c.Driver, c.Pool, c.Rand, c.CPU
	}
	f := &c.Branches[engine-1]
	return f.Driver, f.Pool, f.Rand, f.CPU
}

// makeEngines makes the units' engines, and connects the branches with them.
func (m *Member) makeEngines() {
	for i, u := range m.units {
		receives := engine.Protocol(u.nack)
		if u.branch != nil {
			receives = u.branch
		}
		protocols := map[wire.Protocol]engine.Protocol{
			wire.BestEffort: receives, wire.NACK: receives, wire.FEC: receives, wire.Hybrid: receives,
		}
		source := engine.Source(u)
		if i == 0 {
			source = m
		}
		if m.totem != nil {
			protocols[wire.Totem] = m.totem
			if i > 0 {
				protocols[wire.Totem] = u.branch // which forwards it to the first engine
			}
		}
		if m.cluster != nil {
			protocols[wire.ClusterRing] = m.cluster
			if m.replica != nil {
				protocols[wire.ClusterRing] = m.replica
			}
			if i > 0 {
				protocols[wire.ClusterRing] = u.branch
			}
		}
		driver, _, _, cpu := m.cfg.parts(i)
		c := engine.Config{
			Driver: driver, Source: source, Self: m.cfg.ID, Cluster: m.cfg.Cluster, Protocols: protocols,
			Idle: m.cfg.Idle, CPU: cpu, Name: fmt.Sprintf("blaze/%d %s", i, m.cfg.Name),
		}
		if core := m.Group(); core != nil {
			if i == 0 {
				protocols[wire.Group] = core
				c.Stalled, c.StallLimit = core.Stalled, core.StallLimit()
			} else {
				protocols[wire.Group] = u.branch
			}
		}
		u.engine = engine.New(c)
		if u.branch == nil {
			continue
		}
		var ring, group, cluster fanin.Stepper
		if i == 0 && m.totem != nil {
			ring = m.totem
		}
		if i == 0 && m.group != nil {
			group = m.group.core
		}
		if i == 0 && m.cluster != nil {
			cluster = m.cluster
		}
		u.branch.Connect(u.engine.Notify, ring, group, cluster)
	}
}

// Engines returns the member's engines, the first one first.
func (m *Member) Engines() (all []*engine.Engine) {
	for _, u := range m.units {
		all = append(all, u.engine)
	}
	return all
}

// NackAt returns the core of BestEffort, NACK, FEC and Hybrid that an engine runs. It belongs to that engine's thread.
func (m *Member) NackAt(engine int) *nack.Protocol { return m.units[engine].nack }

// NackStats returns the counters of the core that an engine runs. It belongs to that engine's
// thread, as the next three do.
func (m *Member) NackStats(engine int) nack.Stats { return m.units[engine].nack.Stats() }

// BranchStats returns the counters of what passed between an engine and the others.
func (m *Member) BranchStats(engine int) fanin.Stats { return m.units[engine].branch.Stats() }

// SilentAt reports whether an engine has nothing left to send.
func (m *Member) SilentAt(engine int) bool {
	u := m.units[engine]
	return u.engine.Flushed() && u.nack.Quiet() && (engine > 0 || (m.totem == nil || m.totem.Idle()) && (m.cluster == nil || m.cluster.Idle()) && m.group.left())
}

// Silent is SilentAt for the first engine.
func (m *Member) Silent() bool { return m.SilentAt(0) }

// CloseAt has an engine's cores send, in the turns that follow, that this member leaves.
func (m *Member) CloseAt(engine int, now clock.Time) {
	if engine == 0 {
		m.group.close(now)
	}
	m.units[engine].nack.Close(now)
	if engine == 0 && m.totem != nil {
		m.totem.Close(now)
	}
	if engine == 0 && m.cluster != nil {
		m.cluster.Close(now)
	}
}

// Close is CloseAt for the first engine.
func (m *Member) Close(now clock.Time) { m.CloseAt(0, now) }

// Release gives every buffer back to its pool. No engine may be turning any more.
func (m *Member) Release() {
	for _, u := range m.units {
		u.engine.Release()
		u.nack.Release()
	}
	if m.totem != nil {
		m.totem.Release()
	}
	if m.cluster != nil {
		m.cluster.Release()
	}
	m.group.release()
	for _, l := range *m.open.Load() {
		l.sender = nil // a publisher may keep the lane, and with it the cores and the packet memory
	}
}

// Listen adds what a subscription to pattern can receive to the wanted lanes. A stream in a lane
// that was not wanted before is received from now on, also if it began a moment ago. Listen belongs
// to the first engine's thread.
func (m *Member) Listen(now clock.Time, pattern string) error { return m.wanted.Topics(now, pattern) }

// ListenAll is Listen for all subscriptions that there are.
func (m *Member) ListenAll(now clock.Time) error {
	return m.wanted.Topics(now, m.table.patterns()...)
}
