package nack

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

const (
	beatMin     = 50 * time.Microsecond // from the last datagram to the first heartbeat
	beatGrowth  = 3                     // each pause is so many times the one before
	beatSlow    = 100 * time.Millisecond
	beatMax     = 250 * time.Millisecond // between heartbeats of an idle stream,
	beatRest    = time.Second            // and of one that has been idle for restAfter, where all receivers know of it
	restAfter   = time.Minute
	beatBlocked = 20 * time.Millisecond // while a receiver's report is waited for
	beatUnasked = 5 * time.Millisecond  // the first one of BestEffort
	beatsSoon   = 3                     // heartbeats in the first soon after a datagram
	soon        = time.Millisecond

	// A stream sends at most the larger of 100 heartbeats, and a tenth of its datagrams, a
	// second. The bucket fills a little more slowly, so that its depth fits as well.
	beatRate  = 90
	beatShare = 0.09
	beatDepth = 10
	beatSpare = 3 // of these stay for single receivers: those to the group would take all in a stream of single messages

	// With up to askAll receivers every quick heartbeat asks for statuses.
	askAll = 4

	startEvery  = 2 * time.Millisecond // from the first Start to the second
	startCopies = 5
)

// beat decides when a sender announces what it holds: soon after the last datagram of a burst, since
// a receiver that lost that one cannot notice it, then ever more slowly. It also sends the
// stream's Start a few times.
type beat struct {
	wait   time.Duration // from the next heartbeat to the one after it
	last   clock.Time    // when a datagram was sent
	pace   time.Duration // between datagrams, smoothed, of a stream that sends quickly
	since  int           // heartbeats after the last datagram
	queued bool
	ask    bool // the queued one wants statuses

	data   meter
	budget bucket

	startWait time.Duration
	starts    int
}

func (b *beat) init(s *Sender, now clock.Time) {
	b.budget = bucket{tokens: beatDepth, last: now}
	b.data.at = now
	b.last = now
	b.startWait = startEvery
	b.wait = beatMin
	s.arm(heartbeatDue, now.Add(startFor))
	b.start(s, now)
}

// sent notes that a datagram left.
func (b *beat) sent(s *Sender, now clock.Time) {
	b.data.add(now, 1)
	if d := now.Sub(b.last); d < soon/2 {
		b.pace += (d - b.pace) / 8
	} else if d >= statusEvery {
		s.flow.wake(now)
	}
	b.last, b.since = now, 0
	b.wait = b.quick(s)
	s.arm(heartbeatDue, now.Add(b.wait))
}

// quick is the time from a datagram to its first heartbeat. In a steady stream the next datagram
// shows as much, so the heartbeat waits until that one is late.
func (b *beat) quick(s *Sender) time.Duration {
	if !s.nack {
		return beatUnasked
	}
	d := beatMin
	if !s.flow.stale {
		trip := s.flow.measured
		if s.flow.usual != 0 { // who is slower is not waited for: a heartbeat in vain is cheaper
			trip = min(trip, s.flow.usual)
		}
		d = max(d, min(trip, soon))
	}
	return max(d, min(b.pace*3/2, soon/2))
}

// hurry brings the next heartbeat forward: flow control holds data back.
func (b *beat) hurry(s *Sender, now clock.Time) {
	if at := now.Add(b.quick(s)); at < s.timers[heartbeatDue] {
		b.wait = b.quick(s)
		s.arm(heartbeatDue, at)
	}
}

// take spends a token of the heartbeat budget, in which so many have to stay.
func (b *beat) take(now clock.Time, stay float64) (at clock.Time, ok bool) {
	rate := max(beatRate, beatShare*b.data.perSecond(now))
	return b.budget.takeAbove(now, rate, beatDepth, stay)
}

// send queues a heartbeat, within the budget.
func (b *beat) send(s *Sender, now clock.Time, ask bool) (at clock.Time, ok bool) {
	if b.since >= beatsSoon && now.Sub(b.last) < soon {
		return b.last.Add(soon), false
	}
	if at, ok = b.take(now, beatSpare); !ok {
		return at, false
	}
	b.since++
	b.ask = b.ask || ask
	if !b.queued {
		b.queued = true
		s.p.queue(control{kind: sendHeartbeat, sender: s})
	}
	return now, true
}

