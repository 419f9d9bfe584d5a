package fec

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// This simulation puts a network with loss between an Encoder and Decoders, and the least of a
// repair protocol above them: it shows what the cores can do, and how docs/decisions/
// fec-integration.md means them to be used. Time is virtual; a seed replays a run.

// mode says which protocol is above.
type mode int

const (
	plainNack mode = iota
	hybrid
	fecAlone
)

// network is one sender and its receivers.
type network struct {
	t      *testing.T
	mode   mode
	rng    *rand.Rand
	now    clock.Time
	events events
	count  int

	every  time.Duration // from one datagram to the next
	delay  time.Duration // one way
	jitter time.Duration // up to so much more
	loss   func(receiver int) bool
	size   int // payload, bytes

	w         *writer
	e         *Encoder
	control   *Controller
	pool      *buf.Pool
	repaired  map[uint64]clock.Time // when a datagram was last sent again
	again     int                   // bytes of datagrams sent again
	receivers []*member
	log       *check.Log
	stream    check.Stream
	sentAt    []clock.Time
}

// member is one receiver.
type member struct {
	n       *network
	id      int
	proc    check.Proc
	d       *Decoder
	slot    int // at the controller
	here    map[uint64][]byte
	next    uint64 // the next one to deliver
	high    uint64
	missing map[uint64]bool // asked for
	missed  uint64
	mended  uint64 // losses that came back without having been asked for
	stayed  uint64 // losses that were asked for, or given up, when their block could not mend them
	naks    int
	gaps    uint64
	latency []time.Duration
	scratch wire.Datagram
	lent    buf.Buf
}

type event struct {
	at    clock.Time
	order int
	do    func()
}

type events []event

func (e events) Len() int      { return len(e) }
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e *events) Pop() any {
	x := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return x
}

func (n *network) after(d time.Duration, do func()) {
	n.count++
	heap.Push(&n.events, event{n.now.Add(d), n.count, do})
}

func (n *network) roundTrip() time.Duration { return 2*n.delay + n.jitter }

func newNetwork(t *testing.T, m mode, seed uint64, receivers int, control ControllerConfig, every, delay time.Duration) *network {
	n := &network{
		t: t, mode: m, rng: rand.New(rand.NewPCG(seed, 77)), now: 1, every: every, delay: delay, size: 1000,
		pool: buf.NewPool(64+receivers*600, 2048), repaired: map[uint64]clock.Time{}, log: check.NewLog(),
	}
	n.w = &writer{rng: n.rng}
	n.control = NewController(control)
	n.e = NewEncoder(EncoderConfig{Header: testStream, Datagram: testDatagram, Control: n.control, Pool: n.pool, Held: n.w})
	sender := n.log.Start(1, 0, testStream.Transmitter)
	for i := range receivers {
		r := &member{n: n, id: i, here: map[uint64][]byte{}, next: 1, high: 1, missing: map[uint64]bool{}, slot: n.control.Join(),
			d: NewDecoder(DecoderConfig{Datagram: testDatagram, Pool: n.pool}, testStream, 1)}
		r.proc = n.log.Start(1, i+1, wire.MemberID{100, byte(i), 1})
		n.receivers = append(n.receivers, r)
	}
	n.stream = n.log.Open(2, sender, testStream.Stream)
	return n
}

// run sends so many datagrams and lets everything settle.
func (n *network) run(datagrams int) {
	until := len(n.w.sent) + datagrams
	var send func()
	send = func() {
		number, b := n.w.next(n.size, false)
		d := n.payload(b)
		n.log.Sent(n.now, n.stream, d)
		n.log.Emitted(n.now, n.stream, number, number, len(b))
		n.sentAt = append(n.sentAt, n.now)
		n.multicast(b)
		if n.mode != plainNack {
			n.e.Sent(n.now, number, b)
			n.flush()
		}
		if len(n.w.sent) < until {
			n.after(n.every, send)
		}
	}
	n.after(n.every, send)
	for _, r := range n.receivers {
		r.report()
	}
	for n.events.Len() > 0 {
		x := heap.Pop(&n.events).(event)
		n.now = x.at
		if at, ok := n.e.Deadline(); ok && at <= n.now {
			n.e.Tick(n.now)
			n.flush()
		}
		x.do()
		if len(n.w.sent) == until && n.events.Len() == 0 {
			if _, ok := n.e.Deadline(); ok {
				n.after(time.Millisecond, func() {})
			} else if n.tail() {
				continue
			}
		}
	}
}

