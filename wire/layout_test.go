package wire

import (
	"bytes"
	"cmp"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/activeblaze/blaze/wire/wirepb"
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }

// rewriter encodes a message again, in another layout with the same meaning.
type rewriter struct {
	rng     *rand.Rand
	permute bool // fields in any order; those of one number keep theirs
	unknown bool // fields that nobody knows, of every wire type
	long    bool // tags, lengths and varints longer than they have to be
}

func (w rewriter) rewrite(b []byte, desc protoreflect.MessageDescriptor) []byte {
	type field struct {
		num   protowire.Number
		bytes []byte
	}
	var fields []field
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		b = b[n:]
		n = protowire.ConsumeFieldValue(num, typ, b)
		value := b[:n]
		b = b[n:]
		out := w.varint(nil, protowire.EncodeTag(num, typ))
		switch typ {
		case protowire.BytesType:
			body, _ := protowire.ConsumeBytes(value)
			if fd := desc.Fields().ByNumber(num); fd.Kind() == protoreflect.MessageKind {
				body = w.rewrite(body, fd.Message())
			}
			out = append(w.varint(out, uint64(len(body))), body...)
		case protowire.VarintType:
			v, _ := protowire.ConsumeVarint(value)
			out = w.varint(out, v)
		default:
			out = append(out, value...)
		}
		fields = append(fields, field{num, out})
	}
	if w.permute {
		order := map[protowire.Number]int{}
		for _, i := range w.rng.Perm(41) {
			order[protowire.Number(i)] = len(order)
		}
		slices.SortStableFunc(fields, func(a, b field) int { return order[a.num] - order[b.num] })
	}
	var out []byte
	for _, f := range fields {
		out = append(w.stranger(out, desc), f.bytes...)
	}
	return w.stranger(out, desc)
}

func (w rewriter) varint(b []byte, v uint64) []byte {
	start := len(b)
	b = protowire.AppendVarint(b, v)
	if w.long {
		for n := w.rng.IntN(3); n > 0 && len(b)-start < 9; n-- {
			b[len(b)-1] |= 0x80
			b = append(b, 0)
		}
	}
	return b
}

// stranger appends unknown fields, some with numbers that blaze.proto has reserved.
func (w rewriter) stranger(b []byte, desc protoreflect.MessageDescriptor) []byte {
	num := protowire.Number([]int{11, 40, 1000, 1<<29 - 1}[w.rng.IntN(4)])
	if !w.unknown || desc.Fields().ByNumber(num) != nil {
		return b
	}
	switch w.rng.IntN(6) {
	case 0:
		b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), math.MaxUint64)
	case 1:
		b = protowire.AppendFixed64(protowire.AppendTag(b, num, protowire.Fixed64Type), 1)
	case 2:
		b = protowire.AppendFixed32(protowire.AppendTag(b, num, protowire.Fixed32Type), 1)
	case 3:
		b = protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), []byte("newer"))
	case 4:
		b = protowire.AppendTag(b, num, protowire.StartGroupType)
		b = protowire.AppendTag(b, 1, protowire.StartGroupType)
		b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), []byte("older"))
		b = protowire.AppendTag(b, 1, protowire.EndGroupType)
		b = protowire.AppendTag(b, num, protowire.EndGroupType)
	}
	return b
}

// SE-2: a valid datagram in another layout gives the same values through the general path.
func TestOtherLayouts(t *testing.T) {
	rng := newRand(1)
	desc := (&wirepb.Datagram{}).ProtoReflect().Descriptor()
	var d Datagram
	for _, g := range golden {
		b := goldenBytes(t, g.name)
		want, err := reference(b)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 400 {
			w := rewriter{rng, i&1 != 0, i&2 != 0, i&4 != 0}
			other := reseal(w.rewrite(b, desc))
			if err := Decode(other, &d); err != nil {
				t.Fatalf("%s, permuted %v, unknown %v, long %v: %v\n%x", g.name, w.permute, w.unknown, w.long, err, other)
			}
			if got := plainOf(&d); !reflect.DeepEqual(got, want) {
				t.Fatalf("%s, permuted %v, unknown %v, long %v: got\n%v, want\n%v\n%x", g.name, w.permute, w.unknown, w.long, got, want, other)
			}
			if d.Canonical != bytes.Equal(b, other) {
				t.Fatalf("%s: Canonical is %v for\n%x", g.name, d.Canonical, other)
			}
			if err := DecodeAgain(other, &d); err != nil || !reflect.DeepEqual(plainOf(&d), want) {
				t.Fatalf("%s: DecodeAgain gives %v\n%v, want\n%v", g.name, err, plainOf(&d), want)
			}
		}
	}
}

