package workload

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/clock"
)

// wire is a network in memory with a clock of its own: what is offered arrives at a sink in the
// next turn, less and more what defect does to it.
type wire struct {
	time    clock.Time
	room    int // messages that fit between two turns
	queued  [][]byte
	sink    *sink
	defect  func(i int, b []byte) [][]byte
	offered int
	turns   int
}

func newWire(size int) *wire {
	w := &wire{time: 1, room: 8}
	w.sink = newSink(size, 9, 1, w.now)
	return w
}

func (w *wire) now() clock.Time { return w.time }

func (w *wire) offer(b []byte) error {
	if len(w.queued) >= w.room {
		return blaze.ErrBackPressure
	}
	out := [][]byte{slices.Clone(b)}
	if w.defect != nil {
		out = w.defect(w.offered, slices.Clone(b))
	}
	w.offered++
	w.queued = append(w.queued, out...)
	return nil
}

func (w *wire) turn() int {
	w.time += 1000
	w.turns++
	n := len(w.queued)
	for _, b := range w.queued {
		w.sink.take(b)
	}
	w.queued = w.queued[:0]
	return n
}

func (w *wire) load(size int) *load {
	return &load{
		send: offering(w.offer), turn: w.turn, now: w.now, stop: func() error { return nil },
		size: size, seed: 9, warmUp: time.Millisecond, measure: 4 * time.Millisecond, spin: true,
	}
}

func TestLoadCountsWhatWasAccepted(t *testing.T) {
	w := newWire(64)
	l := w.load(64)
	if err := l.run(); err != nil {
		t.Fatal(err)
	}
	w.turn()
	if l.sent == 0 || int(l.sent) != w.offered {
		t.Errorf("sent %d, accepted %d", l.sent, w.offered)
	}
	r, err := w.sink.report(l.sent)
	if err != nil {
		t.Fatal(err)
	}
	if r.Delivered != l.sent || r.Lost+r.Duplicates+r.Reordered+r.Corrupt != 0 {
		t.Errorf("over a clean wire: %+v, sent %d", r, l.sent)
	}
	// 8 messages a turn of 1 µs
	if rate := r.rate(); rate < 7e6 || rate > 9e6 {
		t.Errorf("measured %.0f messages/s, want 8 million", rate)
	}
}

func TestPlantedDefectsAreCounted(t *testing.T) {
	const at = 100
	hold := []byte(nil)
	for _, c := range []struct {
		name   string
		defect func(i int, b []byte) [][]byte
		want   [4]uint64 // lost, duplicates, reordered, corrupt
	}{
		{"one lost", func(i int, b []byte) [][]byte {
			if i == at {
				return nil
			}
			return [][]byte{b}
		}, [4]uint64{1, 0, 0, 0}},
		{"one doubled", func(i int, b []byte) [][]byte {
			if i == at {
				return [][]byte{b, b}
			}
			return [][]byte{b}
		}, [4]uint64{0, 1, 0, 0}},
		{"two swapped", func(i int, b []byte) [][]byte {
			switch i {
			case at:
				hold = b
				return nil
			case at + 1:
				return [][]byte{b, hold}
			}
			return [][]byte{b}
		}, [4]uint64{0, 0, 1, 0}},
		{"one damaged", func(i int, b []byte) [][]byte {
			if i == at {
				b[len(b)-1] ^= 1
			}
			return [][]byte{b}
		}, [4]uint64{1, 0, 0, 1}},
		{"one cut short", func(i int, b []byte) [][]byte {
			if i == at {
				b = b[:len(b)-1]
			}
			return [][]byte{b}
		}, [4]uint64{1, 0, 0, 1}},
		{"one that nobody sent", func(i int, b []byte) [][]byte {
			if i == at {
				forged := measure.NewMaker(len(b), 9).Make(measure.Message{Number: 1 << 30})
				return [][]byte{b, forged}
			}
			return [][]byte{b}
		}, [4]uint64{0, 0, 0, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWire(64)
			w.defect = c.defect
			l := w.load(64)
			if err := l.run(); err != nil {
				t.Fatal(err)
			}
			w.turn()
			r, err := w.sink.report(l.sent)
			if err != nil {
				t.Fatal(err)
			}
			got := [4]uint64{r.Lost, r.Duplicates, r.Reordered, r.Corrupt}
			if c.name == "one that nobody sent" { // all that follows it looks late; enough that it is seen
				if r.Corrupt == 0 {
					t.Error("not noticed")
				}
				return
			}
			if got != c.want {
				t.Errorf("lost, duplicates, reordered, corrupt = %v, want %v", got, c.want)
			}
		})
	}
}

// A sender that is held up must not hide it: latency counts from the time that was scheduled.
func TestOpenLoopHasNoCoordinatedOmission(t *testing.T) {
	w := newWire(64)
	l := w.load(64)
	l.rate = 100_000 // one in 10 µs
	l.warmUp = 0
	l.turn = func() int {
		if w.turns == 1000 {
			w.time += clock.Time(time.Millisecond) // the sender is stopped for 1 ms
		}
		return w.turn()
	}
	if err := l.run(); err != nil {
		t.Fatal(err)
	}
	w.turn()
	if l.sent != 400 {
		t.Errorf("sent %d messages in 4 ms at 100,000/s, want 400", l.sent)
	}
	p := w.sink.latency.Percentiles()
	if p.Max < int64(900*time.Microsecond) {
		t.Errorf("max latency %d ns: the stop of 1 ms does not show", p.Max)
	}
	// A hundred of four hundred messages were due while it lasted: p90 sees half of it.
	if p.P90 < int64(300*time.Microsecond) || p.P50 > int64(20*time.Microsecond) {
		t.Errorf("p50 %d ns, p90 %d ns: messages due during the stop are missing", p.P50, p.P90)
	}
}

