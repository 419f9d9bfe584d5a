package nack

import "time"

const (
	rttInitial = time.Millisecond      // until something was measured
	rttMin     = 20 * time.Microsecond // below it, threads and not networks are measured
	rttMax     = time.Second           // bounds what a forged echo can do
)

// rtt is a round trip, smoothed as RFC 6298 has it (section 2, alpha 1/8 and beta 1/4).
type rtt struct {
	smooth    time.Duration // SRTT; 0: not measured yet
	variation time.Duration // RTTVAR
}

// sample takes in one measurement.
func (r *rtt) sample(d time.Duration) {
	d = min(max(d, rttMin/2), rttMax)
	if r.smooth == 0 {
		r.smooth, r.variation = d, d/2 // RFC 6298 (2.2)
		return
	}
	// A receiver that was paused answers an old heartbeat late, and that says nothing of the
	// network. What really lasts longer gets through within a few samples.
	d = min(d, 4*max(r.smooth, rttMin))
	r.variation += ((r.smooth - d).Abs() - r.variation) / 4 // (2.3)
	r.smooth += (d - r.smooth) / 8
}

// value is the smoothed round trip, or fallback until there is one.
func (r *rtt) value(fallback time.Duration) time.Duration {
	if r.smooth == 0 {
		return fallback
	}
	return max(r.smooth, rttMin)
}

// timeout is how long to wait for an answer before asking again: RTO of RFC 6298 with a
// granularity that suits local networks, and never below two round trips.
func (r *rtt) timeout(fallback time.Duration) time.Duration {
	s := r.value(fallback)
	return max(s+4*r.variation, 2*s) + rttMin
}
