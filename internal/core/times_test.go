package core

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Each class begins where the one before ends, and a quantile is within a fifth of the true one.
func TestTimes(t *testing.T) {
	for class := 1; class < TimeClasses; class++ {
		from := TimeFrom(class)
		if TimeClass(from) != class || TimeClass(from-1) != class-1 {
			t.Errorf("class %d begins at %v, which is of class %d", class, from, TimeClass(from))
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	var times Times
	var all []time.Duration
	for range 10_000 {
		d := time.Duration(2000 * (1 + 1000*r.Float64()*r.Float64()*r.Float64()))
		times.Add(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{0.5, 0.9, 0.99} {
		want := float64(all[int(q*float64(len(all)))])
		if got := float64(times.Quantile(q)); got < 0.8*want || got > 1.2*want {
			t.Errorf("quantile %v is %v, want %v", q, time.Duration(got), time.Duration(want))
		}
	}
	if times.Count() != 10_000 {
		t.Errorf("%d were counted", times.Count())
	}
	var none Times
	if none.Quantile(0.5) != 0 {
		t.Error("a quantile of nothing")
	}
	none.Add(time.Hour)
	if none.Quantile(0.99) < time.Second {
		t.Error("an hour is shorter than a second")
	}
}
