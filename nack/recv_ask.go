package nack

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

const (
	// askGrowth bounds the exponential growth of the pause between two NAKs for one gap, 2^n, to
	// a sender that is not heard. One that is heard has lost the NAK, or its repair was lost: as
	// likely the next time as this time, and waiting longer helps nobody. With one datagram in
	// five lost at each of four receivers the growth alone cost more than half of the rate.
	askGrowth = 6
	// askLongest bounds it in time: a sender that lives has an answer, however often it is lost.
	askLongest = 50 * time.Millisecond
	// askGroup is after how many unanswered NAKs the group is asked instead of the sender's
	// address: that may be wrong, if the first datagram that we heard was forged.
	askGroup = 6
	nakDepth = 64 // NAKs in a burst
)

// notice looks for what is missing below highest and has not been looked at. It is asked for
// at once, or after a back-off.
func (s *stream) notice(now clock.Time) {
	if !s.nack || s.own {
		s.tracked = max(s.tracked, s.highest)
		return
	}
	if s.mend != nil {
		s.noticeCoded(now)
		return
	}
	n := max(s.tracked, s.next)
	for n < s.highest && !s.gaps.full() {
		if s.slot(n) != nil || n < s.due {
			n++
			continue
		}
		first := n
		for n < s.highest && s.slot(n) == nil {
			n++
		}
		at := now.Add(backoff(s.p.cfg.Rand, s.roundTrip(), int(min(s.group, 1<<16))))
		s.gaps.add(gap{first: first, end: n, noticed: now, at: at})
		s.p.stats.Gaps++
		s.p.stats.Missed += n - first
		s.status.missed += n - first
		s.askAt(at)
	}
	s.tracked = n
}

// lookAgain notices datagram next, which was here and had to go.
func (s *stream) lookAgain(now clock.Time) {
	if !s.nack || s.gaps.full() || s.slot(s.next) != nil {
		return
	}
	if _, ok := s.gaps.remove(s.next); !ok && s.next < s.highest {
		s.gaps.add(gap{first: s.next, end: s.next + 1, noticed: now, at: now, attempts: 1})
		s.askAt(now)
	}
}

// roundTrip is the group's round trip, as its sender says.
func (s *stream) roundTrip() time.Duration {
	if s.groupRTT == 0 {
		return rttInitial
	}
	return min(max(s.groupRTT, rttMin), rttMax)
}

func (s *stream) askAt(at clock.Time) {
	if at < s.nakAt {
		s.nakAt = at
		s.arm(at)
	}
}

// repaired notes that a missing datagram came.
func (s *stream) repaired(now clock.Time, was *gap) {
	s.p.stats.Repaired++
	switch {
	case s.mend != nil && s.mend.rebuilding:
		if was.left {
			s.mend.kept()
		}
	case was.left: // it was not asked for, so it was not lost
		s.mend.overtook(s)
	default:
		s.p.stats.Resent++
	}
	if was.attempts == 1 && was.asked != 0 && (s.mend == nil || !s.mend.rebuilding) { // Karn's rule: only what was asked for once
		s.repair.sample(now.Sub(was.asked))
	}
	if f := s.p.cfg.RepairNS; f != nil {
		f(int64(now.Sub(was.noticed)))
	}
	if len(s.gaps.list) < maxGaps/2 && s.tracked < s.highest {
		s.notice(now)
	}
}

// overhear lets the NAK of another receiver stand for our own: its first-time gaps will be
// repaired for all. What it asks for again may be repaired for it alone, and suppresses nothing.
func (s *stream) overhear(now clock.Time, n *wire.Nak) {
	if len(s.gaps.list) == 0 || s.group <= FewReceivers {
		return
	}
	it := n.Gaps()
	for {
		g, ok := it.Next()
		if !ok {
			return
		}
		end := g.First + uint64(g.Count)
		for i := s.gaps.find(g.First); i < len(s.gaps.list) && s.gaps.list[i].first < end; i++ {
			i = s.gaps.isolate(i, g.First, end)
			x := &s.gaps.list[i]
			if x.first < g.First || x.end > end || x.attempts > 0 {
				continue
			}
			x.at = now.Add(holdOff(s.roundTrip()) + backoff(s.p.cfg.Rand, s.roundTrip(), int(min(s.group, 1<<16))))
			s.p.stats.NaksSuppressed++
		}
	}
}

