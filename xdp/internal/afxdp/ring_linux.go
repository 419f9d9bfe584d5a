package afxdp

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Ring is shared with the kernel: one side produces entries, the other consumes them. Each
// index has one writer. Go's atomic stores and loads are at least release and acquire, which is
// what net/xdp/xsk_queue.h asks of this side: entries are written before the producer's index
// is published, and read before the consumer's is.
//
// Our own index is kept here and the other side's is looked at only when what we know of it is
// used up, since that costs a transfer between cores.
type Ring[T uint64 | unix.XDPDesc] struct {
	producer, consumer, flags *uint32
	entries                   []T
	mask                      uint32
	own                       uint32 // our index
	seen                      uint32 // the other side's, as far as we know
	mem                       []byte
}

// MapRing maps the ring of size entries that the socket has at offset.
func MapRing[T uint64 | unix.XDPDesc](fd int, offset int64, size int, at *unix.XDPRingOffset) (r Ring[T], err error) {
	var entry T
	length := int(at.Desc) + size*int(unsafe.Sizeof(entry))
	r.mem, err = unix.Mmap(fd, offset, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return r, fmt.Errorf("xdp: map a ring: %w", err)
	}
	word := func(off uint64) *uint32 { return (*uint32)(unsafe.Pointer(&r.mem[off])) }
	r.producer, r.consumer, r.flags = word(at.Producer), word(at.Consumer), word(at.Flags)
	r.entries = unsafe.Slice((*T)(unsafe.Pointer(&r.mem[at.Desc])), size)
	r.mask = uint32(size - 1)
	return r, nil
}

// Unmap ends the mapping. A ring that stays mapped keeps the queue taken.
func (r *Ring[T]) Unmap() error {
	if r.mem == nil {
		return nil
	}
	err := unix.Munmap(r.mem)
	*r = Ring[T]{}
	return err
}

// Produce appends as many entries as there is room for, publishes them at once and returns how
// many.
func (r *Ring[T]) Produce(entries []T) int {
	free := uint32(len(r.entries)) - (r.own - r.seen)
	if free < uint32(len(entries)) {
		r.seen = atomic.LoadUint32(r.consumer)
		free = uint32(len(r.entries)) - (r.own - r.seen)
	}
	n := min(free, uint32(len(entries)))
	if n == 0 {
		return 0
	}
	for i := range n {
		r.entries[(r.own+i)&r.mask] = entries[i]
	}
	r.own += n
	atomic.StoreUint32(r.producer, r.own)
	return int(n)
}

// Consume takes up to len(to) entries out and returns how many.
func (r *Ring[T]) Consume(to []T) int {
	if r.seen == r.own {
		r.seen = atomic.LoadUint32(r.producer)
	}
	n := min(r.seen-r.own, uint32(len(to)))
	if n == 0 {
		return 0
	}
	for i := range n {
		to[i] = r.entries[(r.own+i)&r.mask]
	}
	r.own += n
	atomic.StoreUint32(r.consumer, r.own)
	return int(n)
}

// Pending is how many entries that we produced the kernel has not taken.
func (r *Ring[T]) Pending() int {
	r.seen = atomic.LoadUint32(r.consumer)
	return int(r.own - r.seen)
}

// Waiting is how many entries the kernel has produced that we have not taken.
func (r *Ring[T]) Waiting() int {
	r.seen = atomic.LoadUint32(r.producer)
	return int(r.seen - r.own)
}

// WantsWakeup reports whether the kernel has gone to sleep over the ring (need-wakeup).
func (r *Ring[T]) WantsWakeup() bool {
	return atomic.LoadUint32(r.flags)&unix.XDP_RING_NEED_WAKEUP != 0
}

// Peek is Consume for a ring whose consumer index somebody else publishes.
func (r *Ring[T]) Peek(to []T) int {
	n := min(uint32(r.Waiting()), uint32(len(to)))
	for i := range n {
		to[i] = r.entries[(r.own+i)&r.mask]
	}
	r.own += n
	return int(n)
}

// PendingOf is Pending for a ring that somebody else on this thread produces into.
func (r *Ring[T]) PendingOf() int {
	r.own = *r.producer
	return r.Pending()
}

// Mem returns the ring's mapping.
func (r *Ring[T]) Mem() []byte { return r.mem }
