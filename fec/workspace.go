package fec

import (
	"unsafe"

	"github.com/activeblaze/blaze/wire"
)

// Workspace is the memory that decoding needs. One serves all Decoders of an engine: what one of
// them needs at some moments, and few need at one time, is here.
type Workspace struct {
	size     int      // bytes of a symbol, padded
	memory   []byte   // of MaxSource symbols
	repair   [][]byte // parts of it: repair symbols, from which what is known is subtracted
	symbol   []byte   // one source symbol
	solver   Solver
	lost     [MaxSource]uint8
	rows     [MaxSource]uint8
	datagram wire.Datagram

	spare  []*block // blocks that were made and that no Decoder has now
	blocks int      // that may still be made
	all    int      // blocks
	slots  int      // that Decoders may still take
}

// NewWorkspace makes a Workspace for datagrams of up to datagram bytes. All Decoders that have it
// share blocks that wait for symbols, and slots for the datagrams that they keep; 64 of these each
// Decoder has besides.
func NewWorkspace(datagram, blocks, slots int) *Workspace {
	size := padded(datagram)
	mem := make([]byte, (MaxSource+1)*size)
	return &Workspace{
		size: size, memory: mem[:MaxSource*size], repair: make([][]byte, MaxSource), symbol: mem[MaxSource*size:],
		blocks: blocks, all: blocks, slots: slots,
	}
}

// WorkspaceBytes is how many bytes a Workspace takes at most.
func WorkspaceBytes(datagram, blocks, slots int) int {
	return (MaxSource+1)*padded(datagram) + int(unsafe.Sizeof(Workspace{})) +
		blocks*int(unsafe.Sizeof(block{})+unsafe.Sizeof(&block{})) + slots*int(unsafe.Sizeof(slot{}))
}

// scarce reports whether so few of many blocks are left that they are for Decoders that have none.
func (w *Workspace) scarce() bool { return w.all > openBlocks && w.blocks+len(w.spare) < w.all/4 }

// takeBlock hands out a block; nil: there is none.
func (w *Workspace) takeBlock() *block {
	if n := len(w.spare); n > 0 {
		b := w.spare[n-1]
		w.spare = w.spare[:n-1]
		return b
	}
	if w.blocks == 0 {
		return nil
	}
	w.blocks--
	return new(block)
}

// giveBlock takes back a block that holds nothing.
func (w *Workspace) giveBlock(b *block) { w.spare = append(w.spare, b) }

// takeSlots reports whether a Decoder may have n more slots.
func (w *Workspace) takeSlots(n int) bool {
	if n > w.slots {
		return false
	}
	w.slots -= n
	return true
}

func (w *Workspace) giveSlots(n int) { w.slots += n }
