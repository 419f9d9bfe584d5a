package wire

import "encoding/binary"

// PairWriter packs items into one datagram with one Pair, in place: a payload is copied once, to where it
// is sent from. Begin starts a datagram, Add fills it, Close or Finish ends it. The zero value waits for
// Begin.
type PairWriter struct {
	mem    []byte
	pos    int // where the next item begins
	limit  int // the items end at or before this
	count  int
	nameAt int // the last name of a named item lies at mem[nameAt:nameAt+nameLen]
	name   int // its length; -1: none yet
}

const (
	pairTag = 2 // bytes of the frame's tag
	// pairBodyAt is where the body of the Pair lies in the buffer. The header, the tag and the longest
	// length fit in front; a shorter length moves the datagram's beginning, not its bytes.
	pairBodyAt = HeaderLen + pairTag + 3
)

// Begin starts a datagram of at most max bytes in mem, a whole buffer of at least max+DataOverhead bytes;
// with less, less fits.
func (w *PairWriter) Begin(mem []byte, max int) {
	*w = PairWriter{mem: mem, pos: pairBodyAt + pairHead, name: -1}
	// fit counts a tag of one byte.
	w.limit = pairBodyAt + fit(min(max, len(mem)-DataOverhead)-HeaderLen-pairTag+1)
}

// Count is the number of items so far.
func (w *PairWriter) Count() int { return w.count }

// Add appends one item. It is false when the item does not fit; then nothing has changed. The payload is
// copied. The caller has checked that the item is in its bounds.
func (w *PairWriter) Add(i *Item) bool {
	if w.count == MaxItems {
		return false
	}
	name := w.namePart(i)
	n := itemHead + name + numberPart(i.Attempt) + numberPart(i.Backlog) + numberPart(i.Service)
	if i.Fragment {
		n += 2 * 5
	}
	if len(i.Payload) > 0 {
		n += 1 + varintLen(len(i.Payload)) + len(i.Payload)
	}
	end := w.pos + 1 + varintLen(n) + n
	if end > w.limit {
		return false
	}
	b := appendLength(append(w.mem[:w.pos], tagItem), n)
	b = appendFixed32(b, 1, i.head())
	b = appendFixed64(b, 2, i.Call)
	b = appendNumber(b, 3, i.Attempt)
	b = appendNumber(b, 4, i.Backlog)
	b = appendNumber(b, 5, i.Service)
	if name > 0 {
		b = appendBytes(b, 6, i.Name)
		if i.Kind.Named() {
			w.nameAt, w.name = len(b)-len(i.Name), len(i.Name)
		}
	}
	if i.Fragment {
		b = appendFixed32(appendFixed32(b, 7, i.Offset), 8, i.Size)
	}
	if len(i.Payload) > 0 {
		b = appendBytes(b, 9, i.Payload)
	}
	w.pos = len(b)
	w.count++
	return true
}

// namePart is the length of the field with the item's name: 0 when it is left out.
func (w *PairWriter) namePart(i *Item) int {
	if i.Kind.Named() {
		if len(i.Name) == w.name && string(w.mem[w.nameAt:w.nameAt+w.name]) == string(i.Name) {
			return 0
		}
	} else if len(i.Name) == 0 {
		return 0
	}
	return 1 + varintLen(len(i.Name)) + len(i.Name)
}

// numberPart is the length of the field with an optional number.
func numberPart(v uint32) int {
	if v == 0 {
		return 0
	}
	return 5
}

func appendNumber(dst []byte, field byte, v uint32) []byte {
	if v == 0 {
		return dst
	}
	return appendFixed32(dst, field, v)
}

// Room is the longest payload, in bytes, that Add takes now in an item with this name and all optional
// numbers, a fragment or not; -1 when not even an empty one fits.
func (w *PairWriter) Room(name string) int {
	if w.count == MaxItems {
		return -1
	}
	rest := fit(w.limit-w.pos) - itemHead - 3*5 - (1 + varintLen(len(name)) + len(name)) - 2*5
	if rest < 0 {
		return -1
	}
	return max(fit(rest), 0)
}

// Finish closes the datagram and seals it: it is mem[off:off+n]. The items are those that were added, so
// p.Count has no effect; without one, the Pair is a question.
func (w *PairWriter) Finish(h Header, p *Pair) (off, n int) {
	off, n = w.Close(h, p)
	Seal(w.mem[off : off+n])
	return off, n
}

// Close is Finish without Seal, for a caller that has acknowledgements to write behind the Pair.
func (w *PairWriter) Close(h Header, p *Pair) (off, n int) {
	body := w.pos - pairBodyAt
	off = 3 - varintLen(body)
	b := w.mem[off:]
	copy(b, headerTemplate[:])
	putHeader((*[HeaderLen]byte)(b), h)
	b[HeaderLen], b[HeaderLen+1] = 0xBA, 0x01
	putVarint(b[HeaderLen+pairTag:], body)
	appendPairHead(w.mem[:pairBodyAt], p)
	return off, w.pos - off
}

// SetPairAcknowledged puts the numbers of a canonical datagram that begins with a Pair up to date before
// it is sent again: Oldest, Known, and whether to acknowledge at once. The datagram has to be sealed
// afterwards.
func SetPairAcknowledged(datagram []byte, oldest, known uint64, atOnce bool) {
	_, begin, _ := frameAt(datagram, HeaderLen)
	b := datagram[begin:]
	b[29] &^= pairBit
	if atOnce {
		b[29] |= pairBit
	}
	binary.LittleEndian.PutUint64(b[43:], oldest)
	binary.LittleEndian.PutUint64(b[52:], known)
}

// SetIncarnation puts another incarnation into the canonical header of a datagram, which has to be sealed
// afterwards.
func SetIncarnation(datagram []byte, incarnation uint32) {
	binary.LittleEndian.PutUint32(datagram[atIncarnation+1:], incarnation)
}
