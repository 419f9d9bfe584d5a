package ring

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"
	"unsafe"
)

// send claims, fills and commits one record: n bytes of value byte(word).
func send(b *Bytes, word uint64, n int) bool {
	r, ok := b.Claim(n)
	if ok {
		r.SetWord(word)
		fill(r.Bytes(), byte(word))
		r.Commit()
	}
	return ok
}

func fill(p []byte, v byte) {
	for i := range p {
		p[i] = v
	}
}

// expect takes the next record, which must be what send(word, n) sent.
func expect(t *testing.T, b *Bytes, word uint64, n int) {
	t.Helper()
	w, p, ok := b.Peek()
	if !ok || w != word || !bytes.Equal(p, bytes.Repeat([]byte{byte(word)}, n)) {
		t.Fatalf("got word %d, %d bytes, %v; want word %d, %d bytes of it", w, len(p), ok, word, n)
	}
	b.Advance()
}

func expectNone(t *testing.T, b *Bytes) {
	t.Helper()
	if w, p, ok := b.Peek(); ok {
		t.Fatalf("unexpected record: word %d, %d bytes", w, len(p))
	}
}

// expectClean checks an empty queue: nothing in use, and all of its memory zero.
func expectClean(t *testing.T, b *Bytes) {
	t.Helper()
	expectNone(t, b)
	if !b.Empty() || b.Used() != 0 {
		t.Fatalf("empty %v, used %d after the last record", b.Empty(), b.Used())
	}
	for i, w := range b.mem {
		if w != 0 {
			t.Fatalf("word %d is %#x after the last record", i, w)
		}
	}
}

func TestBytesCapacity(t *testing.T) {
	for _, c := range []struct{ ask, get, record int }{{1, 64, 16}, {64, 64, 16}, {65, 128, 48}, {1 << 16, 1 << 16, 1<<15 - 16}} {
		b := NewBytes(c.ask)
		if b.Cap() != c.get || b.MaxRecord() != c.record {
			t.Errorf("capacity %d gives %d bytes, records of %d; want %d and %d", c.ask, b.Cap(), b.MaxRecord(), c.get, c.record)
		}
		if !panics(func() { b.Claim(b.MaxRecord() + 1) }) || !panics(func() { b.Claim(-1) }) {
			t.Errorf("capacity %d: impossible claim accepted", c.ask)
		}
	}
}

// All lengths at all offsets, so that every record ends and wraps everywhere that it can.
func TestBytesWrapsAnywhere(t *testing.T) {
	b := NewBytes(256)
	for n := range b.MaxRecord() + 1 {
		for step := range b.Cap() / wordBytes {
			if !send(b, uint64(n*1000+step), n) {
				t.Fatalf("%d bytes do not fit an empty queue at %d", n, b.reading)
			}
			expect(t, b, uint64(n*1000+step), n)
			expectClean(t, b)
			// Move on by one word less than a lap.
			send(b, 0, 0)
			expect(t, b, 0, 0)
			expectClean(t, b)
		}
	}
}

func TestBytesRecordLayout(t *testing.T) {
	b := NewBytes(256)
	for n := range 20 {
		r, ok := b.Claim(n)
		if !ok || len(r.Bytes()) != n || cap(r.Bytes()) != n || r.Word() != 0 {
			t.Fatalf("claim of %d: %v, len %d, cap %d, word %d", n, ok, len(r.Bytes()), cap(r.Bytes()), r.Word())
		}
		if n > 0 && uintptr(unsafe.Pointer(&r.Bytes()[0]))%8 != 0 {
			t.Errorf("payload of %d bytes is not aligned", n)
		}
		for _, c := range r.Bytes() {
			if c != 0 {
				t.Fatalf("payload of %d bytes is not zero", n)
			}
		}
		fill(r.Bytes(), 0xff)
		r.SetWord(1<<63 | uint64(n))
		if r.Word() != 1<<63|uint64(n) {
			t.Error("Word is not what SetWord stored")
		}
		r.Commit()
		if w, p, ok := b.Peek(); !ok || w != 1<<63|uint64(n) || len(p) != n {
			t.Fatalf("got %#x, %d bytes, %v", w, len(p), ok)
		}
		if w, p, ok := b.Peek(); !ok || w != 1<<63|uint64(n) || len(p) != n {
			t.Fatalf("second Peek: %#x, %d bytes, %v", w, len(p), ok)
		}
		b.Advance()
		expectClean(t, b)
	}
}

func TestBytesFull(t *testing.T) {
	b := NewBytes(256)
	sent := 0
	for send(b, uint64(sent), 16) { // 32 bytes each
		sent++
	}
	if sent != 8 || b.Used() != 256 {
		t.Fatalf("%d records, %d bytes used; want 8 and 256", sent, b.Used())
	}
	if send(b, 99, 0) {
		t.Fatal("accepted when full")
	}
	expect(t, b, 0, 16)
	if send(b, 99, 0) {
		t.Fatal("freed at once: the store is not shared")
	}
	b.Flush()
	if !send(b, 8, 0) {
		t.Fatal("not freed by Flush")
	}
	expect(t, b, 1, 16)
	expect(t, b, 2, 16)
	if !send(b, 9, 16) { // 16 bytes were left, 64 came back
		t.Fatal("not freed after a quarter")
	}
	for i := uint64(3); i < 8; i++ {
		expect(t, b, i, 16)
	}
	expect(t, b, 8, 0)
	expect(t, b, 9, 16)
	expectClean(t, b)
}

