package nack

import (
	"math"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// receiver is what a sender knows of one receiver, from its statuses.
type receiver struct {
	member   wire.MemberID
	endpoint buf.Endpoint
	next     uint64 // lowest datagram that it has not received
	highest  uint64 // one above the highest that it knows of
	limit    uint64 // it has room for datagrams below this one
	room     uint64 // bytes of socket buffer
	heard    clock.Time
	echo     uint64 // of the last round trip that was measured
	rtt      rtt
	loser    loser // under FEC and Hybrid
}

// flow holds a sender back so that the slowest receiver keeps up. A datagram may leave when
//
//   - every receiver has room for it in its reorder window (limit), and
//   - what is on its way to the receiver that reported least fits the smallest socket buffer.
//
// The minima are computed again when a report has changed them.
type flow struct {
	s        *Sender
	slowest  bool // this stream waits for its receivers
	young    bool // receivers of the beginning may not have reported yet
	stale    bool // the minima below are out of date
	blocked  bool
	next     uint64 // minima over receivers
	limit    uint64
	highest  uint64
	room     uint64
	measured time.Duration // the longest smoothed round trip; 0: not known

	look clock.Time // when receivers are looked at for silence
}

const (
	// skbOverhead is what a datagram takes of a receiver's socket buffer beyond its length.
	skbOverhead = 256
	// minInFlight datagrams may always be on their way, whatever rooms receivers report.
	minInFlight = 4
	minRoom     = 4 << 10
	// evictionLooks is how often a silent receiver is looked at, and asked, before it goes.
	evictionLooks = 16
)

// cost is what a datagram of n bytes takes of a receiver's socket buffer.
func cost(n int) uint64 { return uint64(n) + skbOverhead }

func (f *flow) init(s *Sender) {
	f.s = s
	f.slowest = s.nack && !s.p.cfg.Fastest
	f.young = f.slowest
	f.stale = true
	f.look = s.opened.Add(startFor)
	s.arm(f.look)
}

// update computes the minima.
func (f *flow) update() {
	f.stale = false
	f.next, f.limit, f.highest, f.room, f.measured = math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64, 0
	for i := range f.s.receivers {
		r := &f.s.receivers[i]
		f.next = min(f.next, r.next)
		f.limit = min(f.limit, r.limit)
		f.highest = min(f.highest, r.highest)
		f.room = min(f.room, r.room)
		f.measured = max(f.measured, r.rtt.smooth)
	}
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

// keep is the lowest datagram that receivers may still need.
func (f *flow) keep() uint64 {
	switch {
	case !f.slowest:
		return math.MaxUint64
	case len(f.s.receivers) > 0:
		if f.stale {
			f.update()
		}
		return f.next
	case f.young:
		return 1
	}
	return math.MaxUint64
}

// allows tells whether datagram n, which is the next to be sent, may leave.
func (f *flow) allows(n uint64) bool {
	if !f.slowest || len(f.s.receivers) == 0 {
		return true
	}
	if f.stale {
		f.update()
	}
	if n >= f.limit {
		return false
	}
	return n < f.highest+minInFlight || f.s.slots[n&f.s.mask].cost-f.s.costBelow(f.highest) <= f.room
}

// costBelow is the cost of all datagrams below n; n is first or above, or so old that it is
// taken for first.
func (s *Sender) costBelow(n uint64) uint64 {
	if n > s.first {
		return s.slots[(n-1)&s.mask].cost
	}
	t := &s.slots[s.first&s.mask]
	return t.cost - cost(t.buf.Len())
}

// blocked notes that flow control holds data back: a receiver's report may have been lost, so
// heartbeats ask for another.
func (s *Sender) blocked(now clock.Time) {
	if s.flow.blocked {
		return
	}
	s.flow.blocked = true
	s.p.stats.Blocked++
	s.beat.hurry(s, now)
}

// stepStatus takes in a receiver's report.
func (s *Sender) stepStatus(now clock.Time, d *wire.Datagram, st *wire.Status, from buf.Endpoint) error {
	if st.Next > s.sent {
		return s.p.drop(DropImplausible)
	}
	r := s.receiver(now, d.Transmitter, from)
	if r == nil {
		return s.p.drop(DropReceivers)
	}
	s.p.stats.StatusesReceived++
	r.heard = now
	r.next = max(r.next, st.Next)
	r.highest = max(r.highest, min(st.Highest, s.sent)) // it may have been told of more than there is
	r.limit = max(r.limit, st.Limit)
	r.room = uint64(st.Room)
	if r.room == 0 {
		r.room = defaultRoom
	}
	r.room = max(r.room, minRoom)
	if st.Echo != 0 && st.Echo != r.echo && st.Echo <= uint64(now) {
		// The echo is our own clock, so a lie can only make the round trip long.
		r.echo = st.Echo
		if held := uint64(st.Held); held <= uint64(now)-st.Echo {
			r.rtt.sample(time.Duration(min(uint64(now)-st.Echo-held, uint64(rttMax))))
		}
	}
	s.flow.stale = true
	if s.parity != nil {
		s.parity.report(s, r, st)
	}
	return nil
}

// receiver finds a receiver, or adds it. It is nil when the table is full.
func (s *Sender) receiver(now clock.Time, member wire.MemberID, from buf.Endpoint) *receiver {
	if len(s.receivers) == 1 && s.receivers[0].member == member {
		return &s.receivers[0]
	}
	if i, ok := s.index[member]; ok {
		return &s.receivers[i]
	}
	if len(s.receivers) >= s.p.cfg.MaxReceivers {
		return nil
	}
	s.index[member] = len(s.receivers)
	s.receivers = append(s.receivers, receiver{
		member: member, endpoint: from, heard: now, room: defaultRoom,
		// Nothing below first can be asked for any more, so nobody waits for it.
		next: s.first, highest: s.first, limit: s.first,
	})
	if s.parity != nil {
		s.receivers[len(s.receivers)-1].loser.slot = s.parity.control.Join()
	}
	s.flow.stale = true
	s.p.event(ReceiverJoined, member, s.id)
	s.beat.welcome(s, now)
	return &s.receivers[len(s.receivers)-1]
}

// known finds a receiver that has reported; nil: there is none.
func (s *Sender) known(member wire.MemberID) *receiver {
	if i, ok := s.index[member]; ok {
		return &s.receivers[i]
	}
	return nil
}

// dropReceiver forgets a receiver, for the reason that the event names.
func (s *Sender) dropReceiver(_ clock.Time, member wire.MemberID, why EventKind) {
	i, ok := s.index[member]
	if !ok {
		return
	}
	delete(s.index, member)
	if s.parity != nil {
		s.parity.control.Leave(s.receivers[i].loser.slot)
	}
	last := len(s.receivers) - 1
	if i != last {
		s.receivers[i] = s.receivers[last]
		s.index[s.receivers[i].member] = i
	}
	s.receivers = s.receivers[:last]
	s.flow.stale = true
	s.p.event(why, member, s.id)
}

// tick looks for silent receivers: who has been silent for half of Config.Eviction is asked,
// who is silent for all of it goes.
func (f *flow) tick(s *Sender, now clock.Time) {
	if now < f.look {
		s.arm(f.look)
		return
	}
	f.young = false
	every := s.p.cfg.Eviction / evictionLooks
	if late := now.Sub(f.look); late > every {
		// We did not run, so we could not hear: that is not the receivers' silence.
		for i := range s.receivers {
			s.receivers[i].heard = s.receivers[i].heard.Add(late)
		}
	}
	probes := 0
	for i := len(s.receivers) - 1; i >= 0; i-- {
		r := &s.receivers[i]
		switch silent := now.Sub(r.heard); {
		case silent >= s.p.cfg.Eviction:
			s.p.stats.Evictions++
			s.dropReceiver(now, r.member, ReceiverEvicted)
		case silent >= s.p.cfg.Eviction/2 && probes < maxProbes:
			probes++
			s.beat.probe(s, now, r.endpoint)
		}
	}
	f.look = now.Add(every)
	s.arm(f.look)
}

// maxProbes bounds the receivers that are asked in one tick.
const maxProbes = 8
