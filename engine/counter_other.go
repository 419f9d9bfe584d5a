//go:build !(linux && amd64)

package engine

// processCounter is nil: there is no counter that is known to be CLOCK_MONOTONIC's.
func processCounter() *counterClock { return nil }
