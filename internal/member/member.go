package member

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/lanes"
	"github.com/activeblaze/blaze/internal/topic"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/ring"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/wire"
)

// Rule sends the topics that match Pattern under Protocol.
type Rule struct {
	Pattern  string
	Protocol wire.Protocol
	Safe     bool // Totem: delivery when every member has it
}

// Config is what a member is made of. Every field but Events, Rules, RepairNS, Group and Filter is needed.
type Config struct {
	ID          wire.MemberID
	Incarnation uint32
	Cluster     uint64 // wire.ClusterHash
	Driver      engine.Driver
	Pool        *buf.Pool // of buffers that hold a datagram and nack.Headroom
	Table       *Table
	Rand        *rand.Rand

	Rules    []Rule // the first that matches wins over Protocol
	Protocol wire.Protocol
	Safe     bool
	Lanes    int

	FEC  nack.FEC // of streams under FEC and Hybrid
	Ring Ring     // used where a topic can be sent under Totem

	ClusterRing *ClusterRing // nil: the member is in no cluster

	Window         int // bytes
	MaxMessageSize int // bytes
	Fastest        bool
	SelfDelivery   bool
	MaxStreams     int // received by each engine; 0: nack.MaxStreams
	Eviction       time.Duration
	SlowestFor     time.Duration // 0: a stream waits for as long as its receivers live
	RepairTimeout  time.Duration // 0: what nack chooses
	FreePace       bool          // no congestion control
	MaxRate        int64         // bits a second; 0: none
	Queue          int           // bytes of each lane's command queue; 0: none, the application turns the engine

	Idle engine.Idle
	CPU  int    // negative: not pinned
	Name string // of the member, for the names of its engines' threads

	// Branches are the engines besides the first, which only receive. Without a Queue there are none.
	Branches []Branch

	Events   func(nack.Event) // of all engines, on the first one's thread
	RepairNS func(ns int64)   // one call at a time

	Group *Group // nil: it is in no group

	Filter lanes.Filter // its zero value: every lane of the group is received
}

// Branch is what an engine besides the first is made of. The engines share nothing of it.
type Branch struct {
	Driver engine.Driver
	Pool   *buf.Pool
	Rand   *rand.Rand
	CPU    int // negative: not pinned
}

// Ring is what only Totem needs.
type Ring struct {
	Profile totem.Profile
	Plain   bool
	Views   func(totem.View)
	Events  func(totem.Event)
}

// Member is one member put together.
type Member struct {
	cfg   Config
	units []*unit         // by engine; the first one sends, and the others only receive
	pacer *core.Pacer     // of all cores; nil: no bound
	spent atomic.Int64    // bytes that the further engines have sent and pacer has not charged yet
	totem *totem.Protocol // nil: no topic is sent under Totem

	cluster *totem.Protocol // nil: it is in no cluster
	replica *replica        // nil: no core runs on that ring

	group  *grouping // nil: it is in no group
	table  *Table
	wanted *lanes.Listener // nil: every lane is received
	others int             // members of the ring besides this one, in the last regular view

	mu      sync.Mutex
	lanes   map[wire.StreamID]*Lane
	topics  *topic.Cache[string]    // names that were taken from queues; first engine's thread only
	refuses bool                    // Refuse was called
	open    atomic.Pointer[[]*Lane] // in the order in which they were opened
	used    []*Lane                 // of these, those whose queues are looked into; first engine's thread only
	calls   *calls                  // of the others
}

// New puts a member together. It sends nothing until its engine turns.
func New(cfg Config) *Member {
	ring := cfg.uses(wire.Totem)
	m := &Member{cfg: cfg, table: cfg.Table, wanted: lanes.NewListener(cfg.Filter, cfg.Lanes, ring || cfg.Group != nil || cfg.ClusterRing != nil), group: newGrouping(cfg.Group, cfg.Incarnation), lanes: map[wire.StreamID]*Lane{}, topics: topic.NewCache[string](MaxCachedTopics), calls: new(calls)}
	m.open.Store(new([]*Lane))
	m.wanted.Want(m.table.patterns())
	m.pacer = core.NewPacer(cfg.MaxRate, cfg.Driver.Datagram())
	m.makeUnits()
	if ring {
		m.totem = totem.New(totem.Config{
			Self: cfg.ID, Incarnation: cfg.Incarnation, Cluster: cfg.Cluster,
			Datagram: cfg.Driver.Datagram(), Window: cfg.Window, MaxMessageSize: cfg.MaxMessageSize,
			Room: cfg.ringRoom(), Pacer: m.pacer, Pool: cfg.Pool, Rand: cfg.Rand, Sink: m.sink(m.units[0]),
			Views: m.view, Events: cfg.Ring.Events, Profile: cfg.Ring.Profile, Plain: cfg.Ring.Plain, FreePace: cfg.FreePace, SelfDelivery: cfg.SelfDelivery,
		})
	}
	m.startCluster()
	m.startGroup()
	m.makeEngines()
	return m
}

