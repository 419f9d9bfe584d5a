package nack

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// streamKey names a stream among those that are received. Of one member only one incarnation is
// heard at a time.
type streamKey struct {
	from wire.MemberID
	id   wire.StreamID
}

type streamState uint8

const (
	live    streamState = iota
	dormant             // its sender fell silent or was forgotten; should it go on, so do we
	left                // its sender said farewell, or began anew
)

// stream is the receiving half of one stream: it puts datagrams in order, notices gaps, asks
// for repair and hands messages to Sink, or tells in their place that they are lost.
//
// Of the datagrams' numbers,
//
//	due <= next <= highest
//
// and all below due has been handed up, [due, next) is here and waits for Sink, next is the
// lowest that is missing, and highest is one above the highest that is known to exist. Datagrams
// at due or above that are here are in ring.
type stream struct {
	p           *Protocol
	from        wire.MemberID
	incarnation uint32
	id          wire.StreamID
	endpoint    buf.Endpoint
	nack        bool // asks for repair
	own         bool // self delivery: no ring, no reports
	differs     bool // its sender hashes over another number of lanes, which was counted
	state       streamState
	buried      bool // state left, and its farewell has been handed up

	due, next uint64
	highest   uint64     // max of the two below
	seen      uint64     // one above the highest datagram that came
	told      uint64     // one above the highest that the last heartbeat told of
	ring      []*buf.Buf // ring[n%len] for datagram n, due <= n < due+len(ring); nil: not here
	held      int

	// Datagrams below gone that are not in the ring will never come, for the reason; goneMessage
	// is the number of the first message of datagram gone, 0 if that is not known.
	gone        uint64
	goneMessage uint64
	goneReason  core.LossReason
	tailAt      clock.Time // BestEffort: when what a heartbeat told of is given up
	tail        uint64
	tailMessage uint64
	endAt       clock.Time // a farewell was heard: when what is missing is given up; 0: none
	endMessage  uint64
	jump        uint64 // a heartbeat far ahead is believed when a second one confirms it
	jumpAt      uint64

	assembly

	mend *mend // under FEC and Hybrid; nil: what is lost comes back by NAKs or not at all

	gaps      gaps
	tracked   uint64     // what is missing from here on has not been looked for yet
	nakAt     clock.Time // no gap is due earlier
	nakQueued bool
	repair    rtt    // from NAK to repair
	group     uint32 // receivers, as the sender says
	groupRTT  time.Duration

	paused bool
	status statusState

	heard clock.Time // when the sender was last heard
	at    clock.Time // no deadline is earlier
}

const (
	ringMin  = 64  // first size of a ring, datagrams
	silences = 3   // a stream falls dormant after so many times Config.Eviction,
	quietMin = 3e9 // and no earlier than after so many ns
	graceMin = 2e6 // ns that datagrams may come later than the farewell, or the heartbeat, sent after them
)

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

// joinAt makes n the first datagram that is expected, and message its first message; 0 means
// that its number is not known.
func (s *stream) joinAt(n, message uint64) {
	s.due, s.next, s.highest, s.seen, s.told, s.gone, s.tracked = n, n, n, n, n, n, n
	s.message, s.fresh = message, true
	if coded(s.id.Protocol()) && !s.own && s.mend == nil {
		s.startMend(n)
	}
}

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

// here tells since when this member has heard a lane; ok is false where it does not want to.
func (p *Protocol) here(lane uint16) (since clock.Time, ok bool) {
	if p.cfg.Wanted == nil {
		return p.created, true
	}
	since, ok = p.cfg.Wanted(lane)
	return max(since, p.created), ok
}

// compare counts a stream whose sender hashes over another number of lanes, once.
func (s *stream) compare(differs bool) {
	if differs && !s.differs {
		s.differs = true
		s.p.stats.LanesDiffer++
	}
}

