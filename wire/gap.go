package wire

import (
	"encoding/binary"
	"math"
)

// Gap names Count datagrams of a stream that are missing, starting at First.
type Gap struct {
	First uint64 // lowest missing datagram number, from 1
	Count uint32 // datagrams, 1 or more; First+Count is at most 2^64-1
}

// gapLen is the length of a canonical gap in bytes.
const gapLen = 14

// AppendGap appends the canonical encoding of g: 14 bytes, tags 0x09 and 0x15.
func AppendGap(dst []byte, g Gap) []byte {
	return appendFixed32(appendFixed64(dst, 1, g.First), 2, g.Count)
}

// ParseGap decodes the Gap that is b, canonical or not. It fails with ErrMalformed or ErrRange,
// keeps no reference to b and skips fields that it does not know.
func ParseGap(b []byte) (g Gap, err error) {
	if isCanonicalGap(b) {
		return loadGap(b), nil
	}
	const required = 1<<1 | 1<<2
	seen := 0
	s := scanner{rest: b}
	for s.next() {
		switch {
		case s.is(1, typeFixed64):
			g.First = s.value
		case s.is(2, typeFixed32):
			g.Count = uint32(s.value)
		default:
			continue
		}
		seen |= 1 << s.field
	}
	switch {
	case s.bad || seen != required:
		return Gap{}, ErrMalformed
	case !g.inRange():
		return Gap{}, ErrRange
	}
	return g, nil
}

func (g Gap) inRange() bool {
	return g.First >= 1 && g.Count >= 1 && g.First <= math.MaxUint64-uint64(g.Count)
}

func isCanonicalGap(b []byte) bool {
	return len(b) == gapLen && b[0] == 0x09 && b[9] == 0x15 && loadGap(b).inRange()
}

func loadGap(b []byte) Gap {
	_ = b[gapLen-1]
	return Gap{First: binary.LittleEndian.Uint64(b[1:]), Count: binary.LittleEndian.Uint32(b[10:])}
}
