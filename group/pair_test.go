package group

import (
	"container/heap"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/wire"
)

var pairSeed = flag.Int("pairs.seed", -1, "run this seed alone")

// pairNet is members with pairs only, on a network in virtual time. Their membership is an oracle that is
// often wrong: it removes members that live, and brings them back by the rules of section 8.2.
type pairNet struct {
	t      testing.TB
	rng    *rand.Rand
	now    clock.Time
	agenda pairAgenda
	order  uint64
	nodes  []*pairNode
	log    *check.PairLog
	cfg    pairFaults

	datagrams int
	found     []check.Violation
	quietFrom clock.Time // no fault and no load from here on; 0: not yet
}

// pairFaults is what goes wrong, and what is sent.
type pairFaults struct {
	nodes            int
	loss, duplicate  float64
	late             float64 // share of datagrams that are late by up to 30 ms
	removals         int     // false ones
	crashes          int
	every            time.Duration // a member calls about so often
	pausing, closing bool          // in-boxes
	large            float64       // share of messages that are cut in parts
	cancel           float64
	buffers          int
	hold             bool // drivers hold on to what they send
	defect           defect
	toSelf           float64
	gates            bool
	queues           float64 // share of calls that are items of queues
	failing          float64 // share of items that handlers fail on
}

type pairEvent struct {
	at    clock.Time
	order uint64
	do    func()
}

type pairAgenda []pairEvent

func (a pairAgenda) Len() int { return len(a) }
func (a pairAgenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].order < a[j].order
}
func (a pairAgenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *pairAgenda) Push(x any)   { *a = append(*a, x.(pairEvent)) }
func (a *pairAgenda) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	*a = (*a)[:last]
	return e
}

func (n *pairNet) after(d time.Duration, do func()) {
	n.order++
	heap.Push(&n.agenda, pairEvent{n.now.Add(d), n.order, do})
}

func (n *pairNet) run(until clock.Time) {
	for len(n.agenda) > 0 && n.agenda[0].at <= until {
		e := heap.Pop(&n.agenda).(pairEvent)
		n.now = e.at
		e.do()
	}
	n.now = until
}

// pairTomb is what a member keeps of one that it has removed.
type pairTomb struct{ incarnation, lastSession, floor uint32 }

// pairNode is one process.
type pairNode struct {
	net     *pairNet
	p       *Protocol
	id      wire.MemberID
	at      buf.Endpoint
	proc    check.Proc
	pool    *buf.Pool
	tombs   map[wire.MemberID]*pairTomb
	inbound []pairArrival
	turning clock.Time // 0: no turn is planned
	ended   bool
	number  uint64
	open    map[uint64]*pairMade
	paused  [3]bool
	closed  [3]bool
	working [2]bool // it consumes these queues
	ahead   [2]*pairAhead
}

type pairArrival struct {
	bytes []byte
	from  buf.Endpoint
}

// pairMade is a call that has not ended.
type pairMade struct {
	payload []byte
	reply   bool
}

const pairDatagram = 1472

var pairQueues = [2]string{"work", "solo"} // the second one is exclusive

var pairInboxes = [3]string{"", "orders", "prices"}

func newPairNet(t testing.TB, seed uint64, cfg pairFaults) *pairNet {
	n := &pairNet{t: t, rng: rand.New(rand.NewPCG(seed, 0x70616972)), now: 1, log: check.NewPairLog(), cfg: cfg}
	for i := range cfg.nodes {
		n.start(i)
	}
	for _, a := range n.nodes {
		for _, b := range n.nodes {
			if a != b {
				a.meet(b)
			}
		}
	}
	return n
}

