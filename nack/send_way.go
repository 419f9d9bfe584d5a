package nack

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/fec"
)

// The member's interface may have its MTU changed while it runs, and it may go away and come back. New datagrams fit what
// can leave. What was packed before and is too long now is not sent again for as long as that lasts: it could not leave.
// It is kept, as everything is that receivers lack. They give it up after Config.RepairTimeout; if the MTU is raised
// earlier it is sent again at once, without being asked for anew. While nothing can leave, a stream that waits for its
// receivers waits: Offer fails when the window is full.

// lost is what a sender knows of messages that were sent while there was no way out.
type lost struct {
	down    bool   // there is none
	message uint64 // the first message that was sent since then
}

// Fit makes what is sent fit the way. It implements engine.Fitter.
func (p *Protocol) Fit(now clock.Time, w buf.Way) {
	w.Pack, w.Longest = min(w.Pack, p.cfg.Datagram), min(w.Longest, p.cfg.Datagram)
	before := p.way
	p.way = w
	for _, s := range p.senders {
		s.fit(now, before)
	}
}

// fit takes note of another way.
func (s *Sender) fit(now clock.Time, before buf.Way) {
	w := &s.p.way
	if w.Pack != before.Pack {
		s.datagram = w.Pack
		if s.encoding != nil {
			s.datagram = fec.SourceMax(w.Pack)
		}
		if s.packing && !s.claimed {
			s.close(now) // it was begun for another length
		}
	}
	if w.Longest > before.Longest {
		s.again(now)
	}
	s.noteWay(before)
	if before.Down && !w.Down {
		s.beat.hurry(s, now) // receivers learn at once what they have missed
	}
}

// again queues what was asked for while it could not leave.
func (s *Sender) again(now clock.Time) {
	for n := s.first; n < s.sent; n++ {
		t := &s.slots[n&s.mask]
		if t.later && t.buf.Len() <= s.p.way.Longest {
			t.later = false
			s.ask(now, n, false, t.asker, int(t.askedBy))
		}
	}
}

// stays reports whether data waits for the way out. Receivers that are waited for will need it: what is sent into nothing
// would have to be repaired.
func (s *Sender) stays() bool { return s.p.way.Shut && s.flow.slowest && s.joined() > 0 }

// noteWay notes where the stream is when the way out is lost.
func (s *Sender) noteWay(before buf.Way) {
	if w := &s.p.way; w.Down && !before.Down {
		s.lost = lost{down: true, message: s.messageAt(s.sent)}
	} else if !w.Down {
		s.lost = lost{}
	}
}

// stayed is the number of messages that were sent since there is no way out, and did not leave this host. Without a
// carrier other members of this host get them: then the receivers that are known say what has arrived.
func (s *Sender) stayed() uint64 {
	if !s.lost.down || !s.p.way.Shut && s.joined() > 0 {
		return 0
	}
	return s.messageAt(s.sent) - s.lost.message
}
