package wire

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/activeblaze/blaze/wire/wirepb"
)

// datagramOf puts frames, or anything else, behind a header and seals it.
func datagramOf(frames ...[]byte) []byte {
	b := AppendHeader(nil, testHeader())
	for _, f := range frames {
		b = append(b, f...)
	}
	Seal(b)
	return b
}

func marshal(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

// frame wraps a body that generated code, or nobody, has made.
func frame(kind FrameKind, body []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, protowire.Number(kind), protowire.BytesType), body)
}

func messages(n int) (list []*wirepb.Packed) {
	list = append(list, &wirepb.Packed{Topic: proto.String("t")})
	for len(list) < n {
		list = append(list, &wirepb.Packed{})
	}
	return list
}

func dataFrame(number, first uint64, list ...*wirepb.Packed) []byte {
	return frame(FrameData, marshal(&wirepb.Data{Number: &number, FirstMessage: &first, Messages: list}))
}

func fragmentFrame(offset, size uint32, list ...*wirepb.Packed) []byte {
	return frame(FrameData, marshal(&wirepb.Data{Number: proto.Uint64(1), FirstMessage: proto.Uint64(1),
		Fragment: &wirepb.Fragment{Offset: &offset, Size: &size}, Messages: list}))
}

func part(n int) *wirepb.Packed {
	return &wirepb.Packed{Topic: proto.String("t"), Payload: make([]byte, n)}
}

func nakFrame(origin int, gaps, again int) []byte {
	n := &wirepb.Nak{Origin: make([]byte, origin), OriginIncarnation: proto.Uint32(1)}
	g := &wirepb.Gap{First: proto.Uint64(1), Count: proto.Uint32(1)}
	for range gaps {
		n.Gaps = append(n.Gaps, g)
	}
	for range again {
		n.Again = append(n.Again, g)
	}
	return frame(FrameNak, marshal(n))
}

func bounds(first uint64, count uint32) []byte {
	return AppendNak(nil, testOrigin, 1, []Gap{{first, count}}, nil)
}

func times(n int, b []byte) []byte { return bytes.Repeat(b, n) }

func cat(b ...[]byte) []byte { return bytes.Join(b, nil) }

// boundRow is what stands behind a header, and how Decode answers.
type boundRow struct {
	name  string
	bytes []byte
	want  error
}

