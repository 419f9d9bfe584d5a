package blaze

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A wall clock that is set back between two starts of one channel does not take versions and tokens back, and the log says so.
func TestClockBetweenStarts(t *testing.T) {
	const hour = int64(time.Hour / time.Microsecond)
	for _, c := range []struct {
		why          string
		first, later int64
		want         int64
		says         string
	}{
		{"as it was", 10 * hour, 10 * hour, 10 * hour, ""},
		{"set forward", 10 * hour, 11 * hour, 11 * hour, ""},
		{"set right by NTP", 10 * hour, 10*hour - 2_000_000, 10 * hour, ""},
		{"set back", 10 * hour, 9 * hour, 10 * hour, "by=1h0m0s"},
	} {
		var out bytes.Buffer
		log, s := slog.New(slog.NewTextHandler(&out, nil)), &clusterState{}
		if got := s.wallZero(c.first, log); got != c.first || out.Len() > 0 {
			t.Errorf("%s: the first start: %d, %q", c.why, got, out.String())
		}
		if got := s.wallZero(c.later, log); got != c.want || !strings.Contains(out.String(), c.says) || (out.Len() > 0) != (c.says != "") {
			t.Errorf("%s: %d, want %d; the log: %q", c.why, got, c.want, out.String())
		}
	}
}
