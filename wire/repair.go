package wire

import (
	"encoding/binary"
	"math"
)

// Repair is one repair symbol of one block of the header's stream. The block's source symbols are
// made of the Data frames with the numbers Block, Block+Stride, … , Source of them; SourceOf has
// the way. What the numbers mean beyond their bounds here is a matter of the scheme: package fec has
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
// longest source datagram of its block, at most. A sender that uses FEC must keep its source
// datagrams this much shorter than the largest datagram.
const RepairOverhead = (2 + 3 + repairHead + 1 + 3 + sourceHead) - (1 + 2)

const (
	repairHead = 9 + 5*2
	maxSmall   = 127 // the largest number that takes one byte
)

// SymbolRoom is the longest symbol, in bytes, that fits a datagram of at most max bytes beside
// nothing else; less than 1 when none does.
func SymbolRoom(max int) int { return fit(fit(max-HeaderLen-1) - repairHead) }

var repairLayout = newLayout(repairInRange,
	fixed64, // block
	small,   // scheme
	small,   // stride
	small,   // sources
	small,   // repairs
	small,   // index
	blob,    // symbol
)

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
func (f *Frame) Repair() Repair { return loadRepair(&f.parts) }

func repairInRange(p *parts) bool {
	b := p.head
	_ = b[repairHead-1]
	block := binary.LittleEndian.Uint64(b[1:])
	scheme, stride, sources, repairs, index := b[10], b[12], b[14], b[16], b[18]
	return scheme >= 1 && scheme <= maxSmall && stride >= 1 && stride <= maxSmall && sources >= 1 && sources <= maxSmall &&
		repairs <= maxSmall && index <= maxSmall && len(p.bytes[0]) > 0 &&
		block >= 1 && block <= math.MaxUint64-1-uint64(stride)*uint64(sources-1)
}

func loadRepair(p *parts) Repair {
	b := p.head
	_ = b[repairHead-1]
	return Repair{
		Block:   binary.LittleEndian.Uint64(b[1:]),
		Scheme:  b[10],
		Stride:  b[12],
		Sources: b[14],
		Repairs: b[16],
		Index:   b[18],
		Symbol:  p.bytes[0],
	}
}
