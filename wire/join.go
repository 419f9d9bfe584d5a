package wire

import "encoding/binary"

// MaxSet is how many members a set of a Join has at most: those of the largest ring, and as
// many that are known to have failed.
const MaxSet = 2 * MaxRing

// Join is what a member that gathers a ring reports about the others.
type Join struct {
	Node    uint64  // FNV-1a, 64 bits, of the configured name; 0: it has none
	Started uint64  // which of two members of one node is the newer
	RingSeq uint64  // the largest ring sequence that the transmitter has seen, at most MaxRingSeq
	Counter uint64  // counts the transmitter's Joins
	Proc    Members // at most MaxSet members that are known to it
	Fail    Members // at most MaxSet members that it holds failed

	// Datagram is the largest UDP payload that the transmitter takes, MinDatagram bytes or more.
	// 0: not known, since older members do not send it.
	Datagram uint32

	Standing Standing
}

// MinDatagram is the least UDP payload that a member takes, in bytes: what fits the packet of 576 bytes
// that every host must take (RFC 791).
const MinDatagram = 576 - 28

// JoinMax is the length of the longest join frame in bytes, without padding.
const (
	JoinMax = 4 + joinHead + 2*(3+16*MaxSet) + joinTail + 2 + standingHead

	joinHead = 4 * 9
	joinTail = 5
)

var joinLayout = newLayout(joinInRange,
	fixed64,           // node
	fixed64,           // started
	fixed64,           // ring_seq
	fixed64,           // counter
	blob,              // proc
	blob,              // fail
	optional(fixed32), // datagram
	optional(blob),    // standing
).withExact(func(p *parts) bool { return plainPadding(p.bytes[trailerPlace]) })

// AppendJoin appends j as one frame. It checks nothing.
func AppendJoin(dst []byte, j *Join) []byte {
	n := joinHead + 2 + varintLen(len(j.Proc)) + len(j.Proc) + varintLen(len(j.Fail)) + len(j.Fail)
	if j.Datagram != 0 {
		n += joinTail
	}
	n += j.Standing.fieldLen()
	dst = appendLength(append(dst, 0xA2, 0x01), n)
	dst = appendFixed64(dst, 1, j.Node)
	dst = appendFixed64(dst, 2, j.Started)
	dst = appendFixed64(dst, 3, j.RingSeq)
	dst = appendFixed64(dst, 4, j.Counter)
	dst = appendBytes(dst, 5, j.Proc)
	dst = appendBytes(dst, 6, j.Fail)
	if j.Datagram != 0 {
		dst = appendFixed32(dst, 7, j.Datagram)
	}
	return j.Standing.append(dst, 8)
}

// Join reads a frame of kind FrameJoin. Its sets are lent with the datagram.
func (f *Frame) Join() Join { return loadJoin(&f.parts) }

func joinInRange(p *parts) bool {
	if !standingInRange(p.bytes[trailerPlace]) {
		return false
	}
	j := loadJoin(p)
	return j.RingSeq <= MaxRingSeq && j.Proc.valid(MaxSet) && j.Fail.valid(MaxSet) &&
		(len(p.tail) == 0 || j.Datagram >= MinDatagram)
}

func loadJoin(p *parts) Join {
	b := p.head
	_ = b[joinHead-1]
	j := Join{
		Node:    binary.LittleEndian.Uint64(b[1:]),
		Started: binary.LittleEndian.Uint64(b[10:]),
		RingSeq: binary.LittleEndian.Uint64(b[19:]),
		Counter: binary.LittleEndian.Uint64(b[28:]),
		Proc:    p.bytes[0],
		Fail:    p.bytes[1],
	}
	if len(p.tail) > 0 {
		j.Datagram = binary.LittleEndian.Uint32(p.tail[1:])
	}
	j.Standing = loadStanding(p.bytes[trailerPlace])
	return j
}
