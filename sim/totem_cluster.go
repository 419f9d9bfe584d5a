package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/wire"
)

// RingCluster is a number of Totem members on one network, the load that they carry, and the log
// of what happened. Set its fields before Start.
type RingCluster struct {
	Seed    uint64
	Config  Config // of the network; Seed and Link are filled in by Prepare
	Load    RingLoad
	Rare    RingFaults // what goes wrong beside the Faults that Start is given
	Profile totem.Profile
	// Change, where set, has the last word on a member's configuration.
	Change func(node int, c *totem.Config)
	// Ident, where set, gives a process its id.
	Ident func(node int) wire.MemberID
	// Heard, where set, is called for every message, view and step of a member.
	Heard func(node int, what any)
	Watch bool // record what is on the wire, for TO-26
	// Recovers is how long after the healing latencies may still be longer; at least 400 ms.
	Recovers time.Duration
	// SameIdents gives a node's next process the id of the one before: a defect.
	SameIdents bool

	Net     *Network
	Log     *check.RingLog
	Members []*RingMember
	Tally   RingTally

	t        testing.TB
	rng      *rand.Rand
	faults   *ringInjector
	healed   bool
	finished bool
	held     clock.Time    // when a member was last held down for a time that nothing shortens; 0: never
	stuck    []totem.Event // members that did not receive what was sent again and again
	began    uint64        // counts starts, so that each is newer than the ones before
}

// RingLoad is what the members of a ring send. Its zero value is a message a millisecond of each
// member, of 1 to 300 bytes.
type RingLoad struct {
	Every   time.Duration // mean time between two bursts of one member; zero means 1ms
	Burst   int           // messages in a burst, 1..Burst; zero means 1
	Size    int           // payload bytes, 1..Size; zero means 300
	Large   float64       // share of messages of up to LargeTo bytes instead
	LargeTo int           // bytes; zero means 20000
	Safe    float64       // share of messages that are safe
}

func (l RingLoad) withDefaults() RingLoad {
	if l.Every == 0 {
		l.Every = time.Millisecond
	}
	if l.Burst == 0 {
		l.Burst = 1
	}
	if l.Size == 0 {
		l.Size = 300
	}
	if l.LargeTo == 0 {
		l.LargeTo = 20000
	}
	return l
}

// RingMember is a node with the process that runs on it now.
type RingMember struct {
	Node     int
	Proc     check.Proc
	Engine   *engine.Engine
	Protocol *totem.Protocol // nil when no process runs
	Driver   *Driver

	c       *RingCluster
	id      wire.MemberID
	pool    *buf.Pool
	rng     *rand.Rand
	crashed bool
	paused  bool
	leaving bool
	quiet   bool // sends nothing
	ended   func()

	ring               wire.RingID // where the datagram that is being handed over was ordered
	seq                uint64
	View               totem.View // the last regular one
	Refused, Delivered uint64
}

// Alive reports whether a process runs on the node.
func (m *RingMember) Alive() bool { return m.Protocol != nil }

// ID is the member's.
func (m *RingMember) ID() wire.MemberID { return m.id }

// NewRingCluster makes a cluster for one seed. t is given the violations; it may be nil.
func NewRingCluster(t testing.TB, seed uint64) *RingCluster {
	return &RingCluster{Seed: seed, t: t, Log: check.NewRingLog(), rng: rand.New(rand.NewPCG(seed, 0x72696e67))}
}

// Prepare makes the network, without members.
func (c *RingCluster) Prepare(f Faults) {
	c.Config.Seed, c.Config.Link = c.Seed, f.link()
	c.Load = c.Load.withDefaults()
	c.Net = New(c.Config)
	if c.Watch {
		c.Net.watch = &ringWatcher{c: c, sequenced: map[placed]bool{}}
	}
}

// Start makes n members, begins their load, and lets faults happen until Heal.
func (c *RingCluster) Start(n int, f Faults) {
	c.Prepare(f)
	for range n {
		c.Join()
	}
	c.inject(f)
}

// Join adds one member on a node of its own and returns the node's number.
func (c *RingCluster) Join() int {
	m := &RingMember{Node: len(c.Members), c: c}
	c.Members = append(c.Members, m)
	m.start()
	return m.Node
}

