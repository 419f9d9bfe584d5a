package wire

import "math"

// MaxFrames is the most frames that one datagram may have.
const MaxFrames = 16

// MaxDatagram is the longest datagram, in bytes, that this package writes: what fits into UDP
// over IPv4.
const MaxDatagram = 65507

// Field numbers of the frames in a Datagram, and with them their canonical order.
const (
	fieldData      = 12
	fieldNak       = 13
	fieldHeartbeat = 14
	fieldStatus    = 15
	fieldStart     = 16
	fieldLeave     = 17
	fieldRing      = 18
	fieldToken     = 19
	fieldJoin      = 20
	fieldCommit    = 21
	fieldNotice    = 22
	fieldRepair    = 24
	fieldSymbolNak = 25
	fieldPair      = 23
	fieldPairAck   = 26
	fieldBeat      = 27
	fieldHello     = 28
	fieldMembers   = 29
	fieldProbe     = 30
	fieldWord      = 31
)

// FrameKind is what a frame is. Its value is the frame's field number in Datagram.
type FrameKind uint8

// The kinds of frames.
const (
	FrameData      FrameKind = fieldData
	FrameNak       FrameKind = fieldNak
	FrameHeartbeat FrameKind = fieldHeartbeat
	FrameStatus    FrameKind = fieldStatus
	FrameStart     FrameKind = fieldStart
	FrameLeave     FrameKind = fieldLeave
	FrameRing      FrameKind = fieldRing
	FrameToken     FrameKind = fieldToken
	FrameJoin      FrameKind = fieldJoin
	FrameCommit    FrameKind = fieldCommit
	FrameNotice    FrameKind = fieldNotice
	FrameRepair    FrameKind = fieldRepair
	FrameSymbolNak FrameKind = fieldSymbolNak
	FramePair      FrameKind = fieldPair
	FramePairAck   FrameKind = fieldPairAck
	FrameBeat      FrameKind = fieldBeat
	FrameHello     FrameKind = fieldHello
	FrameMembers   FrameKind = fieldMembers
	FrameProbe     FrameKind = fieldProbe
	FrameWord      FrameKind = fieldWord
)

// maxFrame is the largest field number that a frame can have: the last one that frameAt's fast path
// reaches.
const maxFrame = 31

// layouts has the layout of each kind of frame but Data.
var layouts = [maxFrame + 1]*layout{
	FrameNak:       nakLayout,
	FrameHeartbeat: heartbeatLayout,
	FrameStatus:    statusLayout,
	FrameStart:     startLayout,
	FrameLeave:     leaveLayout,
	FrameRing:      ringLayout,
	FrameToken:     tokenLayout,
	FrameJoin:      joinLayout,
	FrameCommit:    commitLayout,
	FrameNotice:    noticeLayout,
	FrameRepair:    repairLayout,
	FrameSymbolNak: symbolNakLayout,
	FramePair:      pairLayout,
	FramePairAck:   pairAckLayout,
	FrameBeat:      beatLayout,
	FrameHello:     helloLayout,
	FrameMembers:   membersLayout,
	FrameProbe:     probeLayout,
	FrameWord:      wordLayout,
}

// isFrame reports whether a field of a Datagram is a frame that this build knows.
func isFrame(field uint32) bool {
	return field <= maxFrame && layouts[field] != nil || field == fieldData
}

// Datagram is one decoded datagram. It is large: keep one and decode into it again and again.
type Datagram struct {
	Header
	Canonical bool // laid out as this package writes it; the fast path took it

	n       int
	frames  [MaxFrames]Frame
	scratch [MaxFrames]scratch // of frames that are not canonical
}

// Frames lends the frames in their order on the wire, until the next Decode into d.
// Generated code that writes a datagram puts equal kinds together, so the order means
// nothing beyond one kind.
func (d *Datagram) Frames() []Frame { return d.frames[:d.n] }

// Frame is one frame of a decoded datagram. The method that its Kind names reads it; that
// cannot fail, because Decode has looked at every byte. Another method may panic.
type Frame struct {
	Kind      FrameKind
	canonical bool
	count     uint16 // messages of a canonical Data
	at        uint16 // where the body of a canonical Data begins in the datagram; 0: not known
	parts            // lent with the datagram; of a Data only head, which is the frame's message
}

// pairs returns fields of the frame from the first pair on, or earlier. head is the length of the
// head.
func (f *Frame) pairs(head int) []byte {
	if f.canonical {
		return f.head[head:]
	}
	return f.lists
}

// Decode reads b into d: the header, its CRC, every frame and every packed message, so that
// what d hands out later needs no check. It compares no cluster; the caller does. d keeps parts
// of b, which must stay as it is while d is used. Nothing is allocated.
//
// It fails with ErrMalformed, ErrRange, ErrVersion or ErrChecksum; then d is unspecified.
// Version and CRC are judged before frames are. Unknown fields and frames
// are skipped.
func Decode(b []byte, d *Datagram) error {
	d.n = 0
	if !isCanonicalHeader(b) {
		return d.decodeOther(b)
	}
	if err := checkCanonical(b); err != nil {
		return err
	}
	return d.decodeFrames(b)
}

