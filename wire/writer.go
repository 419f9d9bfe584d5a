package wire

import (
	"encoding/binary"
	"unsafe"
)

// DataWriter packs messages into one datagram, in place: bytes are written once, where they
// are sent from. Begin starts a datagram, Add and its like fill it, Finish closes it. The zero
// value waits for Begin.
type DataWriter struct {
	mem    []byte
	pos    int // where the next message begins
	limit  int // the messages end at or before this
	max    int // bytes of the whole datagram
	header Header
	number uint64
	first  uint64

	count    int
	fragment bool
	topicAt  int // the last topic written lies at mem[topicAt:topicAt+topicLen]
	topicLen int // 0: none yet

	reservedEnd   int // where the reserved message ends; 0: none
	reservedTopic int // where its topic lies, if it has one of its own
	reservedLen   int // length of that topic; 0: inherited
	reservedSize  int // of its payload; stays when the message is committed
	reservedKind  Kind

	start    Start
	hasStart bool

	like *likeness // nil: nothing to go by yet
	laid laid
}

// likeness is what the last datagram looked like that had one message.
type likeness struct {
	topic    [maxLikeTopic]byte
	topicLen int
	kind     Kind
	size     int // bytes of payload
}

// maxLikeTopic is the longest topic, in bytes, that Lay goes by.
const maxLikeTopic = 64

// laid is what Lay has written: all but the payload and the CRC of a datagram with one message.
type laid struct {
	off     int // where that datagram begins
	payload int
	end     int // 0: nothing is laid
	kind    Kind
	topic   int // where its topic lies
	len     int // of the topic
}

// bodyAt is where the body of the Data lies in the buffer. The header, the tag and the longest
// length fit in front; a shorter length moves the datagram's beginning, not its bytes.
const bodyAt = HeaderLen + 1 + 3

// DataOverhead is how many bytes longer than the datagram the memory given to Begin has to be.
const DataOverhead = 2

// Begin starts a datagram of at most max bytes in mem, a whole buffer of at least
// max+DataOverhead bytes; with less, less fits. number and firstMessage are those of the Data.
func (w *DataWriter) Begin(mem []byte, max int, h Header, number, firstMessage uint64) {
	*w = DataWriter{mem: mem, pos: bodyAt + dataHead, max: max, header: h, number: number, first: firstMessage, like: w.like}
	w.limit = w.limitFor(max)
}

// limitFor is where the body of the Data must end, so that it takes at most max bytes with its
// header.
func (w *DataWriter) limitFor(max int) int {
	return bodyAt + fit(min(max-HeaderLen, len(w.mem)-HeaderLen-2))
}

// Lay writes all but payload and CRC in advance, as if the next message was like the last one that
// was alone in its datagram: of its topic, kind and length. If it is, Add only copies the payload and
// Finish only computes the CRC; if not, nothing is lost. It is for a datagram that is empty.
func (w *DataWriter) Lay() {
	if w.like == nil {
		w.like = new(likeness) // from now on Close takes note
	}
	l := w.like
	if l.topicLen == 0 || w.count > 0 || w.fragment || w.hasStart {
		return
	}
	p, ok := w.reserve(unsafe.String(&l.topic[0], l.topicLen), l.kind, l.size)
	if !ok {
		return
	}
	end := w.reservedEnd
	w.reservedEnd = 0
	w.laid = laid{payload: end - len(p), end: end, kind: l.kind, topic: w.reservedTopic, len: w.reservedLen}
	w.laid.off = w.writeHead(end)
}

// addLaid is Add for the message that Lay has foreseen.
func (w *DataWriter) addLaid(topic string, kind Kind, payload []byte) bool {
	l := &w.laid
	if len(payload) != l.end-l.payload || kind != l.kind || string(w.mem[l.topic:l.topic+l.len]) != topic {
		l.end = 0 // what comes instead is written over it
		return false
	}
	copy(w.mem[l.payload:l.end], payload)
	w.pos, w.count, w.topicAt, w.topicLen = l.end, 1, l.topic, l.len
	return true
}

