package workload

import (
	"testing"

	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/clock"
)

// What is judged later is judged as it was, although its memory was lent, and with the time at
// which it came.
func TestWhatIsJudgedLaterIsJudgedAsItCame(t *testing.T) {
	now := clock.Time(1000)
	s := newSink(64, 9, 2, func() clock.Time { return now })
	l := later{sink: s}
	m := measure.NewMaker(64, 9)
	for n := uint64(1); n <= 4; n++ {
		b := m.Make(measure.Message{Number: n, Measured: true, Stamp: int64(now) - 100}) // the same memory each time
		l.put(b)
		now += 10
	}
	bad := m.Make(measure.Message{Number: 5})
	bad[20] ^= 1
	l.put(bad)
	now += 5000
	l.settle()
	l.settle() // has nothing more to do
	if s.tracker.Delivered != 4 || s.tracker.Corrupt != 1 || s.settled.Load() != 4 {
		t.Errorf("delivered %d, corrupt %d, settled %d", s.tracker.Delivered, s.tracker.Corrupt, s.settled.Load())
	}
	if p := s.latency.Percentiles(); s.latency.Count() != 2 || p.Min != 100 || p.Max != 100 {
		t.Errorf("%d latencies, %+v, want two of 100 ns", s.latency.Count(), p)
	}
	if s.measured.first != 1010 || s.measured.last != 1030 {
		t.Errorf("timed from %d to %d", s.measured.first, s.measured.last)
	}
}
