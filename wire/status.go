package wire

import "encoding/binary"

// Status reports to a sender how far one receiver is.
type Status struct {
	Origin            MemberID // the member whose stream it is
	OriginIncarnation uint32
	Next              uint64 // lowest datagram not received yet, from 1
	Highest           uint64 // one above the highest datagram known to have been sent, at least Next
	Limit             uint64 // the receiver has room for datagrams below this one; at least Next
	Room              uint32 // bytes of socket buffer that the receiver's host really gave
	Echo              uint64 // Heartbeat.SentAt of the last heartbeat received; 0: none
	Held              uint32 // ns between receiving that heartbeat and sending this
	Missed            uint64 // datagrams that did not arrive at first, so far
	Gone              uint64 // datagrams given up, so far

	// Pause is after how many µs at the latest the next Status is sent, if nothing comes meanwhile: the stream is
	// idle, and reports have become rare. 0: not given; they are as frequent as ever.
	Pause uint32

	// What arrived of the stream by Clock, ns of the receiver's clock: bytes of the datagrams with data and repair
	// symbols, in all, also of those that came twice. 0: not given, older members do not send them.
	Arrived, Clock uint64

	// Every is after how many bytes of the stream it reports, counted as Heartbeat.Every is. 0: not given, older members
	// do not send it.
	Every uint32

	// NoGroup says that the sender's multicast does not get through and unicast does: all of the stream is asked for by
	// unicast.
	NoGroup bool
}

// StatusLen is the length of a status frame in bytes; StatusMax is it with Pause, Arrived, Clock, Every and NoGroup.
const (
	StatusLen = 2 + statusBody
	StatusMax = StatusLen + 5 + 2*9 + 5 + 2

	statusBody = 18 + 3*5 + 6*9
)

var statusLayout = newLayout(statusInRange,
	memberID,                        // origin
	fixed32,                         // origin_incarnation
	fixed64,                         // next
	fixed64,                         // highest
	fixed64,                         // limit
	fixed32,                         // room
	fixed64,                         // echo
	fixed32,                         // held
	fixed64,                         // missed
	fixed64,                         // gone
	optional(fixed32),               // pause
	optional(fixed64),               // arrived
	optional(fixed64),               // clock
	optional(fixed32),               // every
	optional(field{kind: kindTrue}), // no_group
).withLooseTail()

// AppendStatus appends s as one frame. It checks nothing: a receiver refuses values outside
// their bounds.
func AppendStatus(dst []byte, s Status) []byte {
	body := byte(statusBody)
	if s.Pause != 0 {
		body += 5
	}
	if s.Arrived != 0 {
		body += 9
	}
	if s.Clock != 0 {
		body += 9
	}
	if s.Every != 0 {
		body += 5
	}
	if s.NoGroup {
		body += 2
	}
	dst = append(dst, fieldStatus<<3|typeBytes, body)
	dst = appendMember(dst, 1, s.Origin)
	dst = appendFixed32(dst, 2, s.OriginIncarnation)
	dst = appendFixed64(dst, 3, s.Next)
	dst = appendFixed64(dst, 4, s.Highest)
	dst = appendFixed64(dst, 5, s.Limit)
	dst = appendFixed32(dst, 6, s.Room)
	dst = appendFixed64(dst, 7, s.Echo)
	dst = appendFixed32(dst, 8, s.Held)
	dst = appendFixed64(dst, 9, s.Missed)
	dst = appendFixed64(dst, 10, s.Gone)
	if s.Pause != 0 {
		dst = appendFixed32(dst, 11, s.Pause)
	}
	if s.Arrived != 0 {
		dst = appendFixed64(dst, 12, s.Arrived)
	}
	if s.Clock != 0 {
		dst = appendFixed64(dst, 13, s.Clock)
	}
	if s.Every != 0 {
		dst = appendFixed32(dst, 14, s.Every)
	}
	if s.NoGroup {
		dst = append(dst, 15<<3|typeVarint, 1)
	}
	return dst
}

// Status reads a frame of kind FrameStatus.
func (f *Frame) Status() Status { return loadStatus(&f.parts) }

func statusInRange(p *parts) bool {
	b := p.head
	_ = b[statusBody-1]
	next, highest, limit := binary.LittleEndian.Uint64(b[24:]), binary.LittleEndian.Uint64(b[33:]), binary.LittleEndian.Uint64(b[42:])
	return looseInRange(p.tail, 11, 12, 13, 14) && next >= 1 && highest >= next && limit >= next
}

func loadStatus(p *parts) Status {
	b := p.head
	_ = b[statusBody-1]
	return Status{
		Origin:            MemberID(b[2:]),
		OriginIncarnation: binary.LittleEndian.Uint32(b[19:]),
		Next:              binary.LittleEndian.Uint64(b[24:]),
		Highest:           binary.LittleEndian.Uint64(b[33:]),
		Limit:             binary.LittleEndian.Uint64(b[42:]),
		Room:              binary.LittleEndian.Uint32(b[51:]),
		Echo:              binary.LittleEndian.Uint64(b[56:]),
		Held:              binary.LittleEndian.Uint32(b[65:]),
		Missed:            binary.LittleEndian.Uint64(b[70:]),
		Gone:              binary.LittleEndian.Uint64(b[79:]),
		Pause:             uint32(looseNumber(p.tail, 11)),
		Arrived:           looseNumber(p.tail, 12),
		Clock:             looseNumber(p.tail, 13),
		Every:             uint32(looseNumber(p.tail, 14)),
		NoGroup:           looseField(p.tail, 15) != nil,
	}
}
