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
//
// It serves the rest of this module and may change in any version. What is promised to
// applications is the API of the module's root, package blaze.
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

// Way is how datagrams can leave a member at the moment. It changes when the member's interface does.
type Way struct {
	Pack    int  // the largest UDP payload that a new datagram should have, bytes
	Longest int  // the largest that leaves at all, bytes
	Shut    bool // nothing leaves: the interface is gone, down or without an address
	Down    bool // what leaves gets no further than this host: there is no carrier; or Shut
}

// Buf is one buffer, and the datagram inside it.
type Buf struct {
	mem  []byte // all of the buffer
	off  int    // where the datagram begins in mem
	n    int    // its length, bytes
	refs int32
	id   uint32
	pool *Pool // nil: lent by a driver, never counted
	mine bool  // of the driver's share, see Pool.Take

	// Note is for whoever keeps the datagram: what was found in it, so that it need not be looked for again. Nothing here
	// reads or clears it. It takes no memory that would not be there.
	Note [3]uint16
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

// Mem is the whole buffer, to write a datagram into; Set then marks where it lies.
func (b *Buf) Mem() []byte { return b.mem }

// Set makes mem[off:off+n] the datagram. It panics when that lies outside the buffer.
func (b *Buf) Set(off, n int) {
	if off < 0 || n < 0 || off+n > len(b.mem) {
		panic(fmt.Sprintf("buf: datagram %d+%d outside a buffer of %d bytes", off, n, len(b.mem)))
	}
	b.off, b.n = off, n
}

// ID is the buffer's place in its pool, 0..Count+reserve−1. See Pool.At.
func (b *Buf) ID() uint32 { return b.id }

// Offset is where the datagram begins in Mem.
func (b *Buf) Offset() int { return b.off }

// In reports whether b is a counted buffer of p.
func (b *Buf) In(p *Pool) bool { return b.pool == p }

// Refs is the number of references that are held.
func (b *Buf) Refs() int { return int(b.refs) }

// Sole reports to the driver that took b whether nothing else holds it: then it may use it again.
func (b *Buf) Sole() bool { return b.mine && b.refs == 1 }

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

	reserve, slack int // the driver's share, see NewPoolOver
	taken          int // of reserve: what the driver has taken
}

// NewPool makes count buffers of size bytes. The memory is one allocation without pointers;
// pages that are never used are never touched.
func NewPool(count, size int) *Pool {
	return NewPoolOver(make([]byte, count*size), size, 0, 0, 0)
}

// NewPoolOver makes a pool of the memory that a driver sends from and receives into: chunks of
// chunk bytes, in each of which the first headroom bytes are the driver's, for the headers of
// packets, and never part of Mem.
//
// reserve buffers are the driver's share. It gets them with Take, and Get never touches them. slack
// more buffers allow for datagrams that the driver is still sending after all others have released
// them. Count and Free include neither.
func NewPoolOver(mem []byte, chunk, headroom, reserve, slack int) *Pool {
	count := len(mem) / chunk
	if headroom < 0 || headroom > chunk || reserve < 0 || slack < 0 || reserve+slack > count {
		panic(fmt.Sprintf("buf: %d buffers of %d bytes cannot have a headroom of %d, a reserve of %d and %d in addition",
			count, chunk, headroom, reserve, slack))
	}
	p := &Pool{bufs: make([]Buf, count), free: make([]uint32, count), size: chunk - headroom, mem: mem,
		reserve: reserve, slack: slack}
	for i := range p.bufs {
		b := &p.bufs[i]
		b.mem = p.mem[i*chunk+headroom : (i+1)*chunk : (i+1)*chunk]
		b.pool, b.id = p, uint32(i)
		p.free[count-1-i] = uint32(i)
	}
	return p
}

// Get takes a free buffer, with one reference and an empty datagram. It is nil when none is
// left: the caller drops, waits or answers back-pressure, and counts it.
func (p *Pool) Get() *Buf {
	if len(p.free) <= p.reserve-p.taken {
		return nil
	}
	return p.pop()
}

// Take is Get for the driver: it takes from the driver's share. It is nil when the share is
// used up. Keep moves a buffer out of the share, so that the driver can take another.
func (p *Pool) Take() *Buf {
	if p.taken == p.reserve || len(p.free) == 0 {
		return nil
	}
	b := p.pop()
	b.mine = true
	p.taken++
	return b
}

func (p *Pool) pop() *Buf {
	b := &p.bufs[p.free[len(p.free)-1]]
	p.free = p.free[:len(p.free)-1]
	b.refs, b.off, b.n = 1, 0, 0
	return b
}

func (p *Pool) put(b *Buf) {
	if b.mine {
		b.mine = false
		p.taken--
	}
	p.free = append(p.free, b.id)
}

// Keep returns a buffer with the datagram of b that lasts beyond the loan: b itself with one
// more reference where it is counted, else a copy. It is nil when the pool is empty or the
// datagram does not fit. The caller releases what it gets.
func (p *Pool) Keep(b *Buf) *Buf {
	if b.pool != nil {
		if b.mine && b.pool == p {
			if len(p.free) <= p.reserve-p.taken {
				return nil // the driver needs another one in its place
			}
			b.mine = false
			p.taken--
		}
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

// At is the buffer whose ID is id, free or not. It is for the driver whose memory this is.
func (p *Pool) At(id uint32) *Buf { return &p.bufs[id] }

// Size is the length of each buffer in bytes.
func (p *Pool) Size() int { return p.size }

// Count is the number of buffers, free or not, that are not the driver's.
func (p *Pool) Count() int { return len(p.bufs) - p.reserve - p.slack }

// Free is the number of buffers that Get can still hand out.
func (p *Pool) Free() int {
	return max(0, min(len(p.free)-(p.reserve-p.taken), p.Count()))
}

// Taken is the number of buffers that the driver has taken and nobody has kept.
func (p *Pool) Taken() int { return p.taken }

// Out is the number of buffers, of whosever share, that are not free.
func (p *Pool) Out() int { return len(p.bufs) - len(p.free) }
