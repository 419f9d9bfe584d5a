package scale

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/lanes"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/nack"
	wirefmt "github.com/activeblaze/blaze/wire"
)

const (
	// A full datagram: so many messages of so many bytes fit it that have one topic, of 13 bytes.
	packed  = 19
	payload = 64

	// perDatagram is how far time goes on for each datagram: two million a second.
	perDatagram = 500 * time.Nanosecond

	// patience bounds, in virtual time, how long members take to find each other and to settle.
	patience = 20 * time.Second
)

// shape is what a scene is made of.
type shape struct {
	topics, subs int    // topics that messages go to in turn; subscriptions, of which each topic matches one
	wild         string // how they are written: "" is exact, "*" and ">" end in that
	lanes        int    // messages go to them in turn, a full datagram to each
	senders      int
	receivers    int
	loss         float64
	burst        int  // datagrams that are sent before receivers turn
	invoked      bool // senders pack straight into the datagram; else they have queues
	idle         bool // nothing is sent while turns are measured
}

// scene is members and a load, ready to be measured.
type scene struct {
	shape
	wire      *wire
	senders   []*sender
	receivers []*receiver
	turn      int // of the senders
	sent      uint64
}

type node struct {
	port   *port
	member *member.Member
}

type sender struct {
	node
	topics  []address
	at      int // in topics
	invoked bool
	body    [payload]byte
}

// address is a topic with its lane.
type address struct {
	name string
	lane *member.Lane
}

// receiver counts what comes to any of its subscriptions.
type receiver struct {
	node
	got, lost uint64
	sum       byte
}

func (r *receiver) Ready(clock.Time) bool { return true }

func (r *receiver) Deliver(_ clock.Time, _ string, d *core.Delivery) {
	r.got++
	r.sum += d.Payload[0]
}

func (r *receiver) Lost(l *core.Loss) { r.lost++ }

// newScene puts members together and waits until senders know their receivers.
func newScene(s shape) (*scene, error) {
	sc := &scene{shape: s, wire: newWire(s.loss)}
	for range s.receivers {
		r := &receiver{}
		table := member.NewTable()
		for i := range s.subs {
			table.Add(s.pattern(i), r)
		}
		r.node = sc.newNode(table, room, 1)
		r.port.lossy = true
		sc.receivers = append(sc.receivers, r)
	}
	for range s.senders {
		snd := &sender{node: sc.newNode(member.NewTable(), s.window(), s.lanes), invoked: s.invoked}
		for _, r := range sc.receivers {
			snd.port.hears = append(snd.port.hears, r.port)
			r.port.hears = append(r.port.hears, snd.port)
		}
		for _, name := range s.names() {
			l, _ := snd.member.Lane(sc.wire.now, name)
			snd.topics = append(snd.topics, address{name, l})
		}
		sc.senders = append(sc.senders, snd)
	}
	for start := sc.wire.now; !sc.known(); sc.pass(100 * time.Microsecond) {
		if sc.wire.now.Sub(start) > patience {
			return nil, fmt.Errorf("scale: members do not find each other: %+v", s)
		}
	}
	return sc, sc.warm()
}

// warm runs the load until every retransmit window has been used once: a buffer's first use costs a page. In a scene
// without load all is quiet afterwards.
func (sc *scene) warm() error {
	idle := sc.idle
	sc.idle = false
	all := 1024
	if !idle {
		all = len(sc.senders) * sc.lanes * nack.WindowDatagrams(sc.window(), datagram)
	}
	for want := uint64(packed * (all + all/8)); sc.sent < want; {
		sc.step(new(cost))
		if sc.wire.now > clock.Time(time.Minute) {
			return fmt.Errorf("scale: %d of %d messages were accepted within %v: %+v", sc.sent, want, time.Minute, sc.shape)
		}
	}
	if sc.idle = idle; !idle {
		return nil
	}
	if err := sc.settle(); err != nil {
		return err
	}
	for range 2000 {
		sc.pass(time.Millisecond)
	}
	return nil
}

// window is a sender's retransmit window for each lane, bytes: Config's default, where there are not many senders.
func (s *shape) window() int {
	if s.burst > 8 {
		return 256 << 10
	}
	return 8 << 20
}

// newNode puts one member together, with packet memory to send in so many lanes.
func (sc *scene) newNode(table *member.Table, window, send int) node {
	p := sc.wire.port()
	queue := 4 << 20
	if sc.invoked {
		queue = 0
	}
	var id wirefmt.MemberID
	binary.BigEndian.PutUint64(id[:], uint64(p.self)*0x9e3779b97f4a7c15)
	n := nack.Buffers(window, datagram, send, 4) + 2*engine.Batch
	return node{p, member.New(member.Config{
		ID: id, Cluster: 1, Driver: p, Pool: buf.NewPool(n, datagram+nack.Headroom), Table: table,
		Rand: rand.New(rand.NewPCG(3, uint64(p.self))), Protocol: wirefmt.NACK, Lanes: sc.lanes, Window: window,
		MaxMessageSize: 1 << 16, Eviction: time.Minute, Queue: queue, CPU: -1,
	})}
}

// topic is the name of topic i. Those that belong to one subscription have its number in front.
func (s *shape) topic(i int) string { return fmt.Sprintf("p.%05d.%05d", i%s.subs, i) }

func (s *shape) pattern(i int) string {
	switch {
	case s.subs == 1 && s.topics+s.lanes > 2:
		return "p.*." + map[string]string{"": ">", ">": ">", "*": "*"}[s.wild]
	case s.wild == "":
		return s.topic(i)
	}
	return fmt.Sprintf("p.%05d.%s", i, s.wild)
}

