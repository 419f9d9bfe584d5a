package wire

import "encoding/binary"

// Notice is a short report about a ring.
type Notice struct {
	Ring RingID
	Kind NoticeKind // 1 or more

	Standing Standing
}

// NoticeKind is what a Notice is about. Values that are not listed are from newer members.
type NoticeKind uint32

// The kinds.
const (
	MergeDetect NoticeKind = 1 // such a ring exists
	HoldCancel  NoticeKind = 2 // a message waits: do not hold the token
)

// NoticeLen is the length of a notice frame in bytes, without a Standing.
const (
	NoticeLen = 3 + noticeBody

	noticeBody = 18 + 9 + 5
)

var noticeLayout = newLayout(noticeInRange,
	memberID,       // rep
	fixed64,        // ring_seq
	fixed32,        // kind
	optional(blob), // standing
).withExact(func(p *parts) bool { return plainPadding(p.bytes[0]) })

// AppendNotice appends n as one frame. It checks nothing.
func AppendNotice(dst []byte, n Notice) []byte {
	dst = appendLength(append(dst, 0xB2, 0x01), noticeBody+n.Standing.fieldLen())
	dst = appendMember(dst, 1, n.Ring.Rep)
	dst = appendFixed64(dst, 2, n.Ring.Seq)
	dst = appendFixed32(dst, 3, uint32(n.Kind))
	return n.Standing.append(dst, 4)
}

// Notice reads a frame of kind FrameNotice.
func (f *Frame) Notice() Notice { return loadNotice(&f.parts) }

func noticeInRange(p *parts) bool {
	if !standingInRange(p.bytes[0]) {
		return false
	}
	n := loadNotice(p)
	return n.Ring.Seq >= 1 && n.Ring.Seq <= MaxRingSeq && n.Kind >= 1
}

func loadNotice(p *parts) Notice {
	b := p.head
	_ = b[noticeBody-1]
	return Notice{
		Ring: RingID{Rep: MemberID(b[2:]), Seq: binary.LittleEndian.Uint64(b[19:])},
		Kind: NoticeKind(binary.LittleEndian.Uint32(b[28:])), Standing: loadStanding(p.bytes[0]),
	}
}
