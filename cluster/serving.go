package cluster

import (
	"fmt"
	"slices"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// What a Core does for the services of the application besides: ticks, what is certain, and the comparison of answers, which
// finds a service that is not deterministic.

// compareEvery is how often the leader has the answers of services compared, where there are new ones.
const compareEvery = time.Second

// serving is the Core's part of services.
type serving struct {
	certain uint64     // Machine.Certain was called with it
	due     clock.Time // the leader's next comparison
	soon    bool       // an Apply has panicked: the answers are to be compared at once

	common []string // that all members of the ring have

	// The comparison that goes on.
	index uint64 // 0: none
	told  []told // in the order in which they came
}

// told is what a member has told of its answers.
type told struct {
	by      wire.MemberID
	hash    uint64
	answers []uint64
}

// serviceNames are those of this member, ascending.
func (c *Core) serviceNames() []string {
	var names []string
	for i := range c.cfg.Services {
		names = append(names, c.cfg.Services[i].Name)
	}
	return names
}

// wallNanos is the wall clock, ns since 1970.
func (c *Core) wallNanos(now clock.Time) int64 { return c.cfg.Wall*1000 + int64(now) }

// serviceDuties proposes, as the leader, the ticks that services ask for, and now and then a comparison of their answers.
func (c *Core) serviceDuties(now clock.Time) {
	v := &c.state.services
	wall := c.wallNanos(now)
	for _, h := range v.list {
		if at, ok := h.wanted(); ok && at <= max(wall, h.ticked) && (!h.ticking || now >= h.retry) {
			h.ticking, h.retry = true, now.Add(retry)
			c.propose(duty, wire.ClusterOp{Kind: wire.OpTick, Key: []byte(h.name), Expires: max(wall, h.ticked, 0)})
		}
	}
	if v.since > 0 && now >= c.served.due && c.owns[compare] == 0 {
		c.proposeComparison(now)
	}
	if c.owns[duty] == 0 && c.state.Rules() >= rulesOfServices {
		for _, name := range c.served.common {
			if v.find([]byte(name)) == nil && len(v.list) < wire.MaxServices {
				c.propose(duty, wire.ClusterOp{Kind: wire.OpServe, Key: []byte(name)})
			}
		}
	}
}

func (c *Core) proposeComparison(now clock.Time) {
	c.served.soon, c.served.due = false, now.Add(compareEvery)
	c.propose(compare, wire.ClusterOp{Kind: wire.OpAnswers})
}

// nextServiceDuty is when serviceDuties has something to propose.
func (c *Core) nextServiceDuty() (at clock.Time, ok bool) {
	v := &c.state.services
	for _, h := range v.list {
		wall, wants := h.wanted()
		if !wants {
			continue
		}
		due := clock.Time(0)
		if start := c.cfg.Wall * 1000; wall > max(h.ticked, start) {
			due = clock.Time(wall - start)
		}
		if h.ticking {
			due = max(due, h.retry)
		}
		at, ok = clock.Earlier(at, ok, due, true)
	}
	if v.since > 0 && c.owns[compare] == 0 { // one that a broken ring keeps does not wake the leader
		at, ok = clock.Earlier(at, ok, c.served.due, true)
	}
	return at, ok
}

// tellCertain tells the services what is certain.
func (c *Core) tellCertain() {
	if c.phase != Complete || len(c.state.services.list) == 0 {
		return
	}
	index := c.committed
	if c.cfg.Interval {
		index = c.state.Index()
	}
	if index == c.served.certain {
		return
	}
	c.served.certain = index
	for _, h := range c.state.services.list {
		if h.machine != nil {
			h.machine.Certain(index)
		}
	}
}

// compareAnswers begins a comparison at the replica's index: all complete replicas tell what their services have answered.
func (c *Core) compareAnswers(now clock.Time) {
	if c.phase != Complete || c.joining || c.transitional || len(c.state.services.list) == 0 {
		return
	}
	v := &c.served // what was begun before and cut by a ring's end, or waits for a learner, is over
	v.index, v.told = c.state.Index(), v.told[:0]
	if c.state.services.lacking() == nil {
		c.put(wire.AppendCluster(nil, wire.KindCompared, &wire.ClusterCompared{
			Epoch: c.last.Epoch, Index: v.index, Hash: c.state.Hash(), Answers: c.state.services.answered()}), true)
	}
}

// onCompared takes what a member tells.
func (c *Core) onCompared(now clock.Time, place int, body []byte) {
	var m wire.ClusterCompared
	v := &c.served
	if wire.ParseClusterPart(body, &m) != nil || place < 0 {
		c.stats.Ignored++
		return
	}
	by := c.members[place]
	if c.phase != Complete || c.transitional || m.Epoch != c.last.Epoch || m.Index != v.index || len(m.Answers) != len(c.state.services.list) ||
		slices.ContainsFunc(v.told, func(t told) bool { return t.by == by }) {
		return // of a comparison that is over
	}
	v.told = append(v.told, told{by, m.Hash, slices.Clone(m.Answers)})
	for _, row := range c.state.Members() {
		if row.Ready && !row.Observer && !slices.ContainsFunc(v.told, func(t told) bool { return t.by == row.ID }) {
			return
		}
	}
	c.judgeAnswers(now)
}

func (t *told) equal(o *told) bool { return t.hash == o.hash && slices.Equal(t.answers, o.answers) }

// judgeAnswers ends a comparison. What most have answered is right; of as many it is what the longest-serving one among them
// has. All members come to the same, at the same place.
func (c *Core) judgeAnswers(now clock.Time) {
	v := &c.served
	index, list := v.index, v.told
	v.index, v.told = 0, nil
	if index == 0 || len(list) < 2 || !slices.ContainsFunc(list, func(t told) bool { return !t.equal(&list[0]) }) {
		return
	}
	rows := c.state.Members()
	age := func(id wire.MemberID) int { return slices.IndexFunc(rows, func(m Member) bool { return m.ID == id }) }
	slices.SortStableFunc(list, func(a, b told) int { return age(a.by) - age(b.by) })
	var right *told
	most := 0
	for i := range list {
		n := 0
		for k := range list {
			if list[i].equal(&list[k]) {
				n++
			}
		}
		if n > most {
			right, most = &list[i], n
		}
	}
	var providers []wire.MemberID
	wrong := false
	for i := len(list) - 1; i >= 0; i-- { // the longest-serving one last: it leads
		t := &list[i]
		if t.equal(right) {
			if t.by != c.cfg.Self {
				providers = append(providers, t.by)
			}
			continue
		}
		c.stats.HashMismatches++
		what := "its history"
		for k, h := range c.state.services.list {
			if t.answers[k] != right.answers[k] {
				what = fmt.Sprintf("what service %q has answered", h.name)
				break
			}
		}
		c.warn(now, Error, t.by, "%s differs from the other members' by index %d, so it is not deterministic there: the replica is dropped, and the state is fetched from another member", what, index)
		wrong = wrong || t.by == c.cfg.Self
	}
	if wrong {
		c.demote(now, providers)
	}
}
