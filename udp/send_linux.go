package udp

import (
	"slices"
	"unsafe"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/ip4"
	"golang.org/x/sys/unix"
)

const (
	maxSegments = 64    // UDP_MAX_SEGMENTS of older kernels
	maxPacket   = 65000 // bytes of payload in one packet; IPv4 allows 65507

	maxPackets = 64  // of one sendmmsg
	maxPieces  = 256 // buffers of one sendmmsg
)

// outlet is the sending side: room for the arguments of one sendmmsg.
type outlet struct {
	hdrs   [maxPackets]mmsghdr
	names  [maxPackets]ip4.Sockaddr
	ctls   [maxPackets]segment
	pieces [maxPieces]unix.Iovec
	spans  [maxPackets]span

	peers   peers
	dests   []ip4.Sockaddr // what the group stands for: its address, or each peer's
	toGroup bool           // dests is the group's one address

	// A run that some peers have got and others not, since the socket was full: it starts
	// with head, has count datagrams and goes to dests[next] next.
	head  *buf.Buf
	count int
	next  int
}

// span says which datagrams of the batch a packet carries.
type span struct {
	count int // datagrams
	bytes int
	group bool
	dest  int  // index in dests, when group
	last  bool // no other packet carries these datagrams
}

func (o *outlet) init(cfg Config, local buf.Endpoint) {
	if o.toGroup = len(cfg.Peers) == 0; o.toGroup {
		o.setDests([]buf.Endpoint{EndpointOf(cfg.Group)})
	} else {
		o.peers = newPeers(cfg, local)
		o.setDests(o.peers.with(nil))
	}
	for i := range o.hdrs {
		o.ctls[i].initSend()
		o.hdrs[i].hdr.Namelen = sizeofSockaddr
	}
}

func (o *outlet) setDests(to []buf.Endpoint) {
	o.dests = make([]ip4.Sockaddr, len(to))
	for i, e := range to {
		o.dests[i].Set(e)
	}
}

// SetPeers has the group stand for these members from now on, besides the addresses of Config.Peers; at most
// MaxMembers of them. It keeps no reference to members. With multicast it does nothing.
func (d *Driver) SetPeers(members []buf.Endpoint) {
	o := &d.out
	if o.toGroup {
		return
	}
	to := o.peers.with(members)
	if o.head != nil {
		// Some have got what comes next, and do not get it again: they come first.
		got := make([]buf.Endpoint, 0, o.next)
		for i := range o.dests[:o.next] {
			got = append(got, o.dests[i].Endpoint())
		}
		slices.SortStableFunc(to, func(a, b buf.Endpoint) int {
			switch x, y := slices.Contains(got, a), slices.Contains(got, b); {
			case x == y:
				return 0
			case x:
				return -1
			}
			return 1
		})
		o.next = 0
		for o.next < len(to) && slices.Contains(got, to[o.next]) {
			o.next++
		}
	}
	o.setDests(to)
}

// Send hands batch[:n] to the kernel, which copies it: the buffers are the caller's again.
// The error is why it stopped short: ErrAgain when the socket is full, ErrClosed. A
// datagram that the kernel refuses for any other reason (no route, a link that is down) is
// dropped, counted and logged once; it does not hold up what comes behind it.
//
// Consecutive datagrams of equal length to one destination leave as one packet. With peers,
// a datagram to the group is taken when each peer has got it; one to a member that is
// sent again after ErrAgain goes on with the peer where it stopped.
func (d *Driver) Send(batch []buf.Send) (n int, err error) {
	if d.own.fd < 0 {
		return 0, ErrClosed
	}
	if d.way.shut {
		d.out.head = nil
		d.stats.SendDown += uint64(len(batch))
		return len(batch), nil
	}
	for n < len(batch) {
		packets, skipped := d.fill(batch[n:])
		if packets == 0 {
			n += skipped
			continue
		}
		d.looped = d.loop.on.Load()
		sent, e := d.out.send(d.own.fd, packets)
		d.stats.SendCalls++
		d.spins = 0
		n += d.took(batch[n:], sent)
		if e == 0 || e == unix.EINTR {
			continue
		}
		refused := &d.out.spans[0] // an error is reported only for the first
		switch {
		case e == unix.EAGAIN || e == unix.ENOBUFS:
			d.stats.SendAgain++
			return n, ErrAgain
		case (e == unix.EMSGSIZE || e == unix.EINVAL) && d.cannotLeave(batch[n].Buf.Len()):
			d.stats.SendDropped += uint64(refused.count)
			n += d.advance(batch[n:], refused)
		case (e == unix.EIO || e == unix.EINVAL) && refused.count > 1:
			// The card cannot fill in checksums, or the packet goes through IPsec.
			d.segments = false
			d.stats.SegmentsOff = 1
			d.logOnce(e, "the kernel refuses segmentation; going on without")
		case e == unix.ENETUNREACH || e == unix.ENETDOWN || e == unix.ENODEV:
			d.stats.SendDown += uint64(refused.count)
			d.logOnce(e, "a datagram was refused and dropped")
			n += d.advance(batch[n:], refused)
		default:
			d.stats.SendDropped += uint64(refused.count)
			d.logOnce(e, "a datagram was refused and dropped")
			n += d.advance(batch[n:], refused)
		}
	}
	return n, nil
}

