package nack

import (
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// Congestion control of a multicast group (docs/decisions/congestion-control.md). A receiver reports what arrived, and
// when. While little is missing nothing is done: room alone holds a sender back, and random loss slows nobody. When less
// than arrivesOpen of what was sent arrives at a receiver that is waited for, the stream's pace follows what arrives
// there: at first half of it, which shows what is lost at a pace that no queue is filled by; then as much as arrives, a
// quarter more in one of eight rounds, and twice as much for as long as more arrives for it. What is lost at the low pace
// as well is not the pace's fault, and does not count. Where others send at that time, it may be their fault: they have a
// while to find a pace of their own.
const (
	arrivesOpen  = 0.7      // the pace is free while this part of what was sent arrives: a fifth is lost without congestion
	lossyBytes   = 64 << 10 // of a sample that counts
	sampleMin    = 10 * time.Millisecond
	sampleMax    = 2 * time.Second
	roundMin     = 20 * time.Millisecond
	roundMax     = 500 * time.Millisecond
	stillGain    = 0.5
	drainGain    = 0.75
	cruiseGain   = 1.0
	probeGain    = 1.25
	startGain    = 2.0
	cruiseRounds = 7
	stillRounds  = 3    // that lose as much as the flood did
	grows        = 1.15 // of a probe: more arrives for it
	fits         = 0.05 // more is lost in a probe than otherwise, and it still counts as none
	unboundFor   = time.Second
	lostMost     = 0.2                    // more than that a low pace does not lose without another reason
	heldOff      = 5 * time.Second        // after loss that no pace changes
	othersFor    = time.Second            // that others have
	rateMin      = 125_000.0              // bytes/s: no report makes a stream slower
	paceBurst    = 16 << 10               // bytes that may leave at once,
	paceTick     = time.Millisecond       // or what the rate gives in this time
	paceLate     = 200 * time.Microsecond // the timer's slack
)

type phase uint8

const (
	open  phase = iota // no bound
	still              // the drain after the pace was bound
	drain
	cruise
	probe
	startup
)

// arrivals is what a sender makes of one receiver's reports of what arrived.
type arrivals struct {
	clock, bytes uint64     // of the last report that counted; 0: none
	at           clock.Time // when it came
	sent         uint64     // what had been sent to the receiver by then
	direct       uint64     // of it, to this receiver alone
	data         uint64     // bytes of new data up to the highest datagram that it knew of
	holds        uint64     // of pace.holds by then

	phase   phase
	since   clock.Time // of the phase
	round   int        // of cruise, and of still
	rates   peak
	rate    float64    // the largest of rates, bytes/s
	before  float64    // rate when the probe began
	lost    float64    // what is lost at the low pace, too
	flood   float64    // what was lost when the pace was bound
	ours    uint64     // datagrams that this stream had sent when the pace was bound,
	theirs  uint64     // and those that had come of other members' streams
	bound   clock.Time // when the pace last held something back
	after   clock.Time // no bound before
	suspect clock.Time // when too little seemed to arrive, once; 0: it did not in the last report
}

// pace bounds what a stream puts on the wire: new data, repairs and repair symbols.
type pace struct {
	rate  float64    // bytes/s; 0: no bound
	next  clock.Time // when the next datagram may leave
	holds uint64     // times that it held something back
	sent  uint64     // bytes to the group
	by    int        // whose arrivals bind it: a place in the table of receivers
	asked clock.Time // when that receiver was last asked for a report
	stale bool
}

// ready reports whether a datagram may leave now.
func (p *pace) ready(now clock.Time) bool { return p.rate == 0 || now >= p.next }

// spend counts n bytes that leave to the group.
func (p *pace) spend(now clock.Time, n int) {
	p.sent += uint64(n)
	if p.rate != 0 {
		p.charge(now, n)
	}
}

func (p *pace) charge(now clock.Time, n int) {
	burst := time.Duration(max(paceBurst/p.rate*1e9, float64(paceTick)))
	p.next = max(p.next, now.Add(-burst)).Add(time.Duration(float64(n) / p.rate * 1e9))
}

// hold notes that the pace holds back what could leave, new data or repairs alone.
func (s *Sender) hold(now clock.Time, data bool) {
	s.pace.holds++
	if data {
		s.limited.Set(now, core.ByPace)
	}
	if p := &s.pace; now.Sub(p.asked) >= roundMin/2 && p.by < len(s.receivers) {
		p.asked = now
		s.beat.probe(s, now, s.receivers[p.by].endpoint)
	}
	if at := s.pace.next; at < s.timers[paceDue] {
		s.arm(paceDue, max(at, now+1))
	}
}

// arrived takes in what a receiver reports of what arrived. If it rested before, most of the time since its last report
// passed with nothing sent: there is no rate in that.
func (s *Sender) arrived(now clock.Time, r *receiver, st *wire.Status, rested bool) {
	a := &r.arrivals
	if st.Clock == 0 || !s.flow.slowest || s.p.cfg.FreePace {
		return
	}
	total, data := s.pace.sent+a.direct, s.dataBelow(r.highest)
	if st.NoGroup {
		// What goes to the group does not come there at any pace, and what goes to it by unicast does.
		a.keep(now, st, total, data, s.pace.holds)
		if a.phase != open {
			s.freePace(now, r)
		}
		return
	}
	if a.clock == 0 || st.Clock < a.clock || st.Arrived < a.bytes || now.Sub(a.at) > sampleMax || rested {
		a.keep(now, st, total, data, s.pace.holds)
		return
	}
	took := time.Duration(st.Clock - a.clock)
	if took < sampleMin {
		return
	}
	came, left := st.Arrived-a.bytes, total-a.sent
	rate := float64(came) / took.Seconds()
	part := 1.0
	if left > 0 {
		part = min(float64(came)/float64(left), 1)
	}
	fresh := data - min(a.data, data)
	held, began := s.pace.holds != a.holds, a.at
	if a.phase == open {
		// The receiver compared what it knew to have been sent with what had arrived, at one moment.
		if fresh < lossyBytes || float64(came) >= arrivesOpen*float64(fresh) || now < a.after {
			a.keep(now, st, total, data, s.pace.holds)
			return
		}
		if a.suspect == 0 {
			// What it had heard of may still come: a heartbeat was quicker than data.
			a.suspect = now
			s.beat.probe(s, now, r.endpoint)
			return
		}
		if now.Sub(a.suspect) < r.rtt.Smooth {
			return
		}
		part = float64(came) / float64(fresh)
		a.rates.begin(rate)
		a.flood, a.lost, a.bound, a.round = 1-part, 0, now, 0
		a.ours, a.theirs = s.sent+s.stats.Repairs, s.p.stats.DataReceived
		s.enterPhase(now, r, still)
		s.p.stats.Paced++
		s.encoding.forget()
		s.p.event(PaceBound, r.member, r.endpoint, s.id)
	}
	a.keep(now, st, total, data, s.pace.holds)
	a.sample(rate, held)
	s.advancePace(now, r, 1-part, held, began)
	s.pace.stale = true
	s.setPace(now)
}

// dataBelow is the bytes of all data datagrams below n.
func (s *Sender) dataBelow(n uint64) uint64 {
	n = max(n, s.first)
	if n == s.next && n == s.first {
		return s.cost - (n-1)*skbOverhead // nothing is held
	}
	return s.costBelow(n) - (n-1)*skbOverhead
}

func (a *arrivals) keep(now clock.Time, st *wire.Status, total, data, holds uint64) {
	a.data, a.suspect = data, 0
	a.clock, a.bytes, a.at, a.sent, a.holds = st.Clock, st.Arrived, now, total, holds
}

// sample takes in an arrival rate. Where the pace held nothing back, the application or the receiver's room did:
// a low rate shows nothing.
func (a *arrivals) sample(rate float64, held bool) {
	if !held && rate < a.rate {
		return
	}
	if (a.phase == drain || a.phase == still) && rate < a.rate {
		return // the pace made it so
	}
	a.rate = max(a.rates.add(rate), rateMin)
}

// enterPhase begins a phase of a receiver's arrivals.
func (s *Sender) enterPhase(now clock.Time, r *receiver, p phase) {
	r.arrivals.phase, r.arrivals.since = p, now
	r.arrivals.before = r.arrivals.rate
	s.pace.stale = true
}

// advancePace ends a phase when its round is over.
func (s *Sender) advancePace(now clock.Time, r *receiver, lost float64, held bool, began clock.Time) {
	a := &r.arrivals
	if held {
		a.bound = now
	}
	if now.Sub(a.bound) >= unboundFor {
		s.freePace(now, r)
		return
	}
	round := min(max(2*r.rtt.Smooth, roundMin), roundMax)
	if began < a.since.Add(round/2) || now.Sub(a.since) < round {
		return // what was sent before the phase is in the sample
	}
	switch a.phase {
	case still:
		if lost >= a.flood*0.8 {
			if s.othersSend(a) && now.Sub(a.since) < othersFor {
				return
			}
			if a.round++; a.round < stillRounds {
				a.since = now // a member that did not run for a moment looks like that, too
				return
			}
			a.after = now.Add(heldOff)
			s.freePace(now, r)
			return
		}
		if a.lost = 0; lost > fits {
			a.lost = min(lost, lostMost)
		}
		a.round = 0
		s.enterPhase(now, r, cruise)
	case drain:
		a.lost = min(a.lost, lost) // more may be another sender's doing
		a.round = 0
		s.enterPhase(now, r, cruise)
	case cruise:
		if a.round++; a.round < cruiseRounds {
			a.since = now
			return
		}
		s.enterPhase(now, r, probe)
	case probe, startup:
		if a.rate >= a.before*grows && lost <= a.lost+fits {
			s.enterPhase(now, r, startup)
			return
		}
		a.round = 0
		if a.phase == startup || lost > a.lost+fits {
			s.enterPhase(now, r, drain)
			return
		}
		s.enterPhase(now, r, cruise)
	}
}

// othersSend reports whether other members have sent this one half as much as this stream has sent, or more, since the
// pace was bound.
func (s *Sender) othersSend(a *arrivals) bool {
	return s.p.stats.DataReceived-a.theirs >= (s.sent+s.stats.Repairs-a.ours)/2
}

// freePace ends the bound that a receiver sets.
func (s *Sender) freePace(now clock.Time, r *receiver) {
	r.arrivals.phase, r.arrivals.rate = open, 0
	r.arrivals.rates.begin(0)
	s.pace.stale = true
	s.setPace(now)
	s.p.event(PaceFree, r.member, r.endpoint, s.id)
}

// bound is the pace that a receiver allows, bytes/s; 0: any.
func (a *arrivals) allows() float64 {
	gain := cruiseGain
	switch a.phase {
	case open:
		return 0
	case still:
		gain = stillGain
	case drain:
		gain = drainGain
	case probe:
		gain = probeGain
	case startup:
		gain = startGain
	}
	return max(gain*a.rate/(1-a.lost), rateMin)
}

// setPace makes the least of what receivers allow the stream's pace.
func (s *Sender) setPace(now clock.Time) {
	if !s.pace.stale {
		return
	}
	s.pace.stale = false
	before := s.pace.rate
	s.pace.rate = 0
	for i := range s.receivers {
		r := &s.receivers[i]
		if v := r.arrivals.allows(); v > 0 && r.waits() && (s.pace.rate == 0 || v < s.pace.rate) {
			s.pace.rate, s.pace.by = v, i
		}
	}
	if before == 0 {
		s.pace.next = now
	}
}

// unpaced ends the bounds of receivers that report no more, for whom the pace held nothing back for a while.
func (s *Sender) unpaced(now clock.Time) {
	for i := range s.receivers {
		r := &s.receivers[i]
		if r.arrivals.phase != open && now.Sub(r.arrivals.bound) >= 2*unboundFor {
			s.freePace(now, r)
		}
	}
}
