package sim

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// linkRun is senders and receivers on links that are not clean. Node i of senders sends on a stream of its own;
// receivers check that all comes once, in order, or is reported as lost.
type linkRun struct {
	t     testing.TB
	Net   *Network
	nodes []*linkNode
}

// linkNode is one member of a linkRun.
type linkNode struct {
	run    *linkRun
	id     wire.MemberID
	core   *CoreNode
	driver *Driver
	stream wire.StreamID

	offered uint64
	refused int
	paused  bool
	streams map[wire.MemberID]*linkStream
	events  []nack.Event
	lastAt  clock.Time // when the last message was offered
}

// linkStream is what a receiver got of one sender.
type linkStream struct {
	next      uint64 // message number
	delivered int
	lost      int
	reasons   map[core.LossReason]int
	latency   []time.Duration
	lastAt    clock.Time // when the last message came, or was reported as lost
}

func newLinkRun(t testing.TB, cfg Config, members int, m MemberConfig) *linkRun {
	if cfg.Link.Delay == 0 {
		cfg.Link.Delay = 20 * time.Microsecond
	}
	m = m.withDefaults()
	r := &linkRun{t: t, Net: New(cfg)}
	for i := range members {
		n := &linkNode{run: r, driver: r.Net.Attach(i), streams: map[wire.MemberID]*linkStream{}, stream: wire.NewStreamID(m.Protocol, 0)}
		n.id[0] = byte(i + 1)
		n.core = NewCoreNode(NodeConfig{Self: n.id, Cluster: 7, Driver: n.driver, Sink: n, Now: r.Net.Now(), Member: m,
			Events: func(e nack.Event) { n.events = append(n.events, e) },
			Rand:   rand.New(rand.NewPCG(cfg.Seed, uint64(i)))}).(*CoreNode)
		n.driver.Drive(n.core)
		r.nodes = append(r.nodes, n)
	}
	return r
}

func (n *linkNode) of(from wire.MemberID) *linkStream {
	s := n.streams[from]
	if s == nil {
		s = &linkStream{reasons: map[core.LossReason]int{}}
		n.streams[from] = s
	}
	return s
}

// Deliver implements nack.Sink.
func (n *linkNode) Deliver(d *core.Delivery) bool {
	if n.paused {
		return false
	}
	s, now := n.of(d.From), n.run.Net.Now()
	if s.next != 0 && d.Sequence != s.next {
		n.run.t.Errorf("node %d: message %d of node %d where %d was due", n.driver.Node(), d.Sequence, d.From[0]-1, s.next)
	}
	s.next, s.lastAt = d.Sequence+1, now
	s.delivered++
	s.latency = append(s.latency, now.Sub(clock.Time(binary.LittleEndian.Uint64(d.Payload))))
	return true
}

// Lost implements nack.Sink.
func (n *linkNode) Lost(l *core.Loss) {
	s := n.of(l.From)
	if s.next != 0 && l.First != s.next {
		n.run.t.Errorf("node %d: loss of %d to %d of node %d where %d was due", n.driver.Node(), l.First, l.Last, l.From[0]-1, s.next)
	}
	s.next = l.Last + 1
	s.lost += int(l.Last - l.First + 1)
	s.reasons[l.Reason] += int(l.Last - l.First + 1)
	s.lastAt = n.run.Net.Now()
}

// quantile is that of the latencies of the messages that came from a sender.
func (s *linkStream) quantile(q float64) time.Duration {
	if len(s.latency) == 0 {
		return 0
	}
	l := slices.Clone(s.latency)
	slices.Sort(l)
	return l[min(int(q*float64(len(l))), len(l)-1)]
}

// offer offers one message now.
func (n *linkNode) offer(size int) bool { return n.offerAt(n.run.Net.Now(), size) }

// offerAt offers one message that was due at at: its latency counts from there.
func (n *linkNode) offerAt(at clock.Time, size int) bool {
	b := make([]byte, max(size, 8))
	binary.LittleEndian.PutUint64(b, uint64(at))
	if err := n.core.Offer(n.run.Net.Now(), n.stream, "t", b); err != nil {
		if !n.core.Refused(err) {
			n.run.t.Fatal(err)
		}
		n.refused++
		return false
	}
	n.offered++
	n.lastAt = n.run.Net.Now()
	return true
}