func (n *pairNet) start(place int) *pairNode {
	buffers := n.cfg.buffers
	if buffers == 0 {
		buffers = 256
	}
	m := &pairNode{net: n, at: buf.Endpoint(len(n.nodes) + 1), pool: buf.NewPool(buffers+64, 1600), tombs: map[wire.MemberID]*pairTomb{}, open: map[uint64]*pairMade{}}
	binary.LittleEndian.PutUint64(m.id[:], uint64(m.at))
	m.proc = n.log.Start(n.now, place, m.id)
	m.p = newPairMember(Config{Self: m.id, Cluster: 7, Datagram: pairDatagram, MaxMessageSize: 64 << 10, Pool: m.pool, PairBuffers: buffers,
		HeartbeatInterval: 2 * time.Millisecond, FailureTimeout: 20 * time.Millisecond, Rand: n.rng, Calls: m, defect: n.cfg.defect})
	for i := range pairInboxes {
		m.p.HandleInbox(pairInboxes[i], &pairInbox{m, i})
	}
	n.nodes = append(n.nodes, m)
	return m
}

func (m *pairNode) meet(o *pairNode) {
	o.p.settle(o.p.last)
	e := &entry{id: o.id, endpoint: o.at, incarnation: o.p.incarnation, version: o.p.own.version, record: slices.Clone(o.p.own.record)}
	if t := m.tombs[o.id]; t != nil {
		e.lastSession, e.floor = t.lastSession, t.floor
		delete(m.tombs, o.id)
	}
	setPairEntry(m.p, e)
}

// removes has m remove o.
func (m *pairNode) removes(o *pairNode) {
	e := m.p.find(o.id)
	if e == nil {
		if o.ended && m.tombs[o.id] == nil {
			m.tombs[o.id] = &pairTomb{incarnation: o.p.incarnation}
		}
		return
	}
	dropPairEntry(m.p, e)
	m.net.log.Add(check.PairRecord{At: m.net.now, Kind: check.PairRemoved, Proc: m.proc, Peer: o.proc})
	m.p.pairs.gone(m.net.now, e, gone(0))
	m.tombs[o.id] = &pairTomb{e.incarnation, e.lastSession, e.floor}
	m.wake(0)
}

func (n *pairNet) delay() (d time.Duration, lost bool) {
	if n.quietFrom == 0 {
		if n.rng.Float64() < n.cfg.loss {
			return 0, true
		}
		if n.rng.Float64() < n.cfg.late {
			return time.Duration(n.rng.IntN(30_000_000)), false
		}
	}
	return time.Duration(15_000 + n.rng.IntN(10_000)), false
}

// send carries a datagram.
func (n *pairNet) send(from *pairNode, s buf.Send) {
	n.datagrams++
	copies := 1
	if n.quietFrom == 0 && n.rng.Float64() < n.cfg.duplicate {
		copies = 2
	}
	to := n.nodes[s.To-1]
	bytes := slices.Clone(s.Buf.Bytes())
	for range copies {
		if d, lost := n.delay(); !lost {
			n.after(d, func() {
				if !to.ended {
					to.inbound = append(to.inbound, pairArrival{bytes, from.at})
					to.wake(time.Duration(n.rng.IntN(5000)))
				}
			})
		}
	}
	if n.cfg.hold && n.rng.IntN(2) == 0 {
		n.after(time.Duration(n.rng.IntN(3_000_000)), s.Buf.Release)
	} else {
		s.Buf.Release()
	}
}

// beat has m show itself to all: those that removed it send a notice, and then take it back.
func (m *pairNode) beat() {
	if m.ended {
		return
	}
	m.p.settle(m.p.last)
	incarnation, record, version := m.p.incarnation, slices.Clone(m.p.own.record), m.p.own.version
	for _, o := range m.net.nodes {
		if o == m || o.ended {
			continue
		}
		if d, lost := m.net.delay(); !lost {
			equal, own := m.holdsAs(o), o.p.own.version
			m.net.after(d, func() {
				if o.sees(m, incarnation) {
					if equal && own == o.p.own.version {
						o.p.find(m.id).agreed = m.net.now
					}
					if e := o.p.find(m.id); e.version < version {
						e.version = version
						setPairRecord(o.p, e, record)
						o.wake(0)
					}
				}
			})
		}
	}
	every := 2 * time.Millisecond
	if m.net.quietFrom != 0 {
		every = 10 * time.Millisecond
	}
	m.net.after(every, m.beat)
}

