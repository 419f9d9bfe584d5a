package nack

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// noGroup is what a sender keeps of whether multicast gets through to a receiver. One to which it does not asks by unicast,
// for everything, as if it had asked before: that is how it gets repairs by unicast. No other receiver asks again and again
// for what was never sent again, and for nothing anew.
type noGroup struct {
	since clock.Time // the first of them
	asks  uint8      // such requests in a row
	told  bool
	says  bool       // its last report says so; older versions do not
	blind clock.Time // since when it has noticed nothing new, although there is; 0: it has
}

const (
	noGroupAsks = 4
	// blindFor is after how long without anything new a receiver that reports is sent a heartbeat of its own.
	blindFor = 50 * time.Millisecond
)

// lacksGroup judges by a request whether multicast gets through to a receiver.
func (s *Sender) lacksGroup(now clock.Time, d *wire.Datagram, n *wire.Nak, from buf.Received) {
	r := s.findReceiver(d.Transmitter)
	if r == nil || r.new.is {
		return
	}
	k := &r.noGroup
	firsts, again := n.Gaps(), n.Again()
	_, anew := firsts.Next()
	g, ok := again.Next()
	switch {
	case anew || from.Group:
		k.asks, k.told = 0, k.says
	case !ok || g.First < s.first || g.First >= s.sent || s.slots[g.First&s.mask].repaired != 0:
	default:
		if k.asks == 0 {
			k.since = now
		}
		if k.asks = min(k.asks+1, noGroupAsks); k.asks == noGroupAsks && now.Sub(k.since) >= s.p.cfg.Eviction/2 && !k.told {
			k.told = true
			s.p.event(ReceiverNoGroup, r.member, r.endpoint, s.id)
		}
	}
}

// saysNoGroup takes in whether a receiver reports that multicast does not get through to it.
func (s *Sender) saysNoGroup(r *receiver, yes bool) {
	k := &r.noGroup
	if yes && !k.told {
		s.p.event(ReceiverNoGroup, r.member, r.endpoint, s.id)
	}
	if k.told = k.told || yes; k.says && !yes {
		k.told = false // it may be told again
	}
	k.says = yes
}

// notices answers a report of a receiver that has noticed nothing new for a while, although there is, by unicast:
// multicast may not get through to it. highest is up to where it has noticed now.
func (s *Sender) notices(now clock.Time, r *receiver, highest uint64, from buf.Endpoint) {
	k := &r.noGroup
	switch {
	case highest > r.highest || s.sent <= r.highest:
		k.blind = 0
	case k.blind == 0:
		k.blind = now
	case now.Sub(k.blind) >= blindFor:
		s.beat.probe(s, now, from)
	}
}