// feed offers a message each interval for d, of the size that size says. What is refused is offered again, and
// its latency counts from when it was due.
func (n *linkNode) feed(d, every time.Duration, size func(i int) int) {
	net, begin := n.run.Net, n.run.Net.Now()
	i := 0
	var step func()
	step = func() {
		now := net.Now()
		for due := begin.Add(time.Duration(i) * every); due <= now && due < begin.Add(d); due = begin.Add(time.Duration(i) * every) {
			if !n.offerAt(due, size(i)) {
				net.After(50*time.Microsecond, step)
				return
			}
			i++
		}
		if at := begin.Add(time.Duration(i) * every); at < begin.Add(d) {
			net.At(at, step)
		}
	}
	step()
}

// flood offers messages of one size as fast as they are taken, for d.
func (n *linkNode) flood(d time.Duration, size int) {
	net, end := n.run.Net, n.run.Net.Now().Add(d)
	var step func()
	step = func() {
		for range 64 {
			if !n.offer(size) {
				break
			}
		}
		if net.Now() < end {
			net.After(20*time.Microsecond, step)
		}
	}
	step()
}

func (r *linkRun) run(d time.Duration) { r.Net.Run(r.Net.Now().Add(d)) }

// open opens the stream of a node, and lets receivers find it.
func (r *linkRun) open(nodes ...int) {
	for _, i := range nodes {
		r.nodes[i].core.Open(r.Net.Now(), r.nodes[i].stream)
	}
	r.run(100 * time.Millisecond)
}

// stats are the counters of a node's core.
func (n *linkNode) stats() nack.Stats { return n.core.Protocol.Stats() }

// sent is what a sender has on the wire so far.
type sent struct{ data, repairs, parity, asked uint64 }

func (n *linkNode) sent() sent {
	s := n.stats()
	return sent{s.Datagrams, s.RepairsMulticast + s.RepairsUnicast, s.ParityDatagrams + s.ParityAsked, s.ParityAsked}
}

func (s sent) String() string {
	return fmt.Sprintf("%d datagrams, %d repairs, %d repair symbols", s.data, s.repairs, s.parity)
}

func (n *linkNode) summary(from int) string {
	s := n.of(n.run.nodes[from].id)
	return fmt.Sprintf("node %d: %d delivered, %d lost %v, p50 %v p99 %v max %v", n.driver.Node(), s.delivered, s.lost, s.reasons,
		s.quantile(0.5), s.quantile(0.99), s.quantile(1))
}

// mixed is messages of 200 bytes, one in twenty of 1,380.
func mixed(i int) int {
	if i%20 == 7 {
		return 1380
	}
	return 200
}

// repairing are those that repair.
var repairing = [...]wire.Protocol{wire.NACK, wire.Hybrid}

// TestBlackHole: small datagrams pass to one of two receivers, full-sized ones never. The other one is not held up,
// repairs stay few, and the one behind the narrow link gets what passes and a report of what does not, in time.
func TestBlackHole(t *testing.T) {
	for _, p := range repairing {
		r := newLinkRun(t, Config{Seed: 1}, 3, MemberConfig{Protocol: p, Window: 8 << 20})
		r.Net.SetDown(2, Port{MTU: 1400})
		r.open(0)
		lasts := 3 * time.Second
		if Full() {
			lasts = 20 * time.Second
		}
		sender, healthy, narrow := r.nodes[0], r.nodes[1].of(r.nodes[0].id), r.nodes[2].of(r.nodes[0].id)
		sender.feed(lasts, 200*time.Microsecond, mixed)
		r.run(lasts + 7*time.Second)
		st, missing := sender.sent(), int(sender.offered)/20
		report(t, "%v: %v for %d missing; %s; %s", p, st, missing, r.nodes[1].summary(0), r.nodes[2].summary(0))
		if p99 := healthy.quantile(0.99); healthy.delivered != int(sender.offered) || p99 > 2*r.Net.Default().Delay {
			t.Errorf("%v: the healthy receiver got %d of %d, p99 %v", p, healthy.delivered, sender.offered, p99)
		}
		if narrow.delivered+narrow.lost != int(sender.offered) || narrow.lost > missing*11/10 {
			t.Errorf("%v: behind the narrow link %d arrived and %d were reported lost, of %d with %d that do not pass", p, narrow.delivered, narrow.lost, sender.offered, missing)
		}
		if late := narrow.lastAt.Sub(sender.lastAt); late > 6*time.Second {
			t.Errorf("%v: the last message was reported lost %v after it was sent", p, late)
		}
		if repairs := int(st.repairs + st.asked); repairs > 10*missing {
			t.Errorf("%v: %d repairs and repair symbols that were asked for, for %d missing datagrams", p, repairs, missing)
		}
		if !slices.ContainsFunc(sender.events, func(e nack.Event) bool {
			return e.Kind == nack.ReceiverStuck && e.Member == r.nodes[2].id && e.Length > 1372 && e.Longest > 0 && e.Longest <= 1372
		}) {
			t.Errorf("%v: the sender does not report that full-sized datagrams do not pass", p)
		}
		if !slices.ContainsFunc(r.nodes[2].events, func(e nack.Event) bool {
			return e.Kind == nack.StreamTimedOut && e.Longest > 0 && e.Longest <= 1372
		}) {
			t.Errorf("%v: the receiver does not report that full-sized datagrams do not pass", p)
		}
	}
}