// holdsAs reports whether two members' tables are equal.
func (m *pairNode) holdsAs(o *pairNode) bool {
	version := func(p *Protocol, id wire.MemberID) uint32 {
		if id == p.cfg.Self {
			return p.own.version + 1
		}
		if e := p.find(id); e != nil {
			return e.version + 1
		}
		return 0
	}
	for _, x := range m.net.nodes {
		if version(m.p, x.id) != version(o.p, x.id) {
			return false
		}
	}
	return true
}

// notices has o remove a member that has crashed, after a while.
func (o *pairNode) notices(m *pairNode) {
	if o.ended {
		return
	}
	o.net.after(time.Duration(o.net.rng.IntN(100_000_000)), func() {
		if !o.ended {
			o.removes(m)
		}
	})
}

// sees has o notice that m lives with an incarnation. Of one that has crashed meanwhile it notices that too.
func (o *pairNode) sees(m *pairNode, incarnation uint32) bool {
	if o.ended {
		return false
	}
	t := o.tombs[m.id]
	if t == nil {
		e := o.p.find(m.id)
		if e == nil {
			o.meet(m) // a newcomer
			if e = o.p.find(m.id); m.ended {
				o.notices(m)
			}
		}
		if incarnation > e.incarnation {
			e.incarnation = incarnation
		}
		return incarnation >= e.incarnation
	}
	if incarnation > t.incarnation {
		o.meet(m)
		o.p.find(m.id).incarnation = incarnation
		if m.ended {
			o.notices(m)
		}
		return true
	}
	removed := t.incarnation
	if d, lost := o.net.delay(); !lost { // the notice
		o.net.after(d, func() {
			if m.ended || removed < m.p.incarnation {
				if e := m.p.find(o.id); e != nil && !m.ended {
					m.p.pairs.removedThere(e, removed)
				}
				return
			}
			m.p.incarnation = removed + 1
			if e := m.p.find(o.id); e != nil {
				m.p.pairs.removedThere(e, removed)
			} else if t := m.tombs[o.id]; t != nil {
				t.floor = max(t.floor, removed+1)
			}
			for _, other := range m.net.nodes {
				if e := m.p.find(other.id); e != nil {
					m.p.pairs.returned(o.net.now, e)
				}
			}
			m.wake(0)
		})
	}
	return false
}

func (m *pairNode) wake(d time.Duration) {
	at := m.net.now.Add(d)
	if m.ended || m.turning != 0 && m.turning <= at {
		return
	}
	m.turning = at
	m.net.after(d, func() {
		if m.turning == at && !m.ended {
			m.turning = 0
			m.turn()
		}
	})
}

// turn is a turn of the engine.
func (m *pairNode) turn() {
	now, x := m.net.now, m.p.pairs
	m.p.observe(now)
	m.p.tickClaims(now)
	var d wire.Datagram
	for _, a := range m.inbound {
		lent := slices.Clone(a.bytes)
		var b buf.Buf
		b.Lend(lent)
		if err := wire.Decode(lent, &d); err != nil {
			m.net.t.Fatalf("a datagram that cannot be read: %v", err)
		}
		if o := m.net.nodes[a.from-1]; m.sees(o, d.Incarnation) {
			frames := d.Frames()
			for i := range frames {
				x.step(now, &d, &frames[i], buf.Received{Buf: &b, From: a.from}, m.p.find(o.id))
			}
		}
		for i := range lent {
			lent[i] = 0xEE // the loan is over
		}
	}
	m.inbound = m.inbound[:0]
	x.tick(now)
	work := 1
	for work > 0 {
		x.flush(now)
		for {
			s, ok := x.pollControl(now)
			if !ok {
				if s, ok = x.poll(now); !ok {
					break
				}
			}
			m.net.send(m, s)
		}
		work = x.deliver(now)
	}
	if at := x.deadline(); at != 0 {
		m.wake(max(at.Sub(now), 1))
	}
}

