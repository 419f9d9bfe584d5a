package sim

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
)

// Config describes a network and its hosts. Its zero value works.
type Config struct {
	Seed      uint64
	Link      Link          // between any two nodes, unless SetLink has set another
	MTU       int           // bytes of an IP packet; zero means 1500
	Room      int           // bytes of each socket's receive buffer; zero means 4 MiB
	Bandwidth int64         // bits/s that a host sends at; zero means no limit
	SendQueue time.Duration // what a host's send queue holds at Bandwidth; zero means 1ms
	TurnCost  time.Duration // a member's turn takes this long; zero means 400ns
	WorkCost  time.Duration // and this much for each unit of work that it did; zero means 150ns
	Echo      bool          // members receive their own multicast, as without a socket filter

	// Guard lends each received datagram as a private copy and destroys it when the loan
	// ends, and watches sent buffers until the NIC is done with them. It finds code that keeps or
	// changes memory that is lent to it.
	Guard bool
}

func (c Config) withDefaults() Config {
	if c.MTU == 0 {
		c.MTU = 1500
	}
	if c.Room == 0 {
		c.Room = 4 << 20
	}
	if c.SendQueue == 0 {
		c.SendQueue = time.Millisecond
	}
	if c.TurnCost == 0 {
		c.TurnCost = 400 * time.Nanosecond
	}
	if c.WorkCost == 0 {
		c.WorkCost = 150 * time.Nanosecond
	}
	return c
}

// headers is what IPv4 and UDP add to a datagram, bytes.
const headers = 28

// Network carries datagrams between drivers in virtual time. It belongs to one goroutine.
type Network struct {
	cfg     Config
	rng     *rand.Rand
	now     clock.Time
	agenda  agenda
	drivers []*Driver // by endpoint - 1; closed ones stay, so that endpoints are never reused
	open    []*Driver // those that can receive, in order of attachment
	links   map[pair]Link
	cuts    map[pair]bool
	narrow  map[pair]int   // bytes of the longest IP packet that passes
	barred  map[wayOf]bool // what does not pass
	up      map[int]*port  // by node
	down    map[int]*port
	tap     Tap
	watch   watching // nil: what is on the wire is not recorded
	stats   Stats
	trace   trace
	free    []*packet
}

// pair is one direction between two nodes.
type pair struct{ from, to int }

// wayOf is what multicast, or unicast, takes in one direction.
type wayOf struct {
	pair
	group bool
}

// Stats counts copies: a multicast to five members is one send and five copies. Each copy
// ends in exactly one of the other counters (RS-7).
type Stats struct {
	Sends      uint64 // datagrams that drivers took
	Oversize   uint64 // sends dropped whole: larger than the MTU
	NoListener uint64 // sends to an endpoint that no driver has any more; with Pointcast once for each
	Copies     uint64 // one for each destination of each send, and one for each duplicate
	Duplicated uint64 // of these, made by the network
	Reordered  uint64 // of these, held back so that later ones could overtake
	Cut        uint64 // dropped between nodes that were cut off from each other
	Lost       uint64 // dropped by Loss and Burst
	Tapped     uint64 // dropped by the Tap
	Blocked    uint64 // dropped by a Port or a Link that does not carry such datagrams, or has no room
	Overrun    uint64 // dropped because the receive buffer was full
	Closed     uint64 // arrived at, or were waiting in, a driver that had closed
	Received   uint64 // handed out by Recv
}

// Flight is one copy of a datagram on its way, as a Tap sees it.
type Flight struct {
	At       clock.Time
	ID       uint64 // of the send: the copies of one multicast share it
	From, To int    // nodes
	Group    bool
	Bytes    []byte // read only; a Tap may set another slice, which then travels instead
}

// watching records what is on the wire.
type watching interface {
	sent(d *Driver, b []byte, to buf.Endpoint) // a datagram leaves a driver
	lost(to *Driver)                           // the copy of it to one driver is lost
}

// Tap looks at every copy before chance decides about it, and may drop it (false) or change it.
type Tap func(f *Flight) (pass bool)

// packet is one datagram in flight, shared by all of its copies.
type packet struct {
	bytes []byte
	from  buf.Endpoint
	group bool
	refs  int
	sent  *buf.Buf // eventSent: the buffer that the NIC reads from
	sum   uint32
}