// ringBuffers is the window of a simulated member, bytes: a store of 512 datagrams.
const ringWindow = 512 << 10

func (m *RingMember) start() {
	c := m.c
	if !c.SameIdents || m.id == (wire.MemberID{}) {
		binary.LittleEndian.PutUint64(m.id[:], c.rng.Uint64())
		binary.LittleEndian.PutUint64(m.id[8:], c.rng.Uint64())
	}
	if c.Ident != nil {
		m.id = c.Ident(m.Node)
	}
	c.began++
	m.Driver = c.Net.Attach(m.Node)
	m.Proc = c.Log.Start(c.Net.Now(), m.Node, m.id)
	m.crashed, m.paused, m.leaving = false, false, false
	m.rng = rand.New(rand.NewPCG(c.Seed, uint64(m.Proc)<<8|1))
	m.View = totem.View{}
	proc := m.Proc
	cfg := totem.Config{
		Self: m.id, Cluster: wire.ClusterHash("sim"), Node: uint64(m.Node) + 1, Started: c.began,
		Datagram: m.Driver.Datagram(), Window: ringWindow, MaxMessageSize: 64 << 10, SelfDelivery: true,
		Rand: rand.New(rand.NewPCG(c.Seed, uint64(m.Proc)<<8|2)), Profile: c.Profile,
		Sink:  &ringSink{m: m, proc: proc},
		Views: func(v totem.View) { m.view(proc, v) },
		Probe: func(p totem.Probe) { m.probe(proc, p) },
		Visit: func(_, confirmed clock.Time, _ uint64) { c.Log.Visit(proc, m.Protocol.Ring(), confirmed) },
		Events: func(e totem.Event) {
			if e.Kind == totem.HeldDown && e.Sure {
				c.held = c.Net.Now()
			}
			if e.Kind == totem.RemovedStuck || e.Kind == totem.LacksData {
				c.stuck = append(c.stuck, e)
			}
		},
	}
	if c.Change != nil {
		c.Change(m.Node, &cfg)
	}
	m.pool = buf.NewPool(totem.Buffers(cfg.Window, cfg.Datagram)+2*engine.Batch, cfg.Datagram+totem.Headroom)
	cfg.Pool = m.pool
	m.Protocol = totem.New(cfg)
	m.Engine = engine.New(engine.Config{Driver: m.Driver, Self: m.id, Cluster: cfg.Cluster, CPU: -1,
		Protocols: map[wire.Protocol]engine.Protocol{wire.Totem: m.Protocol}})
	m.Driver.Drive(m.Engine)
	m.load()
}

// crash ends the process without a word.
func (m *RingMember) crash() {
	if !m.Alive() {
		return
	}
	m.c.Log.Ended(m.c.Net.Now(), m.Proc, true)
	m.c.Tally.process(m.Protocol.Stats())
	m.Driver.Close()
	m.Protocol, m.Engine, m.crashed = nil, nil, true
}

// leave ends the process in order.
func (m *RingMember) leave() {
	if !m.Alive() || m.leaving {
		return
	}
	m.leaving = true
	p := m.Protocol
	p.Close(m.c.Net.Now())
	m.c.Log.Ended(m.c.Net.Now(), m.Proc, false)
	m.Driver.Wake()
	var wait func()
	wait = func() {
		switch {
		case m.Protocol != p:
		case m.paused || !p.Idle() || !m.Engine.Flushed():
			m.c.Net.After(100*time.Microsecond, wait)
		default:
			m.end()
		}
	}
	wait()
}

// end closes a process that has left, and looks for what it forgot.
func (m *RingMember) end() {
	m.Driver.Close()
	m.Engine.Release()
	m.Protocol.Release()
	m.c.Tally.process(m.Protocol.Stats())
	if m.pool.Free() != m.pool.Count() {
		m.c.Log.Found("RS-2", "node %d: %d of %d buffers are free", m.Node, m.pool.Free(), m.pool.Count())
	}
	if n := m.Protocol.Stats().Impossible; n > 0 {
		m.c.Log.Found("TO-16", "node %d: %d things happened that cannot", m.Node, n)
	}
	m.Protocol, m.Engine, m.crashed = nil, nil, true
	if m.ended != nil {
		m.ended()
	}
}

