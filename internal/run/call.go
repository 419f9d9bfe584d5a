package run

import (
	"context"
	"math"
	"time"

	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/member"
)

// Begin begins a call. On an error it was not begun, and is given back: ctx's error, ErrClosed when the run
// begins to stop, ErrOccupied in an Inline handler. late: a run that stops accepts it too, until it has ended.
func (r *Run) Begin(ctx context.Context, c *member.Call, late bool) (err error) {
	if r.InHandler() {
		err = ErrOccupied
	}
	for err == nil && !r.member.BeginCall(c) {
		err = r.makeRoom(ctx, r.stop(late))
	}
	if err != nil {
		r.calls.Free(c)
		return err
	}
	r.engine.Notify()
	return nil
}

func (r *Run) stop(late bool) <-chan struct{} {
	if late {
		return r.gone
	}
	return r.refused
}

// Finish waits for the end of a call that was begun, which is in c.End when the error is nil. Else the error is
// ctx's, or ErrClosed when the run begins to stop; ended reports whether c.End is there nevertheless. Unless it is,
// c is the engine's now. With an Invoker the caller turns the engine meanwhile, unless another goroutine does.
func (r *Run) Finish(ctx context.Context, c *member.Call, late bool) (ended bool, err error) {
	return r.finish(ctx, &c.Slot, r.stop(late), func() bool { return r.member.CancelCall(c.Number()) })
}

// finish is Finish for any kind of call. cancel leaves the command that ends it; it is false when there is no room.
func (r *Run) finish(ctx context.Context, c *member.Slot, stop <-chan struct{}, cancel func() bool) (ended bool, err error) {
	if err = r.await(ctx, c, stop); err == nil {
		return true, nil
	}
	if err != ErrClosed && r.cancel(c, stop, cancel) == nil {
		return true, err // with how it ended
	}
	if c.Leave() {
		return false, err
	}
	<-c.Ended()
	return true, err
}

// Leave begins a call that nobody waits for. It never waits, and is false when the command ring is full.
func (r *Run) Leave(c *member.Call) bool {
	if !r.member.BeginCallUnwatched(c) {
		r.calls.Free(c)
		return false
	}
	r.engine.Notify()
	return true
}

// cancelWait is how long a caller whose context has ended waits for the engine to say how the call ended.
const cancelWait = 10 * time.Millisecond

// cancel has a call end, and waits a moment for that.
func (r *Run) cancel(c *member.Slot, stop <-chan struct{}, cancel func() bool) error {
	ctx, done := context.WithTimeout(context.Background(), cancelWait)
	defer done()
	for !cancel() {
		if err := r.makeRoom(ctx, stop); err != nil {
			return err
		}
	}
	r.engine.Notify()
	return r.await(ctx, c, stop)
}

// await waits for the end of a call.
func (r *Run) await(ctx context.Context, c *member.Slot, stop <-chan struct{}) error {
	if r.invoker {
		return r.awaitTurning(ctx, c, stop)
	}
	select {
	case <-c.Ended():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-stop:
		return ErrClosed
	}
}

// awaitTurning is await with an Invoker.
func (r *Run) awaitTurning(ctx context.Context, c *member.Slot, stop <-chan struct{}) error {
	var others lookout
	var w engine.Waiter
	var timer *time.Timer
	for {
		if c.HasEnded() {
			<-c.Ended()
			return nil
		}
		if err := over(ctx, stop); err != nil {
			return err
		}
		turned, work, _ := r.turnOnce(&others)
		switch {
		case turned && work > 0:
			w.Worked()
			continue
		case turned:
			if !r.spins && w.Wait(engine.Now()) {
				_ = r.Do(r.rest)
			}
			continue
		}
		if timer == nil {
			timer = time.NewTimer(takeOver)
			defer timer.Stop()
		} else {
			timer.Reset(takeOver)
		}
		select {
		case <-c.Ended():
			return nil
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-stop:
			return ErrClosed
		}
	}
}

// makeRoom makes room in the command ring, or waits a little for it.
func (r *Run) makeRoom(ctx context.Context, stop <-chan struct{}) error {
	if err := over(ctx, stop); err != nil {
		return err
	}
	if r.invoker { // perhaps no goroutine turns
		return r.Do(func() { r.member.Commands(r.Now(), math.MaxInt) })
	}
	time.Sleep(firstWait)
	return nil
}

// over is the error of a wait that is over, nil while it is not.
func over(ctx context.Context, stop <-chan struct{}) error {
	select {
	case <-stop:
		return ErrClosed
	default:
		return ctx.Err()
	}
}

// Done reports what became of an item of a queue. It waits for room in the command ring. After the end it does
// nothing.
func (r *Run) Done(d *member.Done) {
	for !r.member.Done(d) {
		if r.makeRoom(context.Background(), r.gone) != nil {
			return
		}
	}
	r.engine.Notify()
}

// Slot takes a slot for a call, and waits for one if there is none.
func (r *Run) Slot(ctx context.Context) (*member.Call, error) {
	var others lookout
	for {
		if c := r.calls.Get(); c != nil {
			return c, nil
		}
		if err := r.awaitSlot(ctx, &others); err != nil {
			return nil, err
		}
	}
}

// awaitSlot waits a little for a slot.
func (r *Run) awaitSlot(ctx context.Context, others *lookout) error {
	if r.InHandler() {
		return ErrOccupied
	}
	if err := over(ctx, r.refused); err != nil {
		return err
	}
	if r.invoker {
		if turned, _, _ := r.turnOnce(others); turned {
			return nil
		}
	}
	time.Sleep(firstWait)
	return nil
}

// TrySlot is Slot that does not wait: nil if there is none.
func (r *Run) TrySlot() *member.Call { return r.calls.Get() }

// Free gives a slot back.
func (r *Run) Free(c *member.Call) { r.calls.Free(c) }