// send hands packets to the kernel and returns how many it took: with an error none. A single one leaves by the cheapest
// call.
func (o *outlet) send(fd, packets int) (int, unix.Errno) {
	switch h := &o.hdrs[0].hdr; {
	case packets > 1:
		return sendmmsg(fd, o.hdrs[:packets])
	case h.Control != nil:
		return sendmsg(fd, h)
	default:
		return sendto(fd, h)
	}
}

// fill prepares packets from the beginning of batch. When the first datagram can go nowhere
// there are none, and skipped says how many to pass over.
func (d *Driver) fill(batch []buf.Send) (packets, skipped int) {
	o := &d.out
	pieces := 0
	for i := 0; i < len(batch) && packets < maxPackets && pieces < maxPieces; {
		to := batch[i].To
		if to == buf.Group && len(o.dests) == 0 || to != buf.Group && uint16(to) == 0 {
			if packets > 0 {
				return packets, 0
			}
			if to != buf.Group {
				d.stats.SendDropped++
			}
			o.head = nil
			return 0, 1 // nobody else is listed; or an endpoint that never was one
		}
		limit := maxPieces - pieces
		first := 0
		if o.head != nil && i == 0 {
			if o.head == batch[0].Buf && to == buf.Group {
				first, limit = o.next, min(limit, o.count)
			} else {
				o.head = nil
			}
		}
		piece := pieces
		count, bytes := d.run(batch[i:], pieces, limit)
		pieces += count

		dests := 1
		if to == buf.Group {
			dests = len(o.dests)
		}
		if first >= dests { // all that are left have got it; it is at the front of the batch
			o.head = nil
			return 0, count
		}
		for dest := first; dest < dests; dest++ {
			if packets == maxPackets {
				return packets, 0
			}
			h := &o.hdrs[packets].hdr
			if to == buf.Group {
				h.Name = (*byte)(ptr(&o.dests[dest]))
			} else {
				o.names[packets].Set(to)
				h.Name = (*byte)(ptr(&o.names[packets]))
			}
			h.Iov = &o.pieces[piece]
			h.SetIovlen(count)
			if count > 1 {
				o.ctls[packets].setSend(batch[i].Buf.Len())
				h.Control = (*byte)(ptr(&o.ctls[packets]))
				h.SetControllen(sizeofSegment)
			} else {
				h.Control = nil
				h.SetControllen(0)
			}
			o.spans[packets] = span{count, bytes, to == buf.Group, dest, dest == dests-1}
			packets++
		}
		i += count
	}
	return packets, 0
}

// run collects the datagrams at the beginning of batch that can leave as one packet into
// pieces[at:], at most limit of them.
func (d *Driver) run(batch []buf.Send, at, limit int) (count, bytes int) {
	o := &d.out
	if !d.segments {
		limit = 1
	}
	limit = min(limit, maxSegments, len(batch))
	to, size := batch[0].To, batch[0].Buf.Len()
	for count < limit {
		data := batch[count].Buf.Bytes()
		// Only the last segment may be shorter, and an empty one would vanish.
		if count > 0 && (batch[count].To != to || len(data) > size || len(data) == 0 || bytes+len(data) > maxPacket) {
			break
		}
		piece := &o.pieces[at+count]
		piece.Base = unsafe.SliceData(data)
		piece.SetLen(len(data))
		bytes += len(data)
		count++
		if len(data) < size || size == 0 {
			break
		}
	}
	return count, bytes
}

// took counts the first sent packets, which the kernel has taken, and returns how many
// datagrams of batch are done with.
func (d *Driver) took(batch []buf.Send, sent int) (done int) {
	o := &d.out
	for i := range sent {
		s := &o.spans[i]
		d.stats.SendDatagrams += uint64(s.count)
		d.stats.SendBytes += uint64(s.bytes)
		if s.group && o.toGroup && d.copied() {
			d.ownSent++
		}
		if d.way.down {
			d.stats.SendDown += uint64(s.count)
		}
		done += d.advance(batch[done:], s)
	}
	d.stats.SendPackets += uint64(sent)
	return done
}

// advance notes that the packet of s is done with, and returns how many datagrams at the
// beginning of batch are.
func (d *Driver) advance(batch []buf.Send, s *span) int {
	o := &d.out
	if s.last {
		o.head = nil
		return s.count
	}
	o.head, o.count, o.next = batch[0].Buf, s.count, s.dest+1
	return 0
}

func ptr[T any](p *T) unsafe.Pointer { return unsafe.Pointer(p) }