// load makes one process send, burst after burst, until the load ends.
func (m *RingMember) load() {
	proc := m.Proc
	var next func()
	wait := func() {
		m.c.Net.After(time.Duration(m.rng.ExpFloat64()*float64(m.c.Load.Every)), next)
	}
	next = func() {
		if !m.Alive() || m.Proc != proc || m.leaving || m.c.Load.Every < 0 {
			return
		}
		if !m.paused && !m.quiet {
			for range 1 + m.rng.IntN(m.c.Load.Burst) {
				if !m.Send(m.rng.Float64() < m.c.Load.Safe) {
					break
				}
			}
		}
		wait()
	}
	if m.c.Load.Every > 0 {
		wait()
	}
}

// Send sends one message of the load's sizes; false is back-pressure.
func (m *RingMember) Send(safe bool) bool {
	l := &m.c.Load
	size := 1 + m.rng.IntN(l.Size)
	if chance(m.rng, l.Large) {
		size = 1 + m.rng.IntN(l.LargeTo)
	}
	return m.sendOf(size, safe)
}

// sendOf sends a message of so many bytes; false is back-pressure.
func (m *RingMember) sendOf(size int, safe bool) bool {
	payload := make([]byte, size)
	check.Payload(payload, m.c.Seed<<20^uint64(m.Proc), m.c.Log.Next(m.Proc))
	now := m.c.Net.Now()
	err := m.Protocol.Offer(now, topics[m.rng.IntN(3)], wire.KindRaw, payload, safe)
	if errors.Is(err, totem.ErrWindow) || errors.Is(err, totem.ErrClosed) {
		m.Refused++
		return false
	}
	if err != nil {
		panic("sim: " + err.Error())
	}
	m.c.Log.Sent(now, m.Proc, payload, safe)
	m.Driver.Wake()
	return true
}

// ringSink is a member's application: it writes down what it gets.
type ringSink struct {
	m    *RingMember
	proc check.Proc
}

func (s *ringSink) Deliver(d *core.Delivery) bool {
	m := s.m
	now := m.c.Net.Now()
	h := m.c.Log.Delivered(now, s.proc, d, m.ring, m.seq)
	m.c.Net.Note(uint64(now), 'd', uint64(s.proc), d.Sequence, h)
	m.Delivered++
	if m.c.Heard != nil {
		m.c.Heard(m.Node, d)
	}
	return true
}

func (s *ringSink) Lost(l *core.Loss) { s.m.c.Log.Lost(s.m.c.Net.Now(), s.proc, l.From, l.First) }

func (m *RingMember) view(proc check.Proc, v totem.View) {
	now := m.c.Net.Now()
	m.c.Log.View(now, proc, v.Kind == totem.Regular, v.Ring, v.Old, v.Members)
	m.c.Net.Note(uint64(now), 'v', uint64(proc), uint64(v.Kind), v.Ring.Seq, uint64(len(v.Members)))
	if v.Kind == totem.Regular {
		m.View = v
	}
	if m.c.Heard != nil {
		m.c.Heard(m.Node, v)
	}
}

func (m *RingMember) probe(proc check.Proc, p totem.Probe) {
	log, now := m.c.Log, m.c.Net.Now()
	switch p.Kind {
	case totem.TokenAccepted:
		log.Token(proc, p.Ring, p.Seq)
	case totem.Sequenced:
		log.Sequenced(proc, p.Ring, p.Seq, p.Messages, p.Count, p.Part, p.Safe, p.Position)
	case totem.Handing:
		m.ring, m.seq = p.Ring, p.Seq
		// TO-18: in Recovery only an installation hands something over, which the log shows.
		if st := m.Protocol.State(); st == totem.Gather || st == totem.Commit {
			log.Found("TO-18", "node %d hands over number %d in %v", m.Node, p.Seq, st)
		}
		log.Handed(now, proc, p.Ring, p.Seq)
	case totem.LeftRing:
		log.Left(now, proc, p.Ring)
	case totem.Discarded:
		// TO-16: every member of the ring has what is discarded here.
		for _, o := range m.c.Members {
			if o.Alive() {
				if aru, ok := o.Protocol.Received(p.Ring); ok && aru < p.Seq {
					log.Found("TO-16", "node %d discards up to %d, node %d has received up to %d", m.Node, p.Seq, o.Node, aru)
				}
			}
		}
	}
}

