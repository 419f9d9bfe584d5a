package core

import (
	"math/bits"
	"time"
)

// TimeClasses is the number of classes that durations are counted in: two for each doubling from 1.024 µs to 1.07 s,
// one for what is shorter, and one for what is longer.
const TimeClasses = 2*(timeHighest-timeLowest) + 2

const (
	timeLowest  = 10 // 1<<10 ns
	timeHighest = 30
)

// TimeClass is the class of a duration.
func TimeClass(d time.Duration) int {
	switch {
	case d < 1<<timeLowest:
		return 0
	case d >= 1<<timeHighest:
		return TimeClasses - 1
	}
	n := bits.Len64(uint64(d)) - 1
	return 1 + 2*(n-timeLowest) + int(uint64(d)>>(n-1)&1)
}

// TimeFrom is the shortest duration of a class.
func TimeFrom(class int) time.Duration {
	if class == 0 {
		return 0
	}
	n := (class - 1) / 2
	return time.Duration(uint64(2+(class-1)%2) << (timeLowest + n - 1))
}

// Times counts durations by their size. Its zero value is ready to use.
type Times [TimeClasses]uint32

// Add counts one duration.
func (t *Times) Add(d time.Duration) { t[TimeClass(d)]++ }

// Count is how many durations were counted.
func (t *Times) Count() (n uint64) {
	for _, k := range t {
		n += uint64(k)
	}
	return n
}

// Quantile is the duration that a share q of all does not exceed, within a fifth of it; 0 without any.
func (t *Times) Quantile(q float64) time.Duration {
	want := q * float64(t.Count())
	below := 0.0
	for class, k := range t {
		if below+float64(k) < want || k == 0 {
			below += float64(k)
			continue
		}
		from := TimeFrom(class)
		if class == TimeClasses-1 {
			return from
		}
		return from + time.Duration((want-below)/float64(k)*float64(TimeFrom(class+1)-from))
	}
	return 0
}
