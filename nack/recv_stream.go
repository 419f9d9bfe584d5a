package nack

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

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

// joinAt makes n the first datagram that is expected, and message its first message; 0 means
// that its number is not known.
func (s *stream) joinAt(n, message uint64) {
	s.due, s.next, s.highest, s.seen, s.told, s.gone, s.tracked = n, n, n, n, n, n, n
	s.message, s.fresh = message, true
	if coded(s.id.Protocol()) && !s.own && s.mend == nil {
		s.startMend(n)
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

// release gives every buffer back.
func (s *stream) release() {
	s.endMend()
	for i, b := range s.ring {
		if b != nil {
			s.drop(uint64(i))
		}
	}
}
