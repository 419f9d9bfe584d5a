package wire

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/activeblaze/blaze/wire/wirepb"
)

// plain is a datagram as values that can be compared and printed, whoever decoded it. Frames
// are sorted by kind, stably, because generated code does not keep the order between kinds.
type plain struct {
	Header Header
	Frames []any // plainData, plainNak, Heartbeat, Status, Start, Leave, Ring, plainToken, plainJoin, plainCommit, plainNotice, and those of groups
}

type plainData struct {
	Number, FirstMessage uint64
	Fragment             bool
	Offset, Size         uint32
	Messages             []plainPacked
}

type plainPacked struct {
	Topic   string // resolved
	Kind    Kind
	Payload string
}

type plainNak struct {
	Origin            MemberID
	OriginIncarnation uint32
	Gaps, Again       []Gap
}

func (p plain) String() string {
	type bare plain // which has no String
	return fmt.Sprintf("%+v", bare(p))
}

// plainOf reads everything that d hands out.
func plainOf(d *Datagram) plain {
	frames := slices.Clone(d.Frames())
	slices.SortStableFunc(frames, func(a, b Frame) int { return cmp.Compare(a.Kind, b.Kind) })
	p := plain{Header: d.Header}
	for i := range frames {
		switch f := &frames[i]; f.Kind {
		case FrameData:
			p.Frames = append(p.Frames, plainDataOf(f.Data()))
		case FrameNak:
			n := f.Nak()
			pn := plainNak{Origin: n.Origin, OriginIncarnation: n.OriginIncarnation}
			gaps, again := n.Gaps(), n.Again()
			for g, ok := gaps.Next(); ok; g, ok = gaps.Next() {
				pn.Gaps = append(pn.Gaps, g)
			}
			for g, ok := again.Next(); ok; g, ok = again.Next() {
				pn.Again = append(pn.Again, g)
			}
			p.Frames = append(p.Frames, pn)
		case FrameHeartbeat:
			p.Frames = append(p.Frames, f.Heartbeat())
		case FrameStatus:
			p.Frames = append(p.Frames, f.Status())
		case FrameStart:
			p.Frames = append(p.Frames, f.Start())
		case FrameLeave:
			p.Frames = append(p.Frames, f.Leave())
		case FrameRepair, FrameSymbolNak:
			p.Frames = append(p.Frames, plainFEC(f))
		case FramePair, FramePairAck, FrameBeat, FrameHello, FrameMembers, FrameProbe, FrameWord:
			p.Frames = append(p.Frames, plainGroup(f))
		default:
			p.Frames = append(p.Frames, plainTotem(f))
		}
	}
	return p
}

func plainDataOf(d Data) plainData {
	p := plainData{Number: d.Number, FirstMessage: d.FirstMessage, Fragment: d.Fragment, Offset: d.Offset, Size: d.Size}
	it := d.Messages()
	for it.Step() {
		p.Messages = append(p.Messages, plainPacked{string(it.Topic), it.Kind, string(it.Payload)})
	}
	if len(p.Messages) != d.Count {
		panic(fmt.Sprintf("Count is %d, but there are %d messages", d.Count, len(p.Messages)))
	}
	return p
}

// appendPlain encodes p canonically with the functions of this package.
func appendPlain(p plain) []byte {
	b := AppendHeader(nil, p.Header)
	for _, f := range p.Frames {
		switch f := f.(type) {
		case plainData:
			b = append(b, writeData(f)[HeaderLen:]...)
		case plainNak:
			b = AppendNak(b, f.Origin, f.OriginIncarnation, f.Gaps, f.Again)
		case Heartbeat:
			b = AppendHeartbeat(b, f)
		case Status:
			b = AppendStatus(b, f)
		case Start:
			b = AppendStart(b, f)
		case Leave:
			b = AppendLeave(b, f)
		case plainRepair, plainSymbolNak:
			b = appendPlainFEC(b, f)
		case plainPair, plainPairAck, Beat, plainHello, plainTable, Probe, plainWord:
			b = appendPlainGroup(b, f)
		default:
			b = appendPlainTotem(b, f)
		}
	}
	Seal(b)
	return b
}

// writeData makes a datagram of one Data, as large as it takes.
func writeData(d plainData) []byte {
	size := 100
	for _, m := range d.Messages {
		size += 16 + len(m.Topic) + len(m.Payload)
	}
	mem := make([]byte, size+DataOverhead)
	var w DataWriter
	w.Begin(mem, size, Header{}, d.Number, d.FirstMessage)
	for _, m := range d.Messages {
		ok := false
		if d.Fragment {
			ok = w.AddFragment(m.Topic, m.Kind, d.Offset, d.Size, []byte(m.Payload))
		} else {
			ok = w.Add(m.Topic, m.Kind, []byte(m.Payload))
		}
		if !ok {
			panic("wire: a valid Data does not fit")
		}
	}
	off, n := w.Finish()
	return mem[off : off+n]
}

