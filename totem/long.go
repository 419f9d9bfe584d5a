package totem

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// The MTU of the own interface may be lowered while datagrams that were packed for the longer one have their numbers in
// the ring. They can neither be packed anew nor given up: the order is fixed, and this member may have delivered them.
// So a datagram that is too long to leave is cut, and its parts leave instead. Each part is a Data without a Ring. Its
// payload is a piece of the datagram; first_message is the length of each piece but the last. Members put the pieces
// together and take in the whole as if it had come so. When a part is lost the token asks for the whole again.

// partTopic is the topic of parts: a Data has one.
const partTopic = "-"

// partLeast is the shortest piece that is worth a datagram. No interface that carries IPv4 at all leaves less room.
const partLeast = 32

// maxPieces bounds the parts of a datagram.
const maxPieces = 64

// part hands out the next part of the datagram that is first in the outbox.
func (o *outbox) part(now clock.Time, whole *buf.Buf) (s buf.Send, ok bool) {
	p := o.p
	step := wire.FragmentRoom(p.whole, partTopic)
	b := p.cfg.Pool.Get()
	if b == nil || step < partLeast || whole.Len() > maxPieces*step {
		o.taken() // as if it were lost on the way
		whole.Release()
		if b != nil {
			b.Release()
			p.stats.Drops[DropLong]++
		} else {
			p.stats.Drops[DropNoBuffer]++
		}
		return o.poll(now)
	}
	bytes, at := whole.Bytes(), o.cut
	m := wire.StoredData(bytes)
	n := min(step, len(bytes)-at)
	var w wire.DataWriter
	w.Begin(b.Mem(), p.whole, p.header(), m.Number, uint64(step))
	if !w.AddFragment(partTopic, 0, uint32(at), uint32(len(bytes)), bytes[at:at+n]) {
		panic("totem: a part does not fit its datagram")
	}
	b.Set(w.Finish())
	if o.cut += n; o.cut == len(bytes) {
		o.taken()
		whole.Release()
	}
	p.cfg.Pacer.Spend(now, b.Len())
	return buf.Send{Buf: b, To: buf.Group, Wait: true}, true
}

// wholes are the datagrams that are being put together. When there are too many, the one that has got no part for
// longest is given up, and asked for again.
type wholes struct {
	list [MaxMembers]pieces
	ages uint64
	buf  buf.Buf       // lends the one that is whole
	d    wire.Datagram // and this is it
}

// pieces are what has come of one datagram.
type pieces struct {
	from   wire.MemberID
	number uint64
	size   int
	step   int
	left   int    // bytes
	seen   uint64 // bit i: piece i has come
	age    uint64
	mem    []byte
}

// stepPart takes in a part of a datagram.
func (p *Protocol) stepPart(now clock.Time, d *wire.Datagram, m *wire.Data, r buf.Received) error {
	if !p.cur.members.has(d.Transmitter) && !p.old.members.has(d.Transmitter) {
		return p.drop(DropForeign)
	}
	it := m.Messages()
	it.Step()
	size, step, at := int(m.Size), int(min(m.FirstMessage, wire.MaxDatagram)), int(m.Offset)
	switch {
	case !m.Fragment || string(it.Topic) != partTopic || step < partLeast || size > maxPieces*step:
		return p.drop(DropFrames)
	case at%step != 0 || len(it.Payload) != min(step, size-at):
		return p.drop(DropFrames)
	case size > p.cfg.Datagram:
		return p.drop(DropLong)
	}
	t := &p.wholes
	a := t.find(d.Transmitter, m.Number, size, step)
	bit := uint64(1) << (at / step)
	if a.seen&bit != 0 {
		return p.drop(DropStale)
	}
	a.seen |= bit
	a.left -= copy(a.mem[at:], it.Payload)
	if a.left > 0 {
		return nil
	}
	whole := a.mem[:size]
	a.size = 0
	w := &t.d
	if wire.Decode(whole, w) != nil || w.Transmitter != d.Transmitter || w.Cluster != d.Cluster || w.Stream != d.Stream {
		return p.drop(DropMalformed)
	}
	data, ring := dataAndRing(w.Frames())
	if data == nil {
		return p.drop(DropFrames)
	}
	t.buf.Lend(whole)
	r.Buf = &t.buf
	of, g := data.Data(), ring.Ring()
	return p.stepData(now, w, &of, &g, r)
}

// find returns the pieces of a datagram, with memory for it.
func (t *wholes) find(from wire.MemberID, number uint64, size, step int) *pieces {
	t.ages++
	eldest := &t.list[0]
	for i := range t.list {
		a := &t.list[i]
		if a.size == size && a.step == step && a.number == number && a.from == from {
			a.age = t.ages
			return a
		}
		if a.size == 0 && eldest.size != 0 || (a.size == 0) == (eldest.size == 0) && a.age < eldest.age {
			eldest = a
		}
	}
	mem := eldest.mem
	if cap(mem) < size {
		mem = make([]byte, size)
	}
	*eldest = pieces{from: from, number: number, size: size, step: step, left: size, age: t.ages, mem: mem[:cap(mem)]}
	return eldest
}

// dataAndRing are the two frames of a datagram of a ring; nil: it is none. Between kinds there is no order.
func dataAndRing(frames []wire.Frame) (data, ring *wire.Frame) {
	if len(frames) != 2 {
		return nil, nil
	}
	data, ring = &frames[0], &frames[1]
	if data.Kind == wire.FrameRing {
		data, ring = ring, data
	}
	if data.Kind != wire.FrameData || ring.Kind != wire.FrameRing {
		return nil, nil
	}
	return data, ring
}
