//go:build !unix

package proc

// SelfSwitches is 0: this system does not count how often threads go to sleep.
func SelfSwitches() uint64 { return 0 }
