package run

import (
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/gid"
)

// Handler returns the engine whose thread the caller is on. ok reports whether the caller is inside
// a turn of it: it is an Inline handler then. The call costs about a microsecond.
func (r *Run) Handler() (engine int, ok bool) {
	g := gid.Current()
	for i, w := range r.workers {
		if w.gid.Load() == g {
			return i, !r.invoker || r.turning
		}
	}
	return 0, false
}

// InHandler reports whether the caller is an Inline handler.
func (r *Run) InHandler() bool {
	_, in := r.Handler()
	return in
}

// Do runs f where the state of the first engine may be touched, and of all that applications send.
// It reports whether f has run; it has not when the engine has ended.
func (r *Run) Do(f func()) bool { return r.DoAt(0, f) }

// DoAt runs f where the state of an engine may be touched. An Inline handler may call it for the
// engine that runs the handler, and for the first one. A handler of the first one waits for no
// other engine, so no two wait for each other.
func (r *Run) DoAt(i int, f func()) bool {
	if in, ok := r.Handler(); ok && in == i {
		f()
		return true
	}
	if r.invoker {
		r.mu.Lock()
		defer r.mu.Unlock()
		f()
		return true
	}
	w := r.workers[i]
	ran := make(chan struct{})
	w.engine.Post(func() { f(); close(ran) })
	select {
	case <-ran:
		return true
	case <-w.ended:
		select {
		case <-ran:
			return true
		default:
			return false
		}
	}
}

// Barrier returns when no Inline handler that was running is running any more. A handler that calls
// it waits for none: those of two engines would wait for each other.
func (r *Run) Barrier() {
	if r.InHandler() {
		return
	}
	for i := range r.workers {
		r.DoAt(i, func() {})
	}
}

// until has the first engine turn until cond holds. It calls cond where the engine's state may be
// touched, and reports whether cond held before the deadline.
func (r *Run) until(deadline clock.Time, cond func() bool) (held bool) {
	return r.untilAt(0, deadline, cond)
}

// untilAt is until for any engine.
func (r *Run) untilAt(i int, deadline clock.Time, cond func() bool) (held bool) {
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		asked := r.DoAt(i, func() {
			if r.invoker {
				r.engine.Turn(engine.Now())
			}
			held = cond()
		})
		if !asked || held || engine.Now() > deadline {
			return held
		}
		if !r.invoker {
			time.Sleep(wait)
		}
	}
}