// wireBytes is what datagrams of so many bytes take on a link.
func wireBytes(datagrams, bytes uint64) float64 { return float64(bytes + 42*datagrams) }

// bottleneck floods one stream through 100 Mbit/s with a queue of 64 KiB for d. It returns the part of the bottleneck
// that new data had at the slowest receiver, and what left the sender for each byte of it.
func bottleneck(t *testing.T, seed uint64, p wire.Protocol, atSender bool, d time.Duration) (used, sent float64) {
	r := newLinkRun(t, Config{Seed: seed, Bandwidth: 10_000_000_000}, 3, MemberConfig{Protocol: p, Window: 8 << 20})
	const rate = 100_000_000
	line := Port{Rate: rate, Queue: 64 << 10}
	if atSender {
		r.Net.SetUp(0, line)
	} else {
		r.Net.SetUp(0, Port{})
		r.Net.SetDown(2, line)
	}
	r.open(0)
	tries := r.Net.TriedUp(0)
	r.nodes[0].flood(d, 1000)
	r.run(d)
	n := r.nodes[0]
	st := n.stats()
	least := min(r.nodes[1].of(n.id).delivered, r.nodes[2].of(n.id).delivered)
	data := wireBytes(st.Datagrams, st.DatagramBytes) * float64(least) / float64(n.offered)
	used, sent = data*8/(rate*d.Seconds()), float64(r.Net.TriedUp(0)-tries)/data
	report(t, "%v, at the sender %v: %.3f of the bottleneck, %.2f bytes sent for one; %v; %s; %s", p, atSender, used, sent, n.sent(), r.nodes[1].summary(0), r.nodes[2].summary(0))
	for _, o := range r.nodes[1:] {
		if l := o.of(n.id).lost; l != 0 {
			t.Errorf("%v: node %d lost %d messages", p, o.driver.Node(), l)
		}
	}
	l := n.core.Protocol.Open(r.Net.Now(), n.stream).Limited(r.Net.Now())
	if l.By != core.ByPace || l.Pace > rate/8*1.5 || !atSender && l.Member != r.nodes[2].id {
		t.Errorf("%v, at the sender %v: the stream is limited by %+v", p, atSender, l)
	}
	return used, sent
}

// leftToSim leaves a test to make sim where time is short.
func leftToSim(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes seconds: make sim does it")
	}
}

// some is list, or what stands at its index at alone where time is short: make sim runs all of it.
func some[T any](list []T, at int) []T {
	if testing.Short() {
		return list[at : at+1]
	}
	return list
}

// longer is d, and four times as long in a full run.
func longer(d time.Duration) time.Duration {
	if Full() {
		return 4 * d
	}
	return d
}

