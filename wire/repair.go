package wire

import (
	"encoding/binary"
	"math"
)

// Repair is one repair symbol of one block of the header's stream. The block's source symbols are
// made of the Data frames with the numbers Block, Block+Stride, … , Source of them; SourceOf says
// how. What the numbers mean beyond their bounds here is a matter of the scheme: package fec has
// scheme 1.
type Repair struct {
	Block   uint64 // number of the first source datagram; the last one is at most 2^64-2
	Scheme  uint8  // 1..127
	Stride  uint8  // from one source datagram to the next, 1..127
	Sources uint8  // k: source symbols, 1..127
	Repairs uint8  // m: repair symbols that are sent without being asked for, 0..127
	Index   uint8  // of this repair symbol, 0..127
	Symbol  []byte // not empty; lent with the datagram
}

// RepairOverhead is how much longer, in bytes, the datagram with a repair symbol is than the
// longest source datagram of its block, at most. Who protects a stream makes its source
// datagrams so much shorter than the largest datagram.
const RepairOverhead = (2 + 3 + repairHead + 1 + 3 + sourceHead) - (1 + 2)

const (
	repairHead = 9 + 5*2
	maxSmall   = 127 // the largest number that takes one byte
)

// SymbolRoom is the longest symbol, in bytes, that fits a datagram of at most max bytes beside
// nothing else; less than 1 when none does.
func SymbolRoom(max int) int { return fit(fit(max-HeaderLen-1) - repairHead) }

// AppendRepair appends r as one frame. It checks nothing: a receiver refuses values outside
// their bounds.
func AppendRepair(dst []byte, r *Repair) []byte {
	n := repairHead + 1 + varintLen(len(r.Symbol)) + len(r.Symbol)
	dst = appendLength(append(dst, 0xC2, 0x01), n)
	dst = appendFixed64(dst, 1, r.Block)
	dst = append(dst, 0x10, r.Scheme, 0x18, r.Stride, 0x20, r.Sources, 0x28, r.Repairs, 0x30, r.Index)
	return appendBytes(dst, 7, r.Symbol)
}

// Repair reads a frame of kind FrameRepair. Symbol is lent with the datagram.
func (f *Frame) Repair() Repair {
	if f.canonical {
		r, _ := loadRepair(f.body)
		return r
	}
	r, _ := scanRepair(f.body)
	return r
}

// inRange takes the small numbers as they are on the wire.
func (r *Repair) inRange(scheme, stride, sources, repairs, index uint32) bool {
	return scheme >= 1 && scheme <= maxSmall && stride >= 1 && stride <= maxSmall && sources >= 1 && sources <= maxSmall &&
		repairs <= maxSmall && index <= maxSmall && len(r.Symbol) > 0 && r.Block >= 1 &&
		r.Block <= math.MaxUint64-1-uint64(stride)*uint64(sources-1)
}

func isCanonicalRepair(b []byte) bool {
	r, ok := loadRepair(b)
	return ok && r.inRange(uint32(r.Scheme), uint32(r.Stride), uint32(r.Sources), uint32(r.Repairs), uint32(r.Index))
}

func loadRepair(b []byte) (r Repair, ok bool) {
	if len(b) < repairHead+2 || b[0] != 0x09 || b[9] != 0x10 || b[11] != 0x18 || b[13] != 0x20 || b[15] != 0x28 || b[17] != 0x30 {
		return r, false
	}
	r = Repair{
		Block:   binary.LittleEndian.Uint64(b[1:]),
		Scheme:  b[10],
		Stride:  b[12],
		Sources: b[14],
		Repairs: b[16],
		Index:   b[18],
	}
	symbol, rest, ok := canonicalBytes(b[repairHead:], 7)
	r.Symbol = symbol
	return r, ok && len(rest) == 0
}

func scanRepair(b []byte) (r Repair, err error) {
	const required = 1<<8 - 1<<1
	seen := 0
	var small [7]uint32
	s := scanner{rest: b}
	for s.next() {
		switch {
		case s.is(1, typeFixed64):
			r.Block = s.value
		case s.typ == typeVarint && s.field >= 2 && s.field <= 6:
			small[s.field] = uint32(s.value) // protobuf's rule: a uint32 is the low 32 bits
		case s.is(7, typeBytes):
			r.Symbol = s.bytes
		default:
			continue
		}
		seen |= 1 << s.field
	}
	switch {
	case s.bad || seen != required:
		return r, ErrMalformed
	case !r.inRange(small[2], small[3], small[4], small[5], small[6]):
		return r, ErrRange
	}
	r.Scheme, r.Stride, r.Sources, r.Repairs, r.Index = uint8(small[2]), uint8(small[3]), uint8(small[4]), uint8(small[5]), uint8(small[6])
	return r, nil
}