// pairInbox is a handler.
type pairInbox struct {
	m     *pairNode
	place int
}

func (b *pairInbox) Take(now clock.Time, i *Item) (Verdict, wire.RefusalReason) {
	m := b.m
	if m.paused[b.place] {
		return Wait, 0
	}
	if string(i.Inbox) != pairInboxes[b.place] {
		m.net.t.Fatalf("%q came to %q", i.Inbox, pairInboxes[b.place])
	}
	if len(i.Payload) < 16 || !pairIntact(i.Payload) {
		m.net.t.Fatalf("a payload of %d bytes is damaged", len(i.Payload))
	}
	number := binary.LittleEndian.Uint64(i.Payload)
	peer := m.net.log.ProcOf(i.From)
	m.net.log.Add(check.PairRecord{At: now, Kind: check.PairBegun, Proc: m.proc, Peer: peer, Number: number, Hash: check.Hash(i.Payload)})
	if !i.Wanted {
		return Take, 0
	}
	reply := m.net.payload(m.number, true)
	replied := func() {
		m.net.log.Add(check.PairRecord{At: m.net.now, Kind: check.PairReplied, Proc: m.proc, Peer: peer, Number: number, Hash: check.Hash(reply)})
	}
	from, call := i.From, i.Call
	if m.net.rng.IntN(2) == 0 {
		replied()
		if m.p.Reply(now, from, call, wire.KindMessage, reply) == nil {
			return Take, 0
		}
	}
	m.net.after(time.Duration(m.net.rng.IntN(5_000_000)), func() {
		if m.ended {
			return
		}
		replied()
		c := m.call(from, reply)
		m.open[c.Number].reply = true
		m.p.ReplyCall(m.net.now, c, call)
		m.wake(0)
	})
	return Take, 0
}

// payload makes bytes that can be recognised.
func (n *pairNet) payload(number uint64, reply bool) []byte {
	size := 16 + n.rng.IntN(100)
	if n.rng.Float64() < n.cfg.large {
		size = 1300 + n.rng.IntN(20_000)
	}
	b := make([]byte, size)
	binary.LittleEndian.PutUint64(b, number)
	x := n.rng.Uint32()
	binary.LittleEndian.PutUint32(b[8:], x)
	for i := 12; i < size; i++ {
		b[i] = byte(x) + byte(i*7)
	}
	return b
}

func pairIntact(b []byte) bool {
	x := binary.LittleEndian.Uint32(b[8:])
	for i := 12; i < len(b); i++ {
		if b[i] != byte(x)+byte(i*7) {
			return false
		}
	}
	return true
}

// call makes a call.
func (m *pairNode) call(to wire.MemberID, payload []byte) *Call {
	m.number++
	slot := m.number % 8192
	number := slot | m.number/8192<<16
	if m.open[number] != nil || len(m.open) > 8000 {
		m.net.t.Fatal("too many calls are open")
	}
	m.open[number] = &pairMade{payload: payload}
	return &Call{Number: number, To: to, Payload: payload, Kind: wire.KindMessage}
}

