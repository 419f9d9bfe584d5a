//go:build !linux

package udp

// Driver is one member's sockets.
type Driver = Portable

// Open opens the sockets that cfg describes. Its errors say what was tried and what helps;
// those that a different Config cures are ErrConfig or ErrUnsupported.
func Open(cfg Config) (*Driver, error) { return OpenPortable(cfg) }
