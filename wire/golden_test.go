package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/activeblaze/blaze/wire/wirepb"
)

var update = flag.Bool("update", false, "write testdata/*.hex anew")

var testOrigin = MemberID{0xB0, 0xB1, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xBB, 0xBC, 0xBD, 0xBE, 0xBF}

// golden lists the vectors: what testdata/NAME.hex says.
var golden = []struct {
	name   string
	frames []any
}{
	{"data", []any{plainData{Number: 7, FirstMessage: 100, Messages: []plainPacked{{"prices.EURUSD", KindRaw, "1.0842"}}}}},
	{"data-packed", []any{plainData{Number: 8, FirstMessage: 101, Messages: []plainPacked{
		{"prices.EURUSD", KindRaw, "1.0842"},
		{"prices.EURUSD", KindRaw, "1.0843"}, // the topic is left out
		{"prices.EURUSD", KindMessage, "m"},
		{"prices.EURUSD", KindRaw, ""}, // nothing is left
		{"prices.GBPUSD", 127, ""},
		{"preise.€", KindRaw, "x"},
		{"prices.EURUSD", KindRaw, "1.0844"}, // it came before, but not just before
	}}}},
	{"data-long", []any{plainData{Number: 1<<64 - 2, FirstMessage: 1<<64 - 2, Messages: []plainPacked{
		{strings.Repeat("t", 255), KindMessage, strings.Repeat("p", 200)},
	}}}},
	{"data-fragment", []any{plainData{Number: 9, FirstMessage: 108, Fragment: true, Offset: 1300, Size: 1304, Messages: []plainPacked{
		{"blob", KindRaw, "tail"},
	}}}},
	{"data-start", []any{
		plainData{Number: 1, FirstMessage: 1, Messages: []plainPacked{{"a", KindRaw, "first"}}},
		Start{First: 1, FirstMessage: 1, Age: 1500, Lanes: 8},
	}},
	{"nak", []any{plainNak{Origin: testOrigin, OriginIncarnation: 4, Gaps: []Gap{{12, 1}, {20, 300}}, Again: []Gap{{3, 2}}}}},
	{"nak-long", []any{plainNak{Origin: testOrigin, OriginIncarnation: 4, Again: []Gap{{1, 1}, {3, 1}, {5, 1}, {7, 1}, {9, 1}, {11, 1}, {1<<64 - 2, 1}}}}},
	{"heartbeat", []any{Heartbeat{First: 3, Last: 9, FirstMessage: 30, NextMessage: 110, SentAt: 123456789, RoundTrip: 25000, Receivers: 3}}},
	{"heartbeat-empty", []any{Heartbeat{First: 1, Last: 0, FirstMessage: 1, NextMessage: 1, SentAt: 1, WantStatus: true}}},
	{"heartbeat-pause", []any{Heartbeat{First: 3, Last: 9, FirstMessage: 30, NextMessage: 110, SentAt: 123456789, RoundTrip: 25000, Receivers: 3, Pause: 250000},
		Heartbeat{First: 3, Last: 9, FirstMessage: 30, NextMessage: 110, SentAt: 123456790, RoundTrip: 25000, Receivers: 3, WantStatus: true, Pause: 1}}},
	{"heartbeat-evicted", []any{Heartbeat{First: 3, Last: 9, FirstMessage: 30, NextMessage: 110, SentAt: 123456789, RoundTrip: 25000, Receivers: 3, Pause: 1000000, Evicted: true},
		Heartbeat{First: 3, Last: 9, FirstMessage: 30, NextMessage: 110, SentAt: 123456790, RoundTrip: 25000, Receivers: 3, WantStatus: true, Evicted: true}}},
	{"status-pause", []any{Status{Origin: testOrigin, OriginIncarnation: 4, Next: 12, Highest: 12, Limit: 4108, Room: 212992, Echo: 123456789, Held: 800, Pause: 5000000}}},
	{"heartbeat-every", []any{Heartbeat{First: 3, Last: 9, FirstMessage: 30, NextMessage: 110, SentAt: 123456789, RoundTrip: 25000, Receivers: 3, Every: 131072},
		Heartbeat{First: 3, Last: 9, FirstMessage: 30, NextMessage: 110, SentAt: 123456790, RoundTrip: 25000, Receivers: 3, WantStatus: true, Pause: 250000, Every: 1}}},
	{"heartbeat-usual", []any{Heartbeat{First: 3, Last: 9, FirstMessage: 30, NextMessage: 110, SentAt: 123456789, RoundTrip: 1000000, Receivers: 6, UsualTrip: 50000},
		Heartbeat{First: 3, Last: 9, FirstMessage: 30, NextMessage: 110, SentAt: 123456790, RoundTrip: 1000000, Receivers: 6, WantStatus: true, Pause: 250000, Every: 131072, UsualTrip: 1}}},
	{"status-no-group", []any{Status{Origin: testOrigin, OriginIncarnation: 4, Next: 12, Highest: 300, Limit: 4108, Room: 212992, Echo: 123456789, Held: 800, Arrived: 123456, Clock: 987654321, Every: 131072, NoGroup: true}}},
	{"status-every", []any{Status{Origin: testOrigin, OriginIncarnation: 4, Next: 12, Highest: 12, Limit: 4108, Room: 212992, Arrived: 123456, Clock: 987654321, Every: 131072}}},
	{"status-arrived", []any{Status{Origin: testOrigin, OriginIncarnation: 4, Next: 12, Highest: 12, Limit: 4108, Room: 212992, Arrived: 123456, Clock: 987654321}}},
	{"status", []any{Status{Origin: testOrigin, OriginIncarnation: 4, Next: 12, Highest: 321, Limit: 4108, Room: 212992, Echo: 123456789, Held: 800, Missed: 302, Gone: 1}}},
	{"start", []any{Start{First: 41, FirstMessage: 977, Age: 60e9, Lanes: 1}}},
	{"leave-sender", []any{Leave{HasLast: true, Last: 9, NextMessage: 110}}},
	{"leave-receiver", []any{Leave{}}},
	{"ring", []any{
		plainData{Number: 977, FirstMessage: 41, Messages: []plainPacked{{"orders", KindRaw, "buy"}}},
		Ring{Key: testRing.Key(), Round: 70000, Safe: true, Origin: 2},
	}},
	{"ring-recovered", []any{
		plainData{Number: 977, FirstMessage: 41, Messages: []plainPacked{{"orders", KindRaw, "buy"}}},
		Ring{Key: testRing.Key(), Round: 3, After: true, Origin: 15, Recovered: true, Old: 1, Number: 5},
	}},
	{"token", []any{plainToken{Ring: testRing, TokenSeq: 70000, Seq: 1003, Aru: 1000, AruID: testOrigin, FCC: 12, Backlog: 40, Wanted: "\xe9\x03\x00\x00\x00\x00\x00\x00\xea\x03\x00\x00\x00\x00\x00\x00"}}},
	{"token-recovery", []any{plainToken{Ring: testRing, Recovery: true}}},
	{"join", []any{plainJoin{Node: 7, Started: 1700000000, RingSeq: 12, Counter: 3, Proc: ids(2), Fail: ids(1)}}},
	{"join-datagram", []any{plainJoin{Node: 7, Started: 1700000000, RingSeq: 12, Counter: 3, Proc: ids(2), Fail: ids(1), Datagram: 1472}}},
	{"join-standing", []any{plainJoin{Node: 7, Started: 1700000000, RingSeq: 12, Counter: 3, Proc: ids(2), Fail: ids(1), Datagram: 1472,
		Standing: plainStanding{Datagram: 1472, Members: 1, Pause: 100, Padding: 150}}}},
	{"join-leave", []any{plainJoin{RingSeq: 12, Counter: 4, Fail: ids(1)}}},
	{"commit", []any{plainCommit{Ring: RingID{Rep: idOf(ids(1)), Seq: 16}, Index: 1, Rings: testRings(), Entries: testEntries()}}},
	{"notice", []any{plainNotice{Ring: testRing, Kind: MergeDetect}}},
	{"notice-standing", []any{plainNotice{Ring: testRing, Kind: MergeDetect, Standing: plainStanding{Datagram: 1472, Members: 3, Pause: 90000, Hears: ids(1), Padding: 20}}}},
	{"repair", []any{plainRepair{Block: 1000, Scheme: 1, Stride: 1, Sources: 20, Repairs: 2, Index_: 1, Symbol: "\x1e\x00a symbol\x00"}}},
	{"symbol-nak", []any{plainSymbolNak{Origin: testOrigin, OriginIncarnation: 4, Needs: []Need{{1000, 1}, {1060, 2}}}}},
	{"pair", []any{plainPair{To: testOrigin, Session: 3, ToIncarnation: 4, Channel: ChannelInboxes, AckAtOnce: true, Number: 12, Oldest: 11, Known: 29, FirstItem: 30, Items: []plainItem{
		{Kind: ItemSend, PayloadKind: KindMessage, Call: 1<<16 | 5, Name: "", Payload: "m"}, // the default in-box
		{Kind: ItemRequest, Call: 1<<16 | 6, Name: "orders", Payload: "buy"},
		{Kind: ItemRequest, Call: 7, Name: "orders", Payload: "sell"}, // the name is left out
	}}}},
	{"pair-answers", []any{plainPair{To: testOrigin, Session: 3, ToIncarnation: 4, Number: 2, Oldest: 2, Known: 5, FirstItem: 5, Items: []plainItem{
		{Kind: ItemReply, Call: 6, Payload: "bought"},
		{Kind: ItemResult, Result: ResultReturned, Call: 8, Attempt: 2, Backlog: 40, Service: 120},
		{Kind: ItemCancel, Call: 9, Attempt: 1},
		{Kind: ItemNothing},
		{Kind: 15, Call: 10, Name: "newer"},
		{Kind: ItemReply, Fragment: true, Call: 11, Offset: 1300, Size: 1304, Payload: "tail"},
	}}}},
	{"pair-queue", []any{
		plainPair{To: testOrigin, Session: 3, ToIncarnation: 4, Channel: ChannelQueues, Number: 7, Oldest: 7, Known: 6, FirstItem: 6, Items: []plainItem{
			{Kind: ItemQueue, Redelivered: true, Call: 12, Attempt: 2, Name: "work", Payload: "x"},
			{Kind: ItemQueueRequest, Call: 13, Attempt: 1, Name: "work"},
		}},
		plainPairAck{To: testOrigin, Session: 9, Channel: ChannelAnswers, Next: 4, Held: 5, Taken: 17, Limit: 1028, Delay: 800},
	}},
	{"pair-question", []any{plainPair{To: testOrigin, Session: 3, Channel: ChannelInboxes, AckAtOnce: true, Number: 13, Oldest: 13, Known: 31, FirstItem: 33}}},
	{"pair-ack", []any{plainPairAck{To: testOrigin, Session: 3, Channel: ChannelInboxes, Next: 12, Held: 1 << 63, Taken: 33, Limit: 1036, Delay: 5,
		Refused: string(Refusals(nil).Append(Refusal{30, RefusedNoHandler}).Append(Refusal{32, RefusedNoRoom}))}}},
	{"pair-ack-dead", []any{plainPairAck{To: testOrigin, Session: 3, Dead: true, Next: 1, Taken: 1, Limit: 1}}},
	{"beat", []any{Beat{Version: 2, Interval: 20000, Members: 3, Digest: 0x0123456789ABCDEF, Stall: 350}}},
	{"hello", []any{plainHello{Ask: true, Attempt: 1, Nonce: 77, Record: testRecord}}},
	{"hello-ring", []any{plainHello{Nonce: 77, Record: plainRecord{ID: testOrigin, Incarnation: 4, Version: 90000, Interval: 1000, Ring: true, Name: "gateway"}}}},
	{"hello-partial", []any{plainHello{Nonce: 77, Record: plainRecord{ID: testOrigin, Incarnation: 4, Version: 90000, Interval: 1000, Partial: true}}}},
	{"members", []any{plainTable{More: true, Nonces: "nonce_01nonce_02", Records: []plainRecord{
		testRecord, {ID: testOrigin, Incarnation: 1, Version: 1, Started: 1700000000e9, Address: 0x0A00000219E4, Interval: 20000, Name: "gateway"}}}}},
	{"members-compare", []any{plainTable{Compare: true, Records: []plainRecord{{ID: testOrigin, Version: 1, Interval: 20000, Partial: true}}}}},
	{"probe", []any{Probe{To: testOrigin, Kind: ProbeRemoved, Incarnation: 4, Nonce: 78}}},
	{"word", []any{plainWord{[]About{{ID: testOrigin, Incarnation: 4, Kind: AboutVouch, Age: 12000}, {ID: idOf(ids(1)), Incarnation: 1, Kind: AboutVerdict}}}}},
	{"empty", nil},
	{"all", []any{
		plainData{Number: 7, FirstMessage: 100, Messages: []plainPacked{{"a", KindRaw, "1"}}},
		plainData{Number: 8, FirstMessage: 101, Messages: []plainPacked{{"a", KindRaw, "2"}}},
		plainNak{Origin: testOrigin, OriginIncarnation: 4, Gaps: []Gap{{12, 1}}},
		Heartbeat{First: 3, Last: 8, FirstMessage: 30, NextMessage: 102, SentAt: 5},
		Status{Origin: testOrigin, OriginIncarnation: 4, Next: 12, Highest: 14, Limit: 4108},
		Start{First: 1, FirstMessage: 1, Age: 5, Lanes: 1},
		Leave{HasLast: true, Last: 8, NextMessage: 102},
	}},
}

