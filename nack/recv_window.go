package nack

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/wire"
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

// minSlots is the first length of window.slots. fullWindows is how many streams can have slots for
// all of their window at one time; each stream has minSlots besides.
const (
	minSlots    = 8
	fullWindows = 8
)

// slot is the buffer of datagram n, nil if it is not here.
func (w *window) slot(n uint64) *buf.Buf {
	if n-w.due >= uint64(len(w.slots)) {
		return nil
	}
	return w.slots[n&uint64(len(w.slots)-1)]
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

// slots counts the memory of reorder windows, in slots beyond minSlots. A stream whose window is
// empty keeps its slots for the next loss, as long as no other stream needs them.
type slots struct {
	taken, limit int
	idle         int // windows that are empty and have more than minSlots
}

func (w *window) large() bool { return len(w.slots) > minSlots }

// use notes that window w, which was empty, holds a datagram; spare notes that it is empty again.
func (x *slots) use(w *window) {
	if w.large() {
		x.idle--
	}
}

func (x *slots) spare(w *window) {
	if w.large() {
		x.idle++
	}
}

// free takes the slots of a window that holds nothing.
func (x *slots) free(w *window) {
	if w.large() {
		x.taken -= len(w.slots)
		x.idle--
	}
	w.slots = nil
}

// fit makes the window long enough for datagram n. Its length doubles, so it never exceeds the
// stream's window by more than the rounding. It is false when there is no memory for it now.
func (s *stream) fit(n uint64) bool {
	w, x, length := &s.window, &s.p.slots, len(s.slots)
	if n-w.due < uint64(length) {
		return true
	}
	for length = max(length, minSlots); n-w.due >= uint64(length); {
		length *= 2
	}
	if length > minSlots {
		more := length
		if w.large() {
			more -= len(w.slots)
		}
		if x.taken+more > x.limit && x.idle > 0 {
			for _, o := range s.p.streams {
				if o.held == 0 && o != s {
					x.free(&o.window)
				}
			}
		}
		if x.taken+more > x.limit {
			return false
		}
		if x.taken += more; w.held == 0 && !w.large() {
			x.idle++ // until it is used
		}
	}
	old := w.slots
	w.slots = make([]*buf.Buf, length)
	for i := range uint64(len(old)) {
		m := w.due + i
		w.slots[m&uint64(length-1)] = old[m&uint64(len(old)-1)]
	}
	return true
}

// keep puts the datagram of data frame m, which lies in the window, into its slot. It notes where the frame lies.
func (s *stream) keep(m *wire.Data, b *buf.Buf) error {
	n := m.Number
	if s.room() <= 0 || !s.fit(n) {
		return s.p.drop(DropNoBuffer)
	}
	c := s.p.cfg.Pool.Keep(b)
	if c == nil {
		return s.p.drop(DropNoBuffer)
	}
	c.Note = m.Place()
	s.slots[n&uint64(len(s.slots)-1)] = c
	if s.held++; s.held == 1 {
		s.p.holders++
		s.p.slots.use(&s.window)
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
		s.p.slots.spare(&s.window)
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
	n = max(min(s.p.left()/n, s.room()), 0)
	if x := &s.p.slots; x.limit-x.taken < x.limit/fullWindows { // it may get no more slots
		n = min(n, max(len(s.slots)-int(max(s.seen, s.next)-s.due), 0))
	}
	return n
}
