package nack

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
)

// bucket bounds how often something is done: a token bucket that is refilled with time.
type bucket struct {
	tokens float64
	last   clock.Time
}

// take takes a token; without one it returns when the next comes. perSecond and depth may
// change from call to call.
func (b *bucket) take(now clock.Time, perSecond, depth float64) (at clock.Time, ok bool) {
	return b.takeAbove(now, perSecond, depth, 0)
}

// takeAbove is take where so many tokens have to stay for others.
func (b *bucket) takeAbove(now clock.Time, perSecond, depth, stay float64) (at clock.Time, ok bool) {
	b.tokens = min(depth, b.tokens+perSecond*float64(now-b.last)/1e9)
	b.last = now
	if b.tokens < 1+stay {
		return now + clock.Time((1+stay-b.tokens)/perSecond*1e9) + 1, false
	}
	b.tokens--
	return now, true
}

// meter counts over about the last second, in tenths: events or bytes.
type meter struct {
	tenth [10]uint64
	sum   uint64
	at    clock.Time // when tenth[i] began
	i     int
}

const tenth = clock.Time(100 * time.Millisecond)

func (m *meter) add(now clock.Time, n int) {
	if now-m.at >= tenth {
		m.advance(now)
	}
	m.tenth[m.i] += uint64(n)
	m.sum += uint64(n)
}

func (m *meter) advance(now clock.Time) {
	if now-m.at >= tenth*clock.Time(len(m.tenth)) {
		*m = meter{at: now}
		return
	}
	for now-m.at >= tenth {
		m.at += tenth
		m.i = (m.i + 1) % len(m.tenth)
		m.sum -= m.tenth[m.i]
		m.tenth[m.i] = 0
	}
}

// perSecond is the rate of about the last second.
func (m *meter) perSecond(now clock.Time) float64 {
	m.advance(now)
	return float64(m.sum)
}

// rising is the rate of about the last 200 ms, or of the last second if that is more.
func (m *meter) rising(now clock.Time) float64 {
	m.advance(now)
	n := len(m.tenth)
	return float64(max(m.sum, 5*(m.tenth[m.i]+m.tenth[(m.i+n-1)%n])))
}

// Bounds of a round trip, as core.RTT has them.
const (
	rttInitial = core.RTTInitial
	rttMin     = core.RTTMin
	rttMax     = core.RTTMax
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

// holdOff is how long a receiver waits for a repair that another one asked for, before it takes part in another
// round of NAKs: (K + 2) round trips (RFC 5401, section 5.2, NACK_HOLDOFF).
func holdOff(groupRTT time.Duration) time.Duration { return (backoffFactor + 2) * groupRTT }

// peak is the largest of the last peakSamples rates, bytes/s.
type peak struct {
	rates [peakSamples]float64
	i     int
}

const peakSamples = 8

// begin forgets all but one rate.
func (p *peak) begin(rate float64) { p.rates = [peakSamples]float64{rate} }

// add takes in a rate and returns the largest.
func (p *peak) add(rate float64) float64 {
	p.rates[p.i] = rate
	p.i = (p.i + 1) % peakSamples
	return slices.Max(p.rates[:])
}
