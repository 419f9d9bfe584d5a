package xdp

import (
	"encoding/binary"

	"github.com/activeblaze/blaze/buf"
	"golang.org/x/sys/unix"
)

// Recv lends up to len(batch) datagrams until the next Recv, in the order in which they came.
// It does not sleep. At most 256 are handed out. buf.Pool.Keep, of Pool, keeps one without a copy.
func (d *Driver) Recv(batch []buf.Received) int {
	if d.state == Closed {
		return 0
	}
	if d.control.news.Load() {
		d.heed()
	}
	batch = batch[:min(len(batch), maxBatch)]
	d.endLoan()
	if d.line == nil {
		return d.receiveKernel(batch)
	}
	if d.sending > 0 {
		d.complete()
	}
	d.refill()
	if d.unsent {
		d.kick()
	}
	// What went through the kernel took longer and is probably older, so it comes first; but
	// a flood there must not let the RX ring run over.
	n := 0
	if d.control.readable.Load() || d.eager > 0 {
		n = d.receiveKernel(batch[:(len(batch)+1)/2])
	}
	came := d.receive(batch[n:])
	// Several queues share the buffers: with few, one might have none.
	if d.supply.note(came) && d.cfg.Queues == 1 {
		d.supply.judge(d.cfg.FillRing, traffic{d.stats.RecvDatagrams, d.stats.RecvBytes, d.turns})
	}
	return n + came
}

// endLoan takes back what the last Recv lent.
func (d *Driver) endLoan() {
	for _, id := range d.lent[:d.lends] {
		if b := d.pool.At(id); b.Sole() {
			d.spare(id)
		} else {
			b.Release() // somebody keeps it
		}
	}
	d.lends = 0
}

// spare puts a buffer that nobody else holds aside for the fill ring.
func (d *Driver) spare(id uint32) {
	if d.spares < len(d.empty) {
		d.empty[d.spares] = id
		d.spares++
		return
	}
	d.pool.At(id).Release()
}

// refill gives the kernel empty buffers until as many are with it as it should have.
func (d *Driver) refill() {
	for d.posted < d.supply.goal {
		want := min(d.supply.goal-d.posted, len(d.addresses))
		for d.spares < want {
			b := d.pool.Take()
			if b == nil {
				d.stats.RecvStarved++
				break
			}
			d.empty[d.spares] = b.ID()
			d.spares++
		}
		want = min(want, d.spares)
		if want == 0 {
			return
		}
		for i := range want {
			d.spares--
			id := d.empty[d.spares]
			d.addresses[i] = uint64(id) << d.memory.shift
			d.chunks[id].filled = true
		}
		n := d.line.socket.Fill(d.addresses[:want])
		d.posted += n
		d.stats.Fills += uint64(n)
		// The kernel shows a packet before it says that it has taken the buffer (xsk_flush in
		// net/xdp/xsk.c), so the ring may seem full for a moment.
		for _, a := range d.addresses[n:want] {
			id := uint32(a >> d.memory.shift)
			d.chunks[id].filled = false
			d.empty[d.spares] = id
			d.spares++
		}
		if n < want {
			return
		}
	}
}

// receive takes packets out of the RX ring and lends their datagrams.
func (d *Driver) receive(batch []buf.Received) (n int) {
	s := d.line.socket
	if s.NeedPoll() {
		d.stats.Wakeups++
		if e := s.Poll(); e == unix.ENETDOWN || e == unix.ENXIO {
			d.failed(e)
		}
	}
	got := s.Recv(d.packets[:len(batch)])
	for i := range got {
		if r, ok := d.accept(&d.packets[i]); ok {
			batch[n] = r
			n++
		}
	}
	return n
}

// accept takes one packet from the kernel. What it refuses is with the driver again.
func (d *Driver) accept(p *unix.XDPDesc) (r buf.Received, ok bool) {
	// The one place where descriptors are checked. One that names a buffer which the kernel
	// has not got would be a fault of the kernel's, or of ours; using it would be worse.
	id := uint32(p.Addr >> d.memory.shift)
	off := int(p.Addr) & (d.memory.chunk - 1)
	if p.Addr>>d.memory.shift >= uint64(len(d.chunks)) || !d.chunks[id].filled {
		d.stats.RecvInvalid++
		return r, false
	}
	c := &d.chunks[id]
	c.filled, c.heads = false, heads{to: noHeads} // what we wrote there is gone
	c.stamped = d.cfg.Breakdown
	d.posted--
	if off < frameStart || off+int(p.Len) > d.memory.chunk {
		d.stats.RecvInvalid++
		d.spare(id)
		return r, false
	}
	base := int(id) << d.memory.shift
	frame := d.memory.mem[base+off : base+off+int(p.Len) : base+d.memory.chunk]
	if d.tap != nil {
		d.tap.packet(tapIn, frame)
	}
	h := &d.header
	if d.usual.matches(frame) {
		return d.take(id, off, h), true
	}
	d.usual.size = 0
	switch {
	case !parse(frame, h):
		d.stats.RecvInvalid++
	case h.tagged || h.to != d.group && h.to != d.local:
		d.stats.RecvForeign++
	case h.from == d.local:
		d.stats.RecvOwn++
	default:
		d.heard(h)
		d.usual.learn(frame, h)
		if h.to == d.group && h.from != d.talker {
			d.talker = h.from
			d.turns++
		}
		return d.take(id, off, h), true
	}
	d.spare(id)
	return r, false
}

