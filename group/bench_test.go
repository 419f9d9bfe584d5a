package group

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// wired is some whole members, joined by memory: what one sends, the other steps. It allocates nothing.
type wired struct {
	now     clock.Time
	m       []*wiredMember
	d       wire.Datagram
	b       buf.Buf
	scratch []byte
	sent    int // datagrams to one member
}

// wiredMember replies to each request with its payload, and handles each item at once.
type wiredMember struct {
	*Protocol
	w      *wired
	number uint64
	ends   int
	bad    int // calls that did not end well
	call   Call
}

func newWired(n int) *wired {
	w := &wired{now: 1_000_000, scratch: make([]byte, 2048)}
	for i := range n {
		m := &wiredMember{w: w}
		m.Protocol = New(Config{Self: wire.MemberID{byte(i + 1)}, Cluster: 7, Local: buf.Endpoint(i + 1), Started: uint64(i + 1), Datagram: 1472,
			MaxMessageSize: 1 << 20, Pool: buf.NewPool(DefaultBuffers+512, 1600), Rand: rand.New(rand.NewPCG(1, uint64(i))), Calls: m})
		m.HandleInbox("in", m)
		w.m = append(w.m, m)
	}
	w.pass(200 * time.Millisecond)
	return w
}

func (m *wiredMember) Ended(_ clock.Time, e *End) {
	if m.ends++; e.Why != Answered {
		m.bad++
	}
}

func (m *wiredMember) Take(now clock.Time, i *Item) (Verdict, wire.RefusalReason) {
	if i.Wanted && m.Reply(now, i.From, i.Call, i.Kind, i.Payload) != nil {
		panic("a reply has no room")
	}
	return Take, 0
}

func (m *wiredMember) Begin(now clock.Time, w *Work) {
	m.Done(now, w.Queue, w.From, w.Call, w.Attempt, wire.ResultHandled)
}

// next makes a call of m to a member.
func (m *wiredMember) next(to int, inbox string, payload []byte) *Call {
	m.number++
	m.call = Call{Number: m.number%4096 | m.number/4096<<16, To: m.w.m[to].cfg.Self, Inbox: inbox, Payload: payload}
	return &m.call
}

// pass lets time pass.
func (w *wired) pass(d time.Duration) {
	for end := w.now.Add(d); w.now < end; w.now += 100_000 {
		w.exchange()
	}
}

// exchange gives turns until nobody sends any more.
func (w *wired) exchange() {
	for again := true; again; {
		again = false
		for at, m := range w.m {
			again = w.turn(at, m) || again
		}
	}
}

func (w *wired) turn(at int, m *wiredMember) (worked bool) {
	if due, ok := m.Deadline(); ok && due <= w.now {
		m.Tick(w.now)
	}
	m.Flush(w.now)
	for s, ok := m.PollSend(w.now); ok; s, ok = m.PollSend(w.now) {
		worked = true
		to := s.To
		n := copy(w.scratch, s.Buf.Bytes())
		s.Buf.Release()
		if to != buf.Group {
			w.sent++
			w.carry(at, w.m[to-1], w.scratch[:n])
			continue
		}
		for _, o := range w.m {
			if o != m {
				w.carry(at, o, w.scratch[:n])
			}
		}
	}
	return m.Deliver(w.now) > 0 || worked
}

func (w *wired) carry(from int, to *wiredMember, b []byte) {
	w.b.Lend(b)
	if err := wire.Decode(b, &w.d); err != nil {
		panic(err)
	}
	_ = to.Step(w.now, &w.d, buf.Received{Buf: &w.b, From: buf.Endpoint(from + 1)})
}

func BenchmarkRequest(b *testing.B) {
	w := newWired(2)
	m, payload := w.m[0], make([]byte, 64)
	sent := w.sent
	b.ReportAllocs()
	for b.Loop() {
		w.now += 5000
		m.Request(w.now, m.next(1, "in", payload))
		w.exchange()
	}
	if m.ends != b.N || m.bad != 0 {
		b.Fatalf("%d calls of %d ended, %d of them badly", m.ends, b.N, m.bad)
	}
	b.ReportMetric(float64(w.sent-sent)/float64(b.N), "datagrams/op")
}

// BenchmarkSend has so many Sends under way at a time.
func BenchmarkSend(b *testing.B) {
	for _, n := range []int{1, 16} {
		b.Run(map[int]string{1: "one", 16: "sixteen"}[n], func(b *testing.B) {
			w := newWired(2)
			m, payload := w.m[0], make([]byte, 64)
			sent, calls := w.sent, 0
			b.ReportAllocs()
			for b.Loop() {
				if m.Send(w.now, m.next(1, "in", payload)); m.number%uint64(n) == 0 {
					w.now += 5000
					w.exchange()
				}
				calls++
			}
			w.exchange()
			if m.ends != calls || m.bad != 0 {
				b.Fatalf("%d calls of %d ended, %d of them badly", m.ends, calls, m.bad)
			}
			b.ReportMetric(float64(w.sent-sent)/float64(b.N), "datagrams/op")
		})
	}
}

// BenchmarkQueue hands items to three consumers, so many at a time.
func BenchmarkQueue(b *testing.B) {
	for _, n := range []int{1, 16} {
		b.Run(map[int]string{1: "one", 16: "sixteen"}[n], func(b *testing.B) {
			w := newWired(4)
			for _, m := range w.m[1:] {
				m.HandleQueue(w.now, "work", m, 4, 1000, 1<<20)
				m.Consume(w.now, "work", 4, 0)
			}
			w.pass(50 * time.Millisecond)
			m, payload := w.m[0], make([]byte, 64)
			sent, calls := w.sent, 0
			b.ReportAllocs()
			for b.Loop() {
				if m.Enqueue(w.now, m.next(0, "work", payload)); m.number%uint64(n) == 0 {
					w.now += 5000
					w.exchange()
				}
				calls++
			}
			w.exchange()
			if m.ends != calls || m.bad != 0 {
				b.Fatalf("%d calls of %d ended, %d of them badly", m.ends, calls, m.bad)
			}
			b.ReportMetric(float64(w.sent-sent)/float64(b.N), "datagrams/op")
		})
	}
}
