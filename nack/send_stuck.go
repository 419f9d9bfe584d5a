package nack

import (
	"math"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// A receiver that asks for one datagram again and again, which was sent to it each time, is stuck: what is sent to it
// does not arrive, for instance since full-sized datagrams do not pass on the way to it. Where little of all that is
// sent arrives, as in a full queue that others fill too, a few repairs that are lost one after the other show nothing:
// it has to be more than such a receiver needs. The stream does not wait for it any more. What it lacks is kept for as
// long as the window has room, and what it has lost by then is reported there. It is waited for again when it has asked
// for nothing again and again for a while, which is longer each time.
const (
	stuckAsks    = 4
	stuckFor     = 100 * time.Millisecond
	stuckTrips   = 16 // round trips, at least
	probationMin = 2 * time.Second
	probationMax = time.Minute
)

// stuck is what a sender keeps of how a receiver's repairs fare.
type stuck struct {
	low       uint64     // the lowest datagram that it asks for again; 0: none
	since     clock.Time // when it first did
	asks      int        // how often since then, each after it had been sent again
	last      clock.Time // when it was last asked for
	usual     tries      // how much it misses of new datagrams, and so how often it has to ask
	missed    uint64     // of these, as it reported last
	is        bool
	until     clock.Time    // the end of its probation
	probation time.Duration // the last one
}

// again notes that a receiver asks again for datagram n, which was sent again before.
func (k *stuck) again(now clock.Time, n, next uint64, repaired clock.Time) {
	switch {
	case k.low != 0 && next > k.low, n < k.low, k.low == 0:
		k.low, k.since, k.asks, k.last = n, now, 1, now
	case n == k.low && repaired > k.last:
		k.asks, k.last = k.asks+1, now
	}
}

// vain reports whether the datagrams that are sent to this receiver again do not arrive.
func (s *Sender) vain(r *receiver) bool {
	k := &r.stuck
	if k.low == 0 || r.next > k.low {
		return false
	}
	asks, lasts := max(k.usual.quick(), stuckAsks), max(stuckFor, stuckTrips*r.rtt.Smooth)
	if k.usual.expected < triesLeast {
		lasts = max(lasts, s.p.cfg.Eviction) // it has not reported yet how much it misses
	}
	return k.asks >= asks && k.last.Sub(k.since) >= lasts
}

// reported notes what a receiver reports of how much it misses.
func (k *stuck) reported(highest, missed uint64) {
	if k.usual.mark == 0 {
		k.usual.mark, k.missed = highest, missed
		return
	}
	k.usual.noted(highest, missed-min(k.missed, missed))
	k.missed = max(k.missed, missed)
}

// lookStuck judges one receiver; it is called a few times a second.
func (s *Sender) lookStuck(now clock.Time, r *receiver) {
	k := &r.stuck
	switch {
	case s.vain(r):
		if !k.is {
			k.is = true
			k.probation = min(max(2*k.probation, probationMin), probationMax)
			s.p.stats.Stuck++
			s.flow.stale = true
			s.tellStuck(r)
			if s.flow.blocked && !s.held() {
				s.flow.resume(now)
			}
		}
		k.until = now.Add(k.probation)
	case k.is && now >= k.until && r.next+s.window/2 >= s.sent:
		k.is = false
		s.flow.stale = true
		s.p.event(ReceiverFreed, r.member, r.endpoint, s.id)
	}
	if k.is && r.next < s.first {
		s.beat.probe(s, now, r.endpoint) // what it lacks is not held any more
	}
}

// tellStuck reports a receiver that is stuck.
func (s *Sender) tellStuck(r *receiver) {
	if s.p.cfg.Events == nil {
		return
	}
	e := Event{Kind: ReceiverStuck, Member: r.member, Endpoint: r.endpoint, Stream: s.id, Number: r.stuck.low}
	if n := r.stuck.low; n >= s.first && n < s.sent {
		e.Length = s.slots[n&s.mask].buf.Len()
	}
	for n := s.first; n < min(r.stuck.low, s.sent); n++ {
		e.Longest = max(e.Longest, s.slots[n&s.mask].buf.Len())
	}
	s.p.cfg.Events(e)
}

// asksAgain notes the lowest datagram that a NAK asks for again, if it was sent again before.
func (s *Sender) asksAgain(now clock.Time, d *wire.Datagram, n *wire.Nak) {
	it := n.Again()
	g, ok := it.Next()
	if !ok || g.First < s.first || g.First >= s.sent || s.slots[g.First&s.mask].repaired == 0 {
		return
	}
	if r := s.findReceiver(d.Transmitter); r != nil {
		r.stuck.again(now, g.First, r.next, s.slots[g.First&s.mask].repaired)
	}
}

// waits reports whether the stream waits for this receiver.
func (r *receiver) waits() bool { return !r.new.is && !r.stuck.is && !r.mute.is }

// noNumber is what no datagram's number reaches, even with what is added to it.
const noNumber = uint64(math.MaxUint64) >> 1
