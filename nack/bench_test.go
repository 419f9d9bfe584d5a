package nack

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// loop is one sender and one receiver without a network: what one sends, the other steps.
type loop struct {
	now      clock.Time
	send     *Protocol
	recv     *Protocol
	s        *Sender
	d        wire.Datagram
	b        buf.Buf
	lose     uint64 // every so-manieth data datagram is lost once; 0: none
	n        uint64
	messages int
	scratch  []byte
}

type countingSink struct{ l *loop }

func (c countingSink) Deliver(*core.Delivery) bool { c.l.messages++; return true }
func (c countingSink) Lost(l *core.Loss) {
	if l.Stream.Protocol() != wire.FEC {
		panic("lost")
	}
}

func newLoop(lose uint64) *loop { return newLoopOf(testStream, lose) }

func newLoopOf(id wire.StreamID, lose uint64) *loop {
	extra := 0
	if coded(id.Protocol()) {
		extra = FECBuffers(FEC{}, 1)
	}
	l := &loop{now: 1, lose: lose, scratch: make([]byte, 2048)}
	mk := func(id byte) *Protocol {
		return New(Config{
			Self: wire.MemberID{id}, Cluster: testCluster, Datagram: 1472, Window: 1 << 20, Room: 8 << 20,
			Pool: buf.NewPool(Buffers(1<<20, 1472, 1, 1)+extra, 1472+Headroom), Rand: rand.New(rand.NewPCG(1, uint64(id))),
			Sink: countingSink{l},
		})
	}
	l.send, l.recv = mk(1), mk(2)
	l.recv.Tick(l.now)
	l.s = l.send.Open(l.now, id)
	for range 200 {
		l.turn(100 * time.Microsecond)
	}
	return l
}

// turn lets both sides send what they have.
func (l *loop) turn(d time.Duration) {
	l.now = l.now.Add(d)
	l.pass(l.send, l.recv, 1)
	l.pass(l.recv, l.send, 2)
}

func (l *loop) pass(from, to *Protocol, endpoint buf.Endpoint) {
	if at, ok := from.Deadline(); ok && at <= l.now {
		from.Tick(l.now)
	}
	from.Flush(l.now)
	for {
		s, ok := from.PollSend(l.now)
		if !ok {
			return
		}
		l.b.Lend(l.scratch[:copy(l.scratch, s.Buf.Bytes())])
		s.Buf.Release()
		if err := wire.Decode(l.b.Bytes(), &l.d); err != nil {
			panic(err)
		}
		if l.lose != 0 && l.d.Frames()[0].Kind == wire.FrameData {
			if l.n++; l.n%l.lose == 0 {
				continue
			}
		}
		_ = to.Step(l.now, &l.d, buf.Received{Buf: &l.b, From: endpoint})
	}
}

// Steady state allocates nothing: Offer, data, statuses, heartbeats, NAKs and repairs.
func TestNoAllocation(t *testing.T) {
	for _, lose := range []uint64{0, 7} {
		l := newLoop(lose)
		payload := make([]byte, 64)
		large := make([]byte, 10000)
		body := func() {
			for range 200 {
				if l.s.Offer(l.now, "prices.eu", 0, payload) != nil {
					break
				}
			}
			_ = l.s.Offer(l.now, "prices.eu", 0, large)
			for range 5 {
				l.turn(60 * time.Microsecond)
			}
		}
		for range 200 {
			body()
		}
		if n := testing.AllocsPerRun(500, body); n != 0 {
			t.Errorf("losing one in %d: %v allocations", lose, n)
		}
		st := l.recv.Stats()
		if lose != 0 && (st.NaksSent == 0 || st.Repaired == 0) || l.messages < 100000 {
			t.Errorf("losing one in %d: %d messages, %+v", lose, l.messages, st)
		}
	}
}

func BenchmarkOffer(b *testing.B) {
	l := newLoop(0)
	payload := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		if l.s.Offer(l.now, "prices.eu", 0, payload) != nil {
			b.StopTimer()
			for range 20 {
				l.turn(100 * time.Microsecond)
			}
			b.StartTimer()
		}
	}
}

// BenchmarkStep steps decoded datagrams of 20 packed messages, in order.
func BenchmarkStep(b *testing.B) {
	const batch = 256
	l := newLoop(0)
	var d [batch]wire.Datagram
	var lent [batch]buf.Buf
	var mem [batch][2048]byte
	n, m, i := l.s.next, l.s.message, batch
	b.ReportAllocs()
	for b.Loop() {
		if i == batch {
			b.StopTimer()
			for i = range batch {
				var w wire.DataWriter
				w.Begin(mem[i][:], 1472, l.send.header(testStream), n, m)
				for range 20 {
					w.Add("prices.eu", 0, mem[i][1900:1964])
				}
				off, length := w.Finish()
				lent[i].Lend(mem[i][off : off+length])
				if err := wire.Decode(lent[i].Bytes(), &d[i]); err != nil {
					b.Fatal(err)
				}
				n, m = n+1, m+20
			}
			i = 0
			l.recv.control, l.recv.next = l.recv.control[:0], 0
			b.StartTimer()
		}
		if err := l.recv.Step(l.now, &d[i], buf.Received{Buf: &lent[i], From: 1}); err != nil {
			b.Fatal(err)
		}
		i++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/20, "ns/message")
}

// BenchmarkThroughput is Offer, packing, decoding and delivery of 64-byte messages, all in one
// thread; ns/op is for one message.
func BenchmarkThroughput(b *testing.B) {
	for _, c := range []struct {
		name string
		id   wire.StreamID
		lose uint64
	}{
		{"clean", testStream, 0}, {"loss=1%", testStream, 100},
		{"hybrid/clean", hybridStream, 0}, {"hybrid/loss=1%", hybridStream, 100}, {"fec/clean", fecStream, 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			l := newLoopOf(c.id, c.lose)
			payload := make([]byte, 64)
			b.ReportAllocs()
			for b.Loop() {
				if l.s.Offer(l.now, "prices.eu", 0, payload) != nil {
					l.turn(20 * time.Microsecond)
				}
			}
		})
	}
}

// BenchmarkManyStreams is a millisecond of a member that receives many idle streams: reports, and
// deadlines that move.
func BenchmarkManyStreams(b *testing.B) {
	const streams = 4000
	l := newLone(b, Buffers(1<<20, 1472, 1, 4), func(c *Config) { c.Eviction = time.Hour })
	for i := range streams {
		if err := l.step(forgeData(l.header(i, wire.NACK), 1, 1, 100)); err != nil {
			b.Fatal(err)
		}
	}
	l.pass(time.Second)
	b.ReportAllocs()
	for b.Loop() {
		l.pass(time.Millisecond)
	}
	b.StopTimer()
	l.done()
}
