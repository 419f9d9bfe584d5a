package run

import (
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
)

// A run stops in three steps, so that its owner can wait for handlers in between: Refuse, Settle,
// End.

// Refuse begins the stop: goroutines that wait for room return ErrClosed, and nothing more is
// accepted.
func (r *Run) Refuse() { close(r.done) }

// stopping reports whether Refuse was called.
func (r *Run) stopping() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// Settle waits until what was accepted has been sent and reported received. It returns what was
// not at the deadline.
func (r *Run) Settle(deadline clock.Time) (left []string) {
	if !r.until(deadline, r.member.Settled) {
		r.Do(func() { left = append(left, r.member.Unsettled()) })
	}
	return left
}

// silentMax bounds the turns in which Leave datagrams go out.
const silentMax = 50 * time.Millisecond

// End has the cores send their Leave datagrams, and ends the engines. Then it calls last, which may
// read every engine's state, and gives the member's memory back. It returns how many bytes were
// offered and not taken.
func (r *Run) End(last func()) (queued int) {
	silent := engine.Now().Add(silentMax)
	for i, w := range r.workers {
		r.DoAt(i, func() { r.member.CloseAt(i, w.engine.Now()) })
	}
	for i := range r.workers {
		r.untilAt(i, silent, func() bool { return r.member.SilentAt(i) })
	}
	r.end()
	queued = r.member.Queued()
	last()
	r.member.Release()
	return queued
}
