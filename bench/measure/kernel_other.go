//go:build !linux

package measure

import "runtime"

// kernel names the system only: its release is told by no portable call.
func kernel() string { return runtime.GOOS + " " + runtime.GOARCH }
