package ring

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestSignal(t *testing.T) {
	var s Signal
	if s.Notify() {
		t.Error("the zero Signal wants a wake-up")
	}
	s.Arm()
	if !s.Notify() || s.Notify() {
		t.Error("armed: the first Notify wakes, the second does not")
	}
	if !s.Disarm() {
		t.Error("Disarm does not know of the Notify")
	}
	s.Arm()
	if s.Disarm() {
		t.Error("Disarm tells of a Notify that was not")
	}
	if s.Notify() {
		t.Error("disarmed, and wants a wake-up")
	}
	s.Arm()
	if !s.Notify() {
		t.Error("armed again, and no wake-up")
	}
}

// Of many producers that notify at once exactly one is told to wake the consumer.
func TestSignalOneWaker(t *testing.T) {
	rounds := 5_000
	if testing.Short() {
		rounds = 500
	}
	for range rounds {
		var s Signal
		var told atomic.Int32
		var wg sync.WaitGroup
		s.Arm()
		for range 4 {
			wg.Go(func() {
				if s.Notify() {
					told.Add(1)
				}
			})
		}
		wg.Wait()
		if told.Load() != 1 {
			t.Fatalf("%d producers were told to wake the consumer", told.Load())
		}
	}
}

// sleeper is the consumer's side of Signal as its documentation says it, with a channel for
// the sleep.
type sleeper struct {
	Signal
	wake   chan struct{} // capacity 1: a wake-up that comes early waits here
	sleeps int           // times that the consumer really went to sleep
}

func (s *sleeper) notify() {
	if s.Notify() {
		select {
		case s.wake <- struct{}{}:
		default: // one is on its way, which will do
		}
	}
}

// sleep returns false when no wake-up comes for so long that it must have been lost.
func (s *sleeper) sleep(empty func() bool, patience *time.Timer) bool {
	s.Arm()
	if empty() {
		s.sleeps++
		patience.Reset(20 * time.Second)
		select {
		case <-s.wake:
		case <-patience.C:
			return false
		}
	}
	if s.Disarm() {
		select {
		case <-s.wake:
		default: // taken above, or still to come
		}
	}
	return true
}

// The producer publishes one item and waits until it has been consumed, so a single lost
// wake-up stops everything: nothing later makes up for it. Both sides dither before their
// step, so that publishing meets every point of falling asleep. (With Arm after the look at
// the queue this fails within a few thousand items on two cores.)
func TestSignalLosesNoWakeUp(t *testing.T) {
	items := 300_000
	if testing.Short() || raceEnabled {
		items = 30_000
	}
	q := NewSPSC[int](4)
	s := sleeper{wake: make(chan struct{}, 1)}
	var consumed atomic.Int64
	var abandoned atomic.Bool
	defer abandoned.Store(true)
	go func() {
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range items {
			dither(rng)
			p, _ := q.Reserve()
			*p = i
			q.Publish()
			s.notify()
			for spin := 1; consumed.Load() != int64(i+1); spin++ {
				if abandoned.Load() {
					return
				}
				if spin%1000 == 0 {
					runtime.Gosched() // there may be one core only
				}
			}
		}
	}()
	patience := time.NewTimer(time.Hour)
	rng := rand.New(rand.NewPCG(3, 4))
	for want := range items {
		dither(rng)
		p, ok := q.Peek()
		for !ok {
			if !s.sleep(q.Empty, patience) {
				t.Fatalf("lost wake-up: asleep with %d items queued after %d items, %d sleeps", q.Len(), want, s.sleeps)
			}
			p, ok = q.Peek()
		}
		if *p != want {
			t.Fatalf("got %d, want %d", *p, want)
		}
		q.Advance()
		q.Flush()
		consumed.Store(int64(want + 1))
	}
	t.Logf("%d sleeps for %d items", s.sleeps, items)
}

// dither takes a random time below a microsecond or so.
func dither(rng *rand.Rand) {
	var a atomic.Uint32
	for range rng.IntN(200) {
		a.Add(1)
	}
}

// Several producers, each waiting for its own item. Their last items have nothing after them
// that could make up for a lost wake-up.
func TestSignalManyProducers(t *testing.T) {
	const producers = 3
	rounds, items := 300, 100
	if testing.Short() || raceEnabled {
		rounds = 30
	}
	b := NewBytes(256) // small: producers wait for room too, which the sleeping consumer must have given back
	s := sleeper{wake: make(chan struct{}, 1)}
	patience := time.NewTimer(time.Hour)
	for range rounds {
		for p := range producers {
			go func() {
				for i := range items {
					for !send(b, uint64(p), i%50) {
						runtime.Gosched()
					}
					s.notify()
				}
			}()
		}
		for got := 0; got < producers*items; {
			if _, _, ok := b.Peek(); ok {
				b.Advance()
				got++
				continue
			}
			if !s.sleep(b.Empty, patience) {
				t.Fatalf("lost wake-up: asleep with %d bytes queued, after %d of %d records", b.Used(), got, producers*items)
			}
		}
	}
	t.Logf("%d sleeps for %d records", s.sleeps, rounds*items*producers)
}

func TestSignalAllocations(t *testing.T) {
	var s Signal
	if n := testing.AllocsPerRun(1000, func() {
		s.Notify()
		s.Arm()
		s.Notify()
		s.Disarm()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
