package nack

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
)

// Limited is what keeps the stream's rate from being higher.
func (s *Sender) Limited(now clock.Time) core.Limited {
	if s.flow.blocked && !s.held() {
		s.flow.resume(now) // the receiver has gone
	}
	l := core.Limited{By: s.limited.Mostly(now), For: s.limited.Total(now), Pace: s.pace.rate}
	switch l.By {
	case core.ByWindow, core.ByReceiver:
		if r, ok := s.Slowest(now); ok {
			l.Member, l.Endpoint, l.Behind = r.Member, r.Endpoint, r.Behind
		}
	default:
		if i := s.pace.by; s.pace.rate != 0 && i < len(s.receivers) {
			l.Member, l.Endpoint = s.receivers[i].member, s.receivers[i].endpoint
		}
	}
	return l
}

// limit notes that the rate alone holds back what these streams could send.
func (p *Protocol) limit(now clock.Time) {
	for _, s := range p.senders {
		if s.sendable() {
			s.limited.Set(now, core.ByMaxRate)
		}
	}
}