// testRecord is a record with all that a record can have.
var testRecord = plainRecord{ID: MemberID{0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8, 0xA9, 0xAA, 0xAB, 0xAC, 0xAD, 0xAE, 0xAF},
	Incarnation: 3, Version: 2, Started: 1700000000e9, Address: 0x0A00000119E4, Interval: 20000, Name: "pricer-1",
	Groups: []string{"prices", "prices.€"}, Queues: []plainConsumes{{"exclusive", 1, 2}, {"work", 4, 0}}}

// goldenBytes reads testdata/NAME.hex: bytes in hexadecimal, "#" and the rest of a line ignored.
func goldenBytes(tb testing.TB, name string) []byte {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
	if err != nil {
		tb.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	return b
}

// Each vector is what the encoders write, and both decoders read the same values from it.
func TestGolden(t *testing.T) {
	var d Datagram
	for _, g := range golden {
		t.Run(g.name, func(t *testing.T) {
			want := plain{Header: testHeader(), Frames: g.frames}
			written := appendPlain(want)
			if *update {
				text := dumpDatagram(written)
				if err := os.WriteFile(filepath.Join("testdata", g.name+".hex"), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			b := goldenBytes(t, g.name)
			if !bytes.Equal(written, b) {
				t.Errorf("the encoder writes\n%x, not\n%x", written, b)
			}
			if err := Decode(b, &d); err != nil {
				t.Fatalf("Decode: %v", err)
			}
			if !d.Canonical {
				t.Error("not canonical")
			}
			if got := plainOf(&d); !reflect.DeepEqual(got, want) {
				t.Errorf("Decode gives\n%v, not\n%v", got, want)
			}
			d = Datagram{}
			if err := DecodeAgain(b, &d); err != nil || !d.Canonical || !reflect.DeepEqual(plainOf(&d), want) {
				t.Errorf("DecodeAgain gives\n%v %v, not\n%v", plainOf(&d), err, want)
			}
			got, err := reference(b)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("generated code gives\n%v %v, not\n%v", got, err, want)
			}
			if h, ok := Peek(b); !ok || h != want.Header {
				t.Errorf("Peek gives %+v, %v", h, ok)
			}
			var pb wirepb.Datagram
			if err := proto.Unmarshal(b, &pb); err != nil {
				t.Fatal(err)
			}
			if again, err := (proto.MarshalOptions{Deterministic: true}).Marshal(&pb); err != nil || !bytes.Equal(again, b) {
				t.Errorf("generated code writes\n%x %v, not\n%x", again, err, b)
			}
		})
	}
}

// SE-1: every strict prefix is refused, and so is one more byte.
func TestGoldenPrefixes(t *testing.T) {
	var d Datagram
	for _, g := range golden {
		b := goldenBytes(t, g.name)
		for n := range b {
			if err := Decode(b[:n:n], &d); err == nil {
				t.Errorf("%s: the first %d of %d bytes are accepted", g.name, n, len(b))
			}
			if _, ok := Peek(b[:n:n]); ok != (n >= HeaderLen) {
				t.Errorf("%s: Peek of %d bytes: %v", g.name, n, ok)
			}
			// With the CRC put right, only whole frames may pass.
			short := reseal(b[:n:n])
			err := Decode(short, &d)
			if _, ref := reference(short); (err == nil) != (ref == nil) {
				t.Errorf("%s: the first %d bytes, sealed: %v, generated code %v", g.name, n, err, ref)
			}
		}
		if err := Decode(append(bytes.Clone(b), 0), &d); !errors.Is(err, ErrChecksum) {
			t.Errorf("%s and one byte: %v", g.name, err)
		}
	}
}

// Every damaged bit is noticed: those of version and cluster by their value, those of the tags
// in front of the CRC by the missing field, all others by the CRC.
func TestGoldenBitFlips(t *testing.T) {
	var d Datagram
	for _, g := range golden {
		b := goldenBytes(t, g.name)
		for bit := range len(b) * 8 {
			b[bit/8] ^= 1 << (bit % 8)
			err := Decode(b, &d)
			inCluster := bit/8 > atCluster && bit/8 < atCRC
			switch {
			case inCluster && err == nil && d.Cluster != testHeader().Cluster:
			case inCluster || err == nil:
				t.Errorf("%s, bit %d of byte %d: %v", g.name, bit%8, bit/8, err)
			case bit/8 >= crcCovers && !errors.Is(err, ErrChecksum) && bit/8 >= HeaderLen:
				t.Errorf("%s, bit %d of byte %d: %v, want ErrChecksum", g.name, bit%8, bit/8, err)
			}
			b[bit/8] ^= 1 << (bit % 8)
		}
	}
}

// dumpDatagram writes b for people: a line for each field, named after blaze.proto.
func dumpDatagram(b []byte) string {
	var out strings.Builder
	fmt.Fprintf(&out, "# One Datagram, %d bytes. Written by go test ./wire -update; read the diff before you commit it.\n", len(b))
	dumpMessage(&out, b, 0, "", (&wirepb.Datagram{}).ProtoReflect().Descriptor())
	return out.String()
}

func dumpMessage(out *strings.Builder, b []byte, at int, indent string, desc protoreflect.MessageDescriptor) {
	line := func(at int, b []byte, format string, args ...any) {
		comment := fmt.Sprintf("# %4d %s%s", at, indent, fmt.Sprintf(format, args...))
		for len(b) > 16 {
			fmt.Fprintf(out, "% x\n", b[:16])
			b = b[16:]
		}
		fmt.Fprintf(out, "%-48s%s\n", fmt.Sprintf("% x", b), comment)
	}
	for p := 0; p < len(b); {
		num, typ, tagLen := protowire.ConsumeTag(b[p:])
		n := protowire.ConsumeFieldValue(num, typ, b[p+tagLen:])
		field, value := b[p:p+tagLen+n], b[p+tagLen:p+tagLen+n]
		fd := desc.Fields().ByNumber(num)
		name := string(fd.Name())
		switch {
		case fd.Kind() == protoreflect.MessageKind:
			body, bn := protowire.ConsumeBytes(value)
			head := tagLen + bn - len(body)
			line(at+p, field[:head], "%s: %d bytes", name, len(body))
			dumpMessage(out, body, at+p+head, indent+"  ", fd.Message())
		case fd.Kind() == protoreflect.StringKind:
			v, _ := protowire.ConsumeBytes(value)
			line(at+p, field, "%s = %.40q, %d bytes", name, v, len(v))
		case typ == protowire.BytesType:
			v, _ := protowire.ConsumeBytes(value)
			line(at+p, field, "%s: %d bytes", name, len(v))
		case typ == protowire.Fixed64Type:
			v, _ := protowire.ConsumeFixed64(value)
			if name == "cluster" {
				line(at+p, field, "%s = %#x", name, v)
			} else {
				line(at+p, field, "%s = %d", name, v)
			}
		case typ == protowire.Fixed32Type:
			v, _ := protowire.ConsumeFixed32(value)
			if name == "crc32c" || name == "stream" {
				line(at+p, field, "%s = %#x", name, v)
			} else {
				line(at+p, field, "%s = %d", name, v)
			}
		default:
			v, _ := protowire.ConsumeVarint(value)
			line(at+p, field, "%s = %d", name, v)
		}
		p += tagLen + n
	}
}
