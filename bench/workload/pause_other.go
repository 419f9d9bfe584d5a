//go:build !linux

package workload

import "time"

func exactPauses() {}

// pause sleeps.
func pause(d time.Duration) { time.Sleep(d) }
