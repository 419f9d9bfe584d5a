package nack

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// A receiver whose handlers are slow, or stand still, holds up all others. With Config.SlowestFor that has an end: a
// receiver that took less than a window while the stream waited for it for so long is evicted, and told so. What counts is
// the time in which data was held back and this receiver had no room for it, so that a receiver of a stream with nothing
// to send may take its time, and one that is a little slower than the others stays for good.
//
// It goes on receiving, as well as it can, and may count again when it has room, but not before its probation is over:
// one that is always too slow would hold the others up for SlowestFor again each time.
type slowness struct {
	held time.Duration // how long the stream waited for it
	mark uint64        // when its limit has come so far, it has taken a window, and held begins anew
}

// outcast is a receiver that was evicted for its slowness, or was so lately.
type outcast struct {
	out       bool // it is not waited for
	heard     clock.Time
	told      clock.Time // when it was last told
	until     clock.Time // the end of its probation
	probation time.Duration
}

const (
	// tellEvery is the time between two heartbeats that tell a receiver that it is evicted.
	tellEvery = time.Second
	// outcastFor is how long an outcast is remembered that is not heard, or is none any more.
	outcastFor = 2 * probationMax
	// maxOutcasts bounds those that are remembered of one stream.
	maxOutcasts = 256
)

// waitsFor reports whether this receiver is one of those for which the stream, which is held, waits.
func (s *Sender) waitsFor(r *receiver) bool {
	n := s.sent
	switch {
	case !r.waits():
		return false
	case n >= r.limit:
		return true
	case n < s.next:
		return n >= r.highest+minInFlight && s.slots[n&s.mask].cost-s.costBelow(r.highest) > min(r.room, s.flow.inFlight)
	}
	return r.next == s.flow.next // it has not reported what fills the window
}

// chargeSlow gives all receivers that hold the stream up the time since the last charge.
func (s *Sender) chargeSlow(d time.Duration) {
	d = min(d, 2*s.lookEvery()) // in what is longer this member did not run
	for i := range s.receivers {
		if r := &s.receivers[i]; s.waitsFor(r) {
			r.slow.held += d
		}
	}
}

// took notes how far a receiver's room goes.
func (k *slowness) took(limit, window uint64) {
	if limit >= k.mark {
		k.held, k.mark = 0, limit+window
	}
}

// lookSlow evicts receivers that held the stream up for too long, and forgets those for whom that is long ago.
func (s *Sender) lookSlow(now clock.Time) {
	longest := s.p.cfg.SlowestFor
	if longest == 0 || !s.flow.slowest {
		return
	}
	if s.flow.blocked {
		s.flow.charge(now)
	}
	for i := len(s.receivers) - 1; i >= 0; i-- {
		if r := &s.receivers[i]; r.slow.held >= longest {
			s.castOut(now, r.member, r.endpoint)
		}
	}
	for member, o := range s.outcasts {
		if now.Sub(max(o.heard, o.until)) >= outcastFor {
			delete(s.outcasts, member)
		}
	}
	if s.flow.blocked && !s.held() {
		s.flow.resume(now)
	}
}

// castOut evicts a receiver for its slowness.
func (s *Sender) castOut(now clock.Time, member wire.MemberID, to buf.Endpoint) {
	o := s.outcasts[member]
	if o == nil {
		if len(s.outcasts) == maxOutcasts {
			s.forgetOutcast()
		}
		if s.outcasts == nil {
			s.outcasts = make(map[wire.MemberID]*outcast)
		}
		o = new(outcast)
		s.outcasts[member] = o
	}
	shortest := max(probationMin, s.p.cfg.SlowestFor)
	o.probation = min(max(2*o.probation, shortest), max(probationMax, shortest))
	o.out, o.heard, o.until, o.told = true, now, now.Add(o.probation), 0
	s.p.stats.Evictions++
	s.dropReceiver(member, ReceiverSlow)
	s.tellOutcast(now, o, to)
}

// forgetOutcast makes room for another one: the one that was heard least recently goes.
func (s *Sender) forgetOutcast() {
	var oldest wire.MemberID
	at := never
	for member, o := range s.outcasts {
		if o.heard < at {
			oldest, at = member, o.heard
		}
	}
	delete(s.outcasts, oldest)
}

// outcast reports whether a receiver that reports is evicted and stays so. It is told now and then.
func (s *Sender) outcast(now clock.Time, member wire.MemberID, st *wire.Status, from buf.Endpoint) bool {
	o := s.outcasts[member]
	if o == nil || !o.out {
		return false
	}
	o.heard = now
	if now >= o.until && st.Limit > s.sent && st.Next >= s.first {
		o.out = false // it has room again, and lacks nothing that is not held any more
		return false
	}
	s.tellOutcast(now, o, from)
	return true
}

// tellOutcast tells a receiver that it is evicted.
func (s *Sender) tellOutcast(now clock.Time, o *outcast, to buf.Endpoint) {
	if o.told != 0 && now.Sub(o.told) < tellEvery {
		return
	}
	if _, ok := s.beat.take(now, 0); ok {
		o.told = now
		s.p.queue(control{kind: sendProbe, sender: s, to: to, evicted: true})
	}
}
