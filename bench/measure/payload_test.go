package measure

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestMakeRead(t *testing.T) {
	for _, size := range []int{16, 17, 23, 24, 25, 31, 32, 63, 64, 256, 1344, 65536} {
		m := NewMaker(size, 42)
		for n := uint64(1); n < 100; n++ {
			want := Message{Number: n, Measured: n%2 == 0, Stamp: int64(n * 1000)}
			b := m.Make(want)
			if size < StampSize {
				want.Stamp = 0
			}
			if len(b) != size {
				t.Fatalf("size %d: made %d bytes", size, len(b))
			}
			got, ok := m.Read(b)
			if !ok || got != want {
				t.Fatalf("size %d: read %+v %v, want %+v", size, got, ok, want)
			}
		}
	}
}

func TestBodiesDiffer(t *testing.T) {
	m := NewMaker(256, 1)
	one := string(m.Make(Message{Number: 1})[StampSize:])
	if two := string(m.Make(Message{Number: 2})[StampSize:]); one == two {
		t.Error("messages 1 and 2 have the same body: a mix-up would go unseen")
	}
}

func TestEveryDamageIsSeen(t *testing.T) {
	for _, size := range []int{16, 24, 40, 64, 200} {
		m := NewMaker(size, 7)
		b := m.Make(Message{Number: 5, Measured: true, Stamp: 99})
		if _, ok := m.Read(b); !ok {
			t.Fatalf("size %d: an intact message is refused", size)
		}
		for bit := range size * 8 {
			b[bit/8] ^= 1 << (bit % 8)
			if _, ok := m.Read(b); ok {
				t.Errorf("size %d: bit %d was flipped, nobody noticed", size, bit)
			}
			b[bit/8] ^= 1 << (bit % 8)
		}
		other := NewReader(size, 8)
		if _, ok := other.Read(b); ok {
			t.Errorf("size %d: a message of another run is accepted", size)
		}
		if _, ok := m.Read(b[:size-1]); ok {
			t.Errorf("size %d: a message cut short is accepted", size)
		}
		if size >= 64 { // the tail of another message's body
			other := append([]byte(nil), m.Make(Message{Number: 6, Measured: true, Stamp: 99})...)
			mine := append([]byte(nil), m.Make(Message{Number: 5, Measured: true, Stamp: 99})...)
			copy(mine[48:], other[48:])
			if _, ok := m.Read(mine); ok {
				t.Errorf("size %d: halves of two messages are accepted as one", size)
			}
		}
	}
}

func TestCheckSize(t *testing.T) {
	if err := CheckSize(16); err != nil {
		t.Error(err)
	}
	err := CheckSize(15)
	if want := "size 15: a message needs 16 bytes or more, for its number and its hash"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// Hash values must not cluster: a million related inputs have distinct hashes, and each output bit
// is set about half the time.
func TestHashSpreads(t *testing.T) {
	n := 1_000_000
	if testing.Short() {
		n = 100_000
	}
	seen := make(map[uint64]bool, n)
	var ones [64]int
	b := make([]byte, 56)
	for i := range n {
		b[0], b[1], b[2] = byte(i), byte(i>>8), byte(i>>16)
		h := Hash(3, b)
		if seen[h] {
			t.Fatalf("two of %d inputs have the hash %x", i, h)
		}
		seen[h] = true
		for j := range ones {
			ones[j] += int(h >> j & 1)
		}
	}
	for j, k := range ones {
		if f := float64(k) / float64(n); f < 0.49 || f > 0.51 {
			t.Errorf("bit %d is set in %.3f of the hashes", j, f)
		}
	}
}

func TestTrackerPlantedDefects(t *testing.T) {
	for _, c := range []struct {
		name                    string
		sent                    uint64
		take                    []uint64
		delivered, dup, reorder uint64
		lost                    uint64
	}{
		{"clean", 5, []uint64{1, 2, 3, 4, 5}, 5, 0, 0, 0},
		{"one lost", 5, []uint64{1, 2, 4, 5}, 4, 0, 0, 1},
		{"the first lost", 3, []uint64{2, 3}, 2, 0, 0, 1},
		{"the last lost", 3, []uint64{1, 2}, 2, 0, 0, 1},
		{"all lost", 3, nil, 0, 0, 0, 3},
		{"one twice", 3, []uint64{1, 2, 2, 3}, 3, 1, 0, 0},
		{"one twice, late", 4, []uint64{1, 2, 3, 4, 1}, 4, 1, 0, 0},
		{"two swapped", 4, []uint64{1, 3, 2, 4}, 4, 0, 1, 0},
		{"late, then again", 4, []uint64{1, 3, 4, 2, 2}, 4, 1, 1, 0},
		{"lost and doubled do not cancel", 3, []uint64{1, 1, 3}, 2, 1, 0, 1},
		{"across words", 200, []uint64{63, 64, 128, 127, 64, 65}, 5, 1, 2, 195},
	} {
		tr := NewTracker()
		for _, n := range c.take {
			tr.Take(n)
		}
		if tr.Delivered != c.delivered || tr.Duplicates != c.dup || tr.Reordered != c.reorder || tr.Lost(c.sent) != c.lost {
			t.Errorf("%s: delivered %d, duplicates %d, reordered %d, lost %d; want %d %d %d %d", c.name,
				tr.Delivered, tr.Duplicates, tr.Reordered, tr.Lost(c.sent), c.delivered, c.dup, c.reorder, c.lost)
		}
	}
}

// TestTrackerAgainstSet compares with the obvious implementation over random arrivals that wrap
// around the window several times.
func TestTrackerAgainstSet(t *testing.T) {
	for seed := range uint64(5) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		tr := NewTracker()
		seen := map[uint64]bool{}
		var high, dup, reorder uint64
		for range 200_000 {
			var n uint64
			switch rnd.IntN(10) {
			case 0:
				n = high + 1 + uint64(rnd.IntN(reach/100)) // a long gap
			case 1, 2, 3:
				n = high - min(high-1, uint64(rnd.IntN(2000))) // from behind
			default:
				n = high + 1
			}
			if n == 0 || n > high+1<<40 {
				n = 1
			}
			switch {
			case seen[n]:
				dup++
			case n < high:
				reorder++
			}
			seen[n] = true
			high = max(high, n)
			tr.Take(n)
		}
		if tr.Delivered != uint64(len(seen)) || tr.Duplicates != dup || tr.Reordered != reorder || tr.High() != high {
			t.Errorf("seed %d: %+v, want delivered %d duplicates %d reordered %d high %d", seed,
				fmt.Sprint(tr.Delivered, tr.Duplicates, tr.Reordered, tr.high), len(seen), dup, reorder, high)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	m, tr := NewMaker(64, 1), NewTracker()
	n := uint64(0)
	if a := testing.AllocsPerRun(1000, func() {
		n++
		msg, ok := m.Read(m.Make(Message{Number: n}))
		if !ok {
			t.Fatal("refused")
		}
		tr.Take(msg.Number)
	}); a != 0 {
		t.Errorf("a message costs %v allocations", a)
	}
}

func BenchmarkMakeReadTake(b *testing.B) {
	for _, size := range []int{64, 1344} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			m, tr := NewMaker(size, 1), NewTracker()
			n := uint64(0)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				n++
				msg, _ := m.Read(m.Make(Message{Number: n}))
				tr.Take(msg.Number)
			}
		})
	}
}