// Until lets time pass until t after the beginning.
func (c *RingCluster) Until(t time.Duration) { c.Net.Run(clock.Time(t)) }

// For lets d pass.
func (c *RingCluster) For(d time.Duration) { c.Net.Run(c.Net.Now().Add(d)) }

func (c *RingCluster) inject(f Faults) {
	c.faults = injectRing(c, injectingInto(c.Net, c.Seed, f.Lasting, 200*time.Millisecond, &c.healed), f, c.Rare, &c.Tally.FaultTally)
}

// Shatter lets what is whole fall apart, and leaves that to Heal.
func (c *RingCluster) Shatter() { c.faults.shatter() }

func (c *RingCluster) nodes() int { return len(c.Members) }

func (c *RingCluster) standing(node int) standing {
	m := c.Members[node]
	return standing{m.Proc, m.Alive(), m.Alive() && !m.leaving, m.paused, m.leaving}
}

// Pause stops the turns of node i.
func (c *RingCluster) Pause(i int) {
	c.Members[i].paused = true
	c.Members[i].Driver.Pause()
}

// Resume undoes Pause.
func (c *RingCluster) Resume(i int) {
	c.Members[i].paused = false
	c.Members[i].Driver.Resume()
}

// Crash ends the member on node i without a word.
func (c *RingCluster) Crash(i int) { c.Members[i].crash() }

// Leave ends the member on node i in order.
func (c *RingCluster) Leave(i int) { c.Members[i].leave() }

// Restart starts a new member on node i, where the old one has ended.
func (c *RingCluster) Restart(i int) {
	if m := c.Members[i]; !m.Alive() {
		m.start()
	}
}

// Split cuts both ways between the nodes of a and all others.
func (c *RingCluster) Split(a ...int) { c.Net.Partition(len(c.Members), a...) }

// Heal ends all faults: the network loses nothing any more, and everybody runs.
func (c *RingCluster) Heal() {
	c.healed = true
	c.Net.MendAll()
	for i, m := range c.Members {
		if m.Alive() {
			c.Resume(i)
		}
		if m.crashed {
			c.Restart(i)
		}
	}
	c.Net.ClearLinks()
	c.Net.SetDefault(Link{Delay: c.Net.Default().Delay})
	c.Log.Healed = c.Net.Now()
}

// Alive counts the members that run and do not leave.
func (c *RingCluster) Alive() (n int) {
	for _, m := range c.Members {
		if m.Alive() && !m.leaving {
			n++
		}
	}
	return n
}

// OneRing reports whether all members that run have installed one ring of all of them.
func (c *RingCluster) OneRing() bool {
	var first *RingMember
	for _, m := range c.Members {
		if !m.Alive() || m.leaving {
			continue
		}
		if first == nil {
			first = m
		}
		if m.Protocol.State() != totem.Operational || m.View.Ring != first.View.Ring || len(m.View.Members) != c.Alive() || m.Protocol.Ring() != m.View.Ring {
			return false
		}
	}
	return true
}

// done reports whether everything that was accepted has been delivered at its sender, and is stable.
func (c *RingCluster) done() bool {
	for _, m := range c.Members {
		if m.Alive() && !m.leaving && !m.Protocol.Acknowledged() {
			return false
		}
	}
	return true
}

// Settle ends the load. All members have to be in one ring within d, and where a hold-down runs
// meanwhile that only time ends, within d and its longest time (invariants.md, section 11). New messages have to pass,
// and the checkers judge.
func (c *RingCluster) Settle(d time.Duration) {
	for _, v := range c.SettleFor(d) {
		if c.t != nil {
			c.t.Helper()
			c.t.Errorf("seed %d: %v", c.Seed, v)
		}
	}
}

