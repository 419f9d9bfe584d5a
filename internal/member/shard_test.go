package member

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

const testDatagram = 1472

var testCluster = wire.ClusterHash("shards")

// packet is a datagram on its way.
type packet struct {
	from, to buf.Endpoint
	data     []byte
}

// port is one queue of a member's card, moved by hand.
type port struct {
	local buf.Endpoint
	in    []packet
	out   *[]packet
	lent  [64]buf.Buf

	asleep, wake chan struct{} // nil: it does not sleep
}

func (p *port) Recv(batch []buf.Received) (n int) {
	for ; n < min(len(batch), len(p.lent), len(p.in)); n++ {
		x := p.in[n]
		p.lent[n].Lend(x.data)
		batch[n] = buf.Received{Buf: &p.lent[n], From: x.from, Group: x.to == buf.Group}
	}
	p.in = p.in[n:]
	return n
}

func (p *port) Send(batch []buf.Send) (int, error) {
	for _, s := range batch {
		*p.out = append(*p.out, packet{p.local, s.To, append([]byte(nil), s.Buf.Bytes()...)})
	}
	return len(batch), nil
}

func (p *port) Wait(time.Duration) {
	if p.wake != nil {
		p.asleep <- struct{}{}
		<-p.wake
	}
}

func (p *port) Wake() {
	if p.wake != nil {
		p.wake <- struct{}{}
	}
}

func (p *port) Local() buf.Endpoint { return p.local }
func (p *port) Datagram() int       { return testDatagram }
func (p *port) Room() int           { return 1 << 20 }
func (p *port) Close() error        { return nil }

// card is a member with its ports, and what it delivered.
type card struct {
	*Member
	id    wire.MemberID
	ports []*port
	pools []*buf.Pool
	lane  *Lane
	sent  uint64
	gone  bool // it takes no more turns
	late  bool // it may miss the beginning of streams

	next   map[wire.MemberID]uint64 // by sender
	losses int
}

// wires joins cards. What is sent arrives in the queue that pick says.
type wires struct {
	t     *testing.T
	now   clock.Time
	rand  *rand.Rand
	cards []*card
	out   []packet
	pick  func(to *card, x packet) int
	lose  float64
	twice float64

	lanes  int // of members added from here on; 0: one
	filter Filter
}

func newWires(t *testing.T, seed uint64) *wires {
	return &wires{t: t, now: 1, rand: rand.New(rand.NewPCG(seed, 1)), pick: func(*card, packet) int { return 0 }}
}

func (w *wires) add(queues int, protocol wire.Protocol) *card {
	n := len(w.cards) + 1
	c := &card{id: wire.MemberID{15: byte(n), 14: byte(n >> 8)}, next: map[wire.MemberID]uint64{}}
	for range queues {
		c.ports = append(c.ports, &port{local: buf.Endpoint(n), out: &w.out})
		c.pools = append(c.pools, buf.NewPool(nack.Buffers(1<<18, testDatagram, 1, 4), testDatagram+nack.Headroom))
	}
	table := NewTable()
	if w.filter.Set == nil {
		table.Add(">", c)
	} else {
		table.Add("topic", c)
	}
	cfg := Config{
		ID: c.id, Incarnation: 1, Cluster: testCluster, Driver: c.ports[0], Pool: c.pools[0], Table: table,
		Rand: rand.New(rand.NewPCG(uint64(n), 2)), Protocol: protocol, Lanes: max(w.lanes, 1), Filter: w.filter, Window: 1 << 18, MaxMessageSize: 1 << 16,
		Eviction: time.Second, Idle: engine.Block, CPU: -1,
	}
	for i := 1; i < queues; i++ {
		cfg.Further = append(cfg.Further, Further{
			Driver: c.ports[i], Pool: c.pools[i], Rand: rand.New(rand.NewPCG(uint64(n), uint64(2+i))), CPU: -1,
		})
	}
	c.Member = New(cfg)
	w.cards = append(w.cards, c)
	return c
}

// Ready, Deliver and Lost implement Consumer: the messages of a sender are numbered.
func (c *card) Ready(clock.Time) bool { return true }

