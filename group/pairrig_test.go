package group

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// pairRig is some members that see each other, and a network that loses nothing and takes no time.
type pairRig struct {
	t   testing.TB
	now clock.Time
	m   []*duoMember
	d   wire.Datagram
	b   buf.Buf
}

// duoMember is one member; its functions may be nil.
type duoMember struct {
	p         *Protocol
	pool      *buf.Pool
	take      func(i *Item) (Verdict, wire.RefusalReason)
	begin     func(w *Work)
	ended     func(e *End)
	ends      int
	number    uint64
	datagrams int
	deaf      bool // what is sent to it is lost
}

func (m *duoMember) Ended(_ clock.Time, e *End) {
	m.ends++
	if m.ended != nil {
		m.ended(e)
	}
}

func (m *duoMember) Take(_ clock.Time, i *Item) (Verdict, wire.RefusalReason) { return m.take(i) }

func (m *duoMember) Begin(_ clock.Time, w *Work) { m.begin(w) }

func newPairRig(t testing.TB, members, buffers int) *pairRig {
	r := &pairRig{t: t, now: 1}
	for i := range members {
		m := &duoMember{pool: buf.NewPool(buffers+16, 1600)}
		m.p = newPairMember(Config{Self: wire.MemberID{byte(i + 1)}, Cluster: 7, Datagram: pairDatagram, MaxMessageSize: 256 << 10,
			Pool: m.pool, PairBuffers: buffers, Rand: rand.New(rand.NewPCG(1, 1)), Calls: m})
		r.m = append(r.m, m)
	}
	for i, a := range r.m {
		for j, b := range r.m {
			if i != j {
				setPairEntry(a.p, &entry{id: b.p.cfg.Self, endpoint: buf.Endpoint(j + 1)})
			}
		}
	}
	return r
}

// announce has all take each other's records.
func (r *pairRig) announce() {
	for i, a := range r.m {
		for j, b := range r.m {
			if i != j {
				b.p.settle(r.now)
				e := a.p.find(b.p.cfg.Self)
				setPairRecord(a.p, e, b.p.own.record)
				e.agreed = r.now
			}
		}
	}
}

func (r *pairRig) call(from int, to int, inbox string, payload []byte) *Call {
	m := r.m[from]
	m.number++
	return &Call{Number: m.number%1024 | m.number/1024<<16, To: r.m[to].p.cfg.Self, Inbox: inbox, Payload: payload}
}

// exchange gives all turns until nothing is sent any more.
func (r *pairRig) exchange() {
	for work, rounds := true, 0; work; rounds++ {
		if work = false; rounds > 100_000 {
			r.t.Fatal("it does not end")
		}
		for _, m := range r.m {
			x := m.p.pairs
			m.p.observe(r.now)
			m.p.tickClaims(r.now)
			x.tick(r.now)
			x.flush(r.now)
			for {
				s, ok := x.pollControl(r.now)
				if !ok {
					if s, ok = x.poll(r.now); !ok {
						break
					}
				}
				work = true
				m.datagrams++
				r.carry(m, s)
			}
			if x.deliver(r.now) > 0 {
				work = true
			}
		}
	}
}

func (r *pairRig) carry(from *duoMember, s buf.Send) {
	to := r.m[s.To-1]
	if !to.deaf {
		r.b.Lend(s.Buf.Bytes())
		if err := wire.Decode(s.Buf.Bytes(), &r.d); err != nil {
			r.t.Fatal(err)
		}
		frames := r.d.Frames()
		for i := range frames {
			if e := to.p.find(from.p.cfg.Self); e != nil {
				to.p.pairs.step(r.now, &r.d, &frames[i], buf.Received{Buf: &r.b}, e)
			}
		}
	}
	s.Buf.Release()
}

// pass lets time pass, with a turn of all in each step.
func (r *pairRig) pass(d, step time.Duration) {
	for end := r.now.Add(d); r.now < end; {
		r.now = r.now.Add(step)
		r.exchange()
	}
}

