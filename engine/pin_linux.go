package engine

import "golang.org/x/sys/unix"

// pin moves the calling thread, which is locked to its goroutine, to cpu.
func pin(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return &PinError{CPU: cpu, Err: err}
	}
	return nil
}

// yield gives the rest of the time slice away.
func yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
