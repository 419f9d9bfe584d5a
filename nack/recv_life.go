package nack

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

const (
	silences = 3   // a stream falls dormant after so many times Config.Eviction,
	quietest = 12  // and no earlier than after so many of its sender's pauses
	graceMin = 2e6 // ns that datagrams may come later than the farewell, or the heartbeat, sent after them
)

// announced is what heartbeats and a farewell said of a stream's end, and what is done with it
// later.
type announced struct {
	tail        uint64 // BestEffort: what is missing below it is given up at tailEnd
	tailMessage uint64
	farewell    uint64 // the message after the last one; 0: not known
	jump        uint64 // a heartbeat far ahead is believed when a second one confirms it
	end         uint64 // NACK: the datagram after the last one that a heartbeat announced,
	endMessage  uint64 // and its first message
	jumpAt      uint64 // when the first one was sent
}

// streamTimer names one deadline of a stream.
type streamTimer uint8

const (
	tailEnd      streamTimer = iota // BestEffort: what a heartbeat announced is given up
	farewellEnd                     // a farewell has come: what is missing is given up
	senderDue                       // nothing has come for a while: the sender is asked
	silenceEnd                      // nothing has come for long: what the stream holds is given back
	burial                          // an ended stream is forgotten
	statusDue                       // the next report
	nakDue                          // no gap is due earlier
	streamTimers                    // their number
)

// arm sets a deadline.
func (s *stream) arm(t streamTimer, at clock.Time) {
	s.timers[t] = at
	s.p.sooner(&s.scheduled, at)
}

// tick fires the deadlines that have come. Only here something happens because time has passed:
// what comes from the network or from Sink arms a deadline, so nothing fires in the middle of a
// step. Each deadline is taken out before it fires; one that is armed meanwhile fires in the next
// tick.
func (s *stream) tick(now clock.Time) {
	late := now.Sub(s.at)
	due := s.timers
	for t, at := range due {
		if at <= now && s.timers[t] == at {
			s.timers[t] = never
			s.expire(now, streamTimer(t), late)
		}
	}
	if s.place == 0 {
		return // it was removed
	}
	at := never
	for _, t := range s.timers {
		at = min(at, t)
	}
	s.p.schedule.set(&s.scheduled, at)
}

// expire does what a deadline asks for, late after the first of the stream's deadlines.
func (s *stream) expire(now clock.Time, t streamTimer, late time.Duration) {
	switch t {
	case tailEnd:
		s.busy(now)
		s.abandon(s.announced.tail, s.announced.tailMessage, core.LossUnrepaired)
		s.drain(now)
	case farewellEnd:
		s.end(now, left)
	case senderDue:
		s.askSender(now, late)
	case silenceEnd:
		switch {
		case now.Sub(s.heard) < s.silence():
		case late > s.silence()/4:
			s.heard = now // this member did not run, so it could not receive anything
		default:
			s.end(now, dormant)
			return
		}
		s.arm(silenceEnd, s.heard.Add(s.silence()))
	case burial:
		s.p.remove(s)
	case statusDue:
		s.sendStatus(now)
	case nakDue:
		if late >= s.p.cfg.RepairTimeout/16 {
			s.stoodStill(late)
		}
		s.sendNak(now)
	}
}

// stepStart takes in a Start. A receiver that was here before the stream began starts at its
// beginning, so that early losses are repaired. A receiver that came later waits for data or a
// heartbeat.
func (p *Protocol) stepStart(now clock.Time, d *wire.Datagram, st *wire.Start, r buf.Received) error {
	s, err := p.lookUp(now, d)
	if err != nil {
		return err
	}
	differs := int(st.Lanes) != p.cfg.Lanes
	if differs && p.cfg.OtherLanes != nil {
		p.cfg.OtherLanes(d.Transmitter, int(st.Lanes))
	}
	if s != nil {
		s.endpoint = r.From
		s.compare(differs)
		s.hear(now)
		return nil
	}
	if since, _ := p.wantedSince(d.Stream.Lane()); uint64(now.Sub(since)) < st.Age {
		return nil
	}
	if s, err = p.join(now, d, r.From); err != nil {
		return err
	}
	s.compare(differs)
	s.begin(now, st.First, st.FirstMessage)
	s.fresh = false
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
	if s.status.resting() && now.Sub(s.heard) >= s.p.cfg.Eviction+s.within-beatMax {
		s.status.lapsed = now // if the stream has gone on meanwhile, the sender waited for a report
	}
	s.heard = now
	if s.state != live {
		s.wake(now)
	}
}

