//go:build !linux

package measure

import "runtime"

// kernel names the system only: no portable call gives its release.
func kernel() string { return runtime.GOOS + " " + runtime.GOARCH }