// probe queues a heartbeat for one receiver that wants its status, within the budget. Without one it returns when.
func (b *beat) probe(s *Sender, now clock.Time, to buf.Endpoint) (at clock.Time, ok bool) {
	if b.since >= beatsSoon && now.Sub(b.last) < soon {
		return b.last.Add(soon), false
	}
	if at, ok = b.take(now, 0); ok {
		b.since++
		s.p.queue(control{kind: sendProbe, sender: s, to: to})
	}
	return at, ok
}

// start sends a Start, and has the next one sent later.
func (b *beat) start(s *Sender, now clock.Time) {
	s.p.queue(control{kind: sendStart, sender: s})
	if b.starts++; b.starts < startCopies {
		s.arm(startDue, now.Add(b.startWait))
		b.startWait *= beatGrowth
	}
}

// fire sends the heartbeat that is due, if it has anything new.
func (b *beat) fire(s *Sender, now clock.Time) {
	held := s.flow.blocked && (s.sent < s.next || s.unreported())
	if b.wait < beatSlow && !held && s.nack && s.joined() > 0 && s.Acknowledged() {
		// All receivers have everything: there is nothing to find out.
		b.wait = beatSlow
		s.arm(heartbeatDue, now.Add(b.wait))
		return
	}
	if held && s.joined() > askAll {
		b.askSlowest(s, now)
	} else if at, ok := b.send(s, now, held || s.nack && s.joined() <= askAll && !s.Acknowledged()); !ok {
		s.arm(heartbeatDue, max(at, now+1))
		return
	}
	longest := beatMax
	switch {
	case held || s.nack && s.joined() > 0 && !s.Acknowledged():
		longest = beatBlocked // a receiver may lack the tail, and not have noticed
	case now.Sub(b.last) >= restAfter && s.flow.rests():
		longest = beatRest
	}
	b.wait = min(b.wait*beatGrowth, longest)
	s.arm(heartbeatDue, now.Add(b.wait))
}

// rouse ends the rest of an idle stream's heartbeats: a receiver may count on them.
func (b *beat) rouse(s *Sender, now clock.Time) {
	if b.wait > beatMax {
		b.wait = beatMax
		s.arm(heartbeatDue, min(s.timers[heartbeatDue], now.Add(beatMax)))
	}
}

// askSlowest asks those that hold the stream up, and not all of a large group.
func (b *beat) askSlowest(s *Sender, now clock.Time) {
	s.flow.update()
	asked := 0
	for i := range s.receivers {
		r := &s.receivers[i]
		if r.new.is {
			continue
		}
		if r.limit == s.flow.limit || r.highest == s.flow.highest || r.next == s.flow.next {
			b.probe(s, now, r.endpoint)
			if asked++; asked == askAll {
				return
			}
		}
	}
}

// appendHeartbeat writes the queued heartbeat.
func (s *Sender) appendHeartbeat(now clock.Time, mem []byte) []byte {
	s.beat.queued = false
	ask := s.beat.ask
	s.beat.ask = false
	return s.writeHeartbeat(now, mem, ask, false)
}

// appendProbe writes a heartbeat for one receiver, which may be evicted.
func (s *Sender) appendProbe(now clock.Time, mem []byte, evicted bool) []byte {
	return s.writeHeartbeat(now, mem, true, evicted)
}

func (s *Sender) writeHeartbeat(now clock.Time, mem []byte, ask, evicted bool) []byte {
	s.flow.findUsual(now)
	pause := beatMax
	if s.beat.wait > beatMax {
		pause = beatRest
	}
	mem = wire.AppendHeartbeat(wire.AppendHeader(mem, s.header), wire.Heartbeat{
		First: s.first, Last: s.sent - 1,
		FirstMessage: s.messageAt(s.first), NextMessage: s.messageAt(s.sent),
		SentAt:    uint64(now),
		RoundTrip: uint32(min(s.flow.measured, rttMax)), Receivers: uint32(s.joined()),
		WantStatus: ask, Pause: uint32(pause / time.Microsecond), Evicted: evicted, Every: s.askEvery(), UsualTrip: uint32(s.flow.usualTrip()),
	})
	if s.beginning(now) {
		mem = wire.AppendStart(mem, s.startFrame(now))
	}
	s.newcomers.note(now)
	s.stats.Heartbeats++
	s.p.stats.Heartbeats++
	return mem
}

func (s *Sender) appendStart(now clock.Time, mem []byte) []byte {
	s.p.stats.Starts++
	return wire.AppendStart(wire.AppendHeader(mem, s.header), s.startFrame(now))
}
