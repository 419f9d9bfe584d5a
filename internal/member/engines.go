package member

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/ring"
	"github.com/activeblaze/blaze/wire"
)

// divide makes the engines besides the first, and what stands in front of each one's core.
func (m *Member) divide(views []*view) {
	cfg := &m.cfg
	if len(views) > maxEngines {
		panic("member: too many engines")
	}
	owners := newOwners(len(views))
	m.shards = make([]*shard, len(views))
	for i, v := range views {
		m.shards[i] = &shard{me: i, self: cfg.ID, view: v, owners: owners, all: m.shards, mine: cfg.ID, inbox: ring.NewBytes(inboxBytes)}
	}
	m.shards[0].Protocol = m.nack
	for i, f := range cfg.Further {
		s := m.shards[i+1]
		nc := nack.Config{
			Self: cfg.ID, Incarnation: cfg.Incarnation, Cluster: cfg.Cluster,
			Datagram: f.Driver.Datagram(), Window: cfg.Window, MaxMessageSize: cfg.MaxMessageSize,
			Fastest: cfg.Fastest, Eviction: cfg.Eviction, MaxRate: cfg.MaxRate, FEC: cfg.FEC,
			Room: f.Driver.Room(), Lanes: cfg.Lanes,
			Pool: f.Pool, Rand: f.Rand, Sink: shardSink{s}, RepairNS: cfg.RepairNS,
			Events: func(e nack.Event) { m.engine.Post(func() { m.event(e) }) }, // rare
		}
		if l := m.listener; l != nil {
			l.further(func(f func()) { m.engine.Post(f) }, &nc)
		}
		s.Protocol = nack.New(nc)
		protocols := routes(s)
		if cfg.uses(wire.Totem) {
			protocols[wire.Totem] = s
		}
		s.engine = engine.New(engine.Config{
			Driver: f.Driver, Source: s, Self: cfg.ID, Cluster: cfg.Cluster, Protocols: protocols,
			Idle: cfg.Idle, CPU: f.CPU,
		})
	}
}

// Engines are the member's engines, the first one first.
func (m *Member) Engines() []*engine.Engine {
	all := []*engine.Engine{m.engine}
	for i := 1; i < len(m.shards); i++ {
		all = append(all, m.shards[i].engine)
	}
	return all
}

// NackStats are the counters of the core that an engine runs. It belongs to that engine's thread,
// as the next three do.
func (m *Member) NackStats(engine int) nack.Stats {
	if engine == 0 {
		return m.nack.Stats()
	}
	return m.shards[engine].Protocol.Stats()
}

// ShardStats are the counters of what an engine had to do with the others.
func (m *Member) ShardStats(engine int) ShardStats {
	if m.shards == nil {
		return ShardStats{}
	}
	return m.shards[engine].stats
}

// SilentAt tells that an engine has nothing left to send.
func (m *Member) SilentAt(engine int) bool {
	if engine == 0 {
		return m.Silent()
	}
	s := m.shards[engine]
	return s.engine.Flushed() && s.Idle()
}

// CloseAt has an engine's cores tell the others that this member leaves, in the turns that follow.
func (m *Member) CloseAt(engine int, now clock.Time) {
	if engine == 0 {
		m.Close(now)
		return
	}
	m.shards[engine].Close(now)
}
