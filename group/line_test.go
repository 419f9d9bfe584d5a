package group

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A line is a slice whose front is cheap.
func TestLine(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var l line[int]
	var want []int
	for n := range 20_000 {
		switch rng.IntN(8) {
		case 0, 1, 2:
			l.push(n)
			want = append(want, n)
		case 3:
			i := rng.IntN(len(want) + 1)
			l.insert(i, n)
			want = slices.Insert(want, i, n)
		case 4:
			if len(want) > 0 {
				i := rng.IntN(len(want))
				if got := l.remove(i); got != want[i] {
					t.Fatalf("element %d is %d, want %d", i, got, want[i])
				}
				want = slices.Delete(want, i, i+1)
			}
		default:
			if len(want) > 0 {
				if got := l.remove(0); got != want[0] {
					t.Fatalf("the first is %d, want %d", got, want[0])
				}
				want = want[1:]
			}
		}
		if l.len() != len(want) || !slices.Equal(l.all(), want) {
			t.Fatalf("after %d: %v, want %v", n, l.all(), want)
		}
	}
}
