package wire

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/activeblaze/blaze/wire/wirepb"
)

// FuzzDecode gives Decode any bytes, as they are and with the CRC put right. SE-1: no panic.
// SE-2: Decode and the generated code accept and refuse the same, and read the same values;
// parse, append, parse is stable; canonical bytes give themselves back.
func FuzzDecode(f *testing.F) {
	for _, g := range golden {
		f.Add(goldenBytes(f, g.name))
	}
	f.Add(datagramOf(dataFrame(1, 1, part(3), part(4))))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4096 {
			return
		}
		compareDecoders(t, b)
		compareDecoders(t, reseal(b))
	})
}

func compareDecoders(t *testing.T, b []byte) {
	t.Helper()
	before := bytes.Clone(b)
	var d Datagram
	err := Decode(b, &d)
	want, ref := reference(b)
	if (err == nil) != (ref == nil) && !deepGroups(b) {
		t.Fatalf("Decode: %v, generated code: %v\n%x", err, ref, b)
	}
	if n := First(b); n < min(HeaderLen, len(b)) || n > len(b) || err == nil && n != len(b) {
		t.Fatalf("First gives %d of %d bytes, Decode %v\n%x", n, len(b), err, b)
	}
	h, peeked := Peek(b)
	if err != nil || ref != nil {
		return
	}
	got := plainOf(&d)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("Decode gives\n%v, generated code\n%v\n%x", got, want, b)
	}
	if peeked && h != d.Header || !peeked && d.Canonical {
		t.Fatalf("Peek gives %+v %v\n%x", h, peeked, b)
	}
	for i := range d.Frames() {
		if f := &d.Frames()[i]; f.Kind == FrameData {
			m := f.Data()
			kept, ok := m.Place().Data(before)
			if d.Canonical && !ok || ok && !reflect.DeepEqual(kept, m) {
				t.Fatalf("kept and read again: %+v %v, at once %+v\n%x", kept, ok, m, b)
			}
		}
	}
	again := appendPlain(got)
	var d2 Datagram
	if err := Decode(again, &d2); err != nil || !d2.Canonical || !reflect.DeepEqual(plainOf(&d2), got) {
		t.Fatalf("appended again: %v, canonical %v\n%x\n%x", err, d2.Canonical, b, again)
	}
	if !bytes.Equal(before, b) {
		t.Fatalf("the datagram was changed")
	}
	if !d.Canonical {
		return
	}
	var pb wirepb.Datagram
	if err := proto.Unmarshal(b, &pb); err != nil {
		t.Fatal(err)
	}
	if m := marshal(&pb); !bytes.Equal(m, b) {
		t.Fatalf("canonical, but generated code writes\n%x, not\n%x", m, b)
	}
	if !repeatsTopic(&pb) && !bytes.Equal(again, b) {
		t.Fatalf("canonical, but this package writes\n%x, not\n%x", again, b)
	}
}

// repeatsTopic reports whether a message has the topic of the one before it in full, or an item the name.
func repeatsTopic(pb *wirepb.Datagram) bool {
	for _, d := range pb.Data {
		last := ""
		for _, m := range d.Messages {
			if m.Topic != nil && *m.Topic == last {
				return true
			}
			if m.Topic != nil {
				last = *m.Topic
			}
		}
	}
	for _, p := range pb.Pair {
		last, is := "", false
		for _, i := range p.Items {
			if !ItemKind(i.GetHead()&0xF).Named() || i.Name == nil {
				continue
			}
			if is && *i.Name == last {
				return true
			}
			last, is = *i.Name, true
		}
	}
	return false
}

