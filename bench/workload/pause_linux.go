package workload

import (
	"time"

	"golang.org/x/sys/unix"
)

// exactPauses lets the calling thread, which must be locked, wake within microseconds of the time
// that it asked for; the kernel's own slack is 50 µs.
func exactPauses() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) }

// pause sleeps in the kernel. The runtime's timers may be a millisecond late on an idle process.
func pause(d time.Duration) {
	if d > 0 {
		ts := unix.NsecToTimespec(int64(d))
		_ = unix.Nanosleep(&ts, nil) // a signal ends it early: the caller looks at the clock anyway
	}
}
