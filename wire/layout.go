package wire

import (
	"encoding/binary"
	"math"
)

// A layout is the table of one kind of frame: its fields in the order of their numbers, from 1. It
// drives the check for the canonical layout (split) and the general path (scan). Both leave the
// fields where the frame's load function finds them (parts). Data has no layout: its path is
// written by hand.
//
// A frame has, in this order, required fields of fixed size (the head), fields of bytes, optional
// fields of fixed size (the tail), and behind a tail one optional field of bytes (the trailer). Each may be missing. The
// fields of the tail are present together or not at all; those of a loose tail are each present or not. A frame with lists of pairs has a head and the lists. A frame with
// messages of several fields inside has them last, in place of the tail.
type layout struct {
	fields  []field
	inRange func(*parts) bool // reports whether the fields are in the bounds of the frame; nil: those of the pairs are all
	exact   func(*parts) bool // reports whether the values are as the canonical layout has them; nil: they are

	required, optional uint32 // bits of field numbers

	head, tail template
	bytes      []byte // the numbers of the fields of bytes
	trailer    byte   // the number of a field of bytes behind the tail, which is optional; 0: none
	sparse     bool   // some of these are optional
	varies     bool   // there are some, or messages inside: the tail is no template at a fixed place
	loose      bool   // each field of the tail may be missing

	first, last byte // the numbers of the lists; 0: none
	pairs       pairBounds

	nested nested
}

// nested is the one field of a frame whose values are messages of several fields. They are judged one
// after the other. state is the judge's own: it passes from one message to the next, from zero on.
type nested struct {
	number byte // 0: the frame has none
	most   int  // messages; a field that is not repeated has 1

	// canonical reports whether b is in the canonical layout and in range.
	canonical func(b []byte, state uint32) (next uint32, ok bool)
	// judge judges b in any layout.
	judge func(b []byte, state uint32) (next uint32, err error)
}

// field is one field of a frame.
type field struct {
	kind  fieldKind
	opt   bool
	bits  uint32 // of flags: those that have a meaning
	place int    // of its tag in the head or the tail; of a field of bytes: its place in parts.bytes
}

type fieldKind uint8

const (
	kindFixed64 fieldKind = iota + 1
	kindFixed32
	kindMember // 16 bytes
	kindSmall  // a uint32 of at most maxSmall, which inRange checks: so the varint has one byte
	kindTrue   // an optional bool, which is written when it is true
	kindBytes
	kindPairs // a repeated message of a fixed64 and a fixed32, from 1 each
	kindMessage
	kindMessages // repeated
)

// The fields that a layout is made of.
var (
	fixed64  = field{kind: kindFixed64}
	fixed32  = field{kind: kindFixed32}
	memberID = field{kind: kindMember}
	small    = field{kind: kindSmall}
	blob     = field{kind: kindBytes}
	pairs    = field{kind: kindPairs}
	inside   = field{kind: kindMessage}
	listed   = field{kind: kindMessages}
)

// flags is a fixed32 of which only bits have a meaning. The canonical layout has no others.
func flags(bits uint32) field { return field{kind: kindFixed32, bits: bits} }

// optional makes a field of fixed size one of the tail. A field of bytes that is optional stays where it
// is, and is left out when it is empty.
func optional(f field) field {
	f.opt = true
	return f
}

// newLayout makes the layout of a frame with these fields. inRange judges the bounds that go beyond
// those of the fields' kinds. It is nil for a frame with lists of pairs, and for no other.
func newLayout(inRange func(*parts) bool, fields ...field) *layout {
	l := &layout{fields: fields, inRange: inRange}
	for i := range fields {
		f, number := &fields[i], i+1
		switch {
		case f.kind == kindPairs:
			if l.first == 0 {
				l.first = byte(number)
			}
			l.last = byte(number)
			continue
		case f.kind == kindMessages:
			l.nested.number, l.varies = byte(number), true
			continue
		case f.kind == kindMessage:
			l.nested.number, l.varies = byte(number), true
		case f.kind == kindBytes:
			l.varies = true
			if len(l.tail.bytes) > 0 {
				f.place, l.trailer = trailerPlace, byte(number)
				continue
			}
			f.place, l.bytes = len(l.bytes), append(l.bytes, byte(number))
			if f.opt {
				l.sparse = true
				continue
			}
		case f.opt:
			f.place = l.tail.add(number, f)
			l.optional |= 1 << number
			continue
		default:
			f.place = l.head.add(number, f)
		}
		l.required |= 1 << number
	}
	return l
}

