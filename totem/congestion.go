package totem

import (
	"time"

	"github.com/activeblaze/blaze/clock"
)

// Congestion control of a ring (docs/decisions/congestion-control.md). The token waits behind the data of its visit, so
// a ring does not overrun a slow link by more than a rotation's datagrams. Where these are more than its queue holds, the
// rest is lost in each rotation, and sent again. So the datagrams of a visit follow what arrives. A member counts how
// many datagrams of each member are sent again, and goes by the one that loses most (part). Above floodLoss it sends
// half as many a visit for a while. If clearly fewer are lost then, the pace is bound: one datagram more with each round
// in which no more is lost than at the low pace, a quarter less otherwise. If not, the loss is not the pace's fault, and
// nothing changes for heldOff.
const (
	floodLoss    = 0.05 // of the datagrams that were sent: from here on the pace is looked at
	floodSample  = 400  // datagrams
	testSample   = 200
	smallFlood   = 0.2 // below this a test is twice as long, so that chance does not look like a lower loss
	roundSample  = 64
	fewSent      = 16   // so many datagrams more, lost like all, are reckoned for each member: few of its own say little
	fewShare     = 6    // or one for each six that this member sent
	sampleLeast  = 5    // visits
	sampleWait   = 32   // visits after a change, at most, until all have what was sent before
	lessLoss     = 0.04 // fewer are lost at the low pace by at least this and by half
	fitsLoss     = 0.05 // more than at the low pace, and it still counts as none
	heavyLoss    = 0.3  // so much at the low pace, while others send too: a lower one is tried; from twice that on, again
	maxHalvings  = 3
	maxVain      = 3 // times in a row that less does not help: the bound was wrong
	paceLess     = 0.75
	paceLeast    = 2 // datagrams a visit
	repairLeast  = 8 // that are sent again
	sampleAge    = 2 * time.Second
	heldOff      = 5 * time.Second
	heldOffHeavy = 500 * time.Millisecond // and twice as long with each further time
	maxHeavy     = 4
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
	heavy    int        // times in a row that a low pace did not help while others sent
	vain     int        // times in a row that more was lost than at the low pace
	worst    float64    // the largest part of these
	low      bool       // the last change was to less
	first    bool       // no round has passed since the pace was bound
	after    clock.Time // not looked at before
	bound    clock.Time // when the bound last held something back

	// The sample. It begins when all members have what was sent before the last change.
	mark          uint64 // the last datagram of that; 0: it has begun
	wait          int    // visits since
	began         clock.Time
	visits, short int // short: visits at which more waited than was sent
	own           int // datagrams that this member sent, new ones and those sent again

	sent, lost [MaxMembers]int // datagrams of each member, as far as this one saw it
	again      int             // those of all that were sent again, by the token
	high       uint64          // of the token that came to the last visit
}

// leaves notes that member i sends a datagram of the ring. If it was sent before, what was sent of it last was lost.
func (c *congestion) leaves(s *slot, i int, before bool) {
	if before {
		c.lost[s.by]++
	}
	s.by = uint8(i)
	c.sent[i]++
}

// part is which part of a member's datagrams was lost, of the member that loses most. A queue is filled by all that
// send through it, and it is always the same member that finds it full: the last one of a rotation. So the others make
// room too. What this member lacked itself is not in it, since that was lost before it met this member's. Where the
// network doubles datagrams, the token says how many were sent again.
func (c *congestion) part() (worst float64) {
	sent, lost := 0, 0
	for i := range c.sent {
		sent += c.sent[i]
		lost += c.lost[i]
	}
	if lost == 0 {
		return 0
	}
	few, mean := float64(max(fewSent, c.own/fewShare)), float64(lost)/float64(max(sent, 1))
	for i, n := range c.lost {
		worst = max(worst, (float64(n)+few*mean)/(float64(c.sent[i])+few))
	}
	return min(worst*float64(c.again)/float64(max(c.again, lost)), 1)
}

// others reports whether another member sends a quarter of what this one does, or more.
func (c *congestion) others(me int) bool {
	for i, n := range c.sent {
		if i != me && 4*n >= c.own {
			return true
		}
	}
	return false
}

// installed begins anew with the ring's members.
func (c *congestion) installed(now clock.Time, high uint64) {
	c.high = high
	c.restart(now, 0)
}

// restart begins a sample when all members have what was sent up to mark; 0: now.
func (c *congestion) restart(now clock.Time, mark uint64) {
	c.mark, c.wait, c.began = mark, 0, now
	c.visits, c.short, c.own, c.again = 0, 0, 0, 0
	c.sent, c.lost = [MaxMembers]int{}, [MaxMembers]int{}
}

