package wire

import (
	"encoding/binary"
	"math"
)

// MaxWanted is how many numbers a Token asks for at most.
const MaxWanted = 64

// Token is the token of a ring.
type Token struct {
	Ring     RingID
	TokenSeq uint64   // counts the hops, at most 2^64-2
	Seq      uint64   // highest number given to a Data, at most 2^64-2
	Aru      uint64   // all received up to, at most Seq
	AruID    MemberID // who lowered it; zero: nobody
	FCC      uint32   // datagrams sent in the last rotation
	Backlog  uint32   // datagrams waiting in the ring
	Recovery bool     // recovery messages are still to be sent
	Wanted   Numbers  // 0..MaxWanted numbers that somebody lacks, each 1..Seq
}

// TokenMax is the length of the longest token frame in bytes.
const (
	TokenMax = 4 + tokenHead + 3 + 8*MaxWanted

	tokenHead = 18 + 4*9 + 18 + 3*5
)

// AppendToken appends t as one frame. It checks nothing: a receiver refuses values outside
// their bounds.
func AppendToken(dst []byte, t *Token) []byte {
	n := tokenHead + 1 + varintLen(len(t.Wanted)) + len(t.Wanted)
	dst = appendLength(append(dst, 0x9A, 0x01), n)
	dst = appendMember(dst, 1, t.Ring.Rep)
	dst = appendFixed64(dst, 2, t.Ring.Seq)
	dst = appendFixed64(dst, 3, t.TokenSeq)
	dst = appendFixed64(dst, 4, t.Seq)
	dst = appendFixed64(dst, 5, t.Aru)
	dst = appendMember(dst, 6, t.AruID)
	dst = appendFixed32(dst, 7, t.FCC)
	dst = appendFixed32(dst, 8, t.Backlog)
	flags := uint32(0)
	if t.Recovery {
		flags = 1
	}
	dst = appendFixed32(dst, 9, flags)
	return appendBytes(dst, 10, t.Wanted)
}

// Token reads a frame of kind FrameToken. Wanted is lent with the datagram.
func (f *Frame) Token() Token {
	if f.canonical {
		t, _ := loadToken(f.body)
		return t
	}
	t, _ := scanToken(f.body)
	return t
}

func (t *Token) inRange() bool {
	if t.Ring.Seq < 1 || t.Ring.Seq > MaxRingSeq || t.TokenSeq == math.MaxUint64 || t.Seq == math.MaxUint64 ||
		t.Aru > t.Seq || len(t.Wanted)%8 != 0 || len(t.Wanted) > 8*MaxWanted {
		return false
	}
	for i := range t.Wanted.Len() {
		if n := t.Wanted.At(i); n < 1 || n > t.Seq {
			return false
		}
	}
	return true
}

func isCanonicalToken(b []byte) bool {
	if len(b) < tokenHead+2 || b[0] != 0x0A || b[1] != memberLen || b[18] != 0x11 || b[27] != 0x19 || b[36] != 0x21 ||
		b[45] != 0x29 || b[54] != 0x32 || b[55] != memberLen || b[72] != 0x3D || b[77] != 0x45 || b[82] != 0x4D {
		return false
	}
	t, ok := loadToken(b)
	return ok && t.inRange() && binary.LittleEndian.Uint32(b[83:])&^1 == 0
}

func loadToken(b []byte) (t Token, ok bool) {
	_ = b[tokenHead]
	t = Token{
		Ring:     RingID{Rep: MemberID(b[2:]), Seq: binary.LittleEndian.Uint64(b[19:])},
		TokenSeq: binary.LittleEndian.Uint64(b[28:]),
		Seq:      binary.LittleEndian.Uint64(b[37:]),
		Aru:      binary.LittleEndian.Uint64(b[46:]),
		AruID:    MemberID(b[56:]),
		FCC:      binary.LittleEndian.Uint32(b[73:]),
		Backlog:  binary.LittleEndian.Uint32(b[78:]),
		Recovery: binary.LittleEndian.Uint32(b[83:])&1 != 0,
	}
	wanted, rest, ok := canonicalBytes(b[tokenHead:], 10)
	t.Wanted = wanted
	return t, ok && len(rest) == 0
}

func scanToken(b []byte) (t Token, err error) {
	const required = 1<<11 - 1<<1
	seen := 0
	var rep, aru []byte
	s := scanner{rest: b}
	for s.next() {
		switch {
		case s.is(1, typeBytes):
			rep = s.bytes
		case s.is(2, typeFixed64):
			t.Ring.Seq = s.value
		case s.is(3, typeFixed64):
			t.TokenSeq = s.value
		case s.is(4, typeFixed64):
			t.Seq = s.value
		case s.is(5, typeFixed64):
			t.Aru = s.value
		case s.is(6, typeBytes):
			aru = s.bytes
		case s.is(7, typeFixed32):
			t.FCC = uint32(s.value)
		case s.is(8, typeFixed32):
			t.Backlog = uint32(s.value)
		case s.is(9, typeFixed32):
			t.Recovery = s.value&1 != 0
		case s.is(10, typeBytes):
			t.Wanted = s.bytes
		default:
			continue
		}
		seen |= 1 << s.field
	}
	switch {
	case s.bad || seen != required:
		return t, ErrMalformed
	case len(rep) != memberLen || len(aru) != memberLen || !t.inRange():
		return t, ErrRange
	}
	t.Ring.Rep, t.AruID = MemberID(rep), MemberID(aru)
	return t, nil
}