// idle demands that nothing is left to do.
func (r *pairRig) idle() {
	r.t.Helper()
	r.pass(3*time.Second, time.Millisecond)
	for i, m := range r.m {
		x := m.p.pairs
		if at := x.deadline(); at != 0 || x.held != 0 || m.pool.Out() != 0 || x.stats.CallsOpen != 0 || x.parts.out != 0 {
			r.t.Errorf("member %d is not idle: deadline %d, %d buffers, %d out of the pool, %d calls, %d bytes of parts", i, at, x.held, m.pool.Out(), x.stats.CallsOpen, x.parts.out)
		}
	}
}

// echo has a member reply to each request with its payload.
func (m *duoMember) echo() {
	m.take = func(i *Item) (Verdict, wire.RefusalReason) {
		if i.Wanted {
			if err := m.p.Reply(m.p.last, i.From, i.Call, i.Kind, i.Payload); err != nil {
				panic(err)
			}
		}
		return Take, 0
	}
}

// A request costs two datagrams, and allocates nothing.
func TestPairRequest(t *testing.T) {
	r := newPairRig(t, 2, 256)
	a, b := r.m[0], r.m[1]
	b.p.HandleInbox("in", b)
	b.echo()
	payload, good := make([]byte, 100), 0
	a.ended = func(e *End) {
		if e.Why == Answered && bytes.Equal(e.Payload, payload) {
			good++
		}
	}
	var c Call
	once := func() {
		r.now += 10_000
		a.number++
		c = Call{Number: a.number%1024 | a.number/1024<<16, To: b.p.cfg.Self, Inbox: "in", Payload: payload}
		a.p.Request(r.now, &c)
		r.exchange()
	}
	for range 100 {
		once()
	}
	before := a.datagrams + b.datagrams
	if n := testing.AllocsPerRun(1000, once); n != 0 {
		t.Errorf("a request allocates %v times", n)
	}
	if n := float64(a.datagrams+b.datagrams-before) / 1001; n > 2.02 {
		t.Errorf("%v datagrams for each request", n)
	}
	if good != a.ends || good < 1101 {
		t.Errorf("%d of %d ended well", good, a.ends)
	}
	r.idle()
}

// Payloads of all lengths arrive, both ways, whole or in parts.
func TestPairSizes(t *testing.T) {
	r := newPairRig(t, 2, 1024)
	a, b := r.m[0], r.m[1]
	b.p.HandleInbox("sizes", b)
	b.take = func(i *Item) (Verdict, wire.RefusalReason) {
		c := r.call(1, 0, "", bytes.Clone(i.Payload))
		b.p.ReplyCall(r.now, c, i.Call)
		return Take, 0
	}
	sizes := []int{0, 1, 63, 64, 127, 128, 20_000, 100_000, 256 << 10}
	for n := 1150; n < 1480; n++ {
		sizes = append(sizes, n, 2*n)
	}
	for _, n := range sizes {
		payload := make([]byte, n)
		for i := range payload {
			payload[i] = byte(i * 31)
		}
		ok := false
		a.ended = func(e *End) { ok = e.Why == Answered && bytes.Equal(e.Payload, payload) }
		a.p.Request(r.now, r.call(0, 1, "sizes", payload))
		r.exchange()
		r.pass(5*time.Millisecond, time.Millisecond)
		if !ok {
			t.Fatalf("no reply of %d bytes", n)
		}
	}
	why := Why(0)
	a.ended = func(e *End) { why = e.Why }
	if a.p.Send(r.now, r.call(0, 1, "sizes", make([]byte, 256<<10+1))); why != TooLarge {
		t.Errorf("one byte too many: %d", why)
	}
	r.idle()
}

