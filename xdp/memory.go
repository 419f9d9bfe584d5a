package xdp

import (
	"os"
	"unsafe"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/pages"
)

const (
	maxBatch = 256 // datagrams that one Recv hands out at most

	// copies is how many buffers are set aside for datagrams that have to be copied to be sent.
	copies = 256

	chunkTable = 32      // bytes that the driver keeps of each buffer, at most
	ringHeader = 384     // bytes in front of a ring's entries, at most
	otherState = 1 << 17 // bytes: the filter's maps, the driver itself, its watcher
	queueState = 1 << 14 // bytes: a Queue itself
)

// chunkFor is the size of the buffers that an MTU needs.
func chunkFor(mtu int) int {
	// Two VLAN tags in front, and behind it what cores want more than a datagram.
	if frameStart+etherSize+8+mtu+64 <= smallChunk {
		return smallChunk
	}
	return largeChunk
}

// reserve is the driver's own share of the buffers.
func (c *Config) reserve() int { return c.posts() + 2*maxBatch + copies }

// posts is how many buffers wait for packets.
func (c *Config) posts() int {
	if c.Split {
		return c.FillRing
	}
	return c.FillRing * c.Queues
}

// further is what a Queue is made of.
func (c *Config) further() Config {
	f := *c
	f.Queues, f.Split, f.Buffers, f.TxRing = 1, false, c.QueueBuffers, 0
	return f
}

// buffers is the number of all of them.
func (c *Config) buffers() int { return c.Buffers + c.reserve() + c.TxRing }

// Memory is how many bytes Open takes for c, zero fields filled in, and how many of them are
// packet memory, which the kernel locks: a process without CAP_IPC_LOCK needs a limit
// (RLIMIT_MEMLOCK) as large as that. MTU 0 counts as 1500. In all it is a little more than Open
// takes: huge pages are rounded up where the host has them. The kernel's socket buffers are not
// in it.
func (c Config) Memory() (all, locked int64) {
	c.fill()
	all, locked = c.share(c.Queues)
	if c.Split && c.Queues > 1 {
		all, locked = c.share(1)
		f := c.further()
		more, lock := f.share(1)
		all += int64(c.Queues-1) * (more + queueState)
		locked += int64(c.Queues-1) * lock
	}
	return all + int64(unsafe.Sizeof(peers{})) + otherState, locked
}

// share is what one packet memory, with a fill ring for each of some queues, takes of Memory.
func (c *Config) share(queues int) (all, locked int64) {
	mtu := c.MTU
	if mtu == 0 {
		mtu = defaultMTU
	}
	n := int64(c.buffers())
	locked = n * int64(chunkFor(mtu))
	mapped := locked
	if mapped >= pages.Huge {
		mapped = roundUp(mapped, pages.Huge)
	}
	const address, descriptor = 8, 16 // bytes of an entry: struct xdp_desc is the second
	page := int64(os.Getpagesize())
	ring := func(bytes int) int64 { return roundUp(int64(ringHeader+bytes), page) }
	receive := ring(c.FillRing*address) + ring(c.FillRing*descriptor)
	send := ring(max(c.TxRing, minRing) * address)
	if c.TxRing > 0 {
		send += ring(c.TxRing * descriptor)
	}
	rings := int64(queues)*receive + send + int64(queues-1)*ring(minRing*address)
	tables := n * int64(unsafe.Sizeof(buf.Buf{})+4+chunkTable)
	return mapped + rings + tables, locked
}

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }
