package wire

import (
	"encoding/binary"
	"math"
)

// MaxWanted is the most numbers that a Token asks for.
const MaxWanted = 64

// Token is the token of a ring.
type Token struct {
	Ring     RingID
	TokenSeq uint64   // counts the hops, at most 2^64-2
	Seq      uint64   // highest number given to a Data, at most 2^64-2
	Aru      uint64   // all received up to, at most Seq
	AruID    MemberID // the member that lowered it; zero: none
	FCC      uint32   // datagrams sent in the last rotation
	Backlog  uint32   // datagrams waiting in the ring
	Recovery bool     // recovery messages are still to be sent
	Wanted   Numbers  // 0..MaxWanted numbers that a member lacks, each 1..Seq
}

// TokenMax is the length of the longest token frame in bytes.
const (
	TokenMax = 4 + tokenHead + 3 + 8*MaxWanted

	tokenHead = 18 + 4*9 + 18 + 3*5
)

var tokenLayout = newLayout(tokenInRange,
	memberID, // rep
	fixed64,  // ring_seq
	fixed64,  // token_seq
	fixed64,  // seq
	fixed64,  // aru
	memberID, // aru_id
	fixed32,  // fcc
	fixed32,  // backlog
	flags(1), // flags
	blob,     // rtr
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
func (f *Frame) Token() Token { return loadToken(&f.parts) }

func tokenInRange(p *parts) bool {
	b := p.head
	_ = b[tokenHead-1]
	ringSeq, tokenSeq := binary.LittleEndian.Uint64(b[19:]), binary.LittleEndian.Uint64(b[28:])
	seq, aru := binary.LittleEndian.Uint64(b[37:]), binary.LittleEndian.Uint64(b[46:])
	wanted := Numbers(p.bytes[0])
	if ringSeq < 1 || ringSeq > MaxRingSeq || tokenSeq == math.MaxUint64 || seq == math.MaxUint64 ||
		aru > seq || len(wanted)%8 != 0 || len(wanted) > 8*MaxWanted {
		return false
	}
	for i := range wanted.Len() {
		if n := wanted.At(i); n < 1 || n > seq {
			return false
		}
	}
	return true
}

func loadToken(p *parts) Token {
	b := p.head
	_ = b[tokenHead-1]
	return Token{
		Ring:     RingID{Rep: MemberID(b[2:]), Seq: binary.LittleEndian.Uint64(b[19:])},
		TokenSeq: binary.LittleEndian.Uint64(b[28:]),
		Seq:      binary.LittleEndian.Uint64(b[37:]),
		Aru:      binary.LittleEndian.Uint64(b[46:]),
		AruID:    MemberID(b[56:]),
		FCC:      binary.LittleEndian.Uint32(b[73:]),
		Backlog:  binary.LittleEndian.Uint32(b[78:]),
		Recovery: binary.LittleEndian.Uint32(b[83:])&1 != 0,
		Wanted:   p.bytes[0],
	}
}