func TestWarmUpIsSentButNotMeasured(t *testing.T) {
	w := newWire(64)
	l := w.load(64)
	l.rate = 1e6
	if err := l.run(); err != nil {
		t.Fatal(err)
	}
	w.turn()
	if l.sent != 5000 || w.sink.latency.Count() != 4000 {
		t.Errorf("sent %d, measured %d; want 5000 and 4000", l.sent, w.sink.latency.Count())
	}
}

func TestLoadEndsWithItsErrors(t *testing.T) {
	w := newWire(64)
	l := w.load(64)
	broken := errors.New("broken")
	l.send = offering(func([]byte) error { return broken })
	if err := l.run(); !errors.Is(err, broken) || !strings.Contains(err.Error(), "message 1") {
		t.Errorf("got %v", err)
	}
	l = w.load(64)
	l.stop = func() error { return broken }
	if err := l.run(); err != broken {
		t.Errorf("got %v", err)
	}
	l = w.load(64)
	l.rate = 1000
	l.send = offering(func([]byte) error { w.time += clock.Time(time.Second); return blaze.ErrBackPressure })
	if err := l.run(); err == nil || !strings.Contains(err.Error(), "behind its schedule") {
		t.Errorf("a load that is never accepted: %v", err)
	}
}

func TestLoadAllocatesNothing(t *testing.T) {
	w := newWire(64)
	w.offer(nil)
	l := w.load(64)
	l.send = offering(func(b []byte) error { w.sink.take(b); w.time += 10; return nil })
	l.turn = func() int { w.time += 10; return 1 }
	l.measure = time.Millisecond
	// A run makes its Maker; what it sends costs nothing more, however many it is. The runtime
	// allocates now and then by itself: some for millions of messages are not the load's.
	few := testing.AllocsPerRun(1, func() { l.sent = 0; _ = l.run() })
	l.measure = 20 * time.Millisecond
	if many := testing.AllocsPerRun(1, func() { l.sent = 0; _ = l.run() }); many > few+10 {
		t.Errorf("%v allocations in a long run, %v in a short one", many, few)
	}
}

// pingPong lets a pinger play against a table of what comes back.
func TestPinger(t *testing.T) {
	var now clock.Time = 1
	var pending []byte
	refuse := false
	p := newPinger(64, 3, func(b []byte) error {
		if refuse {
			return blaze.ErrBackPressure
		}
		pending = slices.Clone(b)
		return nil
	}, func() clock.Time { return now })
	p.start(0, time.Millisecond)
	for i := range 50 {
		now += 7000
		switch i {
		case 10: // an answer to an older message, and a damaged one
			old := measure.NewMaker(64, 3).Make(measure.Message{Number: 2, Measured: true})
			p.pong(old)
			bad := slices.Clone(pending)
			bad[20] ^= 1
			p.pong(bad)
		case 20:
			refuse = true
			p.pong(slices.Clone(pending))
			refuse = false
			now += 5000
			p.watch(false) // offers it again
			continue
		}
		p.pong(slices.Clone(pending))
	}
	if p.sent != 51 || p.answered != 50 || p.corrupt != 1 {
		t.Errorf("sent %d, answered %d, corrupt %d; want 51, 50, 1", p.sent, p.answered, p.corrupt)
	}
	if q := p.rtt.Percentiles(); q.P50 < 6990 || q.P50 > 7010 || q.Max > 7010 {
		t.Errorf("round trips %+v, want 7 µs each", q)
	}
	now += clock.Time(time.Millisecond)
	p.pong(slices.Clone(pending))
	if p.sent != 51 || !p.watch(false) || p.err != nil {
		t.Errorf("not over after its time: %v", p.err)
	}
}

func TestPingerGivesUp(t *testing.T) {
	var now clock.Time = 1
	sent := 0
	p := newPinger(64, 3, func([]byte) error { sent++; return nil }, func() clock.Time { return now })
	p.start(0, time.Minute)
	now += clock.Time(patience) + 1
	p.watch(true)
	if sent != 2 {
		t.Errorf("BestEffort: %d messages after a lost answer, want a second", sent)
	}
	now += clock.Time(Settle) + 1
	if !p.watch(false) || p.err == nil {
		t.Error("NACK: an answer that never comes is no error")
	}
}

func TestShortRunsMeasureSomething(t *testing.T) {
	w := newWire(64)
	l := w.load(64)
	l.warmUp, l.measure = 1, 1 // over before the first turn is
	l.turn = func() int { w.time += clock.Time(time.Millisecond); return w.turn() }
	if err := l.run(); err != nil {
		t.Fatal(err)
	}
	w.turn()
	if n := w.sink.latency.Count(); n < enough {
		t.Errorf("%d messages were measured, want %d", n, enough)
	}
}
