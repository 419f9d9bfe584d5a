package wire

import "encoding/binary"

// Status tells a sender how far one receiver is.
type Status struct {
	Origin            MemberID // the member whose stream it is
	OriginIncarnation uint32
	Next              uint64 // lowest datagram not received yet, from 1
	Highest           uint64 // one above the highest datagram known to have been sent, at least Next
	Limit             uint64 // the receiver has room for datagrams below this one; at least Next
	Room              uint32 // bytes of socket buffer that the receiver's host really gave
	Echo              uint64 // Heartbeat.SentAt of the last heartbeat heard; 0: none
	Held              uint32 // ns between hearing that heartbeat and sending this
	Missed            uint64 // datagrams that did not arrive at first, so far
	Gone              uint64 // datagrams given up, so far
}

// StatusLen is the length of a status frame in bytes.
const (
	StatusLen = 2 + statusBody

	statusBody = 18 + 3*5 + 6*9
)

// AppendStatus appends s as one frame. It checks nothing: a receiver refuses values outside
// their bounds.
func AppendStatus(dst []byte, s Status) []byte {
	dst = append(dst, fieldStatus<<3|typeBytes, statusBody)
	dst = appendMember(dst, 1, s.Origin)
	dst = appendFixed32(dst, 2, s.OriginIncarnation)
	dst = appendFixed64(dst, 3, s.Next)
	dst = appendFixed64(dst, 4, s.Highest)
	dst = appendFixed64(dst, 5, s.Limit)
	dst = appendFixed32(dst, 6, s.Room)
	dst = appendFixed64(dst, 7, s.Echo)
	dst = appendFixed32(dst, 8, s.Held)
	dst = appendFixed64(dst, 9, s.Missed)
	return appendFixed64(dst, 10, s.Gone)
}

// Status reads a frame of kind FrameStatus.
func (f *Frame) Status() Status {
	if f.canonical {
		return loadStatus(f.body)
	}
	s, _ := scanStatus(f.body)
	return s
}

func (s *Status) inRange() bool { return s.Next >= 1 && s.Highest >= s.Next && s.Limit >= s.Next }

func isCanonicalStatus(b []byte) bool {
	if len(b) != statusBody || b[0] != 0x0A || b[1] != memberLen || b[18] != 0x15 ||
		b[23] != 0x19 || b[32] != 0x21 || b[41] != 0x29 || b[50] != 0x35 ||
		b[55] != 0x39 || b[64] != 0x45 || b[69] != 0x49 || b[78] != 0x51 {
		return false
	}
	s := loadStatus(b)
	return s.inRange()
}

func loadStatus(b []byte) Status {
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
	}
}

func scanStatus(b []byte) (st Status, err error) {
	const required = 1<<11 - 1<<1
	seen := 0
	var origin []byte
	s := scanner{rest: b}
	for s.next() {
		switch {
		case s.is(1, typeBytes):
			origin = s.bytes
		case s.is(2, typeFixed32):
			st.OriginIncarnation = uint32(s.value)
		case s.is(3, typeFixed64):
			st.Next = s.value
		case s.is(4, typeFixed64):
			st.Highest = s.value
		case s.is(5, typeFixed64):
			st.Limit = s.value
		case s.is(6, typeFixed32):
			st.Room = uint32(s.value)
		case s.is(7, typeFixed64):
			st.Echo = s.value
		case s.is(8, typeFixed32):
			st.Held = uint32(s.value)
		case s.is(9, typeFixed64):
			st.Missed = s.value
		case s.is(10, typeFixed64):
			st.Gone = s.value
		default:
			continue
		}
		seen |= 1 << s.field
	}
	switch {
	case s.bad || seen != required:
		return st, ErrMalformed
	case len(origin) != memberLen || !st.inRange():
		return st, ErrRange
	}
	st.Origin = MemberID(origin)
	return st, nil
}
