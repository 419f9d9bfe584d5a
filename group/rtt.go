package group

import "time"

const (
	rttInitial = time.Millisecond      // until something was measured
	rttMin     = 20 * time.Microsecond // below it, threads and not networks are measured
	rttMax     = time.Second           // bounds what a forged delay can do
)

// rtt is a round trip, smoothed as RFC 6298 has it (section 2, alpha 1/8 and beta 1/4). The nack package
// has the same; cores do not use each other's helpers.
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
	d = min(d, 4*max(r.smooth, rttMin))                     // one late answer does not measure the network
	r.variation += ((r.smooth - d).Abs() - r.variation) / 4 // (2.3)
	r.smooth += (d - r.smooth) / 8
}

// value is the smoothed round trip, or rttInitial until there is one.
func (r *rtt) value() time.Duration {
	if r.smooth == 0 {
		return rttInitial
	}
	return max(r.smooth, rttMin)
}

// timeout is how long to wait for an answer before sending again.
func (r *rtt) timeout() time.Duration {
	s := r.value()
	return max(s+4*r.variation, 2*s) + rttMin
}
