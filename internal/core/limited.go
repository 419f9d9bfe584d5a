package core

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// LimitedBy is what keeps the rate of a stream from being higher.
type LimitedBy uint8

// What limits a stream.
const (
	ByApplication LimitedBy = iota // nothing else does: the application offers no more, or this host's processor is busy
	ByWindow                       // the window is full of what a receiver has not reported; of a ring: its flow control
	ByReceiver                     // a receiver has no room
	ByPace                         // congestion control
	ByMaxRate                      // the Pacer
	Limits                         // their number
)

// LimitMeter adds up for how long each of them limited a stream. Its zero value is ready to use: from the first Set
// on the application limits.
type LimitMeter struct {
	by    LimitedBy
	since clock.Time // up to here all is in the sums; 0: not begun
	total [Limits]time.Duration
	begun clock.Time // of the second half
	half  [2][Limits]time.Duration
}

// limitHalf is one of the two parts of what Mostly looks at.
const limitHalf = 500 * time.Millisecond

// Set notes what limits the stream from now on.
func (m *LimitMeter) Set(now clock.Time, by LimitedBy) {
	if by != m.by || m.since == 0 {
		m.charge(now)
		m.by = by
	}
}

// By is what limits the stream now.
func (m *LimitMeter) By() LimitedBy { return m.by }

// charge adds the time up to now to what has limited the stream.
func (m *LimitMeter) charge(now clock.Time) {
	if m.since == 0 {
		m.since, m.begun = now, now
		return
	}
	d := now.Sub(m.since)
	m.total[m.by] += d
	if end := m.begun.Add(limitHalf); now >= end {
		m.half[1][m.by] += max(end.Sub(m.since), 0)
		m.half[0], m.half[1] = m.half[1], [Limits]time.Duration{}
		if m.begun = end; now >= end.Add(limitHalf) {
			m.half[0], m.begun = [Limits]time.Duration{}, now
			m.half[0][m.by] = limitHalf
		}
		d = now.Sub(m.begun)
	}
	m.half[1][m.by] += d
	m.since = now
}

// Mostly is what limited the stream longest in the last half of a second, or the last second.
func (m *LimitMeter) Mostly(now clock.Time) LimitedBy {
	m.charge(now)
	most, longest := m.by, time.Duration(0)
	for by := range Limits {
		if d := m.half[0][by] + m.half[1][by]; d > longest {
			most, longest = by, d
		}
	}
	return most
}

// Total is for how long each of them limited the stream.
func (m *LimitMeter) Total(now clock.Time) [Limits]time.Duration {
	m.charge(now)
	return m.total
}

// Limited is what limits a stream.
type Limited struct {
	By       LimitedBy     // longest of late
	Member   wire.MemberID // ByWindow, ByReceiver: whom the stream waits for; else who sets Pace; zero: not one member
	Endpoint buf.Endpoint  // of Member
	Behind   uint64        // datagrams that were sent and that Member has not, where that is known
	Pace     float64       // bytes/s that the pace lets leave; 0: any
	For      [Limits]time.Duration
}

// Held is for how long receivers have held the stream back.
func (l *Limited) Held() time.Duration { return l.For[ByWindow] + l.For[ByReceiver] }