// TestBottleneck: one of two receivers is behind 100 Mbit/s with a queue of 64 KiB, or the sender is. The bottleneck is
// used, and little more than it carries leaves the sender.
func TestBottleneck(t *testing.T) {
	for _, p := range some(repairing[:], 0) {
		for _, atSender := range some([]bool{false, true}, 0) {
			used, sent := bottleneck(t, 1, p, atSender, longer(3*time.Second))
			least, most := 0.9, 1.25
			if p == wire.Hybrid {
				least, most = 0.8, 1.4
			}
			if used < least || sent > most {
				t.Errorf("%v, at the sender %v: %.3f of the bottleneck is used, %.2f bytes leave for one that arrives", p, atSender, used, sent)
			}
		}
	}
}

// TestBottleneckIsShared: two senders through one bottleneck get three tenths of it at least each.
func TestBottleneckIsShared(t *testing.T) {
	leftToSim(t)
	r := newLinkRun(t, Config{Seed: 2, Bandwidth: 10_000_000_000}, 3, MemberConfig{Window: 8 << 20})
	const rate = 100_000_000
	lasts := longer(5 * time.Second)
	r.Net.SetDown(2, Port{Rate: rate, Queue: 64 << 10})
	r.open(0, 1)
	r.nodes[0].flood(lasts, 1000)
	r.nodes[1].flood(lasts, 1000)
	r.run(lasts)
	for _, n := range r.nodes[:2] {
		st, s := n.stats(), r.nodes[2].of(n.id)
		part := wireBytes(st.Datagrams, st.DatagramBytes) * float64(s.delivered) / float64(n.offered) * 8 / (rate * lasts.Seconds())
		report(t, "sender %d: %.2f of the bottleneck, %v, lost %d", n.driver.Node(), part, n.sent(), s.lost)
		if part < 0.3 || s.lost > 0 {
			t.Errorf("sender %d has %.2f of the bottleneck, and %d messages lost", n.driver.Node(), part, s.lost)
		}
	}
}

// TestBottleneckIsSharedLater: a second sender floods the bottleneck that the first one has to itself. What the second one
// loses at a low pace is the first one's doing, and no reason to go on at any pace. Nothing is lost for good, nobody takes
// the receiver for one that cannot be reached, and soon each has three tenths at least.
func TestBottleneckIsSharedLater(t *testing.T) {
	leftToSim(t)
	for seed := uint64(2); seed < 2+uint64(longer(1)); seed++ {
		r := newLinkRun(t, Config{Seed: seed, Bandwidth: 1_000_000_000}, 3, MemberConfig{Window: 8 << 20})
		const rate = 100_000_000
		r.Net.SetDown(2, Port{Rate: rate, Queue: 64 << 10})
		r.open(0, 1)
		r.nodes[0].flood(4*time.Second, 1000)
		r.run(60 * time.Millisecond)
		r.nodes[1].flood(4*time.Second, 1000)
		r.run(2 * time.Second)
		var before [2]int
		for i, n := range r.nodes[:2] {
			before[i] = r.nodes[2].of(n.id).delivered
		}
		const lasts = 2 * time.Second
		r.run(lasts)
		for i, n := range r.nodes[:2] {
			st, s := n.stats(), r.nodes[2].of(n.id)
			part := wireBytes(st.Datagrams, st.DatagramBytes) * float64(s.delivered-before[i]) / float64(n.offered) * 8 / (rate * lasts.Seconds())
			report(t, "seed %d, sender %d: %.2f of the bottleneck, %v, lost %d", seed, i, part, n.sent(), s.lost)
			if part < 0.3 || s.lost > 0 {
				t.Errorf("seed %d: sender %d has %.2f of the bottleneck, and %d messages lost", seed, i, part, s.lost)
			}
			for _, e := range append(n.events, r.nodes[2].events...) {
				if e.Kind == nack.ReceiverStuck || e.Kind == nack.ReceiverMute || e.Kind == nack.StreamOneWay {
					t.Errorf("seed %d: sender %d: %v", seed, i, e.Kind)
				}
			}
		}
	}
}

