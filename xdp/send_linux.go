package xdp

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/ip4"
	"golang.org/x/sys/unix"
)

// Send takes batch[:n] in order. A datagram in a buffer of Pool is sent from where it lies, and
// its buffer must not be changed until its last reference is gone. The error is why Send
// stopped short: ErrAgain when as many packets as the TX ring holds are on their way, ErrClosed.
// A datagram that cannot be sent for another reason is dropped and counted; it does not hold up
// what comes behind it.
func (d *Driver) Send(batch []buf.Send) (n int, err error) {
	switch {
	case d.state == Closed:
		return 0, ErrClosed
	case d.state != Up || d.attachment == nil:
		d.stats.SendDown += uint64(len(batch))
		return len(batch), nil
	}
	if d.sending > 0 {
		d.complete()
	}
	for ; n < len(batch); n++ {
		if d.queued == len(d.out) {
			d.push()
		}
		if d.sending+d.queued >= d.cfg.TxRing {
			d.push()
			if d.complete(); d.sending >= d.cfg.TxRing {
				err = ErrAgain
				break
			}
		}
		if !d.put(&batch[n]) {
			err = ErrAgain
			break
		}
	}
	if err != nil {
		d.stats.SendAgain++
	}
	if d.queued > 0 {
		d.push()
	}
	return n, err
}

// put prepares one datagram. False means that it needs a buffer, and there is none.
func (d *Driver) put(s *buf.Send) bool {
	b, n := s.Buf, s.Buf.Len()
	if n > d.Datagram() {
		d.stats.SendDropped++
		return true
	}
	head := d.head(s.To)
	if head == nil {
		d.sendKernel(s)
		return true
	}
	c, write := (*chunk)(nil), true
	if b.In(d.pool) {
		switch c = &d.chunks[b.ID()]; {
		case c.posts == 0:
		case c.written == written{s.To, d.templates, uint16(n), uint16(b.Offset())}:
			write = false // it is sent again: they are there, and the kernel may be reading them
		default:
			c = nil // other headers, while the kernel may be reading these
		}
	}
	if c != nil {
		b.Retain()
	} else {
		f := d.pool.Take()
		if f == nil {
			return false
		}
		f.Set(0, copy(f.Mem(), b.Bytes()))
		b, c = f, &d.chunks[f.ID()]
		d.stats.SendCopied++
	}
	at := int(b.ID())<<d.memory.shift + frameStart + b.Offset()
	if write {
		head.put((*[packet]byte)(d.memory.mem[at:]), n)
		c.written = written{s.To, d.templates, uint16(n), uint16(b.Offset())}
	}
	c.posts++
	d.out[d.queued] = unix.XDPDesc{Addr: uint64(at), Len: uint32(packet + n)}
	d.queued++
	d.stats.SendDatagrams++
	d.stats.SendBytes += uint64(n)
	if d.tap != nil {
		d.tap.packet(tapOut, d.memory.mem[at:at+packet+n])
	}
	return true
}

// head is the template for what goes to e, or nil when the kernel's socket has to send it.
func (d *Driver) head(e buf.Endpoint) *template {
	if e == buf.Group {
		return &d.toGroup
	}
	p := d.last
	if p.at != e {
		if p = d.peers.find(e); p.at != e {
			p = d.addPeer(e)
			d.lastHeader.size = 0 // its peer may have been forgotten for it
		}
		d.last = p
	}
	if !p.asked {
		p.asked = true
		ip, _ := ip4.Split(e)
		d.control.ask(ip)
	}
	if p.known == nobody {
		return nil
	}
	return &p.head
}

// addPeer adds e to the table of peers. Where that empties the table first, the neighbours of the
// peers that it held are no longer watched.
func (d *Driver) addPeer(e buf.Endpoint) *peer {
	purged := d.peers.purged
	p := d.peers.add(e)
	if d.peers.purged != purged {
		d.control.forgetAll()
	}
	return p
}

// reach notes that packets to p go to the hardware address m.
func (d *Driver) reach(p *peer, m mac) {
	p.mac = m
	p.head.set(d.mac, m, d.local, p.at, unicastTTL, d.cfg.DSCP)
	d.templates++ // headers that lie in buffers may be out of date
}

// sendKernel sends through the ordinary socket, which finds the receiver's hardware address.
func (d *Driver) sendKernel(s *buf.Send) {
	d.name.Set(s.To)
	if e := sendTo(d.kernel.own, s.Buf.Bytes(), &d.name); e != 0 {
		d.stats.SendDropped++
		d.logOnce(e, "the kernel's socket refused a datagram, which was dropped")
		return
	}
	d.stats.SendKernel++
	d.stats.SendDatagrams++
	d.stats.SendBytes += uint64(s.Buf.Len())
	if d.tap != nil {
		d.tap.datagram(tapOut, d.local, s.To, s.Buf.Bytes())
	}
}

// push hands what put has prepared to the kernel.
func (d *Driver) push() {
	if d.cfg.OnKick != nil {
		d.cfg.OnKick()
	}
	n := d.attachment.socket.Send(d.out[:d.queued])
	for i := n; i < d.queued; i++ { // cannot be: the ring has room for all that is on its way
		id := uint32(d.out[i].Addr >> d.memory.shift)
		d.chunks[id].posts--
		d.pool.At(id).Release()
		d.stats.SendDropped++
	}
	d.sending += n
	d.queued = 0
	d.kick()
}

// kick makes the kernel send what is in the TX ring. It takes a limited number of packets at a
// time (32, TX_BATCH_SIZE in net/xdp/xsk.c) and says EAGAIN when there are more; what it still
// does not take, because the device is busy, is left for the next Recv or Send.
func (d *Driver) kick() {
	d.unsent = false
	s := d.attachment.socket
	if !s.NeedKick() {
		return
	}
	before := -1
	for range d.cfg.TxRing/32 + 1 {
		d.stats.Kicks++
		e := s.Kick()
		if e == 0 {
			return
		}
		left := s.Unsent()
		switch e {
		case unix.EAGAIN, unix.ENOBUFS:
			d.stats.KickAgain++
			d.complete()
			if left == before {
				d.unsent = true // the device is busy
				return
			}
		case unix.EINTR:
		case unix.EBUSY:
			d.stats.SendDropped++ // the device took a packet and threw it away
		default:
			d.stats.KickErrors++
			d.failed(e)
			return
		}
		if left == 0 {
			return
		}
		before = left
	}
	d.unsent = true
}

// complete takes back the buffers of packets that were sent.
func (d *Driver) complete() {
	for {
		n := d.attachment.socket.Complete(d.addresses[:])
		for _, a := range d.addresses[:n] {
			id := uint32(a >> d.memory.shift)
			if a>>d.memory.shift >= uint64(len(d.chunks)) || d.chunks[id].posts == 0 {
				d.stats.RecvInvalid++
				continue
			}
			d.chunks[id].posts--
			d.sending--
			d.pool.At(id).Release()
		}
		if n < len(d.addresses) {
			return
		}
	}
}
