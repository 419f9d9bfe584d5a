package cluster

import (
	"cmp"
	"slices"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// step is one step of a history: a batch of operations of one member, or the opening of a primary. In the tail it is not certain
// that it counts.
type step struct {
	index, hash uint64 // of the replica after it; in the tail not known
	by          wire.MemberID
	batch       []byte        // body of the batch as it was delivered
	opening     *wire.Opening // nil: a batch

	received clock.Time // when this member had all of it; what a lease of the own is counted from
	slots    []*slot    // in the tail and with a learner: the own calls in it, in order
}

// entry is the step as it goes to others, or to the disk.
func (s *step) entry() wire.ClusterEntry {
	return wire.ClusterEntry{Index: s.index, Hash: s.hash, Member: s.by, Batch: s.batch, Opening: s.opening}
}

// Bounds of the log of recent operations.
const (
	historyBytes = 64 << 20
	historyChunk = 256 << 10
	stepBytes    = 128 // what a step costs besides its bytes
)

// history is the log of recent operations: what this replica has counted lately, in order.
type history struct {
	steps []step // steps[head:] are kept
	head  int
	bytes int
	chunk []byte // room for the bytes of batches: many of them are one allocation
}

// reset forgets everything: what follows does not continue it.
func (h *history) reset() { *h = history{} }

// keep copies the bytes of a batch.
func (h *history) keep(b []byte) []byte {
	if len(b) > cap(h.chunk)-len(h.chunk) {
		if len(b) > historyChunk/4 {
			return append([]byte(nil), b...)
		}
		h.chunk = make([]byte, 0, historyChunk)
	}
	at := len(h.chunk)
	h.chunk = append(h.chunk, b...)
	return h.chunk[at:len(h.chunk):len(h.chunk)]
}

// add appends a step whose bytes are kept.
func (h *history) add(s step) {
	s.slots = nil
	h.steps = append(h.steps, s)
	h.bytes += len(s.batch) + stepBytes
	for h.bytes > historyBytes && h.head < len(h.steps)-1 {
		h.bytes -= len(h.steps[h.head].batch) + stepBytes
		h.steps[h.head] = step{}
		h.head++
	}
	if h.head > 1024 && h.head > len(h.steps)/2 {
		n := copy(h.steps, h.steps[h.head:])
		clear(h.steps[n:])
		h.steps, h.head = h.steps[:n], 0
	}
}

// after returns the steps that follow on a replica at (index, hash). ok is false where the log does not reach back to it, or
// holds another history. The slice is lent until the next add.
func (h *history) after(index, hash uint64) (steps []step, ok bool) {
	l := h.steps[h.head:]
	i, ok := at(l, index)
	if !ok {
		return nil, false
	}
	return l[i+1:], l[i].hash == hash
}

// hash returns the history's hash after the step with that index.
func (h *history) hash(index uint64) (hash uint64, ok bool) {
	l := h.steps[h.head:]
	i, ok := at(l, index)
	if !ok {
		return 0, false
	}
	return l[i].hash, true
}

// at finds the step with that index.
func at(l []step, index uint64) (i int, ok bool) {
	return slices.BinarySearchFunc(l, index, func(s step, x uint64) int { return cmp.Compare(s.index, x) })
}
