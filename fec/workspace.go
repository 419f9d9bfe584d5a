package fec

import "github.com/activeblaze/blaze/wire"

// Workspace is the memory that decoding needs. One serves all Decoders of an engine.
type Workspace struct {
	size     int      // bytes of a symbol, padded
	memory   []byte   // of MaxSource symbols
	repair   [][]byte // parts of it: repair symbols, from which what is known is subtracted
	symbol   []byte   // one source symbol
	solver   Solver
	lost     [MaxSource]uint8
	rows     [MaxSource]uint8
	datagram wire.Datagram
}

// NewWorkspace makes a Workspace for datagrams of up to datagram bytes: about 66 times as much
// memory.
func NewWorkspace(datagram int) *Workspace {
	size := padded(datagram)
	mem := make([]byte, (MaxSource+1)*size)
	return &Workspace{
		size: size, memory: mem[:MaxSource*size], repair: make([][]byte, MaxSource), symbol: mem[MaxSource*size:],
	}
}