// stepData takes in one data frame. In order, its messages go to Sink straight from r.Buf.
func (p *Protocol) stepData(now clock.Time, d *wire.Datagram, m *wire.Data, r buf.Received) error {
	s, err := p.stream(now, d)
	if err != nil {
		return err
	}
	if s == nil {
		if s, err = p.join(now, d, r.From); err != nil {
			return err
		}
		s.joinAt(m.Number, m.FirstMessage)
		s.report(now, false)
		s.arm(now.Add(s.silence()))
	}
	p.last = s
	if s.mend != nil {
		return s.stepCoded(now, m, r.Buf)
	}
	if err = s.step(now, m, r.Buf); err == nil && m.Count == 1 {
		p.expect(s, d, r.Buf)
	}
	return err
}

// step takes in one data frame of this stream.
func (s *stream) step(now clock.Time, m *wire.Data, b *buf.Buf) error {
	p, n := s.p, m.Number
	switch {
	case n < s.next || n < s.gone || n < s.seen && s.slot(n) != nil:
		return p.drop(DropStale)
	case n-s.due >= uint64(p.window):
		return p.drop(DropWindow)
	case !s.plausible(m):
		return p.drop(DropImplausible)
	}
	if s.mend != nil {
		s.mend.source(now, n, b)
	}
	if n == s.due && !s.paused {
		switch s.consume(now, m) {
		case contradicts:
			return p.drop(DropImplausible)
		case consumed:
			s.came(now, n, b)
			s.due++
			s.next = max(s.next, s.due)
			if s.held > 0 || s.due < s.gone {
				s.drain(now)
			}
			return nil
		}
		// Refused by Sink: it is kept, and offered again.
		s.pause()
	}
	if err := s.keep(n, b); err != nil {
		return err
	}
	s.came(now, n, b)
	s.advance()
	if !s.nack && n > s.next { // BestEffort waits for nothing
		s.giveUp(n, m.FirstMessage, core.LossUnrepaired)
		s.drain(now)
	}
	return nil
}

// came notes that datagram n is here: it closes a gap, or shows one.
func (s *stream) came(now clock.Time, n uint64, b *buf.Buf) {
	s.heard = now
	if s.state == dormant {
		s.wake()
	}
	s.p.stats.DataReceived++
	s.status.received += cost(b.Len())
	s.status.datagrams++
	st, near := &s.status, uint64(s.p.window)/(2*leastRoom)
	if st.received >= st.every || st.datagrams >= s.p.window/4 || st.limit-n <= near && s.limit() >= st.limit+near {
		s.report(now, true)
	}
	if n >= s.seen {
		s.seen = n + 1
		if n == s.highest && n == s.tracked { // the usual case: nothing is missing before it
			s.highest, s.tracked = n+1, n+1
			return
		}
		s.highest = max(s.highest, s.seen)
		s.notice(now)
		// And on: a heartbeat may have shown the gap that n closes, with no later data seen.
	}
	if was, ok := s.gaps.remove(n); ok {
		s.repaired(now, &was)
	}
}

// slot is the buffer of datagram n, nil if it is not here.
func (s *stream) slot(n uint64) *buf.Buf {
	if n-s.due >= uint64(len(s.ring)) {
		return nil
	}
	return s.ring[n&uint64(len(s.ring)-1)]
}

// keep puts datagram n, which lies in the window, into the ring.
func (s *stream) keep(n uint64, b *buf.Buf) error {
	if s.room() <= 0 {
		return s.p.drop(DropNoBuffer)
	}
	for n-s.due >= uint64(len(s.ring)) {
		s.grow()
	}
	c := s.p.cfg.Pool.Keep(b)
	if c == nil {
		return s.p.drop(DropNoBuffer)
	}
	s.ring[n&uint64(len(s.ring)-1)] = c
	if s.held++; s.held == 1 {
		s.p.holders++
	}
	s.p.held++
	s.p.stats.Held++
	return nil
}

// room is how many more datagrams the stream may hold: it may have up to twice as many as are left
// for everybody. So few streams get most of the buffers, many share them equally, and some are
// always left for one that has none (Choudhury and Hahne, "Dynamic queue length thresholds for
// shared-memory packet switches", IEEE/ACM Transactions on Networking 6(2), 1998).
func (s *stream) room() int { return 2*s.p.left() - s.held }

