package core

import "time"

// Bounds of a round trip.
const (
	RTTInitial = time.Millisecond      // until something was measured
	RTTMin     = 20 * time.Microsecond // below it, threads and not networks are measured
	RTTMax     = time.Second           // bounds what a forged echo or delay can do
)

// RTT is a round trip, smoothed as RFC 6298 has it (section 2, alpha 1/8 and beta 1/4).
type RTT struct {
	Smooth    time.Duration // SRTT; 0: not measured yet
	Shortest  time.Duration // 0: not measured yet
	variation time.Duration // RTTVAR
}

// Sample takes in one measurement.
func (r *RTT) Sample(d time.Duration) {
	d = min(max(d, RTTMin/2), RTTMax)
	if r.Shortest == 0 || d < r.Shortest {
		r.Shortest = d
	}
	if r.Smooth == 0 {
		r.Smooth, r.variation = d, d/2 // RFC 6298 (2.2)
		return
	}
	// A receiver that was paused answers an old heartbeat late, which does not measure the
	// network. What really lasts longer gets through within a few samples.
	d = min(d, 4*max(r.Smooth, RTTMin))
	r.variation += ((r.Smooth - d).Abs() - r.variation) / 4 // (2.3)
	r.Smooth += (d - r.Smooth) / 8
}

// Value is the smoothed round trip, or fallback until there is one.
func (r *RTT) Value(fallback time.Duration) time.Duration {
	if r.Smooth == 0 {
		return fallback
	}
	return max(r.Smooth, RTTMin)
}

// Timeout is how long to wait for an answer before asking again: RTO of RFC 6298 with a
// granularity that suits local networks, and never below two round trips.
func (r *RTT) Timeout(fallback time.Duration) time.Duration {
	s := r.Value(fallback)
	return max(s+4*r.variation, 2*s) + RTTMin
}
