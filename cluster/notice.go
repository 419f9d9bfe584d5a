package cluster

import (
	"fmt"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// once says something in the log the first time.
func (c *Core) once(now clock.Time, kind WarningKind, m wire.MemberID, text string) {
	key := string(m[:]) + text
	if c.warned[key] {
		return
	}
	if len(c.warned) >= 1024 {
		clear(c.warned)
	}
	c.warned[key] = true
	c.warn(now, kind, m, "%s", text)
}

// notice names in the log what the exchange shows and what does not fit each other.
func (c *Core) notice(now clock.Time) {
	d := c.ex.d
	disks, seats := 0, 0
	for i := range d.Members {
		m := &d.Members[i]
		s := m.State
		if m.Twin {
			c.once(now, Error, m.Member, "another member has the same seat: a data directory was copied. Neither takes part; move one of the directories away")
		} else if m.Refused {
			c.once(now, Error, m.Member, "what it told about itself breaks a limit: it counts as an observer")
		}
		if s.Observer {
			continue
		}
		seats++
		if s.Disk {
			disks++
		}
		if me := c.ex.told[c.place(c.cfg.Self)]; s.Expected != me.Expected && !me.Observer {
			c.once(now, Warn, m.Member, fmt.Sprintf("its ExpectedMembers is %d, and this member's is %d: the larger one is in force", s.Expected, me.Expected))
		}
		for k := range i {
			o := d.Members[k].State
			if o.Name == s.Name && s.Name != "" && !o.Observer {
				c.once(now, Warn, m.Member, fmt.Sprintf("two members have the name %q: each could take the other's seat", s.Name))
			}
			if differ(o, s) {
				c.stats.HashMismatches++
				wrong := m.Member
				if m.Current {
					wrong = d.Members[k].Member
				}
				c.once(now, Error, wrong, fmt.Sprintf("its replica differs from another member's at index %d: it is dropped, and the state is fetched again", s.Index))
			}
		}
	}
	c.noticeClocks(now)
	if disks > 0 && disks < seats {
		c.once(now, Warn, c.cfg.Self, "some members have a DataDir and some have none: those without one never vote")
	}
	if c.judged().Twin {
		c.failure, c.why = CodeUnsupported, copiedSeat
	}
}

// clockBack is how far the history may be ahead of all wall clocks without a word in the log.
const clockBack = 10 * time.Second

// noticeClocks says once in the log that the wall clocks were set back since the history was written. Its indexes rise all
// the same, as long as somebody holds it.
func (c *Core) noticeClocks(now clock.Time) {
	o := &c.ex.d.Opening
	if c.clocksBack || !c.ex.d.OK || o.Founding {
		return
	}
	var latest uint64
	for _, s := range c.ex.told {
		latest = max(latest, wall(s))
	}
	if o.End <= latest || o.End-latest <= uint64(clockBack/time.Microsecond) {
		return
	}
	c.clocksBack = true
	c.warn(now, Warn, c.cfg.Self, "the wall clocks of all members were set back by %v or more: versions and tokens rise all the same, unless all members lose the state before the clocks have come so far again",
		(time.Duration(o.End-latest) * time.Microsecond).Round(time.Second))
}

// copiedSeat is why a member takes no part that is not alone with its seat.
const copiedSeat = "another member has the same seat: a data directory was copied"

// differ reports whether two replicas are not the same though they have come equally far. Their tails may differ: what
// members of different parts were handed over after the transitional event is not the same.
func differ(x, y *wire.ClusterState) bool {
	if len(x.Stages) != 1 || len(y.Stages) != 1 {
		return false
	}
	a, b := &x.Stages[0], &y.Stages[0]
	return samePrimary(&a.Primary, &b.Primary) && a.End == x.Index && b.End == y.Index && a.End == b.End && a.Hash != b.Hash
}

// ruleRange is which versions of the rules this member supports, and since when all members support the next one.
type ruleRange struct {
	min, max uint32
	since    clock.Time
	next     uint32
}

// raiseAfter is how long all members must have supported the next version.
const raiseAfter = time.Minute

func (c *Core) unsupportedRules() string {
	if rules := c.ex.d.Opening.Rules; c.rules.max < rules && rules <= rulesMax {
		for i := range c.ex.d.Members {
			if m := &c.ex.d.Members[i]; !m.Unsupported && m.State != nil && len(m.State.Services) > 0 {
				return fmt.Sprintf("the cluster has services, as %q, and this member has none", m.State.Services[0])
			}
		}
	}
	return fmt.Sprintf("rules %d are in force, and this build supports %d to %d", c.ex.d.Opening.Rules, c.rules.min, c.rules.max)
}

// raise proposes the next rules, if this member is the leader, when every member has supported them for a minute.
func (c *Core) raise(now clock.Time) {
	r := &c.rules
	if c.phase != Complete || c.transitional || r.max <= c.state.Rules() || c.state.Leader() != c.cfg.Self {
		r.since = 0
		return
	}
	next := c.state.Rules() + 1
	for _, m := range c.state.Members() {
		if m.RulesMax < next {
			r.since = 0
			return
		}
	}
	if r.since == 0 || r.next != next {
		r.since, r.next = now, next
	}
	if now.Sub(r.since) >= raiseAfter && c.owns[duty] == 0 {
		c.propose(duty, wire.ClusterOp{Kind: wire.OpRules, Rules: next})
	}
}
