package engine

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
)

// What a Waiter does next depends on how long its yields took.
func TestWaiterLearnsFromYields(t *testing.T) {
	for _, c := range []struct {
		name  string
		took  []time.Duration // of its yields so far
		quiet time.Duration
		want  step
	}{
		{"nothing is known", nil, 0, spins},
		{"quiet for a while", nil, SpinFor, yields},
		{"quiet for long", nil, YieldFor, sleeps},
		{"alone", []time.Duration{300, 400, 300}, SpinFor / 2, spins},
		{"another yields too", []time.Duration{300, 5000}, 0, yields},
		{"another yields too, long ago", append([]time.Duration{5000}, make([]time.Duration, sharedYields)...), 0, spins},
		{"another computes", []time.Duration{3 * time.Millisecond}, 0, sleeps},
	} {
		var w Waiter
		for _, d := range c.took {
			w.yielded(d)
		}
		if got := w.next(c.quiet); got != c.want {
			t.Errorf("%s: step %d, want %d", c.name, got, c.want)
		}
	}
}

// After a while of sleeping a Waiter tries a yield again: who computed may have ended.
func TestWaiterTriesYieldingAgain(t *testing.T) {
	var w Waiter
	w.yielded(time.Second)
	waits := 0
	for now := clock.Time(1); w.Wait(now); now++ {
		if w.Worked(); waits > 10*hoggedWaits {
			t.Fatal("it sleeps for ever")
		}
		waits++
	}
	if waits != hoggedWaits-1 {
		t.Errorf("it slept %d times, want %d", waits, hoggedWaits-1)
	}
}
