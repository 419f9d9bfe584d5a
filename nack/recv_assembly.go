package nack

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// outcome is what became of a data frame that was held.
type outcome uint8

const (
	delivered   outcome = iota
	refused             // Sink could not take a message; what came before it is done
	contradicts         // it does not follow what was delivered before it
)

// assembly turns data frames, in order, into messages: it counts them, puts fragments together,
// and finds which messages were in the datagrams between.
type assembly struct {
	message uint64 // number of the next message; 0: not known yet
	fresh   bool   // nothing was delivered yet: a message whose beginning was missed is not a loss
	missing uint64 // datagrams given up since the last one that was delivered
	done    int    // messages of the datagram at due that Sink has taken
	wrong   uint64 // the datagram that contradicted the one before, and was dropped for it

	assembling bool   // message is being put together,
	parts      parts  // from these,
	size       uint32 // until they have this length
	skipped    uint64 // the message whose other parts are passed over; 0: none
}

// plausible judges a frame that may have to wait, by what is known now.
func (s *stream) plausible(m *wire.Data) bool {
	if s.message == 0 {
		return true
	}
	// Every datagram between carries maxPacked messages at most.
	ahead := m.Number - s.due + s.missing
	return m.FirstMessage+1 >= s.message && m.FirstMessage-s.message+1 <= ahead*maxPacked+1
}

// follows judges a frame that is due.
func (a *assembly) follows(m *wire.Data) bool {
	if a.message == 0 {
		return true
	}
	later := m.Fragment && m.Offset > 0
	if a.done > 0 || a.parts.whole {
		return m.FirstMessage == a.message-uint64(a.done) // offered again
	}
	if later && m.FirstMessage == a.skipped {
		return true
	}
	if a.missing == 0 && !a.fresh {
		if a.assembling {
			return later && m.FirstMessage == a.message && m.Size == a.size && int(m.Offset) == len(a.parts.bytes)
		}
		return !later && m.FirstMessage == a.message
	}
	if m.FirstMessage < a.message || m.FirstMessage == a.message && a.assembling && !later {
		return false
	}
	return m.FirstMessage-a.message <= (a.missing+1)*maxPacked
}

// simple reports whether the next message is known, follows the last one, and is not being put together.
func (a *assembly) simple() bool {
	return a.message != 0 && a.missing == 0 && a.done == 0 && !a.fresh && !a.assembling && !a.parts.whole && a.skipped == 0
}

// deliverHeld is deliver for a frame from the window, which may not follow what was delivered
// meanwhile; ok is false if it cannot be read. The second frame with the same number that
// contradicts is believed, or the stream would wait for ever.
func (s *stream) deliverHeld(now clock.Time, m *wire.Data, ok bool) outcome {
	switch {
	case ok && s.follows(m):
		if !s.deliver(now, m) {
			return refused
		}
	case s.wrong != s.due:
		s.wrong = s.due
		return contradicts
	default: // unreadable: it came, and its messages are gone
		s.missing++
		s.abandoned.why = core.LossMalformed
	}
	return delivered
}

// deliver hands the messages of the frame that is due, and follows, to Sink. It is false when Sink
// could not take one; what came before it is done.
func (s *stream) deliver(now clock.Time, m *wire.Data) bool {
	if s.message == 0 {
		s.message = m.FirstMessage
	}
	if m.Fragment {
		return s.deliverPart(now, m)
	}
	if s.done == 0 {
		s.lostBelow(m.FirstMessage)
		s.missing, s.fresh, s.skipped = 0, false, 0
	}
	it := m.Messages()
	for range s.done {
		it.Next()
	}
	d, sink := &s.p.delivery, s.p.cfg.Sink
	d.From, d.Stream = s.from, s.id
	before, bytes := s.done, 0
	for {
		x, ok := it.Next()
		if !ok {
			break
		}
		d.Sequence, d.Kind, d.Topic, d.Payload = s.message, x.Kind, x.Topic, x.Payload
		if !sink.Deliver(d) {
			s.count(s.done-before, bytes)
			s.parts.refused = 0
			return false
		}
		bytes += len(x.Payload)
		s.message++
		s.done++
	}
	s.count(s.done-before, bytes)
	s.done = 0
	return true
}

func (s *stream) count(messages, bytes int) {
	s.p.stats.Delivered += uint64(messages)
	s.p.stats.DeliveredBytes += uint64(bytes)
	if s.own {
		s.p.stats.OwnDelivered += uint64(messages)
	}
}

// deliverPart is deliver for a fragment.
func (s *stream) deliverPart(now clock.Time, m *wire.Data) bool {
	if m.Offset > 0 && m.FirstMessage == s.skipped {
		s.missing = 0
		return true
	}
	if m.Offset > 0 && (s.missing > 0 || s.fresh) && !s.continues(m) {
		// The beginning of this message is lost, so all of it is.
		if s.fresh && m.FirstMessage == s.message {
			s.message++ // this member came in the middle of it
		} else {
			s.lostBelow(m.FirstMessage + 1)
		}
		s.skipped = m.FirstMessage
		s.missing, s.fresh = 0, false
		return true
	}
	if m.Offset == 0 {
		s.lostBelow(m.FirstMessage)
		s.missing, s.fresh, s.skipped = 0, false, 0
		if int64(m.Size) > int64(s.p.cfg.MaxMessageSize) {
			s.lose(m.FirstMessage, core.LossMalformed)
			s.skipped = m.FirstMessage
			return true
		}
		if !s.parts.whole {
			if !s.p.assemblies.begin(now, s, int(m.Size), s.p.cfg.Eviction) {
				return false
			}
			s.assembling, s.size, s.parts.bytes = true, m.Size, s.parts.bytes[:0]
		}
	}
	it := m.Messages()
	x, _ := it.Next()
	if !s.parts.whole {
		s.parts.add(x.Payload, int(s.size))
		if len(s.parts.bytes) < int(s.size) {
			s.p.assemblies.touch(now, s)
			return true
		}
	}
	d := &s.p.delivery
	d.From, d.Stream = s.from, s.id
	d.Sequence, d.Kind, d.Topic, d.Payload = s.message, x.Kind, x.Topic, s.parts.bytes
	if !s.p.cfg.Sink.Deliver(d) {
		s.parts.whole, s.parts.refused = true, 0
		return false
	}
	s.count(1, len(s.parts.bytes))
	s.message++
	s.stopAssembling()
	return true
}

// continues reports whether a part is the next one of the message that is being put together.
func (a *assembly) continues(m *wire.Data) bool {
	return a.missing == 0 && a.assembling && m.FirstMessage == a.message && int(m.Offset) == len(a.parts.bytes)
}

// lostBelow reports to Sink that the messages below n that were not delivered will not come.
func (s *stream) lostBelow(n uint64) {
	if s.message == 0 {
		s.message = n
		return
	}
	if n > s.message {
		s.lose(n-1, s.abandoned.why)
	}
}

// lose reports to Sink that messages up to last will not come.
func (s *stream) lose(last uint64, why core.LossReason) {
	if why == 0 {
		why = core.LossMalformed
	}
	s.p.loss = core.Loss{From: s.from, Stream: s.id, First: s.message, Last: last, Reason: why}
	s.p.stats.Lost += last - s.message + 1
	s.message = last + 1
	s.stopAssembling()
	s.p.cfg.Sink.Lost(&s.p.loss)
}

// stopAssembling notes that nothing is being put together.
func (s *stream) stopAssembling() {
	s.assembling = false
	s.p.assemblies.idle(s)
}
