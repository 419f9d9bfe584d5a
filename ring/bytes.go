package ring

import (
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// Bytes is a bounded queue of records of any length from many producers to one consumer.
//
// A producer claims room, writes the record in place and commits it. Records come out in the
// order of their claims, so those of one producer keep their order, and one that has been
// claimed and not committed holds back all that were claimed after it: between Claim and
// Commit do nothing that can wait or panic.
//
// Producers call Claim and use the Record; the consumer calls Peek, Advance, Flush, Empty,
// Returned, Refuse; anybody Used, Cap, MaxRecord, Close. Calls of the consumer must not overlap.
//
// # How it works
//
// The scheme is that of Aeron's many-to-one ring buffer. A record starts on 8 bytes:
//
//	word 0   state: 0 not committed; positive: length of header and payload, committed;
//	         negative: skip this many bytes (the unused end of memory, or an aborted record);
//	         the most negative numbers: held, by a producer that may take long to commit
//	word 1   the producer's word
//	then     payload, and up to 7 bytes of padding
//
// Claim moves the tail by compare-and-swap; what lies between is then the claimer's. Commit
// stores word 0 last, atomically, which orders all that was written before it. A record never
// wraps: where the end of memory is too near, the same compare-and-swap claims the rest of
// it, which is marked to be skipped.
//
// Between the claim and the commit the consumer may already look at word 0, so the consumer
// zeroes all that it has read before it gives it back. Unlike in shared memory between
// processes nobody can die half-way here without the whole process, so a record that is claimed to
// be filled at once needs no mark for "in progress".
//
// # How it ends
//
// Close sets a bit of the tail that makes every later Claim fail. What was claimed before is still
// committed and taken out. A producer that may keep its claim for long marks it with Hold. After
// Close, Refuse takes such claims from their owners: one compare-and-swap of word 0 decides between
// CommitHeld and Refuse, so a record is either committed and taken out, or its owner learns that it
// was not.
type Bytes struct {
	mem  []uint64 // never changes; its length is a power of two
	mask uint64   // bytes of mem − 1

	_        pad
	tail     atomic.Uint64 // bytes claimed since the start
	_        pad
	headSeen atomic.Uint64 // head as some producer saw it last; never above head
	_        pad
	head     atomic.Uint64 // bytes given back since the start; written by the consumer
	_        pad

	// The consumer's own.
	reading uint64 // where the next record starts
	lent    uint64 // bytes that the record lent by Peek occupies; 0: none is lent
	freed   uint64 // head as last stored
	refused bool   // Refuse was called: nothing is claimed any more
	_       pad
}

const (
	wordBytes   = 8
	headerBytes = 2 * wordBytes
	minBytes    = 64 // room for two records without payload, twice

	closed = 1 << 62            // in tail: no more claims
	held   = math.MinInt64      // in word 0, with the length of header and payload
	skips  = math.MinInt64 >> 1 // the lowest state that is a length to skip; below it are held records
)

// NewBytes makes a queue of at least capacity bytes (rounded up to a power of two, 64 at
// least), headers included. It panics when capacity is below 1.
func NewBytes(capacity int) *Bytes {
	n := powerOfTwo("Bytes capacity", capacity, minBytes)
	return &Bytes{mem: make([]uint64, n/wordBytes), mask: uint64(n - 1)}
}

// Record is claimed room, its producer's until Commit or Abort; exactly one of them must be
// called, once. A Record is a value: copies mean the same room.
type Record struct {
	head *header
	n    int // bytes of payload; two fields, so that a Record travels in registers
}

// header is how a record begins.
type header struct{ state, word uint64 }

// Claim takes room for a record with n bytes of payload. It is false when there is none now:
// the consumer is behind. It panics when n is negative or above MaxRecord, for which no
// waiting helps.
func (b *Bytes) Claim(n int) (r Record, ok bool) {
	if uint(n) > uint(b.MaxRecord()) {
		panic(fmt.Sprintf("ring: record of %d bytes, outside 0..%d", n, b.MaxRecord()))
	}
	size := span(headerBytes + uint64(n))
	capacity := b.mask + 1
	var tail, skip uint64
	for {
		tail = b.tail.Load()
		skip = 0
		if end := capacity - tail&b.mask; size > end {
			skip = end
		}
		// Signed: another producer may have moved the tail, and the consumer the head past
		// our tail, since we loaded it. Then the compare-and-swap fails and we look again.
		if need := tail + skip + size; int64(need-b.headSeen.Load()) > int64(capacity) {
			head := b.head.Load()
			if int64(need-head) > int64(capacity) {
				return Record{}, false
			}
			b.headSeen.Store(head) // may overwrite a newer one: too low is safe, it costs a look
		}
		if b.tail.CompareAndSwap(tail, tail+skip+size) {
			break
		}
	}
	if skip > 0 {
		// What is skipped may be one word only: not a whole header.
		atomic.StoreUint64(&b.mem[tail&b.mask/wordBytes], -skip)
		tail += skip
	}
	return Record{b.header(tail), n}, true
}

// Bytes is the payload to fill, 8-byte aligned, all zero at first.
func (r Record) Bytes() []byte { return r.head.payload(r.n) }

// SetWord stores w beside the payload: what the consumer needs to know before it reads it.
// It is 0 unless set.
func (r Record) SetWord(w uint64) { r.head.word = w }

// Word is what SetWord stored.
func (r Record) Word() uint64 { return r.head.word }

// Commit hands the record to the consumer, which owns it from here on.
func (r Record) Commit() {
	atomic.StoreUint64(&r.head.state, headerBytes+uint64(r.n))
}

// Abort gives the room up; the consumer will skip it.
func (r Record) Abort() {
	atomic.StoreUint64(&r.head.state, -span(headerBytes+uint64(r.n)))
}

// Hold marks a record whose owner may take long to fill it. It is called right after Claim, and
// CommitHeld and AbortHeld take the place of Commit and Abort.
func (r Record) Hold() {
	atomic.StoreInt64(r.head.signed(), held|int64(headerBytes+r.n))
}

// CommitHeld is Commit of a record that is held. It reports whether the record is the consumer's
// now: it is not when Refuse came first.
func (r Record) CommitHeld() bool {
	size := int64(headerBytes + r.n)
	return atomic.CompareAndSwapInt64(r.head.signed(), held|size, size)
}

// AbortHeld is Abort of a record that is held. After Refuse it does nothing.
func (r Record) AbortHeld() {
	size := int64(headerBytes + r.n)
	atomic.CompareAndSwapInt64(r.head.signed(), held|size, -int64(span(uint64(size))))
}

// Close makes every later Claim fail. Any goroutine may call it, more than once.
func (b *Bytes) Close() { b.tail.Or(closed) }

// Refuse takes every record that is held from its owner, and returns how many it took. Records
// that are committed stay. Only the consumer may call it, after Close. Where a producer is just
// filling a record it waits for the Commit.
func (b *Bytes) Refuse() (n int) {
	b.refused = true
	for at, end := b.reading, b.tail.Load()&^closed; at != end; {
		word := (*int64)(unsafe.Pointer(&b.mem[at&b.mask/wordBytes]))
		switch state := atomic.LoadInt64(word); {
		case state > 0:
			at += span(uint64(state))
		case state == 0:
			runtime.Gosched()
		case state >= skips:
			at += uint64(-state)
		default:
			if atomic.CompareAndSwapInt64(word, state, -int64(span(uint64(state&^held)))) {
				n++
			}
		}
	}
	return n
}

// Peek lends the oldest committed record, until Advance: its word and its payload. It is
// false when there is none, also while an older record is claimed and not committed. The
// consumer may write into the payload. Peek without Advance lends the same record again.
func (b *Bytes) Peek() (word uint64, payload []byte, ok bool) {
	for {
		state := int64(atomic.LoadUint64(&b.mem[b.reading&b.mask/wordBytes]))
		if state > 0 {
			h := b.header(b.reading)
			b.lent = span(uint64(state))
			return h.word, h.payload(int(state - headerBytes)), true
		}
		if state == 0 || state < skips {
			b.Flush() // a consumer that went idle must not sit on free memory
			return 0, nil, false
		}
		b.pass(uint64(-state))
	}
}

// Advance is done with the record that Peek lent. Its room goes back to the producers no
// later than when a quarter of the memory is waiting to go back, when Peek finds nothing, or
// at Flush. Without a record lent it panics.
func (b *Bytes) Advance() {
	if b.lent == 0 {
		panic("ring: Bytes.Advance without a record from Peek")
	}
	b.pass(b.lent)
	b.lent = 0
}

// Flush returns all room that the consumer is done with to the producers now.
func (b *Bytes) Flush() {
	if b.freed != b.reading {
		b.freed = b.reading
		b.head.Store(b.freed)
	}
}

// Returned is the number of bytes that have gone back to the producers since the start. It is for the
// consumer: a change means that a producer which found no room may find some.
func (b *Bytes) Returned() uint64 { return b.freed }

// Empty reports to the consumer whether Peek would find nothing (no record, or the oldest is not
// committed), and flushes if so. It is what to check between Signal.Arm and sleeping: a
// producer that waits for room would never commit. It may be false with nothing but skipped
// room left; the next Peek takes that away.
func (b *Bytes) Empty() bool {
	if state := int64(atomic.LoadUint64(&b.mem[b.reading&b.mask/wordBytes])); state != 0 && state >= skips {
		return false
	}
	b.Flush()
	return true
}

// Used is the number of bytes claimed and not yet given back, headers included. While others
// are at work it is a moment's view, between 0 and Cap.
func (b *Bytes) Used() int {
	head := b.head.Load() // first, so that it is not above the tail
	return int(min(b.tail.Load()&^closed-head, b.mask+1))
}

// Cap is the size of the memory in bytes.
func (b *Bytes) Cap() int { return int(b.mask + 1) }

// MaxRecord is the largest payload that can ever be claimed: with its header, half of the
// memory. A record as large as that fits once the queue is empty, wherever the tail stands:
// what it skips at the end is less than itself.
func (b *Bytes) MaxRecord() int { return int(b.mask+1)/2 - headerBytes }

// pass zeroes n bytes from the reading position, for the reason given at Bytes, and moves on. After
// Refuse the state alone is zeroed: the owner of a refused record may still be writing its payload.
func (b *Bytes) pass(n uint64) {
	i := b.reading & b.mask / wordBytes
	if b.refused {
		atomic.StoreUint64(&b.mem[i], 0)
	} else {
		clear(b.mem[i : i+n/wordBytes])
	}
	b.reading += n
	// A quarter at most, so a producer that finds the queue full always has a consumer with
	// work left, unless its record is larger than what is free: then Peek comes to the end
	// and flushes.
	if b.reading-b.freed >= (b.mask+1)/4 {
		b.Flush()
	}
}

// header is the header of the record that starts at position at.
func (b *Bytes) header(at uint64) *header {
	i := at & b.mask / wordBytes
	return (*header)(unsafe.Pointer((*[2]uint64)(b.mem[i : i+2])))
}

// signed is the state as the number that it is.
func (h *header) signed() *int64 { return (*int64)(unsafe.Pointer(&h.state)) }

// payload is the view of the n bytes behind the header. With none, the address behind it may
// lie outside the memory, and is not made.
func (h *header) payload(n int) []byte {
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(h), headerBytes)), n)
}

// span is n rounded up to whole words.
func span(n uint64) uint64 { return (n + wordBytes - 1) &^ (wordBytes - 1) }
