package wire

import (
	"encoding/binary"
	"math"
)

// Leave says that the transmitter stops: as the sender of the header's stream when HasLast is
// set, and as a receiver of every stream in any case.
type Leave struct {
	HasLast     bool   // Last and NextMessage are on the wire; both are 0 otherwise
	Last        uint64 // highest datagram sent on the header's stream, at most 2^64-2; 0: none
	NextMessage uint64 // message number that would have come next, from 1
}

// LeaveMax is the length of a leave frame in bytes when HasLast is set; it is 3 otherwise.
const (
	LeaveMax = 3 + leaveBody

	leaveBody = 2 * 9
)

// AppendLeave appends l as one frame. It checks nothing: a receiver refuses values outside
// their bounds.
func AppendLeave(dst []byte, l Leave) []byte {
	dst = append(dst, 0x8A, 0x01)
	if !l.HasLast {
		return append(dst, 0)
	}
	dst = append(dst, leaveBody)
	dst = appendFixed64(dst, 1, l.Last)
	return appendFixed64(dst, 2, l.NextMessage)
}

// Leave reads a frame of kind FrameLeave.
func (f *Frame) Leave() Leave {
	if f.canonical {
		return loadLeave(f.body)
	}
	l, _ := scanLeave(f.body)
	return l
}

func (l *Leave) inRange() bool {
	return !l.HasLast || l.Last < math.MaxUint64 && l.NextMessage >= 1
}

func isCanonicalLeave(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	if len(b) != leaveBody || b[0] != 0x09 || b[9] != 0x11 {
		return false
	}
	l := loadLeave(b)
	return l.inRange()
}

func loadLeave(b []byte) Leave {
	if len(b) == 0 {
		return Leave{}
	}
	_ = b[leaveBody-1]
	return Leave{
		HasLast:     true,
		Last:        binary.LittleEndian.Uint64(b[1:]),
		NextMessage: binary.LittleEndian.Uint64(b[10:]),
	}
}

func scanLeave(b []byte) (l Leave, err error) {
	const both = 1<<1 | 1<<2
	seen := 0
	s := scanner{rest: b}
	for s.next() {
		switch {
		case s.is(1, typeFixed64):
			l.Last = s.value
		case s.is(2, typeFixed64):
			l.NextMessage = s.value
		default:
			continue
		}
		seen |= 1 << s.field
	}
	l.HasLast = seen == both
	switch {
	case s.bad || seen != 0 && seen != both:
		return l, ErrMalformed
	case !l.inRange():
		return l, ErrRange
	}
	return l, nil
}
