package totem

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// deliverer hands messages and views to the application, in one order. What cannot be handed over
// when a ring is installed waits in todo.
type deliverer struct {
	todo    []todo
	next    int  // todo[next:] are left
	limit   int  // more than this and the application reads nothing
	blocked bool // Sink has refused a message
	taken   int  // messages since the last Protocol.Deliver
	done    int  // messages that Sink has taken of the datagram that is due

	members idSet // of the ring whose messages are handed over
	from    [MaxMembers]*origin
	parts   assemblies
	origins [64]origin
	ages    uint64

	out  core.Delivery
	loss core.Loss
}

// todo is one datagram of an old ring, or one view, that waits for the application.
type todo struct {
	buf    *buf.Buf
	origin uint8
	ring   wire.RingID
	seq    uint64
	view   *View

	received clock.Time
}

// origin is how far the messages of one member have come.
type origin struct {
	id   wire.MemberID
	next uint64 // number of its next message; 0: not known
	age  uint64
}

// stalled reports whether the application reads nothing while ring after ring is installed.
func (d *deliverer) stalled() bool { return len(d.todo)-d.next > d.limit }

// deliver hands over what may be delivered (section 7).
func (p *Protocol) deliver() {
	if !p.drain() || p.state != Operational {
		return
	}
	for r := p.cur; !p.deliv.blocked; r.delivered++ {
		s := r.at(r.delivered + 1)
		if s == nil || s.safe && s.seq > r.stable {
			return // later agreed messages wait behind a safe one
		}
		if !s.recovered && !p.hand(s.buf, s.origin, r.id, s.seq, s.received) {
			return
		}
	}
}

// drain hands over what waits from earlier rings; false means that something still does.
func (p *Protocol) drain() bool {
	d := &p.deliv
	for d.next < len(d.todo) && !d.blocked {
		t := &d.todo[d.next]
		if t.buf != nil && !p.hand(t.buf, t.origin, t.ring, t.seq, t.received) {
			return false
		}
		if t.buf != nil {
			t.buf.Release()
		} else {
			p.show(t.view)
		}
		*t = todo{}
		d.next++
	}
	if d.next < len(d.todo) {
		return false
	}
	d.todo, d.next = d.todo[:0], 0
	return true
}

// later hands over a datagram or a view in its turn.
func (p *Protocol) later(t todo) {
	if t.buf != nil {
		t.buf.Retain()
	}
	p.deliv.todo = append(p.deliv.todo, t)
	p.drain()
}

// show tells the application of a view. A regular one begins with no part of any message: a
// message never spans rings.
func (p *Protocol) show(v *View) {
	if v.Kind == Regular {
		d := &p.deliv
		if p.cfg.defect != crossingParts {
			for i := range d.parts.list {
				if a := &d.parts.list[i]; a.message != 0 {
					p.stats.PartsDropped++
					d.parts.end(a)
				}
			}
		}
		d.members = idSet{}
		for _, id := range v.Members {
			d.members.add(id)
		}
		for i, id := range d.members.list() {
			d.from[i] = d.origin(id)
		}
		p.stats.Views++
	}
	if p.cfg.Views != nil {
		p.cfg.Views(*v)
	}
}

// origin finds the entry of a member, or gives it the one that was not used for longest.
func (d *deliverer) origin(id wire.MemberID) *origin {
	d.ages++
	oldest := &d.origins[0]
	for i := range d.origins {
		o := &d.origins[i]
		if o.age > 0 && o.id == id {
			o.age = d.ages
			return o
		}
		if o.age < oldest.age {
			oldest = o
		}
	}
	*oldest = origin{id: id, age: d.ages}
	return oldest
}

// hand gives the messages of one datagram to Sink; false means that Sink refused one.
func (p *Protocol) hand(b *buf.Buf, index uint8, ring wire.RingID, seq uint64, received clock.Time) bool {
	d := &p.deliv
	p.probe(Handing, ring, seq)
	m := wire.StoredData(b.Bytes())
	o := d.from[index]
	if o == nil {
		p.stats.Impossible++
		return true
	}
	own := o.id == p.cfg.Self
	if own && !p.cfg.SelfDelivery {
		return true
	}
	if m.Fragment {
		return p.handPart(&m, o, &d.parts.list[index], own, received)
	}
	if d.done == 0 && !p.follows(o, m.FirstMessage) {
		return true
	}
	d.out.From, d.out.Stream, d.out.Received = o.id, p.cfg.Stream, received
	it := m.Messages()
	for range d.done {
		it.Step()
	}
	for it.Step() {
		d.out.Sequence, d.out.Kind, d.out.Topic, d.out.Payload = o.next, it.Kind, it.Topic, it.Payload
		if !p.sink(own) {
			return false
		}
		o.next++
		d.done++
	}
	d.done = 0
	return true
}

// handPart takes one part of a message, and hands the message over when it is whole. Each part
// has to continue the one before it; others are dropped and never put together.
func (p *Protocol) handPart(m *wire.Data, o *origin, a *assembly, own bool, received clock.Time) bool {
	d := &p.deliv
	it := m.Messages()
	it.Step()
	if d.done == 0 {
		if m.Offset == 0 {
			d.parts.end(a)
			if int64(m.Size) <= int64(p.cfg.MaxMessageSize) {
				p.beginParts(a, m)
			}
		}
		if a.message != m.FirstMessage || a.size != int(m.Size) || len(a.bytes) != int(m.Offset) || len(a.bytes)+len(it.Payload) > a.size {
			p.stats.PartsDropped++
			d.parts.end(a)
			return true
		}
		a.bytes = append(a.bytes, it.Payload...)
		d.parts.ages++
		a.grown = d.parts.ages
		if len(a.bytes) < a.size {
			return true
		}
		if !p.follows(o, a.message) {
			d.parts.end(a)
			return true
		}
	}
	d.out = core.Delivery{From: o.id, Stream: p.cfg.Stream, Received: received, Sequence: o.next, Kind: it.Kind, Topic: it.Topic, Payload: a.bytes}
	if !p.sink(own) {
		d.done = 1 // whole, and refused
		return false
	}
	d.done = 0
	o.next++
	d.parts.end(a)
	return true
}

// sink offers one message.
func (p *Protocol) sink(own bool) bool {
	d := &p.deliv
	if !p.cfg.Sink.Deliver(&d.out) {
		d.blocked = true
		p.stats.Pauses++
		return false
	}
	d.taken++
	p.stats.Delivered++
	p.stats.DeliveredBytes += uint64(len(d.out.Payload))
	if own {
		p.stats.OwnDelivered++
	}
	return true
}

// follows notices what a member has said where this one could not hear it.
func (p *Protocol) follows(o *origin, message uint64) bool {
	switch {
	case o.next == 0:
		o.next = message
	case message < o.next:
		p.stats.Impossible++ // said twice
		return false
	case message > o.next:
		p.deliv.loss = core.Loss{From: o.id, Stream: p.cfg.Stream, First: o.next, Last: message - 1, Reason: core.LossSenderGone}
		p.stats.Lost += message - o.next
		o.next = message
		p.cfg.Sink.Lost(&p.deliv.loss)
	}
	return true
}

func (d *deliverer) release() {
	for i := range d.todo[d.next:] {
		if b := d.todo[d.next+i].buf; b != nil {
			b.Release()
		}
	}
	d.todo, d.next = nil, 0
}
