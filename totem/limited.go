package totem

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// Limited is what keeps this member's rate from being higher.
func (p *Protocol) Limited(now clock.Time) core.Limited {
	l := core.Limited{By: p.limited.Mostly(now), For: p.limited.Total(now)}
	if l.By == core.ByReceiver {
		l.Member = p.slowest
		l.Endpoint, _ = p.peers.endpoint(p.slowest)
		l.Behind = p.tok.t.high - min(p.tok.t.aru, p.tok.t.high)
	}
	if turn := p.tok.rotation.mean; p.pace.phase != paceFree && turn > 0 && p.stats.Datagrams > 0 {
		l.Pace = p.pace.most * float64(p.stats.DatagramBytes) / float64(p.stats.Datagrams) / turn.Seconds()
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

// tellStuck reports that a member does not receive the datagram that the token's aru stands before, with the lengths
// that show whether full-sized datagrams are what does not arrive. The longest that it has is among those that its
// requests leave out, or where it is this member, those that are here.
func (p *Protocol) tellStuck(kind EventKind, member wire.MemberID) {
	if p.cfg.Events == nil {
		return
	}
	t := &p.tok.t
	e := Event{Kind: kind, Member: member, Ring: p.cur.id, Number: t.aru + 1}
	if s := p.cur.at(e.Number); s != nil {
		e.Length = s.buf.Len()
	}
	own, _ := p.cur.members.index(member) // what it sends itself shows nothing
	last := t.high
	if t.n == len(t.wanted) && member != p.cfg.Self {
		last = t.wanted[t.n-1] // what else it lacks is not known
	}
	for n := e.Number + 1; n <= last; n++ {
		if s := p.cur.at(n); s != nil && int(s.origin) != own && (member == p.cfg.Self || !wants(t.wanted[:t.n], n)) {
			e.Longest = max(e.Longest, s.buf.Len())
		}
	}
	p.event(e)
}

// lacks counts visits at which this member holds back the aru itself, and has got no further. When the others are about to
// put it out it reports that, once in each ring.
func (k *tokens) lacks(p *Protocol, now clock.Time) {
	if k.t.aruID != p.cfg.Self || p.cur.aru > k.aruForwarded { // it may hold the aru back at each visit, and get on
		k.lacking = 0
		return
	}
	if k.lacking++; k.lacking == 1 {
		k.lackingSince = now
	}
	if k.lacking > p.prof.StuckRotations/2 && now.Sub(k.lackingSince) >= p.prof.StuckTime/2 && !k.toldLack && !p.deliv.blocked {
		k.toldLack = true
		p.tellStuck(LacksData, p.cfg.Self)
	}
}
