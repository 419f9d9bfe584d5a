package nack

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// twin is a receiver that writes down what it does.
type twin struct {
	p         *Protocol
	predicts  bool
	predicted int
	refuses   bool // what is offered in this turn
	log       []string
	scratch   wire.Datagram
}

func newTwin(predicts bool) *twin {
	w := &twin{predicts: predicts}
	w.p = New(Config{
		Self: wire.MemberID{2}, Datagram: 1472, Window: 64 * 1472, Room: 1 << 20,
		Pool: buf.NewPool(400, 1472+Headroom), Rand: rand.New(rand.NewPCG(5, 6)), Sink: w,
		Events: func(e Event) { w.say("event %v", e.Kind) },
	})
	w.p.Tick(1)
	return w
}

func (w *twin) say(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

func (w *twin) Deliver(m *core.Delivery) bool {
	if w.refuses {
		return false
	}
	w.say("%x %x %d %q %d %x", m.From[:2], m.Stream, m.Sequence, m.Topic, m.Kind, m.Payload)
	return true
}

func (w *twin) Lost(l *core.Loss) { w.say("lost %d..%d %v", l.First, l.Last, l.Reason) }

// take is what an engine does with a datagram.
func (w *twin) take(now clock.Time, data []byte) {
	b := w.p.cfg.Pool.Get()
	b.Set(0, copy(b.Mem(), data))
	defer b.Release()
	r := buf.Received{Buf: b, From: 7, Group: true}
	if w.predicts && w.p.Predicted(now, r) {
		w.predicted++
		return
	}
	if err := wire.Decode(b.Bytes(), &w.scratch); err != nil {
		w.say("%v", err)
	} else if err := w.p.Step(now, &w.scratch, r); err != nil {
		w.say("%v", err)
	}
}

// turn is the rest of an engine's turn.
func (w *twin) turn(now clock.Time) {
	w.p.Tick(now)
	w.p.Flush(now)
	for {
		s, ok := w.p.PollSend(now)
		if !ok {
			break
		}
		w.say("sends %x", s.Buf.Bytes())
		s.Buf.Release()
	}
	w.p.Deliver(now)
}

// forged is data with other numbers, and with one whole message, as a hostile member would write it.
func forged(rnd *rand.Rand, data []byte, topic string, size int) []byte {
	var d wire.Datagram
	if wire.Decode(data, &d) != nil || d.Frames()[0].Kind != wire.FrameData {
		return data
	}
	m := d.Frames()[0].Data()
	var w wire.DataWriter
	mem := make([]byte, 2000)
	w.Begin(mem, 1472, d.Header, m.Number+uint64(rnd.IntN(3))-1, m.FirstMessage+uint64(rnd.IntN(3))-1)
	w.Add(topic, 0, bytes.Repeat([]byte{0xEE}, size))
	off, n := w.Finish()
	return mem[off : off+n]
}

// What is predicted is as if it had been decoded and stepped: the same messages, the same reports
// and requests, the same counters, whatever is lost, doubled, late, changed or refused between.
func TestPredictedIsAsStepped(t *testing.T) {
	seeds := uint64(200)
	if testing.Short() {
		seeds = 20
	}
	predicted, datagrams := 0, 0
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(seed, 1))
		now := clock.Time(time.Second)
		var ids []wire.StreamID
		for lane := range uint16(1 + rnd.IntN(2)) {
			ids = append(ids, wire.NewStreamID([]wire.Protocol{wire.NACK, wire.BestEffort, wire.Hybrid}[rnd.IntN(3)], lane))
		}
		from := New(Config{
			Self: wire.MemberID{1}, Datagram: 1472, Window: 64 * 1472, MaxMessageSize: 4000,
			Pool: buf.NewPool(800, 1472+Headroom), Rand: rand.New(rand.NewPCG(seed, 2)), Sink: newTwin(false),
		})
		from.Tick(now)
		var senders []*Sender
		for _, id := range ids {
			senders = append(senders, from.Open(now, id))
		}
		a, b := newTwin(true), newTwin(false)
		both := func(f func(w *twin)) { f(a); f(b) }
		var late [][]byte
		topic, size := "prices.eu", 1+rnd.IntN(200)
		for i := range 400 {
			if now += clock.Time(rnd.IntN(60_000)); i == startDatagrams+1 {
				now = now.Add(startFor) // from here on no Start follows the data
			}
			if rnd.IntN(40) == 0 {
				size = 1 + rnd.IntN(200)
			}
			if rnd.IntN(60) == 0 {
				topic = fmt.Sprint("topic.", rnd.IntN(3))
			}
			n := size
			if rnd.IntN(100) == 0 {
				n = rnd.IntN(4000) // parts as well
			}
			messages := 1
			if rnd.IntN(20) == 0 {
				messages = 2
			}
			s := senders[0]
			if rnd.IntN(30) == 0 {
				s = senders[rnd.IntN(len(senders))]
			}
			for range messages {
				_ = s.Offer(now, topic, wire.Kind(rnd.IntN(30)/29), bytes.Repeat([]byte{byte(i)}, n))
			}
			from.Tick(now)
			from.Flush(now)
			if rnd.IntN(30) == 0 {
				both(func(w *twin) { w.refuses = true })
			}
			for {
				o, ok := from.PollSend(now)
				if !ok {
					break
				}
				data := bytes.Clone(o.Buf.Bytes())
				o.Buf.Release()
				copies := 1
				switch rnd.IntN(50) {
				case 0:
					continue // lost
				case 1:
					copies = 2
				case 2:
					late = append(late, data)
					continue
				case 3:
					data[rnd.IntN(len(data))] ^= 1 << rnd.IntN(8)
				case 4, 5, 6:
					lie := forged(rnd, data, topic, size)
					datagrams++
					both(func(w *twin) { w.take(now, lie) })
				}
				for range copies {
					datagrams++
					both(func(w *twin) { w.take(now, data) })
				}
			}
			if len(late) > 0 && rnd.IntN(4) == 0 {
				both(func(w *twin) { w.take(now, late[0]) })
				late = late[1:]
			}
			if rnd.IntN(200) == 0 {
				both(func(w *twin) { w.p.Forget(now, wire.MemberID{1}, false) })
			}
			both(func(w *twin) { w.refuses = false; w.turn(now) })
			if !reflect.DeepEqual(a.log, b.log) {
				t.Fatalf("seed %d, step %d: predicted\n%s\nstepped\n%s", seed, i, a.log, b.log)
			}
			if x, y := a.p.Stats(), b.p.Stats(); x != y {
				t.Fatalf("seed %d, step %d: predicted\n%+v\nstepped\n%+v", seed, i, x, y)
			}
			a.log, b.log = a.log[:0], b.log[:0]
		}
		predicted += a.predicted
		both(func(w *twin) {
			w.p.Release()
			if p := w.p.cfg.Pool; p.Free() != p.Count() {
				t.Errorf("seed %d: %d of %d buffers are free", seed, p.Free(), p.Count())
			}
		})
	}
	if predicted < datagrams/10 {
		t.Errorf("%d of %d datagrams were predicted: this tests little", predicted, datagrams)
	}
	t.Logf("%d of %d datagrams were predicted", predicted, datagrams)
}

