package fec

import (
	"time"

	"github.com/activeblaze/blaze/clock"
)

// rhythm is the time from one datagram of a stream to the next, smoothed with its variation as
// RFC 6298 does with round trips. It separates a pause from the ordinary spacing, also where
// datagrams come in bursts: then the variation is large, and so is the patience.
type rhythm struct {
	last      clock.Time // of the last datagram; 0: none yet
	smooth    time.Duration
	variation time.Duration
}

// beat notes a datagram, which is the count-th since the last one that was noted: those between are
// lost, and were sent all the same. A pause counts as longest at most, so that one long silence is
// forgotten soon.
func (r *rhythm) beat(now clock.Time, count uint64, longest time.Duration) {
	if r.last != 0 {
		d := min(now.Sub(r.last)/time.Duration(min(max(count, 1), 1<<16)), longest)
		r.variation += ((r.smooth - d).Abs() - r.variation) / 8
		r.smooth += (d - r.smooth) / 16
	}
	r.last = now
}

// pause is how long after a datagram the next one is late. A stream that beats like a clock has no
// variation, and would be late with every datagram that a busy thread sends a moment too late: half
// of the rhythm is always allowed, as RFC 6298 allows a grain of its clock (2.3).
func (r *rhythm) pause(shortest, longest time.Duration) time.Duration {
	return min(max(r.smooth+max(4*r.variation, r.smooth/2), shortest), longest)
}
