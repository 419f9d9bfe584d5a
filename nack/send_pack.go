package nack

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// maxAhead bounds how far Offer runs ahead of the driver: two of an engine's batches. More would
// wait longer, and have left the processor's cache when its turn comes.
const maxAhead = 128

// Offer accepts one message; the payload is copied. It fails with ErrWindow (back-pressure:
// nothing has changed, try again when receivers have reported), ErrTooLarge, ErrClaimed or
// ErrClosed. topic is 1..255 bytes of UTF-8.
func (s *Sender) Offer(now clock.Time, topic string, kind wire.Kind, payload []byte) error {
	if s.packing && !s.claimed && len(payload) <= s.p.cfg.MaxMessageSize && s.w.Add(topic, kind, payload) {
		s.accepted(len(payload))
		return nil
	}
	return s.offer(now, topic, kind, payload)
}

// offer is Offer where the message does not simply fit the datagram that is being packed.
func (s *Sender) offer(now clock.Time, topic string, kind wire.Kind, payload []byte) error {
	if err := s.refuse(now, len(payload)); err != nil {
		return err
	}
	if len(payload) > s.room(topic) {
		return s.offerLarge(now, topic, kind, payload)
	}
	if s.packing {
		if s.w.Add(topic, kind, payload) {
			s.accepted(len(payload))
			return nil
		}
		s.close(now)
	}
	if !s.begin(now) {
		return s.full()
	}
	if !s.w.Add(topic, kind, payload) {
		return ErrTooLarge // cannot be: room said that it fits
	}
	s.accepted(len(payload))
	return nil
}

// refuse judges what does not depend on the window.
func (s *Sender) refuse(now clock.Time, n int) error {
	switch {
	case s.p.closed:
		return ErrClosed
	case s.claimed:
		return ErrClaimed
	case n > s.p.cfg.MaxMessageSize:
		return ErrTooLarge
	case s.large.waiting():
		if s.feed(now); s.large.waiting() {
			return s.full()
		}
	}
	return nil
}

func (s *Sender) full() error {
	s.p.stats.BackPressure++
	s.stats.BackPressure++
	return ErrWindow
}

func (s *Sender) accepted(n int) {
	s.message++
	s.stats.Messages++
	s.p.stats.Messages++
	s.p.stats.MessageBytes += uint64(n)
	s.rouse()
}

// room is the longest payload that one datagram takes.
func (s *Sender) room(topic string) int {
	return wire.MessageRoom(s.datagram-wire.StartLen, topic)
}

// Claim lends n bytes of the datagram itself, to be filled before Commit or Abort. It fails as
// Offer does, with ErrTooLarge for what does not fit one datagram.
func (s *Sender) Claim(now clock.Time, topic string, kind wire.Kind, n int) ([]byte, error) {
	if err := s.refuse(now, n); err != nil {
		return nil, err
	}
	if n > s.room(topic) {
		return nil, ErrTooLarge
	}
	if s.packing {
		if b, ok := s.w.Reserve(topic, kind, n); ok {
			s.claimed, s.claimLen = true, n
			return b, nil
		}
		s.close(now)
	}
	if !s.begin(now) {
		return nil, s.full()
	}
	b, ok := s.w.Reserve(topic, kind, n)
	if !ok {
		return nil, ErrTooLarge
	}
	s.claimed, s.claimLen = true, n
	return b, nil
}

// Commit accepts the message that Claim lent. Without an open claim it does nothing.
func (s *Sender) Commit() {
	if s.claimed {
		s.claimed = false
		s.w.Commit()
		s.accepted(s.claimLen)
	}
}

// Abort gives up the message that Claim lent. Without an open claim it does nothing.
func (s *Sender) Abort() {
	if s.claimed {
		s.claimed = false
		s.w.Cancel()
	}
}

// begin starts to pack datagram next. It is false when there is no room for it.
func (s *Sender) begin(now clock.Time) bool {
	if s.next-s.sent > s.ahead {
		return false
	}
	if !s.reuse(1) {
		s.crammed(now)
		return false
	}
	b := s.p.cfg.Pool.Get()
	if b == nil {
		s.p.stats.Drops[DropNoBuffer]++
		return false
	}
	t := &s.slots[s.next&s.mask]
	*t = slot{buf: b, message: s.message}
	s.w.Begin(b.Mem(), s.datagram, s.header, s.next, s.message)
	if s.beginning(now) {
		t.start = s.w.AppendStart(s.startFrame(now))
	}
	s.packing = true
	return true
}

// close ends the datagram that is being packed.
func (s *Sender) close(now clock.Time) {
	t := &s.slots[s.next&s.mask]
	off, n := s.w.Finish()
	s.packing, s.flushing = false, false
	if n == 0 {
		t.buf.Release()
		t.buf = nil
		return
	}
	t.buf.Set(off, n)
	s.cost += cost(n)
	t.cost = s.cost
	s.next++
	s.p.filled++
}

// flush lets what is being packed leave. While other datagrams wait it stays open: it cannot
// leave before them, and more may fit.
func (s *Sender) flush(now clock.Time) {
	if s.large.waiting() {
		s.feed(now)
	}
	switch {
	case !s.packing:
		s.lay(now)
	case s.claimed || s.w.Empty():
	case s.sent == s.next:
		s.close(now)
	default:
		s.flushing = true
	}
}

// lay begins a datagram before there is a message for it, when all else has been sent: then the
// next message finds buffer and slot taken, in the processor's cache, and its headers written if it
// is like the last one.
func (s *Sender) lay(now clock.Time) {
	if s.sent != s.next || s.p.closed || s.large.waiting() || s.beginning(now) ||
		s.p.cfg.Pool.Free() < laySpare || !s.reuse(1) {
		return
	}
	if s.begin(now) {
		mem := s.slots[s.next&s.mask].buf.Mem()
		for at := 0; at < layBytes && at < len(mem); at += 64 {
			mem[at] = 0
		}
		s.w.Lay()
	}
}

// A datagram is laid only where buffers are plenty. layBytes is as much of it as a small message
// takes.
const (
	laySpare = 64
	layBytes = 192
)
