package run

import (
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/gid"
)

// Handler returns the engine that the caller is inside a turn of: the caller is an Inline handler
// then. ok reports whether it is.
func (r *Run) Handler() (engine int, ok bool) {
	me := gid.Current()
	for i, w := range r.workers {
		if w.inside.Load() == me {
			return i, true
		}
	}
	return 0, false
}

// InHandler reports whether the caller is an Inline handler.
func (r *Run) InHandler() bool {
	_, in := r.Handler()
	return in
}

// Do calls f where the state of the first engine may be touched, and of all that applications send. It
// returns ErrClosed, and does not call f, when the run has ended.
func (r *Run) Do(f func()) error { return r.DoAt(0, f) }

// DoAt is Do for any engine. An Inline handler may call it for the engine that runs the handler, and
// for the first one. A handler of the first one waits for no other engine, so no two wait for each
// other.
func (r *Run) DoAt(i int, f func()) error {
	w := r.workers[i]
	if !r.invoker {
		if w.inside.Load() == gid.Current() {
			f()
			return nil
		}
		return w.do(f)
	}
	inside, err := r.enter()
	if err != nil {
		return err
	}
	f()
	r.leave(inside)
	return nil
}

// enter takes an Invoker's engine for the caller, until leave. inside reports whether the caller has it
// already. It returns ErrClosed, and takes nothing, when the run has ended.
func (r *Run) enter() (inside bool, err error) {
	if r.workers[0].inside.Load() == gid.Current() {
		return true, nil
	}
	r.mu.Lock()
	if r.ended {
		r.mu.Unlock()
		return false, ErrClosed
	}
	return false, nil
}

func (r *Run) leave(inside bool) {
	if !inside {
		r.mu.Unlock()
	}
}

// Barrier returns when no Inline handler that was running is running any more. A handler that calls
// it waits for none: those of two engines would wait for each other.
func (r *Run) Barrier() {
	if r.InHandler() {
		return
	}
	for i := range r.workers {
		_ = r.DoAt(i, func() {}) // after the end no handler runs
	}
}

// until waits until cond holds, which it calls where the engine's state may be touched. With an Invoker
// it turns the engine meanwhile. It reports whether cond held before the deadline.
func (r *Run) until(i int, deadline clock.Time, cond func() bool) (held bool) {
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		var err error
		if r.invoker {
			held, err = r.turnUntil(cond)
		} else if err = r.DoAt(i, func() { held = cond() }); !held {
			time.Sleep(wait)
		}
		if err != nil || held || engine.Now() > deadline {
			return held
		}
	}
}