// New makes a network without members. Its clock starts at 1.
func New(cfg Config) *Network {
	return &Network{
		cfg:   cfg.withDefaults(),
		rng:   rand.New(rand.NewPCG(cfg.Seed, 0x6e6574)),
		now:   1,
		links: map[pair]Link{},
		cuts:  map[pair]bool{}, narrow: map[pair]int{}, barred: map[wayOf]bool{},
		up:   map[int]*port{},
		down: map[int]*port{},
	}
}

// Now is the virtual time.
func (n *Network) Now() clock.Time { return n.now }

// Hash identifies everything that has happened so far.
func (n *Network) Hash() uint64 { return n.trace.hash }

// Note makes words part of the trace: what the harness saw at the members' upper edge.
func (n *Network) Note(words ...uint64) { n.trace.mix(words...) }

// Stats is a copy of the counters.
func (n *Network) Stats() Stats { return n.stats }

// SetTap installs t, which sees every copy from now on; nil removes it.
func (n *Network) SetTap(t Tap) { n.tap = t }

// SetDefault replaces the link between all nodes that have none of their own.
func (n *Network) SetDefault(l Link) { n.cfg.Link = l }

// Default is the link between all nodes that have none of their own.
func (n *Network) Default() Link { return n.cfg.Link }

// SetLink gives the way from one node to another a link of its own.
func (n *Network) SetLink(from, to int, l Link) { n.links[pair{from, to}] = l }

// ClearLinks removes what SetLink, SetUp and SetDown did.
func (n *Network) ClearLinks() {
	clear(n.links)
	clear(n.up)
	clear(n.down)
}

// At calls f at time t, or now where that has passed.
func (n *Network) At(t clock.Time, f func()) {
	n.agenda.push(event{at: max(t, n.now), kind: eventCall, call: f})
}

// After calls f when d has passed.
func (n *Network) After(d time.Duration, f func()) { n.At(n.now.Add(d), f) }

// Run lets time pass until t.
func (n *Network) Run(t clock.Time) {
	for n.step(t) {
	}
	n.now = max(n.now, t)
}

// RunUntil lets time pass until done returns true or t is reached; it returns which.
func (n *Network) RunUntil(t clock.Time, done func() bool) bool {
	for !done() {
		if !n.step(t) {
			n.now = max(n.now, t)
			return done()
		}
	}
	return true
}

// step does the next event that is due at or before t.
func (n *Network) step(t clock.Time) bool {
	at, ok := n.agenda.next()
	if !ok || at > t {
		return false
	}
	e := n.agenda.pop()
	n.now = e.at
	switch e.kind {
	case eventArrive:
		e.driver.arrive(e.packet)
	case eventTurn:
		e.driver.turn(e.at)
	case eventSent:
		e.driver.sent(e.packet)
	case eventCall:
		e.call()
	}
	return true
}

// transmit sends b on its way. Everything that chance decides is decided here, in the order
// of destinations.
func (n *Network) transmit(d *Driver, b []byte, to buf.Endpoint, depart clock.Time) {
	n.stats.Sends++
	crc := sum(b)
	n.trace.mix(uint64(n.now), uint64(d.local), uint64(to), uint64(len(b))<<32|uint64(crc))
	if n.watch != nil {
		n.watch.sent(d, b, to)
	}
	p := n.packet()
	p.bytes = append(p.bytes[:0], b...)
	p.from, p.group, p.sum = d.local, to == buf.Group && !d.pointcast, crc
	if up := n.up[d.node]; up != nil {
		at, ok := up.pass(depart, len(b))
		if !ok {
			n.stats.Copies++
			n.stats.Blocked++
			n.drop(p)
			return
		}
		depart = at
	}
	switch {
	case to == buf.Group && d.pointcast:
		for _, e := range d.peers {
			n.direct(d, e, p, depart)
		}
	case p.group:
		for _, o := range n.open {
			if o != d || n.cfg.Echo {
				n.carry(d, o, p, depart)
			}
		}
	default:
		n.direct(d, to, p, depart)
	}
	n.drop(p)
}

// direct carries a datagram to one endpoint.
func (n *Network) direct(d *Driver, to buf.Endpoint, p *packet, depart clock.Time) {
	if to > buf.Endpoint(len(n.drivers)) || n.drivers[to-1].closed {
		n.stats.NoListener++
		return
	}
	n.carry(d, n.drivers[to-1], p, depart)
}

