package nack

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// abandoned is what a stream does not wait for any more: datagrams below `below` that are not in
// the window will never come.
type abandoned struct {
	below   uint64
	message uint64 // the first message of datagram below; 0: not known
	why     core.LossReason
}

// judge reports whether a data frame may be taken in, by what is known now; if not, why.
func (s *stream) judge(m *wire.Data) (why DropReason, ok bool) {
	n := m.Number
	switch {
	case n < s.next || n < s.abandoned.below || n < s.seen && s.slot(n) != nil:
		return DropStale, false
	case n-s.due >= s.windowSize():
		return DropWindow, false
	case !s.plausible(m):
		return DropImplausible, false
	case n == s.due && !s.paused && !s.follows(m):
		return DropImplausible, false
	}
	return 0, true
}

// put delivers a data frame that judge has accepted, if it is due; otherwise it keeps it.
func (s *stream) put(now clock.Time, m *wire.Data, b *buf.Buf, from origin) error {
	n := m.Number
	if n == s.due && !s.paused {
		if s.deliver(now, m) {
			s.came(now, n, b, from)
			s.pass()
			if s.held > 0 || s.due < s.abandoned.below {
				s.drain(now)
			}
			return nil
		}
		s.pause() // it is kept, and offered again
	}
	if err := s.keep(m, b); err != nil {
		return err
	}
	s.came(now, n, b, from)
	s.advance()
	if !s.nack && n > s.next { // BestEffort waits for nothing
		s.abandon(n, m.FirstMessage, core.LossUnrepaired)
		s.drain(now)
	}
	return nil
}

// came notes that datagram n is here: it closes a gap, or shows one.
func (s *stream) came(now clock.Time, n uint64, b *buf.Buf, from origin) {
	s.heard = now
	if s.state != live {
		s.wake(now)
	}
	if s.within != beatMax {
		s.expect(now, beatMax) // its heartbeats are as frequent as ever again
	}
	s.p.stats.DataReceived++
	s.status.received += cost(b.Len())
	s.status.datagrams++
	st, near := &s.status, s.windowSize()/(2*leastRoom)
	if st.received >= st.every || st.datagrams >= s.p.window/4 || st.limit-n <= near && s.limit() >= st.limit+near {
		s.full(now)
	}
	if n >= s.seen {
		s.seen = n + 1
		if n == s.highest && n == s.asking.tracked { // the usual case: nothing is missing before it
			s.highest, s.asking.tracked = n+1, n+1
			return
		}
		s.highest = max(s.highest, s.seen)
		s.notice(now)
		// And on: a heartbeat may have shown the gap that n closes, with no later data seen.
	}
	if was, ok := s.asking.gaps.remove(n); ok {
		s.repaired(now, n, &was, from)
	}
}

// drain delivers what is due, in order: messages, and losses in their place.
func (s *stream) drain(now clock.Time) {
	for !s.paused {
		b := s.slot(s.due)
		if b == nil {
			if s.due >= s.abandoned.below {
				break
			}
			s.skip()
			continue
		}
		m, ok := s.p.readKept(b, s.due)
		switch s.deliverHeld(now, &m, ok) {
		case refused:
			s.pause()
			return
		case contradicts:
			// Whatever this was, the sender did not send it: ask for what it sent.
			s.drop(s.due)
			s.next = s.due
			s.noticeAgain(now)
			return
		}
		s.drop(s.due)
		s.pass()
	}
	s.advance()
	if s.due == s.abandoned.below && s.abandoned.message != 0 {
		s.lostBelow(s.abandoned.message)
		s.abandoned.message = 0
	}
	if s.state == left && s.due >= s.highest && !s.paused {
		s.buried = true
		s.arm(burial, s.heard.Add(s.silence()))
	}
}

// readKept reads the data frame with number n from a datagram that is in its slot.
func (p *Protocol) readKept(b *buf.Buf, n uint64) (m wire.Data, ok bool) {
	if m, ok = wire.Place(b.Note).Data(b.Bytes()); ok && m.Number == n { // it may have several
		return m, true
	}
	return p.readData(b, n)
}

// readData reads the data frame with number n from a kept datagram.
func (p *Protocol) readData(b *buf.Buf, n uint64) (m wire.Data, ok bool) {
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
		n = s.abandoned.below - s.due
	}
	s.due += n
	s.missing += n
	s.next = max(s.next, s.due)
	s.p.stats.Gone += n
	s.status.gone += n
}

// abandon waits no longer for what is missing below n; message is the number of the first message
// of datagram n, 0 if that is not known.
func (s *stream) abandon(n, message uint64, why core.LossReason) {
	if n <= s.abandoned.below {
		return
	}
	s.abandoned = abandoned{below: n, message: message, why: why}
	s.asking.gaps.below(n)
	s.asking.tracked = max(s.asking.tracked, n)
	s.next = max(s.next, n)
	s.advance()
}

// pause stops delivery: Sink could not take a message.
func (s *stream) pause() {
	if s.paused = true; s.own {
		return
	}
	s.p.stats.Pauses++
	s.p.paused = append(s.p.paused, s)
}

// resumed reports the new room to the sender, after a pause.
func (s *stream) resumed(now clock.Time) {
	if !s.state.open() {
		return
	}
	if s.limit() >= s.status.limit+s.windowSize()/4 {
		s.report(now, true)
	}
}
