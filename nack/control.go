package nack

import (
	"slices"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// control is one control datagram that is due. It is written when it leaves, so that its content
// is fresh.
type control struct {
	kind   controlKind
	sender *Sender
	stream *stream
	id     wire.StreamID // of a Leave
	to     buf.Endpoint

	evicted bool // of a probe: it says so
}

type controlKind uint8

const (
	sendNak controlKind = iota
	sendStatus
	sendHeartbeat
	sendProbe // a heartbeat for one receiver
	sendStart
	sendLeave
)

// PollControl is PollSend for control datagrams alone. They never wait for the rate, because without
// them nothing is repaired in time. After Close what is sent last has to leave before them.
func (p *Protocol) PollControl(now clock.Time) (s buf.Send, ok bool) {
	if p.next == len(p.control) {
		return s, false
	}
	if p.closed {
		for _, t := range p.senders {
			if t.encoding.waiting() {
				return s, false
			}
		}
	}
	if s, ok = p.pollControl(now); ok {
		p.cfg.Pacer.Spend(now, s.Buf.Len())
	}
	return s, ok
}

// queue puts a control datagram in line.
func (p *Protocol) queue(c control) {
	if p.next == len(p.control) {
		p.control, p.next = p.control[:0], 0
	} else if p.next > 64 && p.next > len(p.control)/2 {
		p.control, p.next = p.control[:copy(p.control, p.control[p.next:])], 0
	}
	p.control = append(p.control, c)
}

// pollControl writes the next control datagram.
func (p *Protocol) pollControl(now clock.Time) (s buf.Send, ok bool) {
	for p.next < len(p.control) {
		c := &p.control[p.next]
		b := p.cfg.Pool.Get()
		if b == nil {
			p.stats.Drops[DropNoBuffer]++
			return s, false
		}
		mem := b.Mem()[:0:p.cfg.Datagram]
		to, more := buf.Group, false
		switch c.kind {
		case sendNak:
			mem, to, more = c.stream.appendNak(now, mem)
		case sendStatus:
			mem, to = c.stream.appendStatus(now, mem)
		case sendHeartbeat:
			mem = c.sender.appendHeartbeat(now, mem)
		case sendProbe:
			mem, to = c.sender.appendProbe(now, mem, c.evicted), c.to
		case sendStart:
			mem = c.sender.appendStart(now, mem)
		case sendLeave:
			mem = p.appendLeave(c, mem)
		}
		if !more {
			p.next++
		}
		if len(mem) == 0 { // no longer needed
			b.Release()
			continue
		}
		wire.Seal(mem)
		b.Set(0, len(mem))
		return buf.Send{Buf: b, To: to}, true
	}
	return s, false
}

// leaveCopies is how often a Leave is sent: it is not repaired.
const leaveCopies = 3

// maxFarewells bounds the streams in which a receiver sends a Leave: as many as there are with
// 64 lanes, and the four protocols.
const maxFarewells = 4 * 64

// Close takes leave: it queues a Leave for each stream, and for this member as a receiver.
// PollSend hands them out; then others drop us at once instead of after Config.Eviction. Data
// that has not been sent yet is not sent any more.
func (p *Protocol) Close(now clock.Time) {
	if p.closed {
		return
	}
	p.closed = true
	for _, s := range p.senders {
		if s.packing {
			s.Abort()
			s.close(now)
		}
		if s.encoding != nil {
			s.encoding.enc.Flush(now)
		}
	}
	p.control, p.next = p.control[:0], 0
	farewells := p.farewells()
	for range leaveCopies {
		for _, s := range p.senders {
			p.queue(control{kind: sendLeave, sender: s})
		}
		for _, id := range farewells {
			p.queue(control{kind: sendLeave, id: id})
		}
	}
}

// farewells returns the streams in which this member leaves as a receiver: each stream that it
// receives and does not send, since a sender may receive no other lanes than those that it sends on. A
// member that neither sends nor receives anything leaves in the first lane of NACK.
func (p *Protocol) farewells() (ids []wire.StreamID) {
	for _, s := range p.streams {
		if s.state.open() && len(ids) < maxFarewells && p.findSender(s.id) == nil && !slices.Contains(ids, s.id) {
			ids = append(ids, s.id)
		}
	}
	if first := wire.NewStreamID(wire.NACK, 0); len(p.senders) == 0 && !slices.Contains(ids, first) {
		ids = append(ids, first)
	}
	return ids
}

func (p *Protocol) appendLeave(c *control, mem []byte) []byte {
	if c.sender == nil {
		return wire.AppendLeave(wire.AppendHeader(mem, p.header(c.id)), wire.Leave{})
	}
	s := c.sender
	return wire.AppendLeave(wire.AppendHeader(mem, p.header(s.id)),
		wire.Leave{HasLast: true, Last: s.sent - 1, NextMessage: s.messageAt(s.sent)})
}
