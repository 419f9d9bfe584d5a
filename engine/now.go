package engine

import (
	"time"

	"github.com/activeblaze/blaze/clock"
)

var (
	processStart  = time.Now()
	processOffset = monotonicOffset(processStart)
	counter       = processCounter() // nil: none
)

// Now reads the clock: on Linux CLOCK_MONOTONIC in nanoseconds, comparable between the
// processes of a host; elsewhere a monotonic clock of this process. It makes no system call. It costs about 45 ns, and
// 15 ns on amd64 where the kernel itself reads the time stamp counter (clocksource tsc): then it is within 200 ns of
// CLOCK_MONOTONIC, and within 80 µs while a time daemon slews that.
func Now() clock.Time {
	if counter != nil {
		return counter.now()
	}
	return monotonic()
}

// monotonic reads the clock itself.
func monotonic() clock.Time { return processOffset + clock.Time(time.Since(processStart)) }
