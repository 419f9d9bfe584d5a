package nack

import (
	"cmp"
	"math"
	"math/bits"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// flow holds a sender back so that the slowest receiver keeps up. A datagram may leave when
//
//   - every receiver has room for it in its reorder window (limit), and
//   - what is on its way to the receiver that reported least fits the smallest socket buffer, and is no more than the
//     stream needs for its rate (flight).
//
// The minima are computed again when a report has changed them.
type flow struct {
	s        *Sender
	slowest  bool       // this stream waits for its receivers
	young    bool       // receivers of the beginning may not have reported yet
	stale    bool       // the minima below are out of date
	blocked  bool       // data is held back
	woke     clock.Time // when data left after a pause in which all receivers had reported all
	charged  clock.Time // up to here the time is in some receiver's held
	waited   int        // receivers that are waited for
	next     uint64     // minima over these
	limit    uint64
	highest  uint64
	room     uint64
	measured time.Duration // the longest smoothed round trip; 0: not known
	usual    time.Duration // the round trip that half of the receivers keep; 0: not known
	usualAt  clock.Time    // when that was found out,
	usualOf  int           // for so many receivers
	quickest time.Duration // the longest of the shortest round trips; 0: one is not known
	every    uint64        // the most bytes that one of them takes before it reports; 0: one did not say
	inFlight uint64        // bytes that may be; noNumber: as many as there is room for
	flight   flight
	pause    time.Duration // the least of those that all receivers gave, also those that are not waited for
}

const (
	// skbOverhead is what a datagram takes of a receiver's socket buffer beyond its length.
	skbOverhead = 256
	// minInFlight datagrams may always be on their way, whatever rooms receivers report.
	minInFlight = 4
	minRoom     = 4 << 10
	// evictionLooks is how often a silent receiver is looked at, and asked, before it goes.
	evictionLooks = 16
	// usualEvery is how often the usual round trip is looked for.
	usualEvery = 10 * time.Millisecond
)

// cost is what a datagram of n bytes takes of a receiver's socket buffer.
func cost(n int) uint64 { return uint64(n) + skbOverhead }

func (f *flow) init(s *Sender) {
	f.s = s
	f.slowest = s.nack && !s.p.cfg.Fastest
	f.young = f.slowest
	f.stale = true
	s.whole = s.opened.Add(rttMax) // who was there from the beginning may be far away, and not have been heard yet
	s.arm(receiversDue, s.opened.Add(startFor))
}

// update computes the minima.
func (f *flow) update() {
	f.stale = false
	f.next, f.limit, f.highest, f.room, f.measured, f.waited = noNumber, noNumber, noNumber, math.MaxUint64, 0, 0
	f.quickest, f.every = 0, 0
	known, steps := true, true
	f.pause = longestPause
	for i := range f.s.receivers {
		r := &f.s.receivers[i]
		if !r.new.is {
			f.pause = min(f.pause, r.pause)
		}
		if !r.waits() {
			continue
		}
		f.waited++
		f.next = min(f.next, r.next)
		f.limit = min(f.limit, r.limit)
		f.highest = min(f.highest, r.highest)
		f.room = min(f.room, r.room)
		f.measured = max(f.measured, r.rtt.Smooth)
		f.quickest, known = max(f.quickest, r.rtt.Shortest), known && r.rtt.Shortest != 0
		f.every, steps = max(f.every, r.every), steps && r.every != 0
	}
	if !known {
		f.quickest = 0
	}
	if !steps {
		f.every = 0
	}
	if f.inFlight = noNumber; f.flight.bound != 0 && f.every != 0 {
		f.inFlight = max(f.flight.bound, flightSteps*f.every) // one of them may not have heard of it yet
	}
}

// rests reports whether all receivers report rarely, and judge silence by the pauses that heartbeats give.
func (f *flow) rests() bool {
	if f.stale {
		f.update()
	}
	return f.pause > shortPause
}

// roundTrip is the group's, as far as it is known.
func (f *flow) roundTrip() time.Duration {
	if f.stale {
		f.update()
	}
	if f.measured == 0 {
		return rttInitial
	}
	return max(f.measured, rttMin)
}

// findUsual finds the round trip that half of the receivers keep at their quickest, where it is not known already.
func (f *flow) findUsual(now clock.Time) {
	if f.stale {
		f.update()
	}
	if f.usualOf == f.waited && now.Sub(f.usualAt) < usualEvery {
		return
	}
	f.usualAt, f.usualOf = now, f.waited
	var counts [trips]uint16
	n := 0
	for i := range f.s.receivers {
		if r := &f.s.receivers[i]; r.waits() && r.quick.least != 0 {
			counts[r.quick.least]++
			n++
		}
	}
	f.usual = 0
	for i, below := 0, 0; i < trips && n > 0; i++ {
		if below += int(counts[i]); 2*below >= n {
			f.usual = min(max(bucketEnd(i), rttMin), f.measured)
			break
		}
	}
}

// quickTrip is the shortest of a receiver's last round trips, of 8 to 16. A host whose processor others had is slow for one
// of them, and a network with a queue for all: back-offs need to wait for the latter alone.
type quickTrip struct {
	least   uint8 // tripBucket; 0: not measured yet
	fresh   uint8 // of the last samples, 8 at most
	samples uint8 // how many these are
}

func (q *quickTrip) sample(d time.Duration) {
	b := uint8(tripBucket(d))
	q.least, q.fresh = min(cmp.Or(q.least, b), b), min(cmp.Or(q.fresh, b), b)
	if q.samples++; q.samples == 8 {
		q.least, q.fresh, q.samples = q.fresh, 0, 0
	}
}

// Round trips are counted in eight buckets for each doubling: what is found is at most an eighth too much.
const trips = 256

func tripBucket(d time.Duration) int {
	n := max(uint64(d), 8)
	e := bits.Len64(n) // up to 30, see rttMax
	return min(e*8+int(n>>(e-4)&7), trips-1)
}

// bucketEnd is the end of a bucket.
func bucketEnd(i int) time.Duration { return time.Duration(8+i%8+1) << (i/8 - 4) }

// usualTrip is what heartbeats say of it: zero where the longest says as much.
func (f *flow) usualTrip() time.Duration {
	if f.usual == 0 || f.waited <= FewReceivers || f.usual > f.measured*3/4 {
		return 0
	}
	return min(f.usual, rttMax)
}

// keep is the lowest datagram that receivers may still need.
func (f *flow) keep() uint64 {
	switch {
	case !f.slowest:
		return math.MaxUint64
	case f.s.joined() > 0:
		if f.stale {
			f.update()
		}
		return min(f.next, f.s.newcomers.kept)
	case f.young:
		return 1
	}
	return f.s.newcomers.kept
}

// allows reports whether datagram n, which is the next to be sent, may leave.
func (f *flow) allows(n uint64) bool {
	if !f.slowest || len(f.s.receivers) == 0 {
		return true
	}
	if f.stale {
		f.update()
	}
	if f.waited == 0 {
		return true
	}
	if n >= f.limit {
		return false
	}
	return n < f.highest+minInFlight || f.s.slots[n&f.s.mask].cost-f.s.costBelow(f.highest) <= min(f.room, f.inFlight)
}

// blocked notes that flow control holds data back: a receiver's report may have been lost, so
// heartbeats ask for another.
func (s *Sender) blocked(now clock.Time) {
	by := core.ByReceiver
	if s.sent == s.next {
		by = core.ByWindow
	}
	s.limited.Set(now, by)
	if s.flow.blocked {
		return
	}
	s.flow.blocked, s.flow.charged = true, now
	s.p.stats.Blocked++
	s.beat.hurry(s, now)
}

// resume notes that data leaves, or that nothing holds it back any more.
func (f *flow) resume(now clock.Time) {
	f.blocked = false
	f.s.limited.Set(now, core.ByApplication)
}

// held reports whether flow control holds data back now: what waits to be sent, or what cannot be
// accepted because the window is full of what receivers have not reported.
func (s *Sender) held() bool {
	return s.sent < s.next && !s.flow.allows(s.sent) || s.unreported()
}

// Limit is the receiver that a Sender waits for.
type Limit struct {
	Member   wire.MemberID
	Endpoint buf.Endpoint
	Behind   uint64 // datagrams that were sent and that it has not reported as received; 0: its handlers are slow
	Room     uint64 // datagrams above the last one sent that it has room for
	Socket   uint64 // bytes of its socket buffer
}

// Limiting is the receiver that holds the stream up at this moment; ok is false when none does.
func (s *Sender) Limiting() (l Limit, ok bool) {
	if !s.held() || !s.flow.slowest || s.flow.waited == 0 {
		return l, false
	}
	return s.flow.limiting().limits(s), true
}

// Slowest is the receiver that held the stream up longest since Reckon was last called, or would be the
// first to do so; ok is false when the stream waits for no receiver. A single moment says little: between
// two reports of a quick receiver it may be that one for which the stream waits.
func (s *Sender) Slowest(now clock.Time) (l Limit, ok bool) {
	if s.flow.stale {
		s.flow.update()
	}
	if !s.flow.slowest || s.flow.waited == 0 {
		return l, false
	}
	s.flow.charge(now)
	slowest := &s.receivers[0]
	for i := range s.receivers {
		if r := &s.receivers[i]; r.held > slowest.held {
			slowest = r
		}
	}
	if slowest.held == 0 {
		slowest = s.flow.limiting()
	}
	return slowest.limits(s), true
}

// Reckon begins to count anew for Slowest.
func (s *Sender) Reckon(now clock.Time) {
	s.flow.charge(now)
	for i := range s.receivers {
		s.receivers[i].held = 0
	}
}

// charge gives the time since the last charge to the receiver that holds the stream up now, before a
// report changes which one that is.
func (f *flow) charge(now clock.Time) {
	if f.blocked && f.slowest && len(f.s.receivers) > 0 && f.s.held() && f.waited > 0 {
		d := now.Sub(f.charged)
		if f.limiting().held += d; f.s.p.cfg.SlowestFor > 0 {
			f.s.chargeSlow(d)
		}
	}
	f.charged = now
}

// limiting is the receiver that holds the stream up, or would be the first to do so. There is one at least that is
// waited for.
func (f *flow) limiting() *receiver {
	s := f.s
	if f.stale {
		f.update()
	}
	slowest := &s.receivers[0]
	for i := range s.receivers {
		r := &s.receivers[i]
		switch {
		case !r.waits():
		case !slowest.waits():
			slowest = r
		case s.sent >= f.limit: // its reorder window has no room
			if r.limit < slowest.limit {
				slowest = r
			}
		case s.sent < s.next: // its socket buffer has none
			if r.highest < slowest.highest {
				slowest = r
			}
		case r.next < slowest.next, r.next == slowest.next && r.limit < slowest.limit:
			slowest = r // it has not reported what fills the window, or has the least room
		}
	}
	return slowest
}

// limits describes a receiver as a Limit.
func (r *receiver) limits(s *Sender) Limit {
	return Limit{
		Member: r.member, Endpoint: r.endpoint, Behind: s.sent - min(r.next, s.sent),
		Room: r.limit - min(r.limit, s.sent), Socket: r.room,
	}
}

// lookEvery is the time between two looks at all receivers.
func (s *Sender) lookEvery() time.Duration {
	if d := s.p.cfg.SlowestFor; d > 0 {
		return min(d, s.p.cfg.Eviction) / evictionLooks
	}
	return s.p.cfg.Eviction / evictionLooks
}

// look looks for silent receivers, late after it was due. A receiver that has been silent for half of
// Config.Eviction is asked; one that has been silent for all of it is dropped.
func (f *flow) look(s *Sender, now clock.Time, late time.Duration) {
	f.young = false
	if f.slowest {
		for i := range s.receivers {
			if r := &s.receivers[i]; !r.new.is {
				s.lookStuck(now, r)
			}
		}
	}
	every := s.lookEvery()
	if s.p.way.Shut { // nothing leaves, and nothing comes: that is not the receivers' silence either
		for i := range s.receivers {
			s.receivers[i].heard = now
		}
		f.woke, f.charged = now, now
	}
	if f.slowest && late <= every && !s.p.way.Shut {
		s.lookMute()
	}
	if late > every {
		// This member did not run, so it received nothing: that is not the receivers' silence.
		for i := range s.receivers {
			s.receivers[i].heard = s.receivers[i].heard.Add(late)
		}
		f.woke = f.woke.Add(late)
	}
	s.lookSlow(now)
	probes := 0
	for i := len(s.receivers) - 1; i >= 0; i-- {
		r := &s.receivers[i]
		switch silent, longest := f.silence(now, r); {
		case r.new.is:
			if now.Sub(r.heard) >= s.p.cfg.Eviction {
				s.dropReceiver(r.member, ReceiverEvicted)
			}
		case silent >= longest:
			s.p.stats.Evictions++
			s.whole = now.Add(lateNeed)
			s.dropReceiver(r.member, ReceiverEvicted)
		case silent >= longest-f.asked(longest) && probes < maxProbes:
			probes++
			s.beat.probe(s, now, r.endpoint)
		}
	}
	s.unpaced(now)
	s.setPace(now)
	s.arm(receiversDue, now.Add(every))
}

// silence is how long a receiver has been silent, and how long it may be. One that reports rarely, since the
// stream was idle, has as long as ever from when something left that it has not reported.
func (f *flow) silence(now clock.Time, r *receiver) (silent, longest time.Duration) {
	silent, longest = now.Sub(r.heard), f.s.p.cfg.Eviction
	switch {
	case r.pause == 0:
	case r.next >= f.s.sent:
		longest = max(longest, r.pause*pauseHalves/2)
	default:
		silent = min(silent, now.Sub(f.woke))
	}
	return silent, longest
}

// asked is for how long a silent receiver is asked before it goes. Reports of one that reports rarely may have been lost
// one after the other.
func (f *flow) asked(longest time.Duration) time.Duration {
	eviction := f.s.p.cfg.Eviction
	if longest > eviction {
		return eviction
	}
	return eviction / 2
}

// wake notes that a datagram has left after a pause of the stream.
func (f *flow) wake(now clock.Time) {
	if f.stale {
		f.update()
	}
	if f.next >= f.s.sent-1 {
		f.woke = now
		f.s.arm(receiversDue, now.Add(f.s.lookEvery())) // one of the looks comes when Eviction is over
	}
}

// maxProbes bounds the receivers that are asked in one tick.
const maxProbes = 8
