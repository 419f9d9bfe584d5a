package nack

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
)

// slot is one datagram of the retransmit window.
type slot struct {
	buf      *buf.Buf
	message  uint64     // number of its first message
	cost     uint64     // of this datagram and all before it
	repaired clock.Time // when it was last repaired; 0: never
	asker    buf.Endpoint
	last     want  // how it was last repaired
	askedBy  int32 // the asker's place in the table of receivers, as it was
	want     want  // the repair that is queued
	start    bool  // a Start frame ends it
	back     bool  // it was sent again, and a receiver has it
	later    bool  // it was asked for, and is longer than what can leave now
}

// reuse makes room in the window for n datagrams at next; it gives up the oldest ones if they
// may be given up.
func (s *Sender) reuse(n uint64) bool {
	for s.next+n-s.first > s.window {
		if s.first >= s.disposable() {
			return false
		}
		s.drop()
	}
	return true
}

// drop gives up the oldest datagram.
func (s *Sender) drop() {
	t := &s.slots[s.first&s.mask]
	t.buf.Release()
	t.buf = nil
	s.first++
	s.p.filled--
}

// crammed notes that the window is full of what receivers have not reported yet. While something
// waits to be sent, poll finds that out; when all has been sent nothing else would.
func (s *Sender) crammed(now clock.Time) {
	if s.sent == s.next && s.unreported() {
		s.blocked(now)
	}
}

// unreported reports whether the window is full of what receivers have not reported.
func (s *Sender) unreported() bool {
	return s.next-s.first >= s.window && s.first >= s.flow.keep()
}

// disposable is the lowest datagram that may not be given up yet.
func (s *Sender) disposable() uint64 {
	n := min(s.sent, s.flow.keep())
	if s.self != nil {
		n = min(n, s.selfNext)
	}
	return n
}

// messageAt is the number of the first message of datagram n, which is held, being packed, or
// the one after these.
func (s *Sender) messageAt(n uint64) uint64 {
	if n < s.next || n == s.next && s.packing {
		return s.slots[n&s.mask].message
	}
	if s.large.waiting() {
		return s.large.message
	}
	return s.message
}

// costBelow is the cost of all datagrams below n; n is first or above, or so old that it is
// taken for first.
func (s *Sender) costBelow(n uint64) uint64 {
	if n > s.first {
		return s.slots[(n-1)&s.mask].cost
	}
	t := &s.slots[s.first&s.mask]
	return t.cost - cost(t.buf.Len())
}
