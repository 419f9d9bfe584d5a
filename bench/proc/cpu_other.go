//go:build !unix && !windows

package proc

import "time"

// SelfCPU is not known here.
func SelfCPU() time.Duration { return 0 }
