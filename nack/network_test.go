package nack

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// network is a small seeded network under Protocols that are turned directly: no engine, no
// driver, virtual time. It checks what every run must hold.
type network struct {
	t       testing.TB
	rnd     *rand.Rand
	now     clock.Time
	events  eventHeap
	seq     uint64
	nodes   []*node
	faults  faults
	extra   int  // buffers that each member has besides
	hostile bool // a member forges: honest datagrams may seem implausible

	filter    func(from, to *node, d *wire.Datagram) bool // false: this copy is lost
	group     bool                                        // what the filter is asked for goes to the group
	noUnicast *node                                       // unicast from it is lost

	sent   map[wire.FrameKind]int // datagrams by their first frame, as sent (a multicast is one)
	onSend func(n *node, s buf.Send, d *wire.Datagram)
}

type faults struct {
	loss, duplicate, reorder float64
	delay, jitter            time.Duration
}

type event struct {
	at   clock.Time
	seq  uint64
	node *node
	from *node
	data []byte // nil: a wake-up

	direct bool // data came by unicast
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	o := *h
	x := o[len(o)-1]
	*h = o[:len(o)-1]
	return x
}

// node is one member of the network, and its own Sink.
type node struct {
	net      *network
	id       wire.MemberID
	endpoint buf.Endpoint
	pool     *buf.Pool
	p        *Protocol
	wake     clock.Time
	down     bool
	lag      time.Duration // its host takes so much longer to read what comes
	loss     float64       // of what it sends and of what comes to it
	older    bool          // of a version that gives no pauses and does not say how often it reports, and knows neither

	refuse  func(m *core.Delivery) bool
	streams map[string]*heard
	events  []Event
	turns   int
	idle    int // turns in a row after which Tick was due at once
}

// heard is what one Sink heard of one stream.
type heard struct {
	first, next uint64 // message numbers: the first that came, and the one that must come now
	delivered   int
	lost        []core.Loss
}

const testCluster = 0xB1A2E

func newNetwork(t testing.TB, seed uint64) *network {
	return &network{
		t: t, rnd: rand.New(rand.NewPCG(seed, 1)), now: 1, sent: map[wire.FrameKind]int{},
		faults: faults{delay: 5 * time.Microsecond, jitter: time.Microsecond},
	}
}

// add starts a member. The pool is large enough for its window and small enough to notice leaks.
func (net *network) add(change ...func(*Config)) *node {
	n := &node{net: net, endpoint: buf.Endpoint(len(net.nodes) + 1), streams: map[string]*heard{}}
	binary.LittleEndian.PutUint64(n.id[:], uint64(n.endpoint))
	cfg := Config{
		Self: n.id, Incarnation: 1, Cluster: testCluster,
		Datagram: 1472, Window: 256 << 10, MaxMessageSize: 1 << 20,
		Eviction: time.Second, Room: 212992, Lanes: 1,
		Rand: rand.New(rand.NewPCG(net.rnd.Uint64(), 2)), Sink: n,
		Events: func(e Event) { n.events = append(n.events, e) },
	}
	for _, f := range change {
		f(&cfg)
	}
	n.pool = buf.NewPool(Buffers(cfg.Window, cfg.Datagram, 1, 1)+net.extra, cfg.Datagram+Headroom)
	cfg.Pool = n.pool
	n.p = New(cfg)
	n.p.Tick(net.now)
	net.nodes = append(net.nodes, n)
	net.turn(n)
	return n
}

func (n *node) stream(from wire.MemberID, id wire.StreamID) *heard {
	k := fmt.Sprintf("%x/%x", from[:8], uint32(id))
	h := n.streams[k]
	if h == nil {
		h = &heard{}
		n.streams[k] = h
	}
	return h
}

// payload is what message number seq of a stream consists of.
func payload(from wire.MemberID, seq uint64, size int) []byte {
	b := make([]byte, max(size, 20))
	copy(b, from[:8])
	binary.LittleEndian.PutUint64(b[8:], seq)
	for i := 20; i < len(b); i++ {
		b[i] = byte(uint64(i) * seq)
	}
	h := fnv.New32a()
	h.Write(b[:16])
	h.Write(b[20:])
	binary.LittleEndian.PutUint32(b[16:], h.Sum32())
	return b
}