// pairBounds bounds the pairs in all lists of a frame. There is at least one.
type pairBounds struct {
	most  int    // pairs
	count uint32 // the second number of a pair is at most this
	spans uint32 // all ones: the pair stands for count numbers in a row; zero: for one
}

// inRange reports whether both numbers are 1 or more, count is in its bound, and there is a number
// behind those that the pair stands for.
func (p pairBounds) inRange(first uint64, count uint32) bool {
	return count-1 < p.count && first-1 < math.MaxUint64-1-uint64((count-1)&p.spans)
}

// withPairs returns l with bounds of the pairs.
func (l *layout) withPairs(b pairBounds) *layout {
	l.pairs = b
	return l
}

// withNested returns l with the judges of the messages inside, of which there are at most so many.
func (l *layout) withNested(most int, canonical func([]byte, uint32) (uint32, bool), judge func([]byte, uint32) (uint32, error)) *layout {
	l.nested.most, l.nested.canonical, l.nested.judge = most, canonical, judge
	return l
}

// withExact returns l with a condition of the canonical layout.
func (l *layout) withExact(exact func(*parts) bool) *layout {
	l.exact = exact
	return l
}

// withLooseTail returns l with a tail whose fields may be missing one by one. Only a frame whose other fields
// are of fixed size has one.
func (l *layout) withLooseTail() *layout {
	l.loose = true
	return l
}

// template is a run of fields of fixed size in the canonical layout.
type template struct {
	bytes []byte // zero but for what is the same in every encoding
	fixed []fixed
}

// fixed is a byte that is the same in every encoding, but for the bits outside mask.
type fixed struct{ at, mask, want uint8 }

// add appends a field, and returns the place of its tag.
func (t *template) add(number int, f *field) (place int) {
	place = len(t.bytes)
	typ, length := f.wireType()
	t.bytes = append(t.bytes, make([]byte, 1+length)...)
	t.fix(place, 0xFF, byte(number)<<3|typ)
	switch f.kind {
	case kindMember:
		t.fix(place+1, 0xFF, memberLen)
	case kindTrue:
		t.fix(place+1, 0xFF, 1)
	case kindFixed32:
		for i := range 4 {
			if known := byte(f.bits >> (8 * i)); f.bits != 0 && known != 0xFF {
				t.fix(place+1+i, ^known, 0)
			}
		}
	}
	return place
}

func (t *template) fix(at int, mask, want byte) {
	t.bytes[at] = want
	t.fixed = append(t.fixed, fixed{uint8(at), mask, want})
}

// matches reports whether b, which is as long as the template or longer, begins with its fields.
func (t *template) matches(b []byte) bool {
	for _, f := range t.fixed {
		if int(f.at) >= len(b) || b[f.at]&f.mask != f.want {
			return false
		}
	}
	return true
}

// wireType returns the field's wire type, and the bytes of its value where that is of fixed size.
func (f *field) wireType() (typ uint8, length int) {
	switch f.kind {
	case kindFixed64:
		return typeFixed64, 8
	case kindFixed32:
		return typeFixed32, 4
	case kindMember:
		return typeBytes, 1 + memberLen
	case kindSmall, kindTrue:
		return typeVarint, 1
	}
	return typeBytes, 0
}

// trailerPlace is where parts.bytes has the trailer.
const trailerPlace = 2

// parts is the fields of one frame, where its load function finds them, whatever layout the frame
// has.
type parts struct {
	// The head as in the canonical layout. In a frame without fields of bytes and lists the tail
	// follows, if it is there. Otherwise, anything may.
	head  []byte
	bytes [3][]byte // the fields of bytes, in their order; the trailer last
	tail  []byte    // behind fields of bytes; empty where the optional fields are missing
	lists []byte    // all fields, where the layout is not canonical; otherwise the lists follow the head
	// The number of messages inside. lists begins with them, or earlier, in either layout.
	count uint16
}

// scratch is where scan writes the head and the tail of a frame.
type scratch [128]byte

// split reports whether b is a valid frame in the canonical layout, and fills p. What it refuses is
// for scan.
func (l *layout) split(b []byte, p *parts) bool {
	n := len(l.head.bytes)
	if len(b) < n || !l.head.matches(b) {
		return false
	}
	p.head = b
	switch rest := b[n:]; {
	case l.first != 0:
		return l.splitPairs(rest)
	case l.varies:
		if l.nested.number != 0 {
			return l.splitNested(rest, p)
		}
		return l.splitBytes(rest, p)
	case l.loose:
		if !l.splitLoose(rest) {
			return false
		}
		p.tail = rest
	case len(rest) > 0 && (len(rest) != len(l.tail.bytes) || !l.tail.matches(rest)):
		return false
	case l.exact != nil && !l.exact(p):
		return false
	}
	return l.inRange(p)
}

