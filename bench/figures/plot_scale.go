package figures

import (
	"math"
	"strconv"
)

// scale maps the values of an axis to pixels.
type scale struct {
	axis      Axis
	low, high float64 // values at the ends of the logarithmic part
	from, to  float64 // pixels there
	zero      float64 // pixel of what is 0 or less,
	has       bool    // if there is anything
}

// newScale makes the scale of an axis between two pixels that holds all values.
func newScale(a Axis, values []float64, from, to float64) *scale {
	s := &scale{axis: a, low: a.Low, high: a.High, from: from, to: to, zero: from}
	least, most := math.Inf(1), 0.0
	for _, v := range values {
		if v <= 0 {
			s.has = true
			continue
		}
		least, most = min(least, v), max(most, v)
	}
	if most == 0 { // nothing that has a logarithm
		least, most = 1, 1
	}
	if s.low <= 0 {
		s.low = RoundDown(least)
	}
	if s.high <= 0 {
		s.high = RoundUp(most)
	}
	if s.high <= s.low { // one value, or bounds that hold none
		s.low, s.high = s.low/10, s.low*10
	}
	if s.has {
		// The place for 0 is cut off at the low end.
		strip := math.Copysign(zeroStrip, to-from)
		s.from += strip
		s.zero += strip / 2.5
	}
	return s
}

// steps are the mantissas that an axis may begin and end with.
var steps = []float64{1, 2, 5, 10}

const slack = 1 + 1e-9 // 0.1 divided by 10^-1 is not always 1

// RoundDown is where an axis may begin that shows v, above 0: the largest step times a power of ten that is not above v.
func RoundDown(v float64) float64 {
	e := math.Pow(10, math.Floor(math.Log10(v)))
	for i := len(steps) - 1; i > 0; i-- {
		if steps[i]*e <= v*slack {
			return steps[i] * e
		}
	}
	return e
}

// RoundUp is where an axis may end that shows v, above 0: the least step times a power of ten that is not below v.
func RoundUp(v float64) float64 {
	e := math.Pow(10, math.Floor(math.Log10(v)))
	for _, s := range steps {
		if s*e*slack >= v {
			return s * e
		}
	}
	return 10 * e
}

// at is the pixel of a value. What lies outside is put to the nearer end.
func (s *scale) at(v float64) float64 {
	if v <= 0 {
		return s.zero
	}
	share := math.Log(v/s.low) / math.Log(s.high/s.low)
	return s.from + (s.to-s.from)*min(max(share, 0), 1)
}

// tick is a place on an axis; one without a label is a finer division.
type tick struct {
	at    float64
	label string
}

// ticks are the powers of ten, with what lies between them; on a short axis 2 and 5 have labels too.
func (s *scale) ticks() (all []tick) {
	label := s.axis.Format
	if label == nil {
		label = func(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }
	}
	if s.has {
		all = append(all, tick{s.zero, "0"})
	}
	decades := math.Log10(s.high / s.low)
	for e := math.Floor(math.Log10(s.low)); ; e++ {
		for m := 1.0; m < 10; m++ {
			v := m * math.Pow(10, e)
			if v*slack < s.low {
				continue
			}
			if v > s.high*slack {
				return all
			}
			t := tick{at: s.at(v)}
			if m == 1 || decades < 2 && (m == 2 || m == 5) {
				t.label = label(v)
			}
			all = append(all, t)
		}
	}
}
