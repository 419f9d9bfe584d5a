package ring

import (
	"bytes"
	"testing"
)

// FuzzBytesModel runs any sequence of calls, made by one goroutine, against a model that is a
// plain list. Two bytes of input make one call: what, and how long.
func FuzzBytesModel(f *testing.F) {
	f.Add(byte(0), []byte{0, 8, 1, 0, 3, 0, 4, 0})
	f.Add(byte(1), []byte{0, 48, 0, 0, 2, 1, 1, 0, 3, 0, 4, 0, 5, 0})
	f.Add(byte(2), bytes.Repeat([]byte{0, 100, 1, 0, 3, 0, 4, 0}, 20))
	f.Add(byte(0), bytes.Repeat([]byte{0, 3, 0, 16, 2, 0, 1, 1, 3, 0, 4, 0, 3, 0, 4, 0}, 20))

	type entry struct {
		r                  Record
		word               uint64
		payload            []byte
		committed, aborted bool
	}
	f.Fuzz(func(t *testing.T, size byte, calls []byte) {
		b := NewBytes(64 << (size % 4))
		var queue []*entry // claimed and not consumed, in order
		var open []*entry  // those of them that are neither committed nor aborted
		words := uint64(0)

		// front is the oldest record to be read, nil when there is none.
		front := func() *entry {
			for len(queue) > 0 && queue[0].aborted {
				queue = queue[1:]
			}
			if len(queue) == 0 || !queue[0].committed {
				return nil
			}
			return queue[0]
		}
		peek := func() bool {
			want := front()
			word, payload, ok := b.Peek()
			if ok != (want != nil) {
				t.Fatalf("Peek is %v with %d in the model", ok, len(queue))
			}
			if ok && (word != want.word || !bytes.Equal(payload, want.payload)) {
				t.Fatalf("Peek: word %d, %x; want %d, %x", word, payload, want.word, want.payload)
			}
			return ok
		}
		for ; len(calls) >= 2; calls = calls[2:] {
			what, arg := calls[0]%6, int(calls[1])
			switch what {
			case 0: // Claim
				n := arg % (b.MaxRecord() + 1)
				used := b.Used()
				r, ok := b.Claim(n)
				need := int(span(uint64(headerBytes + n)))
				switch {
				case !ok && b.Used() != used:
					t.Fatal("a refused claim took room")
				case !ok && used == 0:
					t.Fatalf("no room for %d bytes in an empty queue", n)
				case !ok && used+2*need <= b.Cap(): // with the most that can be skipped
					t.Fatalf("no room for %d bytes with %d of %d in use", n, used, b.Cap())
				case ok && (b.Used() < used+need || b.Used() > b.Cap()):
					t.Fatalf("claim of %d moved the use from %d to %d", n, used, b.Used())
				}
				if ok {
					words++
					e := &entry{r: r, word: words, payload: bytes.Repeat([]byte{byte(words) | 1}, n)}
					r.SetWord(words)
					copy(r.Bytes(), e.payload)
					queue, open = append(queue, e), append(open, e)
				}
			case 1, 2: // Commit, Abort
				if len(open) == 0 {
					continue
				}
				i := arg % len(open)
				e := open[i]
				open = append(open[:i:i], open[i+1:]...)
				if what == 1 {
					e.r.Commit()
					e.committed = true
				} else {
					e.r.Abort()
					e.aborted = true
				}
			case 3:
				peek()
			case 4: // Advance
				if peek() {
					b.Advance()
					queue = queue[1:]
				}
			case 5:
				b.Flush()
			}
			// Of an older record that is still claimed nothing may have changed.
			for _, e := range open {
				if !bytes.Equal(e.r.Bytes(), e.payload) || e.r.Word() != e.word {
					t.Fatalf("record %d changed before its commit", e.word)
				}
			}
		}
		for _, e := range open {
			e.r.Commit()
			e.committed = true
		}
		for peek() {
			b.Advance()
			queue = queue[1:]
		}
		expectClean(t, b)
	})
}
