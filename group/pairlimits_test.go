package group

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// What goes on all the time allocates nothing, whole members and their frames included.
func TestCallsAllocateNothing(t *testing.T) {
	w := newWired(3)
	m, payload := w.m[0], make([]byte, 64)
	w.m[1].HandleQueue(w.now, "work", w.m[1], 4, 1000, 1<<20)
	w.m[1].Consume(w.now, "work", 4, 0)
	m.HandleQueue(w.now, "own", m, 4, 1000, 1<<20)
	m.Consume(w.now, "own", 4, 0)
	w.pass(200 * time.Millisecond)
	tests := []struct {
		name  string
		calls int
		call  func()
	}{
		{"a request", 1, func() { m.Request(w.now, m.next(1, "in", payload)) }},
		{"sixteen Sends", 16, func() { m.Send(w.now, m.next(1, "in", payload)) }},
		{"an item of a queue", 1, func() { m.Enqueue(w.now, m.next(0, "work", payload)) }},
		{"sixteen items", 16, func() { m.Enqueue(w.now, m.next(0, "work", payload)) }},
		{"an item for itself", 1, func() { m.Enqueue(w.now, m.next(0, "own", payload)) }},
		{"a Send to itself", 1, func() { m.Send(w.now, m.next(0, "in", payload)) }},
	}
	for _, test := range tests {
		once := func() {
			w.now += 10_000
			for range test.calls {
				test.call()
			}
			w.exchange()
		}
		for range 1000 {
			once()
		}
		before, sent := m.ends, w.sent
		if n := testing.AllocsPerRun(1000, once); n != 0 {
			t.Errorf("%s allocates %v times", test.name, n)
		}
		if n := m.ends - before; n != 1001*test.calls || m.bad != 0 {
			t.Errorf("%s: %d calls ended, %d badly", test.name, n, m.bad)
		}
		t.Logf("%s: %.2f datagrams", test.name, float64(w.sent-sent)/1001)
	}
}

// Sixteen that send at a time share datagrams: an eighth of what sixteen that send one after the other need.
func TestPairPacking(t *testing.T) {
	w := newWired(2)
	m, payload := w.m[0], make([]byte, 60)
	count := func(together int) int {
		sent := w.sent
		for i := range 1600 {
			m.Send(w.now, m.next(1, "in", payload))
			if (i+1)%together == 0 {
				w.now += 10_000
				w.exchange()
			}
		}
		return w.sent - sent
	}
	one, sixteen := count(1), count(16)
	if m.ends != 3200 || m.bad != 0 || one < 8*sixteen {
		t.Errorf("%d calls ended; %d datagrams one by one, %d in sixteens", m.ends, one, sixteen)
	}
}

// spokes is one member, the hub, with many others that see it and nobody else.
func spokes(t *testing.T, n, buffers int) *pairRig {
	r := &pairRig{t: t, now: 1}
	for i := range n + 1 {
		b := 8
		if i == 0 {
			b = buffers
		}
		m := &duoMember{pool: buf.NewPool(b+16, 1600)}
		id := wire.MemberID{byte(i), byte(i >> 8), 1}
		m.p = newPairMember(Config{Self: id, Cluster: 7, Datagram: pairDatagram, MaxMessageSize: 64 << 10,
			Pool: m.pool, PairBuffers: b, Rand: rand.New(rand.NewPCG(1, 1)), Calls: m})
		m.p.HandleInbox("", m)
		m.echo()
		r.m = append(r.m, m)
	}
	for i, m := range r.m[1:] {
		setPairEntry(r.m[0].p, &entry{id: m.p.cfg.Self, endpoint: buf.Endpoint(i + 2)})
		setPairEntry(m.p, &entry{id: r.m[0].p.cfg.Self, endpoint: 1})
	}
	return r
}

