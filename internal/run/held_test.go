package run

import (
	"fmt"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// A lane is reported when a receiver has held it back for more than half of a second, then every ten seconds, and
// once when it has recovered.
func TestHeldLaneIsReported(t *testing.T) {
	slow := nack.Limit{Member: wire.MemberID{9}}
	var s heldLane
	now, limited := clock.Time(1), core.Limited{}
	look := func(d time.Duration, limit nack.Limit) (h Held, ok bool) {
		now = now.Add(time.Second)
		limited.For[core.ByReceiver] += d / 2
		limited.For[core.ByWindow] += d - d/2
		limited.For[core.ByApplication] += time.Second - d
		return s.look(now, time.Second, limited, limit)
	}
	for i, step := range []struct {
		blocked time.Duration
		limit   nack.Limit
		want    string
	}{
		{400 * time.Millisecond, slow, ""}, // now and then
		{0, slow, ""},
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
			if h.Again || h.Limit != slow || h.By != core.ByReceiver {
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

// What has limited a lane for more than half of a second is reported, whatever it is, and what takes its place.
func TestLimitIsReported(t *testing.T) {
	pacing := wire.MemberID{7}
	var s heldLane
	now, limited := clock.Time(1), core.Limited{Member: pacing, Pace: 1e6}
	for i, step := range []struct {
		by   core.LimitedBy
		d    time.Duration
		want string
	}{
		{core.ByMaxRate, 400 * time.Millisecond, ""},
		{core.ByMaxRate, 600 * time.Millisecond, "by 4"},
		{core.ByPace, 700 * time.Millisecond, "by 3"},
		{core.ByPace, 700 * time.Millisecond, ""},
		{core.ByApplication, time.Second, "not by 3"},
		{core.ByApplication, time.Second, ""},
		{core.ByWindow, time.Second, "by 1"}, // no single receiver: a ring's flow control
	} {
		now = now.Add(time.Second)
		limited.For[step.by] += step.d
		limited.For[core.ByApplication] += time.Second - step.d
		h, ok := s.look(now, time.Second, limited, nack.Limit{})
		got := ""
		switch {
		case ok && h.Recovered:
			got = fmt.Sprint("not by ", h.By)
		case ok:
			got = fmt.Sprint("by ", h.By)
		}
		if got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
		if ok && h.By == core.ByPace && (h.Limit.Member != pacing || !h.Recovered && h.Pace != 1e6) {
			t.Errorf("step %d: %+v", i, h)
		}
	}
}
