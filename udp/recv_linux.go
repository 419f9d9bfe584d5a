package udp

import (
	"math/bits"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/ip4"
	"golang.org/x/sys/unix"
)

const (
	maxBatch = 256 // datagrams that one Recv hands out at most

	// batchAfter is how many reads of one packet in a row find something before packets are received in batches.
	batchAfter = 2

	// Slots of one recvmmsg. With coalescing a slot takes up to 64 datagrams, so fewer do.
	slotsSingle    = 64
	slotsCoalesced = 32

	// What the kernel charges for a packet beside its memory, in bytes: the structure that describes it.
	bareCharge = 256
	// What stands in that memory beside the payload, at least: headers, and the structure behind them
	// (SKB_TRUESIZE in linux/skbuff.h).
	headCharge = 384
	// Longer packets are not in one piece of memory.
	onePiece = 4096 - headCharge

	// A coalesced packet can be as large as IPv4 allows. The extra cache lines keep the
	// beginnings of the slots, which are all that single datagrams touch, from falling into
	// the same set of the processor's caches.
	strideCoalesced = 65536 + 17*64
)

// inlet is the receiving side of one socket.
type inlet struct {
	fd    int
	group bool
	hdrs  []mmsghdr
	slots []slot

	coalesced bool                    // a packet can be several datagrams
	first     func(packet []byte) int // Config.First; nil: the kernel has to say how long the datagrams are
	single    bool                    // the last read was of a packet of which first says it
	asks      int                     // reads that ask the kernel all the same, since first did not know a packet

	// What the last read brought: packets at..got−1 are not handed out, and of packet
	// `at` the first off bytes are.
	at, got, off int
	drained      bool // the last read emptied the socket
	found        int  // reads in a row that found something
}

// slot is what one packet is received into.
type slot struct {
	name ip4.Sockaddr
	iov  unix.Iovec
	ctl  segment
	mem  []byte
	// Of the packet in it:
	from buf.Endpoint
	n    int // bytes
	size int // bytes of each datagram in it; the last may be shorter
}

// init allocates the slots. Pages of a slot that no packet reaches are never touched.
func (in *inlet) init(coalesced bool, datagram int, group bool, first func([]byte) int) {
	count, stride, size := slotsSingle, max(2048, (datagram+127)&^63), max(2048, datagram+1)
	if coalesced {
		count, stride, size = slotsCoalesced, strideCoalesced, 65536
	}
	in.group, in.coalesced, in.first = group, coalesced, first
	in.hdrs, in.slots = make([]mmsghdr, count), make([]slot, count)
	mem := make([]byte, count*stride)
	for i := range in.slots {
		s, h := &in.slots[i], &in.hdrs[i].hdr
		s.mem = mem[i*stride : i*stride+size : i*stride+size]
		s.iov.Base = &s.mem[0]
		s.iov.SetLen(size)
		h.Name = (*byte)(ptr(&s.name))
		h.Iov = &s.iov
		h.SetIovlen(1)
		h.Control = (*byte)(ptr(&s.ctl))
		in.arm(i)
	}
}

// asksAfter is for how many reads of single packets the kernel is asked how long the datagrams in them are, after a packet
// that Config.First does not know: a foreign datagram makes reads dearer for some milliseconds, and not for good.
const asksAfter = 1 << 14

// arm resets what the kernel overwrites.
func (in *inlet) arm(i int) {
	h := &in.hdrs[i].hdr
	h.Namelen = sizeofSockaddr
	h.SetControllen(sizeofSegment)
}

// empty reports whether all that was read has been handed out.
func (in *inlet) empty() bool { return in.at == in.got }

