package nack

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

const (
	// A receiver reports at least so often. With many receivers each reports more rarely, so that a
	// sender gets about statusesPerSecond in all.
	statusEvery       = 100 * time.Millisecond
	statusesPerSecond = 2000
	statusEach        = time.Second / statusesPerSecond
	// statusSpread spreads the first reports of receivers that notice a stream in one moment,
	// and those that a sender of a large group asks for.
	statusSpread = 500 * time.Microsecond
	spreadEach   = 50 * time.Microsecond
	echoLongest  = time.Second // an older heartbeat is not echoed any more
	// leastRoom is the part of its window that every stream is granted, whatever others hold.
	leastRoom = 16
)

// status decides when a receiver reports: so often that the sender need not wait, and
// now and then to show that it lives.
type status struct {
	queued bool
	limit  uint64 // last reported

	every     uint64 // bytes of datagrams, with overhead, from one report to the next
	received  uint64 // since the last report
	datagrams int

	echo   uint64 // of the last heartbeat
	echoAt clock.Time
	sent   clock.Time // the last report
	lapsed clock.Time // when the first report left after a pause in which the sender evicted this receiver; 0: never
	missed uint64
	gone   uint64
}

// report puts a status in line: at once, or soon, spread over receivers.
func (s *stream) report(now clock.Time, atOnce bool) {
	st := &s.status
	if s.own || st.queued {
		return
	}
	if st.every == 0 {
		room := s.p.cfg.Room
		if room <= 0 {
			room = defaultRoom
		}
		window := s.windowSize() * cost(s.p.cfg.Datagram)
		st.every = max(min(uint64(room), window)/4, 2*cost(s.p.cfg.Datagram))
	}
	if atOnce {
		if !s.nack {
			st.received = 0 // its sender does not wait for reports
			return
		}
		st.queued = true
		s.p.queue(control{kind: sendStatus, stream: s})
		return
	}
	spread := max(statusSpread, min(time.Duration(s.group.receivers)*spreadEach, statusEvery))
	at := now.Add(time.Duration(s.p.cfg.Rand.Int64N(int64(spread))))
	if at < s.timers[statusDue] {
		s.arm(statusDue, at)
	}
}

// sendStatus reports: it is time.
func (s *stream) sendStatus(now clock.Time) {
	st := &s.status
	if !st.queued {
		st.queued = true
		s.p.queue(control{kind: sendStatus, stream: s})
	}
	every := max(statusEvery, min(time.Duration(s.group.receivers)*statusEach, s.p.cfg.Eviction/3))
	s.arm(statusDue, now.Add(every*3/4+time.Duration(s.p.cfg.Rand.Int64N(int64(every/2)))))
}

// askHeartbeat queues a report that its sender answers with a heartbeat: one without an echo.
func (s *stream) askHeartbeat() {
	st := &s.status
	st.echo = 0
	if !st.queued {
		st.queued = true
		s.p.queue(control{kind: sendStatus, stream: s})
	}
}

// evicted reports whether the sender has evicted this receiver in the last moments, because no report
// came from it for Config.Eviction: it did not run, or could not send.
func (s *stream) evicted(now clock.Time) bool {
	st, longest := &s.status, s.p.cfg.Eviction
	return st.sent != 0 && now.Sub(st.sent) >= longest || st.lapsed != 0 && now.Sub(st.lapsed) < longest
}

// limit is the lowest datagram that there is no room for: what lies in the window, as far as there
// are buffers to keep it, or a little more while it is delivered at once and takes none.
func (s *stream) limit() uint64 {
	room := s.grant()
	if !s.paused {
		room = max(room, s.p.window/leastRoom)
	}
	return min(s.due+s.windowSize(), max(s.seen, s.next)+uint64(room))
}

// appendStatus writes a report. After the farewell there is none: it would make a receiver of
// this member again.
func (s *stream) appendStatus(now clock.Time, mem []byte) ([]byte, buf.Endpoint) {
	st := &s.status
	st.queued = false
	if !s.state.open() || s.p.closed {
		return nil, 0
	}
	st.received, st.datagrams = 0, 0
	st.limit = s.limit()
	s.p.stats.StatusesSent++
	if st.sent != 0 && now.Sub(st.sent) >= s.p.cfg.Eviction {
		st.lapsed = now
	}
	st.sent = now
	held := now.Sub(st.echoAt)
	if held > echoLongest {
		st.echo, held = 0, 0 // too old to measure the round trip with
	}
	mem = wire.AppendHeader(mem, s.p.header(s.id))
	return wire.AppendStatus(mem, wire.Status{
		Origin: s.from, OriginIncarnation: s.incarnation,
		Next: s.next, Highest: max(s.highest, s.next), Limit: max(st.limit, s.next),
		Room: uint32(min(max(s.p.cfg.Room, 0), 1<<31)),
		Echo: st.echo, Held: uint32(held),
		Missed: s.decoding.lost(st.missed), Gone: st.gone,
	}), s.endpoint
}
