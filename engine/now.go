package engine

import (
	"time"

	"github.com/activeblaze/blaze/clock"
)

var (
	processStart  = time.Now()
	processOffset = monotonicOffset(processStart)
)

// Now reads the clock: on Linux CLOCK_MONOTONIC in nanoseconds, comparable between the
// processes of a host; elsewhere a monotonic clock of this process. It costs about 30 ns, no
// system call.
func Now() clock.Time { return processOffset + clock.Time(time.Since(processStart)) }