// wake makes a silent or dormant stream live again.
func (s *stream) wake(now clock.Time) {
	was := s.state
	s.state = live
	s.event(StreamResumed)
	s.busy(now)
	s.arm(senderDue, now.Add(s.askAfter()))
	if was == silent {
		return
	}
	s.p.ended--
	s.startDecoding(max(s.highest, s.seen))
	s.arm(statusDue, now)
	s.arm(silenceEnd, now.Add(s.silence()))
}

// A sender that is idle sends a heartbeat each beatMax, or as rarely as the last one said. When nothing has come for
// 1.6 such pauses, the sender is asked, askTimes times, once each 0.4 pauses. Its stream is reported as silent when there
// is no answer. With 5 % loss both ways that happens without cause once in 10^8 silences; of a sender that is killed it
// is reported after at most 3.2 pauses, 0.8 s as a rule.
const (
	askAfter = 8 // fifths of a pause
	askEvery = 2
	askTimes = 4
)

// fifths is so many fifths of the longest time to the next sign of life.
func (s *stream) fifths(n int) time.Duration { return s.within * time.Duration(n) / 5 }

func (s *stream) askAfter() time.Duration { return s.fifths(askAfter) }

// expect notes after how long the next sign of life comes at the latest.
func (s *stream) expect(now clock.Time, pause time.Duration) {
	pause = min(max(pause, beatMax), beatRest)
	sooner := pause < s.within
	if s.within = pause; !sooner || s.state != live {
		return
	}
	s.arm(senderDue, min(s.timers[senderDue], now.Add(s.askAfter())))
	s.arm(silenceEnd, min(s.timers[silenceEnd], now.Add(s.silence())))
}

// askSender asks the sender whether it is still there, late after that was due.
func (s *stream) askSender(now clock.Time, late time.Duration) {
	at, every := s.heard.Add(s.askAfter()), s.fifths(askEvery)
	switch {
	case s.state != live:
		return
	case now < at: // it was heard meanwhile
		s.asks = 0
	case late > every/2: // this member did not run, so it could not receive anything
		s.asks = 0
		at = now.Add(s.askAfter())
	case s.asks < askTimes:
		s.asks++
		s.askHeartbeat()
		at = now.Add(every)
	default:
		s.asks = 0
		s.state = silent
		s.event(StreamSilent)
		return
	}
	s.arm(senderDue, at)
}

// event reports what has become of this stream.
func (s *stream) event(kind EventKind) { s.p.event(kind, s.from, s.endpoint, s.id) }

// stepHeartbeat takes in a heartbeat. A stream that becomes known in this way begins at the
// present: with the datagram after the last one.
func (p *Protocol) stepHeartbeat(now clock.Time, d *wire.Datagram, h *wire.Heartbeat, r buf.Received) error {
	s, err := p.lookUp(now, d)
	if err != nil {
		return err
	}
	if s == nil {
		if s, err = p.join(now, d, r.From); err != nil {
			return err
		}
		s.group = groupOf(h)
		s.begin(now, h.Last+1, h.NextMessage)
	}
	if h.Last+1 < s.seen { // data overtook it
		if r.Group || h.SentAt <= s.status.echo {
			return p.drop(DropStale)
		}
		// What comes by unicast is read later than what comes through the group. The next report echoes it.
		p.stats.HeartbeatsHeard++
		s.status.echo, s.status.echoAt = h.SentAt, now
		return nil
	}
	s.endpoint = r.From
	if r.Group {
		s.ways.cameByGroup(now)
	} else {
		s.cameDirect(now)
	}
	p.stats.HeartbeatsHeard++
	s.hear(now)
	s.heartbeat(now, h)
	return nil
}