// requiredFields are those that blaze.proto marks, as message.field, in these messages and those inside.
func requiredFields(t *testing.T, roots ...proto.Message) map[string]bool {
	t.Helper()
	inside := map[string]bool{}
	var enter func(protoreflect.MessageDescriptor)
	enter = func(md protoreflect.MessageDescriptor) {
		if inside[string(md.Name())] {
			return
		}
		inside[string(md.Name())] = true
		for i := range md.Fields().Len() {
			if m := md.Fields().Get(i).Message(); m != nil {
				enter(m)
			}
		}
	}
	for _, r := range roots {
		enter(r.ProtoReflect().Descriptor())
	}
	text, err := os.ReadFile("blaze.proto")
	if err != nil {
		t.Fatal(err)
	}
	required := map[string]bool{}
	message := ""
	for line := range strings.Lines(string(text)) {
		if m := regexp.MustCompile(`^message (\w+)`).FindStringSubmatch(line); m != nil {
			message = m[1]
		}
		if m := regexp.MustCompile(`^  optional \S+ (\w+) = \d+; *// required`).FindStringSubmatch(line); m != nil && inside[message] {
			required[message+"."+m[1]] = true
		}
	}
	return required
}

// eachField calls visit for m and every message in it, with every field that is set.
func eachField(m protoreflect.Message, visit func(m protoreflect.Message, fd protoreflect.FieldDescriptor)) {
	var fields []protoreflect.FieldDescriptor
	m.Range(func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		fields = append(fields, fd)
		return true
	})
	// Range has another order in another binary.
	slices.SortFunc(fields, func(a, b protoreflect.FieldDescriptor) int { return cmp.Compare(a.Number(), b.Number()) })
	for _, fd := range fields {
		v := m.Get(fd)
		switch {
		case fd.IsList() && fd.Kind() == protoreflect.MessageKind:
			for i := range v.List().Len() {
				eachField(v.List().Get(i).Message(), visit)
			}
		case fd.Kind() == protoreflect.MessageKind:
			eachField(v.Message(), visit)
		}
		visit(m, fd)
	}
}

func sealed(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return reseal(b)
}

// SE-2: a missing required field is ErrMalformed; without an optional one both decoders agree.
func TestMissingFields(t *testing.T) {
	required := requiredFields(t, &wirepb.Datagram{})
	dropped := map[string]bool{}
	var d Datagram
	for _, g := range golden {
		var pb wirepb.Datagram
		if err := proto.Unmarshal(goldenBytes(t, g.name), &pb); err != nil {
			t.Fatal(err)
		}
		eachField(pb.ProtoReflect(), func(m protoreflect.Message, fd protoreflect.FieldDescriptor) {
			name := string(m.Descriptor().Name()) + "." + string(fd.Name())
			was := m.Get(fd)
			m.Clear(fd)
			b := sealed(t, &pb)
			m.Set(fd, was)
			err := Decode(b, &d)
			if required[name] {
				dropped[name] = true
				if !errors.Is(err, ErrMalformed) {
					t.Errorf("%s without %s: %v", g.name, name, err)
				}
			}
			if _, ref := reference(b); (err == nil) != (ref == nil) {
				t.Errorf("%s without %s: %v, generated code %v", g.name, name, err, ref)
			}
		})
	}
	if len(dropped) != len(required) || len(required) < 30 {
		t.Errorf("%d of %d required fields are in a vector", len(dropped), len(required))
	}
}

// SE-12: every number at its edges behaves the same in both decoders, and Decode says so with
// an error of its own.
func TestEdgesOfNumbers(t *testing.T) {
	edges := []uint64{0, 1, 2, 127, 128, 255, 256, 1<<16 - 1, 1 << 16, 1<<16 + 1, 1<<31 - 1, 1 << 31, 1<<32 - 2, 1<<32 - 1,
		1 << 32, 1 << 63, math.MaxUint64 - 2, math.MaxUint64 - 1, math.MaxUint64}
	var d Datagram
	accepted, refused := 0, 0
	for _, g := range golden {
		var pb wirepb.Datagram
		if err := proto.Unmarshal(goldenBytes(t, g.name), &pb); err != nil {
			t.Fatal(err)
		}
		eachField(pb.ProtoReflect(), func(m protoreflect.Message, fd protoreflect.FieldDescriptor) {
			was := m.Get(fd)
			for _, edge := range edges {
				switch fd.Kind() {
				case protoreflect.Fixed64Kind:
					m.Set(fd, protoreflect.ValueOfUint64(edge))
				case protoreflect.Fixed32Kind:
					m.Set(fd, protoreflect.ValueOfUint32(uint32(edge)))
				case protoreflect.Uint32Kind:
					m.Set(fd, protoreflect.ValueOfUint32(uint32(edge)))
				case protoreflect.EnumKind:
					m.Set(fd, protoreflect.ValueOfEnum(protoreflect.EnumNumber(int32(edge))))
				default:
					return
				}
				b := sealed(t, &pb)
				err := Decode(b, &d)
				want, ref := reference(b)
				switch {
				case (err == nil) != (ref == nil):
					t.Errorf("%s, %s = %d: %v, generated code %v", g.name, fd.FullName(), edge, err, ref)
				case err == nil && !reflect.DeepEqual(plainOf(&d), want):
					t.Errorf("%s, %s = %d: other values", g.name, fd.FullName(), edge)
				case err == nil:
					accepted++
				case fd.Name() == "version":
					if !errors.Is(err, ErrVersion) {
						t.Errorf("version %d: %v", edge, err)
					}
				case fd.FullName() == "blaze.wire.v1.Item.head": // it may ask for fields that are missing
					refused++
				case !errors.Is(err, ErrRange):
					t.Errorf("%s, %s = %d: %v, want ErrRange", g.name, fd.FullName(), edge, err)
				default:
					refused++
				}
			}
			m.Set(fd, was)
		})
	}
	if accepted < 500 || refused < 100 {
		t.Errorf("%d values accepted, %d refused: the test sees too little", accepted, refused)
	}
}

