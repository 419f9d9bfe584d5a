//go:build amd64 || arm64 || riscv64

package gid

// current returns the address of the runtime's record of the goroutine, which never moves.
//
//go:noescape
func current() uint64
