package wire

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/activeblaze/blaze/wire/wirepb"
)

// The frames of FEC as values that can be compared.

type plainRepair struct {
	Block                                    uint64
	Scheme, Stride, Sources, Repairs, Index_ uint8
	Symbol                                   string
}

type plainSymbolNak struct {
	Origin            MemberID
	OriginIncarnation uint32
	Needs             []Need
}

func plainFEC(f *Frame) any {
	if f.Kind == FrameRepair {
		r := f.Repair()
		return plainRepair{r.Block, r.Scheme, r.Stride, r.Sources, r.Repairs, r.Index, string(r.Symbol)}
	}
	n := f.SymbolNak()
	p := plainSymbolNak{Origin: n.Origin, OriginIncarnation: n.OriginIncarnation}
	it := n.Needs()
	for x, ok := it.Next(); ok; x, ok = it.Next() {
		p.Needs = append(p.Needs, x)
	}
	return p
}

func appendPlainFEC(b []byte, f any) []byte {
	switch f := f.(type) {
	case plainRepair:
		return AppendRepair(b, &Repair{f.Block, f.Scheme, f.Stride, f.Sources, f.Repairs, f.Index_, []byte(f.Symbol)})
	case plainSymbolNak:
		return AppendSymbolNak(b, f.Origin, f.OriginIncarnation, f.Needs)
	}
	panic("a frame of no kind")
}

func referenceFEC(pb *wirepb.Datagram, add func(any, error)) {
	for _, f := range pb.Repair {
		add(referenceRepair(f))
	}
	for _, f := range pb.SymbolNak {
		add(referenceSymbolNak(f))
	}
}

func referenceRepair(f *wirepb.Repair) (any, error) {
	if err := missing(f.Block != nil, f.Scheme != nil, f.Stride != nil, f.Sources != nil, f.Repairs != nil, f.Index != nil, f.Symbol != nil); err != nil {
		return nil, err
	}
	p := plainRepair{*f.Block, uint8(*f.Scheme), uint8(*f.Stride), uint8(*f.Sources), uint8(*f.Repairs), uint8(*f.Index), string(f.Symbol)}
	if err := outside(*f.Scheme >= 1, *f.Scheme <= 127, *f.Stride >= 1, *f.Stride <= 127, *f.Sources >= 1, *f.Sources <= 127,
		*f.Repairs <= 127, *f.Index <= 127, len(f.Symbol) > 0, *f.Block >= 1); err != nil {
		return nil, err
	}
	return p, outside(*f.Block <= math.MaxUint64-1-uint64(*f.Stride)*uint64(*f.Sources-1))
}

func referenceSymbolNak(f *wirepb.SymbolNak) (any, error) {
	if err := missing(f.Origin != nil, f.OriginIncarnation != nil); err != nil {
		return nil, err
	}
	p := plainSymbolNak{Origin: member(f.Origin), OriginIncarnation: *f.OriginIncarnation}
	for _, n := range f.Needs {
		if err := missing(n.Block != nil, n.Count != nil); err != nil {
			return nil, err
		}
		if err := outside(*n.Block >= 1, *n.Block < math.MaxUint64, *n.Count >= 1, *n.Count <= 127); err != nil {
			return nil, err
		}
		p.Needs = append(p.Needs, Need{*n.Block, *n.Count})
	}
	return p, outside(len(f.Origin) == 16, len(f.Needs) >= 1, len(f.Needs) <= 64)
}

func (m *maker) fec(kind FrameKind) any {
	if kind == FrameSymbolNak {
		n := plainSymbolNak{Origin: m.id(), OriginIncarnation: m.u32()}
		for range 1 + m.n(20) {
			n.Needs = append(n.Needs, Need{m.u64(1, math.MaxUint64-1), uint32(m.u64(1, 127))})
		}
		return n
	}
	small := func(lo uint64) uint8 { return uint8(m.u64(lo, 127)) }
	return plainRepair{m.u64(1, math.MaxUint64-1-126*127), small(1), small(1), small(1), small(0), small(0), m.text(300) + "s"}
}