// uses reports whether a topic can be sent under p.
func (c *Config) uses(p wire.Protocol) bool {
	if c.Protocol == p {
		return true
	}
	for _, r := range c.Rules {
		if r.Protocol == p {
			return true
		}
	}
	return false
}

// Totem returns the core that runs the ring, nil where there is none. It belongs to the first
// engine's thread.
func (m *Member) Totem() *totem.Protocol { return m.totem }

// Engine returns the member's first engine, to Run or to Turn.
func (m *Member) Engine() *engine.Engine { return m.units[0].engine }

// Nack returns the first engine's core of BestEffort, NACK, FEC and Hybrid. It belongs to that
// engine's thread.
func (m *Member) Nack() *nack.Protocol { return m.units[0].nack }

// Turn runs one duty cycle of the first engine, for an application that turns its member itself.
func (m *Member) Turn(now clock.Time) int { return m.units[0].engine.Turn(now) }

// Stream returns the stream that a topic is sent on, and whether its delivery is to be safe.
func (m *Member) Stream(name string) (id wire.StreamID, safe bool) {
	p, safe := m.cfg.Protocol, m.cfg.Safe
	for _, r := range m.cfg.Rules {
		if topic.Match(r.Pattern, []byte(name)) {
			p, safe = r.Protocol, r.Safe
			break
		}
	}
	if p == wire.Totem {
		return totem.Stream, safe // one ring, whatever Lanes is
	}
	return wire.NewStreamID(p, lanes.Of(name, m.cfg.Lanes)), false
}