// A thousand pairs that requests went over, both ways, and that are idle send nothing, hold no buffer, have no
// deadline, and take less than 1 MB of a member.
func TestPairsIdle(t *testing.T) {
	const n = 1000
	r := spokes(t, n, 1024)
	hub := r.m[0]
	heap := func() int {
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		return int(s.HeapAlloc)
	}
	for range 4 {
		for i := range n {
			hub.p.Request(r.now, r.call(0, i+1, "", make([]byte, 100)))
			r.m[i+1].p.Request(r.now, r.call(i+1, 0, "", make([]byte, 100)))
			if i%20 == 0 {
				r.exchange()
			}
		}
		r.pass(5*time.Millisecond, time.Millisecond)
	}
	r.idle()
	if hub.ends != 4*n || hub.p.pairs.stats.PairsOpen != n {
		t.Fatalf("%d calls have ended, %d pairs", hub.ends, hub.p.pairs.stats.PairsOpen)
	}
	sent := 0
	for _, m := range r.m {
		sent += m.datagrams
	}
	r.pass(time.Second, 50*time.Millisecond)
	for _, m := range r.m {
		sent -= m.datagrams
	}
	if sent != 0 {
		t.Errorf("%d datagrams of idle pairs in a second", -sent)
	}
	clear(r.m[1:]) // the others' ends
	r.m = r.m[:1]
	used := heap()
	for _, e := range hub.p.table.order {
		hub.p.pairs.gone(r.now, e, failed)
	}
	used -= heap()
	t.Logf("%d bytes for %d pairs", used, n)
	if used > 1_000_000 || used < 100_000 {
		t.Errorf("%d idle pairs take %d bytes", n, used)
	}
	runtime.KeepAlive(r)
}

// However many others take nothing, each busy pair has some datagrams out, all together keep to the buffers that
// there are, and answers go on.
func TestPairShares(t *testing.T) {
	const total = 512
	r := newPairRig(t, 30, total)
	a := r.m[0]
	for _, m := range r.m[1:29] {
		m.deaf = true
	}
	last := r.m[29]
	a.p.HandleInbox("", a)
	a.echo()
	number := uint64(0)
	for range 40 {
		for _, m := range r.m[1:29] {
			for range 10 {
				number++
				a.p.Send(r.now, &Call{Number: number, To: m.p.cfg.Self, Payload: make([]byte, 1200)})
			}
		}
		r.exchange()
	}
	if held := a.p.pairs.held; held > total || held < total/2 {
		t.Errorf("%d buffers are held", held)
	}
	most := 0
	for i, m := range r.m[1:29] {
		out := a.p.find(m.p.cfg.Self).pair.out[wire.ChannelInboxes]
		n := int(out.next - out.oldest)
		if most = max(most, n); n < grantedWindow {
			t.Errorf("member %d has %d datagrams out", i+1, n)
		}
	}
	if most > total*2/3+1 { // twice what it leaves
		t.Errorf("one pair holds %d of %d buffers", most, total)
	}
	last.p.Request(r.now, r.call(29, 0, "", nil))
	if r.exchange(); last.ends != 1 {
		t.Error("an answer has no buffer")
	}
	for _, m := range r.m[1:29] {
		m.deaf = false
		m.p.HandleInbox("", m)
		m.take = func(*Item) (Verdict, wire.RefusalReason) { return Take, 0 }
	}
	r.pass(200*time.Millisecond, time.Millisecond)
	if a.ends != int(number) {
		t.Errorf("%d of %d Sends ended", a.ends, number)
	}
	r.idle()
}

// One sender whose messages wait for a slow in-box leaves room for what comes of others out of order.
func TestPairReceiverShares(t *testing.T) {
	const total = 256
	r := newPairRig(t, 5, total)
	b := r.m[4]
	paused := true
	b.p.HandleInbox("slow", b)
	b.take = func(*Item) (Verdict, wire.RefusalReason) {
		if paused {
			return Wait, 0
		}
		return Take, 0
	}
	number := uint64(0)
	for from := range 4 {
		for range 400 {
			number++
			r.m[from].p.Send(r.now, &Call{Number: number, To: b.p.cfg.Self, Inbox: "slow", Payload: make([]byte, 1200)})
		}
		r.pass(20*time.Millisecond, time.Millisecond)
	}
	kept := [4]int{}
	for from := range 4 {
		for _, k := range b.p.find(r.m[from].p.cfg.Self).pair.in[wire.ChannelInboxes].ring {
			if k != nil {
				kept[from]++
			}
		}
	}
	if slices.Min(kept[:]) < grantedWindow || b.p.pairs.kept > total/2 {
		t.Errorf("kept of each: %v, %d in all", kept, b.p.pairs.kept)
	}
	paused = false
	r.pass(time.Second, time.Millisecond)
	for from := range 4 {
		if r.m[from].ends != 400 {
			t.Errorf("%d of 400 Sends of member %d ended", r.m[from].ends, from)
		}
	}
	r.idle()
}

