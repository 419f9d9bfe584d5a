package wire

import (
	"encoding/binary"
	"math"
)

// Heartbeat reports what a sender holds, so that receivers notice a lost tail.
type Heartbeat struct {
	First        uint64 // lowest datagram that can still be repaired, 1..Last+1; Last+1: none
	Last         uint64 // highest datagram sent, at most 2^64-2; 0 before the first
	FirstMessage uint64 // message number of the first message in datagram First, from 1
	NextMessage  uint64 // message number that the next message will get, at least FirstMessage
	SentAt       uint64 // sender's clock, ns; Status.Echo returns it
	RoundTrip    uint32 // ns, the sender's estimate over its receivers; 0: not known yet
	Receivers    uint32 // receivers that the sender has
	WantStatus   bool   // answer with a Status at once

	// Pause is after how many µs at the latest the next heartbeat is sent. A receiver whose sender gives it may
	// report as rarely as its Status.Pause says. 0: not given.
	Pause uint32

	// Evicted says, to the one member that the datagram goes to, that the sender waits for it no more, since it held
	// the stream up.
	Evicted bool

	// Every asks receivers to report at least whenever so many bytes of the stream have come, counted with 256 for each
	// datagram. 0: not given.
	Every uint32

	// UsualTrip is the round trip that half of the receivers keep, ns, where it is well below RoundTrip, which is the
	// longest. 0: not given.
	UsualTrip uint32
}

// HeartbeatLen is the length of a heartbeat frame in bytes; HeartbeatMax is it with all that may be missing.
const (
	HeartbeatLen = 2 + heartbeatBody
	HeartbeatMax = HeartbeatLen + 2 + 5 + 2 + 5 + 5

	heartbeatBody = 5*9 + 2*5
)

var heartbeatLayout = newLayout(heartbeatInRange,
	fixed64,                         // first
	fixed64,                         // last
	fixed64,                         // first_message
	fixed64,                         // next_message
	fixed64,                         // sent_at
	fixed32,                         // round_trip
	fixed32,                         // receivers
	optional(field{kind: kindTrue}), // want_status
	optional(fixed32),               // pause
	optional(field{kind: kindTrue}), // evicted
	optional(fixed32),               // every
	optional(fixed32),               // usual_trip
).withLooseTail()

// AppendHeartbeat appends h as one frame. It checks nothing: a receiver refuses values outside
// their bounds.
func AppendHeartbeat(dst []byte, h Heartbeat) []byte {
	body := byte(heartbeatBody)
	if h.WantStatus {
		body += 2
	}
	if h.Pause != 0 {
		body += 5
	}
	if h.Evicted {
		body += 2
	}
	if h.Every != 0 {
		body += 5
	}
	if h.UsualTrip != 0 {
		body += 5
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
	if h.Pause != 0 {
		dst = appendFixed32(dst, 9, h.Pause)
	}
	if h.Evicted {
		dst = append(dst, 10<<3|typeVarint, 1)
	}
	if h.Every != 0 {
		dst = appendFixed32(dst, 11, h.Every)
	}
	if h.UsualTrip != 0 {
		dst = appendFixed32(dst, 12, h.UsualTrip)
	}
	return dst
}

// Heartbeat reads a frame of kind FrameHeartbeat.
func (f *Frame) Heartbeat() Heartbeat { return loadHeartbeat(&f.parts) }

func heartbeatInRange(p *parts) bool {
	b := p.head
	_ = b[heartbeatBody-1]
	first, last := binary.LittleEndian.Uint64(b[1:]), binary.LittleEndian.Uint64(b[10:])
	firstMessage, nextMessage := binary.LittleEndian.Uint64(b[19:]), binary.LittleEndian.Uint64(b[28:])
	return looseInRange(p.tail, 9, 11, 12) && first >= 1 && last < math.MaxUint64 && first <= last+1 && firstMessage >= 1 && nextMessage >= firstMessage
}

func loadHeartbeat(p *parts) Heartbeat {
	b := p.head
	_ = b[heartbeatBody-1]
	return Heartbeat{
		First:        binary.LittleEndian.Uint64(b[1:]),
		Last:         binary.LittleEndian.Uint64(b[10:]),
		FirstMessage: binary.LittleEndian.Uint64(b[19:]),
		NextMessage:  binary.LittleEndian.Uint64(b[28:]),
		SentAt:       binary.LittleEndian.Uint64(b[37:]),
		RoundTrip:    binary.LittleEndian.Uint32(b[46:]),
		Receivers:    binary.LittleEndian.Uint32(b[51:]),
		WantStatus:   looseField(p.tail, 8) != nil,
		Pause:        uint32(looseNumber(p.tail, 9)),
		Evicted:      looseField(p.tail, 10) != nil,
		Every:        uint32(looseNumber(p.tail, 11)),
		UsualTrip:    uint32(looseNumber(p.tail, 12)),
	}
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
