package engine

import (
	"math"
	"time"

	"golang.org/x/sys/unix"

	"github.com/activeblaze/blaze/clock"
)

// monotonicOffset is CLOCK_MONOTONIC at the instant start. Go's monotonic readings are that
// clock less a constant, so one comparison serves for ever. The tightest of a few brackets is
// taken, lest a preemption between two readings becomes a constant error.
func monotonicOffset(start time.Time) clock.Time {
	var best clock.Time
	tightest := time.Duration(math.MaxInt64)
	for range 32 {
		var ts unix.Timespec
		before := time.Since(start)
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			return 1
		}
		after := time.Since(start)
		if width := after - before; width < tightest {
			tightest = width
			best = clock.Time(ts.Nano()) - clock.Time(before+width/2)
		}
	}
	return best
}