// splitLoose reports whether b is canonical fields of a loose tail.
func (l *layout) splitLoose(b []byte) bool {
	for i := range l.fields {
		f := &l.fields[i]
		if !f.opt {
			continue
		}
		typ, length := f.wireType()
		if len(b) == 0 || b[0] != byte(i+1)<<3|typ {
			continue
		}
		if len(b) < 1+length || f.kind == kindTrue && b[1] != 1 {
			return false
		}
		b = b[1+length:]
	}
	return len(b) == 0
}

// looseTail takes the fields that were not seen out of a loose tail.
func (l *layout) looseTail(tail []byte, seen uint32) []byte {
	n := 0
	for i := range l.fields {
		if f := &l.fields[i]; f.opt && seen&(1<<(i+1)) != 0 {
			_, length := f.wireType()
			n += copy(tail[n:], tail[f.place:f.place+1+length])
		}
	}
	return tail[:n]
}

// looseField finds the value of a field in a loose tail; nil: it is missing.
func looseField(tail []byte, number byte) []byte {
	for len(tail) > 0 {
		length := 1 // a varint of one byte
		switch tail[0] & 7 {
		case typeFixed64:
			length = 8
		case typeFixed32:
			length = 4
		}
		if tail[0]>>3 == number {
			return tail[1 : 1+length]
		}
		tail = tail[1+length:]
	}
	return nil
}

// looseNumber is a number in a loose tail; 0: it is missing.
func looseNumber(tail []byte, number byte) uint64 {
	switch v := looseField(tail, number); len(v) {
	case 8:
		return binary.LittleEndian.Uint64(v)
	case 4:
		return uint64(binary.LittleEndian.Uint32(v))
	}
	return 0
}

// looseInRange reports whether the numbers of a loose tail that are there are 1 or more.
func looseInRange(tail []byte, numbers ...byte) bool {
	for _, n := range numbers {
		if looseField(tail, n) != nil && looseNumber(tail, n) == 0 {
			return false
		}
	}
	return true
}

// splitBytes is split from the first field of bytes on.
func (l *layout) splitBytes(b []byte, p *parts) bool {
	if l.sparse {
		var ok bool
		if b, ok = l.takeBytes(b, p); !ok {
			return false
		}
	} else {
		for i, number := range l.bytes {
			var ok bool
			if p.bytes[i], b, ok = canonicalBytes(b, number); !ok {
				return false
			}
		}
	}
	p.bytes[trailerPlace] = nil
	n := len(l.tail.bytes)
	if len(b) > 0 && n > 0 && b[0] != l.tail.bytes[0] {
		n = 0 // the tail is missing, and the trailer is not
	}
	if l.trailer != 0 && len(b) > n {
		var rest []byte
		var ok bool
		if p.bytes[trailerPlace], rest, ok = canonicalBytes(b[n:], l.trailer); !ok || len(rest) > 0 || len(p.bytes[trailerPlace]) == 0 {
			return false
		}
		b = b[:n]
	}
	p.tail = b
	return (len(b) == 0 || len(b) == len(l.tail.bytes) && l.tail.matches(b)) && l.inRange(p) && (l.exact == nil || l.exact(p))
}

// takeBytes splits the fields of bytes off, some of which may be missing.
func (l *layout) takeBytes(b []byte, p *parts) (rest []byte, ok bool) {
	for i, number := range l.bytes {
		if l.sparse && l.fields[number-1].opt && (len(b) == 0 || b[0] != number<<3|typeBytes) {
			p.bytes[i] = nil
			continue
		}
		if p.bytes[i], b, ok = canonicalBytes(b, number); !ok || l.sparse && l.fields[number-1].opt && len(p.bytes[i]) == 0 {
			return nil, false
		}
	}
	return b, true
}

// splitNested is split from the end of the head on, for a frame with messages inside.
func (l *layout) splitNested(b []byte, p *parts) bool {
	b, ok := l.takeBytes(b, p)
	if !ok {
		return false
	}
	p.lists, p.count = b, 0
	for state := uint32(0); len(b) > 0; p.count++ {
		var body []byte
		if body, b, ok = canonicalBytes(b, l.nested.number); !ok || int(p.count) == l.nested.most {
			return false
		}
		if state, ok = l.nested.canonical(body, state); !ok {
			return false
		}
	}
	if l.fields[l.nested.number-1].kind == kindMessage && p.count != 1 {
		return false
	}
	return l.inRange(p)
}

// pairLen is the length of a canonical pair, without the list's tag and the length.
const pairLen = 9 + 5