// take lends the datagram of a packet that was accepted.
func (d *Driver) take(id uint32, off int, h *received) buf.Received {
	b := d.pool.At(id)
	b.Set(off+h.off-headroom, h.n)
	d.lend(id, h.n)
	return buf.Received{Buf: b, From: h.from, Group: h.to == d.group}
}

func (d *Driver) lend(id uint32, n int) {
	d.lent[d.lends] = id
	d.lends++
	d.stats.RecvDatagrams++
	d.stats.RecvBytes += uint64(n)
}

// heard learns the sender's hardware address: packets to it go where its packets come from.
func (d *Driver) heard(h *received) {
	p := d.last
	if p.at != h.from {
		if p = d.peers.find(h.from); p.at != h.from {
			p = d.peers.add(h.from)
		}
		d.last = p
	}
	if p.mac == h.source && p.known != nobody {
		return
	}
	if p.known == kernel && p.far {
		return // packets may well come in by another router than they go out by
	}
	// A neighbour that has another card now says so here first. The kernel would believe the
	// old one for up to a minute.
	p.known = frames
	d.reach(p, h.source)
}

// eagerFor is how many calls of Recv read the ordinary sockets after something came from them.
// The notice that something came takes longer than a call. It matters where a udp member
// sends some datagrams alone and others as segments of a packet that the filter cannot take.
const eagerFor = 256

// receiveKernel reads the ordinary sockets, the group's first.
func (d *Driver) receiveKernel(batch []buf.Received) (n int) {
	if d.eager > 0 {
		d.eager--
	}
	d.control.readable.Store(false)
	for _, fd := range [...]int{d.kernel.group, d.kernel.own} {
		for {
			if n == len(batch) {
				d.control.readable.Store(true) // there may be more
				return n
			}
			b := d.pool.Take()
			if b == nil {
				d.stats.RecvStarved++
				d.control.readable.Store(true)
				return n
			}
			size, long, e := receiveFrom(fd, b.Mem(), &d.name)
			if e != 0 {
				b.Release()
				if e == unix.EINTR || e == unix.ECONNREFUSED {
					continue // ICMP speaks of something that was sent
				}
				break
			}
			from := d.name.endpoint()
			switch {
			case long || size > d.Datagram():
				d.stats.RecvLong++
			case uint16(from) == 0:
				d.stats.RecvInvalid++
			case from == d.local:
				d.stats.RecvOwn++
			default:
				b.Set(0, size)
				c := &d.chunks[b.ID()]
				c.stamped = false
				d.lend(b.ID(), size)
				d.stats.RecvKernel++
				d.eager = eagerFor
				if !d.passed {
					d.tellPassed()
				}
				if d.tap != nil {
					to := d.local
					if fd == d.kernel.group {
						to = d.group
					}
					d.tap.datagram(tapIn, from, to, b.Bytes())
				}
				batch[n] = buf.Received{Buf: b, From: from, Group: fd == d.kernel.group}
				n++
				continue
			}
			b.Release()
		}
	}
	return n
}

// tellPassed logs, once, that the filter passes datagrams of the group. Of lanes that are not
// wanted some should come that way.
func (d *Driver) tellPassed() {
	d.countKernel()
	f := &d.stats.Filter
	if f.Unwanted > 0 && f.Oversize+f.Unmatched+f.NoSocket == 0 {
		return
	}
	d.passed = true
	d.log.Info("xdp: a datagram came through the kernel, which is slower; many of these would be worth a look",
		"oversize", f.Oversize, "unmatched", f.Unmatched, "nosocket", f.NoSocket,
		"remedy", "oversize: udp members with gso=off, or ethtool -K on the sender's interface tx-udp-segmentation off, or mode=native; nosocket: queues=N for all of the interface's, or ethtool -L combined 1, or a flow rule to the queue")
}

// Arrival is when the filter saw the packet that b came in, on the monotonic clock of the
// kernel in nanoseconds. False means that Config.Breakdown is off, or that b came another way.
func (d *Driver) Arrival(b *buf.Buf) (ns int64, ok bool) {
	if !b.In(d.pool) || !d.chunks[b.ID()].stamped {
		return 0, false
	}
	at := int(b.ID())<<d.memory.shift + frameStart
	return int64(binary.NativeEndian.Uint64(d.memory.mem[at-8:])), true
}
