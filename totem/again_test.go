package totem

import "testing"

// A datagram is sent again at once in so many rotations that, where chance loses datagrams, one in a thousand waits; and in
// two where nothing is known, or where it is not chance.
func TestTries(t *testing.T) {
	for _, c := range []struct{ resent, failed, want int }{
		{0, 0, 2}, {200, 0, 2}, {200, 2, 2},
		{200, 10, 3}, // 5 %
		{200, 40, 5}, // 20 %
		{200, 66, 6}, // a third, nearly
		{200, 67, 2}, // a bottleneck, or a black hole
		{8, 7, 1},
	} {
		k := tokens{resent: c.resent, failed: c.failed}
		if n := k.tries(); n != c.want {
			t.Errorf("%d of %d failed: %d rotations, want %d", c.failed, c.resent, n, c.want)
		}
	}
}
