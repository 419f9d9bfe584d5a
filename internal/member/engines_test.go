package member

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/lanes"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/wire"
)

const testDatagram = 1472

var testCluster = wire.ClusterHash("engines")

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
	pack  int // as short as new datagrams are to be; 0: testDatagram
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

func (p *port) Wait(time.Duration)  {}
func (p *port) Wake()               {}
func (p *port) Local() buf.Endpoint { return p.local }
func (p *port) Datagram() int       { return testDatagram }
func (p *port) Way() buf.Way {
	n := cmp.Or(p.pack, testDatagram)
	return buf.Way{Pack: n, Longest: n}
}
func (p *port) Room() int    { return 1 << 20 }
func (p *port) Close() error { return nil }

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

	excluded bool // it has reported its own end

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

	cluster func(c *card) *ClusterRing // of members added from here on; nil: none

	group func(c *card) *Group // of members added from here on; nil: none
	drop  func(x packet) bool  // nil: only what lose says

	lanes  int // of members added from here on; 0: one
	filter lanes.Filter
}

func newWires(t *testing.T, seed uint64) *wires {
	return &wires{t: t, now: 1, rand: rand.New(rand.NewPCG(seed, 1)), pick: func(*card, packet) int { return 0 }}
}

func (w *wires) add(queues int, protocol wire.Protocol) *card {
	n := len(w.cards) + 1
	c := &card{id: wire.MemberID{15: byte(n), 14: byte(n >> 8)}, next: map[wire.MemberID]uint64{}}
	for range queues {
		c.ports = append(c.ports, &port{local: buf.Endpoint(n), out: &w.out})
		buffers := nack.Buffers(1<<18, testDatagram, 1, 4)
		if protocol == wire.Totem {
			buffers += totem.Buffers(1<<18, testDatagram)
		}
		if w.cluster != nil {
			buffers += ClusterBuffers(testDatagram)
		}
		c.pools = append(c.pools, buf.NewPool(buffers, testDatagram+nack.Headroom))
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
		cfg.Branches = append(cfg.Branches, Branch{
			Driver: c.ports[i], Pool: c.pools[i], Rand: rand.New(rand.NewPCG(uint64(n), uint64(2+i))), CPU: -1,
		})
	}
	if w.group != nil {
		cfg.Group = w.group(c)
	}
	if w.cluster != nil {
		cfg.ClusterRing = w.cluster(c)
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
	if c.lane.Offer(w.now, "topic", wire.KindRaw, binary.LittleEndian.AppendUint64(make([]byte, 0, 300), c.sent)[:8+w.rand.IntN(200)], false) == nil {
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
		if w.drop != nil && w.drop(x) {
			continue
		}
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
			for _, u := range c.units {
				if u.nack.Hears(from.id) {
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
					for i := range r.units {
						st := r.BranchStats(i)
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

// A datagram may hold frames for two engines: each takes its own, and the stream has one receiver.
func TestMixedDatagramsAreDivided(t *testing.T) {
	w := newWires(t, 1)
	r := w.add(3, wire.NACK)
	from := wire.MemberID{0: 1}
	w.offer(r) // so that there is something to ask for
	w.turn()
	id := wire.NewStreamID(wire.NACK, 0)
	beat := uint64(0) // what a receiver of r echoes
	w.drop = func(x packet) bool {
		var d wire.Datagram
		if wire.Decode(x.data, &d) == nil && x.from == 1 && d.Frames()[0].Kind == wire.FrameHeartbeat {
			beat = d.Frames()[0].Heartbeat().SentAt
		}
		return false
	}
	mixed := func(last uint64) packet {
		b := wire.AppendHeader(nil, wire.Header{Cluster: testCluster, Transmitter: from, Incarnation: 1, Stream: id})
		b = wire.AppendHeartbeat(b, wire.Heartbeat{First: 1, Last: last, FirstMessage: 1, NextMessage: last + 1, SentAt: last})
		b = wire.AppendStatus(b, wire.Status{Origin: r.id, OriginIncarnation: 1, Next: 1, Highest: 1, Limit: 16, Echo: beat})
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
	if !r.units[2].nack.Hears(from) || r.units[0].nack.Hears(from) || r.units[1].nack.Hears(from) {
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

// A further engine hears of a sender with another number of lanes: the first one has all lanes
// heard from then on, and the stream is joined with the next Start.
func TestOtherLanesAtAFurtherEngine(t *testing.T) {
	w := newWires(t, 1)
	var set [][][2]uint32
	told := 0
	w.filter = lanes.Filter{
		Set:     func(ranges [][2]uint32) error { set = append(set, ranges); return nil },
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
		t.Errorf("told %d times; the driver was given lanes %d times", told, len(set))
	}
	if !r.units[1].nack.Hears(wire.MemberID{0: 1}) {
		t.Error("its stream was not joined")
	}
	w.done()
}

// After the own interface's MTU was lowered, the requests of every engine fit it, also those that name many gaps.
func TestRequestsOfAllEnginesFit(t *testing.T) {
	const lower = 600
	for queue := range 3 {
		w := newWires(t, 1)
		r, s := w.add(3, wire.NACK), w.add(1, wire.NACK)
		w.pick = func(*card, packet) int { return queue }
		w.until("a receiver", func() bool { w.offer(s); return s.lane.Receivers() == 1 })
		for _, p := range r.ports {
			p.pack = lower
		}
		lose, longest := true, 0
		w.drop = func(x packet) bool {
			var d wire.Datagram
			if wire.Decode(x.data, &d) != nil {
				t.Error("no datagram")
			}
			if x.from == 1 {
				longest = max(longest, len(x.data))
				return false
			}
			return lose && d.Frames()[0].Kind == wire.FrameData && d.Frames()[0].Data().Number%2 == 0
		}
		for range 160 {
			w.offer(s)
			s.Engines()[0].Turn(w.now) // a datagram for each message, and all arrive at once
		}
		w.turn()
		for range 20 {
			w.turn()
		}
		lose = false
		w.until("all messages", func() bool { return r.next[s.id] == s.sent })
		if longest > lower || longest < lower-32 {
			t.Errorf("queue %d: the longest datagram has %d bytes, of at most %d", queue, longest, lower)
		}
		w.done()
	}
}
