package jmsheader

import (
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/activeblaze/blaze/internal/pb"
)

// The schema's field numbers.
const (
	fieldID            protowire.Number = 1
	fieldCorrelationID protowire.Number = 2
	fieldReplyTo       protowire.Number = 3
	fieldType          protowire.Number = 4
	fieldTimestamp     protowire.Number = 5
	fieldExpiration    protowire.Number = 6
	fieldDeliveryTime  protowire.Number = 7
	fieldMode          protowire.Number = 8
	fieldPriority      protowire.Number = 9
	fieldCount         protowire.Number = 10
	fieldConnection    protowire.Number = 11
	fieldProperties    protowire.Number = 12
	fieldBody          protowire.Number = 13

	entryKey   protowire.Number = 1
	entryValue protowire.Number = 2

	valueInt8    protowire.Number = 1
	valueBytes   protowire.Number = 2
	valueChar    protowire.Number = 3
	valueBool    protowire.Number = 4
	valueInt16   protowire.Number = 5
	valueInt32   protowire.Number = 6
	valueInt64   protowire.Number = 7
	valueFloat32 protowire.Number = 8
	valueFloat64 protowire.Number = 9
	valueText    protowire.Number = 10
	valueMap     protowire.Number = 11
)

// Append appends the encoding of h to dst. h keeps to its bounds (Check), its properties are in order, and its texts
// are valid UTF-8.
func (h *Header) Append(dst []byte) []byte {
	dst = slices.Grow(dst, 64)
	if h.ID != (ID{}) {
		dst = append(pb.AppendLength(dst, fieldID, len(h.ID)), h.ID[:]...)
	}
	dst = appendText(dst, fieldCorrelationID, h.CorrelationID)
	dst = appendText(dst, fieldReplyTo, h.ReplyTo)
	dst = appendText(dst, fieldType, h.Type)
	dst = appendNumber(dst, fieldTimestamp, uint64(h.Timestamp))
	dst = appendNumber(dst, fieldExpiration, uint64(h.Expiration))
	dst = appendNumber(dst, fieldDeliveryTime, uint64(h.DeliveryTime))
	dst = appendNumber(dst, fieldMode, uint64(h.Mode))
	if h.Priority != DefaultPriority {
		dst = pb.AppendVarint(dst, fieldPriority, uint64(h.Priority))
	}
	dst = appendNumber(dst, fieldCount, uint64(h.Count))
	if h.Connection != ([16]byte{}) {
		dst = append(pb.AppendLength(dst, fieldConnection, len(h.Connection)), h.Connection[:]...)
	}
	for i := range h.Properties {
		p := &h.Properties[i]
		value := p.Value.size()
		dst = pb.AppendLength(dst, fieldProperties, 1+protowire.SizeBytes(len(p.Name))+1+protowire.SizeBytes(value))
		dst = append(pb.AppendLength(dst, entryKey, len(p.Name)), p.Name...)
		dst = p.Value.append(pb.AppendLength(dst, entryValue, value))
	}
	return appendNumber(dst, fieldBody, uint64(h.Body))
}

func appendText(dst []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return dst
	}
	return append(pb.AppendLength(dst, field, len(s)), s...)
}

func appendNumber(dst []byte, field protowire.Number, n uint64) []byte {
	if n == 0 {
		return dst
	}
	return pb.AppendVarint(dst, field, n)
}

func (v Value) size() int {
	switch v.Kind {
	case Bool:
		return 2
	case Byte, Short, Int, Long:
		return 1 + protowire.SizeVarint(protowire.EncodeZigZag(v.Num))
	case Float:
		return 5
	case Double:
		return 9
	case String:
		return 1 + protowire.SizeBytes(len(v.Text))
	}
	return 0
}

func (v Value) append(dst []byte) []byte {
	switch v.Kind {
	case Bool:
		return pb.AppendVarint(dst, valueBool, uint64(v.Num))
	case Byte:
		return pb.AppendSigned(dst, valueInt8, uint64(v.Num))
	case Short:
		return pb.AppendSigned(dst, valueInt16, uint64(v.Num))
	case Int:
		return pb.AppendSigned(dst, valueInt32, uint64(v.Num))
	case Long:
		return pb.AppendSigned(dst, valueInt64, uint64(v.Num))
	case Float:
		dst = protowire.AppendTag(dst, valueFloat32, protowire.Fixed32Type)
		return protowire.AppendFixed32(dst, math.Float32bits(float32(v.Float64())))
	case Double:
		dst = protowire.AppendTag(dst, valueFloat64, protowire.Fixed64Type)
		return protowire.AppendFixed64(dst, uint64(v.Num))
	case String:
		return append(pb.AppendLength(dst, valueText, len(v.Text)), v.Text...)
	}
	return dst
}

