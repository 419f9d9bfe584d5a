package measure

import (
	"strings"
	"testing"

	"github.com/activeblaze/blaze/clock"
)

func TestDue(t *testing.T) {
	for _, c := range []struct {
		rate float64
		i    uint64
		want clock.Time
	}{
		{1, 0, 1000}, {1, 3, 1000 + 3e9}, {20000, 1, 1000 + 50_000}, {20000, 20000 * 3600, 1000 + 3600e9},
		{3, 3, 1000 + 1e9}, {7e6, 7e6 * 100, 1000 + 100e9}, {MaxRate, 5, 1005}, {0.5, 2, 1000 + 4e9},
	} {
		s, err := NewSchedule(1000, c.rate)
		if err != nil {
			t.Fatal(err)
		}
		// 2^-21 ns of rounding for each message
		if got := s.Due(c.i); max(got-c.want, c.want-got) > clock.Time(c.i>>21)+1 {
			t.Errorf("%v/s, message %d: due %d, want %d", c.rate, c.i, got, c.want)
		}
	}
}

func TestNeverGoesBack(t *testing.T) {
	s, err := NewSchedule(0, 123_457)
	if err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); i < 100_000; i++ {
		if s.Due(i) <= s.Due(i-1) {
			t.Fatalf("message %d is due at %d, the one before at %d", i, s.Due(i), s.Due(i-1))
		}
	}
}

func TestBadRates(t *testing.T) {
	for _, rate := range []float64{0, -1, 2e9, 1e-12} {
		if _, err := NewSchedule(0, rate); err == nil || !strings.HasPrefix(err.Error(), "rate ") {
			t.Errorf("rate %v: error %v", rate, err)
		}
	}
}