// Deliver checks RM-1 to RM-5.
func (n *node) Deliver(m *core.Delivery) bool {
	if n.refuse != nil && n.refuse(m) {
		return false
	}
	h := n.stream(m.From, m.Stream)
	if h.first == 0 {
		h.first, h.next = m.Sequence, m.Sequence
	}
	if m.Sequence != h.next {
		n.net.t.Fatalf("node %d at %v: message %d delivered, %d was due (RM-2, RM-3, RM-4)", n.endpoint, n.net.now, m.Sequence, h.next)
	}
	f := fnv.New32a()
	f.Write(m.Payload[:16])
	f.Write(m.Payload[20:])
	if string(m.Payload[:8]) != string(m.From[:8]) || binary.LittleEndian.Uint64(m.Payload[8:]) != m.Sequence ||
		binary.LittleEndian.Uint32(m.Payload[16:]) != f.Sum32() || string(m.Topic) != "prices.eu" {
		n.net.t.Fatalf("node %d: message %d is damaged (RM-1)", n.endpoint, m.Sequence)
	}
	h.next++
	h.delivered++
	return true
}

func (n *node) Lost(l *core.Loss) {
	h := n.stream(l.From, l.Stream)
	if h.first == 0 {
		h.first, h.next = l.First, l.First
	}
	if l.First != h.next || l.Last < l.First {
		n.net.t.Fatalf("node %d at %v: %d..%d reported lost, %d was due (RM-4, RM-5)", n.endpoint, n.net.now, l.First, l.Last, h.next)
	}
	h.next = l.Last + 1
	h.lost = append(h.lost, *l)
}

// turn is a duty cycle of one member.
func (net *network) turn(n *node) {
	if n.down {
		return
	}
	n.turns++
	if at, ok := n.p.Deadline(); ok && at <= net.now {
		n.p.Tick(net.now)
	}
	n.p.Flush(net.now)
	for {
		s, ok := n.p.PollSend(net.now)
		if !ok {
			break
		}
		net.send(n, s)
		s.Buf.Release()
	}
	n.p.Deliver(net.now)
	for _, s := range n.p.senders {
		if !s.busy && !s.isIdle() {
			net.t.Fatalf("node %d: a stream has something to do, and nobody looks at it at %v:\n%s", n.endpoint, net.now, state(n))
		}
	}
	if at, ok := n.p.Deadline(); ok && at < never {
		if at <= net.now+1 {
			if n.idle++; n.idle > 5000 {
				net.t.Fatalf("node %d: the deadline %v stays in the past at %v:\n%s", n.endpoint, at, net.now, state(n))
			}
		} else {
			n.idle = 0
		}
		at = max(at, net.now+1)
		if n.wake <= net.now || at < n.wake {
			n.wake = at
			net.push(event{at: at, node: n})
		}
	}
}

func (net *network) push(e event) {
	net.seq++
	e.seq = net.seq
	heap.Push(&net.events, e)
}

func (net *network) send(from *node, s buf.Send) {
	var d wire.Datagram
	b := append([]byte(nil), s.Buf.Bytes()...)
	if err := wire.Decode(b, &d); err != nil {
		net.t.Fatalf("node %d sent what cannot be decoded: %v", from.endpoint, err)
	}
	if len(b) > from.p.cfg.Datagram {
		net.t.Fatalf("node %d sent %d bytes", from.endpoint, len(b))
	}
	net.sent[d.Frames()[0].Kind]++
	if net.onSend != nil {
		net.onSend(from, s, &d)
	}
	for _, to := range net.nodes {
		if to == from || s.To != buf.Group && s.To != to.endpoint {
			continue
		}
		if s.To != buf.Group && from == net.noUnicast {
			continue
		}
		net.group = s.To == buf.Group
		copies := 1
		if net.rnd.Float64() < net.faults.duplicate {
			copies++
		}
		for range copies {
			if net.rnd.Float64() < max(net.faults.loss, to.loss, from.loss) || net.filter != nil && !net.filter(from, to, &d) {
				continue
			}
			delay := net.faults.delay + time.Duration(net.rnd.Int64N(int64(net.faults.jitter)+1))
			if net.rnd.Float64() < net.faults.reorder {
				delay += time.Duration(net.rnd.Int64N(int64(10 * net.faults.delay)))
			}
			data := b
			if from.older || to.older {
				data = asOlder(&d, b)
			}
			net.push(event{at: net.now.Add(delay + to.lag), node: to, from: from, data: data, direct: s.To != buf.Group})
		}
	}
}

