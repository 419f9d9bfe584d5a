package wire

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/activeblaze/blaze/wire/wirepb"
)

// The layouts are the frames of blaze.proto: every kind, every field, with its number and type.
func TestLayoutsAgreeWithProto(t *testing.T) {
	frames := (&wirepb.Datagram{}).ProtoReflect().Descriptor().Fields()
	seen := 0
	for i := range frames.Len() {
		frame := frames.Get(i)
		number := frame.Number()
		if number < fieldData {
			continue // the header
		}
		if !isFrame(uint32(number)) {
			t.Errorf("%s is not decoded", frame.Name())
			continue
		}
		if number == fieldData {
			continue
		}
		seen++
		l, fields := layouts[number], frame.Message().Fields()
		if fields.Len() != len(l.fields) {
			t.Errorf("%s has %d fields, its layout %d", frame.Name(), fields.Len(), len(l.fields))
			continue
		}
		for i := range l.fields {
			fd := fields.ByNumber(protoreflect.FieldNumber(i + 1))
			if fd == nil {
				t.Errorf("%s has no field %d", frame.Name(), i+1)
			} else if got := l.fields[i].kind; !kindFits(got, fd) {
				t.Errorf("%s is of kind %d in its layout", fd.FullName(), got)
			}
		}
		if n := len(l.head.bytes) + len(l.tail.bytes); n > len(scratch{}) {
			t.Errorf("%s: %d bytes of fixed size do not fit scratch", frame.Name(), n)
		}
		inside := l.nested.number != 0
		if len(l.bytes) > len(parts{}.bytes) || (l.first != 0) != (l.inRange == nil) || l.first != 0 && len(l.bytes)+len(l.tail.bytes) > 0 ||
			inside && (l.first != 0 || len(l.tail.bytes) > 0 || int(l.nested.number) != len(l.fields) || l.nested.most == 0) {
			t.Errorf("%s: this layout is not supported", frame.Name())
		}
	}
	for number, l := range layouts {
		if l != nil {
			seen--
			if frames.ByNumber(protoreflect.FieldNumber(number)) == nil {
				t.Errorf("blaze.proto has no frame %d", number)
			}
		}
	}
	if seen != 0 {
		t.Error("a frame has no layout, or a layout no frame")
	}
}

func kindFits(k fieldKind, fd protoreflect.FieldDescriptor) bool {
	switch k {
	case kindFixed64:
		return fd.Kind() == protoreflect.Fixed64Kind && !fd.IsList()
	case kindFixed32:
		return fd.Kind() == protoreflect.Fixed32Kind && !fd.IsList()
	case kindSmall:
		return fd.Kind() == protoreflect.Uint32Kind && !fd.IsList()
	case kindTrue:
		return fd.Kind() == protoreflect.BoolKind && !fd.IsList()
	case kindMember, kindBytes:
		return fd.Kind() == protoreflect.BytesKind && !fd.IsList()
	case kindMessage, kindMessages:
		return fd.Message() != nil && fd.IsList() == (k == kindMessages)
	case kindPairs:
		if !fd.IsList() || fd.Message() == nil || fd.Message().Fields().Len() != 2 {
			return false
		}
		a, b := fd.Message().Fields().ByNumber(1), fd.Message().Fields().ByNumber(2)
		return kindFits(kindFixed64, a) && kindFits(kindFixed32, b)
	}
	return false
}
