package wire

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// Bounds of what a Data carries.
const (
	MaxMessages = 1024 // messages in one Data
	MaxTopic    = 255  // bytes of a topic
	MaxKind     = 127  // largest Kind
)

// Data carries messages of the header's stream, packed, or one fragment of one message.
type Data struct {
	Number       uint64 // datagram number, 1..2^64-2
	FirstMessage uint64 // message number of the first message; FirstMessage+Count is at most 2^64-1
	Fragment     bool   // the one message is a part of message FirstMessage
	place        Place  // here it costs no byte: Data fills a cache line
	Offset       uint32 // of a fragment: bytes of payload before this part
	Size         uint32 // of a fragment: bytes of the whole payload; the part lies inside
	Count        int    // messages, 1..MaxMessages

	packed []byte // fields of the Data, from the first message on or earlier
}

// Packed is one message, or one fragment of one. The slices are lent with the datagram.
type Packed struct {
	Topic   []byte // 1..MaxTopic bytes of UTF-8; that of an earlier message where the wire leaves it out
	Kind    Kind   // 0..MaxKind
	Payload []byte
}

// Messages iterates over the messages, without allocating.
func (d *Data) Messages() MessageIter { return MessageIter{b: d.packed} }

// MessageIter is one walk over the messages of a Data:
//
//	it := data.Messages()
//	for it.Step() {
//		use(it.Topic, it.Kind, it.Payload)
//	}
//
// (A variable of the for statement itself would be copied at each turn.)
type MessageIter struct {
	Packed        // the current message
	b      []byte // fields of a Data
	at     int    // where the next one begins in b
}

// Tags inside a Data and inside a Packed.
const (
	tagPacked  = 4<<3 | typeBytes  // Data.messages, 0x22
	tagTopic   = 1<<3 | typeBytes  // Packed.topic, 0x0A
	tagKind    = 2<<3 | typeVarint // Packed.kind, 0x10
	tagPayload = 3<<3 | typeBytes  // Packed.payload, 0x1A
)

// Next is Step for callers that want a copy of the message. Packed does not fit the registers, so
// that the copy takes longer than the step.
func (it *MessageIter) Next() (m Packed, ok bool) {
	ok = it.Step()
	return it.Packed, ok
}

// Step moves to the next message. It is false at the end.
func (it *MessageIter) Step() bool {
	// A small message with nothing but a payload: its two lengths differ by two.
	if b := it.b[it.at:]; len(b) >= 4 && b[0] == tagPacked && b[2] == tagPayload && b[3] == b[1]-2 && b[3] < 0x7E {
		if end := 4 + int(b[3]); end <= len(b) {
			it.at += end
			it.Kind, it.Payload = KindRaw, b[4:end:end]
			return true
		}
	}
	return it.step()
}

// step is Step for every other message, and in any layout.
func (it *MessageIter) step() bool {
	b := it.b[it.at:]
	if len(b) == 0 {
		return false
	}
	if b[0] == tagPacked {
		n, size := shortVarint(b[1:])
		end := 1 + size + n
		if size > 0 && end <= len(b) && it.load(b[1+size:end]) {
			it.at += end
			return true
		}
	}
	s := scanner{rest: b}
	for s.next() {
		if s.is(4, typeBytes) {
			it.at = len(it.b) - len(s.rest)
			return it.scan(s.bytes) == nil
		}
	}
	it.at = len(it.b)
	return false
}

// Data reads a frame of kind FrameData.
func (f *Frame) Data() Data {
	if !f.canonical {
		d, _ := scanData(f.head)
		return d
	}
	d := loadDataHead(f.head)
	d.Count = int(f.count)
	if f.at > 0 {
		d.place = Place{f.at, f.at + uint16(len(f.head)), f.count}
	}
	return d
}

// Place is where a Data lies in its datagram, and how many messages it has: what Decode found out, for a
// reader that keeps the datagram and reads it later. The zero Place says that this is not known.
type Place [3]uint16 // the begin and the end of its body, and the count

// Place is where d lies in the datagram that it was read from. It is zero for a Data that is not canonical.
func (d *Data) Place() Place { return d.place }

// Data reads the Data at p from b, which is the datagram that p was found in, or a copy of it. Nothing is
// checked again, as in DecodeAgain. It is false when p is zero: then the datagram has to be decoded.
func (p Place) Data(b []byte) (d Data, ok bool) {
	at, end, count := p[0], p[1], p[2]
	if count == 0 {
		return d, false
	}
	d = loadDataHead(b[at:end:end])
	d.Count, d.place = int(count), p
	return d, true
}

// Lengths of what precedes the messages in a canonical Data, in bytes.
const (
	dataHead     = 9 + 9
	fragmentHead = dataHead + 2 + 5 + 5
)

func isDataHead(b []byte) bool { return len(b) > dataHead && b[0] == 0x09 && b[9] == 0x11 }

func isFragmentHead(b []byte) bool {
	return len(b) > fragmentHead && b[18] == 0x1A && b[19] == 10 && b[20] == 0x0D && b[25] == 0x15
}

// loadDataHead reads all but Count from a canonical Data.
func loadDataHead(b []byte) Data {
	_ = b[dataHead]
	d := Data{
		Number:       binary.LittleEndian.Uint64(b[1:]),
		FirstMessage: binary.LittleEndian.Uint64(b[10:]),
		packed:       b[dataHead:],
	}
	if b[dataHead] != tagPacked {
		d.Fragment = true
		d.Offset = binary.LittleEndian.Uint32(b[21:])
		d.Size = binary.LittleEndian.Uint32(b[26:])
		d.packed = b[fragmentHead:]
	}
	return d
}