// What is not acknowledged goes again after 1 ms, doubled up to 50 ms; a late answer of a repeated datagram is no
// sample of the round trip, and the delay of an acknowledgement is taken off.
func TestPairTimeouts(t *testing.T) {
	r := newPairRig(t, 2, 64)
	a, b := r.m[0], r.m[1]
	b.p.HandleInbox("", b)
	b.echo()
	b.deaf = true
	a.p.Send(r.now, r.call(0, 1, "", nil))
	var gaps []time.Duration
	last, repeats := r.now, uint64(0)
	for range 4000 {
		r.pass(100*time.Microsecond, 100*time.Microsecond)
		if n := a.p.pairs.stats.PairRepeats; n > repeats {
			gaps = append(gaps, r.now.Sub(last))
			last, repeats = r.now, n
		}
	}
	if len(gaps) < 8 || gaps[0] > 2500*time.Microsecond || slices.Max(gaps) > 51*time.Millisecond || gaps[len(gaps)-1] < 49*time.Millisecond {
		t.Errorf("repeated after %v", gaps)
	}
	for i := 1; i < 5; i++ {
		if gaps[i] < gaps[i-1]*18/10 || gaps[i] > gaps[i-1]*22/10 {
			t.Errorf("repeated after %v, which does not double", gaps)
		}
	}
	b.deaf = false
	r.pass(60*time.Millisecond, time.Millisecond)
	rtt := &a.p.find(b.p.cfg.Self).pair.rtt
	if a.ends != 1 || rtt.Smooth != 0 {
		t.Errorf("%d calls ended; a sample of %v from a repeated datagram", a.ends, rtt.Smooth)
	}
	// A request: its acknowledgement may wait for 1 ms, and says so.
	for range 20 {
		a.p.Send(r.now, r.call(0, 1, "", nil))
		r.exchange()
		a.p.Request(r.now, r.call(0, 1, "", nil))
		r.pass(5*time.Millisecond, 100*time.Microsecond)
	}
	if rtt.Smooth > 200*time.Microsecond {
		t.Errorf("a round trip of %v, where datagrams take no time", rtt.Smooth)
	}
	r.idle()
}

// A gap is mended by what lies behind it, long before the time-out.
func TestPairGap(t *testing.T) {
	r := newPairRig(t, 2, 64)
	a, b := r.m[0], r.m[1]
	b.p.HandleInbox("", b)
	b.echo()
	for range 10 {
		a.p.Send(r.now, r.call(0, 1, "", nil))
		r.exchange()
	}
	rtt := a.p.find(b.p.cfg.Self).pair.rtt
	rtt.Smooth = 10 * time.Millisecond // the time-out is far
	a.p.find(b.p.cfg.Self).pair.rtt = rtt
	b.deaf = true
	a.p.Send(r.now, r.call(0, 1, "", nil))
	r.exchange()
	b.deaf = false
	r.now += 11_000_000 // more than a round trip
	a.p.Send(r.now, r.call(0, 1, "", nil))
	r.exchange()
	r.pass(3*time.Millisecond, 100*time.Microsecond)
	if a.ends != 12 || a.p.pairs.stats.PairRepeats == 0 {
		t.Errorf("%d of 12 Sends ended, %d repeats", a.ends, a.p.pairs.stats.PairRepeats)
	}
	r.idle()
}