// read receives packets. All earlier ones must have been handed out. While reads find nothing, one asks for a single
// packet, which the kernel answers sooner. When there was one, that does not show whether the socket is empty. whole asks
// for all.
func (d *Driver) read(in *inlet, whole bool) {
	for i := range in.got {
		in.arm(i)
	}
	hdrs := in.hdrs
	if !whole && in.found < batchAfter {
		hdrs = hdrs[:1]
	}
	n, e := in.receive(hdrs)
	for e == unix.EINTR {
		n, e = in.receive(hdrs)
	}
	d.stats.RecvCalls++
	d.stats.RecvPackets += uint64(n)
	in.at, in.got, in.off, in.drained = 0, n, 0, n < len(hdrs)
	if in.found++; n == 0 {
		in.found = 0
	}
	for i := range n {
		d.parse(in, i)
	}
}

// receive receives into hdrs, with the cheapest call that shows how long the datagrams in a packet are. On Linux 6.18
// recvfrom takes 192 ns when there is nothing and 525 when there is a packet, recvmsg with control messages 267 and 661,
// recvmmsg 282 and some 780.
func (in *inlet) receive(hdrs []mmsghdr) (n int, e unix.Errno) {
	in.single = false
	switch {
	case len(hdrs) > 1:
		return recvmmsg(in.fd, hdrs)
	case in.coalesced && (in.first == nil || in.asks > 0):
		in.asks = max(in.asks-1, 0)
		return recvmsg(in.fd, &hdrs[0])
	}
	in.single = in.coalesced
	return recvfrom(in.fd, &hdrs[0])
}

// parse looks at packet i once; a packet that is dropped is left with n = −1.
func (d *Driver) parse(in *inlet, i int) {
	s, h := &in.slots[i], &in.hdrs[i]
	s.from, s.n = s.name.Endpoint(), int(h.len)
	switch {
	case h.hdr.Flags&unix.MSG_TRUNC != 0:
		d.tooLong(s.from, s.n, 1)
		s.n = -1
		return
	case uint16(s.from) == 0: // RFC 768: the sender wants no answer; endpoint 0 is the group
		d.stats.RecvInvalid++
		s.n = -1
		return
	case s.from == d.local && in.group:
		d.stats.RecvOwn++
		s.n = -1
		return
	}
	if in.single {
		s.size = in.first(s.mem[:s.n])
	} else {
		s.size = s.ctl.received(int(h.hdr.Controllen))
	}
	if s.size <= 0 || s.size > s.n {
		s.size = s.n
	}
	if s.size > d.Datagram() {
		if in.single && s.size == s.n {
			in.asks = asksAfter // the packet may be of several datagrams that it does not tell apart, and so may the next one
		}
		d.dropLong(s)
	}
}

// dropLong drops the datagrams of a packet that are longer than this member's MTU allows. The last
// one may be shorter than the others, and fit.
func (d *Driver) dropLong(s *slot) {
	count, last := s.n/s.size, s.n%s.size
	if last > d.Datagram() {
		count, last = count+1, 0
	}
	d.tooLong(s.from, s.size, count)
	if last == 0 {
		s.n = -1
		return
	}
	copy(s.mem, s.mem[s.n-last:s.n])
	s.n, s.size = last, last
}

// tooLong notes that count datagrams of size bytes were dropped.
func (d *Driver) tooLong(from buf.Endpoint, size, count int) {
	d.stats.RecvTruncated += uint64(count)
	d.long.Dropped(d.log, ip4.Addr(from), size, true, d.Datagram(), d.stats.RecvTruncated)
}

