package intake

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/activeblaze/blaze/clock"
)

// Watch finds the slow consumers among the intakes of an owner: those that were full for more than half
// of the last second. The length of one pause shows little: it ends when one message has been taken.
//
// It looks once a second, and only while an intake is or was full.
type Watch struct {
	now func() clock.Time

	mu     sync.Mutex
	of     []*Intake
	looked clock.Time
	active bool // a look is due
}

// Slow is what Config.Slow is given.
type Slow struct {
	Recovered bool    // it was slow, and has not been full for a second
	Full      float64 // share of the last second
	Waiting   int     // messages
	Taken     float64 // messages a second
}

const (
	watchEvery = time.Second
	slowEvery  = 10 * time.Second // between two reports of an intake
)

// watched is the Watch's part of an Intake; it is the Watch's own, under its lock.
type watched struct {
	slow     bool
	reported bool       // its owner was given a Slow that has not recovered
	report   clock.Time // when it was last
	full     int64      // inlet.fullFor as last looked at, the largest
	taken    uint64
}

// NewWatch makes a Watch; now reads the clock that the engines' turns are timed by.
func NewWatch(now func() clock.Time) *Watch { return &Watch{now: now} }

// add has q watched, if it is not yet. Engines' threads call it when q becomes full.
func (w *Watch) add(q *Intake) {
	if q.watching.Load() || !q.watching.CompareAndSwap(false, true) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.of = append(w.of, q)
	q.watched.full, q.watched.taken = q.fullFor(w.now()), q.taken()
	if !w.active {
		w.active, w.looked = true, w.now()
		time.AfterFunc(watchEvery, w.look)
	}
}

func (w *Watch) look() {
	var reports []func() // called without the lock, which engines' threads take
	w.mu.Lock()
	now := w.now()
	if elapsed := now.Sub(w.looked); elapsed > 0 {
		w.of = slices.DeleteFunc(w.of, func(q *Intake) bool {
			done, s := q.look(now, elapsed)
			if s != nil {
				reports = append(reports, func() { q.cfg.Slow(*s) })
			}
			return done
		})
	}
	w.looked = now
	w.mu.Unlock()
	for _, f := range reports {
		f()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.active = len(w.of) > 0; w.active {
		time.AfterFunc(watchEvery, w.look)
	}
}

// look judges the time that has elapsed since the last look. It returns whether q needs no more of them,
// and what is to be reported, if anything is.
func (q *Intake) look(now clock.Time, elapsed time.Duration) (done bool, report *Slow) {
	w := &q.watched
	full, taken := q.fullFor(now), q.taken()
	share := min(float64(full-w.full)/float64(elapsed), 1)
	s := &Slow{Full: share, Waiting: q.Len(), Taken: float64(taken-w.taken) / elapsed.Seconds()}
	w.full, w.taken = full, taken
	q.full.Store(math.Float64bits(share))
	switch {
	case q.ended.Load():
		done = true
	case share > 0.5:
		if !w.slow {
			w.slow = true
			q.cfg.Counters.Slow.Add(1)
		}
		if w.report == 0 || now.Sub(w.report) >= slowEvery {
			w.report, w.reported, report = now, true, s
		}
	case share == 0:
		if w.slow = false; w.reported {
			w.reported, s.Recovered, report = false, true, s
		}
		done = true
	}
	if done {
		q.watching.Store(false)
	}
	return done, report
}

// fullFor is how long the inlet was full that was so for the longest.
func (q *Intake) fullFor(now clock.Time) (longest int64) {
	for _, in := range *q.inlets.Load() {
		if in.fullSince.Load() != 0 && in.idle() { // it learns so with the next message, if there is one
			in.notFull(now)
		}
		n := in.fullFor.Load()
		if since := in.fullSince.Load(); since != 0 {
			n += int64(now) - since
		}
		longest = max(longest, n)
	}
	return longest
}

// taken is how many messages have been taken.
func (q *Intake) taken() (n uint64) {
	for _, in := range *q.inlets.Load() {
		n += in.taken.Load() - in.lost.Load()
	}
	return n
}