// Large messages share the memory in which they are put together: half of it is for answers alone, and what gets no
// part for a second gives way.
func TestPairLargeMessages(t *testing.T) {
	r := newPairRig(t, 6, 1024)
	b := r.m[5]
	b.p.HandleInbox("", b)
	paused := true
	b.take = func(*Item) (Verdict, wire.RefusalReason) {
		if paused {
			return Wait, 0
		}
		return Take, 0
	}
	large := make([]byte, 256<<10)
	for from := range 4 {
		r.m[from].p.Send(r.now, r.call(from, 5, "", large))
		r.pass(20*time.Millisecond, time.Millisecond)
	}
	x := b.p.pairs
	if x.parts.out != 2*x.parts.size {
		t.Errorf("in-boxes take %d bytes of %d", x.parts.out, maxParts*x.parts.size)
	}
	// A large reply comes though.
	r.m[4].p.HandleInbox("", r.m[4])
	r.m[4].take = func(i *Item) (Verdict, wire.RefusalReason) {
		r.m[4].p.ReplyCall(r.now, r.call(4, 5, "", large), i.Call)
		return Take, 0
	}
	b.p.Request(r.now, r.call(5, 4, "", nil))
	if r.pass(50*time.Millisecond, time.Millisecond); b.ends != 1 {
		t.Error("a large reply waits for memory of in-boxes")
	}
	paused = false
	r.pass(200*time.Millisecond, time.Millisecond)
	for from := range 4 {
		if r.m[from].ends != 1 {
			t.Errorf("the message of member %d has not arrived", from)
		}
	}
	// Two that stop in the middle hold the memory; after a second they give way.
	for from := range 2 {
		p := wire.Pair{To: b.p.cfg.Self, Session: 9, Channel: wire.ChannelInboxes, Number: 1, Oldest: 1, Known: 1, FirstItem: 1}
		r.forge(5, from, func(d []byte) []byte {
			return pairFrame(d, p, wire.Item{Kind: wire.ItemSend, Fragment: true, Size: 256 << 10, Payload: make([]byte, 1000)})
		})
	}
	r.m[2].p.Send(r.now, r.call(2, 5, "", large))
	if r.pass(500*time.Millisecond, time.Millisecond); r.m[2].ends != 1 {
		t.Error("it did not wait for memory")
	}
	if r.pass(700*time.Millisecond, time.Millisecond); r.m[2].ends != 2 {
		t.Error("unfinished messages did not give way")
	}
	r.pass(2*time.Second, 10*time.Millisecond)
	if x.parts.out != 0 {
		t.Errorf("%d bytes of parts are held", x.parts.out)
	}
}

// Pairs keep to MaxRate, and what they send waits its turn.
func TestPairRate(t *testing.T) {
	r := newPairRig(t, 2, 512)
	a, b := r.m[0], r.m[1]
	b.p.HandleInbox("", b)
	b.echo()
	a.p.cfg.Pacer = core.NewPacer(10_000_000, pairDatagram)
	for range 500 {
		a.p.Send(r.now, r.call(0, 1, "", make([]byte, 1200)))
	}
	from := r.now
	for a.ends < 500 && r.now.Sub(from) < 2*time.Second {
		r.pass(time.Millisecond, 100*time.Microsecond)
	}
	took := r.now.Sub(from)
	if bits := float64(a.p.pairs.stats.PairBytes) * 8; a.ends != 500 || bits/took.Seconds() > 10.5e6 || bits/took.Seconds() < 8e6 {
		t.Errorf("%d Sends ended in %v: %.0f bit/s", a.ends, took, bits/took.Seconds())
	}
	a.p.cfg.Pacer = nil
	r.idle()
}

