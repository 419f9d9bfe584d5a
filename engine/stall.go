package engine

import (
	"time"

	"github.com/activeblaze/blaze/clock"
)

// stall returns for how long the engine stood still before the turn at now. A loop that does not sleep
// turns again at once, so that is the time since its last turn. A loop that slept, and an application that
// turns its engine itself, were to turn at Deadline, which has not changed since then: what counts is what
// passed after that. Counting the sleep itself would make each timer's slack look like a stall.
func (e *Engine) stall(now clock.Time) time.Duration {
	if e.stats.Turns == 0 {
		return 0
	}
	gap := now.Sub(e.now)
	if gap < e.cfg.StallLimit || e.looping && !e.slept {
		return gap
	}
	at, ok := e.Deadline()
	if !ok {
		return 0 // nothing was due
	}
	return min(gap, now.Sub(at))
}