// FuzzRoundTrip makes valid datagrams out of the fuzzer's bytes. SE-2: parse(encode(x)) = x, by
// both decoders and on the fast path, and in another layout through the general path.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte{}, uint64(1))
	f.Add(bytes.Repeat([]byte{0, 1, 2, 3, 4, 5, 0x80, 0xFF}, 20), uint64(2))
	f.Add(bytes.Repeat([]byte{1, 200, 7}, 40), uint64(3))
	desc := (&wirepb.Datagram{}).ProtoReflect().Descriptor()
	f.Fuzz(func(t *testing.T, feed []byte, seed uint64) {
		roundTrip(t, feed, seed, desc)
	})
}

func roundTrip(t *testing.T, feed []byte, seed uint64, desc protoreflect.MessageDescriptor) {
	want := (&maker{feed}).datagram()
	b := appendPlain(want)
	var d Datagram
	if err := Decode(b, &d); err != nil || !d.Canonical || !reflect.DeepEqual(plainOf(&d), want) {
		t.Fatalf("%v, canonical %v\n%v\n%v\n%x", err, d.Canonical, want, plainOf(&d), b)
	}
	if ref, err := reference(b); err != nil || !reflect.DeepEqual(ref, want) {
		t.Fatalf("generated code: %v\n%v\n%v\n%x", err, want, ref, b)
	}
	w := rewriter{rng: newRand(seed), permute: seed&1 != 0, unknown: seed&2 != 0, long: seed&4 != 0}
	other := reseal(w.rewrite(b, desc))
	if err := Decode(other, &d); err != nil || !reflect.DeepEqual(plainOf(&d), want) {
		t.Fatalf("in another layout: %v\n%v\n%v\n%x", err, want, plainOf(&d), other)
	}
	compareDecoders(t, other)
}

// maker turns bytes into values that are in range. When the bytes are used up, all is zero.
type maker struct{ feed []byte }

// n is 0..limit-1.
func (m *maker) n(limit int) int {
	var b [2]byte
	m.feed = m.feed[copy(b[:], m.feed):]
	return int(binary.LittleEndian.Uint16(b[:])) % limit
}

// u64 is from lo to hi, often near one of them.
func (m *maker) u64(lo, hi uint64) uint64 {
	var b [8]byte
	m.feed = m.feed[copy(b[:m.n(9)], m.feed):]
	v := binary.LittleEndian.Uint64(b[:])
	if m.n(2) == 1 {
		v = hi - v
	} else {
		v += lo
	}
	if v < lo || v > hi {
		v = lo
	}
	return v
}

func (m *maker) u32() uint32 { return uint32(m.u64(0, math.MaxUint32)) }

func (m *maker) id() (id MemberID) {
	m.feed = m.feed[copy(id[:], m.feed):]
	return id
}

func (m *maker) text(limit int) string {
	b := bytes.Repeat([]byte("x"), m.n(limit))
	m.feed = m.feed[copy(b, m.feed):]
	return string(b)
}

func (m *maker) topic() string {
	return []string{"a", "b", "a.b.c", "été.€", "a", string(bytes.Repeat([]byte("l"), 1+m.n(255)))}[m.n(6)]
}

