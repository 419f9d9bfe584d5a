package nack

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// Sender is the sending half of one stream: it packs messages into datagrams, keeps these for
// repair and decides when which may leave. Its calls belong to the engine's thread.
//
// Datagrams are numbered from 1. At any time
//
//	first <= sent <= next
//
// and [first, sent) has been sent and is held for repair, [sent, next) is closed and waits to be
// sent, and next is the datagram that is being packed, or will be.
type Sender struct {
	p        *Protocol
	id       wire.StreamID
	header   wire.Header
	nack     bool      // repairs, and flow control
	encoding *encoding // under FEC and Hybrid; nil: no repair symbols
	datagram int       // largest data datagram, bytes
	lost     lost
	opened   clock.Time

	slots  []slot // slots[n&mask] for datagram n of [first, next]
	mask   uint64
	window uint64 // datagrams that may be held
	ahead  uint64 // datagrams that may be packed and not sent

	first, sent, next uint64
	message           uint64 // number of the next message
	cost              uint64 // of all datagrams up to next

	w        wire.DataWriter
	packing  bool // slot next has a buffer, which w fills
	claimed  bool
	flushing bool // what is being packed leaves as soon as nothing else waits
	claimLen int

	large   large
	repairs repairs
	pace    pace
	flow    flow
	limited core.LimitMeter
	beat    beat

	whole     clock.Time // until then the whole window stays: somebody who is not known, or was evicted or refused, may need it
	receivers []receiver // those that count, and newcomers
	newcomers newcomers
	index     map[wire.MemberID]int
	outcasts  map[wire.MemberID]*outcast // receivers that were evicted for their slowness; nil: there were none yet

	self     *stream // own messages, on their way to Sink; nil: not wanted
	selfNext uint64  // datagram

	busy bool // it is among Protocol.busy

	scheduled
	timers [senderTimers]clock.Time
	stats  SenderStats
}

// SenderStats counts what one Sender did.
type SenderStats struct {
	Messages     uint64
	Datagrams    uint64
	Repairs      uint64
	Heartbeats   uint64
	BackPressure uint64
	RoundTrip    time.Duration // the longest among receivers; 0: not known
	Receivers    int
}

// startFor and startDatagrams bound the beginning of a stream, in which its datagrams and
// heartbeats say where it began.
const (
	startFor       = 20 * time.Millisecond
	startDatagrams = 16
)

// Open starts a stream, or finds it open. id names the protocol, which must be NACK, BestEffort,
// FEC or Hybrid.
func (p *Protocol) Open(now clock.Time, id wire.StreamID) *Sender {
	p.start(now)
	if s := p.findSender(id); s != nil {
		return s
	}
	n := uint64(slotCount(p.window))
	s := &Sender{
		p: p, id: id, header: p.header(id), nack: id.Protocol() == wire.NACK || id.Protocol() == wire.Hybrid, opened: now,
		datagram: p.way.Pack,
		slots:    make([]slot, n), mask: n - 1, window: uint64(p.window), ahead: uint64(min(p.window/2, maxAhead)),
		first: 1, sent: 1, next: 1, message: 1,
		index: make(map[wire.MemberID]int),
	}
	s.at, s.owner = never, s
	for t := range s.timers {
		s.timers[t] = never
	}
	s.repairs.queue = make([]uint64, n)
	if coded(id.Protocol()) {
		s.startEncoding()
	}
	s.limited.Set(now, core.ByApplication)
	s.newcomers.init()
	s.flow.init(s)
	s.noteWay(buf.Way{})
	p.senders = append(p.senders, s)
	s.rouse()
	if p.self {
		s.startSelf()
	}
	s.beat.init(s, now)
	return s
}

// findSender finds the sender of a stream.
func (p *Protocol) findSender(id wire.StreamID) *Sender {
	for _, s := range p.senders {
		if s.id == id {
			return s
		}
	}
	return nil
}

// ID is the stream's.
func (s *Sender) ID() wire.StreamID { return s.id }

// Receivers is the number of receivers that have reported and are not silent.
func (s *Sender) Receivers() int { return s.joined() }

// Messages is the number of messages that were accepted.
func (s *Sender) Messages() uint64 { return s.message - 1 }

// Sent is the number of the last datagram that was sent; 0 before the first.
func (s *Sender) Sent() uint64 { return s.sent - 1 }

// Stats returns a copy of the counters.
func (s *Sender) Stats() SenderStats {
	st := s.stats
	st.Receivers, st.RoundTrip = s.joined(), s.flow.measured
	return st
}

// Acknowledged reports whether all that was accepted has been sent, and every known receiver has
// reported that it has it. BestEffort waits for no receiver.
func (s *Sender) Acknowledged() bool {
	if s.unsent() || s.stayed() > 0 {
		return false
	}
	if !s.nack {
		return true
	}
	for i := range s.receivers {
		if s.receivers[i].next < s.sent && s.receivers[i].waits() {
			return false
		}
	}
	return true
}

// Unsent is the number of messages that were accepted and have not left, in whole or in part.
func (s *Sender) Unsent() uint64 { return s.message - s.messageAt(s.sent) + s.stayed() }

// unsent reports whether something was accepted and has not left.
func (s *Sender) unsent() bool {
	return s.sent < s.next || s.packing && !s.w.Empty() || s.large.waiting() || s.claimed || s.encoding.waiting()
}