// reference decodes b with the generated code, and applies the rules of blaze.proto and
// docs/wire.md to the result, one by one and slowly. It shares no code with Decode.
func reference(b []byte) (plain, error) {
	crcEnd, err := referenceHeader(b)
	if err != nil {
		return plain{}, err
	}
	var pb wirepb.Datagram
	if err := proto.Unmarshal(b, &pb); err != nil {
		return plain{}, err
	}
	switch {
	case pb.Version == nil:
		return plain{}, ErrMalformed
	case *pb.Version != 1:
		return plain{}, ErrVersion
	case pb.Cluster == nil || pb.Crc32C == nil || pb.Transmitter == nil || pb.Incarnation == nil || pb.Stream == nil:
		return plain{}, ErrMalformed
	case *pb.Crc32C != crc32.Checksum(b[crcEnd:], crc32.MakeTable(crc32.Castagnoli)):
		return plain{}, ErrChecksum
	case len(pb.Transmitter) != 16:
		return plain{}, ErrRange
	}
	p := plain{Header: Header{Cluster: *pb.Cluster, Transmitter: MemberID(pb.Transmitter), Incarnation: *pb.Incarnation, Stream: StreamID(*pb.Stream)}}
	add := func(v any, e error) {
		p.Frames = append(p.Frames, v)
		err = cmp.Or(err, e)
	}
	for _, f := range pb.Data {
		add(referenceData(f))
	}
	for _, f := range pb.Nak {
		add(referenceNak(f))
	}
	for _, f := range pb.Heartbeat {
		add(referenceHeartbeat(f))
	}
	for _, f := range pb.Status {
		add(referenceStatus(f))
	}
	for _, f := range pb.Start {
		add(referenceStart(f))
	}
	for _, f := range pb.Leave {
		add(referenceLeave(f))
	}
	referenceTotem(&pb, add)
	referenceFEC(&pb, add)
	referenceGroup(&pb, b, add)
	slices.SortStableFunc(p.Frames, func(a, b any) int { return cmp.Compare(kindOf(a), kindOf(b)) })
	if len(p.Frames) > 16 {
		err = ErrRange
	}
	if err != nil {
		return plain{}, err
	}
	return p, nil
}

// referenceHeader finds the end of the CRC's field, and applies what goes beyond protobuf:
// fields of the header come once, groups are not nested too deeply.
func referenceHeader(b []byte) (crcEnd int, err error) {
	types := map[protowire.Number]protowire.Type{
		1: protowire.Fixed32Type, 2: protowire.Fixed64Type, 3: protowire.Fixed32Type,
		4: protowire.BytesType, 5: protowire.Fixed32Type, 6: protowire.Fixed32Type,
	}
	seen := map[protowire.Number]bool{}
	for at := 0; at < len(b); {
		num, typ, n := protowire.ConsumeField(b[at:])
		if n < 0 {
			return 0, protowire.ParseError(n)
		}
		at += n
		if want, known := types[num]; known && typ == want {
			if seen[num] {
				return 0, ErrMalformed
			}
			seen[num] = true
			if num == 3 {
				crcEnd = at
			}
		}
	}
	return crcEnd, nil
}

func missing(required ...bool) error {
	if slices.Contains(required, false) {
		return ErrMalformed
	}
	return nil
}

func outside(inside ...bool) error {
	if slices.Contains(inside, false) {
		return ErrRange
	}
	return nil
}

func member(b []byte) (id MemberID) {
	copy(id[:], b)
	return id
}

func referenceData(f *wirepb.Data) (any, error) {
	if err := missing(f.Number != nil, f.FirstMessage != nil, len(f.Messages) > 0); err != nil {
		return nil, err
	}
	if err := missing(f.Messages[0].Topic != nil); err != nil {
		return nil, err
	}
	p := plainData{Number: *f.Number, FirstMessage: *f.FirstMessage}
	topic := ""
	for _, m := range f.Messages {
		if m.Topic != nil {
			topic = *m.Topic
		}
		k := m.GetKind()
		if err := outside(len(topic) >= 1, len(topic) <= 255, k >= 0, k <= 127); err != nil {
			return nil, err
		}
		p.Messages = append(p.Messages, plainPacked{topic, Kind(k), string(m.Payload)})
	}
	if f.Fragment != nil {
		if err := missing(f.Fragment.Offset != nil, f.Fragment.Size != nil); err != nil {
			return nil, err
		}
		p.Fragment, p.Offset, p.Size = true, *f.Fragment.Offset, *f.Fragment.Size
		part := uint64(len(p.Messages[len(p.Messages)-1].Payload))
		if err := outside(len(f.Messages) == 1, part > 0, uint64(p.Offset)+part <= uint64(p.Size)); err != nil {
			return nil, err
		}
	}
	n := uint64(len(f.Messages))
	return p, outside(n <= 1024, p.Number >= 1, p.Number <= math.MaxUint64-1, p.FirstMessage >= 1, p.FirstMessage <= math.MaxUint64-n)
}