// TestBottleneckGoes: a bottleneck that appears and goes. Two seconds later the stream is at nine tenths of its former
// rate.
func TestBottleneckGoes(t *testing.T) {
	leftToSim(t)
	r := newLinkRun(t, Config{Seed: 3, Bandwidth: 1_000_000_000}, 3, MemberConfig{Window: 8 << 20})
	r.open(0)
	n, s := r.nodes[0], r.nodes[2].of(r.nodes[0].id)
	n.flood(7*time.Second, 1000)
	rate := func(d time.Duration) float64 {
		before := s.delivered
		r.run(d)
		return float64(s.delivered-before) / d.Seconds()
	}
	r.run(200 * time.Millisecond)
	clean := rate(800 * time.Millisecond)
	r.Net.SetDown(2, Port{Rate: 50_000_000, Queue: 64 << 10})
	narrow := rate(2 * time.Second)
	r.Net.ClearLinks()
	r.run(2 * time.Second)
	again := rate(time.Second)
	report(t, "%.0f messages/s, %.0f in the bottleneck, %.0f from two seconds after it", clean, narrow, again)
	if narrow > clean/5 || again < 0.9*clean {
		t.Errorf("%.0f messages/s, %.0f in the bottleneck, %.0f from two seconds after it", clean, narrow, again)
	}
}

// TestRandomLossSlowsNobody: with up to a fifth of everything lost at random a stream is as quick as without congestion
// control. Which datagrams are lost is worth 2 % at a fifth: so four networks are summed up.
func TestRandomLossSlowsNobody(t *testing.T) {
	for _, loss := range some([]float64{0, 0.01, 0.05, 0.2}, 2) {
		var got [2]int
		paced := uint64(0)
		for seed := uint64(4); seed < 8; seed++ {
			for i, free := range []bool{true, false} {
				r := newLinkRun(t, Config{Seed: seed, Link: Link{Loss: loss}, Bandwidth: 1_000_000_000}, 3, MemberConfig{Window: 8 << 20, FreePace: free})
				r.open(0)
				r.nodes[0].flood(longer(300*time.Millisecond), 1000)
				r.run(longer(300 * time.Millisecond))
				got[i] += min(r.nodes[1].of(r.nodes[0].id).delivered, r.nodes[2].of(r.nodes[0].id).delivered)
				if i == 1 {
					paced += r.nodes[0].stats().Paced
				}
			}
		}
		report(t, "%v %% lost: %d messages, %d without congestion control; paced %d times", 100*loss, got[1], got[0], paced)
		if float64(got[1]) < 0.97*float64(got[0]) {
			t.Errorf("%v %% lost: %d messages, %d without congestion control", 100*loss, got[1], got[0])
		}
	}
}

// TestReorderingIsNoLoss: datagrams come in another order, within 5 ms, and half of them twice. After a second hardly any
// is asked for.
func TestReorderingIsNoLoss(t *testing.T) {
	for _, p := range some(repairing[:], 0) {
		for _, part := range some([]float64{0.5, 1}, 1) {
			r := newLinkRun(t, Config{Seed: 5, Link: Link{Reorder: part, ReorderBy: 5 * time.Millisecond, Duplicate: 0.5}}, 3, MemberConfig{Protocol: p, Window: 8 << 20})
			r.open(0)
			n := r.nodes[0]
			n.feed(4*time.Second, 200*time.Microsecond, func(int) int { return 200 })
			r.run(time.Second)
			before := n.sent()
			r.run(3 * time.Second)
			after := n.sent()
			asked := func(s sent) uint64 { return s.repairs + s.asked }
			each := float64(asked(after)-asked(before)) / float64(after.data-before.data)
			report(t, "%v, %v of all late: %.3f repairs for a datagram in the first second, %.3f then; %v; %s", p, part, float64(asked(before))/float64(before.data), each, after, r.nodes[1].summary(0))
			if each > 0.05 {
				t.Errorf("%v, %v of all late: %.3f repairs for a datagram that was only late", p, part, each)
			}
		}
	}
}

