package wire

import "encoding/binary"

// Probe is a question to one member, or an answer.
type Probe struct {
	To          MemberID // the member that it is for
	Kind        ProbeKind
	Incarnation uint32
	Nonce       uint64 // an answer returns that of the question
}

// ProbeKind is what a Probe asks or answers: 1 or more. Values that are not listed are from newer members.
type ProbeKind uint32

// The kinds, and whose incarnation a Probe of this kind carries.
const (
	ProbeThere   ProbeKind = 1 // are you there? That of the transmitter
	ProbeHere    ProbeKind = 2 // I am. That of the member that answers
	ProbeAmIIn   ProbeKind = 3 // do you have me in your table? That of the transmitter
	ProbeIn      ProbeKind = 4 // you are in my table. That of To, as known
	ProbeRemoved ProbeKind = 5 // you were removed. That of To, as known
	ProbeRecord  ProbeKind = 6 // send your record. That of the transmitter
	ProbeNotTo   ProbeKind = 7 // I am not the member that was asked. That of the member that answers
)

// ProbeLen is the length of a probe frame in bytes.
const (
	ProbeLen = 3 + probeBody

	probeBody = 18 + 2*5 + 9
)

var probeLayout = newLayout(probeInRange,
	memberID, // to
	fixed32,  // kind
	fixed32,  // incarnation
	fixed64,  // nonce
)

// AppendProbe appends p as one frame. It checks nothing.
func AppendProbe(dst []byte, p Probe) []byte {
	dst = append(dst, 0xF2, 0x01, probeBody)
	dst = appendMember(dst, 1, p.To)
	dst = appendFixed32(dst, 2, uint32(p.Kind))
	dst = appendFixed32(dst, 3, p.Incarnation)
	return appendFixed64(dst, 4, p.Nonce)
}

// Probe reads a frame of kind FrameProbe.
func (f *Frame) Probe() Probe { return loadProbe(&f.parts) }

func probeInRange(p *parts) bool { return loadProbe(p).Kind >= 1 }

func loadProbe(p *parts) Probe {
	b := p.head
	_ = b[probeBody-1]
	return Probe{
		To:          MemberID(b[2:]),
		Kind:        ProbeKind(binary.LittleEndian.Uint32(b[19:])),
		Incarnation: binary.LittleEndian.Uint32(b[24:]),
		Nonce:       binary.LittleEndian.Uint64(b[29:]),
	}
}
