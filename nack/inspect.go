package nack

import (
	"time"
	"unsafe"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// What follows copies the state of streams for who looks at it. Each call is bounded work for a turn: one stream, or as
// many receivers as the caller has room for. Streams are looked at from the last to the first: one that is forgotten
// meanwhile moves those behind it, which have been looked at.

// SenderView is a stream that is sent, as it is now.
type SenderView struct {
	Stream    wire.StreamID
	Next      uint64 // the next datagram that leaves
	Message   uint64 // the number of the next message
	Window    uint64 // datagrams that may be held for repair or wait
	Used      uint64 // of them
	Messages  uint64 // accepted so far
	Datagrams uint64 // sent so far, without repairs
	Repairs   uint64 // sent so far
	RoundTrip time.Duration
	Receivers int // that count
	Listed    int // with newcomers: as many as Receivers of the Protocol can copy
	Limited   core.Limited
	Slowest   Limit // with Limited by a receiver or the window
}

// ReceiverView is a receiver of a stream that is sent, from its reports.
type ReceiverView struct {
	Member    wire.MemberID
	Endpoint  buf.Endpoint
	Next      uint64        // lowest datagram that it has not reported
	Behind    uint64        // datagrams that were sent and that it has not reported
	Limit     uint64        // it has room for datagrams below this one
	Room      uint64        // bytes of its socket buffer
	RoundTrip time.Duration // smoothed; 0: not measured
	Missed    uint64        // datagrams that did not come at first, as it says
	Gone      uint64        // datagrams that it has given up, as it says
	Heard     clock.Time
	Waited    bool // the stream waits for it
}

// StreamView is a stream that is received, as it is now.
type StreamView struct {
	From        wire.MemberID
	Incarnation uint32
	Stream      wire.StreamID
	Endpoint    buf.Endpoint
	Next        uint64 // lowest datagram that is not delivered
	Highest     uint64 // one above the highest that is known to exist
	Held        int    // datagrams that wait for others
	Missed      uint64 // datagrams that did not come at first
	Repaired    uint64
	Gone        uint64
	Heard       clock.Time
	Silent      bool
	Repairs     core.Times // from noticing that a datagram is missing until it came; of the 64 streams that needed repair last
}

// Sending is the number of streams that are sent.
func (p *Protocol) Sending() int { return len(p.senders) }

// LookSender copies the state of stream i of Sending.
func (p *Protocol) LookSender(now clock.Time, i int) (v SenderView, ok bool) {
	if i >= len(p.senders) {
		return v, false
	}
	s := p.senders[i]
	v = SenderView{
		Stream: s.id, Next: s.sent, Message: s.message, Window: s.window, Used: s.next - s.first,
		Messages: s.message - 1, Datagrams: s.stats.Datagrams, Repairs: s.stats.Repairs, RoundTrip: s.flow.measured,
		Receivers: s.joined(), Listed: len(s.receivers), Limited: s.Limited(now),
	}
	v.Slowest, _ = s.Slowest(now)
	return v, true
}

// LookReceivers copies receivers of stream i of Sending, those below before, the last one first. It returns how many
// it has copied; fewer than there is room for: it came to the first one.
func (p *Protocol) LookReceivers(i, before int, into []ReceiverView) (n int) {
	if i >= len(p.senders) {
		return 0
	}
	s := p.senders[i]
	for k := min(before, len(s.receivers)) - 1; k >= 0 && n < len(into); k-- {
		r := &s.receivers[k]
		into[n] = ReceiverView{
			Member: r.member, Endpoint: r.endpoint, Next: r.next, Behind: s.sent - min(r.next, s.sent), Limit: r.limit,
			Room: r.room, RoundTrip: r.rtt.Smooth, Missed: r.missed, Gone: r.gone, Heard: r.heard, Waited: s.flow.slowest && r.waits(),
		}
		n++
	}
	return n
}

// Receiving is the number of streams that are received, or were and may go on.
func (p *Protocol) Receiving() int { return len(p.streams) }

// LookStream copies the state of stream i of Receiving. ok is false of one that has ended.
func (p *Protocol) LookStream(i int) (v StreamView, ok bool) {
	if i >= len(p.streams) {
		return v, false
	}
	s := p.streams[i]
	return StreamView{
		From: s.from, Incarnation: s.incarnation, Stream: s.id, Endpoint: s.endpoint, Next: s.due, Highest: s.highest, Held: s.held,
		Missed: s.status.missed, Repaired: uint64(s.status.repaired), Gone: s.status.gone, Heard: s.heard, Silent: s.state != live, Repairs: p.mended.find(s),
	}, s.state != left && !s.own
}

// mended keeps how long repairs took, of those streams that needed one most recently. A table for each stream would take
// more memory than it is worth: most streams need no repair.
type mended struct {
	list []mending // nil before the first repair
	last int       // the place of the last repair
}

type mending struct {
	of    *stream
	at    clock.Time // of the last repair
	times core.Times
}

// keptMended is how many streams mended keeps, mendedBytes what they take.
const (
	keptMended  = 64
	mendedBytes = keptMended * int(unsafe.Sizeof(mending{}))
)

// note counts a repair of s, which took d.
func (m *mended) note(now clock.Time, s *stream, d time.Duration) {
	if m.list == nil {
		m.list = make([]mending, keptMended)
	}
	if m.list[m.last].of != s {
		m.last = m.place(s)
	}
	e := &m.list[m.last]
	if e.of != s {
		*e = mending{of: s}
	}
	e.at = now
	e.times.Add(d)
}

// place is where s is, or what takes it: the stream whose last repair is the oldest goes.
func (m *mended) place(s *stream) (oldest int) {
	for i := range m.list {
		switch e := &m.list[i]; {
		case e.of == s:
			return i
		case e.at < m.list[oldest].at:
			oldest = i
		}
	}
	return oldest
}

// find is how long the repairs of s took, as far as that is kept.
func (m *mended) find(s *stream) (t core.Times) {
	for i := range m.list {
		if m.list[i].of == s {
			return m.list[i].times
		}
	}
	return t
}

// forget forgets a stream.
func (m *mended) forget(s *stream) {
	for i := range m.list {
		if m.list[i].of == s {
			m.list[i] = mending{}
		}
	}
}
