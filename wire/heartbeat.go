package wire

import (
	"encoding/binary"
	"math"
)

// Heartbeat tells what a sender holds, so that a lost tail is noticed.
type Heartbeat struct {
	First        uint64 // lowest datagram that can still be repaired, 1..Last+1; Last+1: none
	Last         uint64 // highest datagram sent, at most 2^64-2; 0 before the first
	FirstMessage uint64 // message number of the first message in datagram First, from 1
	NextMessage  uint64 // message number that the next message will get, at least FirstMessage
	SentAt       uint64 // sender's clock, ns; Status.Echo returns it
	RoundTrip    uint32 // ns, the sender's estimate over its receivers; 0: not known yet
	Receivers    uint32 // receivers that the sender knows
	WantStatus   bool   // answer with a Status at once
}

// HeartbeatLen is the length of a heartbeat frame in bytes; HeartbeatMax is it with WantStatus.
const (
	HeartbeatLen = 2 + heartbeatBody
	HeartbeatMax = HeartbeatLen + 2

	heartbeatBody = 5*9 + 2*5
)

// AppendHeartbeat appends h as one frame. It checks nothing: a receiver refuses values outside
// their bounds.
func AppendHeartbeat(dst []byte, h Heartbeat) []byte {
	body := byte(heartbeatBody)
	if h.WantStatus {
		body += 2
	}
	dst = append(dst, fieldHeartbeat<<3|typeBytes, body)
	dst = appendFixed64(dst, 1, h.First)
	dst = appendFixed64(dst, 2, h.Last)
	dst = appendFixed64(dst, 3, h.FirstMessage)
	dst = appendFixed64(dst, 4, h.NextMessage)
	dst = appendFixed64(dst, 5, h.SentAt)
	dst = appendFixed32(dst, 6, h.RoundTrip)
	dst = appendFixed32(dst, 7, h.Receivers)
	if h.WantStatus {
		dst = append(dst, 8<<3|typeVarint, 1)
	}
	return dst
}

// Heartbeat reads a frame of kind FrameHeartbeat.
func (f *Frame) Heartbeat() Heartbeat {
	if f.canonical {
		return loadHeartbeat(f.body)
	}
	h, _ := scanHeartbeat(f.body)
	return h
}

func (h *Heartbeat) inRange() bool {
	return h.First >= 1 && h.Last < math.MaxUint64 && h.First <= h.Last+1 &&
		h.FirstMessage >= 1 && h.NextMessage >= h.FirstMessage
}

func isCanonicalHeartbeat(b []byte) bool {
	switch {
	case len(b) == heartbeatBody:
	case len(b) == heartbeatBody+2 && b[55] == 8<<3|typeVarint && b[56] == 1:
	default:
		return false
	}
	if b[0] != 0x09 || b[9] != 0x11 || b[18] != 0x19 || b[27] != 0x21 || b[36] != 0x29 || b[45] != 0x35 || b[50] != 0x3D {
		return false
	}
	h := loadHeartbeat(b)
	return h.inRange()
}

func loadHeartbeat(b []byte) Heartbeat {
	_ = b[heartbeatBody-1]
	return Heartbeat{
		First:        binary.LittleEndian.Uint64(b[1:]),
		Last:         binary.LittleEndian.Uint64(b[10:]),
		FirstMessage: binary.LittleEndian.Uint64(b[19:]),
		NextMessage:  binary.LittleEndian.Uint64(b[28:]),
		SentAt:       binary.LittleEndian.Uint64(b[37:]),
		RoundTrip:    binary.LittleEndian.Uint32(b[46:]),
		Receivers:    binary.LittleEndian.Uint32(b[51:]),
		WantStatus:   len(b) > heartbeatBody,
	}
}

func scanHeartbeat(b []byte) (h Heartbeat, err error) {
	const required = 1<<1 | 1<<2 | 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7
	seen := 0
	s := scanner{rest: b}
	for s.next() {
		switch {
		case s.is(1, typeFixed64):
			h.First = s.value
		case s.is(2, typeFixed64):
			h.Last = s.value
		case s.is(3, typeFixed64):
			h.FirstMessage = s.value
		case s.is(4, typeFixed64):
			h.NextMessage = s.value
		case s.is(5, typeFixed64):
			h.SentAt = s.value
		case s.is(6, typeFixed32):
			h.RoundTrip = uint32(s.value)
		case s.is(7, typeFixed32):
			h.Receivers = uint32(s.value)
		case s.is(8, typeVarint):
			h.WantStatus = s.value != 0
		default:
			continue
		}
		seen |= 1 << s.field
	}
	switch {
	case s.bad || seen&required != required:
		return h, ErrMalformed
	case !h.inRange():
		return h, ErrRange
	}
	return h, nil
}

// appendFixed64 and appendFixed32 append a field with a number below 16, tag and value.
func appendFixed64(dst []byte, field byte, v uint64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, field<<3|typeFixed64), v)
}

func appendFixed32(dst []byte, field byte, v uint32) []byte {
	return binary.LittleEndian.AppendUint32(append(dst, field<<3|typeFixed32), v)
}

// appendMember appends a field of 16 bytes.
func appendMember(dst []byte, field byte, id MemberID) []byte {
	return append(append(dst, field<<3|typeBytes, memberLen), id[:]...)
}
