package wire

import (
	"encoding/binary"
	"math"
)

// Leave is sent when the transmitter stops: as the sender of the header's stream when HasLast is
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

var leaveLayout = newLayout(leaveInRange,
	optional(fixed64), // last
	optional(fixed64), // next_message
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
func (f *Frame) Leave() Leave { return loadLeave(&f.parts) }

func leaveInRange(p *parts) bool {
	l := loadLeave(p)
	return !l.HasLast || l.Last < math.MaxUint64 && l.NextMessage >= 1
}

func loadLeave(p *parts) Leave {
	b := p.head
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
