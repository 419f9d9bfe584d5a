package wire

import (
	"bytes"
	"strings"
	"testing"
)

// single packs one message into a datagram.
func single(topic string, kind Kind, number, first uint64, payload []byte) []byte {
	var w DataWriter
	mem := make([]byte, 2048)
	w.Begin(mem, 1472, Header{Cluster: 7, Transmitter: MemberID{1, 2, 3}, Incarnation: 4, Stream: NewStreamID(NACK, 5)}, number, first)
	if !w.Add(topic, kind, payload) {
		panic("does not fit")
	}
	off, n := w.Finish()
	return mem[off : off+n]
}

func learn(b []byte) (p Pattern, ok bool) {
	var d Datagram
	return p, Decode(b, &d) == nil && p.Learn(b, &d)
}

// sameAsDecode fails when a Pattern that matches b reads something else than Decode.
func sameAsDecode(t *testing.T, p *Pattern, b []byte) {
	t.Helper()
	var d Datagram
	number, first := p.Numbers(b)
	if err := Decode(b, &d); err != nil {
		if err == ErrRange && (number == 0 || first == 0 || number == 1<<64-1 || first == 1<<64-1) {
			return // the caller compares them with what it expects
		}
		t.Fatalf("matches, and Decode says %v\n%x", err, b)
	}
	if len(d.Frames()) != 1 || d.Frames()[0].Kind != FrameData {
		t.Fatalf("matches, and is not one Data\n%x", b)
	}
	m := d.Frames()[0].Data()
	it := m.Messages()
	if !it.Step() || m.Count != 1 || m.Fragment {
		t.Fatalf("matches, and is not one message\n%x", b)
	}
	topic, kind, payload := p.Message(b)
	if m.Number != number || m.FirstMessage != first || !bytes.Equal(it.Topic, topic) || it.Kind != kind || !bytes.Equal(it.Payload, payload) {
		t.Fatalf("%d %d %q %d %x, Decode reads %d %d %q %d %x", number, first, topic, kind, payload, m.Number, m.FirstMessage, it.Topic, it.Kind, it.Payload)
	}
}

func TestPatternMatchesTheNextOfItsKind(t *testing.T) {
	for _, topic := range []string{"a", "prices.eu", strings.Repeat("t", 40), "ключ.ö"} {
		for _, kind := range []Kind{KindRaw, KindMessage} {
			for _, size := range []int{1, 9, 64, 90, 110, 123, 127, 128, 300, 1300} {
				p, ok := learn(single(topic, kind, 1, 1, make([]byte, size)))
				if !ok {
					t.Fatalf("%q, kind %d, %d bytes: not learned", topic, kind, size)
				}
				next := single(topic, kind, 0x1122334455667788, 0x99AABBCCDDEEFF, bytes.Repeat([]byte{0xFF}, size))
				if !p.Matches(next) {
					t.Errorf("%q, kind %d, %d bytes: the next one does not match", topic, kind, size)
				}
				sameAsDecode(t, &p, next)
				for _, other := range [][]byte{
					single(topic, kind, 2, 2, make([]byte, size+1)),
					single(topic, 1-kind, 2, 2, make([]byte, size)),
					single(topic[:len(topic)-1]+"z", kind, 2, 2, make([]byte, size)),
					single(topic+"z", kind, 2, 2, make([]byte, size)),
				} {
					if p.Matches(other) {
						t.Errorf("%q, kind %d, %d bytes matches\n%x", topic, kind, size, other)
					}
				}
			}
		}
	}
}

// A single wrong bit anywhere is found.
func TestPatternSeesEveryBit(t *testing.T) {
	b := single("prices.eu", KindRaw, 5, 9, []byte("one message of some length"))
	p, ok := learn(b)
	if !ok || !p.Matches(b) {
		t.Fatal("not learned")
	}
	for bit := range 8 * len(b) {
		b[bit/8] ^= 1 << (bit % 8)
		if p.Matches(b) {
			t.Errorf("bit %d of byte %d may be wrong", bit%8, bit/8)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
}

func TestPatternIsOfOneWholeMessage(t *testing.T) {
	var zero Pattern
	if b := single("t", KindRaw, 1, 1, []byte{1}); zero.Matches(b) || zero.Matches(nil) {
		t.Error("the zero value matches")
	}
	h := Header{Cluster: 7, Stream: NewStreamID(NACK, 5)}
	pack := func(fill func(w *DataWriter)) []byte {
		var w DataWriter
		mem := make([]byte, 2048)
		w.Begin(mem, 1472, h, 1, 1)
		fill(&w)
		off, n := w.Finish()
		return mem[off : off+n]
	}
	for what, b := range map[string][]byte{
		"two messages": pack(func(w *DataWriter) { w.Add("t", 0, []byte{1}); w.Add("t", 0, []byte{2}) }),
		"a fragment":   pack(func(w *DataWriter) { w.AddFragment("t", 0, 0, 100, []byte{1}) }),
		"a Start behind": pack(func(w *DataWriter) {
			w.AppendStart(Start{First: 1, FirstMessage: 1, Lanes: 1})
			w.Add("t", 0, []byte{1})
		}),
		"no payload":       single("t", KindRaw, 1, 1, nil),
		"a long topic":     single(strings.Repeat("t", 100), KindRaw, 1, 1, []byte{1}),
		"another encoding": reseal(append(bytes.Clone(single("t", KindRaw, 1, 1, []byte{1})), 0xF8, 0x01, 0x00)), // field 31, unknown
		"a heartbeat":      reseal(AppendHeartbeat(AppendHeader(nil, h), Heartbeat{First: 1, Last: 1, FirstMessage: 1, NextMessage: 2})),
	} {
		if _, ok := learn(b); ok {
			t.Errorf("%s was learned", what)
		}
	}
}

// FuzzPattern changes a datagram that is expected, and puts its CRC right: whatever matches, Decode
// reads in the same way.
func FuzzPattern(f *testing.F) {
	f.Add([]byte("payload"), uint16(3), byte(1), uint16(0))
	f.Add(make([]byte, 64), uint16(48), byte(0x80), uint16(60))
	f.Add(make([]byte, 130), uint16(66), byte(3), uint16(68))
	f.Fuzz(func(t *testing.T, payload []byte, at uint16, change byte, at2 uint16) {
		if len(payload) == 0 || len(payload) > 1300 {
			return
		}
		b := single("prices.eu", Kind(at2&1), 5, 9, payload)
		p, ok := learn(b)
		if !ok {
			t.Fatal("not learned")
		}
		b[int(at)%len(b)] ^= change
		b[int(at2)%len(b)] ^= change >> 1
		if b = reseal(b); p.Matches(b) {
			sameAsDecode(t, &p, b)
		}
	})
}
