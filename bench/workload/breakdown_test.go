package workload

import (
	"strings"
	"testing"

	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/clock"
)

// A ping whose times are all known: each stage gets its own, and what the sender does in between
// for others is not taken for the ping.
func TestBreakdown(t *testing.T) {
	now := clock.Time(0)
	at := func(v clock.Time, f func()) { now = v; f() }
	clk := func() clock.Time { return now }
	s, r := newTracer(clk), newTracer(clk)
	const size, seed = 64, 7
	m := measure.NewMaker(size, seed)
	ping := m.Make(measure.Message{Number: 1, Measured: true, Stamp: 1000})

	at(900, s.Sending) // a heartbeat before it
	at(910, s.Kicking)
	at(1000, func() {
		if err := s.offering(func([]byte) error { return nil })(ping); err != nil {
			t.Fatal(err)
		}
	})
	at(1500, s.Sending)
	at(1540, s.Kicking)
	at(1550, s.Sending) // and one behind it
	at(1560, s.Kicking)
	at(3800, func() { r.Took(1, 3000) })
	at(4100, func() { r.handled(4030, ping, &m.Reader) })
	s.answered(1000, 900)

	bs, err := r.report()
	if err != nil {
		t.Fatal(err)
	}
	rows, err := breakdown(s, bs)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int64{500, 40, 1460, 800, 230, 0, 3030} {
		if got := rows[i].NS; got < want-want/100-1 || got > want+want/100+1 { // as far as a histogram's buckets go
			t.Errorf("%s: %d ns, want %d", rows[i].Name, got, want)
		}
	}
}

func TestBreakdownLeavesOut(t *testing.T) {
	clk := func() clock.Time { return 5 }
	const size, seed = 64, 7
	m := measure.NewMaker(size, seed)
	for name, f := range map[string]func(r *tracer){
		"one of a batch": func(r *tracer) {
			r.Took(2, 3)
			r.handled(9, m.Make(measure.Message{Number: 1, Measured: true, Stamp: 1}), &m.Reader)
		},
		"without arrival": func(r *tracer) {
			r.Took(1, 0)
			r.handled(9, m.Make(measure.Message{Number: 1, Measured: true, Stamp: 1}), &m.Reader)
		},
		"of the warm-up":   func(r *tracer) { r.Took(1, 3); r.handled(9, m.Make(measure.Message{Number: 1, Stamp: 1}), &m.Reader) },
		"somebody else's":  func(r *tracer) { r.Took(1, 3); r.handled(9, make([]byte, size), &m.Reader) },
		"nothing happened": func(*tracer) {},
	} {
		s, r := newTracer(clk), newTracer(clk)
		s.answered(1, 0)
		f(r)
		bs, err := r.report()
		if err != nil {
			t.Fatal(err)
		}
		if rows, err := breakdown(s, bs); err == nil || !strings.Contains(err.Error(), "no message was traced") {
			t.Errorf("%s: %+v, %v", name, rows, err)
		}
	}
}
