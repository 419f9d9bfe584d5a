package member

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/topic"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/ring"
	"github.com/activeblaze/blaze/wire"
)

// Rule sends the topics that match Pattern under Protocol.
type Rule struct {
	Pattern  string
	Protocol wire.Protocol
}

// Config is what a member is made of. Every field but Events, Rules and RepairNS is needed.
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
	Lanes    int

	Window         int // bytes
	MaxMessageSize int // bytes
	Fastest        bool
	SelfDelivery   bool
	Eviction       time.Duration
	MaxRate        int64 // bits a second; 0: none
	Queue          int   // bytes of each lane's command queue; 0: none, the application turns the engine

	Idle engine.Idle
	CPU  int // negative: not pinned

	Events   func(nack.Event)
	RepairNS func(ns int64)
}

// Member is one member put together.
type Member struct {
	cfg    Config
	engine *engine.Engine
	nack   *nack.Protocol
	table  *Table

	mu    sync.Mutex
	lanes map[wire.StreamID]*Lane
	open  atomic.Pointer[[]*Lane] // in the order in which they were opened

	matched, unmatched uint64
}

// New puts a member together. It sends nothing until its engine turns.
func New(cfg Config) *Member {
	m := &Member{cfg: cfg, table: cfg.Table, lanes: map[wire.StreamID]*Lane{}}
	m.open.Store(new([]*Lane))
	m.nack = nack.New(nack.Config{
		Self: cfg.ID, Incarnation: cfg.Incarnation, Cluster: cfg.Cluster,
		Datagram: cfg.Driver.Datagram(), Window: cfg.Window, MaxMessageSize: cfg.MaxMessageSize,
		Fastest: cfg.Fastest, Eviction: cfg.Eviction, MaxRate: cfg.MaxRate,
		Room: cfg.Driver.Room(), Lanes: cfg.Lanes, SelfDelivery: cfg.SelfDelivery,
		Pool: cfg.Pool, Rand: cfg.Rand, Sink: sink{m}, Events: m.event, RepairNS: cfg.RepairNS,
	})
	m.engine = engine.New(engine.Config{
		Driver: cfg.Driver, Source: m, Self: cfg.ID, Cluster: cfg.Cluster,
		Protocols: map[wire.Protocol]engine.Protocol{wire.BestEffort: m.nack, wire.NACK: m.nack},
		Idle:      cfg.Idle, CPU: cfg.CPU,
	})
	return m
}

// Engine is the member's engine, to Run or to Turn.
func (m *Member) Engine() *engine.Engine { return m.engine }

// Nack is the protocol that runs BestEffort and NACK. It belongs to the engine's thread.
func (m *Member) Nack() *nack.Protocol { return m.nack }

// Turn is one duty cycle, for whoever drives the member himself.
func (m *Member) Turn(now clock.Time) int { return m.engine.Turn(now) }

// Stream is the stream that a topic is sent on.
func (m *Member) Stream(name string) wire.StreamID {
	p := m.cfg.Protocol
	for _, r := range m.cfg.Rules {
		if topic.Match(r.Pattern, []byte(name)) {
			p = r.Protocol
			break
		}
	}
	return wire.NewStreamID(p, LaneOf(name, m.cfg.Lanes))
}

// LaneOf is the lane that a topic is hashed to: FNV-1a, 32 bits, modulo lanes.
func LaneOf(name string, lanes int) uint16 {
	if lanes <= 1 {
		return 0
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return uint16(h.Sum32() % uint32(lanes))
}

// Lane opens the lane of a topic, or finds it open. With an engine on its own thread any
// goroutine may call it; the stream is announced in the engine's next turn. With an Invoker
// only the thread that turns may.
func (m *Member) Lane(now clock.Time, name string) *Lane {
	id := m.Stream(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.lanes[id]; l != nil {
		return l
	}
	l := &Lane{ID: id}
	m.lanes[id] = l
	if m.cfg.Queue == 0 {
		m.start(now, l)
		return l
	}
	l.queue = ring.NewBytes(m.cfg.Queue)
	m.engine.Post(func() { m.start(m.engine.Now(), l) })
	return l
}

func (m *Member) start(now clock.Time, l *Lane) {
	l.sender = m.nack.Open(now, l.ID)
	lanes := append(append([]*Lane(nil), *m.open.Load()...), l)
	m.open.Store(&lanes)
}

// Offer packs a message into the lane's datagram. Only the thread that turns may call it.
func (m *Member) Offer(l *Lane, now clock.Time, name string, kind wire.Kind, payload []byte) error {
	return l.sender.Offer(now, name, kind, payload)
}

// Sender is the lane's sender core. It belongs to the thread that turns.
func (l *Lane) Sender() *nack.Sender { return l.sender }

// Drain implements engine.Source.
func (m *Member) Drain(now clock.Time) (n int) {
	m.nack.WantSelf(m.cfg.SelfDelivery && !m.table.Empty())
	m.table.resumed.Store(false)
	if m.cfg.Queue == 0 {
		return 0
	}
	for _, l := range *m.open.Load() {
		n += l.drain(now)
	}
	return n
}

// Waiting implements engine.Source. A lane whose sender is full does not count: the sender's
// own deadlines and the receivers' reports are what it waits for.
func (m *Member) Waiting() bool {
	if m.table.resumed.Load() {
		return true
	}
	if m.cfg.Queue == 0 {
		return false
	}
	for _, l := range *m.open.Load() {
		if !l.full && !l.queue.Empty() {
			return true
		}
	}
	return false
}

// Settled tells that all that was accepted has been sent and reported received by every
// receiver that is known. It belongs to the engine's thread.
func (m *Member) Settled() bool {
	if !m.engine.Flushed() {
		return false
	}
	for _, l := range *m.open.Load() {
		if l.queue != nil && !l.queue.Empty() || !l.sender.Acknowledged() {
			return false
		}
	}
	return true
}

// Silent tells that nothing is left to be sent. It belongs to the engine's thread.
func (m *Member) Silent() bool { return m.engine.Flushed() && m.nack.Idle() }

// event watches over the cores' events.
func (m *Member) event(e nack.Event) {
	for _, l := range *m.open.Load() {
		if l.sender != nil {
			if n := int64(l.sender.Receivers()); n != l.receivers.Load() {
				l.receivers.Store(n)
				l.changed()
			}
		}
	}
	if m.cfg.Events != nil {
		m.cfg.Events(e)
	}
}

// Release gives every buffer back to the pool. The engine must not be turning any more.
func (m *Member) Release() {
	m.engine.Release()
	m.nack.Release()
}

// Unsettled describes what Settled misses, for the error of a Stop that could not wait longer.
func (m *Member) Unsettled() string {
	streams := 0
	for _, l := range *m.open.Load() {
		if !l.sender.Acknowledged() {
			streams++
		}
	}
	return fmt.Sprintf("%d bytes still queued, %d streams not reported received by all their receivers", m.Queued(), streams)
}

// Queued is the number of bytes that applications have left for the engine and it has not
// taken. It belongs to the engine's thread.
func (m *Member) Queued() (n int) {
	for _, l := range *m.open.Load() {
		if l.queue != nil && !l.queue.Empty() {
			n += l.queue.Used()
		}
	}
	return n
}

// sink is where the cores hand messages up.
type sink struct{ m *Member }

func (s sink) Deliver(d *wire.Delivery) bool {
	n, ok := s.m.table.deliver(s.m.engine.Now(), d)
	if n > 0 {
		s.m.matched++
	} else if ok {
		s.m.unmatched++
	}
	return ok
}

func (s sink) Lost(l *wire.Loss) { s.m.table.lost(l) }