// tail shows the receivers what was sent, as a heartbeat does. It is false when all have it.
func (n *network) tail() (more bool) {
	for _, r := range n.receivers {
		if r.next <= uint64(len(n.w.sent)) {
			more = true
			n.after(n.delay, func() { r.notice(uint64(len(n.w.sent)) + 1) })
		}
	}
	return more
}

func (n *network) payload(datagram []byte) []byte {
	var d wire.Datagram
	if err := wire.Decode(datagram, &d); err != nil {
		n.t.Fatal(err)
	}
	m := d.Frames()[0].Data()
	it := m.Messages()
	it.Step()
	return it.Payload
}

func (n *network) flush() {
	for {
		s, ok := n.e.PollSend()
		if !ok {
			return
		}
		n.multicast(slices.Clone(s.Buf.Bytes()))
		s.Buf.Release()
	}
}

func (n *network) multicast(b []byte) {
	for i, r := range n.receivers {
		if n.loss(i) {
			continue
		}
		d := n.delay
		if n.jitter > 0 {
			d += time.Duration(n.rng.Int64N(int64(n.jitter)))
		}
		n.after(d, func() { r.take(b) })
	}
}

// nak is what the sender does with a NAK for one datagram.
func (n *network) nak(number uint64) {
	if at, ok := n.repaired[number]; ok && n.now.Sub(at) < n.roundTrip() {
		return
	}
	n.repaired[number] = n.now
	b := n.w.Datagram(number)
	n.again += len(b)
	n.log.Wire(n.now, check.RepairSent, 0, n.stream, number, len(b))
	n.multicast(b)
}

func (n *network) symbolNak(block uint64, count int) {
	if !n.e.More(n.now, block, count, n.roundTrip()) {
		n.t.Fatalf("More refuses %d symbols of block %d", count, block)
	}
	n.flush()
}

func (r *member) take(b []byte) {
	if err := wire.Decode(b, &r.scratch); err != nil {
		r.n.t.Fatal(err)
	}
	r.lent.Lend(b)
	switch f := &r.scratch.Frames()[0]; f.Kind {
	case wire.FrameData:
		m := f.Data()
		if r.n.mode != plainNack {
			r.d.Source(r.n.now, m.Number, &r.lent)
		}
		r.came(m.Number, b)
	case wire.FrameRepair:
		s := f.Repair()
		r.d.Repair(r.n.now, &s, &r.lent)
	}
	for {
		number, b, ok := r.d.PollRebuilt()
		if !ok {
			break
		}
		r.came(number, slices.Clone(b.Bytes()))
		b.Release()
	}
	// Only now: what a repair symbol shows may have been rebuilt by it.
	if r.n.mode != plainNack {
		r.notice(r.d.High())
	}
	r.look()
}

// came takes in a source datagram, however it came.
func (r *member) came(number uint64, b []byte) {
	r.notice(number)
	if number >= r.high {
		r.high = number + 1
	}
	if number < r.next || r.here[number] != nil {
		return
	}
	r.here[number] = b
	if asked, missing := r.missing[number]; missing {
		delete(r.missing, number)
		if !asked {
			r.mended++
		}
	}
	r.deliver()
}

func (r *member) deliver() {
	for r.here[r.next] != nil {
		b := r.here[r.next]
		delete(r.here, r.next)
		r.n.log.Delivered(r.n.now, r.proc, &core.Delivery{From: testStream.Transmitter, Stream: testStream.Stream, Sequence: r.next, Payload: r.n.payload(b)})
		r.latency = append(r.latency, r.n.now.Sub(r.n.sentAt[r.next-1]))
		r.next++
	}
	r.d.Forget(r.next)
}

