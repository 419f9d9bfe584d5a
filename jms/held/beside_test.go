package held

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A snapshot is written on another goroutine beside what goes on, and has what was there when it was made. The race
// detector looks on.
func TestSnapshotBeside(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	m := New(holder)
	var numbers [3]uint64
	index := uint64(0)
	apply := func(n int) {
		for range n {
			index++
			if rng.IntN(15) == 0 {
				m.Tick(time.UnixMilli(int64(index)))
				continue
			}
			m.Apply(anything(rng, m.state, &numbers), holder, index)
			m.Certain(index)
			for {
				if _, ok := m.Notice(); !ok {
					break
				}
			}
		}
	}
	write := func(s *Snapshot) []byte {
		var b bytes.Buffer
		if _, err := s.WriteTo(&b); err != nil {
			t.Error(err)
		}
		return b.Bytes()
	}
	for range 20 {
		apply(300)
		s, err := m.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		want := slices.Clone(write(s))
		done := make(chan []byte)
		go func() { done <- write(s) }()
		apply(300)
		if got := <-done; !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, and before what was applied since %d", len(got), len(want))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
