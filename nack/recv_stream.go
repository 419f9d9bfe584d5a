package nack

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

type streamState uint8

const (
	live    streamState = iota
	silent              // nothing came for a while, and its sender did not answer
	dormant             // its sender was silent for long or was forgotten; if the sender goes on, the stream does too
	left                // its sender's farewell came, or it began anew
)

// open reports whether the stream waits for what its sender sends, and reports to it.
func (s streamState) open() bool { return s <= silent }

// stream is the receiving half of one stream. Its parts are the reorder window, the assembly of
// messages, the gaps and when they are asked for, the reports, and what ends it. A data frame
// passes through them in one direction (take): a stream with repair symbols shows it to its decoder,
// then it is put in order, then its messages are delivered.
type stream struct {
	p           *Protocol
	from        wire.MemberID
	incarnation uint32
	id          wire.StreamID
	endpoint    buf.Endpoint
	nack        bool // gaps are noticed: they are asked for, or left to their blocks
	own         bool // self delivery: no window, no reports
	differs     bool // its sender hashes over another number of lanes, which was counted
	asks        int8 // how often the sender was asked whether it is there, since it was last heard
	buried      bool // state left, and its end has been delivered
	paused      bool // Sink refused its next message
	state       streamState
	heard       clock.Time    // when the sender was last heard
	within      time.Duration // it will be heard again after so long at the latest

	window
	assembly
	abandoned abandoned
	announced announced
	group     group
	asking    asking
	ways      ways
	status    status
	decoding  *decoding // under FEC and Hybrid; nil: what is lost comes back by NAKs or not at all

	scheduled
	timers [streamTimers]clock.Time
}

// group is what the sender reports of its receivers.
type group struct {
	receivers uint32
	rtt       time.Duration // their longest round trip; 0: not known
	usual     time.Duration // what half of them keep; 0: about the same
}

// groupOf reads what a heartbeat says of the group.
func groupOf(h *wire.Heartbeat) group {
	return group{receivers: h.Receivers, rtt: time.Duration(h.RoundTrip), usual: time.Duration(h.UsualTrip)}
}

// few reports whether NAKs go by unicast, at once.
func (g *group) few() bool { return g.receivers <= FewReceivers }

// roundTrip is the longest round trip of the group.
func (g *group) roundTrip() time.Duration {
	if g.rtt == 0 {
		return rttInitial
	}
	return min(max(g.rtt, rttMin), rttMax)
}

// usualTrip is the round trip that half of the group keep. Timers that keep requests few are counted in it: a slow
// receiver asks late by itself, and need not make the others wait.
func (g *group) usualTrip() time.Duration {
	if g.usual == 0 {
		return g.roundTrip()
	}
	return min(max(g.usual, rttMin), g.roundTrip())
}

// origin is how a data frame came here.
type origin uint8

const (
	arrived origin = iota // over the network
	rebuilt               // its block gave it back
)

// stepData takes in one data frame. In order, its messages go to Sink straight from r.Buf.
func (p *Protocol) stepData(now clock.Time, d *wire.Datagram, m *wire.Data, r buf.Received) error {
	s, err := p.lookUp(now, d)
	if err != nil {
		return err
	}
	if s == nil {
		if s, err = p.join(now, d, r.From); err != nil {
			return err
		}
		s.begin(now, m.Number, m.FirstMessage)
	}
	p.last = s
	if err = s.take(now, m, r.Buf, arrived); err != nil {
		s.status.arrived += uint64(r.Buf.Len()) // it was of no use, and it came
	}
	if err == nil {
		s.endpoint = r.From // a member whose interface gets another address goes on under that one
		if r.Group {
			s.ways.cameByGroup(now)
		} else {
			s.asking.answered()
			s.cameDirect(now)
		}
	}
	if s.decoding != nil {
		s.collect(now)
	} else if err == nil && m.Count == 1 {
		p.expect(s, d, r.Buf)
	}
	return err
}

// take takes in one data frame of this stream: it decodes, puts in order and delivers.
func (s *stream) take(now clock.Time, m *wire.Data, b *buf.Buf, from origin) error {
	why, ok := s.judge(m)
	if !ok && why == DropWindow && s.overrun(now, m.Number) {
		why, ok = s.judge(m)
	}
	if !ok {
		if why == DropStale {
			s.asking.reorder.again(now, s, m.Number)
			if s.decoding != nil {
				s.decoding.late(s.p, m.Number)
			}
		}
		return s.p.drop(why)
	}
	if s.decoding == nil {
		return s.put(now, m, b, from)
	}
	kept := s.decoding.show(now, s, m.Number, b)
	if kept == nil {
		return s.put(now, m, b, from)
	}
	err := s.put(now, m, kept, from)
	kept.Release()
	return err
}

// collect takes in what blocks gave back, by the same door as what arrives, and then what they show
// of datagrams that were sent. In the other order a datagram that a repair symbol both shows and
// gives back would be asked for.
func (s *stream) collect(now clock.Time) {
	for {
		n, b, ok := s.decoding.dec.PollRebuilt()
		if !ok {
			break
		}
		if n >= s.next && n >= s.abandoned.below && s.slot(n) == nil {
			if m, ok := s.p.readData(b, n); ok {
				if n >= s.highest { // it was lost, and no gap was noticed
					s.p.stats.Missed++
					s.status.missed++
				}
				s.status.arrived -= uint64(b.Len()) // it counts as one that came
				if s.take(now, &m, b, rebuilt) == nil {
					s.decoding.noteRebuilt(n)
				}
			}
		}
		b.Release()
	}
	if high := min(s.decoding.dec.High(), s.due+s.windowSize()); high > s.highest {
		s.highest = high
		s.notice(now)
	}
	s.decoding.settle(now, s)
}

// windowSize is how many datagrams from due on the window may hold.
func (s *stream) windowSize() uint64 { return uint64(s.p.window) }

// release gives every buffer back.
func (s *stream) release() {
	s.stopDecoding()
	for i, b := range s.slots {
		if b != nil {
			s.drop(uint64(i))
		}
	}
	s.p.slots.free(&s.window)
	s.asking.gaps.above(0)
	s.p.assemblies.release(s)
}