func needsFrame(n int) []byte {
	list := make([]Need, n)
	for i := range list {
		list[i] = Need{1, 1}
	}
	return AppendSymbolNak(nil, testOrigin, 1, list)
}

// The bounds of the frames of FEC, each on both sides.
func boundRowsFEC() []boundRow {
	const max64 = math.MaxUint64
	repair := func(change func(*wirepb.Repair)) []byte {
		r := &wirepb.Repair{Block: proto.Uint64(1), Scheme: proto.Uint32(1), Stride: proto.Uint32(1), Sources: proto.Uint32(20),
			Repairs: proto.Uint32(2), Index: proto.Uint32(0), Symbol: []byte("s")}
		change(r)
		return frame(FrameRepair, marshal(r))
	}
	return []boundRow{
		{"repair: as it should be", repair(func(r *wirepb.Repair) {}), nil},
		{"repair: block 0", repair(func(r *wirepb.Repair) { *r.Block = 0 }), ErrRange},
		{"repair: the last source is max-1", repair(func(r *wirepb.Repair) { *r.Block, *r.Stride = max64-1-19*3, 3 }), nil},
		{"repair: the last source is max", repair(func(r *wirepb.Repair) { *r.Block, *r.Stride = max64-19*3, 3 }), ErrRange},
		{"repair: the last source wraps", repair(func(r *wirepb.Repair) { *r.Block, *r.Stride = max64, 127 }), ErrRange},
		{"repair: scheme 0", repair(func(r *wirepb.Repair) { *r.Scheme = 0 }), ErrRange},
		{"repair: a newer scheme", repair(func(r *wirepb.Repair) { *r.Scheme = 127 }), nil},
		{"repair: scheme 128", repair(func(r *wirepb.Repair) { *r.Scheme = 128 }), ErrRange},
		{"repair: scheme 2^32-1", repair(func(r *wirepb.Repair) { *r.Scheme = math.MaxUint32 }), ErrRange},
		{"repair: stride 0", repair(func(r *wirepb.Repair) { *r.Stride = 0 }), ErrRange},
		{"repair: stride 128", repair(func(r *wirepb.Repair) { *r.Stride = 128 }), ErrRange},
		{"repair: no source", repair(func(r *wirepb.Repair) { *r.Sources = 0 }), ErrRange},
		{"repair: 127 sources", repair(func(r *wirepb.Repair) { *r.Sources = 127 }), nil},
		{"repair: 128 sources", repair(func(r *wirepb.Repair) { *r.Sources = 128 }), ErrRange},
		{"repair: none unasked", repair(func(r *wirepb.Repair) { *r.Repairs = 0 }), nil},
		{"repair: 128 unasked", repair(func(r *wirepb.Repair) { *r.Repairs = 128 }), ErrRange},
		{"repair: index 127", repair(func(r *wirepb.Repair) { *r.Index = 127 }), nil},
		{"repair: index 128", repair(func(r *wirepb.Repair) { *r.Index = 128 }), ErrRange},
		{"repair: empty symbol", repair(func(r *wirepb.Repair) { r.Symbol = []byte{} }), ErrRange},
		{"repair: no symbol", repair(func(r *wirepb.Repair) { r.Symbol = nil }), ErrMalformed},
		{"repair: the low 32 bits of a varint count",
			frame(FrameRepair, protowire.AppendVarint(append(repair(func(r *wirepb.Repair) {})[3:], 0x10), 1<<32|5)), nil},

		{"symbol nak: 64 blocks", needsFrame(64), nil},
		{"symbol nak: 65 blocks", needsFrame(65), ErrRange},
		{"symbol nak: no block", needsFrame(0), ErrRange},
		{"symbol nak: block 0", AppendSymbolNak(nil, testOrigin, 1, []Need{{0, 1}}), ErrRange},
		{"symbol nak: block max-1", AppendSymbolNak(nil, testOrigin, 1, []Need{{max64 - 1, 1}}), nil},
		{"symbol nak: block max", AppendSymbolNak(nil, testOrigin, 1, []Need{{max64, 1}}), ErrRange},
		{"symbol nak: 0 symbols", AppendSymbolNak(nil, testOrigin, 1, []Need{{1, 0}}), ErrRange},
		{"symbol nak: 127 symbols", AppendSymbolNak(nil, testOrigin, 1, []Need{{1, 127}}), nil},
		{"symbol nak: 128 symbols", AppendSymbolNak(nil, testOrigin, 1, []Need{{1, 128}}), ErrRange},
	}
}

