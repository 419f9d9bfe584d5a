package xdp

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/ip4"
	"github.com/activeblaze/blaze/internal/oversize"
	"github.com/activeblaze/blaze/wire"
	"golang.org/x/sys/unix"
)

// receiver is the half of a driver that receives from one socket: packet memory, where each of its
// buffers is, and what makes a datagram of a packet. It belongs to one thread.
type receiver struct {
	pool   *buf.Pool
	memory umem
	chunks []chunk // by buffer

	posted  int // buffers with the kernel to receive into
	supply  supply
	talker  buf.Endpoint // whose packet was the group's last
	turns   uint64       // times that it was another's
	sending int          // packets in the TX and completion rings

	lent   [maxBatch]uint32 // what the last Recv lent
	lends  int
	empty  [2 * maxBatch]uint32 // buffers on their way to the fill ring
	spares int

	addresses  [maxBatch]uint64
	packets    [maxBatch]unix.XDPDesc
	header     received   // of the packet that accept took last
	lastHeader lastHeader // what header was read from
	parsed     bool       // header was read from that packet, and not from one before it

	local, group buf.Endpoint
	mtu          int
	tap          *tap
	cfg          Config
	log          *slog.Logger
	long         oversize.Log
	stats        Stats
}

// chunk is what a driver keeps of a buffer beside its references.
type chunk struct {
	written        // the headers in front of its datagram, while posts is more than 0
	posts   uint16 // packets in the TX and completion rings that lie in it; each has a reference
	filled  bool   // it is with the kernel, to receive into
	stamped bool   // its packet's time of arrival is in front of it
}

// written is which headers lie in front of a datagram. Their last bytes may lie in what cores write to, so they are
// there only as long as the kernel has the packet and nobody may write.
type written struct {
	to       buf.Endpoint
	template uint32
	n, off   uint16
}

// furnish makes the pool of the packet memory; slack buffers more may still be being sent.
func (d *receiver) furnish(slack int) {
	d.pool = buf.NewPoolOver(d.memory.mem, d.memory.chunk, headroom, d.cfg.reserve(), slack)
	d.chunks = make([]chunk, len(d.memory.mem)/d.memory.chunk)
}

