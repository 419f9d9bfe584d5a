package nack

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
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
	nack     bool    // repairs, and flow control
	parity   *parity // under FEC and Hybrid; nil: no repair symbols
	datagram int     // largest data datagram, bytes
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
	flow    flow
	beat    beat

	receivers []receiver
	index     map[wire.MemberID]int

	self     *stream // own messages, on their way to Sink; nil: not wanted
	selfNext uint64  // datagram

	at    clock.Time // no deadline is earlier
	stats SenderStats
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

// slot is one datagram of the retransmit window.
type slot struct {
	buf      *buf.Buf
	message  uint64     // number of its first message
	cost     uint64     // of this datagram and all before it
	repaired clock.Time // when it was last repaired; 0: never
	asker    buf.Endpoint
	last     want // how it was last repaired
	want     want // the repair that is queued
	start    bool // a Start frame ends it
}

// startFor and startDatagrams bound the beginning of a stream, in which its datagrams and
// heartbeats say where it began.
const (
	startFor       = 20 * time.Millisecond
	startDatagrams = 16
)

// maxAhead bounds how far Offer runs ahead of the driver: two of an engine's batches. More would
// wait longer, and have left the processor's cache when its turn comes.
const maxAhead = 128

// Open starts a stream, or finds it open. id names the protocol, which must be NACK, BestEffort,
// FEC or Hybrid.
func (p *Protocol) Open(now clock.Time, id wire.StreamID) *Sender {
	p.start(now)
	if s := p.sender(id); s != nil {
		return s
	}
	n := uint64(slotCount(p.window))
	s := &Sender{
		p: p, id: id, header: p.header(id), nack: id.Protocol() == wire.NACK || id.Protocol() == wire.Hybrid, opened: now,
		datagram: p.cfg.Datagram,
		slots:    make([]slot, n), mask: n - 1, window: uint64(p.window), ahead: uint64(min(p.window/2, maxAhead)),
		first: 1, sent: 1, next: 1, message: 1,
		index: make(map[wire.MemberID]int),
		at:    never,
	}
	s.repairs.queue = make([]uint64, n)
	if coded(id.Protocol()) {
		s.initParity()
	}
	s.flow.init(s)
	p.senders = append(p.senders, s)
	if p.self {
		s.startSelf()
	}
	s.beat.init(s, now)
	return s
}