// Recv fills batch with datagrams that have come and returns how many. It does not sleep.
// The datagrams are lent until the next Recv. At most 256 are handed out.
//
// What came through the group is handed out before unicast that came later; unicast is read
// first and held back until then.
func (d *Driver) Recv(batch []buf.Received) int {
	batch = batch[:min(len(batch), maxBatch)]
	if d.own.fd < 0 || len(batch) == 0 {
		return 0
	}
	if d.following.news.Load() {
		d.heed()
	}
	n, both := 0, d.spins%otherEvery == 0
	if d.own.empty() && d.behind > 0 {
		// This waited behind what the fence held back. A flood of the group would otherwise let one read of reports
		// come each time that all that its socket holds has gone through.
		d.read(&d.own, true)
		if d.behind -= d.own.charges(); d.own.drained {
			d.behind = 0
		}
		n = d.handOut(&d.own, batch, 0)
	} else if d.own.empty() && (both || d.unicast || d.group.fd < 0) {
		d.read(&d.own, d.group.found > 0) // under a flood all that one read brings, since the next one is far
		d.unicast = d.unicast || d.own.got > 0
		// Under a flood the group's socket is never found empty. Once it has brought as
		// much as it held, all that was in it when the unicast was read is out.
		d.fence, d.measured = 2*d.room, d.own.got == 0
		if d.behind = 0; d.own.got == len(d.own.hdrs) && d.group.fd >= 0 {
			d.behind = waiting(d.own.fd, 0)
		}
		d.group.drained = d.group.drained && d.own.got == 0 // more may have come since it was
	} else if d.fence <= 0 {
		n = d.handOut(&d.own, batch, 0) // the last batch had no place for it
	}
	if d.group.fd < 0 {
		d.fence = 0
	} else {
		// Before unicast is handed out the group's socket is always read, since what came through it comes first; and all
		// of it, since it has to be known whether it is empty then.
		if d.group.empty() && (both || !d.unicast || !d.own.empty()) {
			d.read(&d.group, !d.own.empty())
			d.unicast = d.unicast && d.group.got == 0
			if !d.group.drained && !d.measured {
				d.measured = true
				d.fence = min(d.fence, d.group.charges()+waiting(d.group.fd, d.fence))
			}
		}
		packet := d.group.at
		n = d.handOut(&d.group, batch, n)
		for ; packet < d.group.at; packet++ {
			d.fence -= charge(d.group.slots[packet].n)
		}
		if d.group.empty() && d.group.drained {
			d.fence = 0
		}
	}
	if d.fence <= 0 {
		n = d.handOut(&d.own, batch, n)
	}
	if d.spins++; n > 0 {
		d.spins = 0
	}
	return n
}

// charge is what the kernel charges to a socket's receive buffer for a packet of n bytes, or a little less.
func charge(n int) int {
	if n > onePiece {
		return n
	}
	return bareCharge + max(512, 1<<bits.Len(uint(n+headCharge-1)))
}

// charges is the same of all packets that were read and not handed out.
func (in *inlet) charges() (sum int) {
	for i := in.at; i < in.got; i++ {
		sum += charge(max(in.slots[i].n, 0))
	}
	return sum
}

// otherEvery is on which empty read in a row, of the socket that the last datagram came through, Recv looks at the other
// socket too. A system call that finds nothing costs a fifth of a microsecond, and on average half of that is added to the
// round trip of everything that comes through the busy socket. Recv looks at both when something has come,
// and when something was sent, which may be answered.
const otherEvery = 8

// LookAtAll has the next Recv look at both sockets. Where turns are rare, the other socket's would else wait for long.
func (d *Driver) LookAtAll() { d.spins = 0 }

// handOut lends what in has read to batch[n:] and returns the new n.
func (d *Driver) handOut(in *inlet, batch []buf.Received, n int) int {
	first, bytes := n, 0
	for in.at < in.got && n < len(batch) {
		s := &in.slots[in.at]
		if s.n < 0 {
			in.at++
			continue
		}
		end := min(in.off+s.size, s.n)
		b := &d.lent[n]
		b.Lend(s.mem[in.off:end:end])
		batch[n] = buf.Received{Buf: b, From: s.from, Group: in.group}
		bytes += end - in.off
		n++
		if in.off = end; end == s.n {
			in.at, in.off = in.at+1, 0
		}
	}
	d.stats.RecvDatagrams += uint64(n - first)
	d.stats.RecvBytes += uint64(bytes)
	return n
}
