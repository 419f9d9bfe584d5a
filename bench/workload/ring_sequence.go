package workload

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/measure"
)

// stretch is what a member delivered in one ring: from the regular view that began it to the next.
// Extended virtual synchrony promises that members that go on together from one ring to the next
// delivered the same in it, in the same order, and that all of it up to the transitional view is
// the same at every member as far as each came.
type stretch struct {
	Ring   string   `json:"ring"`   // its ViewID
	Next   string   `json:"next"`   // the ring after it; empty: none came
	Agreed uint64   `json:"agreed"` // messages before the transitional view that ended it
	Count  uint64   `json:"count"`  // messages in all
	Hash   uint64   `json:"hash"`   // over all of them
	Every  uint64   `json:"every"`  // messages between two marks: a power of two
	Marks  []uint64 `json:"marks"`  // Marks[i] is the hash over the first (i+1)*Every messages

	ended bool // its transitional view came
}

// mark is the hash over the first At messages of a ring, sent while it goes on: what a member
// that is killed leaves behind.
type mark struct {
	Ring string `json:"ring"`
	At   uint64 `json:"at"`
	Hash uint64 `json:"hash"`
}

// Bounds of what a member remembers.
const (
	maxMarks     = 1 << 12 // of a stretch: when they are full every second one goes
	maxStretches = 256     // later rings are counted only
)

// markEvery is how often a member that is to be killed sends a mark, ns.
const markEvery = 2_000_000

// sequence hashes what one member delivers. It belongs to the thread that runs the handlers; it
// allocates only when a view comes.
type sequence struct {
	stretches []stretch
	views     int
	current   *stretch    // nil before the first view
	last      int64       // when the last message was delivered, ns; 0: none was
	marked    int64       // when the last mark was sent
	marks     chan<- mark // nil: none are sent

	// When a member is killed, at watch, the longest time between two deliveries is noted until
	// there is one in a new ring. What was recovered of the old ring may come after the pause and
	// before any view, so every delivery counts.
	watch atomic.Int64 // ns; 0: never, or no more. Another goroutine sets it
	stall int64        // ns
	again bool         // a new ring has delivered
}

// roll takes the next message.
func (s *sequence) roll(b []byte, at int64) {
	c := s.current
	if c == nil {
		return // nothing is delivered before the first view; if it is, the counts show it
	}
	if w := s.watch.Load(); w != 0 && at >= w && s.last != 0 {
		s.stall = max(s.stall, at-s.last)
		if c.Count == 0 { // the first in a new ring
			s.again = true
			s.watch.Store(0)
		}
	}
	s.last = at
	c.Hash = chain(c.Hash, word(b))
	c.Count++
	if c.Count&(c.Every-1) != 0 {
		return
	}
	if len(c.Marks) == maxMarks {
		c.thin()
		if c.Count&(c.Every-1) != 0 {
			return
		}
	}
	c.Marks = append(c.Marks, c.Hash) // within its capacity
	if s.marks != nil && at-s.marked > markEvery {
		s.marked = at
		select {
		case s.marks <- mark{c.Ring, c.Count, c.Hash}:
		default:
		}
	}
}

// chain hashes one message more. It depends on the order: h is multiplied before the next comes.
func chain(h, w uint64) uint64 {
	hi, lo := bits.Mul64(h^w^0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B+h)
	return hi ^ lo ^ bits.RotateLeft64(h, 23)
}

// word stands for a message: its own hash where it is intact.
func word(b []byte) uint64 {
	if len(b) < measure.MinSize {
		return measure.Hash(0, b)
	}
	return binary.LittleEndian.Uint64(b) ^ binary.LittleEndian.Uint64(b[8:])
}

// thin keeps every second mark.
func (c *stretch) thin() {
	for i := 1; i < len(c.Marks); i += 2 {
		c.Marks[i/2] = c.Marks[i]
	}
	c.Marks = c.Marks[:len(c.Marks)/2]
	c.Every *= 2
}

// view takes a configuration in its place among the messages.
func (s *sequence) view(v blaze.View) {
	if v.Kind == blaze.ViewTransitional {
		s.end()
		return
	}
	s.end()
	if s.current != nil {
		s.current.Next = v.ID.String()
	}
	s.views++
	if len(s.stretches) == maxStretches {
		s.current = &stretch{Every: 1, Marks: make([]uint64, 0, maxMarks)} // not to be compared
		return
	}
	if s.stretches == nil {
		s.stretches = make([]stretch, 0, maxStretches) // current points into it
	}
	s.stretches = append(s.stretches, stretch{Ring: v.ID.String(), Every: 1, Marks: make([]uint64, 0, maxMarks)})
	s.current = &s.stretches[len(s.stretches)-1]
}

// end notes that what follows in this ring is agreed among fewer.
func (s *sequence) end() {
	if c := s.current; c != nil && !c.ended {
		c.ended, c.Agreed = true, c.Count
	}
}

// from is what was delivered from stretch i on.
func (s *sequence) from(i int) []stretch {
	if c := s.current; c != nil && !c.ended {
		c.Agreed = c.Count
	}
	return s.stretches[min(i, len(s.stretches)):]
}
