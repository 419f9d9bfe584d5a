package proc

import (
	"syscall"
	"time"
)

// SelfCPU is the processor time that this process has used so far, user and kernel.
func SelfCPU() time.Duration {
	var created, exited, kernel, user syscall.Filetime
	self, err := syscall.GetCurrentProcess()
	if err != nil || syscall.GetProcessTimes(self, &created, &exited, &kernel, &user) != nil {
		return 0
	}
	// A duration in a Filetime counts 100 ns; its Nanoseconds method would subtract the epoch.
	ticks := func(f syscall.Filetime) int64 { return int64(f.HighDateTime)<<32 | int64(f.LowDateTime) }
	return time.Duration(100 * (ticks(kernel) + ticks(user)))
}
