package nack

import (
	"slices"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// streamKey names a stream among those that are received. Of one member only one incarnation is
// received at a time.
type streamKey struct {
	from wire.MemberID
	id   wire.StreamID
}

// lookUp finds the stream of a datagram's transmitter; it is nil when it is not known yet. An
// incarnation that is newer than the known one ends that one.
func (p *Protocol) lookUp(now clock.Time, d *wire.Datagram) (*stream, error) {
	s := p.last
	if s == nil || s.from != d.Transmitter || s.id != d.Stream {
		if s = p.known[streamKey{d.Transmitter, d.Stream}]; s == nil {
			return nil, nil
		}
	}
	switch {
	case d.Incarnation < s.incarnation:
		return nil, p.drop(DropIncarnation)
	case d.Incarnation > s.incarnation:
		p.supersede(now, s)
		return nil, nil
	case s.state == left:
		return nil, p.drop(DropStale)
	}
	return s, nil
}

// supersede ends a stream whose sender has begun anew.
func (p *Protocol) supersede(now clock.Time, s *stream) {
	delete(p.known, streamKey{s.from, s.id})
	if p.last == s {
		p.last = nil
	}
	if s.state != left {
		s.end(now, left)
	}
	if s.due >= s.highest {
		s.bury(now)
	}
}

// join makes a new stream known, if it is wanted and there is room for it.
func (p *Protocol) join(now clock.Time, d *wire.Datagram, from buf.Endpoint) (*stream, error) {
	if _, ok := p.wantedSince(d.Stream.Lane()); !ok {
		return nil, p.drop(DropLane)
	}
	if len(p.streams) >= p.cfg.MaxStreams && !p.evictStream() {
		return nil, p.refuse(now, d, from)
	}
	p.refused.forget(streamKey{d.Transmitter, d.Stream})
	s := &stream{
		p: p, from: d.Transmitter, incarnation: d.Incarnation, id: d.Stream, endpoint: from,
		nack:  d.Stream.Protocol() == wire.NACK || d.Stream.Protocol() == wire.Hybrid,
		heard: now, within: beatMax,
	}
	s.init()
	p.known[streamKey{s.from, s.id}] = s
	p.streams = append(p.streams, s)
	s.event(StreamStarted)
	return s, nil
}

// init makes the tables of deadlines empty.
func (s *stream) init() {
	s.at, s.owner = never, s
	s.asking.gaps.spare = &s.p.gapsLeft
	for t := range s.timers {
		s.timers[t] = never
	}
}

// begin makes n the first datagram that is expected of a stream that has joined, and message its
// first message; 0 means that its number is not known.
func (s *stream) begin(now clock.Time, n, message uint64) {
	s.expectFrom(n, message)
	s.startDecoding(n)
	s.report(now, false)
	s.arm(silenceEnd, now.Add(s.silence()))
	s.arm(senderDue, now.Add(s.askAfter()))
}

func (s *stream) expectFrom(n, message uint64) {
	s.due, s.next, s.highest, s.seen, s.abandoned.below, s.asking.tracked = n, n, n, n, n, n
	s.message, s.fresh = message, true
}

// evictStream makes room in a full table: of the streams that have ended, the one that was heard
// least recently goes.
func (p *Protocol) evictStream() bool {
	if p.ended == 0 {
		return false
	}
	var oldest *stream
	for _, s := range p.streams {
		if !s.state.open() && !s.paused && (oldest == nil || s.heard < oldest.heard) {
			oldest = s
		}
	}
	if oldest == nil {
		return false
	}
	if oldest.state == dormant {
		oldest.event(StreamLeft)
	}
	p.remove(oldest)
	return true
}

// remove takes a stream that has ended out of every table.
func (p *Protocol) remove(s *stream) {
	if k := (streamKey{s.from, s.id}); p.known[k] == s {
		delete(p.known, k)
	}
	if p.last == s {
		p.last = nil
	}
	if p.expected.stream == s {
		p.expected.stream = nil
	}
	for i := range p.late {
		if p.late[i].stream == s {
			p.late[i].stream = nil
		}
	}
	if s.assembling {
		s.lose(s.message, core.LossSenderGone) // its other parts will not come
	}
	p.schedule.remove(&s.scheduled)
	p.mended.forget(s)
	s.release()
	p.ended--
	i := slices.Index(p.streams, s)
	p.streams = slices.Delete(p.streams, i, i+1)
}

// wantedSince is the time since which this member receives a lane; ok is false where it does not
// want the lane.
func (p *Protocol) wantedSince(lane uint16) (since clock.Time, ok bool) {
	if p.cfg.Wanted == nil {
		return p.created, true
	}
	since, ok = p.cfg.Wanted(lane)
	return max(since, p.created), ok
}
