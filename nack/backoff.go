package nack

import (
	"math"
	"math/rand/v2"
	"time"
)

// backoffFactor is K of RFC 5401: the largest back-off in group round trips.
const backoffFactor = 4

// backoff draws the wait between noticing a gap and asking for it, RFC 5401, section 5.2
// (RandomBackoff): a truncated exponential over backoffFactor round trips, in which few of
// many receivers are early. It is zero for groups of up to FewReceivers.
func backoff(rnd *rand.Rand, groupRTT time.Duration, receivers int) time.Duration {
	if receivers <= FewReceivers {
		return 0
	}
	longest := float64(backoffFactor) * float64(groupRTT)
	lambda := math.Log(float64(receivers)) + 1
	e := math.Exp(lambda) - 1
	x := rnd.Float64()*(lambda/longest) + lambda/(longest*e)
	return time.Duration(longest / lambda * math.Log(x*e*(longest/lambda)))
}

// holdOff is how long a receiver waits for somebody's repair before it takes part in another
// round of NAKs: (K + 2) round trips (RFC 5401, section 5.2, NACK_HOLDOFF).
func holdOff(groupRTT time.Duration) time.Duration { return (backoffFactor + 2) * groupRTT }
