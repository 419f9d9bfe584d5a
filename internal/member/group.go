package member

import (
	"encoding/binary"
	"math"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/ring"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/wire"
)

// Group is what a member of a group is made of besides.
type Group struct {
	Name    string   // at most wire.MaxName bytes
	Started uint64   // when it was started, ns since 1970
	Groups  []string // that it is in from its start, ascending

	HeartbeatInterval time.Duration
	FailureTimeout    time.Duration
	HeartbeatRate     int64 // bits a second

	Queue   int // bytes of the command ring
	Buffers int // of the pool, that pairs hold at most

	// Mirror, Tell, Warn and Calls as in group.Config.
	Mirror func(now clock.Time, c *group.Change)
	Tell   func(now clock.Time, c *group.Change)
	Warn   func(w group.Warning)
	Calls  group.CallSink

	// Gate is called on the first engine's thread when the gate closes or opens. It may be nil.
	Gate func(closed bool)

	Peers func(list []buf.Endpoint) // as in group.Config

	// Command carries out a command of a kind from FirstOwn on, on the first engine's thread. What is in it
	// is lent for the call. Nil: there are none.
	Command func(now clock.Time, g *group.Protocol, c *Command)
}

// CommandKind is what a Command asks of the group's core.
type CommandKind uint8

// The kinds that the member carries out itself. Kinds from FirstOwn on are its owner's.
const (
	CommandJoin CommandKind = iota + 1 // Name is the group
	CommandLeave
	FirstOwn
)

// Command is something that a goroutine of the application asks of the group's core.
type Command struct {
	Kind    CommandKind
	Call    uint64 // slot and generation, see group.MaxCalls
	To      wire.MemberID
	Name    string // at most wire.MaxName bytes; the same string for equal names, so it may be kept
	Payload []byte
}

// grouping is what a member has of its group. All but commands and gate belongs to the first engine's
// thread.
type grouping struct {
	core     *group.Protocol
	cfg      *Group
	commands *ring.Bytes // many producers; the first engine is the consumer
	names    interner
	command  Command
	busy     map[wire.MemberID]int // of removed members: further engines that may hold something that a full queue refused
	until    atomic.Int64          // the time until which an engine may hand something to a handler; the first engine writes it
	renewed  clock.Time            // when until was last written
	ring     uint32                // this member's incarnation in the ring
}

// newGrouping makes what the other cores need of a group before its own core is there.
func newGrouping(cfg *Group, incarnation uint32) *grouping {
	if cfg == nil {
		return nil
	}
	g := &grouping{cfg: cfg, ring: incarnation, busy: map[wire.MemberID]int{}, commands: ring.NewBytes(cfg.Queue)}
	g.until.Store(math.MaxInt64)
	return g
}

// start makes the group's core.
func (m *Member) startGroup() {
	g, cfg := m.group, &m.cfg
	if g == nil {
		return
	}
	g.names.all = m.topics
	for _, u := range m.units[1:] {
		u.witness = &witness{last: map[wire.MemberID]clock.Time{}}
	}
	g.core = group.New(group.Config{
		Self: cfg.ID, Cluster: cfg.Cluster, Local: cfg.Driver.Local(), Name: g.cfg.Name, Started: g.cfg.Started, Groups: g.cfg.Groups,
		Datagram: cfg.Driver.Datagram(), MaxMessageSize: cfg.MaxMessageSize, PairBuffers: g.cfg.Buffers,
		HeartbeatInterval: g.cfg.HeartbeatInterval, FailureTimeout: g.cfg.FailureTimeout, HeartbeatRate: g.cfg.HeartbeatRate,
		Pool: cfg.Pool, Rand: cfg.Rand, Pacer: m.pacer,
		Heard: m.heard, Forget: m.forget, Admit: m.admit, Pending: m.pending,
		Mirror: g.cfg.Mirror, Tell: g.cfg.Tell, Warn: g.cfg.Warn, Gate: m.gated, Calls: g.cfg.Calls,
		Peers: g.cfg.Peers, Ring: cfg.uses(wire.Totem), InCluster: cfg.inCluster(), Transfer: m.transfer(),
	})
}

// groupView hands a regular view of the ring to the group, for whose members it says who of the ring is here.
func (m *Member) groupView(v totem.View) {
	core := m.Group()
	if core == nil {
		return
	}
	now := m.Engine().Now()
	if v.Incarnation != m.group.ring {
		m.group.ring = v.Incarnation
		core.Excluded(now)
	}
	core.View(now, v.Members)
}

// gated takes in that the gate closes or opens. What it held up is delivered in the turns that follow.
func (m *Member) gated(closed bool) {
	m.group.until.Store(math.MaxInt64)
	if closed {
		m.group.until.Store(0)
	}
	m.group.renewed = 0
	if f := m.group.cfg.Gate; f != nil {
		f(closed)
	}
	if !closed {
		m.resume()
	}
}

