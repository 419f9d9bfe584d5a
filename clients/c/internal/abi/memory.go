package abi

import (
	"fmt"
	"math"
	"sync"
	"unsafe"

	"github.com/activeblaze/blaze"
)

// Memory is where bytes lie that a caller keeps: C's heap in the library, where sanitizers and valgrind watch it, and Go's
// in tests.
type Memory interface {
	Alloc(n int) unsafe.Pointer // not nil; the caller's contents
	Free(p unsafe.Pointer)
}

// Heap is the memory that is used. The library sets it before any other call.
var Heap Memory

// blocks are those that callers have and give back by Release.
var blocks struct {
	mu   sync.Mutex
	lent map[uintptr]struct{}
}

// NewBlock returns memory of n bytes that a caller gives back by Release.
func NewBlock(n int) unsafe.Pointer {
	p := Heap.Alloc(max(n, 1))
	blocks.mu.Lock()
	defer blocks.mu.Unlock()
	if blocks.lent == nil {
		blocks.lent = map[uintptr]struct{}{}
	}
	blocks.lent[uintptr(p)] = struct{}{}
	return p
}

// Release takes back what NewBlock returned; nil is nothing. Memory that is not out, or not any more, is ErrArgument.
func Release(p unsafe.Pointer) error {
	if p == nil {
		return nil
	}
	blocks.mu.Lock()
	_, out := blocks.lent[uintptr(p)]
	delete(blocks.lent, uintptr(p))
	blocks.mu.Unlock()
	if !out {
		return fmt.Errorf("%w: release of memory that this library did not hand out, or that was released before", blaze.ErrArgument)
	}
	Heap.Free(p)
	return nil
}

// Blocks returns the number of blocks that are out.
func Blocks() int {
	blocks.mu.Lock()
	defer blocks.mu.Unlock()
	return len(blocks.lent)
}

// copyText copies a text and a NUL behind it.
func copyText(text string) unsafe.Pointer {
	p := Heap.Alloc(len(text) + 1)
	room := unsafe.Slice((*byte)(p), len(text)+1)
	copy(room, text)
	room[len(text)] = 0
	return p
}

// TextBlock is a block with a text and a NUL behind it.
func TextBlock(text []byte) unsafe.Pointer {
	p := NewBlock(len(text) + 1)
	room := unsafe.Slice((*byte)(p), len(text)+1)
	copy(room, text)
	room[len(text)] = 0
	return p
}

// Bytes returns the n bytes at p, which stay the caller's. n bytes at no address are ErrArgument; no bytes may lie anywhere.
func Bytes(what string, p unsafe.Pointer, n uint64) ([]byte, error) {
	switch {
	case n == 0:
		return nil, nil
	case p == nil:
		return nil, fmt.Errorf("%w: %s is NULL, and its length %d", blaze.ErrArgument, what, n)
	case n > math.MaxInt32*2:
		return nil, fmt.Errorf("%w: %s of %d bytes", blaze.ErrTooLarge, what, n)
	}
	return unsafe.Slice((*byte)(p), int(n)), nil
}

// Missing is the error of an argument that is NULL and must not be.
func Missing(what string) error { return fmt.Errorf("%w: %s is NULL", blaze.ErrArgument, what) }
