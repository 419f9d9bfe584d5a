package wire

import "encoding/binary"

// MaxNeeds is how many blocks one SymbolNak may name.
const MaxNeeds = 64

// SymbolNak asks the origin of a stream for more repair symbols. One of them serves receivers
// that have lost different datagrams of a block. It names at least one block.
type SymbolNak struct {
	Origin            MemberID // the member whose stream it is
	OriginIncarnation uint32

	body []byte
}

// Need says that a receiver lacks Count repair symbols of a block: any that it has not got yet.
type Need struct {
	Block uint64 // number of the block's first source datagram, 1..2^64-2
	Count uint32 // 1..127
}

// Needs iterates over the blocks.
func (n *SymbolNak) Needs() NeedIter { return NeedIter{rest: n.body} }

// NeedIter is one walk over the blocks of a SymbolNak.
type NeedIter struct{ rest []byte }

// Next is the next block. It is not ok at the end.
func (it *NeedIter) Next() (n Need, ok bool) {
	s := scanner{rest: it.rest}
	for s.next() {
		if s.is(3, typeBytes) {
			it.rest = s.rest
			n, err := scanNeed(s.bytes)
			return n, err == nil
		}
	}
	it.rest = nil
	return Need{}, false
}

const (
	symbolNakHead = 18 + 5
	needLen       = 9 + 5
)

// SymbolNakSize is the length in bytes of a SymbolNak frame that names so many blocks.
func SymbolNakSize(needs int) int {
	n := symbolNakHead + needs*(2+needLen)
	return 2 + varintLen(n) + n
}

// AppendSymbolNak appends one SymbolNak frame, SymbolNakSize bytes. The caller gives 1..MaxNeeds
// needs.
func AppendSymbolNak(dst []byte, origin MemberID, originIncarnation uint32, needs []Need) []byte {
	dst = appendLength(append(dst, 0xCA, 0x01), symbolNakHead+len(needs)*(2+needLen))
	dst = appendMember(dst, 1, origin)
	dst = appendFixed32(dst, 2, originIncarnation)
	for _, n := range needs {
		dst = appendFixed32(appendFixed64(append(dst, 3<<3|typeBytes, needLen), 1, n.Block), 2, n.Count)
	}
	return dst
}

// SymbolNak reads a frame of kind FrameSymbolNak. Its blocks are lent with the datagram.
func (f *Frame) SymbolNak() SymbolNak {
	if f.canonical {
		return SymbolNak{
			Origin:            MemberID(f.body[2:]),
			OriginIncarnation: binary.LittleEndian.Uint32(f.body[19:]),
			body:              f.body[symbolNakHead:],
		}
	}
	n, _ := scanSymbolNak(f.body)
	return n
}

func (n Need) inRange() bool {
	return n.Block >= 1 && n.Block+1 != 0 && n.Count >= 1 && n.Count <= maxSmall
}

func isCanonicalSymbolNak(b []byte) bool {
	if len(b) <= symbolNakHead || (len(b)-symbolNakHead)%(2+needLen) != 0 || len(b) > symbolNakHead+MaxNeeds*(2+needLen) ||
		b[0] != 0x0A || b[1] != memberLen || b[18] != 0x15 {
		return false
	}
	for p := symbolNakHead; p < len(b); p += 2 + needLen {
		n := b[p : p+2+needLen]
		if n[0] != 3<<3|typeBytes || n[1] != needLen || n[2] != 0x09 || n[11] != 0x15 ||
			!(Need{binary.LittleEndian.Uint64(n[3:]), binary.LittleEndian.Uint32(n[12:])}).inRange() {
			return false
		}
	}
	return true
}

func scanSymbolNak(b []byte) (n SymbolNak, err error) {
	const required = 1<<1 | 1<<2
	seen, needs := 0, 0
	var origin []byte
	s := scanner{rest: b}
	for s.next() {
		switch {
		case s.is(1, typeBytes):
			origin = s.bytes
		case s.is(2, typeFixed32):
			n.OriginIncarnation = uint32(s.value)
		case s.is(3, typeBytes):
			if _, err := scanNeed(s.bytes); err != nil {
				return n, err
			}
			needs++
			continue
		default:
			continue
		}
		seen |= 1 << s.field
	}
	switch {
	case s.bad || seen != required:
		return n, ErrMalformed
	case len(origin) != memberLen || needs < 1 || needs > MaxNeeds:
		return n, ErrRange
	}
	n.Origin, n.body = MemberID(origin), b
	return n, nil
}

func scanNeed(b []byte) (n Need, err error) {
	const required = 1<<1 | 1<<2
	seen := 0
	s := scanner{rest: b}
	for s.next() {
		switch {
		case s.is(1, typeFixed64):
			n.Block = s.value
		case s.is(2, typeFixed32):
			n.Count = uint32(s.value)
		default:
			continue
		}
		seen |= 1 << s.field
	}
	switch {
	case s.bad || seen != required:
		return n, ErrMalformed
	case !n.inRange():
		return n, ErrRange
	}
	return n, nil
}