// resume has every engine try again what it could not hand to a handler.
func (m *Member) resume() {
	m.table.Resume()
	for _, u := range m.units {
		u.engine.Notify()
	}
}

// renew lets further engines hand something to handlers for the next three quarters of the failure timeout. The first
// engine calls it in each turn. A process that was stopped goes on in any order: what waits at a further engine is not
// handed to a handler before the first engine has looked for how long it stood still, and has closed the gate if need
// be.
func (m *Member) renew(now clock.Time) {
	g := m.group
	if g == nil || len(m.units) == 1 || g.renewed != 0 && now.Sub(g.renewed) < witnessEvery || g.core.Gated() {
		return
	}
	late := g.renewed != 0 && int64(now) > g.until.Load()
	g.renewed = now
	g.until.Store(int64(now.Add(3 * g.core.StallLimit())))
	if late {
		m.resume()
	}
}

// Group returns the group's core, nil where there is none. It belongs to the first engine's thread.
func (m *Member) Group() *group.Protocol {
	if m.group == nil {
		return nil
	}
	return m.group.core
}

// gatedSink is what the cores of a member of a group deliver to: while the gate is closed, nothing.
type gatedSink struct {
	*unit
	group *grouping
}

// Deliver implements nack.Sink and totem.Sink.
func (s gatedSink) Deliver(d *core.Delivery) bool {
	return int64(s.engine.Now()) <= s.group.until.Load() && s.unit.Deliver(d)
}

// sink is what the cores of a unit deliver to.
func (m *Member) sink(u *unit) nack.Sink {
	if m.group == nil {
		return u
	}
	return gatedSink{u, m.group}
}

// A command's record: its word holds the kind and the length of the name. The payload is id, call, name and
// the command's own payload.
const commandHead = len(wire.MemberID{}) + 8

// Command leaves a command for the first engine, which is to be woken then. It is false when the ring is
// full, or closed. Any goroutine may call it. The payload's length is at most what MaxMessageSize says.
func (m *Member) Command(kind CommandKind, call uint64, to wire.MemberID, name string, payload []byte) bool {
	r, ok := m.group.commands.Claim(commandHead + len(name) + len(payload))
	if !ok {
		return false
	}
	r.SetWord(uint64(kind)<<8 | uint64(len(name)))
	b := r.Bytes()
	copy(b, to[:])
	binary.LittleEndian.PutUint64(b[len(to):], call)
	copy(b[commandHead+copy(b[commandHead:], name):], payload)
	r.Commit()
	return true
}

// CommandsReturned changes when room was made in the command ring. It belongs to the first engine's thread.
func (m *Member) CommandsReturned() uint64 { return m.group.commands.Returned() }

// Commands carries out the commands that wait, up to max of them, and returns how many. It belongs to the
// first engine's thread.
func (m *Member) Commands(now clock.Time, most int) (n int) {
	g := m.group
	c := &g.command
	for ; n < most; n++ {
		word, b, ok := g.commands.Peek()
		if !ok {
			return n
		}
		length := int(word & 0xff)
		c.Kind, c.Call = CommandKind(word>>8), binary.LittleEndian.Uint64(b[len(c.To):])
		copy(c.To[:], b)
		c.Name, c.Payload = g.names.intern(b[commandHead:commandHead+length]), b[commandHead+length:]
		switch c.Kind {
		case CommandJoin:
			_ = g.core.Join(now, c.Name) // its owner keeps to the bounds
		case CommandLeave:
			g.core.Leave(now, c.Name)
		default:
			g.cfg.Command(now, g.core, c)
		}
		g.commands.Advance()
	}
	g.commands.Flush()
	return n
}

// drain is Commands for a turn. Like waiting and settled it accepts nil, what a member has that is in no
// group.
func (m *Member) drainGroup(now clock.Time) int {
	if m.group == nil {
		return 0
	}
	return m.Commands(now, drainMax)
}

func (g *grouping) waiting() bool { return g != nil && !g.commands.Empty() }

// settled reports whether all commands were carried out, and nothing between this member and another one is
// outstanding.
func (g *grouping) settled() bool { return g == nil || g.commands.Used() == 0 && g.core.Quiet() }

// GroupSettled reports whether nothing between this member and another one of the group is outstanding. It belongs
// to the first engine's thread.
func (m *Member) GroupSettled() bool { return m.Engine().Flushed() && m.group.settled() }

// close begins the end: the member leaves.
func (g *grouping) close(now clock.Time) {
	if g != nil {
		g.commands.Close()
		g.core.Close(now)
	}
}

// left reports whether the end is over, if it was begun.
func (g *grouping) left() bool { return g == nil || g.core.Left() }

func (g *grouping) release() {
	if g != nil {
		g.core.Release()
	}
}
