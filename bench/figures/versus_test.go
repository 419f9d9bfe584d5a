package figures

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/bench/measure"
)

// change is a figure after rounds with these values before, at the control and now.
func change(t *testing.T, name string, rounds ...[3]float64) Change {
	t.Helper()
	some, err := Chosen(name, time.Second)
	if err != nil || len(some) != 1 {
		t.Fatalf("%v, %v", some, err)
	}
	c := Change{Match: some[0]}
	for _, vs := range rounds {
		var rs [3]*measure.OrderResult
		for i, v := range vs {
			if v > 0 {
				ns := &measure.Percentiles{P50: int64(v)}
				rs[i] = &measure.OrderResult{Result: measure.Result{RTT: ns, MsgsPerSecond: v}, Own: ns}
			}
		}
		c.Add(rs[0], rs[1], rs[2])
	}
	return c
}

func TestChangeJudge(t *testing.T) {
	for _, c := range []struct {
		why, name string
		rounds    [][3]float64
		want      bool
	}{
		{"the same", "rtt", [][3]float64{{1000, 1000, 1000}}, true},
		{"a longer round trip within the limit", "rtt", [][3]float64{{1000, 1000, 1029}}, true},
		{"a longer round trip", "rtt", [][3]float64{{1000, 1000, 1031}}, false},
		{"a shorter one", "rtt", [][3]float64{{1000, 1000, 500}}, true},
		{"a lower rate", "rate 64", [][3]float64{{1000, 1000, 960}}, false},
		{"a higher rate", "rate 64", [][3]float64{{1000, 1000, 2000}}, true},
		{"the host does as much by itself", "rtt", [][3]float64{{1000, 1060, 1050}}, true},
		{"in either direction", "rtt", [][3]float64{{1000, 940, 1050}}, true},
		{"but not more than that", "rtt", [][3]float64{{1000, 1040, 1050}}, false},
		{"one bad round of three", "rtt", [][3]float64{{1000, 1000, 1000}, {1000, 1000, 9000}, {1000, 1000, 1001}}, true},
		{"two bad rounds of three", "rtt", [][3]float64{{1000, 1000, 1000}, {1000, 1000, 1100}, {1000, 1000, 1100}}, false},
		{"the whole host slower in each round", "ring 1000/s", [][3]float64{{1000, 1000, 1000}, {2000, 2000, 2000}, {3000, 3000, 3000}}, true},
		{"a run that failed", "rtt", [][3]float64{{1000, 1000, 1000}, {1000, 1000, 0}}, false},
		{"nothing was run", "rtt", nil, false},
	} {
		ch := change(t, c.name, c.rounds...)
		if got := ch.Judge(); got != c.want {
			t.Errorf("%s: good enough %v, want %v: now %+.3f, control %+.3f, limit %.3f", c.why, got, c.want, ch.NowWorse, ch.AgainWorse, ch.Limit)
		}
	}
}

func TestWriteChanges(t *testing.T) {
	var b bytes.Buffer
	WriteChanges(&b, "before", []Change{change(t, "rtt", [3]float64{8000, 8080, 8800}), change(t, "ring 64", [3]float64{2e6, 2e6, 4e6})})
	for _, want := range []string{"rtt p50 8.00 µs 8.08 µs 8.80 µs +1.0 % +10.0 % +3.0 % WORSE", "ring 64 rate 2.000 M/s 2.000 M/s 4.000 M/s +0.0 % -50.0 % +3.0 % ok"} {
		if got := strings.Join(strings.Fields(b.String()), " "); !strings.Contains(got, want) {
			t.Errorf("want %q in\n%s", want, b.String())
		}
	}
}
