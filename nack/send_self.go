package nack

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// startSelf begins or ends the delivery of own messages, at the present.
func (s *Sender) startSelf() {
	if s.self != nil {
		s.p.assemblies.release(s.self)
	}
	s.self = nil
	if s.p.self {
		s.self = &stream{p: s.p, from: s.p.cfg.Self, incarnation: s.p.cfg.Incarnation, id: s.id, own: true}
		s.self.init()
		s.self.expectFrom(s.sent, s.messageAt(s.sent))
		s.selfNext = s.sent
		s.self.fresh = s.sent > 1
	}
}

// selfBatch bounds the own datagrams that one Deliver passes to Sink.
const selfBatch = 64

// deliverSelf hands own datagrams that have been sent to Sink.
func (s *Sender) deliverSelf(now clock.Time) {
	for range selfBatch {
		if s.self == nil || s.selfNext >= s.sent {
			return
		}
		b := s.slots[s.selfNext&s.mask].buf
		d := &s.p.scratch
		if wire.DecodeAgain(b.Bytes(), d) != nil {
			panic("nack: own datagram cannot be decoded")
		}
		m := d.Frames()[0].Data()
		if s.self.follows(&m) && !s.self.deliver(now, &m) {
			return
		}
		s.self.due++
		s.selfNext++
	}
}