// heartbeat takes in one heartbeat of this stream, which counts all data that came.
func (s *stream) heartbeat(now clock.Time, h *wire.Heartbeat) {
	s.status.echo, s.status.echoAt = h.SentAt, now
	fewer := h.Receivers < s.group.receivers
	s.group = groupOf(h)
	s.expect(now, time.Duration(h.Pause)*time.Microsecond)
	if s.status.rare = h.Pause != 0; fewer && s.status.resting() {
		s.report(now, false) // the sender may have evicted this one
	}
	if h.Every != s.status.asked {
		s.reportEach(h.Every)
	}
	if h.WantStatus {
		s.report(now, s.nack && s.group.receivers <= askAll)
	}
	if h.Evicted {
		s.castOut(now)
	}
	why := core.LossRetention
	if h.First > s.due+s.windowSize() {
		// Far behind: the sender went on without this receiver. A single heartbeat may be forged.
		if a := &s.announced; a.jump == 0 || h.First < a.jump || h.SentAt == a.jumpAt {
			a.jump, a.jumpAt = h.First, h.SentAt
			s.report(now, false)
			return
		}
		s.event(StreamReset)
		why = core.LossReset
	} else if s.nack && (s.evicted(now) || s.isOut(now)) {
		why = core.LossReset
	}
	s.announced.jump = 0
	if h.First > s.next {
		s.busy(now)
		s.abandon(h.First, h.FirstMessage, why)
		s.drain(now)
	}
	end := min(h.Last+1, s.due+s.windowSize())
	if s.next == s.highest && s.due == s.next {
		s.startDecoding(s.next) // another stream may have given its decoder back
	}
	if !s.nack {
		if end > s.next && (s.timers[tailEnd] == never || end > s.announced.tail) {
			s.announced.tail, s.announced.tailMessage = h.Last+1, h.NextMessage
			s.arm(tailEnd, now.Add(s.grace()))
		}
		return
	}
	s.decoding.noteTail(now, s, h)
	s.announced.end, s.announced.endMessage = h.Last+1, h.NextMessage
	s.tellTail(now, h)
	if end < s.highest && end >= s.seen {
		// An earlier one announced datagrams that do not exist.
		s.highest = max(s.seen, s.next, end)
		s.asking.gaps.above(s.highest)
		s.asking.tracked = min(s.asking.tracked, s.highest)
		return
	}
	if end > s.highest {
		s.highest = end
		s.notice(now)
	}
}

// tellTail reports what was given up at the end of the stream in messages, as soon as their numbers are known.
func (s *stream) tellTail(now clock.Time, h *wire.Heartbeat) {
	if s.abandoned.below == h.Last+1 && s.due == s.abandoned.below && s.missing > 0 && s.abandoned.message == 0 {
		s.abandoned.message = h.NextMessage
		s.drain(now)
	}
}

// leave takes in the sender's farewell. What is on its way gets a moment to arrive.
func (s *stream) leave(now clock.Time, l *wire.Leave) {
	if s.state == left || s.timers[farewellEnd] != never {
		return
	}
	s.announced.farewell = 0
	if s.state.open() && l.Last+1 >= s.seen && l.Last+1 <= s.due+s.windowSize() {
		s.announced.farewell = l.NextMessage
		s.highest = max(s.highest, l.Last+1)
		s.notice(now) // the sender may still answer
	}
	s.arm(farewellEnd, now.Add(s.grace()))
}

// end abandons all that is missing: the sender is gone. What the stream holds is given back.
func (s *stream) end(now clock.Time, state streamState) {
	was := s.state
	if was.open() {
		s.p.ended++
	}
	s.state = state
	for t := range s.timers {
		s.timers[t] = never
	}
	s.abandon(s.highest, s.announced.farewell, core.LossSenderGone)
	if s.announced.farewell != 0 && s.abandoned.below == s.highest && s.abandoned.message == 0 {
		s.abandoned.message = s.announced.farewell
	}
	s.announced.farewell = 0
	s.stopDecoding()
	s.drain(now)
	if s.state == left && s.due >= s.highest && s.skipped == 0 && s.assembling {
		s.lostBelow(s.message + 1) // its other parts will not come
	}
	if !s.assembling {
		s.p.assemblies.release(s)
	}
	if s.held == 0 {
		s.p.slots.free(&s.window)
	}
	switch {
	case state == left:
		s.event(StreamLeft)
	case was == live:
		s.event(StreamSilent)
	}
}

// bury has an ended stream forgotten when nothing of it can be on its way any more. Until then a
// datagram that comes late is recognised; a newer incarnation does that as well.
func (s *stream) bury(now clock.Time) {
	s.buried = true
	at := s.heard.Add(s.silence())
	if s.p.known[streamKey{s.from, s.id}] != s {
		at = now
	}
	s.arm(burial, at)
}

// grace is how long datagrams are waited for that were sent before a farewell or a heartbeat.
func (s *stream) grace() time.Duration {
	return max(4*s.asking.rtt.Value(0), 4*min(s.group.rtt, rttMax), graceMin)
}

// silence is after how long without a sign of life a stream falls dormant.
func (s *stream) silence() time.Duration { return max(silences*s.p.cfg.Eviction, quietest*s.within) }