// grant is how many datagrams the stream may ask for, or let the sender send, at one time: its part
// of what is left, so that all that hold some together ask for no more than they can keep.
func (s *stream) grant() int {
	n := s.p.holders
	if s.held == 0 {
		n++
	}
	return max(min(s.p.left()/n, s.room()), 0)
}

// grow doubles the ring. It never outgrows the window by more than the rounding.
func (s *stream) grow() {
	old := s.ring
	s.ring = make([]*buf.Buf, max(2*len(old), ringMin))
	for i := range uint64(len(old)) {
		n := s.due + i
		s.ring[n&uint64(len(s.ring)-1)] = old[n&uint64(len(old)-1)]
	}
}

// drop takes datagram n out of the ring.
func (s *stream) drop(n uint64) {
	i := n & uint64(len(s.ring)-1)
	s.ring[i].Release()
	s.ring[i] = nil
	if s.held--; s.held == 0 {
		s.p.holders--
	}
	s.p.held--
}

// advance moves next over what is here.
func (s *stream) advance() {
	for s.slot(s.next) != nil {
		s.next++
	}
	s.highest = max(s.highest, s.next)
}

// drain hands up what is due, in order: messages, and losses in their place.
func (s *stream) drain(now clock.Time) {
	for !s.paused {
		b := s.slot(s.due)
		if b == nil {
			if s.due >= s.gone {
				break
			}
			s.skip()
			continue
		}
		m, ok := s.p.find(b, s.due)
		switch s.consumeHeld(now, &m, ok) {
		case refused:
			s.pause()
			return
		case contradicts:
			// Whatever this was, it was not what the sender sent: ask for that.
			s.drop(s.due)
			s.next = s.due
			s.lookAgain(now)
			return
		}
		s.drop(s.due)
		s.due++
		s.next = max(s.next, s.due)
	}
	s.advance()
	if s.due == s.gone && s.goneMessage != 0 {
		s.lostBelow(s.goneMessage)
		s.goneMessage = 0
	}
	if s.state == left && s.due >= s.highest && !s.paused {
		s.buried = true
		s.arm(now)
	}
}

// find reads the data frame with number n from a kept datagram.
func (p *Protocol) find(b *buf.Buf, n uint64) (m wire.Data, ok bool) {
	d := &p.scratch
	if wire.DecodeAgain(b.Bytes(), d) != nil {
		return m, false
	}
	frames := d.Frames()
	for i := range frames {
		if frames[i].Kind == wire.FrameData {
			if m = frames[i].Data(); m.Number == n {
				return m, true
			}
		}
	}
	return m, false
}

// skip passes over one datagram that will not come, or over all of them if none is held.
func (s *stream) skip() {
	n := uint64(1)
	if s.held == 0 {
		n = s.gone - s.due
	}
	s.due += n
	s.missing += n
	s.next = max(s.next, s.due)
	s.p.stats.Gone += n
	s.status.gone += n
}

// giveUp says that what is missing below n will not come; message is the number of the first
// message of datagram n, 0 if that is not known.
func (s *stream) giveUp(n, message uint64, why core.LossReason) {
	if n <= s.gone {
		return
	}
	s.gone, s.goneMessage, s.goneReason = n, message, why
	s.gaps.below(n)
	s.tracked = max(s.tracked, n)
	if n-s.due >= uint64(len(s.ring)) {
		s.next = max(s.next, n) // nothing is held that far ahead
	}
	for s.next < n {
		s.next++
	}
	s.advance()
}

// pause stops handing up: Sink could not take a message.
func (s *stream) pause() {
	if s.paused = true; s.own {
		return
	}
	s.p.stats.Pauses++
	s.p.paused = append(s.p.paused, s)
}

// resumed tells the sender that there is room again.
func (s *stream) resumed(now clock.Time) {
	if s.state != live {
		return
	}
	if s.limit() >= s.status.limit+uint64(s.p.window/4) {
		s.report(now, true)
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

// release gives every buffer back.
func (s *stream) release() {
	s.endMend()
	for i, b := range s.ring {
		if b != nil {
			s.drop(uint64(i))
		}
	}
}