// DecodeAgain is Decode without the CRC, which is half of the work: for a datagram that Decode has
// taken before, or that was written here, and that has been in safe keeping since.
func DecodeAgain(b []byte, d *Datagram) error {
	if !isCanonicalHeader(b) {
		return Decode(b, d)
	}
	d.n = 0
	return d.decodeFrames(b)
}

// decodeFrames takes a datagram whose header is canonical and was judged.
func (d *Datagram) decodeFrames(b []byte) error {
	d.Header.load(b)
	d.Canonical = true

	last := FrameKind(0)
	for p := HeaderLen; p < len(b); {
		kind, begin, end := frameAt(b, p)
		if kind == 0 {
			return d.decodeRest(b[p:])
		}
		if err := d.add(kind, b[begin:end:end]); err != nil {
			return err
		}
		if end <= math.MaxUint16 {
			d.frames[d.n-1].at = uint16(begin)
		}
		if kind < last {
			d.Canonical = false
		}
		last, p = kind, end
	}
	return nil
}

// frameAt finds the frame whose canonical tag and length lie at b[p]. Its body is b[begin:end].
// The kind is zero for anything else, which the general path has to look at.
func frameAt(b []byte, p int) (kind FrameKind, begin, end int) {
	tag := b[p]
	p++
	switch {
	case tag&^0x18 == fieldData<<3|typeBytes: // 0x62, 0x6A, 0x72 and 0x7A
		kind = FrameKind(tag >> 3)
		if p < len(b) && b[p] < 0x80 && int(b[p]) < len(b)-p {
			return kind, p + 1, p + 1 + int(b[p])
		}
	case tag&0x87 == 0x82 && isFrame(fieldStart+uint32(tag>>3&0xF)) && p < len(b) && b[p] == 0x01: // 0x82, 0x8A … 0xFA
		kind = fieldStart + FrameKind(tag>>3&0xF)
		p++
	default:
		return 0, 0, 0
	}
	n, size := shortVarint(b[p:])
	begin = p + size
	if size == 0 || n > len(b)-begin {
		return 0, 0, 0
	}
	return kind, begin, begin + n
}

// First is the length of the first datagram in a packet. That is less than len(b) where the packet is several datagrams in a
// row, as segmentation offload leaves them: then a field of the header comes a second time, which is in no datagram. It
// follows the lengths of the fields and checks nothing else. A packet that is malformed, or begins with a frame, counts as
// one datagram.
func First(b []byte) int {
	if !isCanonicalHeader(b) {
		return firstOther(b)
	}
	for p := HeaderLen; p < len(b); {
		if b[p] == tagVersion {
			return p
		}
		kind, _, end := frameAt(b, p)
		if kind == 0 {
			return firstOther(b)
		}
		p = end
	}
	return len(b)
}

// firstOther is First for any layout.
func firstOther(b []byte) int {
	s := scanner{rest: b}
	if !s.next() || !s.isHeaderField() {
		return len(b)
	}
	field, typ := s.field, s.typ
	for {
		at := len(b) - len(s.rest)
		switch {
		case !s.next():
			return len(b)
		case s.is(field, typ):
			if at < HeaderLen { // no datagram is that short
				return len(b)
			}
			return at
		}
	}
}

// add checks one frame and appends it.
func (d *Datagram) add(kind FrameKind, body []byte) error {
	if d.n == MaxFrames {
		return ErrRange
	}
	f := &d.frames[d.n]
	f.Kind, f.at = kind, 0
	if kind == FrameData {
		f.head = body
		count := canonicalData(body)
		f.canonical, f.count = count > 0, uint16(count)
		if !f.canonical {
			d.Canonical = false
			if _, err := scanData(body); err != nil {
				return err
			}
		}
	} else {
		l := layouts[kind&maxFrame]
		f.canonical = l.split(body, &f.parts)
		if !f.canonical {
			d.Canonical = false
			if err := l.scan(body, &f.parts, &d.scratch[d.n]); err != nil {
				return err
			}
		}
	}
	d.n++
	return nil
}

// decodeOther takes a datagram whose header is not canonical.
func (d *Datagram) decodeOther(b []byte) error {
	if err := d.Header.scan(b); err != nil {
		return err
	}
	s := scanner{rest: b}
	return d.scanFrames(&s, true)
}

// decodeRest takes what follows a canonical header and canonical frames, when it begins with
// something else.
func (d *Datagram) decodeRest(b []byte) error {
	s := scanner{rest: b}
	return d.scanFrames(&s, false)
}

// scanFrames adds the frames among the fields of s. The fields of the header are passed over
// where they belong, and malformed where they come a second time.
func (d *Datagram) scanFrames(s *scanner, header bool) error {
	d.Canonical = false
	for s.next() {
		switch {
		case s.typ == typeBytes && isFrame(s.field):
			if err := d.add(FrameKind(s.field), s.bytes); err != nil {
				return err
			}
		case !header && s.isHeaderField():
			return ErrMalformed
		}
	}
	if s.bad {
		return ErrMalformed
	}
	return nil
}
