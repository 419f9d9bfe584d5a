package nack

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// stepStart takes in a Start. Who was here before the stream began starts at its beginning, so
// that early losses are repaired; who came later waits for its data or a heartbeat.
func (p *Protocol) stepStart(now clock.Time, d *wire.Datagram, st *wire.Start, r buf.Received) error {
	s, err := p.stream(now, d)
	if err != nil {
		return err
	}
	differs := int(st.Lanes) != p.cfg.Lanes
	if differs && p.cfg.OtherLanes != nil {
		p.cfg.OtherLanes(d.Transmitter, int(st.Lanes))
	}
	if s != nil {
		s.compare(differs)
		s.hear(now)
		return nil
	}
	if here, _ := p.here(d.Stream.Lane()); uint64(now.Sub(here)) < st.Age {
		return nil
	}
	if s, err = p.join(now, d, r.From); err != nil {
		return err
	}
	s.compare(differs)
	s.joinAt(st.First, st.FirstMessage)
	s.fresh = false
	s.report(now, false)
	s.arm(now.Add(s.silence()))
	return nil
}

// compare counts a stream whose sender hashes over another number of lanes, once.
func (s *stream) compare(differs bool) {
	if differs && !s.differs {
		s.differs = true
		s.p.stats.LanesDiffer++
	}
}

// hear notes a sign of life.
func (s *stream) hear(now clock.Time) {
	s.heard = now
	if s.state == dormant {
		s.wake()
	}
}

func (s *stream) wake() {
	s.state = live
	s.p.event(StreamStarted, s.from, s.id)
	s.status.at = 0
	s.arm(s.heard)
}

// stepHeartbeat takes in a heartbeat. A stream that is heard of in this way begins at the
// present: with the datagram after the last one.
func (p *Protocol) stepHeartbeat(now clock.Time, d *wire.Datagram, h *wire.Heartbeat, r buf.Received) error {
	s, err := p.stream(now, d)
	if err != nil {
		return err
	}
	if s == nil {
		if s, err = p.join(now, d, r.From); err != nil {
			return err
		}
		s.joinAt(h.Last+1, h.NextMessage)
		s.group, s.groupRTT = h.Receivers, time.Duration(h.RoundTrip)
		s.report(now, false)
		s.arm(now.Add(s.silence()))
	}
	if h.Last+1 < s.seen {
		return p.drop(DropStale) // it was overtaken by data
	}
	p.stats.HeartbeatsHeard++
	s.hear(now)
	s.heartbeat(now, h)
	return nil
}

// heartbeat takes in one heartbeat of this stream, which tells of all that came.
func (s *stream) heartbeat(now clock.Time, h *wire.Heartbeat) {
	s.status.echo, s.status.echoAt = h.SentAt, now
	s.group, s.groupRTT = h.Receivers, time.Duration(h.RoundTrip)
	if h.WantStatus {
		s.report(now, s.group <= askAll)
	}
	if h.First > s.due+uint64(s.p.window) {
		// Far behind: the sender went on without us. One heartbeat that says so may be forged.
		if s.jump == 0 || h.First < s.jump || h.SentAt == s.jumpAt {
			s.jump, s.jumpAt = h.First, h.SentAt
			s.report(now, false)
			return
		}
		s.p.event(StreamReset, s.from, s.id)
	}
	s.jump = 0
	if h.First > s.next {
		s.giveUp(h.First, h.FirstMessage, core.LossRetention)
		s.drain(now)
	}
	end := min(h.Last+1, s.due+uint64(s.p.window))
	if !s.nack {
		if end > s.next && (s.tailAt == 0 || end > s.tail) {
			s.tail, s.tailMessage = h.Last+1, h.NextMessage
			s.tailAt = now.Add(s.grace())
			s.arm(s.tailAt)
		}
		return
	}
	if s.mend != nil && s.mend.alone {
		s.tellTail(now, h)
	}
	s.told = end
	if end < s.highest && end >= s.seen {
		// An earlier one told of datagrams that do not exist.
		s.highest = max(s.seen, s.next, end)
		s.gaps.above(s.highest)
		s.tracked = min(s.tracked, s.highest)
		return
	}
	if end > s.highest {
		s.highest = end
		s.notice(now)
	}
}

// leave takes in the sender's farewell. What is on its way gets a moment to arrive.
func (s *stream) leave(now clock.Time, l *wire.Leave) {
	if s.endAt != 0 || s.state != live || l.Last+1 < s.seen || l.Last+1 > s.due+uint64(s.p.window) {
		if s.state != left && s.endAt == 0 {
			s.endAt, s.endMessage = now.Add(s.grace()), 0
			s.arm(s.endAt)
		}
		return
	}
	s.highest = max(s.highest, l.Last+1)
	s.endAt, s.endMessage = now.Add(s.grace()), l.NextMessage
	s.notice(now) // the sender may still answer
	s.arm(s.endAt)
}

// end gives up all that is missing: the sender is gone.
func (s *stream) end(now clock.Time, state streamState) {
	s.state = state
	s.endAt, s.tailAt = 0, 0
	s.giveUp(s.highest, s.endMessage, core.LossSenderGone)
	if s.endMessage != 0 && s.gone == s.highest && s.goneMessage == 0 {
		s.goneMessage = s.endMessage
	}
	s.endMessage = 0
	s.drain(now)
	if s.state == left && s.due >= s.highest && s.skipped == 0 && s.assembling {
		s.lostBelow(s.message + 1) // its other parts will not come
	}
	if state == left {
		s.endMend()
	}
	s.p.event(StreamEnded, s.from, s.id)
}

func (s *stream) grace() time.Duration {
	return max(4*s.repair.value(0), 4*min(s.groupRTT, rttMax), graceMin)
}

func (s *stream) silence() time.Duration { return max(silences*s.p.cfg.Eviction, quietMin) }

// arm makes sure that tick comes no later than at.
func (s *stream) arm(at clock.Time) {
	if at < s.at {
		s.at = at
		s.p.arm(at)
	}
}

// tick fires the stream's deadlines.
func (s *stream) tick(now clock.Time) {
	late := time.Duration(0)
	if s.at != never {
		late = now.Sub(s.at)
	}
	s.at = never
	if s.state == left {
		if s.buried && now.Sub(s.heard) < s.silence() {
			s.arm(s.heard.Add(s.silence())) // until then what is late is known for what it is
		} else if s.buried {
			delete(s.p.known, streamKey{s.from, s.id})
		}
		return
	}
	if s.tailAt != 0 && now >= s.tailAt {
		s.tailAt = 0
		s.giveUp(s.tail, s.tailMessage, core.LossUnrepaired)
		s.drain(now)
	}
	if s.endAt != 0 && now >= s.endAt {
		s.end(now, left)
		return
	}
	if s.state == live && now.Sub(s.heard) >= s.silence() {
		if late > s.silence()/4 {
			s.heard = now // we did not run, so we could not hear
		} else {
			s.end(now, dormant)
		}
	}
	if s.state != live {
		return
	}
	s.arm(s.heard.Add(s.silence()))
	if s.tailAt != 0 {
		s.arm(s.tailAt)
	}
	if s.endAt != 0 {
		s.arm(s.endAt)
	}
	s.tickStatus(now)
	s.tickNak(now)
}