// splitPairs reports whether b is canonical lists of pairs that are in range.
func (l *layout) splitPairs(b []byte) bool {
	const size = 2 + pairLen
	if len(b) < size || len(b)%size != 0 || len(b) > l.pairs.most*size {
		return false
	}
	bounds, tags := l.pairs, pairTags(l.first)
	for at := 0; at < len(b); at += size {
		g := b[at : at+size]
		if t := binary.LittleEndian.Uint32(g) & 0xFFFFFF; t != tags {
			if tags = pairTags(l.last); t != tags { // from the first list to the second
				return false
			}
		}
		if g[11] != 0x15 || !bounds.inRange(binary.LittleEndian.Uint64(g[3:]), binary.LittleEndian.Uint32(g[12:])) {
			return false
		}
	}
	return true
}

// pairTags returns the three bytes that a pair of a list begins with: tag, length, and the first
// field's tag.
func pairTags(list byte) uint32 { return uint32(list<<3|typeBytes) | pairLen<<8 | 0x09<<16 }

// isPair reports whether b begins with a canonical pair.
func isPair(b []byte) bool { return len(b) >= pairLen && b[0] == 0x09 && b[9] == 0x15 }

func loadPair(b []byte) (first uint64, count uint32) {
	_ = b[pairLen-1]
	return binary.LittleEndian.Uint64(b[1:]), binary.LittleEndian.Uint32(b[10:])
}

// scanPair reads a pair in any layout.
func scanPair(b []byte) (first uint64, count uint32, ok bool) {
	seen := 0
	s := scanner{rest: b}
	for s.next() {
		switch {
		case s.is(1, typeFixed64):
			first = s.value
		case s.is(2, typeFixed32):
			count = uint32(s.value)
		default:
			continue
		}
		seen |= 1 << s.field
	}
	return first, count, !s.bad && seen == 1<<1|1<<2
}

// scan reads a frame in any layout and fills p, with the head and the tail in mem. It judges all but
// the bounds that the frame's own inRange has.
func (l *layout) scan(b []byte, p *parts, mem *scratch) error {
	n := copy(mem[:], l.head.bytes)
	end := n + copy(mem[n:], l.tail.bytes)
	*p = parts{head: mem[:n], lists: b}
	seen, wrong := uint32(0), uint32(0) // bits of field numbers
	count, state := 0, uint32(0)
	s := scanner{rest: b}
	for s.next() {
		if s.field > uint32(len(l.fields)) {
			continue
		}
		f := &l.fields[s.field-1]
		if typ, _ := f.wireType(); s.typ != typ {
			continue
		}
		bit := uint32(1) << s.field
		seen, wrong = seen|bit, wrong&^bit
		place := f.place + 1
		if f.opt {
			place += n
		}
		switch f.kind {
		case kindFixed64:
			binary.LittleEndian.PutUint64(mem[place:], s.value)
		case kindFixed32:
			binary.LittleEndian.PutUint32(mem[place:], uint32(s.value))
		case kindSmall:
			mem[place] = byte(min(uint32(s.value), math.MaxUint8)) // protobuf's rule: a uint32 is the low 32 bits
		case kindTrue:
			if s.value == 0 {
				seen &^= bit
			}
		case kindMember:
			if len(s.bytes) != memberLen {
				wrong |= bit
			}
			copy(mem[place+1:place+1+memberLen], s.bytes)
		case kindBytes:
			p.bytes[f.place] = s.bytes
		case kindPairs:
			first, c, ok := scanPair(s.bytes)
			if !ok {
				return ErrMalformed
			}
			if !l.pairs.inRange(first, c) {
				return ErrRange
			}
			count++
		case kindMessage, kindMessages:
			var err error
			if count++; count > 1 && f.kind == kindMessage {
				return ErrMalformed // protobuf would merge them
			}
			if state, err = l.nested.judge(s.bytes, state); err != nil {
				return err
			}
		}
	}
	if o := seen & l.optional; s.bad || seen&l.required != l.required || o != 0 && o != l.optional && !l.loose {
		return ErrMalformed
	} else if l.loose {
		p.tail = l.looseTail(mem[n:end], o)
	} else if o != 0 {
		p.head, p.tail = mem[:end], mem[n:end]
	}
	if wrong != 0 || l.first != 0 && (count < 1 || count > l.pairs.most) || l.nested.number != 0 && count > l.nested.most {
		return ErrRange
	}
	p.count = uint16(min(count, math.MaxUint16))
	if l.inRange != nil && !l.inRange(p) {
		return ErrRange
	}
	return nil
}