// A record that does not fit before the end takes the beginning, if that is free.
func TestBytesSkipsTheEnd(t *testing.T) {
	b := NewBytes(128)
	send(b, 1, 40) // 0..56
	send(b, 2, 32) // 56..104; 24 are left
	expect(t, b, 1, 40)
	b.Flush()
	if _, ok := b.Claim(48); ok {
		t.Fatal("24 + 64 bytes in 80 free ones: it would lie over record 2")
	}
	if b.Used() != 48 {
		t.Fatalf("a refused claim left its mark: %d used", b.Used())
	}
	if !send(b, 3, 24) { // 24 skipped, 40 at 0
		t.Fatal("24 + 40 bytes do not fit 80")
	}
	if b.Used() != 48+24+40 {
		t.Fatalf("%d used, want the skipped end counted", b.Used())
	}
	expect(t, b, 2, 32)
	expect(t, b, 3, 24)
	expectClean(t, b)
}

func TestBytesUncommittedHoldsBack(t *testing.T) {
	b := NewBytes(256)
	first, _ := b.Claim(8)
	send(b, 2, 8)
	if !b.Empty() {
		t.Error("not empty, with the oldest record uncommitted")
	}
	expectNone(t, b)
	first.SetWord(1)
	fill(first.Bytes(), 1)
	first.Commit()
	if b.Empty() {
		t.Error("empty after the commit")
	}
	expect(t, b, 1, 8)
	expect(t, b, 2, 8)
	expectClean(t, b)
}

func TestBytesAbort(t *testing.T) {
	b := NewBytes(256)
	for lap := range uint64(50) {
		send(b, lap, 8)
		r, _ := b.Claim(13) // and what was written leaves no trace
		r.SetWord(^uint64(0))
		fill(r.Bytes(), 0xff)
		empty, _ := b.Claim(0)
		empty.Abort()
		send(b, lap+1, 24)
		expect(t, b, lap, 8)
		expectNone(t, b)
		r.Abort()
		expect(t, b, lap+1, 24)
		expectClean(t, b)
	}
	// Nothing but aborted records: they are skipped without ever being seen.
	r, _ := b.Claim(b.MaxRecord())
	r.Abort()
	expectClean(t, b)
}

func TestBytesAdvancePanics(t *testing.T) {
	b := NewBytes(64)
	if !panics(b.Advance) {
		t.Error("Advance of an empty queue")
	}
	send(b, 1, 1)
	send(b, 2, 1)
	if !panics(b.Advance) {
		t.Error("Advance without Peek")
	}
	expect(t, b, 1, 1)
	if !panics(b.Advance) {
		t.Error("second Advance")
	}
}

// Several producers send records of changing lengths, abort some, and yield between claim and
// commit. Each record says who sent it and its number, and repeats that all over.
func TestBytesStress(t *testing.T) {
	const producers = 4
	records := uint64(1_000_000)
	if testing.Short() || raceEnabled {
		records = 50_000
	}
	for _, capacity := range []int{64, 1 << 8, 1 << 14} {
		records := records
		if capacity == 64 {
			records /= 10 // two records fit; all wait for all
		}
		b := NewBytes(capacity)
		for p := range uint64(producers) {
			go func() {
				for n := uint64(1); n <= records; n++ {
					word := p<<32 | n
					size := int(word*0x9e3779b97f4a7c15>>40) % (min(b.MaxRecord(), 200) + 1)
					abort := n%17 == 0 // an aborted record goes first, with wrong contents
				again:
					r, ok := b.Claim(size)
					for !ok {
						runtime.Gosched()
						r, ok = b.Claim(size)
					}
					if abort {
						abort = false
						r.SetWord(^word)
						fill(r.Bytes(), 0xee)
						r.Abort()
						goto again
					}
					r.SetWord(word)
					stamp(r.Bytes(), word)
					if n%1024 == 0 {
						runtime.Gosched()
					}
					r.Commit()
				}
			}()
		}
		var next [producers]uint64
		want := make([]byte, 200)
		for left := records * producers; left > 0; {
			word, payload, ok := b.Peek()
			if !ok {
				runtime.Gosched()
				continue
			}
			p, n := word>>32, word&(1<<32-1)
			if p >= producers || n != next[p]+1 {
				t.Fatalf("capacity %d: word %#x, the last of each producer were %v", capacity, word, next)
			}
			size := int(word*0x9e3779b97f4a7c15>>40) % (min(b.MaxRecord(), 200) + 1)
			stamp(want[:size], word)
			if !bytes.Equal(payload, want[:size]) {
				t.Fatalf("capacity %d, record %#x: payload %x, want %x", capacity, word, payload, want[:size])
			}
			b.Advance()
			next[p] = n
			left--
		}
		expectClean(t, b)
	}
}

// stamp fills p with word, again and again.
func stamp(p []byte, word uint64) {
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, word)
		p = p[8:]
	}
	fill(p, byte(word))
}

func TestBytesAllocations(t *testing.T) {
	b := NewBytes(1 << 10)
	if n := testing.AllocsPerRun(1000, func() {
		for i := range 5 {
			if r, ok := b.Claim(i * 40); ok {
				r.SetWord(7)
				r.Bytes()
				r.Commit()
			}
		}
		if r, ok := b.Claim(1); ok {
			r.Abort()
		}
		for _, _, ok := b.Peek(); ok; _, _, ok = b.Peek() {
			b.Advance()
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
