package totem

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// rig is some members that are turned directly, on a network without time: what one sends the
// others have at once, and in order.
type rig struct {
	t     testing.TB
	now   clock.Time
	nodes []*rigNode
	d     wire.Datagram
	lost  func(from, to *rigNode, d *wire.Datagram) bool // nil: nothing is
	heard func(to *rigNode, b []byte)                    // nil, or sees every copy that is not lost
	mild  bool                                           // what cannot be decoded is dropped, as an engine does
}

type rigNode struct {
	rig    *rig
	id     wire.MemberID
	at     buf.Endpoint
	pool   *buf.Pool
	p      *Protocol
	inbox  [][]byte // copies, in order
	free   [][]byte
	lend   buf.Buf
	down   bool
	refuse bool
	got    []delivered
	quiet  bool // got is not kept
	losses []core.Loss
	views  []View
	events []Event
	count  int

	received func(at clock.Time) // nil, or called with each delivery's Received
}

// delivered is one message that a node was handed.
type delivered struct {
	from    wire.MemberID
	number  uint64
	topic   string
	kind    wire.Kind
	payload string
}

func (n *rigNode) Deliver(m *core.Delivery) bool {
	if n.refuse {
		return false
	}
	n.count++
	if n.received != nil {
		n.received(m.Received)
	}
	if !n.quiet {
		n.got = append(n.got, delivered{m.From, m.Sequence, string(m.Topic), m.Kind, string(m.Payload)})
	}
	return true
}

func (n *rigNode) Lost(l *core.Loss) { n.losses = append(n.losses, *l) }

func newRig(t testing.TB, n int, change ...func(*Config)) *rig {
	r := &rig{t: t, now: 1}
	for range n {
		r.add(change...)
	}
	return r
}

func (r *rig) add(change ...func(*Config)) *rigNode {
	n := &rigNode{rig: r, at: buf.Endpoint(len(r.nodes) + 1)}
	binary.BigEndian.PutUint64(n.id[:], uint64(len(r.nodes)+1))
	binary.BigEndian.PutUint64(n.id[8:], uint64(len(r.nodes)+1)*77)
	cfg := Config{Self: n.id, Cluster: 7, Datagram: 1472, Window: 512 << 10, MaxMessageSize: 100_000, SelfDelivery: true,
		Rand: rand.New(rand.NewPCG(1, uint64(len(r.nodes)))), Sink: n,
		Views:  func(v View) { n.views = append(n.views, v) },
		Events: func(e Event) { n.events = append(n.events, e) }}
	for _, f := range change {
		f(&cfg)
	}
	n.id = cfg.Self
	n.pool = buf.NewPool(Buffers(cfg.Window, cfg.Datagram)+64, cfg.Datagram+Headroom)
	cfg.Pool = n.pool
	n.p = New(cfg)
	r.nodes = append(r.nodes, n)
	return n
}

// turn is one turn of every node, as an engine does it. It reports whether anything happened.
func (r *rig) turn() (work bool) {
	for _, n := range r.nodes {
		if n.down {
			n.inbox = n.inbox[:0]
			continue
		}
		inbox := n.inbox
		n.inbox = nil
		for _, b := range inbox {
			n.step(b)
			n.free = append(n.free, b)
			work = true
		}
		if n.inbox == nil {
			n.inbox = inbox[:0]
		}
		if at, ok := n.p.Deadline(); ok && at <= r.now {
			n.p.Tick(r.now)
		}
		n.p.Flush(r.now)
		for {
			s, ok := n.p.PollSend(r.now)
			if !ok {
				break
			}
			r.carry(n, s)
			s.Buf.Release()
			work = true
		}
		n.p.Deliver(r.now)
	}
	return work
}

func (n *rigNode) step(b []byte) error {
	d := &n.rig.d
	if err := wire.Decode(b, d); err != nil && n.rig.mild {
		return err
	} else if err != nil {
		n.rig.t.Fatalf("a datagram cannot be decoded: %v", err)
	}
	n.lend.Lend(b)
	return n.p.Step(n.rig.now, d, buf.Received{Buf: &n.lend, From: n.rig.from(d.Transmitter)})
}

func (r *rig) from(id wire.MemberID) buf.Endpoint {
	for _, n := range r.nodes {
		if n.id == id {
			return n.at
		}
	}
	return 99
}

func (r *rig) carry(from *rigNode, s buf.Send) {
	if len(s.Buf.Bytes()) > from.p.cfg.Datagram {
		r.t.Fatalf("a datagram of %d bytes", s.Buf.Len())
	}
	for _, n := range r.nodes {
		if n == from || s.To != buf.Group && s.To != n.at || s.Buf.Len() > n.p.cfg.Datagram {
			continue // as a driver drops what is longer than its member takes
		}
		if r.lost != nil {
			if err := wire.Decode(s.Buf.Bytes(), &r.d); err != nil {
				if !r.mild {
					r.t.Fatal(err)
				}
			} else if r.lost(from, n, &r.d) {
				continue
			}
		}
		if r.heard != nil {
			r.heard(n, s.Buf.Bytes())
		}
		var b []byte
		if k := len(n.free); k > 0 {
			b, n.free = n.free[k-1], n.free[:k-1]
		}
		n.inbox = append(n.inbox, append(b[:0], s.Buf.Bytes()...))
	}
}

// run turns for d, in steps of 20µs.
func (r *rig) run(d time.Duration) {
	for end := r.now.Add(d); r.now < end; r.now += 20_000 {
		r.turn()
	}
}

// until runs until done, at most for limit.
func (r *rig) until(limit time.Duration, done func() bool) bool {
	for end := r.now.Add(limit); r.now < end; r.now += 20_000 {
		if done() {
			return true
		}
		r.turn()
	}
	return done()
}

// form waits for one ring of all that run.
func (r *rig) form() {
	r.t.Helper()
	if !r.until(3*time.Second, r.formed) {
		for _, n := range r.nodes {
			r.t.Logf("%x %v %v members %d", n.id[:8], n.p.State(), n.p.Ring(), len(n.p.Members()))
		}
		r.t.Fatal("no ring")
	}
}

func (r *rig) formed() bool {
	up := 0
	for _, n := range r.nodes {
		if !n.down {
			up++
		}
	}
	for _, n := range r.nodes {
		if !n.down && (n.p.State() != Operational || len(n.p.Members()) != up) {
			return false
		}
	}
	return true
}

// done releases everything, and looks for buffers that are missing.
func (r *rig) done() {
	r.t.Helper()
	for i, n := range r.nodes {
		n.p.Release()
		if n.pool.Free() != n.pool.Count() {
			r.t.Errorf("node %d: %d of %d buffers are free", i, n.pool.Free(), n.pool.Count())
		}
		if k := n.p.Stats().Impossible; k > 0 {
			r.t.Errorf("node %d: %d things happened that cannot", i, k)
		}
	}
}