// beginning reports whether the stream is so young that its datagrams have a Start.
func (s *Sender) beginning(now clock.Time) bool {
	return s.sent <= startDatagrams || now.Sub(s.opened) < startFor
}

func (s *Sender) startFrame(now clock.Time) wire.Start {
	return wire.Start{First: 1, FirstMessage: 1, Age: uint64(max(now.Sub(s.opened), 0)), Lanes: uint32(s.p.cfg.Lanes)}
}

// rouse notes that the stream may have something to do: a message, a repair or symbols to send, own messages to deliver,
// a datagram to lay. Whatever makes one of these calls it.
func (s *Sender) rouse() {
	if !s.busy {
		s.busy = true
		s.p.busy = append(s.p.busy, s)
	}
}

// isIdle reports whether there is nothing that Flush, PollSend or Deliver could do now, or before rouse is called again.
func (s *Sender) isIdle() bool {
	return s.sent == s.next && (!s.packing || s.w.Empty()) && !s.large.waiting() && s.repairs.n == 0 &&
		!s.encoding.waiting() && (s.self == nil || s.selfNext >= s.sent)
}

// sendable reports whether a datagram may leave now, MaxRate aside.
func (s *Sender) sendable() bool {
	return s.repairs.n > 0 || s.sent < s.next && !s.stays() && s.flow.allows(s.sent) || s.encoding.waiting()
}

// poll hands out the next repair or datagram. While data is waiting and may leave, repairs take
// turns with it: they never starve it.
func (s *Sender) poll(now clock.Time) (buf.Send, bool) {
	if s.encoding.waiting() {
		send, ok := s.encoding.enc.PollSend() // before more data: behind a full window they would be late
		if ok {
			s.repairs.budget.spend(send.Buf.Len())
			s.encoding.room.bytes -= float64(send.Buf.Len())
			s.pace.spend(now, send.Buf.Len())
		}
		return send, ok
	}
	if s.p.closed {
		return buf.Send{}, false
	}
	if s.sent == s.next {
		if s.large.waiting() {
			s.feed(now)
		} else if s.flushing && s.packing && !s.claimed {
			s.close(now)
		}
	}
	data := s.sent < s.next && !s.stays()
	if data && !s.flow.allows(s.sent) {
		data = false
		s.blocked(now)
	}
	if (data || s.repairs.n > 0) && !s.pace.ready(now) {
		s.hold(now, data)
		return buf.Send{}, false
	}
	if s.repairs.n > 0 && (!data || s.repairs.turn) {
		if b, ok := s.pollRepair(now); ok {
			return b, true
		}
	}
	if !data {
		return buf.Send{}, false
	}
	if now.Sub(s.beat.last) >= flightPause {
		s.flow.paused()
	}
	t := &s.slots[s.sent&s.mask]
	t.buf.Retain()
	s.sent++
	if s.flow.blocked {
		s.flow.resume(now)
	} else {
		s.limited.Set(now, core.ByApplication)
	}
	s.repairs.turn = true
	s.stats.Datagrams++
	s.p.stats.Datagrams++
	s.p.stats.DatagramBytes += uint64(t.buf.Len())
	s.beat.sent(s, now)
	s.repairs.budget.fresh.add(now, t.buf.Len())
	s.pace.spend(now, t.buf.Len())
	if s.encoding != nil {
		s.encoding.sent(s, now, s.sent-1, t.buf)
	}
	return buf.Send{Buf: t.buf, Wait: true}, true
}

// senderTimer names one deadline of a Sender.
type senderTimer uint8

const (
	startDue     senderTimer = iota // the next Start
	heartbeatDue                    // the next heartbeat
	receiversDue                    // receivers are looked at for silence
	paceDue                         // the pace lets the next datagram leave
	repairsDue                      // repairs have waited for their budget
	newcomersDue                    // newcomers are sent a heartbeat
	blockEnd                        // the stream has paused: the open blocks are closed
	senderTimers                    // their number
)

// arm sets a deadline.
func (s *Sender) arm(t senderTimer, at clock.Time) {
	s.timers[t] = at
	s.p.sooner(&s.scheduled, at)
}

// tick fires the deadlines that have come, as a stream's does. After Close there are none.
func (s *Sender) tick(now clock.Time) {
	if s.p.closed {
		s.p.schedule.remove(&s.scheduled)
		return
	}
	s.rouse()
	due := s.timers
	for t, at := range due {
		if at <= now && s.timers[t] == at {
			s.timers[t] = never
			s.expire(now, senderTimer(t), at)
		}
	}
	at := never
	for _, t := range s.timers {
		at = min(at, t)
	}
	s.p.schedule.set(&s.scheduled, at)
}

// expire does what a deadline, which was due at at, asks for.
func (s *Sender) expire(now clock.Time, t senderTimer, at clock.Time) {
	switch t {
	case startDue:
		s.beat.start(s, now)
	case heartbeatDue:
		s.beat.fire(s, now)
	case receiversDue:
		s.flow.look(s, now, now.Sub(at))
	case repairsDue, paceDue:
		// Whatever waits is polled now.
	case newcomersDue:
		s.meet(now)
	case blockEnd:
		s.encoding.tick(s, now)
	}
}

// release gives every buffer back.
func (s *Sender) release() {
	for i := range s.slots {
		if b := s.slots[i].buf; b != nil {
			b.Release()
			s.slots[i].buf = nil
		}
	}
	s.packing = false
	if s.encoding != nil {
		s.encoding.enc.Release()
	}
}