// A paused in-box holds up its senders, however many there are, and nobody else: neither replies nor what
// goes to other members.
func TestPairPausedInbox(t *testing.T) {
	r := newPairRig(t, 3, 256)
	a, b, c := r.m[0], r.m[1], r.m[2]
	paused := true
	b.p.HandleInbox("", b)
	b.take = func(*Item) (Verdict, wire.RefusalReason) {
		if paused {
			return Wait, 0
		}
		return Take, 0
	}
	c.p.HandleInbox("", c)
	c.echo()
	a.p.HandleInbox("", a)
	a.echo()
	const many = 5000
	payload := make([]byte, 200)
	for range many {
		m := r.call(0, 1, "", payload)
		m.Number = a.number // more than 1024 are open
		a.p.Send(r.now, m)
	}
	r.pass(20*time.Millisecond, time.Millisecond)
	if a.ends != 0 {
		t.Fatalf("%d Sends ended", a.ends)
	}
	for range 10 {
		a.number++
		a.p.Request(r.now, &Call{Number: a.number, To: c.p.cfg.Self, Payload: payload})
		r.exchange()
	}
	if a.ends != 10 {
		t.Errorf("%d of 10 requests to another member ended", a.ends)
	}
	for range 10 {
		b.p.Request(r.now, r.call(1, 0, "", payload))
		r.exchange()
	}
	if b.ends != 10 {
		t.Errorf("%d of 10 requests of the member with the paused in-box ended", b.ends)
	}
	if x := b.p.pairs; x.held > 128+8 {
		t.Errorf("%d buffers are held for what waits", x.held)
	}
	paused = false
	r.pass(100*time.Millisecond, 100*time.Microsecond)
	if a.ends != many+10 {
		t.Errorf("%d of %d Sends ended", a.ends-10, many)
	}
	r.idle()
}

// Refusals of any number reach their calls.
func TestPairRefusals(t *testing.T) {
	r := newPairRig(t, 2, 256)
	a, b := r.m[0], r.m[1]
	b.p.HandleInbox("some", b)
	n := 0
	b.take = func(*Item) (Verdict, wire.RefusalReason) {
		if n++; n%3 == 0 {
			return Refuse, wire.RefusedNoRoom
		}
		return Take, 0
	}
	var ended [8]int
	a.ended = func(e *End) {
		if e.Why == Refused {
			ended[e.Reason]++
		} else if e.Why == Answered {
			ended[0]++
		}
	}
	for range 300 {
		a.p.Send(r.now, r.call(0, 1, "some", nil))
		a.p.Send(r.now, r.call(0, 1, "none", nil))
	}
	r.pass(50*time.Millisecond, time.Millisecond)
	if ended[0] != 200 || ended[wire.RefusedNoRoom] != 100 || ended[wire.RefusedNoHandler] != 300 {
		t.Errorf("ends by reason: %v", ended)
	}
	r.idle()
}

// A member sends to itself without a datagram, and by the same rules.
func TestPairLoop(t *testing.T) {
	r := newPairRig(t, 1, 64)
	a := r.m[0]
	a.p.HandleInbox("", a)
	a.echo()
	var why []Why
	a.ended = func(e *End) { why = append(why, e.Why) }
	a.p.Send(r.now, r.call(0, 0, "", []byte("x")))
	a.p.Request(r.now, r.call(0, 0, "", []byte("y")))
	a.p.Send(r.now, r.call(0, 0, "nobody", nil))
	r.exchange()
	if len(why) != 3 || why[0] != Answered || why[1] != Answered || why[2] != Refused {
		t.Errorf("%v", why)
	}
	held, waits := uint64(0), true
	a.take = func(i *Item) (Verdict, wire.RefusalReason) {
		if waits {
			return Wait, 0
		}
		held = i.Call
		return Take, 0
	}
	why = nil
	a.p.Request(r.now, r.call(0, 0, "", nil))
	if r.exchange(); len(why) != 0 || held != 0 {
		t.Error("a paused in-box took something")
	}
	waits = false
	r.exchange()
	if err := a.p.Reply(r.now, a.p.cfg.Self, held, 0, nil); err != nil || len(why) != 1 {
		t.Errorf("reply: %v, %v", err, why)
	}
	if err := a.p.Reply(r.now, a.p.cfg.Self, held, 0, nil); err != ErrNoReply {
		t.Errorf("a second reply: %v", err)
	}
	if a.datagrams != 0 {
		t.Errorf("%d datagrams", a.datagrams)
	}
	r.idle()
}