// A call that is given up ends at once. What of it is not packed is never sent; an item that no handler has begun is
// dropped at its consumer; one that was begun is not handed out again.
func TestPairCancel(t *testing.T) {
	r := newPairRig(t, 2, 64)
	a, b := r.m[0], r.m[1]
	var begun []Work
	b.begin = func(w *Work) { begun = append(begun, *w) }
	b.p.HandleQueue(r.now, "q", b, 1, 10, 1<<20)
	b.p.Consume(r.now, "q", 1, 0)
	b.p.HandleInbox("", b)
	took := 0
	b.take = func(*Item) (Verdict, wire.RefusalReason) { took++; return Take, 0 }
	r.announce()
	var ends []End
	a.ended = func(e *End) { ends = append(ends, *e) }
	var calls []*Call
	for range 2 {
		calls = append(calls, r.call(0, 0, "q", nil))
		a.p.Enqueue(r.now, calls[len(calls)-1])
	}
	r.exchange()
	for _, c := range calls { // the first was begun, the second one waits
		a.p.Cancel(r.now, c.Number)
	}
	r.exchange()
	if len(ends) != 2 || ends[0].Why != Cancelled || !ends[0].Unknown || len(begun) != 1 || len(b.p.pairs.works["q"].items) != 0 {
		t.Fatalf("ends %+v, %d begun, %d wait", ends, len(begun), len(b.p.pairs.works["q"].items))
	}
	b.p.Done(r.now, "q", begun[0].From, begun[0].Call, begun[0].Attempt, wire.ResultError)
	r.pass(50*time.Millisecond, time.Millisecond)
	if len(begun) != 1 || len(ends) != 2 || a.p.pairs.stats.ItemsWithdrawn != 2 {
		t.Errorf("%d begun, %d ends, %+v", len(begun), len(ends), a.p.pairs.stats)
	}
	// Nobody consumes: given up, it says so.
	b.p.CloseQueue(r.now, "q")
	b.p.Consume(r.now, "q", 0, 0)
	r.announce()
	c := r.call(0, 0, "q", nil)
	a.p.Enqueue(r.now, c)
	r.exchange()
	a.p.Cancel(r.now, c.Number)
	if e := ends[len(ends)-1]; len(ends) != 3 || e.Why != Cancelled || !e.NoConsumer || e.Unknown {
		t.Errorf("without consumers: %+v", e)
	}
	// A Send that waits behind a full window is never sent.
	b.deaf = true
	for range 100 {
		a.p.Send(r.now, r.call(0, 1, "", make([]byte, 1200)))
	}
	c = r.call(0, 1, "", []byte("never"))
	a.p.Send(r.now, c)
	r.exchange()
	a.p.Cancel(r.now, c.Number)
	if e := ends[len(ends)-1]; e.Why != Cancelled || e.Unknown {
		t.Errorf("a Send that was not sent: %+v", e)
	}
	a.p.Cancel(r.now, c.Number) // again
	b.deaf = false
	r.pass(200*time.Millisecond, time.Millisecond)
	if took != 100 || len(ends) != 104 {
		t.Errorf("%d were taken, %d ended", took, len(ends))
	}
	r.idle()
}