// notice finds what is missing below high.
func (r *member) notice(high uint64) {
	for ; r.high < high; r.high++ {
		n := r.high
		if r.here[n] == nil {
			r.missing[n] = false
			r.missed++
			r.decide(n)
		}
	}
}

// decide asks for datagram n, which is missing, or leaves it to its block for a while.
func (r *member) decide(n uint64) {
	if _, missing := r.missing[n]; !missing {
		return
	}
	net := r.n
	if net.mode != plainNack {
		at, ok := r.d.Mended(net.now, n)
		if ok && at > net.now && (at < net.now.Add(net.roundTrip()) || net.mode == fecAlone) {
			net.after(at.Sub(net.now), func() { r.decide(n) })
			return
		}
		if net.mode == fecAlone {
			if !ok {
				net.after(DefaultMaxOpen+net.roundTrip(), func() { r.giveUp(n) })
			} else {
				net.after(net.jitter+time.Microsecond, func() { r.giveUp(n) })
			}
			return
		}
	}
	r.ask(n)
}

func (r *member) ask(n uint64) {
	net := r.n
	if asked, missing := r.missing[n]; !missing {
		return
	} else if !asked {
		r.missing[n] = true
		if at, ok := r.d.Mended(net.now, n); ok && at <= net.now {
			r.stayed++ // not so where a NAK is simply faster than the block
		}
	}
	r.naks++
	if !net.loss(r.id) {
		block, count, ok := uint64(0), 0, false
		if net.mode == hybrid {
			block, count, ok = r.d.Lacking(n)
		}
		if ok {
			net.after(net.delay, func() { net.symbolNak(block, count) })
		} else {
			net.after(net.delay, func() { net.nak(n) })
		}
	}
	net.after(net.roundTrip()+net.roundTrip()/4, func() { r.ask(n) })
}

// look asks at once for what is missing of a block that has all its repair symbols.
func (r *member) look() {
	if r.n.mode != hybrid {
		return
	}
	for i := range r.d.open {
		b := r.d.open[i]
		if b.highest+1 < b.repairs {
			continue
		}
		for c := range int(b.shape.sources) {
			if n := b.number(c); b.came>>c&1 == 0 {
				if asked, missing := r.missing[n]; missing && !asked {
					r.ask(n)
				}
			}
		}
	}
}

// giveUp reports, in its place, that datagram n will not come.
func (r *member) giveUp(n uint64) {
	if _, missing := r.missing[n]; !missing {
		return
	}
	if n > r.next {
		r.n.after(50*time.Microsecond, func() { r.giveUp(n) })
		return
	}
	delete(r.missing, n)
	r.gaps++
	r.n.log.Gap(r.n.now, r.proc, &core.Loss{From: testStream.Transmitter, Stream: testStream.Stream, First: n, Last: n, Reason: core.LossUnrepaired})
	r.next++
	r.deliver()
}

// report sends a status every 10 ms.
func (r *member) report() {
	if r.n.mode == plainNack {
		return
	}
	high, missed, stayed := r.high, r.missed, r.stayed+r.gaps
	r.n.after(r.n.delay, func() { r.n.control.Report(r.slot, high, missed, stayed) })
	if len(r.n.w.sent) == 0 || r.n.events.Len() > 1+len(r.n.receivers) {
		r.n.after(10*time.Millisecond, r.report)
	}
}