// room is how many datagrams a visit may have, at most n.
func (c *congestion) room(n int) int {
	if c.phase == paceFree {
		return n
	}
	return min(n, int(c.most))
}

// repairRoom is how many datagrams may be sent again at a visit: as many as the pace lets leave, and this member's part
// of what all sent in the last rotation, a third at most. So recovery does not grow when it fails; and a member that
// only repairs what another sends does not fill the queue that the other's pace leaves empty.
func (p *Protocol) repairRoom(t *token) int {
	if p.cfg.FreePace || p.cfg.defect == againFree {
		return len(t.wanted)
	}
	return max(min(int(t.fcc)/max(3, p.cur.members.n), p.pace.room(len(t.wanted))), repairLeast)
}

// step takes in one visit: sent new datagrams and those sent again; more means that others wait.
func (c *congestion) step(p *Protocol, now clock.Time, sent, again int, more bool) {
	t := &p.tok.t
	came := t.high - uint64(sent)
	resent := max(int(t.fcc)-int(came-c.high), 0)
	c.high = came
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
	c.own += sent + again
	c.again += resent
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
	limited := 2*c.short > c.visits // or else the application limits, and the loss shows nothing
	switch c.phase {
	case paceFree:
		c.look(now, t.high, limited)
	case paceTest:
		c.test(p, now)
	case paceBound:
		c.follow(p, now, limited)
	}
}

// look begins a test when much is lost.
func (c *congestion) look(now clock.Time, high uint64, limited bool) {
	if c.own < floodSample {
		return
	}
	lost := c.part()
	if lost < floodLoss || !limited || now < c.after {
		c.restart(now, 0)
		return
	}
	c.phase, c.flood, c.halvings, c.vain, c.bound = paceTest, lost, 0, 0, now
	c.most = max(float64(c.own)/float64(c.visits)/2, paceLeast)
	c.restart(now, high)
}

// test judges a low pace.
func (c *congestion) test(p *Protocol, now clock.Time) {
	least := testSample
	if c.flood < smallFlood {
		least *= 2
	}
	if c.own < least && (c.own < roundSample || c.visits < roundSample) {
		return
	}
	lost, others := c.part(), c.others(p.cur.me)
	c.flood = max(c.flood, lost) // where others began meanwhile
	switch {
	case c.flood-lost >= max(lessLoss, c.flood/2):
		c.phase, c.base, c.low, c.first, c.heavy = paceBound, lost, false, true, 0
		p.stats.Paced++
		c.restart(now, 0)
	case c.halvings < maxHalvings && (others && lost > heavyLoss*float64(min(1+c.halvings, 2)) || c.flood-lost >= lessLoss):
		c.halvings++
		c.most = max(c.most/2, paceLeast)
		c.restart(now, p.tok.t.high)
	case c.flood > heavyLoss && others: // they may have flooded the link meanwhile
		c.free(p, now, min(heldOffHeavy<<c.heavy, heldOff))
		c.heavy = min(c.heavy+1, maxHeavy)
	default:
		c.free(p, now, heldOff)
	}
}

// follow changes the bound after a round.
func (c *congestion) follow(p *Protocol, now clock.Time, limited bool) {
	if c.own < roundSample {
		return
	}
	lost := c.part()
	if c.first { // others may have flooded the link while the pace was looked at, and have found theirs
		c.base, c.first = min(c.base, lost), false
	}
	switch {
	case lost > c.base+fitsLoss:
		c.less(p, now, lost)
		return
	case !limited:
		c.restart(now, 0)
		return
	case c.low: // what is lost now is not the pace's fault
		c.base += (lost - c.base) / 2
	case lost < c.base:
		c.base += (lost - c.base) / 4
	}
	c.vain, c.low = 0, false
	if c.most++; c.most >= float64(p.prof.Personal) {
		c.free(p, now, 0)
		return
	}
	c.restart(now, p.tok.t.high)
}

// less lowers the bound, or gives it up where that has not helped.
func (c *congestion) less(p *Protocol, now clock.Time, lost float64) {
	if c.vain++; c.vain == 1 {
		c.worst = 0
	}
	c.worst = max(c.worst, lost)
	if c.vain <= maxVain || lost < c.worst*4/5 {
		c.most, c.low = max(c.most*paceLess, paceLeast), true
		c.restart(now, p.tok.t.high)
		return
	}
	d := heldOff
	if c.others(p.cur.me) {
		d = heldOffHeavy
	}
	c.free(p, now, d)
}

// free ends the bound. There is none for d.
func (c *congestion) free(p *Protocol, now clock.Time, d time.Duration) {
	c.phase = paceFree
	c.after = now.Add(d)
	c.restart(now, p.tok.t.high)
}
