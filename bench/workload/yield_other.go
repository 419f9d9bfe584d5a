//go:build !linux

package workload

import "runtime"

// yield gives the CPU to another goroutine that waits for it.
func yield() { runtime.Gosched() }