// names are the topics: as many as were asked for, or one for each lane.
func (s *shape) names() (names []string) {
	if s.lanes == 1 {
		for i := range s.topics {
			names = append(names, s.topic(i))
		}
		return names
	}
	taken := map[uint16]bool{}
	for i := 0; len(taken) < s.lanes; i++ {
		if l := lanes.Of(s.topic(i), s.lanes); !taken[l] {
			taken[l] = true
			names = append(names, s.topic(i))
		}
	}
	return names
}

// known reports whether all senders know all receivers of all their lanes.
func (sc *scene) known() bool {
	for _, s := range sc.senders {
		for _, l := range s.member.Lanes() {
			if l.Receivers() < len(sc.receivers) {
				return false
			}
		}
		if len(s.member.Lanes()) < sc.lanes {
			return false
		}
	}
	return true
}

// pass lets time go by: everybody does what there is to do.
func (sc *scene) pass(d time.Duration) {
	sc.wire.now = sc.wire.now.Add(d)
	sc.attend(true)
	for _, r := range sc.receivers {
		sc.turns(&r.node, 0)
	}
	sc.wire.carry()
}

// attend turns the senders that have something to do, or all.
func (sc *scene) attend(all bool) {
	for _, s := range sc.senders {
		if at, ok := s.member.Engine().Deadline(); all || s.port.waiting() || ok && at <= sc.wire.now {
			sc.turns(&s.node, 0)
			s.port.carry()
		}
	}
}

// turns has a member turn until nothing is left to do. Time goes on by each for every datagram that arrives.
func (sc *scene) turns(n *node, each time.Duration) {
	for {
		before := n.port.first
		work := n.member.Turn(sc.wire.now)
		sc.wire.now = sc.wire.now.Add(each * time.Duration(n.port.first-before))
		if work == 0 {
			return
		}
	}
}

// cost is what was spent, and for how many datagrams or idle turns.
type cost struct {
	send, receive         time.Duration
	sent, received, turns float64
}

// step runs the load once.
func (sc *scene) step(c *cost) {
	if sc.idle {
		sc.rest(c)
		return
	}
	end := sc.wire.now.Add(time.Duration(sc.burst) * perDatagram)
	sent := sc.sent
	for left, share := sc.burst, max(sc.burst/len(sc.senders), 1); left > 0; left -= share {
		s := sc.senders[sc.turn]
		sc.turn = (sc.turn + 1) % len(sc.senders)
		start := engine.Now()
		for range min(share, left) {
			sc.fill(s)
		}
		sc.turns(&s.node, 0)
		c.send += engine.Now().Sub(start)
		s.port.carry()
	}
	c.sent += float64(sc.sent-sent) / packed
	for i, r := range sc.receivers {
		now, got := sc.wire.now, r.got
		start := engine.Now()
		sc.turns(&r.node, perDatagram)
		c.receive += engine.Now().Sub(start)
		c.received += float64(r.got-got) / packed
		if i < len(sc.receivers)-1 {
			sc.wire.now = now // they work side by side
		}
	}
	for _, r := range sc.receivers {
		r.port.carry()
	}
	sc.wire.now = max(sc.wire.now, end)
	start := engine.Now()
	sc.attend(false)
	if len(sc.senders) == 1 {
		c.send += engine.Now().Sub(start)
	}
}

// fill offers a full datagram of messages: to the topics in turn, or to one lane. What finds no room is left out.
func (sc *scene) fill(s *sender) {
	for range packed {
		a := &s.topics[s.at]
		if sc.lanes == 1 {
			s.at = (s.at + 1) % len(s.topics)
		}
		if s.offer(sc.wire.now, a) {
			sc.sent++
		}
	}
	if sc.lanes > 1 {
		s.at = (s.at + 1) % len(s.topics)
	}
}

func (s *sender) offer(now clock.Time, a *address) bool {
	s.body[0]++
	if !s.invoked {
		return a.lane.Put(a.name, wirefmt.KindRaw, s.body[:], false)
	}
	return a.lane.Offer(now, a.name, wirefmt.KindRaw, s.body[:], false) == nil
}

// Idle turns that are measured at a time, and how long one takes in virtual time.
const (
	idleTurns = 256
	idleTurn  = 300 * time.Nanosecond
)

// rest measures turns in which nothing happens, but for what is due: heartbeats and reports.
func (sc *scene) rest(c *cost) {
	for _, n := range []struct {
		*node
		spent *time.Duration
	}{{&sc.senders[0].node, &c.send}, {&sc.receivers[0].node, &c.receive}} {
		now := sc.wire.now
		start := engine.Now()
		for range idleTurns {
			n.member.Turn(now)
			now = now.Add(idleTurn)
		}
		*n.spent += engine.Now().Sub(start)
	}
	c.turns += idleTurns
	sc.wire.now = sc.wire.now.Add(idleTurns * idleTurn)
	sc.wire.carry()
}

// settle waits until all has been delivered that was sent, and fails when it was not, or not once.
func (sc *scene) settle() error {
	want := sc.sent
	for start := sc.wire.now; ; sc.pass(100 * time.Microsecond) {
		done := true
		for _, r := range sc.receivers {
			if r.lost > 0 || r.got > want {
				return fmt.Errorf("scale: %d of %d messages were delivered, %d are lost: %+v", r.got, want, r.lost, sc.shape)
			}
			done = done && r.got == want
		}
		if done {
			return nil
		}
		if sc.wire.now.Sub(start) > patience {
			return fmt.Errorf("scale: not all of %d messages were delivered within %v: %+v", want, patience, sc.shape)
		}
	}
}
