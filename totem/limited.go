package totem

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
)

// Limited is what keeps this member's rate from being higher.
func (p *Protocol) Limited(now clock.Time) core.Limited {
	l := core.Limited{By: p.limited.Mostly(now), For: p.limited.Total(now)}
	if l.By == core.ByReceiver {
		l.Member = p.slowest
		l.Endpoint, _ = p.peers.endpoint(p.slowest)
		l.Behind = p.tok.t.high - min(p.tok.t.aru, p.tok.t.high)
	}
	return l
}

// limit notes what keeps more than sent datagrams from being sent at this visit: by, or the rate, which lets most
// leave, or this member's own application, which takes nothing.
func (p *Protocol) limit(now clock.Time, sent, backlog, most int, by core.LimitedBy) {
	switch {
	case p.state != Operational || sent >= backlog:
		by = core.ByApplication
	case sent >= most:
		by = core.ByMaxRate
	case by == core.ByReceiver:
		p.slowest = p.tok.t.aruID
	case !p.cur.accepts(p.tok.t.high + 1):
		by, p.slowest = core.ByReceiver, p.cfg.Self
	}
	p.limited.Set(now, by)
}
