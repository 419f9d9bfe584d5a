package udp

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// pin keeps the caller on one processor until the function that it returns is called. What is
// sent over loopback waits in a queue of the sending processor, and a busy host empties these
// at different times: a test that moves between two would see its datagrams change places.
func pin() (unpin func()) {
	runtime.LockOSThread()
	var old, one unix.CPUSet
	if unix.SchedGetaffinity(0, &old) == nil {
		for cpu := range 1024 {
			if old.IsSet(cpu) {
				one.Set(cpu)
				break
			}
		}
		_ = unix.SchedSetaffinity(0, &one)
	}
	return func() {
		_ = unix.SchedSetaffinity(0, &old)
		runtime.UnlockOSThread()
	}
}