// Equal consumers get equal shares, and one that goes has its items handed out anew, marked.
func TestQueueShares(t *testing.T) {
	r := newPairRig(t, 4, 512)
	a := r.m[0]
	type begun struct {
		m *duoMember
		Work
	}
	var running []begun
	shares := [4]int{}
	marked := 0
	for i, m := range r.m[1:] {
		m.begin = func(w *Work) {
			running = append(running, begun{m, *w})
			if shares[i]++; w.Redelivered {
				marked++
			}
		}
		if err := m.p.HandleQueue(r.now, "q", m, 1, 100, 1<<20); err != nil {
			t.Fatal(err)
		}
		m.p.Consume(r.now, "q", 1, 0)
	}
	r.announce()
	for range 300 {
		a.p.Enqueue(r.now, r.call(0, 0, "q", []byte("work")))
	}
	finish := func(until int) {
		for range 10000 {
			r.pass(100*time.Microsecond, 100*time.Microsecond)
			now := running
			running = nil
			for _, w := range now {
				if w.m.p.find(a.p.cfg.Self) != nil && !w.m.deaf {
					w.m.p.Done(r.now, "q", w.From, w.Call, w.Attempt, wire.ResultHandled)
				}
			}
			if a.ends >= until {
				return
			}
		}
		t.Fatalf("%d items have ended", a.ends)
	}
	finish(150)
	for i := range 3 {
		if shares[i] < 25 {
			t.Errorf("shares: %v", shares)
		}
	}
	gone := r.m[3]
	gone.deaf = true
	e := a.p.find(gone.p.cfg.Self)
	a.p.pairs.gone(r.now, e, failed)
	dropPairEntry(a.p, e)
	finish(300)
	if marked == 0 || marked > 2 {
		t.Errorf("%d items were handed out anew", marked)
	}
	if s := a.p.pairs.stats; s.Handled != 300 || s.Redelivered != uint64(marked) {
		t.Errorf("%d were handled, %d redelivered", s.Handled, s.Redelivered)
	}
	gone.p.pairs.gone(r.now, gone.p.find(a.p.cfg.Self), failed)
	r.m = r.m[:3]
	r.idle()
}

// Of exclusive consumers one takes at a time; the next one takes over when it is gone.
func TestQueueExclusive(t *testing.T) {
	r := newPairRig(t, 3, 256)
	a := r.m[0]
	var by []int
	for i, m := range r.m[1:] {
		m.begin = func(w *Work) {
			by = append(by, i+1)
			m.p.Done(r.now, "q", w.From, w.Call, w.Attempt, wire.ResultHandled)
		}
		m.p.HandleQueue(r.now, "q", m, 1, 100, 1<<20)
		m.p.Consume(r.now, "q", 1, m.p.NextRank("q"))
		r.announce()
		r.pass(100*time.Millisecond, time.Millisecond) // its claim
		r.announce()
		r.exchange()
	}
	for range 10 {
		a.p.Enqueue(r.now, r.call(0, 0, "q", nil))
	}
	r.pass(20*time.Millisecond, time.Millisecond)
	if len(by) != 10 || bytes.Contains([]byte{byte(by[0]), byte(by[9])}, []byte{2}) {
		t.Fatalf("begun by %v", by)
	}
	r.m[1].p.CloseQueue(r.now, "q")
	r.m[1].p.Consume(r.now, "q", 0, 0)
	r.announce()
	for range 10 {
		a.p.Enqueue(r.now, r.call(0, 0, "q", nil))
	}
	r.pass(20*time.Millisecond, time.Millisecond)
	if len(by) != 20 || by[10] != 2 || by[19] != 2 {
		t.Fatalf("begun by %v", by)
	}
	r.idle()
}