// SettleFor is Settle that returns what the checkers found.
func (c *RingCluster) SettleFor(d time.Duration) (vs []check.Violation) {
	c.finished = true
	c.Load.Every = -1
	from := c.Net.Now()
	one := c.Net.RunUntil(from.Add(d), c.OneRing)
	if hold := c.holdDown(); !one && c.held != 0 && c.held.Add(hold) > from {
		d += hold
		one = c.Net.RunUntil(from.Add(d), c.OneRing)
	}
	if c.held != 0 && c.held.Add(c.holdDown()) > from {
		c.Tally.Held++
	}
	if one {
		c.Tally.Settled = append(c.Tally.Settled, c.Net.Now().Sub(from))
	} else {
		late := c.Net.RunUntil(from.Add(20*d), c.OneRing)
		word := "never"
		if late {
			word = "late: " + c.Net.Now().Sub(from).String()
		}
		vs = append(vs, check.Violation{ID: "TO-19", At: -1, Text: fmt.Sprintf("not one ring within %v, %s%s", d, word, c.Describe())})
	}
	settled := c.Net.RunUntil(c.Net.Now().Add(5*time.Second), c.done) // a long queue takes its time
	if !settled {
		vs = append(vs, check.Violation{ID: "TO-20", At: -1, Text: "messages do not become stable" + c.Describe()})
	} else {
		// The others deliver them, and what a slow link still holds arrives.
		c.Net.Run(max(c.Net.Now().Add(100*time.Millisecond), c.Log.Healed.Add(max(c.Recovers, 400*time.Millisecond))))
		c.sendNew()
	}
	vs = append(vs, check.Rings(c.Log, settled)...)
	vs = append(vs, c.close()...)
	c.Tally.run(c)
	return vs
}

// holdDown is the longest time that a member is held down.
func (c *RingCluster) holdDown() time.Duration {
	if d := c.Profile.HoldDown; d > 0 {
		return d
	}
	return totem.Tuned().HoldDown
}

// sendNew lets each member send an agreed and a safe message in a ring that has nothing else to
// do, and waits until all have them. The checker judges how long that took (TO-20): an agreed one
// waits for the token and is on its way once; a safe one waits for two more rotations. Where the
// token may rest, it first has to be called.
func (c *RingCluster) sendNew() {
	const turns = 10 * time.Microsecond // what a member takes for its part
	delay := c.Net.Default().Delay
	rotation := time.Duration(c.Alive()) * (delay + turns)
	agreed := rotation + delay + turns
	if c.Profile.Hold > 0 {
		agreed += rotation
	}
	c.Log.Settle(c.Net.Now(), agreed, agreed+2*rotation)
	c.Load.Large = 0
	for _, m := range c.Members {
		for _, safe := range []bool{false, true} {
			if !m.Alive() || m.leaving {
				continue
			}
			c.For(between(c.rng, 2*rotation))
			want := map[*RingMember]uint64{}
			for _, o := range c.Members {
				want[o] = o.Delivered + 1
			}
			m.Send(safe)
			c.Net.RunUntil(c.Net.Now().Add(time.Second), func() bool {
				for _, o := range c.Members {
					if o.Alive() && !o.leaving && o.Delivered < want[o] {
						return false
					}
				}
				return true
			})
		}
	}
}

// close ends all members and looks for what they forgot.
func (c *RingCluster) close() (vs []check.Violation) {
	for i, m := range c.Members {
		if m.Alive() {
			c.Resume(i)
			m.leave()
		}
	}
	if !c.Net.RunUntil(c.Net.Now().Add(5*time.Second), func() bool {
		for _, m := range c.Members {
			if m.Alive() {
				return false
			}
		}
		return true
	}) {
		vs = append(vs, check.Violation{ID: "RS-8", At: -1, Text: "a member does not come to its end"})
	}
	vs = append(vs, c.Log.Online("RS-2")...)
	if err := c.Net.Conserved(); err != nil {
		vs = append(vs, check.Violation{ID: "RS-7", At: -1, Text: err.Error()})
	}
	return vs
}

// Describe returns where each member stands.
func (c *RingCluster) Describe() (out string) {
	for _, m := range c.Members {
		if !m.Alive() {
			out += fmt.Sprintf("\n  node %d: down", m.Node)
			continue
		}
		s := m.Protocol.Stats()
		r := m.Protocol.Ring()
		out += fmt.Sprintf("\n  node %d: %x %v ring %x/%d, view of %d, held down %d, gaps %d, loss %v, reasons %v drops %v", m.Node, m.id[:2], m.Protocol.State(), r.Rep[:2], r.Seq,
			len(m.View.Members), s.HeldDown, s.LoopGaps, s.TokenLoss, s.Reasons, s.Drops)
	}
	return out
}
