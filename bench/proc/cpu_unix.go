//go:build unix

package proc

import (
	"syscall"
	"time"
)

// SelfCPU is the processor time that this process has used so far, user and system.
func SelfCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