// However a member stops, each of its calls ends once.
func TestPairStop(t *testing.T) {
	for _, quiet := range []bool{false, true} {
		r := newPairRig(t, 3, 64)
		a, b := r.m[0], r.m[1]
		b.p.HandleInbox("", b)
		b.take = func(*Item) (Verdict, wire.RefusalReason) { return Take, 0 } // and no reply
		a.begin = func(*Work) {}
		a.p.HandleQueue(r.now, "own", a, 1, 10, 1<<20)
		a.p.Consume(r.now, "own", 1, 0)
		r.announce()
		var ends []End
		a.ended = func(e *End) { ends = append(ends, *e) }
		a.p.Request(r.now, r.call(0, 1, "", nil))
		a.p.Enqueue(r.now, r.call(0, 0, "nobody", nil))
		a.p.Enqueue(r.now, r.call(0, 0, "own", nil))
		a.p.RequestQueue(r.now, r.call(0, 0, "own", nil))
		r.exchange()
		r.m[2].deaf = true
		a.p.Send(r.now, r.call(0, 2, "", nil))
		a.p.Request(r.now, r.call(0, 2, "", make([]byte, 5000)))
		r.exchange()
		calls := 6
		if quiet {
			for number := range a.number + 1 {
				a.p.Cancel(r.now, number)
			}
			r.m[2].deaf = false
			for range 100 {
				r.pass(time.Millisecond, time.Millisecond)
			}
			if !a.p.Quiet() {
				t.Error("it is not quiet")
			}
		}
		a.p.Close(r.now)
		if len(ends) != calls {
			t.Errorf("%d of %d calls ended: %+v", len(ends), calls, ends)
		}
		for _, e := range ends {
			if want := map[bool]Why{false: Closed, true: Cancelled}[quiet]; e.Why != want {
				t.Errorf("%+v, want %d", e, want)
			}
		}
		for i, call := range []func(c *Call){
			func(c *Call) { a.p.Send(r.now, c) }, func(c *Call) { a.p.Request(r.now, c) }, func(c *Call) { a.p.Enqueue(r.now, c) },
			func(c *Call) { a.p.ReplyCall(r.now, c, 1) }} {
			ends = nil
			if call(r.call(0, 1, "own", nil)); len(ends) != 1 || ends[0].Why != Closed {
				t.Errorf("call %d after the end: %+v", i, ends)
			}
		}
		if x := a.p.pairs; x.held != 0 || x.deadline() != 0 {
			t.Errorf("%d buffers are held, a deadline at %d", x.held, x.deadline())
		}
		a.p.Release()
		a.p.Release()
		if a.pool.Out() > a.p.outNext {
			t.Errorf("%d buffers are out", a.pool.Out())
		}
	}
}

// Several senders get equal shares of consumers, and a consumer's window follows from its service time.
func TestQueueFairness(t *testing.T) {
	const senders, consumers = 4, 3
	r := newPairRig(t, senders+consumers, 512)
	handled := map[wire.MemberID]int{}
	shares := map[*duoMember]int{}
	var running []func()
	for _, m := range r.m[senders:] {
		m.begin = func(w *Work) {
			from, call, attempt := w.From, w.Call, w.Attempt
			shares[m]++
			running = append(running, func() {
				handled[from]++
				m.p.Done(r.now, "q", from, call, attempt, wire.ResultHandled)
			})
		}
		m.p.HandleQueue(r.now, "q", m, 2, 100, 1<<20)
		m.p.Consume(r.now, "q", 2, 0)
	}
	r.announce()
	for range 200 {
		for s := range senders {
			r.m[s].p.Enqueue(r.now, r.call(s, s, "q", []byte("work")))
		}
	}
	total := 0
	for total < 400 {
		r.pass(time.Millisecond, time.Millisecond)
		now := running
		running = nil
		for _, done := range now {
			done()
			total++
		}
	}
	for s := range senders {
		if n := handled[r.m[s].p.cfg.Self]; n < total/senders/2 {
			t.Errorf("sender %d: %d of %d", s, n, total)
		}
	}
	for _, m := range r.m[senders:] {
		if shares[m] < total/consumers/2 {
			t.Errorf("a consumer has %d of %d", shares[m], total)
		}
	}
}

