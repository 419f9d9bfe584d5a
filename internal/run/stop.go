package run

import (
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
)

// Refuse begins the stop: nothing more is accepted, and goroutines that wait for room return ErrClosed.
// What was claimed can still be committed. Refuse is called once, and not by an Inline handler.
func (r *Run) Refuse() {
	if r.invoker {
		r.mu.Lock()
		r.refuses = true
		r.mu.Unlock()
	}
	close(r.refused)
	r.watch.stop()
	r.member.Refuse()
}

// refusing reports whether Refuse was called.
func (r *Run) refusing() bool {
	select {
	case <-r.refused:
		return true
	default:
		return false
	}
}

// Settle waits until what was accepted has been sent and reported received, and what was claimed is
// committed or aborted. At the deadline it gives up: claims are taken back, so that their Commit returns
// ErrClosed, and what has not reached a sender is counted as unsent. It describes what was missing.
func (r *Run) Settle(deadline clock.Time) (left []string) {
	r.until(0, deadline, r.member.Settled)
	_ = r.Do(func() {
		r.abandoned = true
		left = r.member.Abandon()
	})
	return left
}

// SettleGroup waits, at most until the deadline, until nothing between this member of a group and another one is
// outstanding.
func (r *Run) SettleGroup(deadline clock.Time) { r.until(0, deadline, r.member.GroupSettled) }

// silentMax bounds the turns in which Leave datagrams go out. Their number is bounded, too.
const silentMax = 50 * time.Millisecond

// End has the cores send their Leave datagrams, and ends the engines. Then it calls last, which may
// read every engine's state, and gives the member's memory back. It passes how many messages
// were accepted and not sent. It is called after Settle.
func (r *Run) End(last func(unsent uint64)) {
	silent := engine.Now().Add(silentMax)
	for i, w := range r.workers {
		_ = r.DoAt(i, func() { r.member.CloseAt(i, w.engine.Now()) })
	}
	for i := range r.workers {
		r.until(i, silent, func() bool { return r.member.SilentAt(i) })
	}
	if r.invoker {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ended = true
	} else {
		r.endWorkers()
	}
	if r.group != nil {
		r.group.end()
	}
	last(r.member.Unsent())
	r.member.Release()
	close(r.gone)
}
