package nack

import (
	"github.com/activeblaze/blaze/buf"
)

// window is the reorder window of one stream. Of the datagrams' numbers,
//
//	due <= next <= highest
//
// and all below due has been delivered, [due, next) is here and waits for Sink, next is the
// lowest that is missing, and highest is one above the highest that is known to exist. Datagrams
// at due or above that are here are in slots.
type window struct {
	due, next uint64
	highest   uint64
	seen      uint64     // one above the highest datagram that came
	slots     []*buf.Buf // slots[n%len] for datagram n, due <= n < due+len(slots); nil: not here
	held      int        // buffers in slots
}

// minSlots is the first length of window.slots.
const minSlots = 64

// slot is the buffer of datagram n, nil if it is not here.
func (w *window) slot(n uint64) *buf.Buf {
	if n-w.due >= uint64(len(w.slots)) {
		return nil
	}
	return w.slots[n&uint64(len(w.slots)-1)]
}

// fit makes the window long enough for datagram n. Its length doubles, so it never exceeds the
// stream's window by more than the rounding.
func (w *window) fit(n uint64) {
	for n-w.due >= uint64(len(w.slots)) {
		old := w.slots
		w.slots = make([]*buf.Buf, max(2*len(old), minSlots))
		for i := range uint64(len(old)) {
			m := w.due + i
			w.slots[m&uint64(len(w.slots)-1)] = old[m&uint64(len(old)-1)]
		}
	}
}

// advance moves next over what is here.
func (w *window) advance() {
	for w.slot(w.next) != nil {
		w.next++
	}
	w.highest = max(w.highest, w.next)
}

// pass moves due over one datagram.
func (w *window) pass() {
	w.due++
	w.next = max(w.next, w.due)
}

// keep puts datagram n, which lies in the window, into its slot.
func (s *stream) keep(n uint64, b *buf.Buf) error {
	if s.room() <= 0 {
		return s.p.drop(DropNoBuffer)
	}
	s.fit(n)
	c := s.p.cfg.Pool.Keep(b)
	if c == nil {
		return s.p.drop(DropNoBuffer)
	}
	s.slots[n&uint64(len(s.slots)-1)] = c
	if s.held++; s.held == 1 {
		s.p.holders++
	}
	s.p.held++
	s.p.stats.Held++
	return nil
}

// drop takes datagram n out of its slot.
func (s *stream) drop(n uint64) {
	i := n & uint64(len(s.slots)-1)
	s.slots[i].Release()
	s.slots[i] = nil
	if s.held--; s.held == 0 {
		s.p.holders--
	}
	s.p.held--
}

// room is how many more datagrams the stream may hold: up to twice as many as are left for all
// streams. So a few streams get most of the buffers, many streams share them equally, and some are
// always left for a stream that has none (Choudhury and Hahne, "Dynamic queue length thresholds for
// shared-memory packet switches", IEEE/ACM Transactions on Networking 6(2), 1998).
func (s *stream) room() int { return 2*s.p.left() - s.held }

// grant is how many datagrams the stream may ask for, or let the sender send, at one time. It is the
// stream's part of what is left, so that all streams that hold some together ask for no more than
// they can keep.
func (s *stream) grant() int {
	n := s.p.holders
	if s.held == 0 {
		n++
	}
	return max(min(s.p.left()/n, s.room()), 0)
}