// done checks the run and gives everything back.
func (n *network) done() {
	n.t.Helper()
	if n.mode != fecAlone {
		for _, r := range n.receivers {
			if r.next != uint64(len(n.w.sent))+1 {
				n.t.Errorf("receiver %d has %d of %d", r.id, r.next-1, len(n.w.sent))
			}
		}
	}
	vs := slices.Concat(check.RM1(n.log), check.RM2(n.log), check.RM3(n.log), check.RM4(n.log), check.RM5(n.log))
	if n.mode != fecAlone {
		vs = append(vs, check.RM6(n.log, check.Options{})...)
	}
	if len(vs) > 0 {
		n.t.Errorf("%s", check.Text(vs))
	}
	for _, r := range n.receivers {
		if s := r.d.Stats(); s.Corrupt+s.Shape+s.Scheme+s.Window+s.NoBuffer > 0 {
			n.t.Errorf("receiver %d: %+v", r.id, s)
		}
		r.d.Release()
	}
	n.e.Release()
	full(n.t, n.pool)
}

// extra is the bytes that were sent beside the source datagrams, as a share of those.
func (n *network) extra() float64 {
	return float64(n.e.Stats().RepairBytes+uint64(n.again)) / float64(n.w.bytes)
}

// totals are the losses of all receivers, and those of them that came back unasked.
func (n *network) totals() (missed, mended uint64) {
	for _, r := range n.receivers {
		missed += r.missed
		mended += r.mended
	}
	return missed, mended
}

func percentile(all []time.Duration, p float64) time.Duration {
	slices.Sort(all)
	return all[min(int(p*float64(len(all))), len(all)-1)]
}

func (n *network) independent(p float64) {
	n.loss = func(int) bool { return n.rng.Float64() < p }
}

const (
	testEvery = 10 * time.Microsecond // 100,000 datagrams a second
	testDelay = time.Millisecond      // a round trip of 2 ms
)

// 1 % independent loss, adaptive: at least 95 % of the losses come back without a NAK, at an
// overhead of at most 12 %; the delivery is complete, and earlier than with NAKs alone.
func TestOnePercent(t *testing.T) {
	seeds := uint64(8)
	if testing.Short() {
		seeds = 3
	}
	var late [2][]time.Duration
	for seed := range seeds {
		for _, m := range []mode{hybrid, plainNack} {
			n := newNetwork(t, m, seed, 1, ControllerConfig{}, testEvery, testDelay)
			n.independent(0.01)
			n.run(30000)
			n.done()
			late[m] = append(late[m], n.receivers[0].latency...)
			if m == plainNack {
				continue
			}
			missed, mended := n.totals()
			share, overhead := float64(mended)/float64(missed), float64(n.e.Stats().RepairBytes)/float64(n.w.bytes)
			t.Logf("seed %d: %d losses, %.1f %% mended without a NAK, %.1f %% parity", seed, missed, 100*share, 100*overhead)
			if share < 0.95 || overhead > 0.12 {
				t.Errorf("seed %d: %.1f %% mended without a NAK at %.1f %% overhead", seed, 100*share, 100*overhead)
			}
		}
	}
	h, p := late[hybrid], late[plainNack]
	t.Logf("latency p50, p99, p99.9: %v %v %v, with NAKs alone %v %v %v", percentile(h, 0.5), percentile(h, 0.99), percentile(h, 0.999),
		percentile(p, 0.5), percentile(p, 0.99), percentile(p, 0.999))
	if 2*percentile(h, 0.99) > percentile(p, 0.99) || float64(percentile(h, 0.999)) > 0.8*float64(percentile(p, 0.999)) {
		t.Errorf("hybrid is not early enough")
	}
}

// 64 receivers that each lose 1 % on their own: parity and repairs are at most a third of what
// NAKs alone send again.
func TestManyReceivers(t *testing.T) {
	count := 4000
	if testing.Short() {
		count = 1500
	}
	extra := func(m mode) float64 {
		n := newNetwork(t, m, 5, 64, ControllerConfig{}, testEvery, testDelay)
		n.independent(0.01)
		n.size = 500
		n.run(count)
		n.done()
		return n.extra()
	}
	h, p := extra(hybrid), extra(plainNack)
	t.Logf("64 receivers: %.1f %% of extra bytes with parity, %.1f %% with NAKs alone", 100*h, 100*p)
	if 3*h > p {
		t.Errorf("%.1f %% of extra bytes, NAKs alone %.1f %%", 100*h, 100*p)
	}
}

