package wire

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
)

// RingID names one ring of members. A member is the representative of several rings in its life
// and gives each another Seq; MemberIDs are drawn anew at each start. So no RingID is used twice.
type RingID struct {
	Rep MemberID // the representative: the lowest MemberID of the ring
	Seq uint64   // 1..MaxRingSeq
}

// Key is the short form that data carries.
func (r RingID) Key() RingKey {
	lo, hi := binary.LittleEndian.Uint64(r.Rep[:]), binary.LittleEndian.Uint64(r.Rep[8:])
	return RingKey{Rep: lo ^ bits.RotateLeft64(hi, 32), Seq: uint32(r.Seq)}
}

// RingKey is a RingID in short. Two rings whose sequences differ by 2^32 may share it.
type RingKey struct {
	Rep uint64 // the halves of the representative's MemberID, the second one rotated by 32 bits, XORed
	Seq uint32 // the low 32 bits of the ring's sequence
}

// MaxRingSeq is the largest sequence of a ring.
const MaxRingSeq = 1 << 62

// MaxRing is how many members a ring has at most.
const MaxRing = 16

// Ring gives the Data in front of it its place in the total order of a ring. Where Recovered is
// set, the Data is one of an old ring, sent again as Number of this ring; Data.Number, Safe and
// Origin are then those of the old ring.
type Ring struct {
	Key       RingKey
	Round     uint32 // low 32 bits of the token_seq of the token forwarded at that visit
	Safe      bool
	After     bool // sent after the token of that visit
	Origin    uint8
	Recovered bool
	Old       uint8  // of a recovered Data: the old ring's place in Commit.Rings
	Number    uint64 // of a recovered Data: its number in this ring, 1..2^64-2
}

// RingLen is the length of a ring frame in bytes; RingMax is it with Recovered.
const (
	RingLen = 3 + ringBody
	RingMax = RingLen + 9

	ringBody = 9 + 3*5
)

// Bits of Ring.flags.
const (
	ringSafe  = 1 << 0
	ringAfter = 1 << 1
)

var ringLayout = newLayout(ringInRange,
	fixed64,                            // rep
	fixed32,                            // ring_seq
	fixed32,                            // round
	flags(ringSafe|ringAfter|0xFFFF00), // flags
	optional(fixed64),                  // number
).withExact(func(p *parts) bool {
	// What has no meaning for a Data that is not recovered is zero.
	return len(p.head) > ringBody || p.head[22] == 0
})

// AppendRing appends r as one frame.
func AppendRing(dst []byte, r Ring) []byte {
	body := byte(ringBody)
	if r.Recovered {
		body += 9
	}
	flags := uint32(r.Origin)<<8 | uint32(r.Old)<<16
	if r.Safe {
		flags |= ringSafe
	}
	if r.After {
		flags |= ringAfter
	}
	dst = append(dst, 0x92, 0x01, body)
	dst = appendFixed64(dst, 1, r.Key.Rep)
	dst = appendFixed32(dst, 2, r.Key.Seq)
	dst = appendFixed32(dst, 3, r.Round)
	dst = appendFixed32(dst, 4, flags)
	if r.Recovered {
		dst = appendFixed64(dst, 5, r.Number)
	}
	return dst
}

// SetNumber gives the first Data of a canonical datagram that begins with one another number.
// The datagram has to be sealed afterwards.
func SetNumber(datagram []byte, number uint64) {
	_, begin, _ := frameAt(datagram, HeaderLen)
	binary.LittleEndian.PutUint64(datagram[begin+1:], number)
}

// SetTransmitter puts another header into a canonical datagram, which has to be sealed afterwards.
func SetTransmitter(datagram []byte, h Header) { putHeader((*[HeaderLen]byte)(datagram), h) }

// DataSpan is the length of a canonical datagram up to the end of its first Data.
func DataSpan(datagram []byte) int {
	_, _, end := frameAt(datagram, HeaderLen)
	return end
}

// StoredData reads the Data that a canonical datagram begins with, one that Decode has accepted
// before or that a DataWriter has written. It checks nothing, and leaves Count at 0.
func StoredData(datagram []byte) Data {
	_, begin, end := frameAt(datagram, HeaderLen)
	return loadDataHead(datagram[begin:end:end])
}

// Ring reads a frame of kind FrameRing.
func (f *Frame) Ring() Ring { return loadRing(&f.parts) }

func ringInRange(p *parts) bool {
	b := p.head
	if b[21] >= MaxRing || b[22] >= MaxRing { // in flags: Origin and Old
		return false
	}
	if len(b) == ringBody {
		return true
	}
	number := binary.LittleEndian.Uint64(b[ringBody+1:])
	return number >= 1 && number < math.MaxUint64
}

func (r *Ring) setFlags(flags uint32) {
	r.Safe, r.After = flags&ringSafe != 0, flags&ringAfter != 0
	r.Origin, r.Old = uint8(flags>>8), uint8(flags>>16)
}

func loadRing(p *parts) Ring {
	b := p.head
	_ = b[ringBody-1]
	r := Ring{
		Key:   RingKey{Rep: binary.LittleEndian.Uint64(b[1:]), Seq: binary.LittleEndian.Uint32(b[10:])},
		Round: binary.LittleEndian.Uint32(b[15:]),
	}
	r.setFlags(binary.LittleEndian.Uint32(b[20:]))
	if len(b) > ringBody {
		r.Recovered, r.Number = true, binary.LittleEndian.Uint64(b[ringBody+1:])
	} else {
		r.Old = 0 // which has no meaning here
	}
	return r
}

// Members is a set of MemberIDs as it lies on the wire: 16 bytes each, ascending.
type Members []byte

// Len is the number of members.
func (m Members) Len() int { return len(m) / memberLen }

// At is member i.
func (m Members) At(i int) MemberID { return MemberID(m[i*memberLen:]) }

// valid reports whether m is a set of at most limit members.
func (m Members) valid(limit int) bool {
	return len(m)%memberLen == 0 && len(m) <= limit*memberLen && ascending(m, memberLen)
}

// ascending reports whether the MemberIDs at each step of size bytes grow strictly.
func ascending(b []byte, size int) bool {
	for i := size; i < len(b); i += size {
		if bytes.Compare(b[i-size:][:memberLen], b[i:][:memberLen]) >= 0 {
			return false
		}
	}
	return true
}

// Numbers is a list of numbers as it lies on the wire: 8 bytes each, little-endian.
type Numbers []byte

// Len is the number of elements.
func (n Numbers) Len() int { return len(n) / 8 }

// At is element i.
func (n Numbers) At(i int) uint64 { return binary.LittleEndian.Uint64(n[i*8:]) }

// appendBytes appends a field of bytes with its shortest length.
func appendBytes(dst []byte, field byte, b []byte) []byte {
	return append(appendLength(append(dst, field<<3|typeBytes), len(b)), b...)
}

// appendLength appends n as the shortest varint.
func appendLength(dst []byte, n int) []byte {
	var length [3]byte
	return append(dst, length[:putVarint(length[:], n)]...)
}

// canonicalBytes splits off the field of bytes that b begins with. It is not ok for anything
// else, or a length that is not the shortest.
func canonicalBytes(b []byte, field byte) (value, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != field<<3|typeBytes {
		return nil, nil, false
	}
	n, size := shortVarint(b[1:])
	if size == 0 || n > len(b)-1-size {
		return nil, nil, false
	}
	end := 1 + size + n
	return b[1+size : end : end], b[end:], true
}