// Ended takes the end of a call.
func (m *pairNode) Ended(now clock.Time, e *End) {
	made := m.open[e.Call]
	if made == nil {
		panic(fmt.Sprintf("call %d ended, which is not open", e.Call))
	}
	delete(m.open, e.Call)
	defer func() {
		for i := range made.payload {
			made.payload[i] = 0xDD // it is the caller's again
		}
	}()
	if made.reply {
		return
	}
	r := check.PairRecord{At: m.net.now, Proc: m.proc, Number: binary.LittleEndian.Uint64(made.payload)}
	switch {
	case e.Why == Answered:
		r.Kind = check.PairAnswered
		if e.Payload != nil {
			if !pairIntact(e.Payload) {
				m.net.t.Fatal("a reply is damaged")
			}
			r.Hash = check.Hash(e.Payload)
		}
	case e.Why == NoReply:
		r.Kind = check.PairNoReply
	case e.Why == Refused && !e.Unknown:
		r.Kind = check.PairRefused
	case e.Why == Cancelled:
		r.Kind = check.PairCancelled
	case e.Unknown:
		r.Kind = check.PairUnknown
	default:
		r.Kind = check.PairFailed
	}
	m.net.log.Add(r)
}

// load has a member call others now and then.
func (m *pairNode) load() {
	n := m.net
	if m.ended || n.quietFrom != 0 {
		return
	}
	for range 1 + n.rng.IntN(4) {
		if n.rng.Float64() < n.cfg.queues && len(m.open) < 300 {
			m.enqueue()
			continue
		}
		to := n.nodes[n.rng.IntN(len(n.nodes))]
		if n.rng.Float64() < n.cfg.toSelf {
			to = m
		}
		if to == m && n.cfg.toSelf == 0 || len(m.open) > 2000 {
			continue
		}
		payload := n.payload(m.number+1, false)
		c := m.call(to.id, payload)
		c.Inbox = pairInboxes[n.rng.IntN(3)]
		r := check.PairRecord{At: n.now, Kind: check.PairSend, Proc: m.proc, Peer: to.proc, Number: m.number, Hash: check.Hash(payload)}
		number := c.Number
		if n.rng.IntN(3) == 0 {
			r.Kind = check.PairRequest
			n.log.Add(r)
			m.p.Request(n.now, c)
		} else {
			n.log.Add(r)
			m.p.Send(n.now, c)
		}
		if n.rng.Float64() < n.cfg.cancel {
			n.after(time.Duration(n.rng.IntN(3_000_000)), func() {
				if !m.ended {
					m.p.Cancel(n.now, number)
				}
			})
		}
	}
	m.wake(0)
	n.after(time.Duration(1+n.rng.Int64N(int64(2*n.cfg.every))), m.load)
}

// enqueue makes an item of a queue.
func (m *pairNode) enqueue() {
	n := m.net
	payload := n.payload(m.number+1, false)
	c := m.call(wire.MemberID{}, payload)
	c.Inbox = pairQueues[n.rng.IntN(2)]
	r := check.PairRecord{At: n.now, Kind: check.PairEnqueued, Proc: m.proc, Peer: m.proc, Number: m.number, Hash: check.Hash(payload)}
	number := c.Number
	if n.rng.IntN(3) == 0 {
		r.Kind = check.PairQueueRequest
		n.log.Add(r)
		m.p.RequestQueue(n.now, c)
	} else {
		n.log.Add(r)
		m.p.Enqueue(n.now, c)
	}
	if n.rng.Float64() < n.cfg.cancel {
		n.after(time.Duration(n.rng.IntN(3_000_000)), func() {
			if !m.ended {
				m.p.Cancel(n.now, number)
			}
		})
	}
}

// consumes has a member consume a queue, or stop.
func (m *pairNode) consumes(i int, on bool) {
	if m.working[i] == on {
		return
	}
	m.working[i] = on
	now, name := m.net.now, pairQueues[i]
	if !on {
		m.p.CloseQueue(now, name)
		m.p.Consume(now, name, 0, 0)
		return
	}
	handlers, rank := 1+m.net.rng.IntN(3), uint32(0)
	if i == 1 {
		rank = m.p.NextRank(name)
	}
	w := pairWorker{m, i}
	var h WorkHandler = &w
	if m.ahead[i] = nil; m.net.rng.IntN(2) == 0 {
		m.ahead[i] = &pairAhead{pairWorker: w, handlers: handlers}
		h = m.ahead[i]
	}
	if m.p.HandleQueue(now, name, h, handlers, 1+m.net.rng.IntN(20), 1<<20) != nil {
		m.working[i] = false // the last one has not ended yet
		return
	}
	m.p.Handlers(now, name, handlers, 2)
	m.p.Consume(now, name, uint32(handlers), rank)
}