// Parse decodes the Header that is b. It keeps no reference to b, and skips fields that it does not know. Whatever
// bound of the schema b breaks is an error.
func Parse(b []byte) (Header, error) {
	h := New()
	text := ""
	sorted := true
	bytes := 0
	for at := 0; at < len(b); {
		f, n := pb.Next(b[at:])
		if n < 0 {
			return Header{}, ErrEncoding
		}
		end := at + n
		at = end
		var err error
		switch f.Type {
		case protowire.VarintType:
			h.setNumber(f.Number, f.Bits)
		case protowire.BytesType:
			if f.Number == fieldID || f.Number == fieldConnection {
				fixed := h.ID[:]
				if f.Number == fieldConnection {
					fixed = h.Connection[:]
				}
				err = setFixed(fixed, f.Bytes)
				break
			}
			if text == "" {
				text = string(b) // one copy, which all texts share
			}
			body := text[end-len(f.Bytes) : end]
			switch f.Number {
			case fieldCorrelationID:
				h.CorrelationID, err = textOf(body)
			case fieldReplyTo:
				h.ReplyTo, err = textOf(body)
			case fieldType:
				h.Type, err = textOf(body)
			case fieldProperties:
				var p Property
				if p, err = parseProperty(f.Bytes, body); err != nil {
					break
				}
				if k := len(h.Properties); k > 0 && h.Properties[k-1].Name >= p.Name {
					sorted = false
				}
				bytes += len(p.Name) + len(p.Value.Text)
				if h.Properties = append(h.Properties, p); len(h.Properties) > MaxProperties || bytes > MaxPropertyBytes {
					err = errProperties
				}
			}
		}
		if err != nil {
			return Header{}, err
		}
	}
	if !sorted {
		h.Properties = settle(h.Properties)
	}
	if err := h.Check(); err != nil {
		return Header{}, err
	}
	return h, nil
}

// settle puts properties in order; of a name that came twice the last one counts.
func settle(ps []Property) []Property {
	slices.SortStableFunc(ps, func(p, q Property) int { return strings.Compare(p.Name, q.Name) })
	out := ps[:0]
	for i, p := range ps {
		if i+1 == len(ps) || ps[i+1].Name != p.Name {
			out = append(out, p)
		}
	}
	return out
}

func (h *Header) setNumber(field protowire.Number, bits uint64) {
	switch field {
	case fieldTimestamp:
		h.Timestamp = int64(bits)
	case fieldExpiration:
		h.Expiration = int64(bits)
	case fieldDeliveryTime:
		h.DeliveryTime = int64(bits)
	case fieldMode:
		if h.Mode = Unspecified; uint32(bits) <= uint32(Persistent) {
			h.Mode = Mode(bits) // else a later version's
		}
	case fieldPriority:
		h.Priority = uint8(min(uint64(uint32(bits)), math.MaxUint8))
	case fieldCount:
		h.Count = uint32(bits)
	case fieldBody:
		if h.Body = Derived; uint32(bits) <= uint32(Object) {
			h.Body = Body(bits)
		}
	}
}

func setFixed(dst, s []byte) error {
	if len(s) != len(dst) && len(s) != 0 {
		return errID
	}
	clear(dst)
	copy(dst, s)
	return nil
}

func textOf(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errUTF8
	}
	return s, nil
}

// parseProperty reads an entry; text is b as a string.
func parseProperty(b []byte, text string) (p Property, err error) {
	for at := 0; at < len(b); {
		f, n := pb.Next(b[at:])
		if n < 0 {
			return p, ErrEncoding
		}
		at += n
		if f.Type != protowire.BytesType {
			continue
		}
		body := text[at-len(f.Bytes) : at]
		switch f.Number {
		case entryKey:
			p.Name, err = textOf(body)
		case entryValue:
			err = p.Value.parse(f.Bytes, body)
		}
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

func (v *Value) parse(b []byte, text string) error {
	for at := 0; at < len(b); {
		f, n := pb.Next(b[at:])
		if n < 0 {
			return ErrEncoding
		}
		at += n
		switch f.Type {
		case protowire.VarintType:
			if err := v.setVarint(f.Number, f.Bits); err != nil {
				return err
			}
		case protowire.Fixed32Type:
			if f.Number == valueFloat32 {
				*v = FloatValue(math.Float32frombits(uint32(f.Bits)))
			}
		case protowire.Fixed64Type:
			if f.Number == valueFloat64 {
				*v = Value{Kind: Double, Num: int64(f.Bits)}
			}
		case protowire.BytesType:
			switch f.Number {
			case valueText:
				s, err := textOf(text[at-len(f.Bytes) : at])
				if err != nil {
					return err
				}
				*v = StringValue(s)
			case valueBytes, valueMap:
				return errKind
			}
		}
	}
	return nil
}

func (v *Value) setVarint(field protowire.Number, bits uint64) error {
	// A 32-bit field whose varint is longer is cut, as in protobuf.
	small := int64(int32(protowire.DecodeZigZag(bits & math.MaxUint32)))
	switch field {
	case valueInt8:
		if small != int64(int8(small)) {
			return errKind
		}
		*v = IntValue(Byte, small)
	case valueChar:
		return errKind
	case valueBool:
		*v = BoolValue(bits != 0)
	case valueInt16:
		if small != int64(int16(small)) {
			return errKind
		}
		*v = IntValue(Short, small)
	case valueInt32:
		*v = IntValue(Int, small)
	case valueInt64:
		*v = IntValue(Long, protowire.DecodeZigZag(bits))
	}
	return nil
}