// sender finds the sender of a stream.
func (p *Protocol) sender(id wire.StreamID) *Sender {
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
func (s *Sender) Receivers() int { return len(s.receivers) }

// Sent is the number of the last datagram that was sent; 0 before the first.
func (s *Sender) Sent() uint64 { return s.sent - 1 }

// Stats returns a copy of the counters.
func (s *Sender) Stats() SenderStats {
	st := s.stats
	st.Receivers, st.RoundTrip = len(s.receivers), s.flow.measured
	return st
}

// Acknowledged tells whether all that was accepted has been sent, and every known receiver has
// reported that it has it. BestEffort waits for nobody.
func (s *Sender) Acknowledged() bool {
	if s.unsent() {
		return false
	}
	if !s.nack {
		return true
	}
	for i := range s.receivers {
		if s.receivers[i].next < s.sent {
			return false
		}
	}
	return true
}

// unsent tells whether something was accepted and has not left.
func (s *Sender) unsent() bool {
	return s.sent < s.next || s.packing && !s.w.Empty() || s.large.waiting() || s.claimed || s.parity.waiting()
}

// Offer accepts one message; the payload is copied. It fails with ErrWindow (back-pressure:
// nothing has changed, try again when receivers have reported), ErrTooLarge, ErrClaimed or
// ErrClosed. topic is 1..255 bytes of UTF-8.
func (s *Sender) Offer(now clock.Time, topic string, kind wire.Kind, payload []byte) error {
	if s.packing && !s.claimed && len(payload) <= s.p.cfg.MaxMessageSize && s.w.Add(topic, kind, payload) {
		s.accepted(len(payload))
		return nil
	}
	return s.offer(now, topic, kind, payload)
}

// offer is Offer where the message does not simply fit the datagram that is being packed.
func (s *Sender) offer(now clock.Time, topic string, kind wire.Kind, payload []byte) error {
	if err := s.refuse(now, len(payload)); err != nil {
		return err
	}
	if len(payload) > s.room(topic) {
		return s.offerLarge(now, topic, kind, payload)
	}
	if s.packing {
		if s.w.Add(topic, kind, payload) {
			s.accepted(len(payload))
			return nil
		}
		s.close(now)
	}
	if !s.begin(now) {
		return s.full()
	}
	if !s.w.Add(topic, kind, payload) {
		return ErrTooLarge // cannot be: room said that it fits
	}
	s.accepted(len(payload))
	return nil
}

// refuse judges what does not depend on the window.
func (s *Sender) refuse(now clock.Time, n int) error {
	switch {
	case s.p.closed:
		return ErrClosed
	case s.claimed:
		return ErrClaimed
	case n > s.p.cfg.MaxMessageSize:
		return ErrTooLarge
	case s.large.waiting():
		if s.feed(now); s.large.waiting() {
			return s.full()
		}
	}
	return nil
}

func (s *Sender) full() error {
	s.p.stats.BackPressure++
	s.stats.BackPressure++
	return ErrWindow
}

func (s *Sender) accepted(n int) {
	s.message++
	s.stats.Messages++
	s.p.stats.Messages++
	s.p.stats.MessageBytes += uint64(n)
}

// room is the longest payload that one datagram takes.
func (s *Sender) room(topic string) int {
	return wire.MessageRoom(s.datagram-wire.StartLen, topic)
}

// Claim lends n bytes of the datagram itself, to be filled before Commit or Abort. It fails as
// Offer does, with ErrTooLarge for what does not fit one datagram.
func (s *Sender) Claim(now clock.Time, topic string, kind wire.Kind, n int) ([]byte, error) {
	if err := s.refuse(now, n); err != nil {
		return nil, err
	}
	if n > s.room(topic) {
		return nil, ErrTooLarge
	}
	if s.packing {
		if b, ok := s.w.Reserve(topic, kind, n); ok {
			s.claimed, s.claimLen = true, n
			return b, nil
		}
		s.close(now)
	}
	if !s.begin(now) {
		return nil, s.full()
	}
	b, ok := s.w.Reserve(topic, kind, n)
	if !ok {
		return nil, ErrTooLarge
	}
	s.claimed, s.claimLen = true, n
	return b, nil
}

// Commit accepts the message that Claim lent. Without an open claim it does nothing.
func (s *Sender) Commit(clock.Time) {
	if s.claimed {
		s.claimed = false
		s.w.Commit()
		s.accepted(s.claimLen)
	}
}

// Abort gives up the message that Claim lent. Without an open claim it does nothing.
func (s *Sender) Abort() {
	if s.claimed {
		s.claimed = false
		s.w.Cancel()
	}
}

// begin starts to pack datagram next. It is false when there is no room for it.
func (s *Sender) begin(now clock.Time) bool {
	if s.next-s.sent > s.ahead {
		return false
	}
	if !s.reuse(1) {
		s.crammed(now)
		return false
	}
	b := s.p.cfg.Pool.Get()
	if b == nil {
		s.p.stats.Drops[DropNoBuffer]++
		return false
	}
	t := &s.slots[s.next&s.mask]
	*t = slot{buf: b, message: s.message}
	s.w.Begin(b.Mem(), s.datagram, s.header, s.next, s.message)
	if s.beginning(now) {
		t.start = s.w.AppendStart(s.startFrame(now))
	}
	s.packing = true
	return true
}

// beginning tells whether the stream is young enough to say where it began.
func (s *Sender) beginning(now clock.Time) bool {
	return s.sent <= startDatagrams || now.Sub(s.opened) < startFor
}

func (s *Sender) startFrame(now clock.Time) wire.Start {
	return wire.Start{First: 1, FirstMessage: 1, Age: uint64(max(now.Sub(s.opened), 0)), Lanes: uint32(s.p.cfg.Lanes)}
}

// reuse makes room in the window for n datagrams at next; it gives up the oldest ones if they
// may be given up.
func (s *Sender) reuse(n uint64) bool {
	for s.next+n-s.first > s.window {
		if s.first >= s.disposable() {
			return false
		}
		t := &s.slots[s.first&s.mask]
		t.buf.Release()
		t.buf = nil
		s.first++
	}
	return true
}

// crammed notes that the window is full of what receivers have not reported yet. While something
// waits to be sent, poll finds that out; when all has been sent nobody else would ask.
func (s *Sender) crammed(now clock.Time) {
	if s.sent == s.next && s.unreported() {
		s.blocked(now)
	}
}

// unreported tells whether the window is full of what receivers have not reported.
func (s *Sender) unreported() bool {
	return s.next-s.first >= s.window && s.first >= s.flow.keep()
}

// disposable is the lowest datagram that may not be given up yet.
func (s *Sender) disposable() uint64 {
	n := min(s.sent, s.flow.keep())
	if s.self != nil {
		n = min(n, s.selfNext)
	}
	return n
}

// close ends the datagram that is being packed.
func (s *Sender) close(now clock.Time) {
	t := &s.slots[s.next&s.mask]
	off, n := s.w.Finish()
	s.packing, s.flushing = false, false
	if n == 0 {
		t.buf.Release()
		t.buf = nil
		return
	}
	t.buf.Set(off, n)
	s.cost += cost(n)
	t.cost = s.cost
	s.next++
}

// flush lets what is being packed leave. While other datagrams wait it stays open: it cannot
// leave before them, and more may fit.
func (s *Sender) flush(now clock.Time) {
	if s.large.waiting() {
		s.feed(now)
	}
	switch {
	case !s.packing:
		s.lay(now)
	case s.claimed || s.w.Empty():
	case s.sent == s.next:
		s.close(now)
	default:
		s.flushing = true
	}
}

// lay begins a datagram before there is a message for it, when all else has been sent: then the
// next message finds buffer and slot taken, in the processor's cache, and its headers written if it
// is like the last one.
func (s *Sender) lay(now clock.Time) {
	if s.sent != s.next || s.p.closed || s.large.waiting() || s.beginning(now) ||
		s.p.cfg.Pool.Free() < laySpare || !s.reuse(1) {
		return
	}
	if s.begin(now) {
		mem := s.slots[s.next&s.mask].buf.Mem()
		for at := 0; at < layBytes && at < len(mem); at += 64 {
			mem[at] = 0
		}
		s.w.Lay()
	}
}

// A datagram is laid only where buffers are plenty. layBytes is as much of it as a small message
// takes.
const (
	laySpare = 64
	layBytes = 192
)

// sendable tells whether a datagram may leave now, MaxRate aside.
func (s *Sender) sendable() bool {
	return s.repairs.n > 0 || s.sent < s.next && s.flow.allows(s.sent) || s.parity.waiting()
}

// poll hands out the next repair or datagram. While data is waiting and may leave, repairs take
// turns with it: they never starve it.
func (s *Sender) poll(now clock.Time) (buf.Send, bool) {
	if s.parity.waiting() {
		return s.parity.enc.PollSend() // before more data: behind a full window they would be late
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
	data := s.sent < s.next
	if data && !s.flow.allows(s.sent) {
		data = false
		s.blocked(now)
	}
	if s.repairs.n > 0 && (!data || s.repairs.turn) {
		if b, ok := s.pollRepair(now); ok {
			return b, true
		}
	}
	if !data {
		return buf.Send{}, false
	}
	t := &s.slots[s.sent&s.mask]
	t.buf.Retain()
	s.sent++
	s.flow.blocked = false
	s.repairs.turn = true
	s.stats.Datagrams++
	s.p.stats.Datagrams++
	s.p.stats.DatagramBytes += uint64(t.buf.Len())
	s.beat.sent(s, now)
	if s.parity != nil {
		s.parity.sent(s, now, s.sent-1, t.buf)
	}
	return buf.Send{Buf: t.buf, Wait: true}, true
}

// messageAt is the number of the first message of datagram n, which is held, being packed, or
// the one after these.
func (s *Sender) messageAt(n uint64) uint64 {
	if n < s.next || n == s.next && s.packing {
		return s.slots[n&s.mask].message
	}
	if s.large.waiting() {
		return s.large.message
	}
	return s.message
}

// arm makes sure that tick comes no later than at.
func (s *Sender) arm(at clock.Time) {
	if at < s.at {
		s.at = at
		s.p.arm(at)
	}
}

// tick fires the stream's deadlines.
func (s *Sender) tick(now clock.Time) {
	s.at = never
	s.beat.tick(s, now)
	s.flow.tick(s, now)
	if s.parity != nil {
		s.parity.tick(s, now)
	}
}

// startSelf begins or ends the delivery of own messages, at the present.
func (s *Sender) startSelf() {
	s.self = nil
	if s.p.self {
		s.self = &stream{p: s.p, from: s.p.cfg.Self, incarnation: s.p.cfg.Incarnation, id: s.id, own: true, at: never}
		s.self.joinAt(s.sent, s.messageAt(s.sent))
		s.selfNext = s.sent
		s.self.fresh = s.sent > 1
	}
}

// selfBatch bounds the own datagrams that one Deliver hands up.
const selfBatch = 64

// deliverSelf hands own datagrams that have been sent to Sink.
func (s *Sender) deliverSelf(now clock.Time) {
	for range selfBatch {
		if s.self == nil || s.selfNext >= s.sent {
			return
		}
		b := s.slots[s.selfNext&s.mask].buf
		d := &s.p.scratch
		if wire.DecodeAgain(b.Bytes(), d) != nil {
			panic("nack: own datagram cannot be decoded")
		}
		m := d.Frames()[0].Data()
		if s.self.consume(now, &m) == refused {
			return
		}
		s.self.due++
		s.selfNext++
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
	if s.parity != nil {
		s.parity.enc.Release()
	}
}