// Add appends one message. It is false when the message does not fit; then nothing has changed.
// The payload is copied. It panics on a topic that is empty or longer than MaxTopic, and on a
// kind above MaxKind: the caller has checked those.
func (w *DataWriter) Add(topic string, kind Kind, payload []byte) bool {
	if w.laid.end > 0 && w.count == 0 && w.addLaid(topic, kind, payload) {
		return true
	}
	// A small raw message on the topic of the one before it, as in MessageIter.Step.
	if n := len(payload); kind == KindRaw && uint(n-1) < 0x7D && uint(w.count-1) < MaxMessages-1 && !w.fragment && w.repeats(topic) {
		end := w.pos + 4 + n
		if end > w.limit {
			return false
		}
		b := w.mem[w.pos:end]
		b[0], b[1], b[2], b[3] = tagPacked, byte(n+2), tagPayload, byte(n)
		copy(b[4:], payload)
		w.pos = end
		w.count++
		return true
	}
	p, ok := w.Reserve(topic, kind, len(payload))
	if !ok {
		return false
	}
	copy(p, payload)
	w.Commit()
	return true
}

// Reserve appends one message with a payload of n bytes and lends these, to be written in
// place. The next call has to be Commit or Cancel. It is not ok when the message does not fit,
// and panics as Add does.
func (w *DataWriter) Reserve(topic string, kind Kind, n int) (payload []byte, ok bool) {
	if w.fragment || w.count == MaxMessages {
		return nil, false
	}
	return w.reserve(topic, kind, n)
}

func (w *DataWriter) reserve(topic string, kind Kind, n int) (payload []byte, ok bool) {
	if uint(len(topic)-1) >= MaxTopic || kind > MaxKind {
		panic("wire: topic of 0 or more than 255 bytes, or unknown kind")
	}
	topicLen := w.topicPart(topic)
	inner := topicLen
	if kind != 0 {
		inner += 2
	}
	if n > 0 {
		inner += 1 + varintLen(n) + n
	}
	end := w.pos + 1 + varintLen(inner) + inner
	if end > w.limit {
		return nil, false
	}
	w.laid.end = 0 // whatever is written now is not what was laid
	w.reservedSize, w.reservedKind = n, kind
	b := w.mem[w.pos:end]
	b[0] = tagPacked
	p := 1 + putVarint(b[1:], inner)
	w.reservedLen = 0
	if topicLen > 0 {
		b[p] = tagTopic
		p += 1 + putVarint(b[p+1:], len(topic))
		w.reservedTopic, w.reservedLen = w.pos+p, len(topic)
		p += copy(b[p:], topic)
	}
	if kind != 0 {
		b[p], b[p+1] = tagKind, byte(kind)
		p += 2
	}
	if n > 0 {
		b[p] = tagPayload
		p += 1 + putVarint(b[p+1:], n)
	}
	w.reservedEnd = end
	return b[p:len(b):len(b)], true
}

// topicPart is the length of the field that holds topic in the next message; 0 when the message
// before it has the same one.
func (w *DataWriter) topicPart(topic string) int {
	if w.repeats(topic) {
		return 0
	}
	return 1 + varintLen(len(topic)) + len(topic)
}

// repeats reports whether topic is the last one in this datagram. It compares the bytes written,
// and keeps no string: the caller's may be memory that is used again.
func (w *DataWriter) repeats(topic string) bool {
	return len(topic) == w.topicLen && string(w.mem[w.topicAt:w.topicAt+w.topicLen]) == topic
}

// Commit keeps the message that Reserve lent. It panics when there is none.
func (w *DataWriter) Commit() {
	if w.reservedEnd == 0 {
		panic("wire: Commit without Reserve")
	}
	w.pos, w.reservedEnd = w.reservedEnd, 0
	if w.reservedLen > 0 {
		w.topicAt, w.topicLen = w.reservedTopic, w.reservedLen
	}
	w.count++
}

// Cancel gives up the message that Reserve lent.
func (w *DataWriter) Cancel() { w.reservedEnd = 0 }