func TestQueueWindow(t *testing.T) {
	e := &entry{roundTrip: 100 * time.Microsecond}
	tests := []struct {
		name string
		c    consumer
		want int
	}{
		{"one handler of which nothing is known", consumer{e: e, handlers: 1}, 2},
		{"three handlers", consumer{e: e, handlers: 3}, 6},
		{"a handler as slow as the round trip", consumer{e: e, handlers: 1, service: 100 * time.Microsecond}, 3},
		{"a fast handler", consumer{e: e, handlers: 1, service: 10 * time.Microsecond}, 12},
		{"a handler without service time", consumer{e: e, handlers: 1, service: 1}, 64},
		{"many handlers", consumer{e: e, handlers: 64}, 64},
		{"this member", consumer{handlers: 2, service: time.Microsecond}, 4 + int(firstTurn/time.Microsecond)},
		{"one that has refused", consumer{e: e, handlers: 8, refused: time.Millisecond}, 1},
	}
	for _, test := range tests {
		if got := test.c.window(); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}

// Replies and results share a channel: a reply comes before its result, and neither is lost beside many others.
func TestRepliesAndResults(t *testing.T) {
	r := newPairRig(t, 2, 256)
	a, b := r.m[0], r.m[1]
	b.p.HandleInbox("in", b)
	b.echo()
	b.begin = func(w *Work) {
		if w.Wanted {
			b.p.ReplyCall(r.now, r.call(1, 0, "", bytes.Repeat([]byte("r"), 3000)), w.Call)
		}
		b.p.Done(r.now, "q", w.From, w.Call, w.Attempt, wire.ResultHandled)
	}
	b.p.HandleQueue(r.now, "q", b, 4, 100, 1<<20)
	b.p.Consume(r.now, "q", 4, 0)
	r.announce()
	var by [8]int
	a.ended = func(e *End) { by[e.Why]++ }
	for range 100 {
		a.p.Request(r.now, r.call(0, 1, "in", []byte("x")))
		a.p.RequestQueue(r.now, r.call(0, 0, "q", []byte("y")))
		a.p.Enqueue(r.now, r.call(0, 0, "q", []byte("z")))
		r.exchange()
	}
	r.pass(50*time.Millisecond, time.Millisecond)
	if by[Answered] != 300 {
		t.Errorf("ends: %v", by)
	}
	r.idle()
}

// A consumer that has refused is tried with one item, and is handed more as soon as it takes that, though no handler
// is done.
func TestQueueAfterRefusals(t *testing.T) {
	r := newPairRig(t, 2, 256)
	a, b := r.m[0], r.m[1]
	begun := 0
	b.begin = func(*Work) { begun++ }
	b.p.Consume(r.now, "q", 4, 0) // and no handler yet
	r.announce()
	var last uint64
	for range 4 {
		c := r.call(0, 0, "q", nil)
		last = c.Number
		a.p.Enqueue(r.now, c)
	}
	r.pass(50*time.Millisecond, time.Millisecond)
	if n := a.p.pairs.stats.ItemsRefused; n < 5 || n > 20 {
		t.Errorf("%d items were refused in 50 ms", n)
	}
	// Given up now, it says that nobody takes.
	var end *End
	a.ended = func(e *End) {
		copied := *e
		end = &copied
	}
	a.p.Cancel(r.now, last)
	if end == nil || !end.NoConsumer || end.Unknown {
		t.Errorf("the end of a call that every consumer refused: %+v", end)
	}
	b.p.HandleQueue(r.now, "q", b, 4, 10, 1<<20)
	r.pass(20*time.Millisecond, time.Millisecond)
	if begun != 3 {
		t.Errorf("%d of 3 items were begun", begun)
	}
}

// What a driver still has is not repeated: it could not be refreshed, and with an incarnation from before the other
// side drops it, however often it comes. When the driver gives it back it goes again, up to date.
func TestPairRepeatWaitsForDriver(t *testing.T) {
	r := newPairRig(t, 2, 64)
	m := r.m[0]
	x := m.p.pairs
	m.p.Send(r.now, r.call(0, 1, "in", []byte("text")))
	x.flush(r.now)
	first, ok := x.poll(r.now)
	if !ok {
		t.Fatal("nothing is sent")
	}
	m.p.incarnation++
	later := func() (s buf.Send, ok bool) {
		for range 200 {
			r.now = r.now.Add(time.Millisecond)
			x.tick(r.now)
			x.flush(r.now)
			if s, ok = x.poll(r.now); ok {
				return s, true
			}
		}
		return s, false
	}
	if _, ok := later(); ok {
		t.Fatal("it is sent again while the driver has it")
	}
	first.Buf.Release()
	s, ok := later()
	if !ok {
		t.Fatal("it is not sent again")
	}
	if err := wire.Decode(s.Buf.Bytes(), &r.d); err != nil || r.d.Incarnation != m.p.incarnation {
		t.Errorf("it has incarnation %d, and the member %d; %v", r.d.Incarnation, m.p.incarnation, err)
	}
	s.Buf.Release()
}