func (c *card) Deliver(_ clock.Time, _ string, d *core.Delivery) {
	n := binary.LittleEndian.Uint64(d.Payload)
	if n != c.next[d.From] && (!c.late || c.next[d.From] != 0) {
		panic(fmt.Sprintf("message %d of %x came instead of %d", n, d.From[14:], c.next[d.From]))
	}
	c.next[d.From] = n + 1
}

func (c *card) Lost(*core.Loss) { c.losses++ }

// offer sends a message.
func (w *wires) offer(c *card) {
	if c.lane == nil {
		c.lane, _ = c.Lane(w.now, "topic")
	}
	if c.Offer(c.lane, w.now, "topic", wire.KindRaw, binary.LittleEndian.AppendUint64(make([]byte, 0, 300), c.sent)[:8+w.rand.IntN(200)], false) == nil {
		c.sent++
	}
}

// turn has every engine take a turn, in any order, and delivers what was sent.
func (w *wires) turn() {
	w.now = w.now.Add(20 * time.Microsecond)
	for _, c := range w.cards {
		if c.gone {
			continue
		}
		engines := c.Engines()
		for _, i := range w.rand.Perm(len(engines)) {
			if w.rand.IntN(3) > 0 { // some are late
				engines[i].Turn(w.now)
			}
		}
	}
	out := w.out
	w.out = nil
	for _, x := range out {
		for i, c := range w.cards {
			if buf.Endpoint(i+1) == x.from || x.to != buf.Group && x.to != buf.Endpoint(i+1) || w.rand.Float64() < w.lose {
				continue
			}
			for again := true; again; again = w.rand.Float64() < w.twice {
				p := c.ports[0]
				if len(c.ports) > 1 {
					p = c.ports[w.pick(c, x)]
				}
				p.in = append(p.in, x)
			}
		}
	}
}

