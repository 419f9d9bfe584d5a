package fec

import (
	"time"

	"github.com/activeblaze/blaze/clock"
)

// rhythm is the time from one datagram of a stream to the next, smoothed with its variation as
// RFC 6298 does with round trips. It tells a pause from the ordinary spacing, also where
// datagrams come in bursts: then the variation is large, and so is the patience.
type rhythm struct {
	last      clock.Time // of the last datagram; 0: none yet
	smooth    time.Duration
	variation time.Duration
}

// beat notes a datagram. A pause counts as longest at most, so that one long silence is
// forgotten soon.
func (r *rhythm) beat(now clock.Time, longest time.Duration) {
	if r.last != 0 {
		d := min(now.Sub(r.last), longest)
		r.variation += ((r.smooth - d).Abs() - r.variation) / 8
		r.smooth += (d - r.smooth) / 16
	}
	r.last = now
}

// pause is how long after a datagram the next one is late.
func (r *rhythm) pause(shortest, longest time.Duration) time.Duration {
	return min(max(r.smooth+4*r.variation, shortest), longest)
}
