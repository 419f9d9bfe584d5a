package intake

import (
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/wire"
)

// rig is what an Intake needs of its owner, and what the owner was given.
type rig struct {
	Config
	resumed chan struct{}

	mu     sync.Mutex
	slow   []Slow
	losses []core.Loss
	ended  int
}

func newRig(limit int64) *rig {
	r := &rig{resumed: make(chan struct{}, 1)}
	began := time.Now()
	r.Config = Config{
		Size: 4096, Handle: func(*Message) {}, Stock: new(Stock), Counters: new(Counters),
		Watch: NewWatch(func() clock.Time { return clock.Time(1 + time.Since(began)) }),
		Resume: func() {
			select {
			case r.resumed <- struct{}{}:
			default:
			}
		},
		Slow:  func(s Slow) { r.mu.Lock(); r.slow = append(r.slow, s); r.mu.Unlock() },
		Lost:  func(l core.Loss) { r.mu.Lock(); r.losses = append(r.losses, l); r.mu.Unlock() },
		Full:  func(int) {},
		Ended: func() { r.mu.Lock(); r.ended++; r.mu.Unlock() },
	}
	r.Stock.SetLimit(limit)
	return r
}

func (r *rig) now() clock.Time { return r.Watch.now() }

// engine delivers messages as an engine's thread does: one that is not ready waits for Resume.
type engine struct {
	r    *rig
	in   member.Consumer
	next uint64
}

func (e *engine) deliver(payload []byte) {
	for !e.in.Ready(e.r.now()) {
		<-e.r.resumed
	}
	e.next++
	e.in.Deliver(e.r.now(), "topic", &core.Delivery{From: wire.MemberID{1}, Stream: 7, Sequence: e.next, Payload: payload})
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func stop(q *Intake) {
	q.End(false)
	q.Stop()
	q.Join(nil)
}

// Messages of every size arrive whole and in order, through a queue that is often full.
func TestOrderAndContent(t *testing.T) {
	r := newRig(300 << 10)
	r.Size = 200
	want, done := uint64(0), make(chan struct{})
	sizes := []int{0, 1, 64, 1344, 8 << 10, 8<<10 + 1, 60 << 10, 64 << 10, 64<<10 + 1, 200 << 10}
	const n = 20_000
	r.Handle = func(m *Message) {
		want++
		size := sizes[int(m.Sequence)%len(sizes)]
		if m.Sequence != want || len(m.Payload) != size || m.Topic != "topic" || m.From != (wire.MemberID{1}) || m.Stream != 7 {
			t.Errorf("message %d of %d bytes on %q, want message %d of %d", m.Sequence, len(m.Payload), m.Topic, want, size)
		}
		for _, b := range []int{0, size / 2, size - 1} {
			if b >= 0 && b < size && m.Payload[b] != byte(want) {
				t.Errorf("message %d has %d at %d", want, m.Payload[b], b)
			}
		}
		if want == n {
			close(done)
		}
	}
	q := New(r.Config)
	q.Start()
	e := engine{r: r, in: q.At(0)}
	memory := make([]byte, 200<<10)
	for range n {
		p := memory[:sizes[int(e.next+1)%len(sizes)]]
		for _, b := range []int{0, len(p) / 2, len(p) - 1} {
			if b >= 0 && b < len(p) {
				p[b] = byte(e.next + 1)
			}
		}
		e.deliver(p)
	}
	<-done
	stop(q)
	if held := r.Stock.held.Load(); held != 0 {
		t.Errorf("%d bytes are held by nobody", held)
	}
}

// An intake that never has more than one message waiting holds little, whatever has gone through it.
func TestHoldsWhatWaits(t *testing.T) {
	r := newRig(8 << 20)
	taken := make(chan struct{})
	r.Handle = func(*Message) { taken <- struct{}{} }
	q := New(r.Config)
	q.Start()
	e, payload := engine{r: r, in: q.At(0)}, make([]byte, 60<<10)
	before := heap()
	for range 4200 {
		e.deliver(payload)
		<-taken
	}
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("4,200 messages of 60 KiB, one at a time: %d KiB are held", grown>>10)
	}
	stop(q)
	runtime.KeepAlive(q)
}

// A burst that has been worked off is given back, and so is what an ended intake held.
func TestBurstIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(8 << 20)
		q := New(r.Config)
		e, payload := engine{r: r, in: q.At(0)}, make([]byte, 1344)
		fill := func() {
			for e.in.Ready(r.now()) {
				e.deliver(payload)
			}
		}
		before := heap()
		fill()
		if grown := heap() - before; grown < 5<<20 || grown > 8<<20 {
			t.Errorf("a full queue holds %d KiB", grown>>10)
		}
		q.Start()
		synctest.Wait()
		time.Sleep(2 * time.Second) // of the bubble: two trims
		synctest.Wait()
		if grown := heap() - before; grown > 300<<10 {
			t.Errorf("an empty one holds %d KiB", grown>>10)
		}
		q.Stop()
		synctest.Wait()
		fill()
		stop(q)
		if held := r.Stock.held.Load(); held != 0 || r.ended != 1 {
			t.Errorf("an ended one holds %d bytes; its end was reported %d times", held, r.ended)
		}
		e.in = nil
		if grown := heap() - before; grown > 100<<10 {
			t.Errorf("an ended one holds %d KiB", grown>>10)
		}
		runtime.KeepAlive(q)
	})
}

