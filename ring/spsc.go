package ring

import (
	"fmt"
	"math/bits"
	"sync/atomic"
)

// SPSC is a bounded queue between one producer goroutine and one consumer goroutine. Both work
// on the slots in place, so a large T is never copied. Slots keep their contents from lap to
// lap: a T may own memory that is reused, and a T that points somewhere keeps that alive until
// it is overwritten or the consumer clears it.
//
// The producer calls Reserve, Publish, Discard; the consumer Peek, Advance, Flush, Empty;
// anybody Len and Cap. Calls of one side must not overlap.
type SPSC[T any] struct {
	slots []T // never changes; its length is a power of two

	_    pad
	tail atomic.Uint64 // slots below it are the consumer's; written by the producer
	_    pad
	head atomic.Uint64 // slots below it are free again; written by the consumer
	_    pad

	// The producer's own.
	filling  uint64 // next slot to reserve; tail ≤ filling
	headSeen uint64 // head as last looked at: never above head
	_        pad

	// The consumer's own.
	reading  uint64 // next slot to read; head ≤ reading
	freed    uint64 // head as last stored
	tailSeen uint64 // tail as last looked at: never above tail
	_        pad
}

// NewSPSC makes a queue of at least capacity slots (rounded up to a power of two).
// It panics when capacity is below 1.
func NewSPSC[T any](capacity int) *SPSC[T] {
	return &SPSC[T]{slots: make([]T, powerOfTwo("SPSC capacity", capacity, 1))}
}

// Reserve takes the next free slot, for the producer to fill. The consumer sees nothing of it
// before Publish. It is false when the queue is full. Reserve may be called several times
// before one Publish, which then costs one atomic store for all of them.
func (q *SPSC[T]) Reserve() (slot *T, ok bool) {
	if q.filling-q.headSeen == uint64(len(q.slots)) {
		if q.headSeen = q.head.Load(); q.filling-q.headSeen == uint64(len(q.slots)) {
			return nil, false
		}
	}
	slot = &q.slots[q.filling&uint64(len(q.slots)-1)]
	q.filling++
	return slot, true
}

// Publish hands all reserved slots to the consumer, which owns them from here on.
func (q *SPSC[T]) Publish() { q.tail.Store(q.filling) }

// Discard gives back all slots that were reserved since the last Publish.
func (q *SPSC[T]) Discard() { q.filling = q.tail.Load() }

// Peek lends the oldest item, until Advance. It is false when there is none.
func (q *SPSC[T]) Peek() (item *T, ok bool) {
	if q.reading == q.tailSeen {
		if q.tailSeen = q.tail.Load(); q.reading == q.tailSeen {
			q.Flush() // a consumer that went idle must not sit on free slots
			return nil, false
		}
	}
	return &q.slots[q.reading&uint64(len(q.slots)-1)], true
}

// Advance is done with the item that Peek lent. Its slot goes back to the producer no later
// than when a quarter of the queue (at most 64 slots) is waiting to go back, when Peek finds
// the queue empty, or at Flush: the store, and the cache line that travels, are shared by many
// items. It panics when Peek has not seen an item there.
func (q *SPSC[T]) Advance() {
	if q.reading == q.tailSeen {
		panic("ring: SPSC.Advance past what Peek has seen")
	}
	q.reading++
	if q.reading-q.freed >= q.lazy() {
		q.Flush()
	}
}

// Flush returns all slots that the consumer is done with to the producer now.
func (q *SPSC[T]) Flush() {
	if q.freed != q.reading {
		q.freed = q.reading
		q.head.Store(q.freed)
	}
}

// Empty tells the consumer whether Peek would find nothing, and flushes if so. It is what to
// check between Signal.Arm and sleeping: a producer that waits for room would never publish.
func (q *SPSC[T]) Empty() bool {
	if q.reading != q.tail.Load() {
		return false
	}
	q.Flush()
	return true
}

// Len is the number of items published and not yet given back. While the other side is at
// work it is a moment's view, between 0 and Cap.
func (q *SPSC[T]) Len() int {
	head := q.head.Load() // first, so that it is not above the tail
	return min(int(q.tail.Load()-head), len(q.slots))
}

// Cap is the number of slots.
func (q *SPSC[T]) Cap() int { return len(q.slots) }

// lazy is how many consumed slots may wait to be given back. It is a quarter of the queue at
// most, so a producer that finds the queue full always has a consumer with items left, whose
// next Advances free slots: nothing can hang on a Flush that was forgotten.
func (q *SPSC[T]) lazy() uint64 { return min(uint64(len(q.slots)+3)/4, 64) }

// powerOfTwo rounds n up to a power of two that is at least low.
func powerOfTwo(what string, n, low int) int {
	const high = 1 << (bits.UintSize - 4)
	if n < 1 || n > high {
		panic(fmt.Sprintf("ring: %s %d outside 1..%d", what, n, high))
	}
	return max(low, 1<<bits.Len(uint(n-1)))
}