// pairWorker handles items.
type pairWorker struct {
	m     *pairNode
	queue int
}

func (b *pairWorker) Begin(now clock.Time, w *Work) { b.begin(now, w, func() {}) }

// pairAhead is handlers that are given items ahead.
type pairAhead struct {
	pairWorker
	handlers, running int
	given             []Work
}

func (b *pairAhead) Begin(now clock.Time, w *Work) {
	given := *w
	given.Payload = slices.Clone(w.Payload)
	b.given = append(b.given, given)
	b.m.net.after(time.Duration(b.m.net.rng.IntN(20_000)), b.next)
}

// next has idle handlers begin what was given.
func (b *pairAhead) next() {
	for len(b.given) > 0 && b.running < b.handlers && !b.m.p.gated() && !b.m.ended {
		w := b.given[0]
		b.given = b.given[1:]
		b.running++
		b.begin(b.m.net.now, &w, func() {
			b.running--
			b.next()
		})
	}
}

// Recall implements Recaller.
func (b *pairAhead) Recall(from wire.MemberID, call uint64, attempt uint32) bool {
	at := slices.IndexFunc(b.given, func(w Work) bool { return w.From == from && w.Call == call && w.Attempt == attempt })
	if at < 0 {
		return false
	}
	b.given = slices.Delete(b.given, at, at+1)
	return true
}

func (b *pairWorker) begin(now clock.Time, w *Work, ended func()) {
	m, n := b.m, b.m.net
	if len(w.Payload) < 16 || !pairIntact(w.Payload) {
		n.t.Fatalf("an item of %d bytes is damaged", len(w.Payload))
	}
	if e := m.p.find(w.From); w.From != m.id && (e == nil || w.known < e.floor) {
		n.found = append(n.found, check.Violation{ID: "QU-5", At: -1, Text: fmt.Sprintf("node %d began an item of a session that it knows to be over", m.at)})
	}
	number := binary.LittleEndian.Uint64(w.Payload)
	peer := n.log.ProcOf(w.From)
	n.log.Add(check.PairRecord{At: now, Kind: check.PairWorkBegun, Proc: m.proc, Peer: peer, Number: number, Hash: check.Hash(w.Payload), Marked: w.Redelivered, Alone: b.queue == 1})
	from, call, attempt, wanted := w.From, w.Call, w.Attempt, w.Wanted
	n.after(time.Duration(n.rng.IntN(3_000_000)), func() {
		if m.ended {
			return
		}
		result, kind := wire.ResultHandled, check.PairWorkDone
		if n.rng.Float64() < n.cfg.failing {
			result, kind = wire.ResultError, check.PairWorkFailed
		}
		if wanted && result == wire.ResultHandled && n.rng.IntN(10) > 0 {
			reply := n.payload(m.number, true)
			n.log.Add(check.PairRecord{At: n.now, Kind: check.PairReplied, Proc: m.proc, Peer: peer, Number: number, Hash: check.Hash(reply)})
			c := m.call(from, reply)
			m.open[c.Number].reply = true
			m.p.ReplyCall(n.now, c, call)
		}
		n.log.Add(check.PairRecord{At: n.now, Kind: kind, Proc: m.proc, Peer: peer, Number: number})
		m.p.Done(n.now, pairQueues[b.queue], from, call, attempt, result)
		ended()
		m.wake(0)
	})
}

// gate closes and opens the gate.
func (m *pairNode) gate(closed bool) {
	setPairGate(m.p, closed)
	m.p.pairs.next = true
	for _, a := range m.ahead {
		if a != nil {
			a.next()
		}
	}
}

