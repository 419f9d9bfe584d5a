package check

import (
	"slices"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// Settle marks that from time at on nothing goes wrong, all processes that have not ended are in
// one ring, and nothing waits to be sent: each message that is sent after that is delivered by all
// of them within agreed, or within safe if it is a safe one (TO-20), and no configuration changes
// any more (TO-21).
func (l *RingLog) Settle(at clock.Time, agreed, safe time.Duration) {
	l.settled, l.settledAt, l.agreed, l.safe = len(l.Records), at, agreed, safe
}

// progress checks TO-20 and TO-21 after Settle.
func (c *ringChecker) progress() []Violation {
	l := c.l
	r := reports{log: l}
	if l.settledAt == 0 {
		return nil
	}
	type message struct {
		from   Proc
		number uint64
	}
	delivered := map[message][]Proc{}
	for i := l.settled; i < len(l.Records); i++ {
		d := &l.Records[i]
		switch d.Kind {
		case RingDelivered:
			sent := l.message(d.From, d.Number)
			if sent == nil || sent.At < l.settledAt {
				continue
			}
			m := message{d.From, d.Number}
			delivered[m] = append(delivered[m], d.Proc)
			bound := l.agreed
			if sent.Safe {
				bound = l.safe
			}
			if took := d.At.Sub(sent.At); took > bound {
				r.add("TO-20", i, "delivered after %v, and not within %v", took, bound)
			}
		case RingView:
			if l.Procs[d.Proc].Ended == 0 {
				r.add("TO-21", i, "nothing went wrong, and the configuration changes")
			}
		}
	}
	for i := l.settled; i < len(l.Records); i++ {
		d := &l.Records[i]
		if d.Kind != RingSent {
			continue
		}
		have := delivered[message{d.Proc, d.Number}]
		for p := range l.Procs {
			if l.Procs[p].Ended == 0 && !slices.Contains(have, Proc(p)) {
				r.add("TO-20", i, "%s never delivered it", l.procName(Proc(p)))
			}
		}
	}
	return r.done()
}

// together compares what the processes that are in one ring at the end have delivered: TO-9, of the
// configuration that is still open.
func (c *ringChecker) together() []Violation {
	r := reports{log: c.l}
	first := map[wire.RingID]Proc{}
	for p := range c.segs {
		n := len(c.segs[p])
		if n == 0 || c.l.Procs[p].Ended != 0 {
			continue
		}
		g := &c.segs[p][n-1]
		o, ok := first[g.ring]
		if !ok {
			first[g.ring] = Proc(p)
			continue
		}
		if q := &c.segs[o][len(c.segs[o])-1]; q.regular != g.regular || q.end != g.end {
			r.add("TO-9", g.at, "delivered otherwise than %s in the last configuration", c.l.procName(o))
		}
	}
	return r.done()
}