// However many are slow, together they hold what the Stock has, and each has a share.
func TestSlowOnesShare(t *testing.T) {
	const limit, many = 8 << 20, 20
	r := newRig(limit)
	before := heap()
	var all []*Intake
	payload := make([]byte, 1344)
	for range many {
		q := New(r.Config)
		e := engine{r: r, in: q.At(0)}
		for e.in.Ready(r.now()) {
			e.deliver(payload)
		}
		all = append(all, q)
	}
	grown := heap() - before
	if most := limit + many*(OwnBytes+80<<10); grown > int64(most) {
		t.Errorf("%d full queues hold %d KiB, the limit is %d", many, grown>>10, most>>10)
	}
	for i, q := range all {
		if q.Len() < 12 {
			t.Errorf("the queue that became full after %d others has %d messages", i, q.Len())
		}
	}
	// Room in one wakes an engine that waits for another.
	last := all[many-1].At(0)
	if last.Ready(r.now()) {
		t.Fatal("the last one has room")
	}
	all[0].Start()
	for !last.Ready(r.now()) {
		<-r.resumed
	}
	for _, q := range all {
		stop(q)
	}
	if held := r.Stock.held.Load(); held != 0 {
		t.Errorf("%d bytes are held by nobody", held)
	}
}

// Disconnect: what was queued is reported as lost, and nothing is left behind.
func TestDisconnectReportsWhatWasQueued(t *testing.T) {
	r := newRig(8 << 20)
	r.Policy, r.Size = Disconnect, 16
	gate, ended := make(chan struct{}), make(chan struct{})
	handled := uint64(0)
	r.Handle = func(m *Message) { <-gate; handled = m.Sequence }
	r.Ended = func() { close(ended) }
	var q *Intake
	r.Full = func(int) { q.End(true) }
	q = New(r.Config)
	q.Start()
	e := engine{r: r, in: q.At(0)}
	for !q.ended.Load() {
		e.deliver([]byte("x"))
	}
	close(gate)
	<-ended
	want := []core.Loss{{From: wire.MemberID{1}, Stream: 7, First: handled + 1, Last: 16, Reason: core.LossSlowConsumer}}
	if !slices.Equal(r.losses, want) {
		t.Errorf("after message %d: losses %v, want %v", handled, r.losses, want)
	}
	if n := len(*q.inlets.Load()); n != 0 || r.Stock.held.Load() != 0 {
		t.Errorf("%d inlets are left, and %d bytes", n, r.Stock.held.Load())
	}
}

// A consumer that is steadily too slow is named, though none of its pauses is long, again after ten
// seconds, and once when it has recovered.
func TestSlowConsumerIsNamed(t *testing.T) {
	for name, policy := range map[string]Policy{"pause": Pause, "drop": Drop} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(8 << 20)
				r.Policy, r.Size = policy, 100
				r.Handle = func(*Message) { time.Sleep(time.Millisecond) }
				q := New(r.Config)
				q.Start()
				e := engine{r: r, in: q.At(0)}
				for began := time.Now(); time.Since(began) < 14*time.Second; {
					e.deliver([]byte("x"))
					if policy == Drop {
						time.Sleep(100 * time.Microsecond)
					}
				}
				time.Sleep(4 * time.Second)
				synctest.Wait()
				if len(r.slow) != 3 || r.slow[0].Recovered || r.slow[1].Recovered || !r.slow[2].Recovered {
					t.Fatalf("reports: %+v", r.slow)
				}
				for _, s := range r.slow[:2] {
					if s.Full < 0.8 || s.Full > 1 || s.Taken < 900 || s.Taken > 1100 || s.Waiting < 99 || s.Waiting > 101 {
						t.Errorf("report: %+v", s)
					}
				}
				if n := r.Counters.Slow.Load(); n != 1 {
					t.Errorf("counted %d times", n)
				}
				if n := r.Counters.LongPauses.Load(); n != 0 {
					t.Errorf("%d long pauses", n)
				}
				if len(r.Watch.of) != 0 || r.Watch.active {
					t.Error("the watch goes on")
				}
				stop(q)
			})
		})
	}
}

// One that is full now and then is not slow.
func TestFullNowAndThenIsNotSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(8 << 20)
		r.Size = 100
		r.Handle = func(*Message) { time.Sleep(time.Millisecond) }
		q := New(r.Config)
		q.Start()
		e := engine{r: r, in: q.At(0)}
		for range 20 {
			for range 400 { // full for 0.3 s of a second
				e.deliver([]byte("x"))
			}
			time.Sleep(600 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		if len(r.slow) > 0 || r.Counters.Slow.Load() > 0 {
			t.Errorf("reports: %+v", r.slow)
		}
		stop(q)
	})
}

// What expired with one start is not handled in the next, and its memory is given back.
func TestExpire(t *testing.T) {
	r := newRig(8 << 20)
	got := make(chan uint64, 1)
	r.Handle = func(m *Message) { got <- m.Sequence }
	q := New(r.Config)
	e := engine{r: r, in: q.At(0)}
	for range 3000 {
		e.deliver(make([]byte, 1344))
	}
	q.Expire()
	q.Start()
	e.deliver([]byte("x"))
	if n := <-got; n != 3001 {
		t.Errorf("message %d of an earlier start is handled", n)
	}
	stop(q)
	if held := r.Stock.held.Load(); held != 0 {
		t.Errorf("%d bytes are held by nobody", held)
	}
}
