package nack

import (
	"math"
	"math/bits"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
)

// Recovery that fails must not grow. A datagram that was asked for quickTries times without success is asked for at
// pauses that grow fourfold, whether its sender is heard or not; after Config.RepairTimeout it is given up. What
// counts as without success depends on what this network is like: where three in five are lost both ways, it takes six
// tries as a rule, and the seventh shows nothing.
const (
	quickTries    = 2
	quickMost     = 128
	quickPerTry   = 14.0 // (1 - 1/m)^(14 m) is below 1 in 1,000,000
	failingGrowth = 2    // bits: each pause is 4 times the one before
	leastTries    = 4    // beyond the quick ones, before a datagram is given up
	slowestShare  = 2    // the longest pause is this part of RepairTimeout
	triesSpan     = 1024
	triesLeast    = 16
	hurried       = 16 // gaps
	pressedEven   = 3  // times that the pause before the lowest gap is asked for again does not grow
	pressed       = 13
)

// tries is what a receiver knows of how much is lost, and so of how often it has to ask.
type tries struct {
	mark             uint64  // up to this datagram they are counted
	expected, missed float64 // datagrams, the older ones weighing less
}

// noted counts that of the datagrams up to highest so many are missing.
func (t *tries) noted(highest, missed uint64) {
	if highest > t.mark {
		t.expected += float64(highest - t.mark)
		t.mark = highest
	}
	if t.missed += float64(missed); t.expected > triesSpan {
		t.missed *= triesSpan / t.expected
		t.expected = triesSpan
	}
}

// quick is after how many requests in vain for a gap the pauses grow. Where a share p is lost both ways, a request
// succeeds with (1-p)^2.
func (t *tries) quick() int {
	arrives := 1 - min(t.missed/max(t.expected, triesLeast), 0.9)
	return min(quickTries+int(quickPerTry*(1/(arrives*arrives)-1)), quickMost)
}

// served notes how long a gap was asked for until something of it came. Repairs may have waited at the sender.
func (a *asking) served(took time.Duration) {
	if a.service == 0 {
		a.service = took
	}
	a.service = max(a.service+(took-a.service)/8, 1)
}

// fails counts a request for gap g that had no success. Requests that are closer together than what it usually takes count
// as one: the repair may wait at the sender, which sends none twice within a round trip either.
func (s *stream) fails(now clock.Time, g *gap) {
	if now.Sub(g.failedAt) >= s.takes() {
		g.failed, g.failedAt = min(g.failed+1, math.MaxUint16-1), now
	}
}

// takes is how long it takes as a rule until something comes of a request.
func (s *stream) takes() time.Duration { return max(s.asking.service, s.group.roundTrip()*5/4) }

// failures is how often gap g was asked for in vain, by what is known now of how long it takes.
func (s *stream) failures(now clock.Time, g *gap) int {
	return min(int(g.failed), int(now.Sub(g.since)/s.takes()))
}

// hurry has the lowest gaps asked for again at once, if datagram n, which was asked for no earlier and comes after them, has
// come: a sender repairs in order, so their repairs were lost.
func (s *stream) hurry(now clock.Time, n uint64, asked clock.Time) {
	quick, soonest := s.asking.tries.quick(), max(s.asking.quickest, rttMin)
	if s.asking.quickest == 0 {
		soonest = s.group.roundTrip()
	}
	for i := range min(len(s.asking.gaps.list), hurried) {
		g := &s.asking.gaps.list[i]
		if g.end > n {
			return
		}
		if g.asked != 0 && g.asked <= asked && now.Sub(g.asked) >= soonest && s.failures(now, g) < quick && g.at > now {
			g.at = now.Add(s.asking.reorder.wait())
			s.askAt(g.at)
		}
	}
}

// again is the pause before gap g, which is asked for now, is asked for again.
func (s *stream) again(now clock.Time, g *gap) time.Duration {
	a := &s.asking
	pause := max(s.patience(g.unheard), a.service/2)
	if g == &a.gaps.list[0] && s.group.few() && s.decoding == nil {
		// The whole stream waits for it, and at the sender the lowest one comes first.
		d := 2 * max(a.quickest, s.group.roundTrip()) << (max(g.lowest, pressedEven) - pressedEven)
		g.lowest = min(g.lowest+1, pressed)
		pause = min(d+time.Duration(s.p.cfg.Rand.Int64N(int64(d)/4+1)), pause)
	}
	over := s.failures(now, g) - a.tries.quick()
	if over <= 0 {
		return pause
	}
	longest := max(s.p.cfg.RepairTimeout/slowestShare, pause)
	if shift := failingGrowth * over; shift < bits.LeadingZeros64(uint64(pause))-1 {
		return min(pause<<shift, longest)
	}
	return longest
}

// giveUp gives up, in order, what has been asked for in vain for Config.RepairTimeout although the sender is there.
func (s *stream) giveUp(now clock.Time) {
	if now.Sub(s.heard) >= s.p.cfg.Eviction {
		return // it is silent: that is another matter
	}
	gaps, gone := &s.asking.gaps, false
	for len(gaps.list) > 0 {
		g := &gaps.list[0]
		if g.since == 0 || now.Sub(g.since) < s.p.cfg.RepairTimeout || int(g.failed) < s.asking.tries.quick()+leastTries || g.end <= s.abandoned.below {
			break
		}
		if !gone {
			s.timedOut(g)
		}
		gone = true
		s.p.stats.TimedOut += g.end - max(g.first, s.next)
		s.abandon(g.end, s.tailMessage(g.end), core.LossTimeout)
		s.drain(now)
	}
	if gone && s.asking.tracked < s.highest {
		s.notice(now)
	}
	if gone {
		s.report(now, true)
	}
}

// overrun makes room for datagram n, which lies behind the window: its sender waits for this receiver no longer, so what
// was asked for in vain many times will not be held for long. It reports whether there is room now.
func (s *stream) overrun(now clock.Time, n uint64) bool {
	gaps := &s.asking.gaps
	if !s.nack || s.paused || n-s.due >= 2*s.windowSize() {
		return false
	}
	for n-s.due >= s.windowSize() && len(gaps.list) > 0 && gaps.list[0].failed >= leastTries && gaps.list[0].end > s.abandoned.below && !s.paused {
		s.abandon(gaps.list[0].end, 0, core.LossReset)
		s.drain(now)
	}
	return n-s.due < s.windowSize()
}

// timedOut reports that the stream's lowest gap is given up, at most once a minute.
func (s *stream) timedOut(g *gap) {
	longest := 0
	for n := g.end; n < s.seen; n++ {
		if b := s.slot(n); b != nil {
			longest = max(longest, b.Len())
		}
	}
	if s.p.cfg.Events != nil {
		s.p.cfg.Events(Event{Kind: StreamTimedOut, Member: s.from, Endpoint: s.endpoint, Stream: s.id, Number: g.first, Longest: longest})
	}
}

// tailMessage is the number of the first message of datagram n, where n is what the last heartbeat announced as the
// next one; 0: it is not known.
func (s *stream) tailMessage(n uint64) uint64 {
	if n == s.announced.end {
		return s.announced.endMessage
	}
	return 0
}

// stoodStill moves the clocks of gaps on by the time in which this member did not run: it could not receive repairs.
func (s *stream) stoodStill(late time.Duration) {
	for i := range s.asking.gaps.list {
		if g := &s.asking.gaps.list[i]; g.since != 0 {
			g.since = g.since.Add(late)
		}
	}
}