// tickNak puts a NAK in line when a gap is due.
func (s *stream) tickNak(now clock.Time) {
	if now < s.nakAt || s.nakQueued {
		if !s.nakQueued {
			s.arm(s.nakAt)
		}
		return
	}
	s.nakAt = never
	if s.mend != nil {
		if s.tickLeft(now); s.mend == nil || s.mend.alone {
			if len(s.gaps.list) > 0 {
				s.askAt(s.gaps.list[0].at) // they are given up in order
			}
			return
		}
	}
	for i := range s.gaps.list {
		s.nakAt = min(s.nakAt, s.gaps.list[i].at)
	}
	if s.nakAt > now {
		s.arm(s.nakAt)
		return
	}
	if s.grant() == 0 && !s.lacksDue() {
		s.nakAt = now.Add(s.patience(0)) // what came now could not be kept
		s.arm(s.nakAt)
		return
	}
	if at, ok := s.p.naks.take(now, MaxNaks, nakDepth); !ok {
		s.nakAt = at
		s.arm(at)
		return
	}
	s.nakQueued = true
	s.p.queue(control{kind: sendNak, stream: s})
}

// appendNak writes a NAK for every gap that is due, and says where it goes and whether there
// are more than fit. It writes nothing if what was missing has come meanwhile.
func (s *stream) appendNak(now clock.Time, mem []byte) (_ []byte, to buf.Endpoint, more bool) {
	room, x := wire.NakRoom(s.p.cfg.Datagram-wire.HeaderLen), s.mend
	if x != nil {
		x.needs = x.needs[:0]
		room = wire.NakRoom(s.p.cfg.Datagram - wire.HeaderLen - wire.SymbolNakSize(mostNeeds))
	}
	firsts, again := s.p.gaps[0][:0], s.p.gaps[1][:0]
	stuck := false
	spare := uint64(s.grant()) // more than it may hold would be dropped, and asked for again
	s.nakAt = never
	// What is due within a fraction of the round trip is asked for now: one datagram less.
	soonish := now.Add(s.repair.value(rttInitial) / 8)
	if s.group > FewReceivers {
		soonish = now
	}
	for i := range s.gaps.list {
		g := &s.gaps.list[i]
		if g.at > soonish || g.left {
			s.nakAt = min(s.nakAt, g.at)
			continue
		}
		if len(firsts)+len(again) == room {
			more = true
			s.nakAt = min(s.nakAt, g.at)
			break
		}
		ask := wire.Gap{First: g.first, Count: uint32(g.end - g.first)}
		if i > 0 || !s.lacksDue() { // which is handed up at once, and what follows it in its gap, too
			if ask.Count = uint32(min(uint64(ask.Count), spare)); ask.Count == 0 {
				g.at = now.Add(s.patience(0))
				s.nakAt = min(s.nakAt, g.at)
				continue
			}
			spare -= uint64(ask.Count)
		}
		switch {
		case x != nil && x.need(g):
			// Its block lacks symbols, whichever they are.
		case g.attempts == 0:
			firsts = appendGap(firsts, ask)
		default:
			again = appendGap(again, ask)
		}
		if g.attempts++; s.heard < g.asked {
			g.unheard++
		} else {
			g.unheard = 0
		}
		g.asked = now
		stuck = stuck || g.attempts > askGroup
		g.at = now.Add(s.patience(g.unheard))
		s.nakAt = min(s.nakAt, g.at)
	}
	s.nakQueued = more
	if s.nakAt != never {
		s.arm(s.nakAt)
	}
	needs := 0
	if x != nil {
		needs = len(x.needs)
	}
	if len(firsts)+len(again)+needs == 0 || s.state != live {
		s.nakQueued = false
		return nil, 0, false
	}
	s.p.stats.NaksSent++
	to = s.endpoint
	if len(firsts)+needs > 0 && s.group > FewReceivers || stuck {
		to = buf.Group
	}
	mem = wire.AppendHeader(mem, s.p.header(s.id))
	if len(firsts)+len(again) > 0 {
		mem = wire.AppendNak(mem, s.from, s.incarnation, firsts, again)
	}
	if needs > 0 {
		s.p.stats.SymbolNaksSent++
		mem = wire.AppendSymbolNak(mem, s.from, s.incarnation, x.needs)
	}
	return mem, to, more
}

// lacksDue tells that the first gap begins with what is to be handed up next: that takes no buffer.
func (s *stream) lacksDue() bool {
	return !s.paused && len(s.gaps.list) > 0 && s.gaps.list[0].first == s.due
}

// appendGap appends a gap, or makes the last one longer if it follows that one.
func appendGap(to []wire.Gap, g wire.Gap) []wire.Gap {
	if n := len(to); n > 0 && to[n-1].First+uint64(to[n-1].Count) == g.First {
		to[n-1].Count += g.Count
		return to
	}
	return append(to, g)
}

// patience is how long to wait for a repair before asking again: ever longer while nothing is
// heard of the sender (unheard NAKs in a row),
// and spread, so that receivers that lost the same repair do not ask in one moment.
func (s *stream) patience(unheard int) time.Duration {
	d := s.repair.timeout(s.roundTrip())
	if s.group > FewReceivers {
		d = max(d, 2*s.roundTrip()) // the sender's answer to others counts as well
	}
	d = min(d<<min(unheard, askGrowth), max(askLongest, d))
	return d + time.Duration(s.p.cfg.Rand.Int64N(int64(d)/4+1))
}
