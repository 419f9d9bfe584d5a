package wire

import (
	"encoding/binary"
	"hash/crc32"
)

// Header is what every datagram begins with.
type Header struct {
	Cluster     uint64   // ClusterHash of Config.Cluster
	Transmitter MemberID // the member that sent this datagram; not always the origin of its data
	Incarnation uint32   // of the transmitter
	Stream      StreamID // the stream that the frames are about
}

// HeaderLen is the length of a canonical header in bytes. The first frame follows it.
const HeaderLen = 47

// The canonical header: where each field's tag lies, and what it is.
const (
	atVersion     = 0  // 0x0D, fixed32
	atCluster     = 5  // 0x11, fixed64
	atCRC         = 14 // 0x1D, fixed32
	atTransmitter = 19 // 0x22 0x10, 16 bytes; the CRC covers the datagram from here
	atIncarnation = 37 // 0x2D, fixed32
	atStream      = 42 // 0x35, fixed32

	tagVersion     = 1<<3 | typeFixed32
	tagCluster     = 2<<3 | typeFixed64
	tagCRC         = 3<<3 | typeFixed32
	tagTransmitter = 4<<3 | typeBytes
	tagIncarnation = 5<<3 | typeFixed32
	tagStream      = 6<<3 | typeFixed32

	crcCovers = atTransmitter
	memberLen = 16 // bytes of a MemberID
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendHeader appends the canonical header, HeaderLen bytes, with a CRC of zero. Seal puts the
// CRC in once the frames are there.
func AppendHeader(dst []byte, h Header) []byte {
	n := len(dst)
	dst = append(dst, headerTemplate[:]...)
	putHeader((*[HeaderLen]byte)(dst[n:]), h)
	return dst
}

// headerTemplate is a header of zeros: the tags, and the version.
var headerTemplate = [HeaderLen]byte{
	atVersion: tagVersion, atVersion + 1: Version,
	atCluster: tagCluster, atCRC: tagCRC,
	atTransmitter: tagTransmitter, atTransmitter + 1: memberLen,
	atIncarnation: tagIncarnation, atStream: tagStream,
}

// putHeader fills the values of h in; the tags are there.
func putHeader(b *[HeaderLen]byte, h Header) {
	binary.LittleEndian.PutUint64(b[atCluster+1:], h.Cluster)
	copy(b[atTransmitter+2:], h.Transmitter[:])
	binary.LittleEndian.PutUint32(b[atIncarnation+1:], h.Incarnation)
	binary.LittleEndian.PutUint32(b[atStream+1:], uint32(h.Stream))
}

// Seal computes the CRC-32C of a datagram that begins with a canonical header and stores it in
// its place. It panics on fewer than HeaderLen bytes.
func Seal(datagram []byte) {
	_ = datagram[HeaderLen-1]
	binary.LittleEndian.PutUint32(datagram[atCRC+1:], checksum(0, datagram[crcCovers:]))
}

// Peek loads the header of a canonical datagram from its fixed offsets, to drop early what is
// for another cluster. It checks the tags and the version, but neither the CRC nor the frames.
// It is not ok for every other layout, valid or not: Decode decides about those.
func Peek(b []byte) (h Header, ok bool) {
	if !isCanonicalHeader(b) || binary.LittleEndian.Uint32(b[atVersion+1:]) != Version {
		return Header{}, false
	}
	h.load(b)
	return h, true
}

// isCanonicalHeader reports whether the tags of a canonical header are in their places.
func isCanonicalHeader(b []byte) bool {
	return len(b) >= HeaderLen &&
		b[atVersion] == tagVersion && b[atCluster] == tagCluster && b[atCRC] == tagCRC &&
		b[atTransmitter] == tagTransmitter && b[atTransmitter+1] == memberLen &&
		b[atIncarnation] == tagIncarnation && b[atStream] == tagStream
}

// load reads the values of a canonical header.
func (h *Header) load(b []byte) {
	_ = b[HeaderLen-1]
	h.Cluster = binary.LittleEndian.Uint64(b[atCluster+1:])
	h.Transmitter = MemberID(b[atTransmitter+2:])
	h.Incarnation = binary.LittleEndian.Uint32(b[atIncarnation+1:])
	h.Stream = StreamID(binary.LittleEndian.Uint32(b[atStream+1:]))
}

// checkCanonical judges the version and the CRC of a datagram with a canonical header, before
// anything else in it is believed.
func checkCanonical(b []byte) error {
	if binary.LittleEndian.Uint32(b[atVersion+1:]) != Version {
		return ErrVersion
	}
	if binary.LittleEndian.Uint32(b[atCRC+1:]) != checksum(0, b[crcCovers:]) {
		return ErrChecksum
	}
	return nil
}

// scan reads a header that is laid out in any way, and judges version and CRC. The CRC covers
// all bytes that follow its own field, wherever that lies.
func (h *Header) scan(b []byte) error {
	const all = 1<<1 | 1<<2 | 1<<3 | 1<<4 | 1<<5 | 1<<6
	var seen, version, crc uint32
	var covered, transmitter []byte
	s := scanner{rest: b}
	for s.next() {
		switch {
		case s.is(1, typeFixed32):
			version = uint32(s.value)
		case s.is(2, typeFixed64):
			h.Cluster = s.value
		case s.is(3, typeFixed32):
			crc, covered = uint32(s.value), s.rest
		case s.is(4, typeBytes):
			transmitter = s.bytes
		case s.is(5, typeFixed32):
			h.Incarnation = uint32(s.value)
		case s.is(6, typeFixed32):
			h.Stream = StreamID(s.value)
		default:
			continue
		}
		if seen&(1<<s.field) != 0 {
			return ErrMalformed
		}
		seen |= 1 << s.field
	}
	switch {
	case s.bad || seen&(1<<1) == 0:
		return ErrMalformed
	case version != Version:
		return ErrVersion
	case seen != all:
		return ErrMalformed
	case crc != checksum(0, covered):
		return ErrChecksum
	case len(transmitter) != memberLen:
		return ErrRange
	}
	h.Transmitter = MemberID(transmitter)
	return nil
}

// isHeaderField reports whether the scanner stands on a field of the header.
func (s *scanner) isHeaderField() bool {
	switch s.field {
	case 1, 3, 5, 6:
		return s.typ == typeFixed32
	case 2:
		return s.typ == typeFixed64
	case 4:
		return s.typ == typeBytes
	}
	return false
}

// ClusterHash is FNV-1a, 64 bits, of a cluster's name (draft-eastlake-fnv, section 2).
func ClusterHash(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h
}