// canonicalData counts the messages of a valid canonical Data; 0 means that b is something
// else, which scanData has to judge.
func canonicalData(b []byte) (count int) {
	if !isDataHead(b) {
		return 0
	}
	p := dataHead
	fragment := b[p] != tagPacked
	if fragment {
		if !isFragmentHead(b) {
			return 0
		}
		p = fragmentHead
	}
	var m Packed
	for p < len(b) {
		// A small message with nothing but a payload, as in MessageIter.Next. The first
		// message has a topic, so it cannot be this one.
		if b := b[p:]; count > 0 && len(b) >= 4 && b[0] == tagPacked && b[2] == tagPayload && b[3] == b[1]-2 && b[3] < 0x7E && b[3] != 0 {
			count++
			p += 4 + int(b[3])
			continue
		}
		if b[p] != tagPacked {
			return 0
		}
		n, size := shortVarint(b[p+1:])
		p += 1 + size
		if size == 0 || n > len(b)-p {
			return 0
		}
		m.Topic = nil
		if !m.load(b[p:p+n]) || m.Topic == nil && count == 0 || !validText(m.Topic) {
			return 0
		}
		count++
		p += n
	}
	d := loadDataHead(b)
	d.Count = count
	if p != len(b) || !d.inRange(len(m.Payload)) {
		return 0
	}
	return count
}

// inRange judges all bounds but those of the messages. For a fragment, payload is the length of
// the part.
func (d *Data) inRange(payload int) bool {
	if d.Number < 1 || d.Number == math.MaxUint64 || d.Count > MaxMessages ||
		d.FirstMessage < 1 || d.FirstMessage > math.MaxUint64-uint64(d.Count) {
		return false
	}
	return !d.Fragment ||
		d.Count == 1 && payload >= 1 && uint64(d.Offset)+uint64(payload) <= uint64(d.Size)
}

// load reads a canonical message; it is false for every other layout. It checks all but the
// topic's characters, and leaves Topic as it is where the wire has none.
func (m *Packed) load(b []byte) bool {
	m.Kind, m.Payload = KindRaw, nil
	if len(b) > 0 && b[0] == tagTopic {
		n, size := shortVarint(b[1:])
		end := 1 + size + n
		if n < 1 || n > MaxTopic || end > len(b) {
			return false
		}
		m.Topic, b = b[1+size:end:end], b[end:]
	}
	if len(b) > 0 && b[0] == tagKind {
		if len(b) < 2 || b[1] == 0 || b[1] > MaxKind {
			return false
		}
		m.Kind, b = Kind(b[1]), b[2:]
	}
	if len(b) > 0 {
		if b[0] != tagPayload {
			return false
		}
		n, size := shortVarint(b[1:])
		if n < 1 || 1+size+n != len(b) {
			return false
		}
		m.Payload = b[1+size : len(b) : len(b)]
	}
	return true
}

// scanData reads a Data in any layout, and checks all of it.
func scanData(b []byte) (d Data, err error) {
	const numbers, fragmentParts = 1<<1 | 1<<2, 1<<1 | 1<<2
	seen, parts := 0, 0
	var m Packed
	s := scanner{rest: b}
	for s.next() {
		switch {
		case s.is(1, typeFixed64):
			d.Number = s.value
		case s.is(2, typeFixed64):
			d.FirstMessage = s.value
		case s.is(3, typeBytes):
			// Messages that come twice are merged: protobuf's rule.
			d.Fragment = true
			p := scanner{rest: s.bytes}
			for p.next() {
				switch {
				case p.is(1, typeFixed32):
					d.Offset = uint32(p.value)
				case p.is(2, typeFixed32):
					d.Size = uint32(p.value)
				default:
					continue
				}
				parts |= 1 << p.field
			}
			if p.bad {
				return d, ErrMalformed
			}
			continue
		case s.is(4, typeBytes):
			if err := m.scan(s.bytes); err != nil {
				return d, err
			}
			if m.Topic == nil {
				return d, ErrMalformed // the first message has no topic
			}
			d.Count++
			continue
		default:
			continue
		}
		seen |= 1 << s.field
	}
	switch {
	case s.bad || seen != numbers || d.Count == 0 || d.Fragment && parts != fragmentParts:
		return d, ErrMalformed
	case !d.inRange(len(m.Payload)):
		return d, ErrRange
	}
	d.packed = b
	return d, nil
}

// scan reads a message in any layout. It leaves Topic as it is where the wire has none.
func (m *Packed) scan(b []byte) error {
	var kind uint64
	m.Payload = nil
	s := scanner{rest: b}
	for s.next() {
		switch {
		case s.is(1, typeBytes):
			if !validText(s.bytes) {
				return ErrMalformed
			}
			m.Topic = s.bytes
		case s.is(2, typeVarint):
			kind = s.value
		case s.is(3, typeBytes):
			m.Payload = s.bytes
		}
	}
	switch {
	case s.bad:
		return ErrMalformed
	case kind > MaxKind || m.Topic != nil && (len(m.Topic) < 1 || len(m.Topic) > MaxTopic):
		return ErrRange
	}
	m.Kind = Kind(kind)
	return nil
}

// validText reports whether b is UTF-8, as a protobuf string must be. ASCII is quick.
func validText(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b)&0x8080808080808080 != 0 {
			return utf8.Valid(b)
		}
		b = b[8:]
	}
	return utf8.Valid(b)
}
