package run

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// A lane is reported when it was blocked for more than half of a second, then every ten seconds, and
// once when it has recovered.
func TestHeldLaneIsReported(t *testing.T) {
	slow := nack.Limit{Member: wire.MemberID{9}}
	var s heldLane
	now, blocked := clock.Time(1), time.Duration(0)
	look := func(d time.Duration, limit nack.Limit) (h Held, ok bool) {
		now, blocked = now.Add(time.Second), blocked+d
		return s.look(now, time.Second, blocked, limit)
	}
	for i, step := range []struct {
		blocked time.Duration
		limit   nack.Limit
		want    string
	}{
		{400 * time.Millisecond, slow, ""}, // now and then
		{0, slow, ""},
		{900 * time.Millisecond, nack.Limit{}, ""}, // no receiver: MaxRate, say
		{600 * time.Millisecond, slow, "held"},
		{time.Second, slow, ""}, // reported a second ago
		{300 * time.Millisecond, slow, ""},
		{0, slow, "free"},
		{0, slow, ""},
		{700 * time.Millisecond, slow, "held"}, // anew
	} {
		h, ok := look(step.blocked, step.limit)
		got := ""
		switch {
		case ok && h.Recovered:
			got = "free"
		case ok:
			got = "held"
			if h.Again || h.Limit != slow {
				t.Errorf("step %d: %+v", i, h)
			}
		}
		if got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
	again := 0
	for range 30 {
		if h, ok := look(time.Second, slow); ok {
			if again++; !h.Again {
				t.Errorf("%+v", h)
			}
		}
	}
	if again != 3 {
		t.Errorf("reported %d times in 30 s, want 3", again)
	}
}
