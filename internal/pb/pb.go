// Package pb reads and appends the fields of a protobuf message, for encodings that are written by hand.
package pb

import "google.golang.org/protobuf/encoding/protowire"

// Field is one field of a protobuf message, whatever its number.
type Field struct {
	Number protowire.Number
	Type   protowire.Type
	Bits   uint64 // of a varint or fixed field
	Bytes  []byte // of a length-delimited field; do not append to it
}

// Next reads the field that b begins with; n is its length, or negative. Groups are skipped.
func Next(b []byte) (f Field, n int) {
	var tag, length int
	f.Number, f.Type, tag = protowire.ConsumeTag(b)
	if tag < 0 || f.Number > protowire.MaxValidNumber {
		return f, -1
	}
	b = b[tag:]
	switch f.Type {
	case protowire.VarintType:
		f.Bits, length = protowire.ConsumeVarint(b)
	case protowire.Fixed32Type:
		var bits uint32
		bits, length = protowire.ConsumeFixed32(b)
		f.Bits = uint64(bits)
	case protowire.Fixed64Type:
		f.Bits, length = protowire.ConsumeFixed64(b)
	case protowire.BytesType:
		f.Bytes, length = protowire.ConsumeBytes(b)
	default:
		length = protowire.ConsumeFieldValue(f.Number, f.Type, b)
	}
	if length < 0 {
		return f, -1
	}
	return f, tag + length
}

// AppendLength appends the tag of a length-delimited field and its length; n bytes follow.
func AppendLength(dst []byte, field protowire.Number, n int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.BytesType), uint64(n))
}

// AppendVarint appends a varint field.
func AppendVarint(dst []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.VarintType), v)
}

// AppendSigned appends a varint field of a signed integer (sint32, sint64).
func AppendSigned(dst []byte, field protowire.Number, bits uint64) []byte {
	return AppendVarint(dst, field, protowire.EncodeZigZag(int64(bits)))
}
