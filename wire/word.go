package wire

import "encoding/binary"

// Word is a report about other members, to all. It is about one or more.
type Word struct {
	Count int // 1..MaxAbout

	lists []byte
}

// About is the part of a Word that is about one member.
type About struct {
	ID          MemberID
	Incarnation uint32
	Kind        AboutKind
	Age         uint32 // µs, of a vouch: since the transmitter itself received something of the member; else 0
}

// AboutKind is what an About reports: 1 or more. Values that are not listed are from newer members.
type AboutKind uint32

// The kinds.
const (
	AboutDoubt   AboutKind = 1 // nothing has come from the member for long
	AboutVouch   AboutKind = 2 // the transmitter has received from the member
	AboutVerdict AboutKind = 3 // the transmitter has removed the member as failed
	AboutLeft    AboutKind = 4 // the member has left, by its own word
	AboutLeave   AboutKind = 5 // the transmitter, which is the member, leaves
)

// MaxAbout is how many members a Word is about at most.
const MaxAbout = 64

// Lengths in bytes: of an About inside a Word, and of what a Word has besides, at most.
const (
	AboutLen     = 2 + aboutBody
	WordOverhead = 2 + 3

	aboutBody = 18 + 3*5
)

var wordLayout = newLayout(wordInRange,
	listed, // about
).withNested(MaxAbout, canonicalAbout, judgeAbout)

// AppendWord appends a Word about these members as one frame. The caller gives 1..MaxAbout.
func AppendWord(dst []byte, about []About) []byte {
	dst = appendLength(append(dst, 0xFA, 0x01), len(about)*AboutLen)
	for i := range about {
		a := &about[i]
		dst = append(dst, 1<<3|typeBytes, aboutBody)
		dst = appendMember(dst, 1, a.ID)
		dst = appendFixed32(dst, 2, a.Incarnation)
		dst = appendFixed32(dst, 3, uint32(a.Kind))
		dst = appendFixed32(dst, 4, a.Age)
	}
	return dst
}

// Word reads a frame of kind FrameWord. What it is about is lent with the datagram.
func (f *Frame) Word() Word { return Word{Count: int(f.parts.count), lists: f.lists} }

func wordInRange(p *parts) bool { return p.count >= 1 }

// About iterates over the members that the Word is about.
func (w *Word) About() AboutIter { return AboutIter{rest: w.lists} }

// AboutIter is one walk over the members of a Word.
type AboutIter struct{ rest []byte }

// Next is the next About. It is not ok at the end.
func (it *AboutIter) Next() (a About, ok bool) {
	b, ok := nextMessage(&it.rest, 1)
	if !ok {
		return a, false
	}
	if isAbout(b) {
		return loadAbout(b), true
	}
	a, err := scanAbout(b)
	return a, err == nil
}

// nextMessage takes the next field with this number, of bytes, out of rest. It is not ok at the end.
func nextMessage(rest *[]byte, number byte) (b []byte, ok bool) {
	if b, after, ok := canonicalBytes(*rest, number); ok {
		*rest = after
		return b, true
	}
	s := scanner{rest: *rest}
	for s.next() {
		if s.is(uint32(number), typeBytes) {
			*rest = s.rest
			return s.bytes, true
		}
	}
	*rest = nil
	return nil, false
}

func canonicalAbout(b []byte, _ uint32) (uint32, bool) {
	return 0, isAbout(b) && loadAbout(b).Kind >= 1
}

func judgeAbout(b []byte, _ uint32) (uint32, error) {
	_, err := scanAbout(b)
	return 0, err
}

// isAbout reports whether b is an About in the canonical layout.
func isAbout(b []byte) bool {
	return len(b) == aboutBody && b[0] == 1<<3|typeBytes && b[1] == memberLen &&
		b[18] == 2<<3|typeFixed32 && b[23] == 3<<3|typeFixed32 && b[28] == 4<<3|typeFixed32
}

func loadAbout(b []byte) About {
	_ = b[aboutBody-1]
	return About{
		ID:          MemberID(b[2:]),
		Incarnation: binary.LittleEndian.Uint32(b[19:]),
		Kind:        AboutKind(binary.LittleEndian.Uint32(b[24:])),
		Age:         binary.LittleEndian.Uint32(b[29:]),
	}
}

// scanAbout reads an About in any layout, and checks it.
func scanAbout(b []byte) (a About, err error) {
	seen := uint32(0)
	var id []byte
	s := scanner{rest: b}
	for s.next() {
		switch {
		case s.is(1, typeBytes):
			id = s.bytes
		case s.is(2, typeFixed32):
			a.Incarnation = uint32(s.value)
		case s.is(3, typeFixed32):
			a.Kind = AboutKind(s.value)
		case s.is(4, typeFixed32):
			a.Age = uint32(s.value)
		default:
			continue
		}
		seen |= 1 << s.field
	}
	switch {
	case s.bad || seen != 1<<1|1<<2|1<<3|1<<4:
		return a, ErrMalformed
	case len(id) != memberLen || a.Kind < 1:
		return a, ErrRange
	}
	a.ID = MemberID(id)
	return a, nil
}