// Lane opens the lane of a topic, or finds it open. With an engine on its own thread any
// goroutine may call it; the stream is announced in the engine's next turn. With an Invoker
// only the thread that turns may.
func (m *Member) Lane(now clock.Time, name string) (l *Lane, safe bool) {
	id, safe := m.Stream(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.lanes[id]; l != nil {
		return l, safe
	}
	l = &Lane{ID: id, topics: interner{all: m.topics}}
	m.lanes[id] = l
	if m.cfg.Queue == 0 {
		m.start(now, l)
		return l, safe
	}
	l.queue, l.calling.all = ring.NewBytes(m.cfg.Queue), m.calls
	if m.refuses {
		l.queue.Close()
	}
	e := m.Engine()
	e.Post(func() { m.start(e.Now(), l) })
	return l, safe
}

func (m *Member) start(now clock.Time, l *Lane) {
	_ = m.wanted.Lane(now, l.ID.Lane()) // before its first datagram leaves; Filter.Set logs what went wrong
	if l.ID == totem.Stream {
		l.sender, l.ring = totemSender{m.totem, &m.others}, m.totem
	} else {
		l.sender = nackSender{m.units[0].nack.Open(now, l.ID)}
	}
	open := append(append([]*Lane(nil), *m.open.Load()...), l)
	m.open.Store(&open)
	if l.queue != nil {
		m.used = append(m.used, l)
	}
	m.count() // of a ring they may be known already
}

// Offer packs a message into the lane's datagram. Only the thread that turns may call it.
// The error is nack.ErrWindow, ErrTooLarge, ErrClaimed or ErrClosed.
func (l *Lane) Offer(now clock.Time, name string, kind wire.Kind, payload []byte, safe bool) error {
	return l.sender.Offer(now, name, kind, payload, safe)
}

// Frame lends n bytes for a payload in the lane's datagram itself, until CommitFrame or
// AbortFrame; nack.ErrTooLarge means that there is no such room, and that the message is to be
// offered. Only the thread that turns may call these.
func (l *Lane) Frame(now clock.Time, name string, kind wire.Kind, n int) ([]byte, error) {
	b, err := l.sender.Claim(now, name, kind, n)
	l.framed = l.framed || err == nil
	return b, err
}

// CommitFrame sends what Frame lent.
func (l *Lane) CommitFrame() {
	l.framed = false
	l.sender.Commit()
}

// AbortFrame gives up what Frame lent.
func (l *Lane) AbortFrame() {
	l.framed = false
	l.sender.Abort()
}

// Drain implements engine.Source.
func (m *Member) Drain(now clock.Time) (n int) {
	first := m.units[0]
	first.nack.WantSelf(m.cfg.SelfDelivery && !m.table.Empty())
	m.renew(now)
	n = first.Drain(now) + m.drainGroup(now)
	if m.cfg.Queue == 0 {
		return n
	}
	return n + m.drainLanes(now)
}

// Waiting implements engine.Source. A lane whose sender is full does not count: the sender's
// own deadlines and the receivers' reports are what it waits for.
func (m *Member) Waiting() bool {
	if m.units[0].Waiting() || m.group.waiting() {
		return true
	}
	if m.cfg.Queue == 0 {
		return false
	}
	for _, l := range m.used {
		if !l.full && !l.queue.Empty() {
			return true
		}
	}
	return m.calls.top.Load() != nil
}

// Settled reports whether all that was accepted has been sent and reported received by every
// receiver that is known. It belongs to the first engine's thread.
func (m *Member) Settled() bool {
	if !m.Engine().Flushed() || !m.group.settled() {
		return false
	}
	for _, l := range *m.open.Load() {
		if l.queue != nil && l.queue.Used() > 0 || !l.sender.Acknowledged() {
			return false
		}
	}
	return true
}

// Lanes are the lanes that are open, in the order in which they were opened.
func (m *Member) Lanes() []*Lane { return *m.open.Load() }

// Stir wakes those who wait for room in a lane. Without queues nothing else does: it is called after a
// turn that had something to do, by the thread that turns.
func (m *Member) Stir() {
	for _, l := range *m.open.Load() {
		l.changed()
	}
}

// Refuse closes the lanes' queues: Put and Claim take nothing more, and what was put or claimed before
// is still sent. Any goroutine may call it.
func (m *Member) Refuse() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuses = true
	for _, l := range m.lanes {
		if l.queue != nil {
			l.queue.Close()
		}
	}
}

// Abandon gives up what has not reached the senders, and takes back the claims that are open. It
// describes what Settled misses, for the error of a Stop that cannot wait longer. It is called after
// Refuse and belongs to the first engine's thread.
func (m *Member) Abandon() (left []string) {
	if m.Settled() {
		return nil
	}
	claims, streams := 0, 0
	for _, l := range *m.open.Load() {
		claims += l.abandon()
		if !l.sender.Acknowledged() {
			streams++
		}
	}
	for _, missing := range []struct {
		n    int
		what string
	}{
		{claims, "claims neither committed nor aborted"},
		{m.Engine().Pending(), "datagrams not taken by the driver"},
		{streams, "streams not reported received by all their receivers"},
	} {
		if missing.n > 0 {
			left = append(left, fmt.Sprint(missing.n, " ", missing.what))
		}
	}
	return left
}

// Unsent is the number of messages that were accepted and not sent. It is for a member whose engines
// have ended.
func (m *Member) Unsent() (n uint64) {
	for _, l := range *m.open.Load() {
		n += l.unsent + l.sender.Unsent()
	}
	return n
}

// view hands up a configuration of the ring, in its place among the messages.
func (m *Member) view(v totem.View) {
	if v.Kind == totem.Regular {
		m.others = len(v.Members) - 1
		m.count()
	}
	if m.cfg.Ring.Views != nil {
		m.cfg.Ring.Views(v)
	}
	if v.Kind == totem.Regular && !m.cfg.inCluster() {
		m.groupView(v)
	}
}

// event takes in the cores' events, on the first engine's thread.
func (m *Member) event(e nack.Event) {
	m.count()
	if m.cfg.Events != nil {
		m.cfg.Events(e)
	}
}

// count stores each lane's number of receivers, and wakes those who wait for a change.
func (m *Member) count() {
	for _, l := range *m.open.Load() {
		if l.sender != nil {
			if n := int64(l.sender.Receivers()); n != l.receivers.Load() {
				l.receivers.Store(n)
				l.changed()
			}
		}
	}
}
