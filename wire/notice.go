package wire

import "encoding/binary"

// Notice is a word about a ring.
type Notice struct {
	Ring RingID
	Kind NoticeKind // 1 or more
}

// NoticeKind says what a Notice tells. Values that are not listed are from newer members.
type NoticeKind uint32

// The kinds.
const (
	MergeDetect NoticeKind = 1 // such a ring exists
	HoldCancel  NoticeKind = 2 // a message waits: do not hold the token
)

// NoticeLen is the length of a notice frame in bytes.
const (
	NoticeLen = 3 + noticeBody

	noticeBody = 18 + 9 + 5
)

// AppendNotice appends n as one frame. It checks nothing.
func AppendNotice(dst []byte, n Notice) []byte {
	dst = append(dst, 0xB2, 0x01, noticeBody)
	dst = appendMember(dst, 1, n.Ring.Rep)
	dst = appendFixed64(dst, 2, n.Ring.Seq)
	return appendFixed32(dst, 3, uint32(n.Kind))
}

// Notice reads a frame of kind FrameNotice.
func (f *Frame) Notice() Notice {
	if f.canonical {
		return loadNotice(f.body)
	}
	n, _ := scanNotice(f.body)
	return n
}

func (n *Notice) inRange() bool {
	return n.Ring.Seq >= 1 && n.Ring.Seq <= MaxRingSeq && n.Kind >= 1
}

func isCanonicalNotice(b []byte) bool {
	if len(b) != noticeBody || b[0] != 0x0A || b[1] != memberLen || b[18] != 0x11 || b[27] != 0x1D {
		return false
	}
	n := loadNotice(b)
	return n.inRange()
}

func loadNotice(b []byte) Notice {
	_ = b[noticeBody-1]
	return Notice{
		Ring: RingID{Rep: MemberID(b[2:]), Seq: binary.LittleEndian.Uint64(b[19:])},
		Kind: NoticeKind(binary.LittleEndian.Uint32(b[28:])),
	}
}

func scanNotice(b []byte) (n Notice, err error) {
	const required = 1<<4 - 1<<1
	seen := 0
	var rep []byte
	s := scanner{rest: b}
	for s.next() {
		switch {
		case s.is(1, typeBytes):
			rep = s.bytes
		case s.is(2, typeFixed64):
			n.Ring.Seq = s.value
		case s.is(3, typeFixed32):
			n.Kind = NoticeKind(s.value)
		default:
			continue
		}
		seen |= 1 << s.field
	}
	switch {
	case s.bad || seen != required:
		return n, ErrMalformed
	case len(rep) != memberLen || !n.inRange():
		return n, ErrRange
	}
	n.Ring.Rep = MemberID(rep)
	return n, nil
}
