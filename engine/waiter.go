package engine

import (
	"time"

	"github.com/activeblaze/blaze/clock"
)

// Waiter passes the time of a loop that has nothing to do, as Backoff describes it: it spins, then
// yields, then has the caller sleep. How long a yield takes shows what else wants the processor,
// and the Waiter acts on it:
//
//   - Nothing does: spinning does no harm.
//   - A thread that yields too, such as another member on a host with fewer processors than members.
//     Then a thread that spins holds up the one that has the work, so the Waiter yields at once.
//   - A thread that computes. Then a yield may last a whole time slice, but a thread that slept is
//     preferred when it wakes, so the Waiter has the caller sleep at once.
//
// The zero value is ready. It belongs to one thread.
type Waiter struct {
	since  clock.Time // when the work ran out; 0: there was some
	shared int        // yields that must return at once before spinning is tried again
	hogged int        // waits that are to sleep before a yield is tried again
}

const (
	// aloneYield is what a yield takes at most when nothing else wants the processor: a system call.
	aloneYield = 2 * time.Microsecond
	// sharedYields and hoggedWaits are how long the Waiter remembers what it has seen.
	sharedYields = 32
	hoggedWaits  = 64
)

// Worked notes that there was something to do.
func (w *Waiter) Worked() { w.since = 0 }

// Wait spins or yields once, or reports that it is time to sleep. now is the time of the turn that
// found nothing.
func (w *Waiter) Wait(now clock.Time) (sleep bool) {
	if w.since == 0 {
		w.since = now
		w.hogged = max(w.hogged-1, 0)
	}
	switch w.next(now.Sub(w.since)) {
	case sleeps:
		return true
	case yields:
		before := Now()
		yield()
		w.yielded(Now().Sub(before))
	}
	return false
}

// step is what a Waiter does.
type step uint8

const (
	spins step = iota
	yields
	sleeps
)

// next is what to do when there was nothing to do for that long.
func (w *Waiter) next(quiet time.Duration) step {
	switch {
	case w.hogged > 0, quiet >= YieldFor:
		return sleeps
	case w.shared == 0 && quiet < SpinFor:
		return spins
	}
	return yields
}

// yielded notes how long a yield took.
func (w *Waiter) yielded(d time.Duration) {
	switch {
	case d <= aloneYield:
		w.shared = max(w.shared-1, 0)
	case d <= YieldFor:
		w.shared = sharedYields
	default:
		w.shared, w.hogged = sharedYields, hoggedWaits
	}
}