// TestUnicastBlocked: no unicast passes between two members, and one in a hundred datagrams is lost. All messages arrive,
// and both ends report why.
func TestUnicastBlocked(t *testing.T) {
	for _, p := range repairing {
		r := newLinkRun(t, Config{Seed: 7, Link: Link{Loss: 0.01, NoDirect: true}}, 3, MemberConfig{Protocol: p})
		r.open(0)
		n := r.nodes[0]
		n.feed(2*time.Second, 250*time.Microsecond, func(int) int { return 200 })
		r.run(4 * time.Second)
		report(t, "%v: %v; %s; %s", p, n.sent(), r.nodes[1].summary(0), r.nodes[2].summary(0))
		for _, o := range r.nodes[1:] {
			if s := o.of(n.id); s.delivered != int(n.offered) || s.quantile(0.999) > 500*time.Millisecond {
				t.Errorf("%v: node %d got %d of %d, p99.9 %v", p, o.driver.Node(), s.delivered, n.offered, s.quantile(0.999))
			}
			if p != wire.NACK {
				continue // few requests are made
			}
			if !slices.ContainsFunc(o.events, func(e nack.Event) bool { return e.Kind == nack.StreamOneWay }) ||
				!slices.ContainsFunc(n.events, func(e nack.Event) bool { return e.Kind == nack.ReceiverMute && e.Member == o.id }) {
				t.Errorf("%v: node %d: not both ends report that unicast does not get through", p, o.driver.Node())
			}
		}
	}
}

// TestMulticastBlocked: what a sender sends to the group stops coming to one of two receivers, and unicast passes. Both ends
// report it, and what can be got by unicast comes. When multicast passes again nothing of it remains.
func TestMulticastBlocked(t *testing.T) {
	for _, p := range repairing {
		r := newLinkRun(t, Config{Seed: 8}, 3, MemberConfig{Protocol: p})
		r.open(0)
		n, deaf := r.nodes[0], r.nodes[2]
		n.feed(4*time.Second, 333*time.Microsecond, func(int) int { return 200 })
		r.run(500 * time.Millisecond)
		r.Net.SetLink(0, 2, Link{Delay: 20 * time.Microsecond, NoGroup: true})
		r.run(3 * time.Second)
		told := [2]bool{}
		for _, e := range deaf.events {
			told[0] = told[0] || e.Kind == nack.StreamNoGroup && e.Member == n.id
		}
		for _, e := range n.events {
			told[1] = told[1] || e.Kind == nack.ReceiverNoGroup && e.Member == deaf.id
		}
		if told != [2]bool{true, true} {
			t.Errorf("%v: reported at the receiver and at the sender: %v", p, told)
		}
		r.Net.ClearLinks()
		events := len(deaf.events) + len(n.events)
		r.run(3 * time.Second)
		report(t, "%v: %v; %s; %s", p, n.sent(), r.nodes[1].summary(0), deaf.summary(0))
		for _, o := range r.nodes[1:] {
			if s := o.of(n.id); s.delivered != int(n.offered) {
				t.Errorf("%v: node %d got %d of %d, %d lost", p, o.driver.Node(), s.delivered, n.offered, s.lost)
			}
		}
		if len(deaf.events)+len(n.events) != events {
			t.Errorf("%v: events after the end: %v %v", p, deaf.events, n.events)
		}
	}
}

// TestOneLossyReceiver: one of three receivers loses three of five datagrams at random. The others do not notice.
func TestOneLossyReceiver(t *testing.T) {
	var p99 [2]time.Duration
	for i, loss := range []float64{0, 0.6} {
		r := newLinkRun(t, Config{Seed: 6}, 4, MemberConfig{Window: 8 << 20})
		r.Net.SetLink(0, 3, Link{Delay: 20 * time.Microsecond, Loss: loss})
		r.open(0)
		r.nodes[0].feed(2*time.Second, 200*time.Microsecond, func(int) int { return 200 })
		r.run(4 * time.Second)
		for _, o := range r.nodes[1:3] {
			p99[i] = max(p99[i], o.of(r.nodes[0].id).quantile(0.99))
		}
		report(t, "loss %v at one receiver: %s; %s", loss, r.nodes[1].summary(0), r.nodes[3].summary(0))
		if l := r.nodes[3].of(r.nodes[0].id); l.lost > 0 || l.delivered != int(r.nodes[0].offered) {
			t.Errorf("loss %v: %d delivered of %d, %d lost", loss, l.delivered, r.nodes[0].offered, l.lost)
		}
	}
	if p99[1] > 2*p99[0] {
		t.Errorf("the others' p99 is %v, %v without the lossy one", p99[1], p99[0])
	}
}