// layoutRow is what stands behind a header, valid, and whether all of it is canonical.
type layoutRow struct {
	name      string
	bytes     []byte
	canonical bool
}

// Layouts that differ from the canonical one in one small thing: valid, and not canonical.
func layoutRows() []layoutRow {
	kindRaw := &wirepb.Packed{Topic: proto.String("t"), Kind: wirepb.Kind_KIND_RAW.Enum()}
	empty := &wirepb.Packed{Payload: []byte{}}
	one := &wirepb.Packed{Topic: proto.String("t"), Payload: []byte("x")}
	start := AppendStart(nil, Start{First: 1, FirstMessage: 1, Lanes: 1})
	leave := AppendLeave(nil, Leave{})
	nak := AppendNak(nil, testOrigin, 1, nil, []Gap{{7, 1}})
	nak[1] += 2 + pairLen
	nak = AppendGap(append(nak, 3<<3|typeBytes, pairLen), Gap{5, 1})
	return []layoutRow{
		{"as it should be", dataFrame(1, 1, one), true},
		{"topic repeated in full", dataFrame(1, 1, one, one), true},
		{"kind 0 written", dataFrame(1, 1, kindRaw), false},
		{"empty payload written", dataFrame(1, 1, one, empty), false},
		{"empty payload written behind a kind", dataFrame(1, 1, one, &wirepb.Packed{Kind: wirepb.Kind_KIND_MESSAGE.Enum(), Payload: []byte{}}), false},
		{"again before gaps", nak, false},
		{"frames in order", cat(start, leave), true},
		{"frames out of order", cat(leave, start), false},
		{"length of a frame with a byte too many", cat(start[:2], []byte{startBody | 0x80, 0x00}, start[3:]), false},
		{"length of a frame with two bytes too many", cat(start[:2], []byte{startBody | 0x80, 0x80, 0x00}, start[3:]), false},
		{"want_status false written", frame(FrameHeartbeat, append(AppendHeartbeat(nil, Heartbeat{First: 1, FirstMessage: 1, NextMessage: 1})[2:], 0x40, 0)), false},
		{"want_status 2", frame(FrameHeartbeat, append(AppendHeartbeat(nil, Heartbeat{First: 1, FirstMessage: 1, NextMessage: 1})[2:], 0x40, 2)), false},
		{"an unknown field in a frame", frame(FrameLeave, []byte{0x50, 1}), false},
	}
}

func TestAlmostCanonical(t *testing.T) {
	for _, c := range layoutRows() {
		b := datagramOf(c.bytes)
		var d Datagram
		if err := Decode(b, &d); err != nil || d.Canonical != c.canonical {
			t.Errorf("%s: %v, canonical %v", c.name, err, d.Canonical)
		}
		compareDecoders(t, b)
	}
}

// A field of the header comes once, also where the header is laid out otherwise.
func TestHeaderTwice(t *testing.T) {
	h := AppendHeader(nil, testHeader())
	fields := [][]byte{h[:5], h[5:14], h[14:19], h[19:37], h[37:42], h[42:47]}
	var d Datagram
	if err := Decode(reseal(cat(fields[1], fields[0], cat(fields[2:]...))), &d); err != nil || d.Canonical || d.Header != testHeader() {
		t.Errorf("cluster before version: %v, canonical %v, %+v", err, d.Canonical, d.Header)
	}
	for i, f := range fields {
		if i == 2 {
			continue // which CRC would be the right one?
		}
		for name, b := range map[string][]byte{"behind": cat(h, f), "in front": cat(f, h)} {
			if err := Decode(reseal(b), &d); !errors.Is(err, ErrMalformed) {
				t.Errorf("field %d a second time, %s: %v", i+1, name, err)
			}
		}
	}
}
