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
	if d.attachment == nil {
		return d.receiveKernel(batch)
	}
	if d.sending > 0 {
		d.complete()
	}
	d.refill(d.attachment.socket)
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
	// Several queues may share the buffers: with few, one might have none.
	if d.supply.note(came) && d.cfg.posts() == d.cfg.FillRing {
		d.supply.judge(d.cfg.FillRing, d.traffic())
	}
	return n + came
}

// receive takes packets out of the RX ring and lends their datagrams.
func (d *Driver) receive(batch []buf.Received) (n int) {
	s := d.attachment.socket
	if s.NeedPoll() {
		d.stats.Wakeups++
		if e := s.Poll(); e == unix.ENETDOWN || e == unix.ENXIO {
			d.failed(e)
		}
	}
	got := s.Recv(d.packets[:len(batch)])
	for i := range got {
		if r, ok := d.accept(&d.packets[i]); ok {
			if d.parsed {
				d.heard(&d.header)
			}
			batch[n] = r
			n++
		}
	}
	return n
}

// heard notes the sender's hardware address: packets to it go where its packets come from.
func (d *Driver) heard(h *received) {
	p := d.last
	if p.at != h.from {
		if p = d.peers.find(h.from); p.at != h.from {
			p = d.addPeer(h.from)
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
			size, e := receiveFrom(fd, b.Mem(), &d.name)
			if e != 0 {
				b.Release()
				if e == unix.EINTR || e == unix.ECONNREFUSED {
					continue // ICMP is about something that was sent
				}
				break
			}
			from := d.name.Endpoint()
			switch {
			case uint16(from) == 0:
				d.stats.RecvInvalid++
			case from == d.local:
				d.stats.RecvOwn++
			case size > d.Datagram():
				d.tooLong(from, size)
			default:
				b.Set(0, size)
				c := &d.chunks[b.ID()]
				c.stamped = false
				d.lend(b.ID(), size)
				d.stats.RecvKernel++
				d.eager = eagerFor
				if !d.passed && d.stats.RecvKernel%passedEvery == 0 {
					d.notePassed()
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

// passedEvery is after how many datagrams from the kernel their share is looked at.
const passedEvery = 1024

// notePassed logs, once, that many datagrams of the group come through the kernel: a twentieth or
// more. Of lanes that are not wanted some should come that way.
func (d *Driver) notePassed() {
	if d.stats.RecvKernel*20 < d.stats.RecvDatagrams {
		return
	}
	d.countKernel()
	f := &d.stats.Filter
	if f.Unwanted > 0 && f.Oversize+f.Unmatched+f.NoSocket == 0 {
		return
	}
	d.passed = true
	d.log.Info("xdp: many datagrams come through the kernel, which is slower",
		"kernel", d.stats.RecvKernel, "all", d.stats.RecvDatagrams, "oversize", f.Oversize, "unmatched", f.Unmatched, "nosocket", f.NoSocket,
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
