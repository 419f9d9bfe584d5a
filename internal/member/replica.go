package member

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/wire"
)

// replica is a cluster's core on its ring. To the engine both are one protocol: what the core offers in a turn leaves
// in that turn, and what a turn has changed is published at its end.
type replica struct {
	*totem.Protocol
	core *cluster.Core
	m    *Member
	more bool // Core.Work has something left
}

// clusterTopic is the topic of the ring's messages, which nobody reads.
const clusterTopic = "c"

// newReplica makes the ring, and a core on it.
func newReplica(m *Member, c *totem.Config, r *ClusterRing) *replica {
	p := &replica{m: m}
	c.Sink, c.Views, c.Visit = replicaSink{p}, p.view, func(now, confirmed clock.Time, high uint64) { p.core.Visit(now, confirmed, high) }
	c.Events = func(e totem.Event) {
		if e.Kind == totem.TooManyMembers && len(p.Members()) < totem.MaxMembers {
			p.core.Full(m.Engine().Now()) // a ring that is full does not take this member in
		}
		if r.Events != nil {
			r.Events(e)
		}
	}
	p.Protocol = totem.New(*c)
	m.cluster = p.Protocol
	own := *r.Core
	own.Self, own.Datagram, own.Ring = c.Self, c.Datagram, clusterRing{p.Protocol}
	if own.Pairs == nil {
		own.Pairs = pairs{m}
	}
	p.core = cluster.New(own)
	return p
}

// clusterRing implements cluster.Ring.
type clusterRing struct{ *totem.Protocol }

func (r clusterRing) Offer(now clock.Time, payload []byte, safe bool) error {
	return r.Protocol.Offer(now, clusterTopic, wire.KindRaw, payload, safe)
}

// pairs implements cluster.Pairs over those of the group.
type pairs struct{ m *Member }

func (p pairs) Send(now clock.Time, to wire.MemberID, payload []byte) bool {
	core := p.m.Group()
	return core != nil && core.SendTransfer(now, to, payload)
}

// transfer is what takes the transfers of a cluster's members from the group; nil: the member is in no cluster.
func (m *Member) transfer() func(now clock.Time, from wire.MemberID, payload []byte) bool {
	if !m.cfg.inCluster() {
		return nil
	}
	return func(now clock.Time, from wire.MemberID, payload []byte) bool {
		return m.replica.core.TransferFrom(now, from, payload)
	}
}

// replicaSink implements totem.Sink.
type replicaSink struct{ *replica }

func (s replicaSink) Deliver(d *core.Delivery) bool {
	s.core.Deliver(s.m.Engine().Now(), d)
	return true
}

func (s replicaSink) Lost(*core.Loss) {} // a ring loses nothing

// view hands a configuration of the ring to the group, whose table follows it, and to the core.
func (p *replica) view(v totem.View) {
	now := p.m.Engine().Now()
	if v.Kind == totem.Transitional {
		p.core.Transitional(now, v.Old, v.Members)
		return
	}
	p.m.groupView(v)
	p.core.Regular(now, v.Ring, v.Members)
}

// Deadline implements engine.Protocol.
func (p *replica) Deadline() (at clock.Time, ok bool) {
	at, ok = p.Protocol.Deadline()
	mine, has := p.core.Deadline()
	if p.more {
		mine, has = 0, true
	}
	return clock.Earlier(at, ok, mine, has)
}

// Tick implements engine.Protocol.
func (p *replica) Tick(now clock.Time) {
	p.Protocol.Tick(now)
	p.core.Tick(now)
}

// Flush implements engine.Protocol. It publishes what the turn's datagrams have changed, and offers what the turn's
// commands have brought: the ring sends it now.
func (p *replica) Flush(now clock.Time) {
	p.core.Flush(now)
	p.Protocol.Flush(now)
}

// Deliver implements engine.Protocol. It comes when the turn's datagrams, a token among them, have left: work that may
// wait is done here.
func (p *replica) Deliver(now clock.Time) int {
	n := p.Protocol.Deliver(now)
	if p.more = p.core.Work(now); n > 0 || p.more {
		p.core.Flush(now)
	}
	return n
}

// Replica returns the core of the cluster, nil where the member is in none. It belongs to the first engine's thread.
func (m *Member) Replica() *cluster.Core {
	if m.replica == nil {
		return nil
	}
	return m.replica.core
}
