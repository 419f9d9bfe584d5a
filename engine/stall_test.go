package engine

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// Stalled is called for the time that an engine stood still, and not for the time that it slept or was
// left alone with nothing to do: how late is a turn, and what is reported of it.
func TestStalled(t *testing.T) {
	const ms, limit = time.Millisecond, 25 * time.Millisecond
	for _, c := range []struct {
		name        string
		loop, slept bool          // Run: it turns by itself; and the loop has slept since the last turn
		due         time.Duration // when the deadline is, from the last turn on; 0: there is none
		next, want  time.Duration // when the next turn comes, and what Stalled gets; 0: it is not called
	}{
		{"a loop that turns", true, false, 20 * ms, 24 * ms, 0},
		{"a loop that stands still", true, false, 20 * ms, 25 * ms, 25 * ms},
		{"a loop that stands still before a far deadline", true, false, 500 * ms, 80 * ms, 80 * ms},
		{"a loop without a deadline that stands still", true, false, 0, 80 * ms, 80 * ms},
		{"a loop that wakes in time", true, true, 100 * ms, 100 * ms, 0},
		{"a loop that wakes by a timer's slack too late", true, true, 100 * ms, 124 * ms, 0},
		{"a loop that wakes late", true, true, 100 * ms, 125 * ms, 25 * ms},
		{"a loop that is woken early", true, true, 100 * ms, 50 * ms, 0},
		{"a loop that slept without a deadline", true, true, 0, 10 * time.Second, 0},
		{"a loop that slept although something was due", true, true, -5 * ms, 40 * ms, 40 * ms},
		{"an Invoker that turns at the deadline", false, false, 100 * ms, 100 * ms, 0},
		{"an Invoker that turns late", false, false, 20 * ms, 60 * ms, 40 * ms},
		{"an Invoker without a deadline", false, false, 0, time.Second, 0},
	} {
		d := newFakeDriver()
		d.arrived = [][]byte{{1}, {2}}
		p := &fakeProtocol{}
		var gaps []time.Duration
		e := New(Config{
			Driver: d, Protocols: protocols(p), StallLimit: limit,
			Stalled: func(_ clock.Time, gap time.Duration) {
				if len(d.arrived) == 0 {
					t.Errorf("%s: called after something was received", c.name)
				}
				gaps = append(gaps, gap)
			},
		})
		e.looping = c.loop
		last := clock.Time(time.Hour)
		e.Turn(last) // the first one, however late
		e.slept = c.slept
		if c.due != 0 {
			p.deadline = last.Add(c.due)
		}
		d.arrived = [][]byte{{3}}
		e.Turn(last.Add(c.next))
		d.arrived = [][]byte{{4}}
		e.Turn(last.Add(c.next + ms))
		if c.want == 0 && len(gaps) != 0 || c.want != 0 && (len(gaps) != 1 || gaps[0] != c.want) {
			t.Errorf("%s: reported %v, want %v", c.name, gaps, c.want)
		}
	}
}

// Run reports what its loop did: one that sleeps until it is woken does not stand still, however long that
// is; for one that spins every moment between two turns counts.
func TestRunTellsSleepFromStall(t *testing.T) {
	for _, idle := range []Idle{Block, BusySpin} {
		d := newFakeDriver()
		var stalls atomic.Int64
		e := New(Config{Driver: d, Source: &fakeSource{}, Protocols: protocols(&fakeProtocol{}), Idle: idle, CPU: -1,
			StallLimit: 1, Stalled: func(clock.Time, time.Duration) { stalls.Add(1) }})
		done := make(chan error, 1)
		go func() { done <- e.Run() }()
		enough := func() bool { return d.waits.Load() >= 5 || stalls.Load() > 0 }
		for ; !enough(); runtime.Gosched() {
			e.Notify()
		}
		e.Stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if n := stalls.Load(); n > 0 != (idle == BusySpin) {
			t.Errorf("%v: %d stalls", idle, n)
		}
	}
}

func protocols(p Protocol) map[wire.Protocol]Protocol {
	return map[wire.Protocol]Protocol{wire.NACK: p}
}