// Every kind of weather ends complete: much loss, bursts, reordering, pauses of the stream.
func TestWeather(t *testing.T) {
	for _, c := range []struct {
		name   string
		loss   float64
		burst  float64
		jitter time.Duration
		every  time.Duration
	}{
		{"no loss", 0, 1, 0, testEvery},
		{"20 %", 0.2, 1, 0, testEvery},
		{"bursts of 5", 0.05, 5, 0, testEvery},
		{"reordering", 0.02, 1, 100 * time.Microsecond, testEvery},
		{"slow", 0.05, 1, 0, 3 * time.Millisecond},
		{"fast", 0.05, 1, 20 * time.Microsecond, time.Microsecond},
	} {
		for _, m := range []mode{hybrid, fecAlone} {
			n := newNetwork(t, m, 6, 3, ControllerConfig{}, c.every, testDelay)
			bad := make([]bool, 3)
			n.loss = func(i int) bool {
				if c.burst == 1 {
					return n.rng.Float64() < c.loss
				}
				if bad[i] {
					bad[i] = n.rng.Float64() >= 1/c.burst
				} else {
					bad[i] = n.rng.Float64() < c.loss/(1-c.loss)/c.burst
				}
				return bad[i]
			}
			n.jitter, n.size = c.jitter, 200
			for range 3 { // with a pause between
				n.run(700)
			}
			n.done()
			missed, mended := n.totals()
			t.Logf("%s, mode %d: %d lost, %d mended unasked, %d repair datagrams for %d", c.name, m, missed, mended, n.e.Stats().Repairs, len(n.w.sent))
			if c.loss == 0 && (missed > 0 || n.receivers[0].naks > 0) {
				t.Errorf("%s: %d missing, %d NAKs", c.name, missed, n.receivers[0].naks)
			}
		}
	}
}

// FEC alone: what stays lost agrees with the binomial tail, within four standard errors.
func TestResidualAgrees(t *testing.T) {
	blocks := 4000
	if testing.Short() {
		blocks = 1000
	}
	for _, c := range []struct {
		k, m int
		p    float64
	}{{20, 1, 0.02}, {20, 2, 0.05}, {10, 3, 0.1}, {32, 8, 0.2}, {5, 1, 0.3}} {
		rng := rand.New(rand.NewPCG(8, uint64(c.k)))
		pool := buf.NewPool(512, 2048)
		s := newSending(rng, c.k, c.m, 1)
		r := newReceiver(t, s.writer, pool, 0)
		sum, squares := 0.0, 0.0
		for b := range blocks {
			for range c.k {
				source, repairs := s.send(clock.Time(1+b), 16, false)
				if rng.Float64() >= c.p {
					r.take(clock.Time(1+b), source)
				}
				for _, x := range repairs {
					if rng.Float64() >= c.p {
						r.take(clock.Time(1+b), x)
					}
				}
			}
			r.d.Forget(uint64((b+1)*c.k + 1))
			lost := 0
			for i := range c.k {
				if r.got[uint64(b*c.k+i+1)] == 0 {
					lost++
				}
			}
			share := float64(lost) / float64(c.k)
			sum += share
			squares += share * share
		}
		mean := sum / float64(blocks)
		deviation := math.Sqrt((squares/float64(blocks) - mean*mean) / float64(blocks))
		theory := Residual(c.k, c.m, c.p)
		t.Logf("(%d, %d) at %v: %.5f stays lost, theory %.5f, standard error %.5f", c.k, c.m, c.p, mean, theory, deviation)
		if diff := mean - theory; diff > 4*deviation || diff < -4*deviation {
			t.Errorf("(%d, %d) at %v: %.5f stays lost, theory says %.5f", c.k, c.m, c.p, mean, theory)
		}
		if st := r.d.Stats(); st.Corrupt+st.NoBuffer > 0 || r.rebuilt == 0 {
			t.Errorf("%+v", st)
		}
		r.d.Release()
		full(t, pool)
	}
}