// endLoan takes back what the last Recv lent.
func (d *receiver) endLoan() {
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
func (d *receiver) spare(id uint32) {
	if d.spares < len(d.empty) {
		d.empty[d.spares] = id
		d.spares++
		return
	}
	d.pool.At(id).Release()
}

// refill gives the kernel empty buffers until as many are with it as it should have.
func (d *receiver) refill(s Socket) {
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
		n := s.Fill(d.addresses[:want])
		d.posted += n
		d.stats.Fills += uint64(n)
		// The kernel shows a packet before it reports that it has taken the buffer (xsk_flush in
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

// accept takes one packet from the kernel, and leaves its headers in header. What it refuses is with
// the driver again.
func (d *receiver) accept(p *unix.XDPDesc) (r buf.Received, ok bool) {
	// The one place where descriptors are checked. One that names a buffer which the kernel
	// has not got would be a fault of the kernel's, or of ours; using it would be worse.
	id := uint32(p.Addr >> d.memory.shift)
	off := int(p.Addr) & (d.memory.chunk - 1)
	if p.Addr>>d.memory.shift >= uint64(len(d.chunks)) || !d.chunks[id].filled {
		d.stats.RecvInvalid++
		return r, false
	}
	c := &d.chunks[id]
	c.filled, c.stamped = false, d.cfg.Breakdown
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
	if d.parsed = !d.lastHeader.matches(frame); !d.parsed {
		return d.take(id, off, h), true
	}
	d.lastHeader.size = 0
	switch {
	case !parse(frame, h):
		d.stats.RecvInvalid++
	case h.tagged || h.to != d.group && h.to != d.local:
		d.stats.RecvForeign++
	case h.from == d.local:
		d.stats.RecvOwn++
	case h.n > d.Datagram() && !d.isTrain(frame[h.off:h.off+h.n]):
		d.tooLong(h.from, h.n)
	default:
		if h.n <= d.Datagram() { // each train is looked at
			d.lastHeader.learn(frame, h)
		}
		if h.to == d.group && h.from != d.talker {
			d.talker = h.from
			d.turns++
		}
		return d.take(id, off, h), true
	}
	d.spare(id)
	return r, false
}

// isTrain reports whether p, which is longer than this member's MTU allows, is several datagrams that
// are not. A udp member's segmentation offload looks so in generic mode on virtual interfaces, where
// nothing has cut the packet up yet. The engine does that (engine/train.go). The beginning of a
// datagram, version and cluster, is the same in all of them.
func (d *receiver) isTrain(p []byte) bool {
	const mark = 14
	if len(p) < 2*wire.HeaderLen {
		return false
	}
	at := bytes.Index(p[wire.HeaderLen:], p[:mark]) // where the second datagram begins
	return at >= 0 && wire.HeaderLen+at <= d.Datagram()
}

// tooLong notes that a datagram of n bytes was dropped, which is more than this member's MTU allows.
func (d *receiver) tooLong(from buf.Endpoint, n int) {
	d.stats.RecvLong++
	d.long.Dropped(d.log, ip4.Addr(from), n, true, d.Datagram(), d.stats.RecvLong)
}

// take lends the datagram of a packet that was accepted.
func (d *receiver) take(id uint32, off int, h *received) buf.Received {
	b := d.pool.At(id)
	b.Set(off+h.off-headroom, h.n)
	d.lend(id, h.n)
	return buf.Received{Buf: b, From: h.from, Group: h.to == d.group}
}

// traffic is what came so far.
func (d *receiver) traffic() traffic {
	return traffic{d.stats.RecvDatagrams, d.stats.RecvBytes, d.turns}
}

func (d *receiver) lend(id uint32, n int) {
	d.lent[d.lends] = id
	d.lends++
	d.stats.RecvDatagrams++
	d.stats.RecvBytes += uint64(n)
}

// reclaim takes back what was in the rings of a socket that is closed.
func (d *receiver) reclaim() {
	for id := range d.chunks {
		c, b := &d.chunks[id], d.pool.At(uint32(id))
		if c.filled {
			c.filled = false
			d.posted--
			b.Release()
		}
		for ; c.posts > 0; c.posts-- {
			d.sending--
			b.Release()
		}
	}
	for ; d.spares > 0; d.spares-- {
		d.pool.At(d.empty[d.spares-1]).Release()
	}
}

// Pool is the packet memory, for the cores of this thread to take buffers from. Sending from it, and
// keeping what Recv lends, copies nothing. It ends with the driver.
func (d *receiver) Pool() *buf.Pool { return d.pool }

// Local is the member's own unicast address.
func (d *receiver) Local() buf.Endpoint { return d.local }

// Datagram is the largest UDP payload in bytes: the MTU less 28.
func (d *receiver) Datagram() int { return d.mtu - ipSize - udpSize }

// Room is how many bytes of arriving datagrams wait for this thread at most, as senders count
// them: a datagram's length and 256. Each takes one buffer however short it is, so with long
// datagrams there is more room than this.
func (d *receiver) Room() int { return d.cfg.FillRing * roomEach }

// Accounting says where all buffers are. It is for quiet points and reads every buffer's state.
// The error names what does not add up: a fault of this package, or of another holder of buffers.
func (d *receiver) Accounting() (a Accounting, err error) {
	lent, spare := map[uint32]bool{}, map[uint32]bool{}
	places := make([]int, len(d.chunks)) // of which a buffer can be in one
	for _, id := range d.lent[:d.lends] {
		lent[id] = true
		places[id]++
	}
	for _, id := range d.empty[:d.spares] {
		spare[id] = true
		places[id]++
	}
	a.Total = len(d.chunks)
	posts := 0
	for id := range d.chunks {
		c, b := &d.chunks[id], d.pool.At(uint32(id))
		refs, ours := b.Refs(), int(c.posts)
		posts += int(c.posts)
		if c.filled {
			places[id]++
		}
		if places[id] > 1 {
			err = errors.Join(err, fmt.Errorf("xdp: buffer %d is in %d places: with the kernel %v, spare %v, lent %v", id, places[id], c.filled, spare[uint32(id)], lent[uint32(id)]))
		}
		if c.filled || lent[uint32(id)] || spare[uint32(id)] {
			ours++
		}
		switch {
		case refs < ours:
			err = errors.Join(err, fmt.Errorf("xdp: buffer %d has %d references, the driver alone holds %d", id, refs, ours))
		case refs > ours && (c.filled || spare[uint32(id)]):
			err = errors.Join(err, fmt.Errorf("xdp: buffer %d is with the kernel, and somebody holds it", id))
		case c.filled || spare[uint32(id)]:
			a.Fill++
		case refs > ours:
			a.Held++
		case lent[uint32(id)]:
			a.Lent++
		case c.posts > 0:
			a.Sending++
		default:
			a.Free++
		}
	}
	if free := a.Total - d.pool.Out(); free != a.Free {
		err = errors.Join(err, fmt.Errorf("xdp: %d buffers are free, the pool has %d", a.Free, free))
	}
	if a.Fill != d.posted+d.spares || posts != d.sending {
		err = errors.Join(err, fmt.Errorf("xdp: %d buffers and %d packets are with the kernel, %d and %d were counted", a.Fill, posts, d.posted+d.spares, d.sending))
	}
	return a, err
}

// countSocket refreshes the counters that the kernel keeps of a socket; b are those of the sockets
// before it.
func (s *Stats) countSocket(of Socket, b *Stats) {
	k, err := of.Stats()
	if err != nil {
		return
	}
	s.KernelDropped = b.KernelDropped + k.Rx_dropped
	s.KernelFillEmpty = b.KernelFillEmpty + k.Rx_fill_ring_empty_descs
	s.KernelRingFull = b.KernelRingFull + k.Rx_ring_full
	s.KernelRxInvalid = b.KernelRxInvalid + k.Rx_invalid_descs
	s.KernelTxInvalid = b.KernelTxInvalid + k.Tx_invalid_descs
	s.KernelTxRingEmpty = b.KernelTxRingEmpty + k.Tx_ring_empty_descs
}

// leak is the error of packet memory that has to stay.
func leak(p *buf.Pool, count int) error { return fmt.Errorf("%w: %d of %d", ErrLeak, p.Out(), count) }
