package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/wire"
)

// groupRing is the ring's part of a member of a group. Its views say which members of the ring are here.
type groupRing struct {
	m           *GroupMember
	proc        check.Proc
	p           *totem.Protocol
	pool        *buf.Pool
	incarnation uint32
}

// ringEvery is the mean time between two messages of one member to its ring.
const ringEvery = 2 * time.Millisecond

// startRing makes the ring's core, where the node has one.
func (m *GroupMember) startRing(cfg *group.Config) *groupRing {
	c := m.c
	if c.Ring == nil || !c.Ring(m.Node) {
		return nil
	}
	cfg.Ring = true
	r := &groupRing{m: m, proc: m.Proc}
	ring := totem.Config{
		Self: m.id, Cluster: cfg.Cluster, Datagram: cfg.Datagram, Window: ringWindow, MaxMessageSize: 64 << 10, SelfDelivery: true,
		Rand: rand.New(rand.NewPCG(c.Seed, uint64(m.Proc)<<8|3)), Sink: r, Views: r.view,
	}
	r.pool = buf.NewPool(totem.Buffers(ring.Window, ring.Datagram)+2*engine.Batch, ring.Datagram+totem.Headroom)
	ring.Pool = r.pool
	r.p = totem.New(ring)
	var next func()
	wait := func() { c.Net.After(time.Duration(m.rng.ExpFloat64()*float64(ringEvery)), next) }
	next = func() {
		if m.Proc != r.proc || !m.Alive() || m.leaving || c.finished {
			return
		}
		if !m.paused {
			_ = r.p.Offer(m.now(), "t", wire.KindRaw, []byte{1}, false)
			m.Driver.Wake()
		}
		wait()
	}
	wait()
	return r
}

func (r *groupRing) view(v totem.View) {
	m := r.m
	if v.Kind != totem.Regular || m.Proc != r.proc || !m.Alive() {
		return
	}
	now := m.c.Net.Now()
	var members []check.Proc
	for _, id := range v.Members {
		members = append(members, m.c.Log.ProcOf(id))
	}
	m.c.Log.Add(check.GroupRecord{At: now, Kind: check.GroupViewed, Proc: r.proc, Ring: v.Ring, Members: members})
	if v.Incarnation != r.incarnation {
		r.incarnation = v.Incarnation
		m.c.Log.Add(check.GroupRecord{At: now, Kind: check.GroupExcluded, Proc: r.proc, Subject: r.proc})
		m.Protocol.Excluded(m.now())
	}
	m.Protocol.View(m.now(), slices.Clone(v.Members))
}

// Deliver implements totem.Sink.
func (r *groupRing) Deliver(d *core.Delivery) bool {
	m := r.m
	if m.Protocol.Gated() {
		return false
	}
	now := m.c.Net.Now()
	m.serve(now)
	m.c.Log.Add(check.GroupRecord{At: now, Kind: check.GroupDelivered, Proc: r.proc, Subject: m.c.Log.ProcOf(d.From)})
	return true
}

// Lost implements totem.Sink.
func (r *groupRing) Lost(*core.Loss) {}

func (r *groupRing) left() bool { return r == nil || r.p.Idle() }

// release looks for what the ring's core forgot to give back.
func (r *groupRing) release() {
	if r == nil {
		return
	}
	r.p.Release()
	if r.pool.Free() != r.pool.Count() {
		r.m.c.Log.Found("RS-2", "node %d: %d of %d buffers of the ring are free", r.m.Node, r.pool.Free(), r.pool.Count())
	}
}

// dropGroupOf is a tap that loses every group datagram of a member.
func dropGroupOf(m *GroupMember) func(f *Flight) bool {
	return func(f *Flight) bool {
		h, ok := wire.Peek(f.Bytes)
		return f.From != m.Node || !ok || h.Stream.Protocol() != wire.Group
	}
}