// asOlder is what a member of an older version sends instead of d, encoded as b, or understands of it. It reports as
// often as ever to a sender that gives no pause, and does not say how often.
func asOlder(d *wire.Datagram, b []byte) []byte {
	frames := d.Frames()
	var out []byte
	switch frames[0].Kind {
	case wire.FrameStatus:
		st := frames[0].Status()
		st.Every = 0
		out = wire.AppendStatus(wire.AppendHeader(nil, d.Header), st)
	case wire.FrameHeartbeat:
		h := frames[0].Heartbeat()
		h.Pause, h.Every, h.UsualTrip = 0, 0, 0
		out = wire.AppendHeartbeat(wire.AppendHeader(nil, d.Header), h)
	default:
		return b
	}
	for i := range frames[1:] {
		out = wire.AppendStart(out, frames[1+i].Start())
	}
	wire.Seal(out)
	return out
}

// inject steps a datagram into a member as if it came through the group.
func (net *network) inject(to *node, from buf.Endpoint, data []byte) error {
	return net.step(to, from, data, true)
}

// step steps a datagram into a member as if it came from the network.
func (net *network) step(to *node, from buf.Endpoint, data []byte, group bool) error {
	var d wire.Datagram
	var b buf.Buf
	c := append([]byte(nil), data...)
	b.Lend(c)
	defer clear(c) // what was lent is gone
	r := buf.Received{Buf: &b, From: from, Group: group}
	if to.p.Predicted(net.now, r) {
		return nil
	}
	if err := wire.Decode(b.Bytes(), &d); err != nil {
		return err
	}
	return to.p.Step(net.now, &d, r)
}

// run turns the network for d of virtual time.
func (net *network) run(d time.Duration) {
	end := net.now.Add(d)
	for len(net.events) > 0 && net.events[0].at <= end {
		e := heap.Pop(&net.events).(event)
		net.now = e.at
		switch {
		case e.node.down:
			continue
		case e.data != nil:
			if err := net.step(e.node, e.from.endpoint, e.data, !e.direct); !net.hostile && (err == ErrImplausible || err == ErrProtocol) {
				net.t.Fatalf("node %d refused an honest datagram: %v", e.node.endpoint, err)
			}
		}
		net.turn(e.node)
	}
	net.now = end
}

// until turns the network until ok, at most for d; false means that it never was.
func (net *network) until(d time.Duration, ok func() bool) bool {
	for end := net.now.Add(d); net.now < end; {
		if ok() {
			return true
		}
		net.run(100 * time.Microsecond)
	}
	return ok()
}

// offer offers messages until the window is full; it returns how many were taken.
func (net *network) offer(n *node, s *Sender, count, size int) int {
	for i := range count {
		err := s.Offer(net.now, "prices.eu", wire.KindRaw, payload(n.id, s.message, size))
		if err == ErrWindow {
			net.turn(n)
			return i
		}
		if err != nil {
			net.t.Fatal(err)
		}
	}
	net.turn(n)
	return count
}

// done closes the network and checks that nothing leaks.
func (net *network) done() {
	net.t.Helper()
	for _, n := range net.nodes {
		n.p.Release()
		if n.pool.Free() != n.pool.Count() {
			net.t.Fatalf("node %d: %d of %d buffers are free", n.endpoint, n.pool.Free(), n.pool.Count())
		}
		if n.p.held != 0 {
			net.t.Fatalf("node %d: %d buffers counted as held", n.endpoint, n.p.held)
		}
	}
}

var testStream = wire.NewStreamID(wire.NACK, 0)

// sendTimes collects when a member sends heartbeats and data.
func sendTimes(of *node, beats, data *[]clock.Time) func(*node, buf.Send, *wire.Datagram) {
	return func(n *node, _ buf.Send, d *wire.Datagram) {
		if n != of {
			return
		}
		switch d.Frames()[0].Kind {
		case wire.FrameHeartbeat:
			*beats = append(*beats, n.net.now)
		case wire.FrameData:
			*data = append(*data, n.net.now)
		}
	}
}

// sendBits counts what a member puts on the wire.
func sendBits(of *node, bits *int) func(*node, buf.Send, *wire.Datagram) {
	return func(n *node, s buf.Send, _ *wire.Datagram) {
		if n == of {
			*bits += 8 * (s.Buf.Len() + core.WireOverhead)
		}
	}
}

// open opens a stream and announces it.
func (net *network) open(n *node, id wire.StreamID) *Sender {
	s := n.p.Open(net.now, id)
	net.turn(n)
	return s
}
