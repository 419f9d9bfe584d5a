package totem

import (
	"time"

	"github.com/activeblaze/blaze/clock"
)

// Congestion control of a ring (docs/decisions/congestion-control.md). The token waits behind the data of its visit, so
// a ring does not overrun a slow link by more than a rotation's datagrams. Where these are more than its queue holds, the
// rest is lost in each rotation, and sent again. So the datagrams of a visit follow what arrives. A member counts how
// many of its own datagrams are sent again. Above floodLoss it sends half as many a visit for a while. If clearly fewer
// are lost then, the pace is bound: a little more with each round in which no more is lost than at the low pace, a little
// less otherwise. If not, the loss is not the pace's fault, and nothing changes for heldOff.
const (
	floodLoss    = 0.05 // of the datagrams that were sent: from here on the pace is looked at
	floodSample  = 400  // datagrams
	testSample   = 200
	roundSample  = 64
	sampleLeast  = 5    // visits
	sampleWait   = 32   // visits after a change, at most, until all have what was sent before
	lessLoss     = 0.04 // fewer are lost at the low pace by at least this and by half
	fitsLoss     = 0.05 // more than at the low pace, and it still counts as none
	heavyLoss    = 0.3  // so much at the low pace: a lower one is tried
	maxHalvings  = 3
	maxVain      = 3 // times that less does not help: the bound was wrong
	paceLess     = 0.85
	paceMore     = 1.125
	paceLeast    = 2 // datagrams a visit
	repairLeast  = 8 // that are sent again
	sampleAge    = 2 * time.Second
	heldOff      = 5 * time.Second
	heldOffHeavy = 500 * time.Millisecond
	unboundFor   = time.Second // without the bound holding anything back it ends
)

// pacePhase is where congestion control stands.
type pacePhase uint8

const (
	paceFree pacePhase = iota
	paceTest
	paceBound
)

// congestion bounds the datagrams of a visit, new ones and those sent again.
type congestion struct {
	phase    pacePhase
	most     float64 // datagrams a visit, but in paceFree
	flood    float64 // part that was lost when the pace was looked at
	base     float64 // and at the low pace
	halvings int
	vain     int
	low      bool       // the last change was to less
	after    clock.Time // not looked at before
	bound    clock.Time // when the bound last held something back

	// The sample. It begins when all members have what was sent before the last change.
	mark              uint64 // the last datagram of that; 0: it has begun
	wait              int    // visits since
	began             clock.Time
	visits, short     int // short: visits at which more waited than was sent
	sent, again, lost int // datagrams
}

// restart begins a sample when all members have what was sent up to mark; 0: now.
func (c *congestion) restart(now clock.Time, mark uint64) {
	c.mark, c.wait, c.began = mark, 0, now
	c.visits, c.short, c.sent, c.again, c.lost = 0, 0, 0, 0, 0
}

// room is how many datagrams a visit may have, at most n.
func (c *congestion) room(n int) int {
	if c.phase == paceFree {
		return n
	}
	return min(n, int(c.most))
}

// repairRoom is how many datagrams may be sent again at a visit: as many as the pace lets leave, and a third of what all
// members sent in the last rotation. So recovery does not grow when it fails; and a member that only repairs what
// another sends does not fill the queue that the other's pace leaves empty.
func (p *Protocol) repairRoom(t *token) int {
	if p.cfg.FreePace {
		return len(t.wanted)
	}
	return max(min(int(t.fcc)/3, p.pace.room(len(t.wanted))), repairLeast)
}

// lostOnce notes that a datagram is sent again, by whichever member, before that is counted in it.
func (p *Protocol) lostOnce(s *slot) {
	if s.again == 0 && int(s.origin) == p.cur.me && !s.recovered {
		p.pace.lost++
	}
}

// step takes in one visit: sent new datagrams and those sent again; more means that others wait.
func (c *congestion) step(p *Protocol, now clock.Time, sent, again int, more bool) {
	t := &p.tok.t
	if c.mark != 0 {
		if c.wait++; t.aru >= c.mark || c.wait >= sampleWait {
			c.restart(now, 0)
		}
		return
	}
	if now.Sub(c.began) > sampleAge {
		c.restart(now, 0)
	}
	c.visits++
	c.sent += sent
	c.again += again
	if more {
		c.short++
	}
	if c.phase != paceFree {
		if more {
			c.bound = now
		} else if now.Sub(c.bound) > unboundFor {
			c.free(p, now, 0)
			return
		}
	}
	if c.visits < sampleLeast {
		return
	}
	lost := float64(c.lost) / float64(max(c.sent, 1))
	limited := 2*c.short > c.visits // or else the application limits, and the loss shows nothing
	switch c.phase {
	case paceFree:
		if c.sent < floodSample {
			return
		}
		if lost < floodLoss || !limited || now < c.after {
			c.restart(now, 0)
			return
		}
		c.phase, c.flood, c.halvings, c.vain, c.bound = paceTest, min(lost, 1), 0, 0, now
		c.most = max(float64(c.sent+c.again)/float64(c.visits)/2, paceLeast)
		c.restart(now, t.high)
	case paceTest:
		if c.sent < testSample && (c.sent < roundSample || c.visits < roundSample) {
			return
		}
		switch {
		case c.flood-lost >= max(lessLoss, c.flood/2):
			c.phase, c.base, c.low = paceBound, lost, false
			p.stats.Paced++
			c.restart(now, 0)
		case c.halvings < maxHalvings && (lost > heavyLoss || c.flood-lost >= lessLoss):
			c.halvings++
			c.most = max(c.most/2, paceLeast)
			c.restart(now, t.high)
		case c.flood > heavyLoss:
			c.free(p, now, heldOffHeavy) // others may have flooded the link meanwhile
		default:
			c.free(p, now, heldOff)
		}
	case paceBound:
		switch {
		case c.sent < roundSample:
			return
		case lost > c.base+fitsLoss:
			if c.vain++; c.vain >= maxVain && lost >= c.flood/2 {
				c.free(p, now, heldOff)
				return
			}
			c.most, c.low = max(c.most*paceLess, paceLeast), true
			c.restart(now, t.high)
		case !limited:
			c.restart(now, 0)
		default:
			if c.low { // what is lost now is not the pace's fault
				c.base += (lost - c.base) / 2
			}
			c.vain, c.low = 0, false
			if c.most = max(c.most*paceMore, c.most+1); c.most >= float64(p.prof.Personal) {
				c.free(p, now, 0)
				return
			}
			c.restart(now, t.high)
		}
	}
}

// free ends the bound. There is none for d.
func (c *congestion) free(p *Protocol, now clock.Time, d time.Duration) {
	c.phase = paceFree
	c.after = now.Add(d)
	c.restart(now, p.tok.t.high)
}
