package wire

import (
	"encoding/binary"
	"math"
)

// MaxGaps is how many gaps one Nak may have, those of both lists together.
const MaxGaps = 1024

// Nak asks the origin of a stream to send datagrams again. It has at least one gap.
type Nak struct {
	Origin            MemberID // the member whose stream it is
	OriginIncarnation uint32

	lists []byte
}

// Gaps iterates over the gaps that the receiver asks for the first time.
func (n *Nak) Gaps() GapIter { return GapIter{rest: n.lists, field: 3} }

// Again iterates over the gaps that it has asked for before.
func (n *Nak) Again() GapIter { return GapIter{rest: n.lists, field: 4} }

// GapIter is one walk over gaps of a Nak.
type GapIter struct {
	rest  []byte
	field uint8
}

// Next is the next gap. It is not ok at the end.
func (it *GapIter) Next() (g Gap, ok bool) {
	tag := it.field<<3 | typeBytes
	if b := it.rest; len(b) >= 2+pairLen && b[0] == tag && b[1] == pairLen && isPair(b[2:]) {
		it.rest = b[2+pairLen:]
		g.First, g.Count = loadPair(b[2:])
		return g, true
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

var nakLayout = newLayout(nil,
	memberID, // origin
	fixed32,  // origin_incarnation
	pairs,    // gaps
	pairs,    // again
).withPairs(pairBounds{most: MaxGaps, count: math.MaxUint32, spans: math.MaxUint32})

// nakHead is the length of what precedes the gaps, in bytes.
const nakHead = 18 + 5

// NakSize is the length in bytes of a Nak frame with so many gaps, and so many asked for again.
func NakSize(gaps, again int) int {
	n := nakHead + (gaps+again)*(2+pairLen)
	return 1 + varintLen(n) + n
}

// NakRoom is how many gaps, in both lists together, a Nak frame of at most room bytes has;
// 0 when it has none.
func NakRoom(room int) int {
	return min(max(fit(room)-nakHead, 0)/(2+pairLen), MaxGaps)
}

// AppendNak appends one Nak frame, NakSize bytes. The caller gives 1..MaxGaps gaps in all.
func AppendNak(dst []byte, origin MemberID, originIncarnation uint32, gaps, again []Gap) []byte {
	n := nakHead + (len(gaps)+len(again))*(2+pairLen)
	var length [3]byte
	dst = append(dst, fieldNak<<3|typeBytes)
	dst = append(dst, length[:putVarint(length[:], n)]...)
	dst = appendMember(dst, 1, origin)
	dst = appendFixed32(dst, 2, originIncarnation)
	for _, g := range gaps {
		dst = AppendGap(append(dst, 3<<3|typeBytes, pairLen), g)
	}
	for _, g := range again {
		dst = AppendGap(append(dst, 4<<3|typeBytes, pairLen), g)
	}
	return dst
}

// Nak reads a frame of kind FrameNak. Its gaps are lent with the datagram.
func (f *Frame) Nak() Nak {
	b := f.head
	_ = b[nakHead-1]
	return Nak{Origin: MemberID(b[2:]), OriginIncarnation: binary.LittleEndian.Uint32(b[19:]), lists: f.pairs(nakHead)}
}