// Messages of one topic and one length that come one by one are predicted from the third on.
func TestPredictedFromTheThirdOn(t *testing.T) {
	l := newLoop(0)
	w := newTwin(true)
	h := wire.Header{Transmitter: wire.MemberID{9}, Stream: testStream}
	for n := uint64(1); n <= 20; n++ {
		w.take(l.now, forgeData(h, n, n, 64))
	}
	if w.predicted != 18 {
		t.Errorf("%d of 20 were predicted, want 18", w.predicted)
	}
	if len(w.log) < 20 {
		t.Errorf("%d deliveries: %s", len(w.log), w.log)
	}
}

// Where a message is being put together, a whole one under its number is not what is expected.
func TestPartsAreNotPredicted(t *testing.T) {
	w := newTwin(true)
	h := wire.Header{Transmitter: wire.MemberID{9}, Stream: testStream}
	for n := uint64(1); n <= 5; n++ {
		w.take(1, forgeData(h, n, n, 64))
	}
	w.take(1, forgePart(h, 6, 6, 0, 3000))
	before := w.predicted
	w.take(1, forgeData(h, 7, 6, 64))
	if w.predicted != before || before != 3 {
		t.Errorf("%d predicted, then %d", before, w.predicted)
	}
}

func TestPredictedAllocatesNothing(t *testing.T) {
	w := newTwin(true)
	w.p.cfg.Sink = countingSink{newLoop(0)}
	h := wire.Header{Transmitter: wire.MemberID{9}, Stream: testStream}
	n := uint64(0)
	next := func() []byte { n++; return forgeData(h, n, n, 64) }
	for range 10 {
		w.take(1, next())
	}
	b := w.p.cfg.Pool.Get()
	defer b.Release()
	datagrams := make([][]byte, 200)
	for i := range datagrams {
		datagrams[i] = next()
	}
	i, missed := 0, 0
	if a := testing.AllocsPerRun(150, func() {
		b.Set(0, copy(b.Mem(), datagrams[i]))
		i++
		if !w.p.Predicted(2, buf.Received{Buf: b, From: 7, Group: true}) {
			missed++
		}
	}); a > 0 || missed > 0 {
		t.Errorf("%v allocations, %d not predicted", a, missed)
	}
}
