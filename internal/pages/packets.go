//go:build linux && !race

package pages

// Packets is Map, for memory that only this process touches; Free takes it back.
func Packets(size int) ([]byte, error) { return Map(size) }

// Free gives back what Packets returned. Nobody may touch it afterwards.
func Free(mem []byte) error { return Unmap(mem) }
