package engine

import "testing"

// hostCounter is this host's counter, also where the kernel does not read it.
func hostCounter(t testing.TB) func() uint64 {
	if !hasCounter() {
		t.Skip("this processor has no time stamp counter of one rate")
	}
	return readCounter
}
