package wire

import (
	"bytes"
	"testing"
	"unsafe"
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

// Room, MessageRoom and FragmentRoom are exact for a kind other than raw, whatever the size of
// the datagram, and no datagram is larger than it may be.
func TestRoom(t *testing.T) {
	payload := make([]byte, 1<<17)
	mem := make([]byte, 1<<17)
	var d Datagram
	check := func(w *DataWriter, mem []byte, size int) int {
		t.Helper()
		off, n := w.Finish()
		if n > size || off > DataOverhead {
			t.Fatalf("datagram of %d bytes at %d, at most %d", n, off, size)
		}
		if err := Decode(mem[off:off+n], &d); err != nil || !d.Canonical {
			t.Fatalf("size %d: %v, canonical %v", size, err, d.Canonical)
		}
		return n
	}
	var sizes []int
	for size := range 700 {
		sizes = append(sizes, size)
	}
	for near := range 80 {
		sizes = append(sizes, 1500-near, 9000-near, 1<<14+120-near, 1<<14+40-near, MaxDatagram-near)
	}
	for _, size := range sizes {
		for _, topic := range []string{"t", "0123456789012345678901234567890123456789", string(payload[:127]), string(payload[:128])} {
			mem := mem[:size+DataOverhead]
			var w DataWriter
			w.Begin(mem, size, testHeader(), 1, 1)
			room := w.Room(topic)
			if room != MessageRoom(size, topic) {
				t.Fatalf("size %d: Room %d, MessageRoom %d", size, room, MessageRoom(size, topic))
			}
			if w.Add(topic, KindMessage, payload[:room+1]) || !w.Empty() {
				t.Fatalf("size %d: one more than Room %d fits", size, room)
			}
			if room < 0 {
				if _, n := w.Finish(); n != 0 {
					t.Fatalf("size %d: an empty writer gives %d bytes", size, n)
				}
				continue
			}
			if !w.Add(topic, KindMessage, payload[:room]) || w.Count() != 1 {
				t.Fatalf("size %d: Room %d does not fit", size, room)
			}
			// One byte more may have made a length longer, at most three of them.
			if n := check(&w, mem, size); room > 0 && n < size-3 {
				t.Fatalf("size %d: Room %d gives only %d bytes", size, room, n)
			}

			w.Begin(mem, size, testHeader(), 1, 1)
			room = FragmentRoom(size, topic)
			if w.AddFragment(topic, KindMessage, 0, 1<<20, payload[:max(room, 0)+1]) {
				t.Fatalf("size %d: one more than FragmentRoom %d fits", size, room)
			}
			if room < 1 {
				continue
			}
			if !w.AddFragment(topic, KindMessage, 5, 1<<20, payload[:room]) {
				t.Fatalf("size %d: FragmentRoom %d does not fit", size, room)
			}
			if w.Room(topic) != -1 || w.Add(topic, KindRaw, nil) || w.AddFragment(topic, KindRaw, 0, 5, payload[:1]) {
				t.Fatal("a fragment does not stay alone")
			}
			check(&w, mem, size)
			if data := d.Frames()[0].Data(); !data.Fragment || data.Offset != 5 || data.Size != 1<<20 {
				t.Fatalf("size %d: %+v", size, data)
			}
		}
	}
}

// A refused message leaves no trace, and one that fits comes after it.
func TestWriterRefusal(t *testing.T) {
	mem := make([]byte, 202)
	var w DataWriter
	w.Begin(mem, 200, testHeader(), 1, 1)
	if !w.Add("a", KindRaw, []byte("one")) || w.AddFragment("a", KindRaw, 0, 9, []byte("x")) ||
		w.Add("b", KindRaw, make([]byte, 500)) || !w.Add("a", KindRaw, []byte("two")) {
		t.Fatal("wrong answer")
	}
	if p, ok := w.Reserve("c", KindRaw, 4); !ok || copy(p, "gone") != 4 || len(p) != 4 || cap(p) != 4 {
		t.Fatal("Reserve")
	}
	w.Cancel()
	if p, ok := w.Reserve("a", KindMessage, 5); !ok || copy(p, "three") != 5 {
		t.Fatal("Reserve")
	}
	w.Commit()
	off, n := w.Finish()
	want := writeData(plainData{Number: 1, FirstMessage: 1, Messages: []plainPacked{{"a", KindRaw, "one"}, {"a", KindRaw, "two"}, {"a", KindMessage, "three"}}})
	if got := mem[off : off+n]; !bytes.Equal(got[HeaderLen:], want[HeaderLen:]) {
		t.Errorf("got  % x\nwant % x", got[HeaderLen:], want[HeaderLen:])
	}
}

// The topic's memory may be used again before the next message is added.
func TestWriterKeepsNoTopic(t *testing.T) {
	mem := make([]byte, 202)
	var w DataWriter
	w.Begin(mem, 200, testHeader(), 1, 1)
	reused := []byte("aaaa")
	w.Add(unsafe.String(&reused[0], 4), KindRaw, nil)
	copy(reused, "bbbb")
	w.Add(unsafe.String(&reused[0], 4), KindRaw, nil)
	off, n := w.Finish()
	var d Datagram
	if err := Decode(mem[off:off+n], &d); err != nil {
		t.Fatal(err)
	}
	if got := plainOf(&d).Frames[0].(plainData).Messages; got[0].Topic != "aaaa" || got[1].Topic != "bbbb" {
		t.Errorf("topics %v", got)
	}
}

// A Start goes behind the Data and takes its room from the messages that come later.
func TestWriterStart(t *testing.T) {
	start := Start{First: 1, FirstMessage: 1, Age: 9, Lanes: 4}
	var d Datagram
	for max := 80; max < 400; max++ {
		mem := make([]byte, max+DataOverhead)
		var w DataWriter
		w.Begin(mem, max, testHeader(), 1, 1)
		if !w.Add("t", KindRaw, make([]byte, 5)) {
			continue
		}
		if !w.AppendStart(start) {
			if w.Room("t") >= StartLen {
				t.Fatalf("max %d: no Start, but %d bytes of room", max, w.Room("t"))
			}
			continue
		}
		if w.AppendStart(start) {
			t.Fatal("a second Start")
		}
		if room := w.Room("t"); room >= 0 && !w.Add("t", KindMessage, make([]byte, room)) {
			t.Fatalf("max %d: Room %d does not fit", max, room)
		}
		off, n := w.Finish()
		if err := Decode(mem[off:off+n], &d); err != nil || n > max || !d.Canonical {
			t.Fatalf("max %d: %d bytes, %v", max, n, err)
		}
		if f := d.Frames(); len(f) != 2 || f[1].Kind != FrameStart || f[1].Start() != start {
			t.Fatalf("max %d: %v", max, plainOf(&d))
		}
	}
}

// At most MaxMessages go into one Data, however small they are.
func TestWriterMaxMessages(t *testing.T) {
	mem := make([]byte, 9000+DataOverhead)
	var w DataWriter
	w.Begin(mem, 9000, testHeader(), 1, 1)
	for w.Add("t", KindRaw, nil) {
	}
	if w.Count() != MaxMessages || w.Room("t") != -1 {
		t.Errorf("%d messages, room %d", w.Count(), w.Room("t"))
	}
	off, n := w.Finish()
	var d Datagram
	if err := Decode(mem[off:off+n], &d); err != nil {
		t.Error(err)
	}
}

// What the caller has to check panics, before anything is written.
func TestWriterPanics(t *testing.T) {
	var w DataWriter
	w.Begin(make([]byte, 1502), 1500, testHeader(), 1, 1)
	for name, misuse := range map[string]func(){
		"no topic":               func() { w.Add("", KindRaw, nil) },
		"no topic, a payload":    func() { w.Add("", KindRaw, []byte("x")) },
		"topic of 256 bytes":     func() { w.Add(string(make([]byte, 256)), KindRaw, nil) },
		"kind 128":               func() { w.Add("t", 128, nil) },
		"Commit without Reserve": func() { w.Commit() },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			misuse()
		})
	}
}

// The figures of docs/decisions/wire-topic.md: 64 bytes on a topic of 16, at most 1472 a datagram.
func TestBytesPerMessage(t *testing.T) {
	topics := []string{"market.fx.EURUSD", "market.fx.GBPUSD"}
	mem := make([]byte, 1472+DataOverhead)
	payload := make([]byte, 64)
	for _, c := range []struct {
		name            string
		atMost, topics  int
		messages, bytes int
	}{
		{"alone", 1, 1, 1, 153},
		{"one topic", 100, 1, 20, 1446},
		{"another topic each time", 100, 2, 16, 1444},
	} {
		var w DataWriter
		w.Begin(mem, 1472, testHeader(), 1, 1)
		for i := 0; i < c.atMost && w.Add(topics[i%c.topics], KindRaw, payload); i++ {
		}
		if _, n := w.Finish(); w.Count() != c.messages || n != c.bytes {
			t.Errorf("%s: %d messages in %d bytes, the note says %d in %d", c.name, w.Count(), n, c.messages, c.bytes)
		}
	}
}