// moods has in-boxes pause, close and open.
func (m *pairNode) moods() {
	n := m.net
	if m.ended || n.quietFrom != 0 {
		return
	}
	i := n.rng.IntN(3)
	if n.cfg.queues > 0 && n.rng.IntN(2) == 0 {
		q := n.rng.IntN(8) / 7
		m.consumes(q, n.rng.IntN(3) > 0)
	} else if n.cfg.pausing && n.rng.IntN(2) == 0 {
		m.paused[i] = !m.paused[i]
	} else if n.cfg.closing {
		m.close(i, !m.closed[i])
	}
	m.wake(0)
	n.after(time.Duration(1+n.rng.IntN(10_000_000)), m.moods)
}

func (m *pairNode) close(i int, closed bool) {
	m.closed[i] = closed
	m.p.CloseInbox(pairInboxes[i])
	if !closed {
		m.p.HandleInbox(pairInboxes[i], &pairInbox{m, i})
	}
}

// end has a member crash.
func (m *pairNode) end() {
	m.ended = true
	m.net.log.Add(check.PairRecord{At: m.net.now, Kind: check.PairEnded, Proc: m.proc})
}

// play runs a whole scenario and judges it.
func (n *pairNet) play(length time.Duration) []check.Violation { return n.play2(length, nil) }

func (n *pairNet) play2(length time.Duration, debug func()) []check.Violation {
	for _, m := range n.nodes {
		n.live(m)
	}
	random := func() time.Duration { return time.Duration(n.rng.Int64N(int64(length))) }
	for range n.cfg.removals {
		n.after(random(), func() {
			a, b := n.nodes[n.rng.IntN(len(n.nodes))], n.nodes[n.rng.IntN(len(n.nodes))]
			if a == b || a.ended || b.ended {
				return
			}
			if n.rng.IntN(3) > 0 {
				a.removes(b)
				return
			}
			for _, o := range n.nodes {
				if o != b && !o.ended {
					o.removes(b)
				}
			}
		})
	}
	for range n.cfg.crashes {
		n.after(random(), func() {
			m := n.nodes[n.rng.IntN(len(n.nodes))]
			if m.ended {
				return
			}
			m.end()
			for _, o := range n.nodes {
				o.notices(m)
			}
			n.live(n.start(0))
		})
	}
	n.run(n.now.Add(length))
	n.quietFrom = n.now
	for _, m := range n.nodes {
		if m.ended {
			continue
		}
		for i := range pairInboxes {
			m.paused[i] = false
			m.close(i, false)
		}
		m.gate(false)
		if n.cfg.queues > 0 {
			n.after(time.Duration(n.rng.IntN(50_000_000)), func() {
				m.consumes(0, true)
				m.consumes(1, true)
				m.wake(0)
			})
		}
		m.wake(0)
	}
	n.run(n.now.Add(3 * time.Second))
	if debug != nil {
		debug()
	}
	before := n.datagrams
	n.run(n.now.Add(2 * time.Second))
	found := append(check.Pairs(n.log), check.Queues(n.log)...)
	found = append(found, check.Exclusive(n.log)...)
	found = append(found, n.found...)
	for _, m := range n.nodes {
		if x := m.p.pairs; !m.ended {
			s := m.p.Stats()
			if s.Assigned != s.Handled-s.HandledLate+s.ItemsFailed+s.ItemsReturned+s.ItemsRefused+s.ItemsLost+s.ItemsWithdrawn+s.ItemsOut && n.cfg.defect != assignedAgain {
				found = append(found, check.Violation{ID: "RS-7", At: -1, Text: fmt.Sprintf("node %d: items that are not accounted for: %+v", m.at, s.PairStats)})
			}
			if x.held != 0 || len(x.timers) != 0 || m.pool.Out() != 0 && !n.cfg.hold {
				found = append(found, check.Violation{ID: "PP-5", At: -1, Text: fmt.Sprintf("node %d holds %d buffers and %d timers", m.at, x.held, len(x.timers))})
			}
			if x.stats.CallsOpen != uint64(len(m.open)) || x.parts.out != 0 {
				found = append(found, check.Violation{ID: "PP-5", At: -1, Text: fmt.Sprintf("node %d has %d calls, %d are open, %d parts", m.at, x.stats.CallsOpen, len(m.open), x.parts.out)})
			}
		}
		m.p.pairs.release()
		if m.pool.Out() != 0 && !n.cfg.hold {
			n.t.Errorf("node %d: %d buffers are out after release", m.at, m.pool.Out())
		}
	}
	if n.datagrams != before {
		found = append(found, check.Violation{ID: "PP-5", At: -1, Text: fmt.Sprintf("%d datagrams of idle pairs", n.datagrams-before)})
	}
	return found
}