// The bounds that docs/wire.md states, each on both sides, and the rules that go beyond them.
func boundRows() []boundRow {
	const max64 = math.MaxUint64
	topic := func(s string) *wirepb.Packed { return &wirepb.Packed{Topic: &s} }
	kind := func(k int32) *wirepb.Packed {
		return &wirepb.Packed{Topic: proto.String("t"), Kind: wirepb.Kind(k).Enum()}
	}
	heartbeat := func(first, last, firstMessage, nextMessage uint64) []byte {
		return AppendHeartbeat(nil, Heartbeat{First: first, Last: last, FirstMessage: firstMessage, NextMessage: nextMessage})
	}
	status := func(next, highest, limit uint64) []byte {
		return AppendStatus(nil, Status{Next: next, Highest: highest, Limit: limit})
	}
	start := func(first, firstMessage uint64, lanes uint32) []byte {
		return AppendStart(nil, Start{First: first, FirstMessage: firstMessage, Lanes: lanes})
	}
	leave := func(last, next uint64) []byte {
		return AppendLeave(nil, Leave{HasLast: true, Last: last, NextMessage: next})
	}
	group := func(depth int) (b []byte) {
		for range depth {
			b = protowire.AppendTag(b, 99, protowire.StartGroupType)
		}
		for range depth {
			b = protowire.AppendTag(b, 99, protowire.EndGroupType)
		}
		return b
	}
	beat := heartbeat(1, 0, 1, 1)

	return []boundRow{
		{"frames: 16", times(16, beat), nil},
		{"frames: 17", times(17, beat), ErrRange},
		{"frames: 17, in another layout", cat(group(1), times(17, beat)), ErrRange},

		{"data: number 0", dataFrame(0, 1, messages(1)...), ErrRange},
		{"data: number max-1", dataFrame(max64-1, 1, messages(1)...), nil},
		{"data: number max, so that there is no next", dataFrame(max64, 1, messages(1)...), ErrRange},
		{"data: first message 0", dataFrame(1, 0, messages(1)...), ErrRange},
		{"data: three messages up to max-1", dataFrame(1, max64-3, messages(3)...), nil},
		{"data: three messages up to max", dataFrame(1, max64-2, messages(3)...), ErrRange},
		{"data: no message", dataFrame(1, 1), ErrMalformed},
		{"data: 1024 messages", dataFrame(1, 1, messages(1024)...), nil},
		{"data: 1025 messages", dataFrame(1, 1, messages(1025)...), ErrRange},
		{"data: the first has no topic", dataFrame(1, 1, &wirepb.Packed{Payload: []byte("x")}, topic("t")), ErrMalformed},
		{"topic: empty", dataFrame(1, 1, topic("")), ErrRange},
		{"topic: empty, later", dataFrame(1, 1, topic("t"), topic("")), ErrRange},
		{"topic: 255 bytes", dataFrame(1, 1, topic(strings.Repeat("t", 255))), nil},
		{"topic: 256 bytes", dataFrame(1, 1, topic(strings.Repeat("t", 256))), ErrRange},
		{"topic: not UTF-8", frame(FrameData, bytes.Replace(dataFrame(1, 1, topic("tt"))[2:], []byte("tt"), []byte("\xC3("), 1)), ErrMalformed},
		{"topic: not UTF-8, in its ninth byte", frame(FrameData, bytes.Replace(dataFrame(1, 1, topic("12345678t"))[2:], []byte("8t"), []byte("8\x80"), 1)), ErrMalformed},
		{"topic: UTF-8", dataFrame(1, 1, topic("prix.€.été")), nil},
		{"kind: 127", dataFrame(1, 1, kind(127)), nil},
		{"kind: 128", dataFrame(1, 1, kind(128)), ErrRange},
		{"kind: -1", dataFrame(1, 1, kind(-1)), ErrRange},

		{"fragment: the whole", fragmentFrame(0, 5, part(5)), nil},
		{"fragment: the tail", fragmentFrame(4, 5, part(1)), nil},
		{"fragment: beyond the end", fragmentFrame(4, 5, part(2)), ErrRange},
		{"fragment: at the end, empty", fragmentFrame(5, 5, part(0)), ErrRange},
		{"fragment: empty", fragmentFrame(0, 5, part(0)), ErrRange},
		{"fragment: offset + part is 2^32-1", fragmentFrame(math.MaxUint32-1, math.MaxUint32, part(1)), nil},
		{"fragment: offset + part is 2^32", fragmentFrame(math.MaxUint32, math.MaxUint32, part(1)), ErrRange},
		{"fragment: with a second message", fragmentFrame(0, 5, part(2), part(3)), ErrRange},

		{"nak: origin of 15 bytes", nakFrame(15, 1, 0), ErrRange},
		{"nak: origin of 17 bytes", nakFrame(17, 1, 0), ErrRange},
		{"nak: no gap", nakFrame(16, 0, 0), ErrRange},
		{"nak: 1024 gaps", nakFrame(16, 1000, 24), nil},
		{"nak: 1025 gaps", nakFrame(16, 1000, 25), ErrRange},
		{"gap: first 0", bounds(0, 1), ErrRange},
		{"gap: count 0", bounds(1, 0), ErrRange},
		{"gap: count 2^32-1", bounds(1, math.MaxUint32), nil},
		{"gap: up to max-1", bounds(max64-5, 5), nil},
		{"gap: up to max", bounds(max64-4, 5), ErrRange},

		{"heartbeat: first 0", heartbeat(0, 0, 1, 1), ErrRange},
		{"heartbeat: nothing held", heartbeat(6, 5, 9, 9), nil},
		{"heartbeat: first beyond last+1", heartbeat(7, 5, 9, 9), ErrRange},
		{"heartbeat: last max-1", heartbeat(max64, max64-1, 9, 9), nil},
		{"heartbeat: last max", heartbeat(1, max64, 9, 9), ErrRange},
		{"heartbeat: first message 0", heartbeat(1, 0, 0, 1), ErrRange},
		{"heartbeat: next message below the first", heartbeat(1, 5, 9, 8), ErrRange},

		{"status: next 0", status(0, 1, 1), ErrRange},
		{"status: nothing known", status(1, 1, 1), nil},
		{"status: highest below next", status(5, 4, 9), ErrRange},
		{"status: limit below next", status(5, 5, 4), ErrRange},
		{"status: all max", status(max64, max64, max64), nil},

		{"start: first 0", start(0, 1, 1), ErrRange},
		{"start: first max", start(max64, 1, 1), ErrRange},
		{"start: first message 0", start(1, 0, 1), ErrRange},
		{"start: no lane", start(1, 1, 0), ErrRange},
		{"start: 65536 lanes", start(1, 1, 1<<16), nil},
		{"start: 65537 lanes", start(1, 1, 1<<16+1), ErrRange},

		{"heartbeat: pause 0", frame(FrameHeartbeat, append(heartbeat(1, 0, 1, 1)[2:], appendFixed32(nil, 9, 0)...)), ErrRange},
		{"heartbeat: pause 1", frame(FrameHeartbeat, append(heartbeat(1, 0, 1, 1)[2:], appendFixed32(nil, 9, 1)...)), nil},
		{"heartbeat: half a pause", frame(FrameHeartbeat, append(heartbeat(1, 0, 1, 1)[2:], 9<<3|5, 1)), ErrMalformed},
		{"status: pause 0", frame(FrameStatus, append(status(1, 1, 1)[2:], appendFixed32(nil, 11, 0)...)), ErrRange},
		{"status: pause 1", frame(FrameStatus, append(status(1, 1, 1)[2:], appendFixed32(nil, 11, 1)...)), nil},
		{"status: every 0", frame(FrameStatus, append(status(1, 1, 1)[2:], appendFixed32(nil, 14, 0)...)), ErrRange},
		{"heartbeat: every 0", frame(FrameHeartbeat, append(heartbeat(1, 0, 1, 1)[2:], appendFixed32(nil, 11, 0)...)), ErrRange},
		{"status: arrived 0", frame(FrameStatus, append(status(1, 1, 1)[2:], appendFixed64(nil, 12, 0)...)), ErrRange},
		{"status: clock 0", frame(FrameStatus, append(status(1, 1, 1)[2:], appendFixed64(nil, 13, 0)...)), ErrRange},
		{"status: clock alone", frame(FrameStatus, append(status(1, 1, 1)[2:], appendFixed64(nil, 13, 1)...)), nil},
		{"leave: nothing sent", leave(0, 1), nil},
		{"leave: last max", leave(max64, 1), ErrRange},
		{"leave: next message 0", leave(0, 0), ErrRange},
		{"leave: only last", frame(FrameLeave, marshal(&wirepb.Leave{Last: proto.Uint64(1)})), ErrMalformed},
		{"leave: only next message", frame(FrameLeave, marshal(&wirepb.Leave{NextMessage: proto.Uint64(1)})), ErrMalformed},

		{"a frame of a newer version", frame(32, []byte("?")), nil},
		{"a frame with another wire type is unknown", protowire.AppendVarint(protowire.AppendTag(nil, 14, protowire.VarintType), 1), nil},
		{"a field with another wire type is unknown, and so it is missing",
			frame(FrameLeave, protowire.AppendFixed64(appendFixed32(nil, 1, 1), 2)), ErrMalformed},
		{"the last of equal fields counts", frame(FrameHeartbeat, append(heartbeat(0, 0, 1, 1)[2:], appendFixed64(nil, 1, 1)...)), nil},
		{"the last of equal fields counts, good or bad", frame(FrameHeartbeat, append(heartbeat(1, 0, 1, 1)[2:], appendFixed64(nil, 1, 0)...)), ErrRange},
		{"a second cluster", cat(beat, appendFixed64(nil, 2, 1)), ErrMalformed},
		{"a second transmitter", cat(beat, appendMember(nil, 4, testOrigin)), ErrMalformed},
		{"a second cluster with another wire type is unknown", cat(beat, appendFixed32(nil, 2, 1)), nil},
		{"field number 0", cat(beat, []byte{0x00, 0x00}), ErrMalformed},
		{"field number 2^29-1", cat(protowire.AppendFixed32(protowire.AppendTag(nil, 1<<29-1, protowire.Fixed32Type), 1), beat), nil},
		{"field number 2^29", cat(protowire.AppendFixed32(protowire.AppendVarint(nil, 1<<32|5), 1), beat), ErrMalformed},
		{"wire type 6", cat(beat, []byte{0x7E}), ErrMalformed},
		{"a varint of 11 bytes", cat(beat, times(10, []byte{0x80}), []byte{1}), ErrMalformed},
		{"a length beyond the end", []byte{0x72, 0x39, 0x09}, ErrMalformed},
		{"a length of 2^64-1", cat([]byte{0x72}, times(9, []byte{0xFF}), []byte{1}), ErrMalformed},
		{"groups: 32 deep", group(32), nil},
		{"groups: 33 deep", group(33), ErrMalformed},
		{"groups: 20000 deep", group(20000), ErrMalformed},
		{"a group that another ends", protowire.AppendTag(protowire.AppendTag(nil, 99, protowire.StartGroupType), 98, protowire.EndGroupType), ErrMalformed},
		{"the end of no group", protowire.AppendTag(nil, 99, protowire.EndGroupType), ErrMalformed},
	}
}