func referenceNak(f *wirepb.Nak) (any, error) {
	if err := missing(f.Origin != nil, f.OriginIncarnation != nil); err != nil {
		return nil, err
	}
	p := plainNak{Origin: member(f.Origin), OriginIncarnation: *f.OriginIncarnation}
	list := func(gaps []*wirepb.Gap) (l []Gap, err error) {
		for _, g := range gaps {
			if err := missing(g.First != nil, g.Count != nil); err != nil {
				return nil, err
			}
			if err := outside(*g.First >= 1, *g.Count >= 1, *g.First <= math.MaxUint64-uint64(*g.Count)); err != nil {
				return nil, err
			}
			l = append(l, Gap{*g.First, *g.Count})
		}
		return l, nil
	}
	var err1, err2 error
	p.Gaps, err1 = list(f.Gaps)
	p.Again, err2 = list(f.Again)
	n := len(f.Gaps) + len(f.Again)
	return p, cmp.Or(err1, err2, outside(len(f.Origin) == 16, n >= 1, n <= 1024))
}

func referenceHeartbeat(f *wirepb.Heartbeat) (any, error) {
	if err := missing(f.First != nil, f.Last != nil, f.FirstMessage != nil, f.NextMessage != nil, f.SentAt != nil, f.RoundTrip != nil, f.Receivers != nil); err != nil {
		return nil, err
	}
	return Heartbeat{
		First: *f.First, Last: *f.Last, FirstMessage: *f.FirstMessage, NextMessage: *f.NextMessage,
		SentAt: *f.SentAt, RoundTrip: *f.RoundTrip, Receivers: *f.Receivers, WantStatus: f.GetWantStatus(), Pause: f.GetPause(), Evicted: f.GetEvicted(), Every: f.GetEvery(), UsualTrip: f.GetUsualTrip(),
	}, outside(f.Pause == nil || *f.Pause >= 1, f.Every == nil || *f.Every >= 1, f.UsualTrip == nil || *f.UsualTrip >= 1, *f.First >= 1, *f.Last <= math.MaxUint64-1, *f.First <= *f.Last+1, *f.FirstMessage >= 1, *f.FirstMessage <= *f.NextMessage)
}

func referenceStatus(f *wirepb.Status) (any, error) {
	if err := missing(f.Origin != nil, f.OriginIncarnation != nil, f.Next != nil, f.Highest != nil, f.Limit != nil,
		f.Room != nil, f.Echo != nil, f.Held != nil, f.Missed != nil, f.Gone != nil); err != nil {
		return nil, err
	}
	return Status{
		Origin: member(f.Origin), OriginIncarnation: *f.OriginIncarnation, Next: *f.Next, Highest: *f.Highest, Limit: *f.Limit,
		Room: *f.Room, Echo: *f.Echo, Held: *f.Held, Missed: *f.Missed, Gone: *f.Gone, Pause: f.GetPause(), Arrived: f.GetArrived(), Clock: f.GetClock(), Every: f.GetEvery(), NoGroup: f.GetNoGroup(),
	}, outside(f.Pause == nil || *f.Pause >= 1, f.Arrived == nil || *f.Arrived >= 1, f.Clock == nil || *f.Clock >= 1, f.Every == nil || *f.Every >= 1, len(f.Origin) == 16, *f.Next >= 1, *f.Highest >= *f.Next, *f.Limit >= *f.Next)
}

func referenceStart(f *wirepb.Start) (any, error) {
	if err := missing(f.First != nil, f.FirstMessage != nil, f.Age != nil, f.Lanes != nil); err != nil {
		return nil, err
	}
	return Start{First: *f.First, FirstMessage: *f.FirstMessage, Age: *f.Age, Lanes: *f.Lanes},
		outside(*f.First >= 1, *f.First <= math.MaxUint64-1, *f.FirstMessage >= 1, *f.Lanes >= 1, *f.Lanes <= 1<<16)
}

func referenceLeave(f *wirepb.Leave) (any, error) {
	if err := missing((f.Last != nil) == (f.NextMessage != nil)); err != nil {
		return nil, err
	}
	if f.Last == nil {
		return Leave{}, nil
	}
	return Leave{HasLast: true, Last: *f.Last, NextMessage: *f.NextMessage}, outside(*f.Last <= math.MaxUint64-1, *f.NextMessage >= 1)
}

// deepGroups reports whether b, or any bytes in it that might be a message, may nest groups so
// deeply that Decode refuses what generated code passes over: a rough upper bound.
func deepGroups(b []byte) bool {
	starts := 0
	for _, c := range b {
		if c&7 == uint8(protowire.StartGroupType) {
			starts++
		}
	}
	return starts > maxGroupDepth
}

// reseal returns b with the right CRC in the field crc32c, where it has one, so that mutated
// bytes get past the check.
func reseal(b []byte) []byte {
	b = bytes.Clone(b)
	for at := 0; at < len(b); {
		num, typ, n := protowire.ConsumeField(b[at:])
		if n < 0 {
			break
		}
		at += n
		if num == 3 && typ == protowire.Fixed32Type {
			binary.LittleEndian.PutUint32(b[at-4:], crc32.Checksum(b[at:], crc32.MakeTable(crc32.Castagnoli)))
			break
		}
	}
	return b
}
