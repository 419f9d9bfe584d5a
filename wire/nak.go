package wire

import "encoding/binary"

// MaxGaps is how many gaps one Nak may have, those of both lists together.
const MaxGaps = 1024

// Nak asks the origin of a stream to send datagrams again. It has at least one gap.
type Nak struct {
	Origin            MemberID // the member whose stream it is
	OriginIncarnation uint32

	body []byte
}

// Gaps iterates over the gaps that the receiver asks for the first time.
func (n *Nak) Gaps() GapIter { return GapIter{rest: n.body, field: 3} }

// Again iterates over the gaps that it has asked for before.
func (n *Nak) Again() GapIter { return GapIter{rest: n.body, field: 4} }

// GapIter is one walk over gaps of a Nak.
type GapIter struct {
	rest  []byte
	field uint8
}

// Next is the next gap. It is not ok at the end.
func (it *GapIter) Next() (g Gap, ok bool) {
	tag := it.field<<3 | typeBytes
	if b := it.rest; len(b) >= 2+gapLen && b[0] == tag && b[1] == gapLen && b[2] == 0x09 && b[11] == 0x15 {
		it.rest = b[2+gapLen:]
		return loadGap(b[2 : 2+gapLen]), true
	}
	return it.scan()
}

// scan is Next in any layout. It also passes over what lies before the first gap.
func (it *GapIter) scan() (g Gap, ok bool) {
	s := scanner{rest: it.rest}
	for s.next() {
		if s.is(uint32(it.field), typeBytes) {
			it.rest = s.rest
			g, err := ParseGap(s.bytes)
			return g, err == nil
		}
	}
	it.rest = nil
	return Gap{}, false
}

// nakHead is the length of what precedes the gaps, in bytes.
const nakHead = 18 + 5

// NakSize is the length in bytes of a Nak frame with so many gaps, and so many asked for again.
func NakSize(gaps, again int) int {
	n := nakHead + (gaps+again)*(2+gapLen)
	return 1 + varintLen(n) + n
}

// NakRoom is how many gaps, in both lists together, a Nak frame of at most room bytes has;
// 0 when it has none.
func NakRoom(room int) int {
	return min(max(fit(room)-nakHead, 0)/(2+gapLen), MaxGaps)
}

// AppendNak appends one Nak frame, NakSize bytes. The caller gives 1..MaxGaps gaps in all.
func AppendNak(dst []byte, origin MemberID, originIncarnation uint32, gaps, again []Gap) []byte {
	n := nakHead + (len(gaps)+len(again))*(2+gapLen)
	var length [3]byte
	dst = append(dst, fieldNak<<3|typeBytes)
	dst = append(dst, length[:putVarint(length[:], n)]...)
	dst = appendMember(dst, 1, origin)
	dst = appendFixed32(dst, 2, originIncarnation)
	for _, g := range gaps {
		dst = AppendGap(append(dst, 3<<3|typeBytes, gapLen), g)
	}
	for _, g := range again {
		dst = AppendGap(append(dst, 4<<3|typeBytes, gapLen), g)
	}
	return dst
}

// Nak reads a frame of kind FrameNak. Its gaps are lent with the datagram.
func (f *Frame) Nak() Nak {
	if f.canonical {
		return Nak{
			Origin:            MemberID(f.body[2:]),
			OriginIncarnation: binary.LittleEndian.Uint32(f.body[19:]),
			body:              f.body[nakHead:],
		}
	}
	n, _ := scanNak(f.body)
	return n
}

func isCanonicalNak(b []byte) bool {
	if len(b) <= nakHead || (len(b)-nakHead)%(2+gapLen) != 0 || len(b) > nakHead+MaxGaps*(2+gapLen) ||
		b[0] != 0x0A || b[1] != memberLen || b[18] != 0x15 {
		return false
	}
	tag := byte(3<<3 | typeBytes)
	for p := nakHead; p < len(b); p += 2 + gapLen {
		g := b[p : p+2+gapLen]
		if g[0] > tag {
			tag = 4<<3 | typeBytes // from the first list to the second
		}
		if g[0] != tag || g[1] != gapLen || !isCanonicalGap(g[2:]) {
			return false
		}
	}
	return true
}

func scanNak(b []byte) (n Nak, err error) {
	const required = 1<<1 | 1<<2
	seen, gaps := 0, 0
	var origin []byte
	s := scanner{rest: b}
	for s.next() {
		switch {
		case s.is(1, typeBytes):
			origin = s.bytes
		case s.is(2, typeFixed32):
			n.OriginIncarnation = uint32(s.value)
		case s.is(3, typeBytes), s.is(4, typeBytes):
			if _, err := ParseGap(s.bytes); err != nil {
				return n, err
			}
			gaps++
			continue
		default:
			continue
		}
		seen |= 1 << s.field
	}
	switch {
	case s.bad || seen != required:
		return n, ErrMalformed
	case len(origin) != memberLen || gaps < 1 || gaps > MaxGaps:
		return n, ErrRange
	}
	n.Origin, n.body = MemberID(origin), b
	return n, nil
}
