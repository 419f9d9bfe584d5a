package cluster

import "github.com/activeblaze/blaze/clock"

// linear is the reads that wait for the token. Such a read sends nothing. The first visit after it says how far everything
// that was answered before is numbered; a later one proves that nobody had gone on without this member by then.
type linear struct {
	waiting []*slot // for the first visit
	rounds  []round // of those that have had it; older ones first
}

// round is reads that share their first visit.
type round struct {
	target uint64 // highest number given at the visit
	at     clock.Time
	slots  []*slot
	proven bool // a later visit was confirmed since
}

// take takes all reads out, in order.
func (l *linear) take() []*slot {
	var list []*slot
	for i := range l.rounds {
		list = append(list, l.rounds[i].slots...)
	}
	list = append(list, l.waiting...)
	*l = linear{}
	return list
}

// again has all reads begin anew: their ring is gone.
func (l *linear) again() { l.waiting = l.take() }

// visitLinear takes a token visit in the primary.
func (c *Core) visitLinear(now, confirmed clock.Time, high uint64) {
	l := &c.linear
	for i := range l.rounds {
		if r := &l.rounds[i]; confirmed >= r.at {
			r.proven = true
		}
	}
	if len(l.waiting) > 0 {
		l.rounds = append(l.rounds, round{target: high, at: now, slots: l.waiting, proven: confirmed >= now || c.cfg.defect == oneVisit})
		l.waiting = nil
	}
}

// readLinear answers the reads whose time has come.
func (c *Core) readLinear(now clock.Time) {
	l := &c.linear
	if len(l.rounds) == 0 || c.phase != Complete || c.transitional {
		return
	}
	delivered := c.cfg.Ring.Delivered()
	n := 0
	for n < len(l.rounds) && l.rounds[n].proven && delivered >= l.rounds[n].target {
		for _, s := range l.rounds[n].slots {
			if s.call == nil {
				c.release(s)
				continue
			}
			c.stats.LinearReads++
			s.call.Entry = c.state.Get(s.call.Op.Map, s.call.Op.Key)
			s.call.Found = s.call.Entry != nil
			s.index, s.code = c.state.Index(), CodeOK
			c.settle(now, s)
		}
		n++
	}
	l.rounds = append(l.rounds[:0], l.rounds[n:]...)
}
