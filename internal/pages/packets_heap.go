//go:build !linux || race

package pages

// Packets is memory of Go's heap: elsewhere than on Linux, and for the race detector, which sees no other.
func Packets(size int) ([]byte, error) {
	return make([]byte, size), nil
}

// Free gives back what Packets returned. Nobody may touch it afterwards.
func Free([]byte) error { return nil }
