package nack

import (
	"math"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// expectation is what the next datagram will probably look like: one message that follows the
// last one, of the same stream, with its topic and its length. In a request and its reply, and
// wherever messages come one by one, it is right nearly always.
type expectation struct {
	stream  *stream // nil: nothing is expected
	pattern wire.Pattern
	size    int // of the last datagram with one message, whatever it was
}

// expect learns from a datagram that Step has taken, when it is the second in a row of its length:
// where lengths change all the time there is nothing to be expected.
func (p *Protocol) expect(s *stream, d *wire.Datagram, b *buf.Buf) {
	e := &p.expected
	again := e.size == b.Len()
	if e.size = b.Len(); again && s.decoding == nil && e.pattern.Learn(b.Bytes(), d) {
		e.stream = s
	}
}

// Predicted takes in a datagram that is exactly what is expected, before it is decoded: valid, from
// the stream that was heard last, next in its order, and with one message that Sink takes. Then
// all is as it would be after Step. When it returns false nothing has happened, and Step is to
// be called; only Sink may have been asked once.
func (p *Protocol) Predicted(now clock.Time, r buf.Received) bool {
	e := &p.expected
	s := e.stream
	if s == nil || s.state != live || s.paused || s.held > 0 || s.due < s.abandoned.below || !s.simple() {
		return false
	}
	b := r.Buf.Bytes()
	if len(b) != e.pattern.Size() {
		return false
	}
	number, first := e.pattern.Numbers(b)
	if r.From != s.endpoint || number != s.due || first != s.message || number == math.MaxUint64 || first == math.MaxUint64 || !e.pattern.Matches(b) {
		return false
	}
	m := &p.delivery
	m.From, m.Stream, m.Sequence = s.from, s.id, first
	m.Topic, m.Kind, m.Payload = e.pattern.Message(b)
	if !p.cfg.Sink.Deliver(m) {
		return false
	}
	s.count(1, len(m.Payload))
	s.message++
	if r.Group {
		s.ways.cameByGroup(now)
	}
	s.came(now, number, r.Buf, arrived)
	s.pass()
	p.last = s
	return true
}
