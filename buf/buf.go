// Package buf is packet memory: fixed-size buffers in one pool that is allocated at start,
// counted references without atomics, and the values in which drivers and protocol cores
// hand datagrams to each other.
//
// # Ownership
//
// Whoever gets a *Buf from Pool.Get, or calls Retain, holds one reference and calls Release
// once. A buffer on the send path is read-only until its last reference is gone, because a
// driver may still be sending from it. Everything here belongs to one goroutine, the engine's.
//
// A received buffer is lent: it is valid until the driver's next Recv. Keep makes it last.
package buf

import "fmt"

// Endpoint is where a datagram comes from or goes to, as the driver names it. Cores store and
// compare endpoints and know nothing else about them.
type Endpoint uint64

// Group is the endpoint of the whole group: the multicast address, or each listed address.
const Group Endpoint = 0

// Received is one datagram as a driver hands it out.
type Received struct {
	Buf   *Buf     // lent until the driver's next Recv; Keep it to hold it longer
	From  Endpoint // the sender's own (unicast) address
	Group bool     // it came through the group's address
}

// Send is one datagram as a core hands it out. The caller of PollSend releases Buf when the
// driver has taken the datagram; a driver that sends later retains it meanwhile.
type Send struct {
	Buf  *Buf
	To   Endpoint // Group, or one member's address
	Wait bool     // may wait for the rest of the batch; false asks for an early flush
}

// Buf is one buffer, and the datagram inside it.
type Buf struct {
	mem  []byte // all of the buffer
	off  int    // where the datagram begins in mem
	n    int    // its length, bytes
	refs int32
	pool *Pool // nil: lent by a driver, never counted
	id   uint32
}

// Lend makes b a lent view of mem, which stays the caller's. Drivers keep one Buf for each
// receive slot and lend it again and again.
func (b *Buf) Lend(mem []byte) {
	b.mem, b.off, b.n, b.pool, b.refs = mem, 0, len(mem), nil, 0
}

// Bytes is the datagram. The slice is valid as long as the reference or loan is.
func (b *Buf) Bytes() []byte { return b.mem[b.off : b.off+b.n] }

// Len is the datagram's length in bytes.
func (b *Buf) Len() int { return b.n }

// Mem is the whole buffer, to write a datagram into; Set then says where it lies.
func (b *Buf) Mem() []byte { return b.mem }

// Set makes mem[off:off+n] the datagram. It panics when that lies outside the buffer.
func (b *Buf) Set(off, n int) {
	if off < 0 || n < 0 || off+n > len(b.mem) {
		panic(fmt.Sprintf("buf: datagram %d+%d outside a buffer of %d bytes", off, n, len(b.mem)))
	}
	b.off, b.n = off, n
}

// Retain adds a reference. It panics on a lent buffer (use Pool.Keep) and on a free one.
func (b *Buf) Retain() {
	if b.pool == nil || b.refs <= 0 {
		panic(fmt.Sprintf("buf: retain of buffer %d, which nobody owns", b.id))
	}
	b.refs++
}

// Release gives up one reference; the last one returns the buffer to its pool. On a lent
// buffer it does nothing. A release too many panics.
func (b *Buf) Release() {
	if b.pool == nil {
		return
	}
	if b.refs <= 0 {
		panic(fmt.Sprintf("buf: second release of buffer %d", b.id))
	}
	if b.refs--; b.refs == 0 {
		b.pool.put(b)
	}
}

// Pool is a fixed number of equal buffers.
type Pool struct {
	bufs []Buf
	free []uint32 // indexes into bufs; the last one goes out first, while it is warm
	size int
	mem  []byte
}

// NewPool makes count buffers of size bytes. The memory is one allocation without pointers;
// pages that are never used are never touched.
func NewPool(count, size int) *Pool {
	p := &Pool{bufs: make([]Buf, count), free: make([]uint32, count), size: size, mem: make([]byte, count*size)}
	for i := range p.bufs {
		b := &p.bufs[i]
		b.mem = p.mem[i*size : (i+1)*size : (i+1)*size]
		b.pool, b.id = p, uint32(i)
		p.free[count-1-i] = uint32(i)
	}
	return p
}

// Get takes a free buffer, with one reference and an empty datagram. It is nil when none is
// left: the caller drops, waits or answers back-pressure, and counts it.
func (p *Pool) Get() *Buf {
	if len(p.free) == 0 {
		return nil
	}
	b := &p.bufs[p.free[len(p.free)-1]]
	p.free = p.free[:len(p.free)-1]
	b.refs, b.off, b.n = 1, 0, 0
	return b
}

func (p *Pool) put(b *Buf) { p.free = append(p.free, b.id) }

// Keep returns a buffer with the datagram of b that lasts beyond the loan: b itself with one
// more reference where it is counted, else a copy. It is nil when the pool is empty or the
// datagram does not fit. The caller releases what it gets.
func (p *Pool) Keep(b *Buf) *Buf {
	if b.pool != nil {
		b.Retain()
		return b
	}
	if b.n > p.size {
		return nil
	}
	c := p.Get()
	if c == nil {
		return nil
	}
	c.n = copy(c.mem, b.Bytes())
	return c
}

// Size is the length of each buffer in bytes.
func (p *Pool) Size() int { return p.size }

// Count is the number of buffers, free or not.
func (p *Pool) Count() int { return len(p.bufs) }

// Free is the number of buffers that Get can still hand out.
func (p *Pool) Free() int { return len(p.free) }
