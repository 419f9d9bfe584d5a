package cluster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// rig is a few Cores over a small ring that keeps the promises of totem: one order, safe delivery, transitional and
// regular configurations, own messages delivered once. A message that one member has delivered as regular is delivered by all.
type rig struct {
	t     *testing.T
	now   clock.Time
	rand  *rand.Rand
	nodes []*node
	rings uint64
	late  time.Duration // from the arrival of a message to its delivery

	lossy  func(from wire.MemberID) bool // of transfers: they are lost
	damage func(payload []byte)          // of transfers
	change func(i int, c *Config)        // of a rig with services: what makes its members
}

// ringSim is one ring: what was ordered in it.
type ringSim struct {
	id      wire.RingID
	members []*node
	ordered []sent
}

type sent struct {
	from    *node
	payload []byte
}

type node struct {
	rig       *rig
	i         int
	id        wire.MemberID
	cfg       Config
	core      *Core
	ring      *ringSim
	pending   [][]byte
	delivered int
	forwarded clock.Time
	dead      bool
	hurries   int
	overdue   int // turns in a row after which its deadline had passed

	done   map[uint64]*Call
	lost   map[uint64]bool
	pub    Publication
	events []Event
	resets int
	warned []string
	calls  uint64
	inbox  []parcel
	disk   *memDisk // nil: none
	jobs   []*job   // in the background
}

// maxOverdue is how many turns in a row a deadline may be one that has passed.
const maxOverdue = 300

type parcel struct {
	from    wire.MemberID
	payload []byte
}

func (n *node) Offer(now clock.Time, payload []byte, safe bool) error {
	n.pending = append(n.pending, slices.Clone(payload))
	return nil
}
func (n *node) Hurry()            { n.hurries++ }
func (n *node) Delivered() uint64 { return uint64(n.delivered) }
func (n *node) Send(now clock.Time, to wire.MemberID, payload []byte) bool {
	for _, o := range n.rig.nodes {
		if o.id == to && !o.dead && o.ring == n.ring {
			if n.rig.lossy != nil && n.rig.lossy(n.id) {
				return true
			}
			copied := slices.Clone(payload)
			if n.rig.damage != nil {
				n.rig.damage(copied)
			}
			o.inbox = append(o.inbox, parcel{n.id, copied})
			return true
		}
	}
	return false
}
func (n *node) Publish(now clock.Time, p *Publication) {
	if p.Reset {
		n.resets++
	}
	if p.State != nil {
		n.events = append(n.events, p.Events...)
	}
	n.pub = *p
}
func (n *node) Done(now clock.Time, c *Call) {
	if n.done[c.Number] != nil {
		n.rig.t.Errorf("member %d: call %d is done twice", n.i, c.Number)
	}
	n.done[c.Number] = c
}
func (n *node) Lost(now clock.Time, lock uint64) { n.lost[lock] = true }
func (n *node) Warn(now clock.Time, w *Warning)  { n.warned = append(n.warned, w.Text) }

func newRig(t *testing.T, n int, change func(i int, c *Config)) *rig {
	r := &rig{t: t, now: 1_000_000, rand: rand.New(rand.NewPCG(1, 2))}
	for i := range n {
		r.add(i, change)
	}
	return r
}

func (r *rig) add(i int, change func(i int, c *Config)) *node {
	n := &node{rig: r, i: len(r.nodes), done: map[uint64]*Call{}, lost: map[uint64]bool{}}
	n.id = wire.MemberID{0: byte(len(r.nodes) + 1), 15: 1}
	n.cfg = Config{
		Self: n.id, Name: fmt.Sprint("m", i), Started: 1_700_000_000_000_000 + int64(r.now)/1000 + int64(i), Wall: 1_700_000_000_000_000,
		MaxValue: 1 << 20, StateLimit: 1 << 30, Datagram: 1400, Ring: n, Pairs: n, Sink: n, Background: n.background,
	}
	if change != nil {
		change(i, &n.cfg)
	}
	n.core = New(n.cfg)
	r.nodes = append(r.nodes, n)
	return n
}

// split makes rings of these groups of members; others are in none. What was ordered in the old rings is delivered first: what
// all have received as regular, the rest in the transition.
func (r *rig) split(groups ...[]int) {
	most := map[*ringSim]int{}
	for _, n := range r.nodes {
		if n.ring != nil {
			most[n.ring] = max(most[n.ring], n.delivered)
		}
	}
	for _, g := range groups {
		var members []*node
		for _, i := range g {
			if !r.nodes[i].dead {
				members = append(members, r.nodes[i])
			}
		}
		slices.SortFunc(members, func(a, b *node) int { return slices.Compare(a.id[:], b.id[:]) })
		olds := map[*ringSim][]*node{}
		for _, n := range members {
			if n.ring != nil {
				olds[n.ring] = append(olds[n.ring], n)
			}
		}
		for _, n := range members {
			old := n.ring
			if old == nil {
				continue
			}
			received := most[old]
			for k, m := range old.ordered {
				if slices.Contains(olds[old], m.from) {
					received = max(received, k+1)
				}
			}
			n.core.Transitional(r.now, old.id, ids(olds[old]))
			r.deliver(n, received)
		}
		r.rings++
		ring := &ringSim{id: wire.RingID{Rep: members[0].id, Seq: r.rings}, members: members}
		for _, n := range members {
			n.ring, n.delivered, n.forwarded = ring, 0, 0
			n.core.Regular(r.now, ring.id, ids(members))
		}
	}
	for _, n := range r.nodes {
		if !n.dead {
			n.core.Flush(r.now)
		}
	}
}

