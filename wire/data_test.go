package wire

import (
	"bytes"
	"testing"
)

func testHeader() Header {
	return Header{
		Cluster:     ClusterHash("test"),
		Transmitter: MemberID{0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8, 0xA9, 0xAA, 0xAB, 0xAC, 0xAD, 0xAE, 0xAF},
		Incarnation: 3,
		Stream:      NewStreamID(NACK, 2),
	}
}

func TestDataWriterRoundTrip(t *testing.T) {
	mem := make([]byte, 1502)
	var w DataWriter
	var d Datagram
	for _, size := range []int{0, 1, 63, 64, 100, 123, 124, 125, 126, 127, 128, 129, 400} {
		payload := bytes.Repeat([]byte{'x'}, size)
		w.Begin(mem, 1500, testHeader(), 7, 100)
		topics := []string{"a.b", "a.b", "c", "c", "a.b"}
		count := 0
		for i := 0; ; i++ {
			room := w.Room(topics[i%5])
			if !w.Add(topics[i%5], Kind(i%3), payload) {
				if room >= size {
					t.Fatalf("Room %d, but %d bytes did not fit", room, size)
				}
				break
			}
			count++
		}
		off, n := w.Finish()
		if n > 1500 {
			t.Fatalf("datagram of %d bytes", n)
		}
		if err := Decode(mem[off:off+n], &d); err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		if !d.Canonical || d.Header != testHeader() || len(d.Frames()) != 1 {
			t.Fatalf("size %d: decoded %+v", size, d.Header)
		}
		data := d.Frames()[0].Data()
		if data.Number != 7 || data.FirstMessage != 100 || data.Count != count || data.Fragment {
			t.Fatalf("size %d: %+v, want %d messages", size, data, count)
		}
		it := data.Messages()
		for i := range count {
			m, ok := it.Next()
			if !ok || string(m.Topic) != topics[i%5] || m.Kind != Kind(i%3) || !bytes.Equal(m.Payload, payload) {
				t.Fatalf("size %d: message %d is %q %d %d bytes, %v", size, i, m.Topic, m.Kind, len(m.Payload), ok)
			}
		}
		if _, ok := it.Next(); ok {
			t.Fatal("one message too many")
		}
	}
}
