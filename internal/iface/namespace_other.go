//go:build !linux

package iface

// Namespace is the network namespace in which a socket was made. Only Linux has several.
type Namespace struct{}

// Here is the namespace of the calling thread.
func Here() Namespace { return Namespace{} }

// Do runs f on a thread that is in the namespace.
func (Namespace) Do(_ int, f func() error) error { return f() }
