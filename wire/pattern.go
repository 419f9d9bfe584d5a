package wire

import "encoding/binary"

// Pattern is what a datagram looked like that carried one whole message, up to the payload. The
// next one of a stream whose messages have one topic and one length looks the same but for its
// CRC, its two numbers and its payload, so that a comparison takes the place of decoding: what V.
// Jacobson's header prediction is to TCP (4BSD Header Prediction, ACM CCR 20-2, 1990). The zero
// value matches nothing.
type Pattern struct {
	size     int // bytes of the datagram
	number   int // where Data.number lies
	topic    int // where the topic lies
	topicLen int
	payload  int // where the payload begins
	kind     Kind

	image [patternMax]byte // of the datagram; compared but for the CRC and the numbers
}

// patternMax is the longest beginning of a datagram that is compared, in bytes: a topic of some 50.
const patternMax = 128

// Learn takes the layout of b, which Decode has read into d without error. It is false, and the
// Pattern unchanged, when b is not what a Pattern describes: a canonical datagram with nothing but
// one whole message, whose topic is not too long and whose payload is not empty.
func (p *Pattern) Learn(b []byte, d *Datagram) bool {
	if !d.Canonical || d.n != 1 || d.frames[0].Kind != FrameData || d.frames[0].count != 1 {
		return false
	}
	m := d.frames[0].Data()
	it := m.Messages()
	if m.Fragment || !it.Step() || len(it.Payload) == 0 {
		return false
	}
	payload := len(b) - len(it.Payload) // canonical: nothing comes behind it
	_, size := shortVarint(b[HeaderLen+1:])
	body := HeaderLen + 1 + size
	_, size = shortVarint(b[body+dataHead+1:])
	field := body + dataHead + 1 + size // tag, length and characters of the topic
	_, size = shortVarint(b[field+1:])
	if payload > patternMax {
		return false
	}
	p.size, p.number, p.payload, p.kind = len(b), body+1, payload, it.Kind
	p.topic, p.topicLen = field+1+size, len(it.Topic)
	copy(p.image[:], b[:payload])
	return true
}

// Matches reports whether b is a valid datagram that differs from the one that was learned in its
// CRC, its numbers and its payload only. Data.Number and Data.FirstMessage may have any value.
func (p *Pattern) Matches(b []byte) bool {
	return len(b) == p.size && p.size > 0 &&
		string(b[p.number+17:p.payload]) == string(p.image[p.number+17:p.payload]) &&
		string(b[atTransmitter:p.number]) == string(p.image[atTransmitter:p.number]) &&
		string(b[:atCRC+1]) == string(p.image[:atCRC+1]) &&
		b[p.number+8] == p.image[p.number+8] &&
		checkCanonical(b) == nil
}

// Numbers are Data.Number and Data.FirstMessage of b, which is as long as what was learned.
func (p *Pattern) Numbers(b []byte) (number, first uint64) {
	return binary.LittleEndian.Uint64(b[p.number:]), binary.LittleEndian.Uint64(b[p.number+9:])
}

// Message lends the parts of b, which Matches.
func (p *Pattern) Message(b []byte) (topic []byte, kind Kind, payload []byte) {
	return b[p.topic : p.topic+p.topicLen : p.topic+p.topicLen], p.kind, b[p.payload:len(b):len(b)]
}

// Size is the length of what was learned, in bytes; 0 before.
func (p *Pattern) Size() int { return p.size }
