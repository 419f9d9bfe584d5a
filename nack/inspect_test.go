package nack

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
)

// The times of the streams that were repaired last are kept, each stream's apart; of a stream that is forgotten nothing is.
func TestMendedKeepsTheLast(t *testing.T) {
	var m mended
	all := make([]*stream, 2*keptMended)
	for i := range all {
		all[i] = new(stream)
		for range i + 1 {
			m.note(clock.Time(i+1), all[i], time.Duration(i+1)*time.Microsecond)
		}
	}
	for i, s := range all {
		want := uint64(0)
		if i >= keptMended {
			want = uint64(i + 1)
		}
		if times := m.find(s); times.Count() != want {
			t.Errorf("stream %d: %d times, want %d", i, times.Count(), want)
		}
	}
	last := all[len(all)-1]
	m.forget(last)
	if times := m.find(last); times.Count() != 0 {
		t.Error("a stream that was forgotten is kept")
	}
	m.note(1, all[0], time.Second)
	if times := m.find(all[0]); times.Count() != 1 || times.Quantile(0.5) < 700*time.Millisecond {
		t.Errorf("in its place: %v", times)
	}
	if times := m.find(all[keptMended]); times.Count() != keptMended+1 {
		t.Error("another one went, although there was a free place")
	}
}
