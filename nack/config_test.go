package nack

import (
	"math"
	"testing"
)

func TestWindowDatagrams(t *testing.T) {
	for _, c := range []struct{ window, datagram, want int }{
		{8 << 20, 1472, 5698},
		{0, 1472, 16},
		{1 << 20, 1 << 20, 16},
		{math.MaxInt, 1472, maxWindow},
		{1 << 20, 0, maxWindow},
	} {
		if got := WindowDatagrams(c.window, c.datagram); got != c.want {
			t.Errorf("%d bytes of %d: %d, want %d", c.window, c.datagram, got, c.want)
		}
	}
}