// A member that has lost what it knew of a session, the highest one included, declares it dead, and the
// caller gets an answer.
func TestPairLostState(t *testing.T) {
	r := newPairRig(t, 2, 256)
	a, b := r.m[0], r.m[1]
	b.p.HandleInbox("", b)
	b.echo()
	var ends []End
	a.ended = func(e *End) { ends = append(ends, *e) }
	a.p.Send(r.now, r.call(0, 1, "", nil))
	r.exchange()
	e := b.p.find(a.p.cfg.Self)
	b.p.pairs.gone(r.now, e, failed)
	e.lastSession = 0 // as after the tombstone's hour
	a.p.Send(r.now, r.call(0, 1, "", nil))
	r.pass(10*time.Millisecond, time.Millisecond)
	a.p.Send(r.now, r.call(0, 1, "", nil))
	r.pass(10*time.Millisecond, time.Millisecond)
	if len(ends) != 3 || ends[0].Why != Answered || ends[1].Why != Gone || !ends[1].Unknown || ends[2].Why != Answered {
		t.Errorf("ends: %+v", ends)
	}
	r.idle()
}

// Two that become exclusive consumers at the same time, or one that does not know the one at work yet, do not
// handle at a time: a claim that would displace another consumer goes behind it.
func TestQueueClaims(t *testing.T) {
	r := newPairRig(t, 3, 256)
	a := r.m[0]
	var inside, most, handled int
	var running []func()
	for _, m := range r.m {
		m.begin = func(w *Work) {
			inside++
			most = max(most, inside)
			from, call, attempt := w.From, w.Call, w.Attempt
			running = append(running, func() {
				inside--
				handled++
				m.p.Done(r.now, "q", from, call, attempt, wire.ResultHandled)
			})
		}
	}
	consume := func(m *duoMember) {
		m.p.HandleQueue(r.now, "q", m, 1, 100, 1<<20)
		m.p.Consume(r.now, "q", 1, m.p.NextRank("q"))
	}
	work := func(d time.Duration, each func()) {
		for end := r.now.Add(d); r.now < end; {
			a.p.Enqueue(r.now, r.call(0, 0, "q", nil))
			r.pass(3*time.Millisecond, time.Millisecond)
			for _, done := range running {
				done()
			}
			running = nil
			if each != nil {
				each()
			}
		}
	}
	consume(r.m[2]) // its record does not come
	r.pass(100*time.Millisecond, time.Millisecond)
	for _, e := range r.m[2].p.table.order {
		e.agreed = r.now // before the records of the others change
	}
	r.pass(100*time.Millisecond, time.Millisecond)
	r.m[2].p.settle(r.now)
	setPairRecord(a.p, a.p.find(r.m[2].p.cfg.Self), r.m[2].p.own.record)
	work(100*time.Millisecond, nil)
	if handled == 0 {
		t.Fatal("nothing is handled")
	}
	consume(r.m[1]) // with the same rank and a lower id
	if r.m[1].p.own.queues[0].rank != 1 {
		t.Fatal("it has the other one's record")
	}
	r.announce()
	work(300*time.Millisecond, r.announce)
	if rank := r.m[1].p.own.queues[0].rank; rank != 2 || most != 1 {
		t.Errorf("the newcomer has rank %d, %d were at work at a time", rank, most)
	}
	before := handled
	r.m[2].p.CloseQueue(r.now, "q")
	r.m[2].p.Consume(r.now, "q", 0, 0)
	r.announce()
	work(100*time.Millisecond, r.announce)
	if handled == before || most != 1 {
		t.Errorf("%d were handled after the first one ended, %d at a time", handled-before, most)
	}
	consume(r.m[0]) // both at the same time
	consume(r.m[2])
	r.m[1].p.CloseQueue(r.now, "q")
	r.m[1].p.Consume(r.now, "q", 0, 0)
	r.announce()
	before = handled
	work(300*time.Millisecond, r.announce)
	if handled == before || most != 1 {
		t.Errorf("%d were handled by two that came at a time, %d at a time", handled-before, most)
	}
	for range 200 {
		r.pass(time.Millisecond, time.Millisecond)
		for _, done := range running {
			done()
		}
		running = nil
	}
	r.idle()
}