func (m *maker) datagram() plain {
	const last = math.MaxUint64
	p := plain{Header: Header{Cluster: m.u64(0, last), Transmitter: m.id(), Incarnation: m.u32(), Stream: StreamID(m.u32())}}
	for kind := FrameData; kind <= FrameWord; kind++ {
		if !isFrame(uint32(kind)) || m.n(3) == 2 {
			continue
		}
		for range m.n(3) {
			switch kind {
			case FrameData:
				p.Frames = append(p.Frames, m.data())
			case FrameNak:
				n := plainNak{Origin: m.id(), OriginIncarnation: m.u32()}
				for range 1 + m.n(20) {
					g := Gap{First: m.u64(1, last-math.MaxUint32), Count: uint32(m.u64(1, math.MaxUint32))}
					if m.n(3) == 0 {
						n.Again = append(n.Again, g)
					} else {
						n.Gaps = append(n.Gaps, g)
					}
				}
				p.Frames = append(p.Frames, n)
			case FrameHeartbeat:
				h := Heartbeat{Last: m.u64(0, last-1), FirstMessage: m.u64(1, last), SentAt: m.u64(0, last), RoundTrip: m.u32(), Receivers: m.u32(), WantStatus: m.n(2) == 1, Pause: uint32(m.n(3)), Evicted: m.n(2) == 1, Every: uint32(m.n(3)), UsualTrip: uint32(m.n(3))}
				h.First, h.NextMessage = m.u64(1, h.Last+1), m.u64(h.FirstMessage, last)
				p.Frames = append(p.Frames, h)
			case FrameStatus:
				s := Status{Origin: m.id(), OriginIncarnation: m.u32(), Next: m.u64(1, last), Room: m.u32(), Echo: m.u64(0, last), Held: m.u32(), Missed: m.u64(0, last), Gone: m.u64(0, last), Pause: uint32(m.n(3)), Arrived: uint64(m.n(3)), Clock: uint64(m.n(3)), Every: uint32(m.n(3)), NoGroup: m.n(2) == 1}
				s.Highest, s.Limit = m.u64(s.Next, last), m.u64(s.Next, last)
				p.Frames = append(p.Frames, s)
			case FrameStart:
				p.Frames = append(p.Frames, Start{First: m.u64(1, last-1), FirstMessage: m.u64(1, last), Age: m.u64(0, last), Lanes: uint32(m.u64(1, 1<<16))})
			case FrameLeave:
				l := Leave{HasLast: m.n(2) == 1}
				if l.HasLast {
					l.Last, l.NextMessage = m.u64(0, last-1), m.u64(1, last)
				}
				p.Frames = append(p.Frames, l)
			case FrameRepair, FrameSymbolNak:
				p.Frames = append(p.Frames, m.fec(kind))
			case FramePair, FramePairAck, FrameBeat, FrameHello, FrameMembers, FrameProbe, FrameWord:
				p.Frames = append(p.Frames, m.group(kind))
			default:
				p.Frames = append(p.Frames, m.totem(kind))
			}
			if len(p.Frames) == MaxFrames {
				return p
			}
		}
	}
	return p
}

func (m *maker) data() plainData {
	d := plainData{Number: m.u64(1, math.MaxUint64-1), FirstMessage: m.u64(1, math.MaxUint64-100)}
	if m.n(4) == 1 {
		payload := m.text(300) + "x"
		d.Fragment, d.Offset = true, uint32(m.u64(0, math.MaxUint32-uint64(len(payload))))
		d.Size = uint32(m.u64(uint64(d.Offset)+uint64(len(payload)), math.MaxUint32))
		d.Messages = []plainPacked{{m.topic(), Kind(m.n(128)), payload}}
		return d
	}
	for range 1 + m.n(30) {
		d.Messages = append(d.Messages, plainPacked{m.topic(), Kind(m.n(3) * m.n(43)), m.text(1 << (m.n(3) * 4))})
	}
	return d
}

// FuzzRoundTrip with bytes from a generator, so that it also runs as an ordinary test.
func TestRoundTrip(t *testing.T) {
	desc := (&wirepb.Datagram{}).ProtoReflect().Descriptor()
	rng := newRand(7)
	for seed := range uint64(2000) {
		feed := make([]byte, rng.IntN(1500))
		for i := range feed {
			feed[i] = byte(rng.Uint32())
		}
		roundTrip(t, feed, seed, desc)
	}
}

// Damaged datagrams with a right CRC: what the fuzzer does, in small.
func TestDamaged(t *testing.T) {
	rng := newRand(11)
	var vectors [][]byte
	for _, g := range golden {
		vectors = append(vectors, goldenBytes(t, g.name))
	}
	for range 20000 {
		b := bytes.Clone(vectors[rng.IntN(len(vectors))])
		for range 1 + rng.IntN(3) {
			b[rng.IntN(len(b))] = byte(rng.Uint32())
		}
		compareDecoders(t, reseal(b))
	}
}
