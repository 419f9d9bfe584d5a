package nack

import (
	"math"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

const (
	// askGrowth bounds the exponential growth of the pause between two NAKs for one gap, 2^n, while
	// nothing comes from the sender. If something comes, the NAK or its repair was lost. That is as
	// likely the next time as this time, and a longer wait does not help. With one datagram in
	// five lost at each of four receivers the growth alone cost more than half of the rate.
	askGrowth = 6
	// askLongest bounds that pause in time: a sender that lives has an answer, however often it is lost.
	askLongest = 50 * time.Millisecond
	// After askGroup unanswered NAKs every other one goes to the group instead of the sender's address. The address
	// may be wrong, if the first datagram of the stream was forged.
	askGroup = 6
	// While nothing ever came by unicast, that begins after askFirst NAKs for a gap, groupTries times.
	askFirst   = 2
	groupTries = 64
	// When onlyGroup requests in a row, over half of Config.Eviction, had success only when they went to the group, all
	// go there. Each directEach one goes by unicast nevertheless: it may get through again, or requests may have stood
	// behind a flood.
	onlyGroup  = 4
	directEach = time.Second
	nakDepth   = 64 // NAKs in a burst
)

// asking is what a stream misses, and when that is asked for.
type asking struct {
	gaps       gaps
	tracked    uint64        // what is missing from here on has not been looked for yet
	rtt        core.RTT      // from NAK to repair
	quickest   time.Duration // the shortest time from a NAK to its repair; 0: not known
	service    time.Duration // how long gaps are asked for until something of them comes, as a rule; 0: nothing ever did
	tries      tries
	queued     bool       // a NAK waits to leave
	direct     bool       // something came by unicast
	byGroup    bool       // requests go to the group: only there something came of them
	groupTries uint8      // requests to the group while nothing did
	only       uint8      // requests of which something came only when they went to the group, less those by unicast
	onlySince  clock.Time // when something came of the first of them
	onlyAt     clock.Time // when the last of them left
	directAt   clock.Time // when one last went by unicast
	reorder    reordering
}

// notice looks for what is missing below highest and has not been looked for. When it is asked for,
// due decides.
func (s *stream) notice(now clock.Time) {
	a := &s.asking
	s.busy(now)
	if !s.nack || s.own {
		a.tracked = max(a.tracked, s.highest)
		return
	}
	n, missed := max(a.tracked, s.next), s.status.missed
	run := false // datagram n-1 is missing too
	for n < s.highest && !a.gaps.full() {
		if s.slot(n) != nil || n < s.due {
			run = false
			n++
			continue
		}
		g := gap{first: n, end: n + 1, noticed: now}
		for s.decoding == nil && g.end < s.highest && s.slot(g.end) == nil {
			g.end++ // with blocks each datagram is a gap of its own: those of a run may be of several blocks
		}
		n = g.end
		s.decoding.due(now, s, &g)
		a.gaps.add(g)
		s.askAt(g.at)
		if !run {
			s.p.stats.Gaps++
		}
		run = true
		s.lacks(now)
		s.p.stats.Missed += g.end - g.first
		s.status.missed += g.end - g.first
	}
	a.tracked = n
	a.tries.noted(n, s.status.missed-missed)
}

// noticeAgain asks for datagram next, which was here and could not be used.
func (s *stream) noticeAgain(now clock.Time) {
	a := &s.asking
	if !s.nack || s.slot(s.next) != nil {
		return
	}
	a.gaps.remove(s.next)
	if s.next < s.highest && !a.gaps.full() {
		a.gaps.add(gap{first: s.next, end: s.next + 1, noticed: now, at: now, attempts: 1})
		s.askAt(now)
	}
}

// askAt makes sure that sendNak comes no later than at.
func (s *stream) askAt(at clock.Time) {
	if at < s.timers[nakDue] {
		s.arm(nakDue, at)
	}
}

// repaired notes that datagram n, which was missing, is here.
func (s *stream) repaired(now clock.Time, n uint64, was *gap, from origin) {
	s.p.stats.Repaired++
	s.status.repaired++
	s.p.mended.note(now, s, now.Sub(was.noticed))
	if was.attempts > 0 {
		switch a := &s.asking; {
		case was.byGroup && was.attempts > askFirst && !a.byGroup:
			s.onlyByGroup(now, was.asked)
		case was.byGroup || was.attempts > askFirst:
		case s.group.receivers == 1 && from == arrived:
			a.answered() // nobody else could have asked for it
		case a.only > 0:
			a.only-- // as likely as not nobody else asked for it
		}
		s.asking.served(now.Sub(was.since))
		s.hurry(now, n, was.asked)
	}
	switch {
	case !s.group.few():
		// A repair that somebody else asked for looks the same as a datagram that was late.
	case was.attempts == 1 && from == rebuilt:
		// What it was asked for is on its way, whether it was late or not.
		s.asking.reorder.lost()
	case was.attempts == 1 || was.attempts == 0 && from == rebuilt:
		s.asking.reorder.asked(s, n, was.noticed)
	case was.attempts == 0:
		s.asking.reorder.overtaken(now.Sub(was.noticed))
	}
	s.decoding.closed(s.p, was, from)
	if from == arrived && !was.awaitsBlock {
		s.p.stats.Resent++
	}
	if from == arrived && was.attempts == 1 && was.asked != 0 { // Karn's rule: only what was asked for once
		s.asking.rtt.Sample(now.Sub(was.asked))
		if d := now.Sub(was.asked); s.asking.quickest == 0 || d < s.asking.quickest {
			s.asking.quickest = d
		}
	}
	if f := s.p.cfg.RepairNS; f != nil {
		f(int64(now.Sub(was.noticed)))
	}
	if len(s.asking.gaps.list) < maxGaps/2 && s.asking.tracked < s.highest {
		s.notice(now)
	}
}

// overhear lets the NAK of another receiver stand for this one's: its first-time gaps will be
// repaired for all. What it asks for again may be repaired for it alone, and suppresses nothing.
func (s *stream) overhear(now clock.Time, n *wire.Nak) {
	gaps := &s.asking.gaps
	if len(gaps.list) == 0 || s.group.few() {
		return
	}
	it := n.Gaps()
	for {
		g, ok := it.Next()
		if !ok {
			return
		}
		end := g.First + uint64(g.Count)
		for i := gaps.find(g.First); i < len(gaps.list) && gaps.list[i].first < end; i++ {
			i = gaps.isolate(i, g.First, end)
			x := &gaps.list[i]
			if x.first < g.First || x.end > end || x.attempts > 0 {
				continue
			}
			x.at = now.Add(s.holdOff())
			s.p.stats.NaksSuppressed++
		}
	}
}

// backoff draws the wait from noticing a gap to asking for it.
func (s *stream) backoff() time.Duration {
	return backoff(s.p.cfg.Rand, s.group.usualTrip(), int(min(s.group.receivers, 1<<16)))
}

// holdOff is how long a receiver waits for what another one has asked for.
func (s *stream) holdOff() time.Duration { return holdOff(s.group.usualTrip()) + s.backoff() }

// sendNak puts a NAK in line when a gap is due.
func (s *stream) sendNak(now clock.Time) {
	if s.asking.queued {
		return // appendNak looks at all gaps again
	}
	if !s.decoding.asks(now, s) {
		if gaps := s.asking.gaps.list; len(gaps) > 0 {
			s.askAt(gaps[0].at) // they are given up in order
		}
		return
	}
	s.giveUp(now)
	at := never
	for i := range s.asking.gaps.list {
		at = min(at, s.asking.gaps.list[i].at)
	}
	switch {
	case at == never:
		return
	case at > now:
	case s.grant() == 0 && !s.lacksDue():
		at = now.Add(s.patience(0)) // what came now could not be kept
	default:
		next, ok := s.p.naks.take(now, MaxNaks, nakDepth)
		if ok {
			s.asking.queued = true
			s.p.queue(control{kind: sendNak, stream: s})
			return
		}
		at = next
	}
	s.arm(nakDue, at)
}

// appendNak writes a NAK for every gap that is due, and returns where it goes and whether there
// are more than fit. It writes nothing if what was missing has come meanwhile.
func (s *stream) appendNak(now clock.Time, mem []byte) (_ []byte, to buf.Endpoint, more bool) {
	ask := request{firsts: s.p.gaps[0][:0], again: s.p.gaps[1][:0], needs: s.p.needs[:0]}
	next, more := s.fill(now, &ask)
	s.timers[nakDue] = never
	if next != never {
		s.arm(nakDue, next)
	}
	if s.asking.queued = more; ask.empty() || !s.state.open() {
		s.asking.queued = false
		return nil, 0, false
	}
	s.p.stats.NaksSent++
	to = s.endpoint
	if len(ask.firsts)+len(ask.needs) > 0 && !s.group.few() || ask.stuck {
		to = buf.Group
	}
	if s.ways.only {
		to = s.endpoint
	} else if a := &s.asking; a.byGroup && len(ask.again) > 0 && now.Sub(a.directAt) >= directEach {
		a.directAt, to = now, s.endpoint
	}
	mem = wire.AppendHeader(mem, s.p.header(s.id))
	if len(ask.firsts)+len(ask.again) > 0 {
		mem = wire.AppendNak(mem, s.from, s.incarnation, ask.firsts, ask.again)
	}
	if len(ask.needs) > 0 {
		s.p.stats.SymbolNaksSent++
		mem = wire.AppendSymbolNak(mem, s.from, s.incarnation, ask.needs)
	}
	return mem, to, more
}

// request is what one NAK datagram asks for.
type request struct {
	firsts, again []wire.Gap  // datagrams, for the first time and again
	needs         []wire.Need // repair symbols
	stuck         bool        // the sender's address has not answered
}

func (r *request) empty() bool { return len(r.firsts)+len(r.again)+len(r.needs) == 0 }

// fill puts all gaps that are due into ask, as far as they fit. It returns when the next gap is
// due.
func (s *stream) fill(now clock.Time, ask *request) (next clock.Time, more bool) {
	room := wire.NakRoom(s.p.way.Pack - wire.HeaderLen - s.decoding.needRoom())
	spare := uint64(s.grant()) // more than the stream may hold would be dropped, and asked for again
	// What is due within a fraction of the round trip is asked for now: one datagram less.
	soonish := now.Add(s.asking.rtt.Value(rttInitial) / 8)
	if !s.group.few() {
		soonish = now
	}
	next = never
	for i := range s.asking.gaps.list {
		g := &s.asking.gaps.list[i]
		switch {
		case g.at > soonish || g.awaitsBlock:
		case len(ask.firsts)+len(ask.again) == room:
			return min(next, g.at), true
		default:
			count := g.end - g.first
			if i > 0 || !s.lacksDue() { // what is due is delivered at once, and what follows it in its gap, too
				count = min(count, spare)
				spare -= count
			}
			s.ask(now, g, count, ask)
		}
		next = min(next, g.at)
	}
	return next, false
}

// ask puts the first count datagrams of gap g into a request: as symbols of its block where those do,
// otherwise as they are. Where count is 0 there is no room for them now.
func (s *stream) ask(now clock.Time, g *gap, count uint64, to *request) {
	if count == 0 {
		g.at, g.since = now.Add(s.patience(0)), 0
		return
	}
	if g.since == 0 {
		g.since, g.failedAt = now, now
	}
	x := wire.Gap{First: g.first, Count: uint32(count)}
	vain := g.asked != 0
	switch {
	case !s.ways.only && s.decoding.need(g, to):
		vain = false // its block lacks symbols, whichever they are
	case g.attempts == 0 && !s.ways.only:
		to.firsts = appendGap(to.firsts, x)
	default:
		to.again = appendGap(to.again, x)
	}
	if g.attempts = min(g.attempts+1, math.MaxUint16-1); s.heard < g.asked {
		g.unheard = min(g.unheard+1, askGrowth)
	} else {
		g.unheard = 0
	}
	if vain {
		s.fails(now, g)
	}
	g.asked = now
	g.at = now.Add(s.again(now, g))
	if end := g.since.Add(s.p.cfg.RepairTimeout); end > now {
		g.at = min(g.at, end)
	}
	a := &s.asking
	g.byGroup = a.byGroup || g.attempts > askGroup && g.attempts%2 > 0
	if !a.direct && g.attempts > askFirst && g.attempts%2 > 0 && a.groupTries < groupTries {
		a.groupTries++
		g.byGroup = true
	}
	to.stuck = to.stuck || g.byGroup
}

// onlyByGroup notes that something came of a request that went to the group at that time, after those by unicast had
// failed.
func (s *stream) onlyByGroup(now, asked clock.Time) {
	a := &s.asking
	if asked == a.onlyAt {
		return // it is one request
	}
	if a.onlyAt = asked; a.only == 0 {
		a.onlySince = now
	}
	if a.only = min(a.only+1, onlyGroup); a.only < onlyGroup || now.Sub(a.onlySince) < s.p.cfg.Eviction/2 {
		return
	}
	a.byGroup, a.directAt = true, now
	s.event(StreamOneWay)
}

// answered notes that the sender has had a request that went by unicast: something came by unicast, or nobody else
// asked.
func (a *asking) answered() {
	a.direct, a.byGroup, a.only = true, false, 0
}

// lacksDue reports whether the first gap begins with what is to be delivered next: that takes no
// buffer.
func (s *stream) lacksDue() bool {
	gaps := s.asking.gaps.list
	return !s.paused && len(gaps) > 0 && gaps[0].first == s.due
}

// appendGap appends a gap, or makes the last one longer if it follows that one.
func appendGap(to []wire.Gap, g wire.Gap) []wire.Gap {
	if n := len(to); n > 0 && to[n-1].First+uint64(to[n-1].Count) == g.First {
		to[n-1].Count += g.Count
		return to
	}
	return append(to, g)
}

// patience is how long to wait for a repair before asking again. It grows while nothing comes from
// the sender (unheard NAKs in a row), and it is spread, so that receivers that lost the same repair
// do not ask in one moment.
func (s *stream) patience(unheard uint16) time.Duration {
	d := s.asking.rtt.Timeout(s.group.roundTrip())
	if !s.group.few() {
		d = max(d, 2*s.group.usualTrip()) // the sender's answer to others counts as well
	}
	d = min(d<<unheard, max(askLongest, d))
	return d + time.Duration(s.p.cfg.Rand.Int64N(int64(d)/4+1))
}
