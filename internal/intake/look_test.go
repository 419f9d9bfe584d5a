package intake

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/activeblaze/blaze/clock"
)

// The age of the oldest item is right within a millisecond, or a sixteenth, however many wait and for however long.
func TestOldest(t *testing.T) {
	for _, pause := range []time.Duration{10 * time.Microsecond, time.Millisecond, 70 * time.Millisecond, time.Minute} {
		var a ages
		in := new(inlet)
		now, taken := clock.Time(time.Hour), uint64(0)
		var put []clock.Time
		for n := range uint64(5000) {
			now = now.Add(pause)
			a.note(now, n, in)
			put = append(put, now)
			if n > 1000 && n%3 == 0 {
				taken++
				in.taken.Store(taken)
			}
			want := now.Sub(put[taken])
			if got := a.oldest(now, taken, n+1); got < want || got > want+want/16+2*time.Millisecond {
				t.Fatalf("pauses of %v, item %d: the oldest of %d is %v, want %v", pause, n, n+1-taken, got, want)
			}
		}
		for taken < 5000 {
			taken++
			if got := a.oldest(now, taken, 5000); taken == 5000 && got != 0 {
				t.Errorf("an empty one has an age of %v", got)
			}
		}
		in.taken.Store(taken)
		now = now.Add(time.Hour)
		a.note(now, 5000, in)
		if got := a.oldest(now.Add(time.Second), 5000, 5001); got != time.Second {
			t.Errorf("after it was empty: %v", got)
		}
		if len(a.list) > mostAges || cap(a.list) > mostAges {
			t.Errorf("%d ages are kept", len(a.list))
		}
	}
}

// Look shows what waits, for how long, and how long the handler takes.
func TestLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(8 << 20)
		r.Size = 200
		r.Handle = func(*Message) { time.Sleep(4 * time.Millisecond) }
		q := New(r.Config)
		e := engine{r: r, in: q.At(0)}
		for range 100 {
			e.deliver(nil)
		}
		time.Sleep(3 * time.Second)
		if v := q.Look(); v.Waiting != 100 || v.Taken != 0 || v.Oldest != 3*time.Second || v.Full != 0 || v.Handler.Count() != 0 {
			t.Errorf("before: %+v", v)
		}
		q.Start()
		for range 1000 {
			e.deliver(nil)
		}
		if v := q.Look(); v.Waiting != 200 && v.Waiting != 199 || v.Full < 0.9 || v.Oldest < 700*time.Millisecond || v.Oldest > 900*time.Millisecond {
			t.Errorf("while it is full: %+v", v)
		}
		time.Sleep(5 * time.Second)
		v := q.Look()
		if p := v.Handler.Quantile(0.5); v.Waiting != 0 || v.Oldest != 0 || v.Taken != 1100 || v.Full != 0 || v.Handler.Count() != 1100/TimedEvery+1 || p < 3*time.Millisecond || p > 5*time.Millisecond {
			t.Errorf("at the end: %+v, median %v", v, p)
		}
		stop(q)
	})
}
