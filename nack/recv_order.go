package nack

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// step takes in one data frame of this stream.
func (s *stream) step(now clock.Time, m *wire.Data, b *buf.Buf) error {
	p, n := s.p, m.Number
	switch {
	case n < s.next || n < s.gone || n < s.seen && s.slot(n) != nil:
		return p.drop(DropStale)
	case n-s.due >= uint64(p.window):
		return p.drop(DropWindow)
	case !s.plausible(m):
		return p.drop(DropImplausible)
	}
	if s.mend != nil {
		s.mend.source(now, n, b)
	}
	if n == s.due && !s.paused {
		switch s.consume(now, m) {
		case contradicts:
			return p.drop(DropImplausible)
		case consumed:
			s.came(now, n, b)
			s.due++
			s.next = max(s.next, s.due)
			if s.held > 0 || s.due < s.gone {
				s.drain(now)
			}
			return nil
		}
		// Refused by Sink: it is kept, and offered again.
		s.pause()
	}
	if err := s.keep(n, b); err != nil {
		return err
	}
	s.came(now, n, b)
	s.advance()
	if !s.nack && n > s.next { // BestEffort waits for nothing
		s.giveUp(n, m.FirstMessage, core.LossUnrepaired)
		s.drain(now)
	}
	return nil
}

// came notes that datagram n is here: it closes a gap, or shows one.
func (s *stream) came(now clock.Time, n uint64, b *buf.Buf) {
	s.heard = now
	if s.state == dormant {
		s.wake()
	}
	s.p.stats.DataReceived++
	s.status.received += cost(b.Len())
	s.status.datagrams++
	st, near := &s.status, uint64(s.p.window)/(2*leastRoom)
	if st.received >= st.every || st.datagrams >= s.p.window/4 || st.limit-n <= near && s.limit() >= st.limit+near {
		s.report(now, true)
	}
	if n >= s.seen {
		s.seen = n + 1
		if n == s.highest && n == s.tracked { // the usual case: nothing is missing before it
			s.highest, s.tracked = n+1, n+1
			return
		}
		s.highest = max(s.highest, s.seen)
		s.notice(now)
		// And on: a heartbeat may have shown the gap that n closes, with no later data seen.
	}
	if was, ok := s.gaps.remove(n); ok {
		s.repaired(now, &was)
	}
}

// slot is the buffer of datagram n, nil if it is not here.
func (s *stream) slot(n uint64) *buf.Buf {
	if n-s.due >= uint64(len(s.ring)) {
		return nil
	}
	return s.ring[n&uint64(len(s.ring)-1)]
}

// keep puts datagram n, which lies in the window, into the ring.
func (s *stream) keep(n uint64, b *buf.Buf) error {
	if s.room() <= 0 {
		return s.p.drop(DropNoBuffer)
	}
	for n-s.due >= uint64(len(s.ring)) {
		s.grow()
	}
	c := s.p.cfg.Pool.Keep(b)
	if c == nil {
		return s.p.drop(DropNoBuffer)
	}
	s.ring[n&uint64(len(s.ring)-1)] = c
	if s.held++; s.held == 1 {
		s.p.holders++
	}
	s.p.held++
	s.p.stats.Held++
	return nil
}

// room is how many more datagrams the stream may hold: it may have up to twice as many as are left
// for everybody. So few streams get most of the buffers, many share them equally, and some are
// always left for one that has none (Choudhury and Hahne, "Dynamic queue length thresholds for
// shared-memory packet switches", IEEE/ACM Transactions on Networking 6(2), 1998).
func (s *stream) room() int { return 2*s.p.left() - s.held }

// grant is how many datagrams the stream may ask for, or let the sender send, at one time: its part
// of what is left, so that all that hold some together ask for no more than they can keep.
func (s *stream) grant() int {
	n := s.p.holders
	if s.held == 0 {
		n++
	}
	return max(min(s.p.left()/n, s.room()), 0)
}

// grow doubles the ring. It never outgrows the window by more than the rounding.
func (s *stream) grow() {
	old := s.ring
	s.ring = make([]*buf.Buf, max(2*len(old), ringMin))
	for i := range uint64(len(old)) {
		n := s.due + i
		s.ring[n&uint64(len(s.ring)-1)] = old[n&uint64(len(old)-1)]
	}
}

// drop takes datagram n out of the ring.
func (s *stream) drop(n uint64) {
	i := n & uint64(len(s.ring)-1)
	s.ring[i].Release()
	s.ring[i] = nil
	if s.held--; s.held == 0 {
		s.p.holders--
	}
	s.p.held--
}

// advance moves next over what is here.
func (s *stream) advance() {
	for s.slot(s.next) != nil {
		s.next++
	}
	s.highest = max(s.highest, s.next)
}

// drain hands up what is due, in order: messages, and losses in their place.
func (s *stream) drain(now clock.Time) {
	for !s.paused {
		b := s.slot(s.due)
		if b == nil {
			if s.due >= s.gone {
				break
			}
			s.skip()
			continue
		}
		m, ok := s.p.find(b, s.due)
		switch s.consumeHeld(now, &m, ok) {
		case refused:
			s.pause()
			return
		case contradicts:
			// Whatever this was, it was not what the sender sent: ask for that.
			s.drop(s.due)
			s.next = s.due
			s.lookAgain(now)
			return
		}
		s.drop(s.due)
		s.due++
		s.next = max(s.next, s.due)
	}
	s.advance()
	if s.due == s.gone && s.goneMessage != 0 {
		s.lostBelow(s.goneMessage)
		s.goneMessage = 0
	}
	if s.state == left && s.due >= s.highest && !s.paused {
		s.buried = true
		s.arm(now)
	}
}

// find reads the data frame with number n from a kept datagram.
func (p *Protocol) find(b *buf.Buf, n uint64) (m wire.Data, ok bool) {
	d := &p.scratch
	if wire.DecodeAgain(b.Bytes(), d) != nil {
		return m, false
	}
	frames := d.Frames()
	for i := range frames {
		if frames[i].Kind == wire.FrameData {
			if m = frames[i].Data(); m.Number == n {
				return m, true
			}
		}
	}
	return m, false
}

// skip passes over one datagram that will not come, or over all of them if none is held.
func (s *stream) skip() {
	n := uint64(1)
	if s.held == 0 {
		n = s.gone - s.due
	}
	s.due += n
	s.missing += n
	s.next = max(s.next, s.due)
	s.p.stats.Gone += n
	s.status.gone += n
}

// giveUp says that what is missing below n will not come; message is the number of the first
// message of datagram n, 0 if that is not known.
func (s *stream) giveUp(n, message uint64, why core.LossReason) {
	if n <= s.gone {
		return
	}
	s.gone, s.goneMessage, s.goneReason = n, message, why
	s.gaps.below(n)
	s.tracked = max(s.tracked, n)
	if n-s.due >= uint64(len(s.ring)) {
		s.next = max(s.next, n) // nothing is held that far ahead
	}
	for s.next < n {
		s.next++
	}
	s.advance()
}

// pause stops handing up: Sink could not take a message.
func (s *stream) pause() {
	if s.paused = true; s.own {
		return
	}
	s.p.stats.Pauses++
	s.p.paused = append(s.p.paused, s)
}

// resumed tells the sender that there is room again.
func (s *stream) resumed(now clock.Time) {
	if s.state != live {
		return
	}
	if s.limit() >= s.status.limit+uint64(s.p.window/4) {
		s.report(now, true)
	}
}
