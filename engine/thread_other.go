//go:build !linux

package engine

// nameThread does nothing here, and knows no number.
func nameThread(string) (thread int) { return 0 }