func TestBounds(t *testing.T) {
	for _, c := range boundRows() {
		b := datagramOf(c.bytes)
		var d Datagram
		if err := Decode(b, &d); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if _, ref := reference(b); (ref == nil) != (c.want == nil) && !deepGroups(b) {
			t.Errorf("%s: the reference says %v", c.name, ref)
		}
	}
}

// Two Fragments in one Data are merged: protobuf's rule for messages that come twice.
func TestFragmentMerged(t *testing.T) {
	offset := marshal(&wirepb.Data{Fragment: &wirepb.Fragment{Offset: proto.Uint32(3), Size: proto.Uint32(1)}})
	size := marshal(&wirepb.Data{Fragment: &wirepb.Fragment{Size: proto.Uint32(10)}})
	b := datagramOf(frame(FrameData, cat(dataFrame(1, 1, part(7))[2:], offset, size)))
	var d Datagram
	if err := Decode(b, &d); err != nil {
		t.Fatal(err)
	}
	if data := d.Frames()[0].Data(); !data.Fragment || data.Offset != 3 || data.Size != 10 || d.Canonical {
		t.Errorf("got %+v", data)
	}
}

// The version is judged before the CRC, and the CRC before any frame.
func TestOrderOfChecks(t *testing.T) {
	var d Datagram
	b := datagramOf([]byte{0x00})
	b[atVersion+1] = 2
	b[len(b)-1] ^= 1
	if err := Decode(b, &d); !errors.Is(err, ErrVersion) {
		t.Errorf("version 2 with a wrong CRC: %v", err)
	}
	b[atVersion+1] = 1
	if err := Decode(b, &d); !errors.Is(err, ErrChecksum) {
		t.Errorf("wrong CRC and a malformed frame: %v", err)
	}
	if err := Decode(nil, &d); !errors.Is(err, ErrMalformed) {
		t.Errorf("no byte: %v", err)
	}
}