// carry decides about one copy.
func (n *Network) carry(from, to *Driver, p *packet, depart clock.Time) {
	n.stats.Copies++
	key := pair{from.node, to.node}
	if n.tap != nil {
		f := Flight{At: n.now, ID: n.stats.Sends, From: key.from, To: key.to, Group: p.group, Bytes: p.bytes}
		if !n.tap(&f) {
			n.stats.Tapped++
			n.missed(to)
			return
		}
		if len(f.Bytes) != len(p.bytes) || len(f.Bytes) > 0 && &f.Bytes[0] != &p.bytes[0] {
			changed := n.packet()
			changed.bytes = append(changed.bytes[:0], f.Bytes...)
			changed.from, changed.group, changed.sum = p.from, p.group, sum(f.Bytes)
			p = changed
			defer n.drop(changed)
		}
	}
	if len(n.cuts) > 0 && n.cuts[key] {
		n.stats.Cut++
		n.missed(to)
		return
	}
	if from == to { // the host's own loop back to itself: nothing happens on the way
		n.launch(to, p, depart)
		return
	}
	if len(n.narrow) > 0 && len(p.bytes)+headers > n.narrow[key] && n.narrow[key] > 0 {
		n.stats.Blocked++
		n.missed(to)
		return
	}
	if len(n.barred) > 0 && n.barred[wayOf{key, p.group}] {
		n.stats.Blocked++
		n.missed(to)
		return
	}
	l := &n.cfg.Link
	if len(n.links) > 0 {
		if own, ok := n.links[key]; ok {
			l = &own
		}
	}
	if l.MTU > 0 && len(p.bytes)+headers > l.MTU || l.NoGroup && p.group || l.NoDirect && !p.group {
		n.stats.Blocked++
		n.missed(to)
		return
	}
	if down := n.down[key.to]; down != nil {
		at, ok := down.pass(depart, len(p.bytes))
		if !ok {
			n.stats.Blocked++
			n.missed(to)
			return
		}
		depart = at
	}
	w := from.way(to)
	if l.loses(n.rng, w) {
		n.stats.Lost++
		n.missed(to)
		return
	}
	n.launch(to, p, n.arrival(l, w, depart))
	if chance(n.rng, l.Duplicate) {
		n.stats.Copies++
		n.stats.Duplicated++
		n.launch(to, p, n.arrival(l, w, depart))
	}
}

// arrival is when a copy arrives over link l.
func (n *Network) arrival(l *Link, w *way, depart clock.Time) clock.Time {
	at, held := l.arrival(n.rng, w, depart)
	if held {
		n.stats.Reordered++
	}
	return at
}

// missed records at the watcher that the copy to one driver is lost.
func (n *Network) missed(to *Driver) {
	if n.watch != nil {
		n.watch.lost(to)
	}
}

func (n *Network) launch(to *Driver, p *packet, at clock.Time) {
	p.refs++
	n.agenda.push(event{at: at, kind: eventArrive, driver: to, packet: p})
}

// packet takes a recycled packet; the caller holds one reference.
func (n *Network) packet() *packet {
	if len(n.free) == 0 {
		return &packet{refs: 1}
	}
	p := n.free[len(n.free)-1]
	n.free = n.free[:len(n.free)-1]
	p.refs = 1
	return p
}

func (n *Network) drop(p *packet) {
	if p.refs--; p.refs == 0 {
		p.sent = nil
		n.free = append(n.free, p)
	}
}

// Conserved checks that every copy is accounted for once (RS-7).
func (n *Network) Conserved() error {
	var flying, queued uint64
	for i := range n.agenda.heap {
		if n.agenda.heap[i].kind == eventArrive {
			flying++
		}
	}
	for _, d := range n.drivers {
		queued += uint64(d.group.len() + d.direct.len())
	}
	s := n.stats
	if sum := s.Cut + s.Lost + s.Tapped + s.Blocked + s.Overrun + s.Closed + s.Received + flying + queued; sum != s.Copies {
		return fmt.Errorf("sim: RS-7: %d copies, %d accounted for: %+v, %d in flight, %d waiting", s.Copies, sum, s, flying, queued)
	}
	return nil
}

// skbSize is what one datagram takes of a receive buffer: as Linux on loopback, a kmalloc
// bucket for headers, payload and skb_shared_info, and a struct sk_buff.
func skbSize(n int) int {
	bucket := 1 << bits.Len(uint(n+74+320-1))
	return 256 + bucket
}