func (w *wires) until(what string, cond func() bool) {
	w.t.Helper()
	for end := w.now.Add(30 * time.Second); !cond(); w.turn() {
		if w.now > end {
			w.t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// done checks that of each stream there is one receiver, and that no buffer is lost.
func (w *wires) done() {
	w.t.Helper()
	for _, c := range w.cards {
		for _, from := range w.cards {
			heard := 0
			for _, s := range c.shards {
				if s.Hears(from.id) {
					heard++
				}
			}
			if heard > 1 {
				w.t.Errorf("%d engines of member %x receive from %x", heard, c.id[14:], from.id[14:])
			}
		}
		c.Release()
		for i, p := range c.pools {
			if p.Free() != p.Count() {
				w.t.Errorf("member %x, engine %d: %d of %d buffers are free", c.id[14:], i, p.Free(), p.Count())
			}
		}
	}
}

// One transmitter, whose datagrams arrive by kind: data in queue 1, what is for us alone in queue 0,
// requests of others in queue 2. And then everything anywhere. Every message once and in order.
func TestOneReceiverForAStream(t *testing.T) {
	kinds := func(_ *card, x packet) int {
		if x.to != buf.Group {
			return 0
		}
		var d wire.Datagram
		if wire.Decode(x.data, &d) != nil || d.Frames()[0].Kind == wire.FrameNak {
			return 2
		}
		return 1
	}
	for _, protocol := range []wire.Protocol{wire.NACK, wire.Hybrid} {
		for name, pick := range map[string]func(*wires) func(*card, packet) int{
			"by kind": func(*wires) func(*card, packet) int { return kinds },
			"anywhere": func(w *wires) func(*card, packet) int {
				return func(c *card, _ packet) int { return w.rand.IntN(len(c.ports)) }
			},
		} {
			t.Run(fmt.Sprint(protocol, " ", name), func(t *testing.T) {
				for seed := range uint64(10) {
					w := newWires(t, seed)
					w.pick, w.lose, w.twice = pick(w), 0.05, 0.05
					r := w.add(3, protocol) // sends, too
					senders := []*card{w.add(1, protocol), w.add(1, protocol), r}
					w.add(1, protocol) // receives, and asks for repair
					w.add(1, protocol)
					w.add(1, protocol) // so that there are more than nack.FewReceivers
					for range 400 {
						for _, s := range senders {
							w.offer(s)
						}
						w.turn()
					}
					w.until("all messages at all", func() bool {
						for _, c := range w.cards {
							for _, s := range senders {
								if c != s && c.next[s.id] != s.sent {
									return false
								}
							}
						}
						return true
					})
					var forwarded, stray, full uint64
					for i := range r.shards {
						st := r.ShardStats(i)
						forwarded, stray, full = forwarded+st.Forwarded, stray+st.Stray, full+st.InboxFull
					}
					if seed == 0 {
						t.Logf("%d forwarded, %d stray, %d found a full inbox", forwarded, stray, full)
					}
					if forwarded == 0 {
						t.Error("nothing was forwarded")
					}
					for _, c := range w.cards {
						if c.losses > 0 {
							t.Errorf("seed %d: member %x was told of %d losses", seed, c.id[14:], c.losses)
						}
					}
					w.done()
				}
			})
		}
	}
}

// A sender leaves and another one takes its place: its entry goes once its stream is forgotten, so
// that the table does not fill with those who were here.
func TestOwnersOfTheGoneAreForgotten(t *testing.T) {
	w := newWires(t, 1)
	w.pick = func(c *card, _ packet) int { return w.rand.IntN(len(c.ports)) }
	r := w.add(2, wire.NACK)
	s := w.add(1, wire.NACK)
	w.offer(s)
	w.until("the message", func() bool { return r.next[s.id] == 1 })
	owner, ok := r.shards[0].owners.of(s.id)
	if !ok {
		t.Fatal("nobody owns the sender")
	}
	s.Close(w.now)
	for range 20 {
		w.turn()
	}
	s.gone = true
	w.until("the end of its stream", func() bool { _, ok := r.shards[0].owners.of(s.id); return !ok })
	if r.shards[owner].Hears(s.id) || len(r.shards[owner].own) != 0 || r.shards[owner].mine == s.id {
		t.Error("something is left of it")
	}
	again := w.add(1, wire.NACK)
	w.offer(again)
	w.until("the next one's message", func() bool { return r.next[again.id] == 1 })
	w.done()
}

// Transmitters that somebody made up fill the table up to its bound and no further, and go.
func TestOwnersAreBounded(t *testing.T) {
	w := newWires(t, 1)
	r := w.add(2, wire.NACK)
	forged := func(n int) packet {
		b := wire.AppendHeader(nil, wire.Header{Cluster: testCluster, Transmitter: wire.MemberID{0: 1, 1: byte(n), 2: byte(n >> 8)}, Incarnation: 1, Stream: wire.NewStreamID(wire.NACK, 0)})
		b = wire.AppendHeartbeat(b, wire.Heartbeat{First: 1, Last: 1, FirstMessage: 1, NextMessage: 2, SentAt: 1})
		wire.Seal(b)
		return packet{77, buf.Group, b}
	}
	for n := range 3 * ownedEach {
		p := r.ports[n%2]
		p.in = append(p.in, forged(n))
	}
	for range 200 {
		w.turn()
	}
	if n := len(*r.shards[0].owners.known.Load()); n != 2*ownedEach {
		t.Errorf("%d transmitters are known, the bound is %d", n, 2*ownedEach)
	}
	if r.ShardStats(0).Stray+r.ShardStats(1).Stray != ownedEach {
		t.Errorf("%+v %+v", r.ShardStats(0), r.ShardStats(1))
	}
	// They are silent, so a sender finds room: of those that are in no core the table forgets, and a
	// core that is full lets the longest silent go.
	s := w.add(1, wire.NACK)
	r.late = true
	for end := w.now.Add(20 * time.Second); w.now < end && r.next[s.id] == 0; {
		w.offer(s)
		w.turn()
		w.now = w.now.Add(time.Millisecond)
	}
	if r.next[s.id] == 0 {
		t.Error("an honest sender is not heard after the flood")
	}
	w.done()
}

// Which engines a frame is for, at each engine. The transmitter is known to engine 1, another one
// to engine 2.
func TestWhomAFrameIsFor(t *testing.T) {
	w := newWires(t, 1)
	r := w.add(3, wire.NACK)
	known, other, stranger := wire.MemberID{0: 1}, wire.MemberID{0: 2}, wire.MemberID{0: 3}
	r.shards[1].owner(1, known, true)
	r.shards[2].owner(1, other, true)
	data := func(b []byte) []byte {
		return wire.AppendHeartbeat(b, wire.Heartbeat{First: 1, Last: 1, FirstMessage: 1, NextMessage: 2, SentAt: 1})
	}
	nak := func(origin wire.MemberID) func([]byte) []byte {
		return func(b []byte) []byte { return wire.AppendNak(b, origin, 1, []wire.Gap{{First: 1, Count: 1}}, nil) }
	}
	symbols := func(origin wire.MemberID) func([]byte) []byte {
		return func(b []byte) []byte {
			return wire.AppendSymbolNak(b, origin, 1, []wire.Need{{Block: 1, Count: 1}})
		}
	}
	status := func(origin wire.MemberID) func([]byte) []byte {
		return func(b []byte) []byte {
			return wire.AppendStatus(b, wire.Status{Origin: origin, OriginIncarnation: 1, Next: 1, Highest: 1, Limit: 1})
		}
	}
	leave := func(last bool) func([]byte) []byte {
		return func(b []byte) []byte {
			return wire.AppendLeave(b, wire.Leave{HasLast: last, Last: 1, NextMessage: 2})
		}
	}
	const e0, e1, e2 = 1, 2, 4
	for _, c := range []struct {
		why   string
		from  wire.MemberID
		group bool
		frame func([]byte) []byte
		want  uint64
	}{
		{"the transmitter's own stream", known, true, data, e1},
		{"as a repair for us alone", known, false, data, e1},
		{"of another owner", other, true, data, e2},
		{"of a stranger, for us alone: it may come in any queue", stranger, false, data, 0},
		{"a start", known, true, func(b []byte) []byte {
			return wire.AppendStart(b, wire.Start{First: 1, FirstMessage: 1, Age: 1, Lanes: 1})
		}, e1},
		{"a request to us", known, false, nak(r.id), e0},
		{"a request to somebody else, which stands for our own", known, true, nak(other), e2},
		{"a request to nobody that we hear", known, true, nak(stranger), 0},
		{"a request for symbols, to us", known, false, symbols(r.id), e0},
		{"a request for symbols, to somebody else", known, true, symbols(other), e2},
		{"a report to us", known, false, status(r.id), e0},
		{"a report to somebody else", known, true, status(other), 0},
		{"a receiver leaves", known, true, leave(false), e0},
		{"a sender leaves", known, true, leave(true), e0 | e1},
		{"a stranger leaves", stranger, true, leave(true), e0},
	} {
		b := c.frame(wire.AppendHeader(nil, wire.Header{Cluster: testCluster, Transmitter: c.from, Incarnation: 1, Stream: wire.NewStreamID(wire.NACK, 0)}))
		wire.Seal(b)
		var d wire.Datagram
		if err := wire.Decode(b, &d); err != nil {
			t.Fatalf("%s: %v", c.why, err)
		}
		for i, s := range r.shards {
			if got := s.engines(1, &d, &d.Frames()[0], c.group); got != c.want {
				t.Errorf("%s: engine %d says %03b, want %03b", c.why, i, got, c.want)
			}
		}
	}
	// What nobody has becomes that engine's which hears it first.
	for i, s := range r.shards {
		m := wire.MemberID{0: 9, 1: byte(i)}
		for j := range r.shards {
			if got, ok := r.shards[(i+j)%3].owner(1, m, true); !ok || got != s.me {
				t.Errorf("first heard by engine %d, and owned by %d", i, got)
			}
		}
	}
}

// A datagram may hold frames for two engines: each takes its own, and the stream has one receiver.
func TestMixedDatagramsAreDivided(t *testing.T) {
	w := newWires(t, 1)
	r := w.add(3, wire.NACK)
	from := wire.MemberID{0: 1}
	w.offer(r) // so that there is something to ask for
	w.turn()
	id := wire.NewStreamID(wire.NACK, 0)
	mixed := func(last uint64) packet {
		b := wire.AppendHeader(nil, wire.Header{Cluster: testCluster, Transmitter: from, Incarnation: 1, Stream: id})
		b = wire.AppendHeartbeat(b, wire.Heartbeat{First: 1, Last: last, FirstMessage: 1, NextMessage: last + 1, SentAt: last})
		b = wire.AppendStatus(b, wire.Status{Origin: r.id, OriginIncarnation: 1, Next: 1, Highest: 1, Limit: 16})
		wire.Seal(b)
		return packet{77, buf.Group, b}
	}
	for n := range uint64(30) { // first in queue 2, then in any
		q := 2 - n%3
		r.ports[q].in = append(r.ports[q].in, mixed(1+n))
		for range 10 {
			w.turn()
		}
	}
	if !r.shards[2].Hears(from) || r.shards[0].Hears(from) || r.shards[1].Hears(from) {
		t.Error("the stream is not engine 2's alone")
	}
	if a, b := r.NackStats(2), r.NackStats(0); a.HeartbeatsHeard != 30 || b.HeartbeatsHeard != 0 || b.StatusesReceived != 30 || a.StatusesReceived != 0 {
		t.Errorf("engine 2 heard %d heartbeats and %d reports, engine 0 %d and %d", a.HeartbeatsHeard, a.StatusesReceived, b.HeartbeatsHeard, b.StatusesReceived)
	}
	if r.lane.Receivers() != 1 {
		t.Errorf("%d receivers", r.lane.Receivers())
	}
	w.done()
}

// An inbox that is full drops, counts, and recovers.
func TestFullInboxDrops(t *testing.T) {
	w := newWires(t, 1)
	w.pick = func(c *card, x packet) int { return int(x.from) % len(c.ports) }
	r, s := w.add(2, wire.NACK), w.add(1, wire.NACK) // the sender's datagrams come in queue 0
	w.offer(s)
	w.until("the first message", func() bool { return r.next[s.id] == 1 })
	long := make([]byte, 1400)
	b := buf.Buf{}
	b.Lend(long)
	n := uint64(0)
	for ; r.shards[1].stats.InboxFull == 0; n++ {
		r.shards[1].forward(0, buf.Received{Buf: &b, From: 1})
	}
	if n < 600 {
		t.Errorf("an inbox holds %d datagrams", n)
	}
	r.shards[0].forward(1, buf.Received{Buf: &b, From: 1})
	if !r.Waiting() || !r.shards[1].Waiting() { // what an engine asks that is about to sleep
		t.Error("an engine would sleep over its inbox")
	}
	for range 20 {
		w.turn()
	}
	if got := r.ShardStats(0).Taken; got != n-1 {
		t.Errorf("%d of %d were taken", got, n-1)
	}
	r.shards[1].forward(0, buf.Received{Buf: &b, From: 1})
	if r.shards[1].stats.InboxFull != 1 || r.shards[0].inbox.Empty() {
		t.Error("there is no room again")
	}
	w.done()
}

// An engine that sleeps is woken by what another one forwards, and steps it.
func TestForwardingWakes(t *testing.T) {
	w := newWires(t, 1)
	r := w.add(2, wire.NACK)
	b := wire.AppendHeader(nil, wire.Header{Cluster: testCluster, Transmitter: wire.MemberID{0: 1}, Incarnation: 1, Stream: wire.NewStreamID(wire.NACK, 0)})
	b = wire.AppendHeartbeat(b, wire.Heartbeat{First: 1, Last: 1, FirstMessage: 1, NextMessage: 2, SentAt: 1})
	wire.Seal(b)
	var lent buf.Buf
	lent.Lend(b)
	for i := range r.ports {
		p, e := r.ports[i], r.Engines()[i]
		p.asleep, p.wake = make(chan struct{}), make(chan struct{}, 1)
		ended := make(chan struct{})
		go func() { defer close(ended); _ = e.Run() }()
		<-p.asleep
		r.shards[1-i].forward(i, buf.Received{Buf: &lent, From: 1, Group: true})
		select {
		case <-p.asleep: // again, when it has taken a turn or more
		case <-time.After(10 * time.Second):
			t.Fatalf("engine %d sleeps on", i)
		}
		e.Stop()
		<-ended
		if got := r.ShardStats(i).Taken; got != 1 {
			t.Errorf("engine %d took %d", i, got)
		}
		p.wake = nil
	}
	w.done()
}

// A further engine hears of a sender with another number of lanes: the first one has all lanes
// heard from then on, and the stream is joined with the next Start.
func TestOtherLanesAtAFurtherEngine(t *testing.T) {
	w := newWires(t, 1)
	var set [][]uint32
	told := 0
	w.filter = Filter{
		Set:     func(lanes []uint32) error { set = append(set, lanes); return nil },
		Differs: func(wire.MemberID, int, error) { told++ },
	}
	w.lanes = 4
	r := w.add(2, wire.NACK)
	w.turn()
	// Lane 2 of another count, which nobody here wants.
	b := wire.AppendHeader(nil, wire.Header{Cluster: testCluster, Transmitter: wire.MemberID{0: 1}, Incarnation: 1, Stream: wire.NewStreamID(wire.NACK, 2)})
	b = wire.AppendStart(b, wire.Start{First: 1, FirstMessage: 1, Lanes: 9})
	wire.Seal(b)
	for range 2 {
		r.ports[1].in = append(r.ports[1].in, packet{77, buf.Group, b})
		for range 20 {
			w.turn()
		}
	}
	if told != 1 || len(set) == 0 || set[len(set)-1] != nil {
		t.Errorf("told %d times; the driver heard %d", told, len(set))
	}
	if !r.shards[1].Hears(wire.MemberID{0: 1}) {
		t.Error("its stream was not joined")
	}
	w.done()
}

// Two engines that hear the first datagrams of a transmitter at once agree on who owns it.
func TestOwnersAgree(t *testing.T) {
	const engines, members = 4, 200
	o := newOwners(engines)
	var said [engines][members]int
	var wg sync.WaitGroup
	for e := range engines {
		wg.Go(func() {
			for i := range members {
				var ok bool
				if said[e][i], ok = o.claim(wire.MemberID{0: byte(i), 1: byte(i >> 8)}, e); !ok {
					t.Error("no room")
				}
			}
		})
	}
	wg.Wait()
	for i := range members {
		for e := range engines {
			if said[e][i] != said[0][i] {
				t.Fatalf("transmitter %d: engine %d says %d, engine 0 says %d", i, e, said[e][i], said[0][i])
			}
		}
	}
	var mine []wire.MemberID
	for m, e := range *o.known.Load() {
		if e == 1 {
			mine = append(mine, m)
		}
	}
	o.release(mine)
	for _, m := range mine {
		if _, ok := o.of(m); ok {
			t.Error("still known")
		}
	}
}

// In the steady state neither the owner nor who forwards allocates.
func TestShardAllocatesNothing(t *testing.T) {
	w := newWires(t, 1)
	r := w.add(2, wire.NACK)
	from := wire.MemberID{0: 1}
	b := wire.AppendHeader(nil, wire.Header{Cluster: testCluster, Transmitter: from, Incarnation: 1, Stream: wire.NewStreamID(wire.NACK, 0)})
	b = wire.AppendHeartbeat(b, wire.Heartbeat{First: 1, Last: 1, FirstMessage: 1, NextMessage: 2, SentAt: 1})
	wire.Seal(b)
	var d wire.Datagram
	var lent buf.Buf
	lent.Lend(b)
	for owner := range 2 { // the first round makes engine 0 the owner
		if n := testing.AllocsPerRun(1000, func() {
			if err := wire.Decode(b, &d); err != nil {
				t.Fatal(err)
			}
			_ = r.shards[owner].Step(2, &d, buf.Received{Buf: &lent, From: 7, Group: true})
			r.shards[0].take(2)
		}); n != 0 {
			t.Errorf("engine %d: %v allocations", owner, n)
		}
	}
	if r.ShardStats(1).Forwarded == 0 || r.ShardStats(0).Taken != r.ShardStats(1).Forwarded {
		t.Errorf("%+v", r.ShardStats(1))
	}
}
