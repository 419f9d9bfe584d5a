package sim

import (
	"math/rand/v2"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// Member is a node of the cluster with the process that runs on it now.
type Member struct {
	Node   int
	Proc   check.Proc
	Core   Node // nil when no process runs
	Driver *Driver

	c       *Cluster
	crashed bool
	paused  bool
	stalled bool
	leaving bool

	next      []uint64 // by check.Stream: one above the highest message delivered or reported lost
	Delivered uint64   // messages
	Gone      uint64   // messages reported lost

	rng     *rand.Rand // of the load
	waiting *message   // refused by back-pressure; it is tried again
	sent    int        // messages accepted from this process
	Refused uint64     // offers that met back-pressure
}

// Alive reports whether a process runs on the node.
func (m *Member) Alive() bool { return m.Core != nil }

// at is the highest message of s that was delivered or reported lost here.
func (m *Member) at(s check.Stream) uint64 {
	if int(s) >= len(m.next) || m.next[s] == 0 {
		return 0
	}
	return m.next[s] - 1
}

// start begins a process: a new member, with a new id and a new port.
func (m *Member) start() {
	c := m.c
	id := c.memberID()
	m.Driver = c.Net.Attach(m.Node)
	m.Proc = c.Log.Start(c.Net.Now(), m.Node, id)
	m.crashed, m.paused, m.stalled, m.leaving = false, false, false, false
	m.next, m.waiting, m.sent = nil, nil, 0
	m.rng = rand.New(rand.NewPCG(c.Seed, uint64(m.Proc)<<8|1))
	var s nack.Sink = &sink{m: m, proc: m.Proc}
	if c.Sabotage != nil {
		s = c.Sabotage(c, m.Node, s)
	}
	proc := m.Proc
	m.Core = c.Make(NodeConfig{
		Self: id, Cluster: c.name, Driver: m.Driver, Sink: s, Now: c.Net.Now(), Member: c.Member,
		Events: func(e nack.Event) { m.event(proc, e) },
		Rand:   rand.New(rand.NewPCG(c.Seed, uint64(m.Proc)<<8|2)),
	})
	m.Driver.Drive(m.Core)
	if m.sends() {
		for _, topic := range topics[:min(c.Load.Topics, len(topics))] {
			m.open(wire.NewStreamID(c.Load.Protocol, m.Core.Stream(topic).Lane()))
		}
	}
}

// open begins one of the member's streams.
func (m *Member) open(id wire.StreamID) check.Stream {
	if s := m.c.Log.Find(m.c.Log.Procs[m.Proc].Member, id); s != check.Unknown {
		return s
	}
	m.Core.Open(m.c.Net.Now(), id)
	return m.c.Log.Open(m.c.Net.Now(), m.Proc, id)
}

// crash ends the process without a word.
func (m *Member) crash() {
	if !m.Alive() {
		return
	}
	m.c.Log.Crash(m.c.Net.Now(), m.Proc)
	m.Driver.Close()
	m.Core, m.crashed, m.waiting = nil, true, nil
}

// leave ends the process in order.
func (m *Member) leave() {
	core, driver := m.Core, m.Driver
	m.leaving, m.waiting = true, nil
	core.Leave(m.c.Net.Now())
	var wait func()
	wait = func() {
		if m.Core != core || m.Driver != driver {
			return // it crashed meanwhile
		}
		if !core.Left() {
			m.c.Net.After(50_000, wait)
			return
		}
		for _, v := range m.end() {
			m.c.fail(v)
		}
	}
	m.c.Net.After(50_000, wait)
}

// end closes a process that has left, and looks for what it forgot.
func (m *Member) end() (vs []check.Violation) {
	s := m.Core.Stats()
	vs = append(vs, check.RS7("member", s.Received, append([]uint64{s.Taken}, s.Drops...)...)...)
	m.Driver.Close()
	count, free := m.Core.Release()
	vs = append(vs, check.RS2("member", count, free)...)
	m.c.Log.Stop(m.c.Net.Now(), m.Proc)
	m.Core, m.waiting = nil, nil
	return vs
}

// sink is a member's application: it writes down what it gets.
type sink struct {
	m    *Member
	proc check.Proc
}

// Ready reports whether the application reads.
func (s *sink) Ready() bool { return !s.m.stalled || s.m.Proc != s.proc }

// Deliver records a message, unless the application is stalled.
func (s *sink) Deliver(d *core.Delivery) bool {
	m := s.m
	if !s.Ready() {
		return false
	}
	now := m.c.Net.Now()
	hash := m.c.Log.Delivered(now, s.proc, d)
	m.c.Net.Note(uint64(now), 'd', uint64(s.proc), d.Sequence, hash)
	m.Delivered++
	s.passed(now, d.From, d.Stream, d.Sequence)
	return true
}

// Lost records a loss.
func (s *sink) Lost(l *core.Loss) {
	m := s.m
	now := m.c.Net.Now()
	m.c.Log.Gap(now, s.proc, l)
	m.c.Net.Note(uint64(now), 'g', uint64(s.proc), l.First, l.Last, uint64(l.Reason))
	if l.Reason == core.LossRefused {
		return
	}
	m.Gone += l.Last - l.First + 1
	s.passed(now, l.From, l.Stream, l.Last)
}

// streamKinds are the records of the cores' events.
var streamKinds = map[nack.EventKind]check.Kind{
	nack.StreamStarted: check.StreamStarted, nack.StreamSilent: check.StreamSilent, nack.StreamResumed: check.StreamResumed,
	nack.StreamLeft: check.StreamLeft, nack.StreamRefused: check.StreamRefused,
	nack.ReceiverJoined: check.ReceiverJoined, nack.ReceiverLeft: check.ReceiverLeft, nack.ReceiverEvicted: check.ReceiverEvicted, nack.ReceiverSlow: check.ReceiverEvicted,
	nack.ReceiverStuck: check.ReceiverBehind, nack.ReceiverMute: check.ReceiverBehind,
}

// event records what the core reports of streams and receivers.
func (m *Member) event(proc check.Proc, e nack.Event) {
	now, k := m.c.Net.Now(), streamKinds[e.Kind]
	m.c.Net.Note(uint64(now), 'e', uint64(proc), uint64(e.Kind))
	switch {
	case k >= check.ReceiverJoined:
		m.c.Log.Receiver(now, k, proc, e.Member, e.Stream)
	case k != 0:
		m.c.Log.Stream(now, k, proc, e.Member, e.Stream)
	}
}

// passed notes how far the stream is.
func (s *sink) passed(_ clock.Time, from wire.MemberID, id wire.StreamID, n uint64) {
	m := s.m
	st := m.c.Log.Find(from, id)
	if st == check.Unknown || m.Proc != s.proc {
		return
	}
	for len(m.next) <= int(st) {
		m.next = append(m.next, 0)
	}
	m.next[st] = max(m.next[st], n+1)
}
