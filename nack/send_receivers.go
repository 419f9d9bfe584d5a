package nack

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// receiver is what a sender keeps of one receiver, from its statuses.
type receiver struct {
	member   wire.MemberID
	endpoint buf.Endpoint
	quick    quickTrip
	new      newcomer
	next     uint64 // lowest datagram that it has not received
	highest  uint64 // one above the highest that it has noticed
	limit    uint64 // it has room for datagrams below this one
	room     uint64 // bytes of socket buffer
	every    uint64 // bytes from one report to the next; 0: it does not say
	heard    clock.Time
	pause    time.Duration // the last report said that the next comes no later; 0: it said nothing
	held     time.Duration // of Sender.Reckon: how long the stream waited for it
	echo     uint64        // of the last round trip that was measured
	rtt      core.RTT
	missed   uint64 // datagrams that did not arrive at first, and that it has given up, as it says
	gone     uint64
	stuck    stuck
	slow     slowness
	mute     muteness
	noGroup  noGroup
	arrivals arrivals
	losses   losses // under FEC and Hybrid
}

// answerAfter is how long a stream must have sent no data before a report without an echo is
// answered with a heartbeat: before that, data and heartbeats come without being asked for.
const answerAfter = 100 * time.Millisecond

// longestPause is as long a pause between two reports as is believed. Receivers of older versions, which count on a
// heartbeat each beatMax, give none above shortPause.
const (
	longestPause = 30 * time.Second
	shortPause   = 5*time.Second + time.Millisecond
)

// stepStatus takes in a receiver's report.
func (s *Sender) stepStatus(now clock.Time, d *wire.Datagram, st *wire.Status, from buf.Endpoint) error {
	if st.Next > s.sent {
		return s.p.drop(DropImplausible)
	}
	if s.flow.blocked {
		s.flow.charge(now)
	}
	if len(s.outcasts) > 0 && s.outcast(now, d.Transmitter, st, from) {
		s.p.stats.StatusesReceived++
		return nil
	}
	r, echoed := s.findReceiver(d.Transmitter), false
	if r == nil || r.new.is {
		echoed = s.newcomers.echoed(now, st.Echo)
		r = s.admit(now, d.Transmitter, from, echoed)
	}
	if r == nil {
		if s.p.lately.has(now, d.Transmitter) {
			return s.p.drop(DropStale)
		}
		if !echoed {
			s.newcomer(now, nil, st)
			return s.p.drop(DropReceivers)
		}
		s.whole = now.Add(lateNeed)
		if _, ok := s.p.unwaited.take(now, refusalRate, maxRefusals); ok {
			s.p.event(ReceiverRefused, d.Transmitter, from, s.id)
		}
		return s.p.drop(DropReceivers)
	}
	s.p.stats.StatusesReceived++
	s.rouse()
	r.heard, r.mute = now, muteness{}
	r.endpoint = from
	if r.new.is {
		if !echoed {
			s.newcomer(now, r, st)
			return nil
		}
		s.welcome(now, r)
	}
	rested := r.pause != 0
	r.pause = min(time.Duration(st.Pause)*time.Microsecond, longestPause)
	if st.Next > r.next {
		s.back(now, r.next, st.Next)
		r.next = st.Next
	}
	s.notices(now, r, min(st.Highest, s.sent), from)
	s.saysNoGroup(r, st.NoGroup)
	was := r.highest
	r.highest = max(r.highest, min(st.Highest, s.sent)) // it may have been told of more than there is
	r.every = uint64(st.Every)
	r.missed, r.gone = st.Missed, st.Gone
	r.stuck.reported(r.highest, st.Missed)
	r.limit = max(r.limit, st.Limit)
	r.slow.took(r.limit, s.window)
	r.room = uint64(st.Room)
	if r.room == 0 {
		r.room = defaultRoom
	}
	r.room = max(r.room, minRoom)
	if st.Echo != 0 && st.Echo != r.echo && st.Echo <= uint64(now) {
		// The echo is our own clock, so a lie can only make the round trip long.
		r.echo = st.Echo
		if held := uint64(st.Held); held <= uint64(now)-st.Echo {
			trip := time.Duration(min(uint64(now)-st.Echo-held, uint64(rttMax)))
			r.rtt.Sample(trip)
			r.quick.sample(trip)
		}
	}
	if st.Echo == 0 && now.Sub(s.beat.last) >= answerAfter {
		s.beat.probe(s, now, from) // the receiver has heard nothing for a while
	}
	s.flow.stale = true
	s.reported(now, was)
	s.arrived(now, r, st, rested)
	s.giveBack(now)
	if s.flow.blocked && !s.held() {
		s.flow.resume(now)
	}
	if s.encoding != nil {
		s.encoding.report(s, r, st)
	}
	return nil
}

// admit finds a receiver, or adds a newcomer, which echoed may say is more than that. It is nil when the table has no
// room, and of one that has just left.
func (s *Sender) admit(now clock.Time, member wire.MemberID, from buf.Endpoint, echoed bool) *receiver {
	if r := s.findReceiver(member); r != nil {
		return r
	}
	if o := s.outcasts[member]; o != nil && o.out || s.p.lately.has(now, member) {
		return nil
	}
	switch full := len(s.receivers) >= s.p.cfg.MaxReceivers; {
	case !echoed && (full || s.newcomers.listed == maxNewcomers), full && !s.dropNewcomer():
		return nil
	}
	s.newcomers.listed++
	s.index[member] = len(s.receivers)
	s.receivers = append(s.receivers, receiver{
		member: member, endpoint: from, heard: now, room: defaultRoom, new: newcomer{is: true},
		// Nothing below first can be asked for any more, so nothing waits for it.
		next: s.first, highest: s.first, limit: s.first,
	})
	return &s.receivers[len(s.receivers)-1]
}

// findReceiver finds a receiver that has reported; nil: there is none.
func (s *Sender) findReceiver(member wire.MemberID) *receiver {
	if len(s.receivers) == 1 && s.receivers[0].member == member {
		return &s.receivers[0]
	}
	if i, ok := s.index[member]; ok {
		return &s.receivers[i]
	}
	return nil
}

// dropReceiver forgets a receiver, for the reason that the event names.
func (s *Sender) dropReceiver(member wire.MemberID, why EventKind) {
	i, ok := s.index[member]
	if !ok {
		return
	}
	delete(s.index, member)
	counted := !s.receivers[i].new.is
	if !counted {
		s.newcomers.listed--
	} else if s.encoding != nil {
		s.encoding.control.Leave(s.receivers[i].losses.slot)
	}
	at, last := s.receivers[i].endpoint, len(s.receivers)-1
	if i != last {
		s.receivers[i] = s.receivers[last]
		s.index[s.receivers[i].member] = i
	}
	s.receivers = s.receivers[:last]
	s.flow.stale = true
	s.pace.stale = true
	if counted {
		s.p.event(why, member, at, s.id)
	}
}