func TestBoundsFEC(t *testing.T) {
	for _, c := range boundRowsFEC() {
		b := datagramOf(c.bytes)
		var d Datagram
		if err := Decode(b, &d); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		compareDecoders(t, b)
	}
	for n := range MaxNeeds + 1 {
		if got := len(needsFrame(n)); got != SymbolNakSize(n) {
			t.Errorf("%d needs: %d bytes, SymbolNakSize says %d", n, got, SymbolNakSize(n))
		}
	}
}

// A source datagram of whatever length gives a repair datagram that is longer by RepairOverhead
// at most, and by just so much at some length.
func TestRepairOverhead(t *testing.T) {
	most := 0
	for n := range 20000 {
		source := RebuiltLen(n)
		repair := HeaderLen + len(AppendRepair(nil, &Repair{Symbol: make([]byte, SourceLen(n))}))
		most = max(most, repair-source)
	}
	for limit := 100; limit < 20000; limit++ {
		room := SymbolRoom(limit)
		size := HeaderLen + len(AppendRepair(nil, &Repair{Symbol: make([]byte, room)}))
		if size > limit || size < limit-2 {
			t.Fatalf("SymbolRoom(%d) = %d, which makes a datagram of %d bytes", limit, room, size)
		}
	}
	if most > RepairOverhead || most < RepairOverhead-2 {
		t.Errorf("up to %d bytes longer, RepairOverhead says %d", most, RepairOverhead)
	}
}

// A source symbol gives its datagram back, whatever else the datagram had in it and however it
// was laid out.
func TestSourceSymbol(t *testing.T) {
	data := writeData(plainData{Number: 7, FirstMessage: 9, Messages: []plainPacked{{"t", KindRaw, "payload"}}})[HeaderLen:]
	alone := datagramOf(data)
	crc, body, ok := SourceOf(alone)
	if !ok {
		t.Fatal("SourceOf refuses a datagram with one Data")
	}
	symbol := AppendSource(nil, crc, body)
	if len(symbol) != SourceLen(len(body)) || len(alone) != RebuiltLen(len(body)) {
		t.Error("SourceLen or RebuiltLen")
	}
	crc, body, ok = ParseSource(append(symbol, 0, 0, 0))
	h := testHeader()
	if again := Rebuild(nil, &h, crc, body); !ok || !bytes.Equal(again, alone) {
		t.Errorf("rebuilt as\n%x, not\n%x", again, alone)
	}
	if _, _, ok := ParseSource(append(symbol, 0, 1)); ok {
		t.Error("a symbol with padding that is not zero is accepted")
	}
	for n := range symbol {
		if _, _, ok := ParseSource(symbol[:n]); ok {
			t.Errorf("the first %d bytes of a symbol are accepted", n)
		}
	}

	var d Datagram
	other := datagramOf(data, AppendStart(nil, Start{First: 7, FirstMessage: 9, Lanes: 1}))
	if _, _, ok := SourceOf(other); ok {
		t.Error("SourceOf accepts a datagram with a Start, whose CRC covers that")
	}
	w := rewriter{newRand(3), true, true, true}
	for _, b := range [][]byte{alone, other, reseal(w.rewrite(other, (&wirepb.Datagram{}).ProtoReflect().Descriptor()))} {
		if err := Decode(b, &d); err != nil {
			t.Fatal(err)
		}
		frames := d.Frames()
		for i := range frames {
			if frames[i].Kind != FrameData {
				continue
			}
			crc, body := SourceIn(&d.Header, &frames[i])
			var again Datagram
			if err := Decode(Rebuild(nil, &d.Header, crc, body), &again); err != nil {
				t.Errorf("rebuilt from\n%x: %v", b, err)
			}
		}
	}
}
