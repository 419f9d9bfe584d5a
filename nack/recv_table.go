package nack

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// streamKey names a stream among those that are received. Of one member only one incarnation is
// heard at a time.
type streamKey struct {
	from wire.MemberID
	id   wire.StreamID
}

// stream finds the stream of a datagram's transmitter; it is nil when it is not known yet. An
// incarnation that is newer than the known one ends that one.
func (p *Protocol) stream(now clock.Time, d *wire.Datagram) (*stream, error) {
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
	s.buried = s.buried || s.due >= s.highest
}

// join makes a new stream known, if it is wanted and there is room for it.
func (p *Protocol) join(now clock.Time, d *wire.Datagram, from buf.Endpoint) (*stream, error) {
	if _, ok := p.here(d.Stream.Lane()); !ok {
		return nil, p.drop(DropLane)
	}
	if len(p.streams) >= p.cfg.MaxStreams && !p.evictStream(now) {
		return nil, p.drop(DropStreams)
	}
	s := &stream{
		p: p, from: d.Transmitter, incarnation: d.Incarnation, id: d.Stream, endpoint: from,
		nack:  d.Stream.Protocol() == wire.NACK || d.Stream.Protocol() == wire.Hybrid,
		heard: now, at: never, nakAt: never,
	}
	p.known[streamKey{s.from, s.id}] = s
	p.streams = append(p.streams, s)
	p.event(StreamStarted, s.from, s.id)
	return s, nil
}

// evictStream makes room in a full table: the stream that has ended and been silent longest goes.
func (p *Protocol) evictStream(clock.Time) bool {
	var oldest *stream
	for _, s := range p.streams {
		if s.state != live && !s.paused && (oldest == nil || s.heard < oldest.heard) {
			oldest = s
		}
	}
	if oldest == nil {
		return false
	}
	oldest.state, oldest.buried = left, true
	if k := (streamKey{oldest.from, oldest.id}); p.known[k] == oldest {
		delete(p.known, k)
	}
	p.bury()
	return true
}

// bury removes streams that are over and out of every table but the list.
func (p *Protocol) bury() {
	keep := p.streams[:0]
	for _, s := range p.streams {
		if s.buried && !s.paused && p.known[streamKey{s.from, s.id}] != s {
			s.release()
			if p.last == s {
				p.last = nil
			}
			if p.expected.stream == s {
				p.expected.stream = nil
			}
			continue
		}
		keep = append(keep, s)
	}
	clear(p.streams[len(keep):])
	p.streams = keep
}

// here tells since when this member has heard a lane; ok is false where it does not want to.
func (p *Protocol) here(lane uint16) (since clock.Time, ok bool) {
	if p.cfg.Wanted == nil {
		return p.created, true
	}
	since, ok = p.cfg.Wanted(lane)
	return max(since, p.created), ok
}