// AddFragment makes part, bytes offset.. of a payload of size bytes, the only message of the
// datagram. It is false when the datagram is not empty or the part does not fit. part is not
// empty and lies inside size. It panics as Add does.
func (w *DataWriter) AddFragment(topic string, kind Kind, offset, size uint32, part []byte) bool {
	if w.count > 0 || w.fragment {
		return false
	}
	w.pos = bodyAt + fragmentHead
	p, ok := w.reserve(topic, kind, len(part))
	if !ok {
		w.pos = bodyAt + dataHead
		return false
	}
	f := w.mem[bodyAt+dataHead : bodyAt+fragmentHead]
	f[0], f[1], f[2], f[7] = 0x1A, 10, 0x0D, 0x15
	binary.LittleEndian.PutUint32(f[3:], offset)
	binary.LittleEndian.PutUint32(f[8:], size)
	copy(p, part)
	w.Commit()
	w.fragment = true
	return true
}

// Room is the longest payload, in bytes, that Add takes now with topic and any kind. It is -1
// when not even an empty one fits.
func (w *DataWriter) Room(topic string) int {
	if w.fragment || w.count == MaxMessages {
		return -1
	}
	return payloadRoom(w.limit-w.pos, w.topicPart(topic))
}

// payloadRoom is the longest payload in a Packed field of at most room bytes with a topic field
// of topicPart bytes and any kind; -1 when none fits.
func payloadRoom(room, topicPart int) int {
	rest := fit(room) - topicPart - 2
	if rest < 0 {
		return -1
	}
	return max(fit(rest), 0)
}

// MessageRoom is the longest payload, in bytes, of a message that is alone in a datagram of at
// most max bytes; -1 when none fits.
func MessageRoom(max int, topic string) int {
	return payloadRoom(fit(max-HeaderLen)-dataHead, 1+varintLen(len(topic))+len(topic))
}

// FragmentRoom is the longest part, in bytes, that AddFragment takes in a datagram of at most
// max bytes; less than 1 when none fits.
func FragmentRoom(max int, topic string) int {
	return payloadRoom(fit(max-HeaderLen)-fragmentHead, 1+varintLen(len(topic))+len(topic))
}

// Count is the number of messages so far.
func (w *DataWriter) Count() int { return w.count }

// Empty reports whether the datagram has no message yet.
func (w *DataWriter) Empty() bool { return w.count == 0 }

// AppendStart has Finish put a Start frame behind the Data. It is false when that does not fit;
// messages that are added later leave room for it.
func (w *DataWriter) AppendStart(s Start) bool {
	limit := w.limitFor(min(w.max, len(w.mem)-DataOverhead) - StartLen)
	if w.hasStart || w.pos > limit {
		return false
	}
	w.start, w.hasStart, w.limit = s, true, limit
	w.laid.end = 0 // what was laid has no Start
	return true
}

// Finish closes the datagram and seals it: it is mem[off:off+n]. A writer that is Empty has no
// datagram, and n is 0.
func (w *DataWriter) Finish() (off, n int) {
	if off, n = w.Close(); n > 0 {
		Seal(w.mem[off : off+n])
	}
	return off, n
}

// Close is Finish without Seal, for a caller that has more to write behind the Data.
func (w *DataWriter) Close() (off, n int) {
	if w.count == 0 {
		return 0, 0
	}
	if w.laid.end == w.pos {
		return w.laid.off, w.pos - w.laid.off // it is all there
	}
	off = w.writeHead(w.pos)
	if l := w.like; l != nil && w.count == 1 && !w.fragment && w.topicLen <= maxLikeTopic {
		l.topicLen = copy(l.topic[:], w.mem[w.topicAt:w.topicAt+w.topicLen])
		l.kind, l.size = w.reservedKind, w.reservedSize
	}
	end := w.pos
	if w.hasStart {
		end = len(AppendStart(w.mem[:end:len(w.mem)], w.start))
	}
	return off, end - off
}

// writeHead writes what comes before the messages, which end at end, and returns where that begins.
func (w *DataWriter) writeHead(end int) (off int) {
	body := w.mem[bodyAt:end]
	body[0], body[9] = 0x09, 0x11
	binary.LittleEndian.PutUint64(body[1:], w.number)
	binary.LittleEndian.PutUint64(body[10:], w.first)

	off = 3 - varintLen(len(body))
	b := w.mem[off:]
	copy(b, headerTemplate[:])
	putHeader((*[HeaderLen]byte)(b), w.header)
	b[HeaderLen] = fieldData<<3 | typeBytes
	putVarint(b[HeaderLen+1:], len(body))
	return off
}
