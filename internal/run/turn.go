package run

import (
	"context"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/gid"
)

// Turn is one turn of an Invoker's engine on the caller's goroutine. It returns how much there was to
// do; 0 without an Invoker, from within a handler, and when the run has ended.
func (r *Run) Turn() (work int) {
	if !r.invoker {
		return 0
	}
	inside, err := r.enter()
	if err != nil || inside {
		return 0
	}
	work = r.turn()
	after := r.after
	r.after = nil
	r.mu.Unlock()
	for _, f := range after {
		f()
	}
	return work
}

// turn turns the engine. The caller holds mu.
func (r *Run) turn() (work int) {
	w, me := r.workers[0], gid.Current()
	r.turns++
	r.turner = me
	w.inside.Store(me)
	work = r.engine.Turn(engine.Now())
	w.inside.Store(0)
	if work > 0 {
		r.member.Stir()
	}
	return work
}

// turnUntil turns the engine once, for until. Where there was nothing to do it waits a little.
func (r *Run) turnUntil(cond func() bool) (held bool, err error) {
	if _, err = r.enter(); err != nil {
		return false, err
	}
	defer r.mu.Unlock()
	turner := r.turner
	work := r.turn()
	r.turner = turner // Stop is no turning goroutine
	for _, f := range r.after {
		go f() // it may wait for the stop that turns here
	}
	r.after = nil
	if held = cond(); !held && work == 0 {
		r.driver.Wait(idleWait)
	}
	return held, nil
}

// idleWait is how long a goroutine that turns while it waits for something lets the driver wait, when
// there was nothing to do.
const idleWait = 50 * time.Microsecond

// After calls f when the turn that calls it is over. Only an Inline handler may call it.
func (r *Run) After(f func()) {
	if r.invoker {
		r.after = append(r.after, f)
	} else {
		go f()
	}
}

// Changer is something that goroutines wait for a change of: a lane, say.
type Changer interface {
	// Changed returns a channel that is closed at the next change. done ends the caller's wait.
	Changed() (c <-chan struct{}, done func())
}

// Await waits until cond holds. It looks again whenever what it waits for changes. With an Invoker it turns
// the engine meanwhile, unless another goroutine does. It returns ctx's error, ErrClosed when the run
// begins to stop, and ErrOccupied in an Inline handler.
func (r *Run) Await(ctx context.Context, what Changer, cond func() bool) error {
	var others lookout
	for {
		changed, done := what.Changed()
		if cond() {
			done()
			return nil
		}
		err := r.pause(ctx, changed, &others)
		done()
		if err != nil {
			return err
		}
	}
}

func (r *Run) pause(ctx context.Context, changed <-chan struct{}, others *lookout) error {
	if r.InHandler() {
		return ErrOccupied
	}
	var again <-chan time.Time // nil: never
	if r.invoker {
		switch turned, err := r.turnFor(others); {
		case err != nil:
			return err
		case turned:
			return ctx.Err()
		}
		t := time.NewTimer(takeOver)
		defer t.Stop()
		again = t.C
	}
	select {
	case <-changed:
	case <-again:
	case <-ctx.Done():
		return ctx.Err()
	case <-r.refused:
		return ErrClosed
	}
	return nil
}

// takeOver is how long no goroutine has turned the engine when one that waits begins to. The one that
// turned before may have ended, or may be the one that waits now under another number.
const takeOver = 20 * time.Millisecond

// lookout is what a waiting goroutine has seen of others that turn.
type lookout struct {
	turns uint64
	since clock.Time // no turn since
}

// turnFor turns the engine once for a goroutine that waits, if it is its turn. Where there was nothing to do it
// lets the driver wait a little.
func (r *Run) turnFor(others *lookout) (turned bool, err error) {
	turned, work, err := r.turnOnce(others)
	if turned && work == 0 {
		_ = r.Do(r.rest)
	}
	if turned && r.refusing() {
		err = ErrClosed
	}
	return turned, err
}

// turnOnce turns the engine once for a goroutine that waits, if it is its turn: no goroutine has turned, the
// caller turned last, or for takeOver no other has.
func (r *Run) turnOnce(others *lookout) (turned bool, work int, err error) {
	if _, err = r.enter(); err != nil {
		return false, 0, err
	}
	if r.turner != 0 && r.turner != gid.Current() {
		now := engine.Now()
		if r.turns != others.turns {
			*others = lookout{r.turns, now}
		}
		if now.Sub(others.since) < takeOver {
			r.mu.Unlock()
			return false, 0, nil
		}
	}
	work = r.turn()
	after := r.after
	r.after = nil
	r.mu.Unlock()
	for _, f := range after {
		f()
	}
	return true, work, nil
}
