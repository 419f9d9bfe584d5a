package nack

import (
	"time"

	"github.com/activeblaze/blaze/clock"
)

// pacer bounds a rate by virtual scheduling (the GCRA of ITU-T I.371): it keeps the instant at
// which all that was sent would have been sent at the exact rate. Zero rate means no bound.
type pacer struct {
	perByte float64 // ns of one byte; 0: no bound
	burst   time.Duration
	due     clock.Time
}

// paceBurst is how far ahead of the exact rate a pacer lets a burst run.
const paceBurst = 500 * time.Microsecond

func newPacer(bitsPerSecond int64, datagram int) pacer {
	if bitsPerSecond <= 0 {
		return pacer{}
	}
	perByte := 8e9 / float64(bitsPerSecond)
	return pacer{perByte: perByte, burst: max(paceBurst, time.Duration(2*perByte*float64(datagram+wireOverhead)))}
}

// ready tells whether something may be sent now; slack lets it be early by so much more.
func (p *pacer) ready(now clock.Time, slack time.Duration) bool {
	return p.perByte == 0 || p.due.Sub(now) <= p.burst+slack
}

// spend counts one datagram of n bytes of UDP payload.
func (p *pacer) spend(now clock.Time, n int) {
	if p.perByte != 0 {
		p.due = max(p.due, now) + clock.Time(p.perByte*float64(n+wireOverhead))
	}
}

// at is when ready becomes true.
func (p *pacer) at() clock.Time { return p.due.Add(-p.burst) }

// bucket bounds how often something is done: a token bucket that is refilled with time.
type bucket struct {
	tokens float64
	last   clock.Time
}

// take takes a token; without one it returns when the next comes. perSecond and depth may
// change from call to call.
func (b *bucket) take(now clock.Time, perSecond, depth float64) (at clock.Time, ok bool) {
	b.tokens = min(depth, b.tokens+perSecond*float64(now-b.last)/1e9)
	b.last = now
	if b.tokens < 1 {
		return now + clock.Time((1-b.tokens)/perSecond*1e9) + 1, false
	}
	b.tokens--
	return now, true
}

// meter counts events over about the last second, in tenths.
type meter struct {
	tenth [10]uint32
	sum   uint32
	at    clock.Time // when tenth[i] began
	i     int
}

const tenth = clock.Time(100 * time.Millisecond)

func (m *meter) add(now clock.Time) {
	if now-m.at >= tenth {
		m.advance(now)
	}
	m.tenth[m.i]++
	m.sum++
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

// perSecond is the number of events in about the last second.
func (m *meter) perSecond(now clock.Time) float64 {
	if now-m.at >= tenth {
		m.advance(now)
	}
	return float64(m.sum)
}
