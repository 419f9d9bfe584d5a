package wire

import "encoding/binary"

// MaxNeeds is how many blocks one SymbolNak may name.
const MaxNeeds = 64

// SymbolNak asks the origin of a stream for more repair symbols. One of them serves receivers
// that have lost different datagrams of a block. It names at least one block.
type SymbolNak struct {
	Origin            MemberID // the member whose stream it is
	OriginIncarnation uint32

	lists []byte
}

// Need is the Count repair symbols of a block that a receiver lacks: any that it does not have yet.
type Need struct {
	Block uint64 // number of the block's first source datagram, 1..2^64-2
	Count uint32 // 1..127
}

// Needs iterates over the blocks.
func (n *SymbolNak) Needs() NeedIter { return NeedIter{rest: n.lists} }

// NeedIter is one walk over the blocks of a SymbolNak.
type NeedIter struct{ rest []byte }

// Next is the next block. It is not ok at the end.
func (it *NeedIter) Next() (n Need, ok bool) {
	s := scanner{rest: it.rest}
	for s.next() {
		if s.is(3, typeBytes) {
			it.rest = s.rest
			n.Block, n.Count, ok = scanPair(s.bytes)
			return n, ok
		}
	}
	it.rest = nil
	return Need{}, false
}

var symbolNakLayout = newLayout(nil,
	memberID, // origin
	fixed32,  // origin_incarnation
	pairs,    // needs
).withPairs(pairBounds{most: MaxNeeds, count: maxSmall})

const symbolNakHead = 18 + 5

// SymbolNakSize is the length in bytes of a SymbolNak frame that names so many blocks.
func SymbolNakSize(needs int) int {
	n := symbolNakHead + needs*(2+pairLen)
	return 2 + varintLen(n) + n
}

// AppendSymbolNak appends one SymbolNak frame, SymbolNakSize bytes. The caller gives 1..MaxNeeds
// needs.
func AppendSymbolNak(dst []byte, origin MemberID, originIncarnation uint32, needs []Need) []byte {
	dst = appendLength(append(dst, 0xCA, 0x01), symbolNakHead+len(needs)*(2+pairLen))
	dst = appendMember(dst, 1, origin)
	dst = appendFixed32(dst, 2, originIncarnation)
	for _, n := range needs {
		dst = appendFixed32(appendFixed64(append(dst, 3<<3|typeBytes, pairLen), 1, n.Block), 2, n.Count)
	}
	return dst
}

// SymbolNak reads a frame of kind FrameSymbolNak. Its blocks are lent with the datagram.
func (f *Frame) SymbolNak() SymbolNak {
	b := f.head
	_ = b[symbolNakHead-1]
	return SymbolNak{Origin: MemberID(b[2:]), OriginIncarnation: binary.LittleEndian.Uint32(b[19:]), lists: f.pairs(symbolNakHead)}
}
