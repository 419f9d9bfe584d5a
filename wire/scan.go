package wire

import "encoding/binary"

// Wire types of protobuf.
const (
	typeVarint     = 0
	typeFixed64    = 1
	typeBytes      = 2
	typeStartGroup = 3
	typeEndGroup   = 4
	typeFixed32    = 5
)

const (
	maxField      = 1<<29 - 1 // the largest field number of protobuf
	maxGroupDepth = 32        // an unknown group inside more groups than this is malformed
)

// scanner walks over the fields of one protobuf message, in any layout.
//
//	s := scanner{rest: b}
//	for s.next() { … s.field, s.typ, s.value or s.bytes … }
//	if s.bad { return ErrMalformed }
//
// It is the general path: correct before fast. Unknown groups are passed over like other
// unknown fields.
type scanner struct {
	rest  []byte // what follows the current field
	field uint32 // number of the current field
	typ   uint8  // its wire type
	bad   bool   // the message is malformed; next has returned false
	value uint64 // varint, fixed64 and fixed32
	bytes []byte // bytes: part of the input
}

// is reports whether the current field has this number and wire type. A known number with another
// type is an unknown field, as in generated code.
func (s *scanner) is(field uint32, typ uint8) bool { return s.field == field && s.typ == typ }

// next moves to the next field. It is false at the end of the message, and at an error.
func (s *scanner) next() bool {
	if len(s.rest) == 0 {
		return false
	}
	tag, n := readVarint(s.rest)
	if n == 0 || tag>>3 < 1 || tag>>3 > maxField {
		return s.fail()
	}
	s.rest = s.rest[n:]
	s.field, s.typ = uint32(tag>>3), uint8(tag&7)
	return s.consume(0)
}

// consume reads the value of the current field, which may be a group inside depth others.
func (s *scanner) consume(depth int) bool {
	switch s.typ {
	case typeVarint:
		v, n := readVarint(s.rest)
		if n == 0 {
			return s.fail()
		}
		s.value, s.rest = v, s.rest[n:]
	case typeFixed64:
		if len(s.rest) < 8 {
			return s.fail()
		}
		s.value, s.rest = binary.LittleEndian.Uint64(s.rest), s.rest[8:]
	case typeFixed32:
		if len(s.rest) < 4 {
			return s.fail()
		}
		s.value, s.rest = uint64(binary.LittleEndian.Uint32(s.rest)), s.rest[4:]
	case typeBytes:
		length, n := readVarint(s.rest)
		if n == 0 || length > uint64(len(s.rest)-n) {
			return s.fail()
		}
		end := n + int(length)
		s.bytes, s.rest = s.rest[n:end:end], s.rest[end:]
	case typeStartGroup:
		return s.skipGroup(depth)
	default: // an end without a start, or no wire type at all
		return s.fail()
	}
	return true
}

// skipGroup passes over the group that has just begun.
func (s *scanner) skipGroup(depth int) bool {
	if depth == maxGroupDepth {
		return s.fail()
	}
	group := s.field
	for {
		tag, n := readVarint(s.rest)
		if n == 0 || tag>>3 < 1 || tag>>3 > maxField {
			return s.fail()
		}
		s.rest = s.rest[n:]
		s.field, s.typ = uint32(tag>>3), uint8(tag&7)
		if s.typ == typeEndGroup {
			if s.field != group {
				return s.fail()
			}
			s.typ = typeStartGroup // no known field has this type
			return true
		}
		if !s.consume(depth + 1) {
			return false
		}
	}
}

func (s *scanner) fail() bool {
	s.rest, s.bad = nil, true
	return false
}

// readVarint decodes the varint that b begins with, and its length; 0 when there is none.
func readVarint(b []byte) (v uint64, n int) {
	v, n = binary.Uvarint(b)
	return v, max(n, 0)
}

// varintLen is the length of the shortest varint for a length or count in a datagram, 1..3.
func varintLen(n int) int {
	switch {
	case n < 1<<7:
		return 1
	case n < 1<<14:
		return 2
	}
	return 3
}

// putVarint stores n, less than 1<<21, as the shortest varint, and returns its length.
func putVarint(b []byte, n int) int {
	switch {
	case n < 1<<7:
		b[0] = byte(n)
		return 1
	case n < 1<<14:
		b[0], b[1] = byte(n)|0x80, byte(n>>7)
		return 2
	}
	b[0], b[1], b[2] = byte(n)|0x80, byte(n>>7)|0x80, byte(n>>14)
	return 3
}

// shortVarint decodes a varint of shortest form and less than 1<<21; size is 0 for others.
func shortVarint(b []byte) (n, size int) {
	if len(b) >= 1 && b[0] < 0x80 {
		return int(b[0]), 1
	}
	if len(b) >= 2 && b[1] < 0x80 {
		if b[1] == 0 {
			return 0, 0
		}
		return int(b[0]&0x7F) | int(b[1])<<7, 2
	}
	if len(b) >= 3 && b[2] < 0x80 && b[2] != 0 {
		return int(b[0]&0x7F) | int(b[1]&0x7F)<<7 | int(b[2])<<14, 3
	}
	return 0, 0
}

// fit is the longest body, in bytes, of a length-delimited field with a tag of one byte that
// takes at most room bytes in all; -1 when not even an empty one fits. Where the length grows
// by a byte, one byte of room stays unused.
func fit(room int) int {
	switch {
	case room < 2:
		return -1
	case room-2 < 1<<7:
		return room - 2
	case room-3 < 1<<14:
		return max(room-3, 1<<7-1)
	}
	return max(room-4, 1<<14-1)
}
