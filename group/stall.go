package group

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// gate is closed while it is open whether others removed this member.
type gate struct {
	closed bool
	since  clock.Time
	until  clock.Time
	own    int // ends of this member itself that its handlers were not given yet
	asked  []inquiry
	yes    int
}

// inquiry is a question to one member: am I in your table?
type inquiry struct {
	id       wire.MemberID
	to       buf.Endpoint
	nonce    uint64
	next     clock.Time
	answered bool
}

const inquiries = 3

// StallLimit is from which gap on Stalled is to be called.
func (p *Protocol) StallLimit() time.Duration { return p.t() / 4 }

// Stalled is called first of all in a turn before which the member stood still for gap. What it did not
// receive meanwhile is not held against anybody.
func (p *Protocol) Stalled(now clock.Time, gap time.Duration) {
	if !p.started || gap < p.t()/4 {
		return
	}
	p.observe(now)
	p.settle(now)
	p.stats.Stalls++
	p.stats.LongestStall = max(p.stats.LongestStall, uint64(gap))
	if gap >= p.t()/2 {
		p.warn(LongStall)
	}
	if b := &p.beat; gap >= b.stall || now.Sub(b.stallAt) >= stallKept {
		b.stall, b.stallAt = gap, now
	}
	if p.cfg.defect != noShift {
		for _, e := range p.table.order {
			p.listen(now, e)
			unasked := e.heard > e.asked
			e.heard = min(e.heard.Add(gap), now)
			if !unasked { // nothing came from it: who may not be there gets no probe for the shift
				e.asked = max(e.asked, e.heard)
			}
			if e.doubt.from != 0 {
				e.doubt.from = min(e.doubt.from.Add(gap), now)
			}
		}
		if gap >= p.t()/2 {
			p.doubt.distrust = now.Add(p.t())
		}
	}
	if gap >= p.t()/2 {
		p.beat.due = now
	}
	if gap >= p.t()*3/4 && p.cfg.defect != noGate && !p.leaving {
		p.closeGate(now)
		g := &p.gate
		g.asked, g.yes = g.asked[:0], 0
		// Those that were received of last.
		for range inquiries {
			var best *entry
			for _, e := range p.table.order {
				if e.here() && !p.inquired(e.id) && (best == nil || e.heard > best.heard) {
					best = e
				}
			}
			if best != nil {
				p.gateMeets(now, best.id, best.endpoint)
			}
		}
	}
	p.arm(now)
}

func (p *Protocol) closeGate(now clock.Time) {
	g := &p.gate
	g.until = now.Add(p.t())
	if !g.closed {
		g.closed, g.since = true, now
		if p.cfg.Gate != nil {
			p.cfg.Gate(true)
		}
	}
}

func (p *Protocol) openGate(now clock.Time) {
	g := &p.gate
	p.stats.GateNS += uint64(now.Sub(g.since))
	*g = gate{asked: g.asked[:0]}
	if p.cfg.Gate != nil {
		p.cfg.Gate(false)
	}
	p.arm(now)
}

func (p *Protocol) inquired(id wire.MemberID) bool {
	for i := range p.gate.asked {
		if p.gate.asked[i].id == id {
			return true
		}
	}
	return false
}

// gateMeets has a member be asked, if the gate is closed and not enough are.
func (p *Protocol) gateMeets(now clock.Time, id wire.MemberID, to buf.Endpoint) {
	g := &p.gate
	if !g.closed || g.own > 0 || len(g.asked) == inquiries || p.inquired(id) || p.cfg.defect == noGateAlone && len(g.asked) == 0 && len(p.table.order) == 0 {
		return
	}
	g.asked = append(g.asked, inquiry{id: id, to: to, nonce: p.cfg.Rand.Uint64(), next: now})
	p.arm(now)
}

func (p *Protocol) tickGate(now clock.Time) {
	g := &p.gate
	if !g.closed {
		return
	}
	if now >= g.until {
		p.openGate(now)
		return
	}
	p.arm(g.until)
	for i := range g.asked {
		a := &g.asked[i]
		if a.answered || g.own > 0 {
			continue
		}
		if now >= a.next {
			a.next = now.Add(p.t() / 10)
			p.probe(a.to, wire.Probe{To: a.id, Kind: wire.ProbeAmIIn, Incarnation: p.incarnation, Nonce: a.nonce})
		}
		p.arm(a.next)
	}
}

// gateAnswer takes in that this member is in another one's table.
func (p *Protocol) gateAnswer(now clock.Time, q *wire.Probe) {
	g := &p.gate
	for i := range g.asked {
		if a := &g.asked[i]; a.nonce == q.Nonce && !a.answered {
			a.answered = true
			g.yes++
		}
	}
	if g.closed && g.own == 0 && g.yes > 0 && (g.yes >= 2 || g.yes == len(g.asked)) {
		p.openGate(now)
	}
}

// flushGate ends a turn. A member that had nobody to ask opens when nothing waits to be received any more.
func (p *Protocol) flushGate(now clock.Time) {
	g := &p.gate
	if !g.closed || g.own > 0 || len(g.asked) > 0 {
		return
	}
	if p.cfg.defect == noGateAlone || !p.stepped && now.Sub(g.since) >= p.h()/4 {
		p.openGate(now)
		return
	}
	p.arm(now.Add(p.h() / 4))
}

// excludedBy takes in that another member removed this one, with this incarnation.
func (p *Protocol) excludedBy(now clock.Time, incarnation uint32) {
	d := &p.doubt
	switch {
	case incarnation < p.incarnation || p.leaving:
		return
	case jumps(p.incarnation, incarnation):
		p.stats.Drops[DropIncarnation]++
		return
	}
	if d.second == 0 || now.Sub(d.second) >= time.Second {
		d.second, d.words, d.excluded = now, 0, 0
	}
	if d.excluded++; d.excluded > exclusions {
		p.stats.Drops[DropRate]++
		return
	}
	p.stats.Excluded++
	p.closeGate(now)
	p.gate.own++
	p.tellSelf(now, Failed)
	if p.cfg.defect != sameIncarnation {
		p.incarnation = incarnation + 1
	}
	p.own.build(p)
	p.table.changed = now
	p.own.announce = true
	p.beat.due = now
	p.arm(now)
	p.tellSelf(now, Started)
	for _, e := range p.table.order {
		p.pairs.returned(now, e)
	}
}

// SelfTold is called for each own end that Tell was given, when handlers begin to be given it. The gate
// opens with the last.
func (p *Protocol) SelfTold(now clock.Time) {
	if g := &p.gate; g.closed && g.own > 0 {
		if g.own--; g.own == 0 {
			p.openGate(now)
		}
	}
}
