package nack

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// large is a message in fragments. A message that needs only a part of the window is cut up at
// once; of a larger one a copy is kept, and its fragments follow as datagrams leave. One copy at
// a time: until its last fragment is packed, Offer answers ErrWindow.
type large struct {
	payload []byte // the copy; its memory is kept for the next
	at      int    // payload[at:] is not packed yet
	topic   string
	kind    wire.Kind
	message uint64
}

func (l *large) waiting() bool { return l.at < len(l.payload) }

// offerLarge accepts a message that does not fit one datagram.
func (s *Sender) offerLarge(now clock.Time, topic string, kind wire.Kind, payload []byte) error {
	room := wire.FragmentRoom(s.datagram-wire.StartLen, topic)
	if room < 1 {
		return ErrTooLarge
	}
	if s.packing {
		s.close(now)
	}
	if s.next-s.sent > s.ahead {
		return s.full()
	}
	parts := uint64((len(payload) + room - 1) / room)
	l := &s.large
	if parts <= s.window/4 {
		// All or nothing, straight from the caller's bytes.
		if !s.reuse(parts) || uint64(s.p.cfg.Pool.Free()) < parts {
			return s.full()
		}
		kept := l.payload
		*l = large{payload: payload, topic: topic, kind: kind, message: s.message}
		s.feed(now)
		*l = large{payload: kept[:0]}
	} else {
		if cap(l.payload) < len(payload) {
			l.payload = make([]byte, 0, len(payload)) // not a byte more than is counted
		}
		l.payload = append(l.payload[:0], payload...)
		l.at, l.topic, l.kind, l.message = 0, topic, kind, s.message
		s.feed(now)
	}
	s.p.stats.Fragmented++
	s.accepted(len(payload))
	return nil
}

// feed packs as many fragments as the window takes.
func (s *Sender) feed(now clock.Time) {
	l := &s.large
	room := wire.FragmentRoom(s.datagram-wire.StartLen, l.topic)
	for l.waiting() && s.reuse(1) {
		b := s.p.cfg.Pool.Get()
		if b == nil {
			s.p.stats.Drops[DropNoBuffer]++
			return
		}
		t := &s.slots[s.next&s.mask]
		*t = slot{buf: b, message: l.message}
		s.w.Begin(b.Mem(), s.datagram, s.header, s.next, l.message)
		if s.beginning(now) {
			t.start = s.w.AppendStart(s.startFrame(now))
		}
		n := min(room, len(l.payload)-l.at)
		if !s.w.AddFragment(l.topic, l.kind, uint32(l.at), uint32(len(l.payload)), l.payload[l.at:l.at+n]) {
			panic("nack: a fragment does not fit its datagram")
		}
		l.at += n
		s.close(now)
	}
	if l.waiting() {
		s.crammed(now)
	} else {
		l.payload, l.at, l.topic = l.payload[:0], 0, ""
	}
}
