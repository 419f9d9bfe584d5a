package run

import (
	"context"
	"time"
	"unsafe"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/gid"
	"github.com/activeblaze/blaze/internal/member"
)

// gidEvery is how many turns pass at most between two looks at which goroutine turns: every few
// milliseconds of a loop that spins. More often and the looks, some 5 µs each, are the p99.
const gidEvery = 1 << 16

// noteTurner notes which goroutine turns. Finding that out costs microseconds, so it is done when
// the stack lies elsewhere than at the last turn, and now and then, since a new goroutine may get
// the stack of one that has ended.
func (r *Run) noteTurner() {
	var here byte
	if at := uintptr(unsafe.Pointer(&here)); at != r.stack || r.turns%gidEvery == 0 {
		r.stack = at
		r.workers[0].gid.Store(gid.Current())
	}
	r.turns++
}

// Turn is one turn of an Invoker's engine on the caller's goroutine. It returns how much there was
// to do; 0 without an Invoker and from within a handler.
func (r *Run) Turn() (work int) {
	if !r.invoker || r.turning {
		return 0
	}
	r.mu.Lock()
	r.noteTurner()
	r.turning = true
	work = r.engine.Turn(engine.Now())
	r.turning = false
	r.mu.Unlock()
	if f := r.after; f != nil {
		r.after = nil
		f()
	}
	return work
}

// After runs f when the turn that calls it is over. Only an Inline handler may call it.
func (r *Run) After(f func()) {
	if r.invoker {
		r.after = f
	} else {
		go f()
	}
}

// TurnsHere reports, with an Invoker, whether the caller is to turn the engine while it waits: it
// did so before, or no goroutine has.
func (r *Run) TurnsHere() bool {
	g := r.workers[0].gid.Load()
	return g == 0 || g == gid.Current()
}

// Direct is what an Invoker's own goroutine does with its engine between or inside turns.
func (r *Run) Direct(do func(now clock.Time) error) error {
	if r.turning { // in a handler: the turn holds the lock
		return do(r.engine.Now())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return do(r.engine.Now())
}

// Await waits until cond holds. It looks again whenever the lane changes. With an Invoker it turns
// the engine meanwhile. It returns ctx's error, ErrClosed when the run begins to stop, and
// ErrOccupied in an Inline handler.
func (r *Run) Await(ctx context.Context, lane *member.Lane, cond func() bool) error {
	for {
		changed, done := lane.Changed()
		if cond() {
			done()
			return nil
		}
		var err error
		switch {
		case r.InHandler():
			err = ErrOccupied
		case r.invoker && r.TurnsHere():
			if err = ctx.Err(); err == nil && r.Turn() == 0 {
				r.driver.Wait(50 * time.Microsecond)
			}
			if r.stopping() {
				err = ErrClosed
			}
		default:
			select {
			case <-changed:
			case <-ctx.Done():
				err = ctx.Err()
			case <-r.done:
				err = ErrClosed
			}
		}
		done()
		if err != nil {
			return err
		}
	}
}
