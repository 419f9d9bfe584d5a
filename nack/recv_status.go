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
	echoLongest  = 2 * time.Second // an older heartbeat is not echoed any more
	// leastEvery bytes come between two reports, whatever the sender asks for.
	leastEvery = 16 << 10
	// leastRoom is the part of its window that every stream is granted, whatever others hold.
	leastRoom = 16
	// An idle stream's receiver reports ever more rarely: after idleReports reports that say the same each mean pause
	// is twice the one before, up to idlePause. One is lost now and then, so that several are as close together as
	// ever. A pause varies by a quarter, so that none is longer than longestPause.
	idleReports = 5
	idlePause   = longestPause * 4 / 5
	// missingEvery is the least time between reports because something is missing.
	missingEvery = 10 * time.Millisecond
	missingSoon  = time.Millisecond // NAKs leave first
	// A receiver may be silent for so many halves of the pause that it gave.
	pauseHalves = 7
)

// status decides when a receiver reports: so often that the sender need not wait, and
// now and then to show that it lives.
type status struct {
	queued bool
	limit  uint64 // last reported

	every     uint64 // bytes of datagrams, with overhead, from one report to the next
	asked     uint32 // what the sender asked for; 0: nothing
	repaired  uint32 // datagrams, for who looks
	received  uint64 // since the last report
	datagrams int
	ahead     int // of datagrams: none that came, so that the next one is enough for a report

	echo   uint64 // of the last heartbeat
	echoAt clock.Time
	sent   clock.Time // the last report
	lapsed clock.Time // when the first report left after a pause in which the sender evicted this receiver; 0: never
	out    clock.Time // when the sender last said that it has evicted this receiver for its slowness; 0: never
	missed uint64
	gone   uint64

	arrived uint64 // bytes of datagrams that came up to the last report, and of what received does not count

	rare     bool          // the sender lets reports become rare
	idle     uint8         // reports in a row that said the same
	next     uint64        // in the last of them
	pause    time.Duration // the mean time to the next one, once they are rare
	promised time.Duration // the last report said that the next comes no later; 0: it said nothing
}

// resting reports whether the stream's reports have become rare.
func (st *status) resting() bool { return st.idle > idleReports }

// longest is how long the sender bears this receiver's silence.
func (s *stream) longest() time.Duration {
	return max(s.p.cfg.Eviction, s.status.promised*pauseHalves/2)
}

// busy ends the rest of an idle stream, if there is one: its reports are as frequent as ever again.
func (s *stream) busy(now clock.Time) {
	if st := &s.status; st.resting() {
		st.idle, st.datagrams, st.ahead = 0, st.datagrams-st.ahead, 0
		if at := now.Add(time.Duration(s.p.cfg.Rand.Int64N(int64(s.statusEvery())))); at < s.timers[statusDue] {
			s.arm(statusDue, at)
		}
	}
}

// full reports at once: as much has come as a report waits for. Of an idle stream any datagram is as much.
func (s *stream) full(now clock.Time) {
	if st := &s.status; st.resting() {
		if s.busy(now); st.received < st.every {
			return
		}
	}
	s.report(now, true)
}