func ids(nodes []*node) (list []wire.MemberID) {
	for _, n := range nodes {
		list = append(list, n.id)
	}
	return list
}

func (r *rig) deliver(n *node, upTo int) {
	ring := n.ring
	for n.delivered < upTo {
		m := ring.ordered[n.delivered]
		n.delivered++
		n.core.Deliver(r.now, &core.Delivery{From: m.from.id, Payload: m.payload, Received: r.now.Add(-r.late)})
	}
}

// turn lets a millisecond go by: the token goes round once, and what it brought is delivered to all.
func (r *rig) turn() {
	r.now = r.now.Add(time.Millisecond)
	seen := map[*ringSim]bool{}
	for _, n := range r.nodes {
		if n.ring == nil || n.dead || seen[n.ring] {
			continue
		}
		seen[n.ring] = true
		r.rotate(n.ring)
	}
	for _, n := range r.nodes {
		if n.dead {
			continue
		}
		for _, p := range n.inbox {
			n.core.TransferFrom(r.now, p.from, p.payload)
		}
		n.inbox = nil
		for _, j := range slices.Clone(n.jobs) {
			if j.due <= r.now {
				n.jobs = slices.DeleteFunc(n.jobs, func(o *job) bool { return o == j })
				j.work(func() bool { return j.over })
				j.then(r.now)
			}
		}
		n.core.Work(r.now)
		if at, ok := n.core.Deadline(); ok && at <= r.now {
			n.core.Tick(r.now)
		}
		n.core.Flush(r.now)
		n.disk.sync(r.now)
		if at, ok := n.core.Deadline(); !ok || at > r.now {
			n.overdue = 0
		} else if n.overdue++; n.overdue == maxOverdue {
			r.t.Fatalf("member %d: for %d turns its deadline has passed, by %v now, and nothing is done about it", n.i, maxOverdue, r.now.Sub(at))
		}
	}
}

func (r *rig) rotate(ring *ringSim) {
	safe := len(ring.ordered)
	for _, n := range ring.members {
		if n.dead || n.ring != ring {
			return // the token is lost
		}
	}
	for _, n := range ring.members {
		if len(ring.members) == 1 {
			n.core.Visit(r.now, r.now, uint64(len(ring.ordered)))
		} else {
			n.core.Visit(r.now, n.forwarded, uint64(len(ring.ordered)))
		}
		n.forwarded = r.now
		for _, p := range n.pending {
			ring.ordered = append(ring.ordered, sent{n, p})
		}
		n.pending = nil
		r.deliver(n, safe)
	}
	if len(ring.members) == 1 {
		r.deliver(ring.members[0], len(ring.ordered))
	}
}

func (r *rig) run(d time.Duration) {
	for end := r.now.Add(d); r.now < end; {
		r.turn()
	}
}

// until runs turns until f holds.
func (r *rig) until(what string, f func() bool) {
	r.t.Helper()
	for range 5000 {
		if f() {
			return
		}
		r.turn()
	}
	for _, n := range r.nodes {
		s := n.core.Status(r.now)
		r.t.Logf("member %d: dead %v phase %v primary %v ready %v index %d why %q", n.i, n.dead, s.Phase, s.Primary, n.pub.Ready, s.Index, s.Why)
	}
	r.t.Fatalf("not within 5 s: %s", what)
}

// ready waits until these members are.
func (r *rig) ready(members ...int) {
	r.t.Helper()
	r.until(fmt.Sprint("members ready: ", members), func() bool {
		for _, i := range members {
			if !r.nodes[i].pub.Ready {
				return false
			}
		}
		return true
	})
}

func (n *node) call(c *Call) *Call {
	n.calls++
	c.Number = n.calls
	if !n.core.Call(n.rig.now, c) {
		n.rig.t.Fatalf("member %d: no room for a call", n.i)
	}
	return c
}

func (n *node) put(key, value string) *Call {
	return n.call(&Call{Kind: CallOp, Op: wire.ClusterOp{Kind: wire.OpPut, Map: []byte("m"), Key: []byte(key), Value: []byte(value)}})
}

func (n *node) lock(key string, lease time.Duration) *Call {
	return n.call(&Call{Kind: CallLock, Op: wire.ClusterOp{Map: []byte("m"), Key: []byte(key), Lease: int64(lease)}})
}

func (n *node) get(key string) string {
	e := n.core.State().Get([]byte("m"), []byte(key))
	if e == nil {
		return "-"
	}
	return string(e.Value())
}

// wait returns how a call ended.
func (n *node) wait(c *Call) Code {
	n.rig.t.Helper()
	n.rig.until(fmt.Sprintf("member %d: call %d is done", n.i, c.Number), func() bool { return n.done[c.Number] == c })
	return c.Code
}

// same checks that these members' replicas are equal.
func (r *rig) same(members ...int) {
	r.t.Helper()
	a := r.nodes[members[0]].core.State()
	for _, i := range members[1:] {
		b := r.nodes[i].core.State()
		if a.Index() != b.Index() || a.Hash() != b.Hash() || a.Digest() != b.Digest() {
			r.t.Errorf("members %d and %d differ: index %d, %d; hash %x, %x", members[0], i, a.Index(), b.Index(), a.Hash(), b.Hash())
		}
	}
}

func (r *rig) kill(i int) { r.nodes[i].dead = true }
