package measure

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/activeblaze/blaze/clock"
)

// MaxRate is the highest rate that a schedule can have: a message each nanosecond.
const MaxRate = 1e9

// Schedule spaces messages evenly from a start. Its times are computed from the message's number,
// never added up: rounding does not accumulate.
type Schedule struct {
	start clock.Time
	gap   uint64 // between two messages, in 2^-20 ns
}

// NewSchedule makes a schedule of rate messages a second, 0 < rate <= MaxRate, the first one due at start.
func NewSchedule(start clock.Time, rate float64) (Schedule, error) {
	if !(rate > 0 && rate <= MaxRate) {
		return Schedule{}, fmt.Errorf("rate %v: want more than 0 and at most %.0f messages a second", rate, MaxRate)
	}
	gap := 1e9 / rate * (1 << 20)
	if gap >= math.MaxInt64 {
		return Schedule{}, fmt.Errorf("rate %v: want at least one message in %.0f s", rate, float64(math.MaxInt64>>20)/1e9)
	}
	return Schedule{start, uint64(gap + 0.5)}, nil
}

// Due is when message i (from 0) is due.
func (s Schedule) Due(i uint64) clock.Time {
	hi, lo := bits.Mul64(i, s.gap)
	return s.start + clock.Time(hi<<44|lo>>20)
}
