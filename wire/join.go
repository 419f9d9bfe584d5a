package wire

import "encoding/binary"

// MaxSet is how many members a set of a Join has at most: those of the largest ring, and as
// many that are known to have failed.
const MaxSet = 2 * MaxRing

// Join is what a member that gathers a ring says about the others.
type Join struct {
	Node    uint64  // FNV-1a, 64 bits, of the configured name; 0: it has none
	Started uint64  // which of two members of one node is the newer
	RingSeq uint64  // the largest ring sequence that the transmitter knows, at most MaxRingSeq
	Counter uint64  // counts the transmitter's Joins
	Proc    Members // at most MaxSet members that it knows of
	Fail    Members // at most MaxSet members that it holds failed
}

// JoinMax is the length of the longest join frame in bytes.
const (
	JoinMax = 4 + joinHead + 2*(3+16*MaxSet)

	joinHead = 4 * 9
)

// AppendJoin appends j as one frame. It checks nothing.
func AppendJoin(dst []byte, j *Join) []byte {
	n := joinHead + 2 + varintLen(len(j.Proc)) + len(j.Proc) + varintLen(len(j.Fail)) + len(j.Fail)
	dst = appendLength(append(dst, 0xA2, 0x01), n)
	dst = appendFixed64(dst, 1, j.Node)
	dst = appendFixed64(dst, 2, j.Started)
	dst = appendFixed64(dst, 3, j.RingSeq)
	dst = appendFixed64(dst, 4, j.Counter)
	dst = appendBytes(dst, 5, j.Proc)
	return appendBytes(dst, 6, j.Fail)
}

// Join reads a frame of kind FrameJoin. Its sets are lent with the datagram.
func (f *Frame) Join() Join {
	if f.canonical {
		j, _ := loadJoin(f.body)
		return j
	}
	j, _ := scanJoin(f.body)
	return j
}

func (j *Join) inRange() bool {
	return j.RingSeq <= MaxRingSeq && j.Proc.valid(MaxSet) && j.Fail.valid(MaxSet)
}

func isCanonicalJoin(b []byte) bool {
	if len(b) < joinHead+4 || b[0] != 0x09 || b[9] != 0x11 || b[18] != 0x19 || b[27] != 0x21 {
		return false
	}
	j, ok := loadJoin(b)
	return ok && j.inRange()
}

func loadJoin(b []byte) (j Join, ok bool) {
	_ = b[joinHead]
	j = Join{
		Node:    binary.LittleEndian.Uint64(b[1:]),
		Started: binary.LittleEndian.Uint64(b[10:]),
		RingSeq: binary.LittleEndian.Uint64(b[19:]),
		Counter: binary.LittleEndian.Uint64(b[28:]),
	}
	proc, rest, ok := canonicalBytes(b[joinHead:], 5)
	if !ok {
		return j, false
	}
	fail, rest, ok := canonicalBytes(rest, 6)
	j.Proc, j.Fail = proc, fail
	return j, ok && len(rest) == 0
}

func scanJoin(b []byte) (j Join, err error) {
	const required = 1<<7 - 1<<1
	seen := 0
	s := scanner{rest: b}
	for s.next() {
		switch {
		case s.is(1, typeFixed64):
			j.Node = s.value
		case s.is(2, typeFixed64):
			j.Started = s.value
		case s.is(3, typeFixed64):
			j.RingSeq = s.value
		case s.is(4, typeFixed64):
			j.Counter = s.value
		case s.is(5, typeBytes):
			j.Proc = s.bytes
		case s.is(6, typeBytes):
			j.Fail = s.bytes
		default:
			continue
		}
		seen |= 1 << s.field
	}
	switch {
	case s.bad || seen != required:
		return j, ErrMalformed
	case !j.inRange():
		return j, ErrRange
	}
	return j, nil
}