// live has a member work.
func (n *pairNet) live(m *pairNode) {
	n.after(time.Duration(n.rng.IntN(5_000_000)), m.load)
	n.after(0, m.beat)
	if n.cfg.pausing || n.cfg.closing || n.cfg.queues > 0 {
		n.after(time.Duration(n.rng.IntN(5_000_000)), m.moods)
	}
	if n.cfg.gates {
		n.after(0, m.gates)
	}
}

// gates closes and opens the gate now and then.
func (m *pairNode) gates() {
	if m.ended || m.net.quietFrom != 0 {
		return
	}
	m.gate(!m.p.gated())
	m.wake(0)
	m.net.after(time.Duration(1+m.net.rng.IntN(10_000_000)), m.gates)
}

// pairSwarm draws what goes wrong.
func pairSwarm(seed uint64) pairFaults {
	rng := rand.New(rand.NewPCG(seed, 1))
	pick := func(of ...float64) float64 { return of[rng.IntN(len(of))] }
	return pairFaults{nodes: 2 + rng.IntN(6), loss: pick(0, 0.02, 0.2), duplicate: pick(0, 0.1), late: pick(0, 0.05, 0.3),
		removals: rng.IntN(17), crashes: rng.IntN(3), every: time.Duration(200+rng.IntN(3000)) * time.Microsecond,
		pausing: rng.IntN(2) == 0, closing: rng.IntN(2) == 0, large: pick(0, 0.05, 0.3), cancel: pick(0, 0.05),
		buffers: []int{40, 128, 512}[rng.IntN(3)], hold: rng.IntN(3) == 0, toSelf: pick(0, 0.1), gates: rng.IntN(4) == 0,
		queues: pick(0, 0.3, 0.7), failing: pick(0, 0.05)}
}

// TestPairs runs seeds of everything that can go wrong.
func TestPairs(t *testing.T) {
	seeds := 200
	switch env := os.Getenv("SIM_SEEDS"); {
	case env == "full":
		seeds = 2000
	case env != "":
		text, part := strings.CutPrefix(env, "1/")
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("SIM_SEEDS=%q: want a number from 1, a part as 1/25, or full", env)
		}
		if seeds = n; part {
			seeds = 2000 / n
		}
	case testing.Short():
		seeds = 10 // make sim runs more of the same
	}
	if *pairSeed >= 0 {
		playPairs(t, *pairSeed, *pairSeed+1)
		return
	}
	const part = 50
	for first := 0; first < seeds; first += part {
		t.Run(fmt.Sprintf("from=%d", first), func(t *testing.T) {
			t.Parallel()
			playPairs(t, first, min(first+part, seeds))
		})
	}
}

func playPairs(t *testing.T, first, last int) {
	for seed := first; seed < last; seed++ {
		n := newPairNet(t, uint64(seed), pairSwarm(uint64(seed)))
		if found := n.play(100 * time.Millisecond); len(found) > 0 {
			t.Fatalf("seed %d, %+v:\n%s", seed, n.cfg, check.Text(found))
		}
	}
}