// report puts a status in line: at once, or soon, spread over receivers.
func (s *stream) report(now clock.Time, atOnce bool) {
	st := &s.status
	if s.own || st.queued {
		return
	}
	if st.every == 0 {
		s.reportEach(0)
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

// reportEach sets how many bytes come between two reports: those that the sender asked for, or 0, and no more than a
// quarter of what there is room for.
func (s *stream) reportEach(asked uint32) {
	st := &s.status
	st.asked = asked
	room := s.p.cfg.Room
	if room <= 0 {
		room = defaultRoom
	}
	room = min(room, int(s.windowSize()*cost(s.p.cfg.Datagram)))
	st.every = max(uint64(room)/4, 2*cost(s.p.cfg.Datagram))
	if asked != 0 {
		st.every = min(st.every, max(uint64(asked), leastEvery))
	}
}

// sendStatus reports: it is time.
func (s *stream) sendStatus(now clock.Time) {
	st := &s.status
	if !st.queued {
		st.queued = true
		s.p.queue(control{kind: sendStatus, stream: s})
	}
	every := s.statusPause()
	s.arm(statusDue, now.Add(every*3/4+time.Duration(s.p.cfg.Rand.Int64N(int64(every/2)))))
}

// statusEvery is the mean time between reports of a stream that is not idle.
func (s *stream) statusEvery() time.Duration {
	return max(statusEvery, min(time.Duration(s.group.receivers)*statusEach, s.p.cfg.Eviction/3))
}

// statusPause is the mean time to the next report.
func (s *stream) statusPause() time.Duration {
	st, every := &s.status, s.statusEvery()
	quiet := s.state == live && !s.paused && s.held == 0 && s.due == s.highest
	if !st.rare || !quiet || s.next != st.next {
		st.idle, st.next = 0, s.next
		return every
	}
	if st.resting() {
		st.pause = min(2*st.pause, max(idlePause, every))
		return st.pause
	}
	if st.idle++; st.resting() {
		// The reports of many receivers of many streams that fell idle at one moment stay spread.
		st.pause = every + time.Duration(s.p.cfg.Rand.Int64N(int64(every)))
		return st.pause
	}
	return every
}

// promise is no less than the time to the next report. Where that one is lost, the one behind it still comes within
// pauseHalves.
func (st *status) promise() time.Duration { return min(st.pause*5/4, longestPause) }

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
	return st.sent != 0 && now.Sub(st.sent) >= s.longest() || st.lapsed != 0 && now.Sub(st.lapsed) < longest
}

// outFor is how long what the sender said of an eviction counts: it says so each tellEvery, and some of that is lost.
const outFor = 10 * time.Second

// castOut notes that the sender waits for this receiver no more, since it held the stream up.
func (s *stream) castOut(now clock.Time) {
	if !s.isOut(now) {
		s.event(StreamEvicted)
	}
	s.status.out = now
}

// isOut reports whether the sender has evicted this receiver for its slowness.
func (s *stream) isOut(now clock.Time) bool {
	return s.status.out != 0 && now.Sub(s.status.out) < outFor
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

// lacks reports soon, where datagrams are missing: the sender's pace may have to follow what arrives.
func (s *stream) lacks(now clock.Time) {
	every := max(missingEvery, time.Duration(s.group.receivers)*statusEach)
	if at := max(s.status.sent.Add(every), now.Add(missingSoon)); s.nack && at < s.timers[statusDue] {
		s.arm(statusDue, at)
	}
}

// clockOf is when a report says what arrived, where it does.
func clockOf(s *stream, now clock.Time) uint64 {
	if s.status.arrived == 0 {
		return 0
	}
	return uint64(now)
}

// appendStatus writes a report. After the farewell there is none: it would make a receiver of
// this member again.
func (s *stream) appendStatus(now clock.Time, mem []byte) ([]byte, buf.Endpoint) {
	st := &s.status
	st.queued = false
	if !s.state.open() || s.p.closed {
		return nil, 0
	}
	st.arrived += st.received - min(st.received, uint64(st.datagrams-st.ahead)*skbOverhead)
	st.received, st.datagrams, st.ahead = 0, 0, 0
	st.limit = s.limit()
	s.p.stats.StatusesSent++
	if st.sent != 0 && now.Sub(st.sent) >= s.longest() {
		st.lapsed = now
	}
	st.sent, st.promised = now, 0
	if st.resting() {
		st.datagrams, st.ahead = s.p.window, s.p.window // the next datagram ends the rest
		st.promised = st.promise()
	}
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
		Pause: uint32(st.promised / time.Microsecond), Arrived: st.arrived, Clock: clockOf(s, now),
		Every: uint32(min(st.every, 1<<31)), NoGroup: s.ways.only,
	}), s.endpoint
}
