package wire

import "encoding/binary"

// Standing is how a member of a ring stands. It travels in a Join and in a Notice to all. Padding makes their
// datagram as long as one of data. Its zero value is not written: older members do not send it.
type Standing struct {
	Datagram uint32  // the largest UDP payload that the transmitter takes, MinDatagram bytes or more
	Members  uint32  // of the last ring that it installed
	Pause    uint32  // µs that its loop stood still for at most, of late
	Hears    Members // at most MaxHears members that it holds down and receives; in no order
	Padding  int     // bytes
}

// MaxHears is how many members a Standing lists at most.
const MaxHears = 16

const standingHead = 4 * 4

// StandingOverhead is what a Standing without members and padding adds to its frame at most, in bytes.
const StandingOverhead = 1 + 3 + 1 + standingHead

// fieldLen is the length of the field in bytes.
func (s *Standing) fieldLen() int {
	if s.Datagram == 0 {
		return 0
	}
	n := standingHead + len(s.Hears) + s.Padding
	return 1 + varintLen(n) + n
}

func (s *Standing) append(dst []byte, number byte) []byte {
	if s.Datagram == 0 {
		return dst
	}
	dst = appendLength(append(dst, number<<3|typeBytes), standingHead+len(s.Hears)+s.Padding)
	dst = binary.LittleEndian.AppendUint32(dst, s.Datagram)
	dst = binary.LittleEndian.AppendUint32(dst, s.Members)
	dst = binary.LittleEndian.AppendUint32(dst, s.Pause)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(s.Hears.Len()))
	dst = append(dst, s.Hears...)
	for range s.Padding {
		dst = append(dst, 0)
	}
	return dst
}

// standingInRange reports whether b, which may be missing, is a Standing. Newer members may put other things in the
// place of the padding.
func standingInRange(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	if len(b) < standingHead || binary.LittleEndian.Uint32(b) < MinDatagram {
		return false
	}
	n := binary.LittleEndian.Uint32(b[12:])
	return n <= MaxHears && int(n)*memberLen <= len(b)-standingHead
}

// loadStanding reads what standingInRange has judged.
func loadStanding(b []byte) (s Standing) {
	if len(b) == 0 {
		return s
	}
	n := standingHead + memberLen*int(binary.LittleEndian.Uint32(b[12:]))
	return Standing{Datagram: binary.LittleEndian.Uint32(b), Members: binary.LittleEndian.Uint32(b[4:]), Pause: binary.LittleEndian.Uint32(b[8:]),
		Hears: b[standingHead:n:n], Padding: len(b) - n}
}

// plainPadding reports whether the padding of a Standing is as this package writes it.
func plainPadding(b []byte) bool {
	s := loadStanding(b)
	for _, x := range b[len(b)-s.Padding:] {
		if x != 0 {
			return false
		}
	}
	return true
}
