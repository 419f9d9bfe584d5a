//go:build unix

package proc

import "syscall"

// SelfSwitches is how often threads of this process have gone to sleep by themselves so far, and so how often
// they were woken up. 0 where the system does not count it.
func SelfSwitches() uint64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return uint64(u.Nvcsw)
}