func TestParseGap(t *testing.T) {
	want := Gap{First: 12, Count: 3}
	b := AppendGap(nil, want)
	if !bytes.Equal(b, []byte{0x09, 12, 0, 0, 0, 0, 0, 0, 0, 0x15, 3, 0, 0, 0}) {
		t.Errorf("AppendGap: % x", b)
	}
	swapped := append(bytes.Clone(b[9:]), b[:9]...)
	for _, c := range [][]byte{b, swapped, append(swapped, 0x18, 1)} {
		if g, err := ParseGap(c); err != nil || g != want {
			t.Errorf("% x: %+v, %v", c, g, err)
		}
	}
	for n := range b {
		if _, err := ParseGap(b[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// ClusterHash: test vectors of draft-eastlake-fnv.
func TestClusterHash(t *testing.T) {
	for s, want := range map[string]uint64{"": 0xcbf29ce484222325, "a": 0xaf63dc4c8601ec8c, "foobar": 0x85944171f73967e8} {
		if got := ClusterHash(s); got != want {
			t.Errorf("%q: %#x, want %#x", s, got, want)
		}
	}
}

func TestSizes(t *testing.T) {
	if n := len(AppendHeader(nil, Header{})); n != HeaderLen {
		t.Errorf("header of %d bytes", n)
	}
	if n := len(AppendHeartbeat(nil, Heartbeat{})); n != HeartbeatLen {
		t.Errorf("heartbeat of %d bytes", n)
	}
	if n := len(AppendHeartbeat(nil, Heartbeat{WantStatus: true, Pause: 1, Evicted: true, Every: 1, UsualTrip: 1})); n != HeartbeatMax {
		t.Errorf("longest heartbeat of %d bytes", n)
	}
	if n := len(AppendStatus(nil, Status{})); n != StatusLen {
		t.Errorf("status of %d bytes", n)
	}
	if n := len(AppendStatus(nil, Status{Pause: 1, Arrived: 1, Clock: 1, Every: 1, NoGroup: true})); n != StatusMax {
		t.Errorf("longest status of %d bytes", n)
	}
	if n := len(AppendStart(nil, Start{})); n != StartLen {
		t.Errorf("start of %d bytes", n)
	}
	if n := len(AppendLeave(nil, Leave{HasLast: true})); n != LeaveMax {
		t.Errorf("leave of %d bytes", n)
	}
	for gaps := range MaxGaps + 1 {
		n := NakSize(gaps, 0)
		if got := len(AppendNak(nil, MemberID{}, 1, make([]Gap, gaps/2), make([]Gap, gaps-gaps/2))); got != n {
			t.Fatalf("%d gaps: %d bytes, NakSize says %d", gaps, got, n)
		}
		if NakRoom(n) != gaps || gaps > 0 && NakRoom(n-1) != gaps-1 {
			t.Fatalf("%d gaps, %d bytes: NakRoom says %d, and %d with one byte less", gaps, n, NakRoom(n), NakRoom(n-1))
		}
	}
	if NakRoom(0) != 0 || NakRoom(1<<20) != MaxGaps {
		t.Error("NakRoom")
	}
}
