package wire

import "encoding/binary"

// A source symbol is what FEC protects of a datagram: the body of its Data frame, behind its
// length and the CRC that a datagram has that begins with the canonical header and has nothing
// but that Data in it. So a receiver that rebuilds the symbol can write the whole datagram, and check
// that it is right. What may differ between two transmissions of the same data (a Start behind
// it, the layout of the header) is not part of it.
//
//	offset 0  length of the body, 2 bytes, little-endian
//	offset 2  CRC-32C, 4 bytes, little-endian
//	offset 6  the body
const sourceHead = 2 + 4

// AppendSource appends the source symbol that is made of a Data's body.
func AppendSource(dst []byte, crc uint32, body []byte) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(body)))
	dst = binary.LittleEndian.AppendUint32(dst, crc)
	return append(dst, body...)
}

// SourceLen is the length of the source symbol that is made of a body of n bytes.
func SourceLen(n int) int { return sourceHead + n }

// ParseSource takes a source symbol apart. Bytes behind the body are padding, and zero; it is
// not ok for anything else. Nothing else is checked: Rebuild and Decode do.
func ParseSource(b []byte) (crc uint32, body []byte, ok bool) {
	if len(b) <= sourceHead {
		return 0, nil, false
	}
	end := sourceHead + int(binary.LittleEndian.Uint16(b))
	if end > len(b) || end == sourceHead {
		return 0, nil, false
	}
	for _, p := range b[end:] {
		if p != 0 {
			return 0, nil, false
		}
	}
	return binary.LittleEndian.Uint32(b[2:]), b[sourceHead:end:end], true
}

// SourceOf finds the parts of the source symbol in a datagram as this package writes it: with a
// canonical header, and nothing but one Data. It is not ok for others, see SourceIn.
func SourceOf(datagram []byte) (crc uint32, body []byte, ok bool) {
	if !isCanonicalHeader(datagram) || len(datagram) == HeaderLen {
		return 0, nil, false
	}
	kind, begin, end := frameAt(datagram, HeaderLen)
	if kind != FrameData || end != len(datagram) {
		return 0, nil, false
	}
	return binary.LittleEndian.Uint32(datagram[atCRC+1:]), datagram[begin:end:end], true
}

// SourceIn makes the parts of the source symbol from frame f, a Data, of a decoded datagram in
// any layout and with any other frames.
func SourceIn(h *Header, f *Frame) (crc uint32, body []byte) {
	var head [HeaderLen + 4]byte
	b := appendSourceHeader(head[:0], h, len(f.head))
	return checksum(checksum(0, b[crcCovers:]), f.head), f.head
}

// Rebuild appends the datagram that a source symbol's parts belong to. Its CRC is the one given:
// Decode finds out whether it is right.
func Rebuild(dst []byte, h *Header, crc uint32, body []byte) []byte {
	at := len(dst) + atCRC + 1
	dst = append(appendSourceHeader(dst, h, len(body)), body...)
	binary.LittleEndian.PutUint32(dst[at:], crc)
	return dst
}

// RebuiltLen is the length of the datagram that Rebuild makes of a body of n bytes.
func RebuiltLen(n int) int { return HeaderLen + 1 + varintLen(n) + n }

func appendSourceHeader(dst []byte, h *Header, n int) []byte {
	return appendLength(append(AppendHeader(dst, *h), fieldData<<3|typeBytes), n)
}
