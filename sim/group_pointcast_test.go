package sim

import (
	"testing"
	"time"
)

// listsFirst: every node lists the first one's address, and nobody else's.
func listsFirst(node int) []int {
	if node == 0 {
		return nil
	}
	return []int{0}
}

// incomplete returns which running members do not hold all that run.
func (c *GroupCluster) incomplete() (nodes []int) {
	n := 0
	for _, m := range c.Members {
		if m.Alive() {
			n++
		}
	}
	for _, m := range c.Members {
		if m.Alive() && len(m.Protocol.Members(nil)) != n {
			nodes = append(nodes, m.Node)
		}
	}
	return nodes
}

// topicsFlow lets a second pass, in which something of each member is received by each other one.
func (c *GroupCluster) topicsFlow(t *testing.T) {
	t.Helper()
	from := c.Net.Now()
	c.For(time.Second)
	for _, m := range c.Members {
		for _, o := range c.Members {
			if o != m && o.Alive() && m.Alive() && m.app.heard[o.id] < from {
				t.Errorf("node %d receives no topic of node %d", m.Node, o.Node)
			}
		}
	}
}

// TestGroupPointcast: without multicast, members that all list the first one's address hold all, each three round
// trips after its start. They receive each other's topics, go on without the first one, and are one group again
// when it starts again on its address.
func TestGroupPointcast(t *testing.T) {
	RunGroups(t, 100, func(t *testing.T, s *GroupCluster) {
		const delay = 100 * time.Microsecond
		s.Listed, s.Data, s.Rules.Accurate = listsFirst, 5*time.Millisecond, true
		s.Prepare(Link{Delay: delay})
		for range 3 + int(s.Seed%10) {
			s.Join()
			at := s.Net.Now()
			if !s.Net.RunUntil(at.Add(3*2*delay+time.Millisecond), func() bool { return len(s.incomplete()) == 0 }) {
				t.Fatalf("%d members: nodes %v do not hold all %v after the last start", len(s.Members), s.incomplete(), s.Net.Now().Sub(at))
			}
		}
		s.topicsFlow(t)
		s.Crash(0)
		s.For(300 * time.Millisecond)
		s.topicsFlow(t)
		if nodes := s.incomplete(); nodes != nil {
			t.Errorf("without the first one, nodes %v do not hold all", nodes)
		}
		s.Restart(0)
		s.For(100 * time.Millisecond)
		if nodes := s.incomplete(); nodes != nil {
			t.Errorf("100 ms after it is back, nodes %v do not hold all", nodes)
		}
		s.topicsFlow(t)
		s.Heal()
		s.Settle()
	})
}

// TestGroupPointcastLost: members whose only listed address is gone are split in two. Each side removes the other,
// and looks for it: after the last cut they are one group within the pause of this looking, 5 s.
func TestGroupPointcastLost(t *testing.T) {
	RunGroups(t, 60, func(t *testing.T, s *GroupCluster) {
		n := 3 + int(s.Seed%8)
		s.Listed = listsFirst
		s.Data = 5 * time.Millisecond
		s.Start(n, Link{Delay: 20 * time.Microsecond})
		s.For(300 * time.Millisecond)
		s.Crash(0)
		s.For(300 * time.Millisecond)
		half := []int{1}
		for i := 2; i < n; i++ {
			if s.rng.IntN(2) == 0 && len(half) < n-2 {
				half = append(half, i)
			}
		}
		s.Net.Partition(n, half...)
		s.For(300*time.Millisecond + between(s.rng, 12*time.Second))
		if len(s.incomplete()) != n-1 {
			t.Errorf("nodes %v of %d hold all though they are split", s.incomplete(), n)
		}
		s.Net.MendAll()
		at := s.Net.Now()
		if !s.Net.RunUntil(at.Add(5500*time.Millisecond), func() bool { return len(s.incomplete()) == 0 }) {
			t.Errorf("nodes %v do not hold all %v after the split", s.incomplete(), s.Net.Now().Sub(at))
		}
		s.topicsFlow(t)
		s.Heal()
		s.Settle()
	})
}

// TestGroupPointcastEverything is TestGroupEverything without multicast.
func TestGroupPointcastEverything(t *testing.T) {
	RunGroups(t, 200, func(t *testing.T, s *GroupCluster) {
		s.Listed = listsFirst
		if s.Seed%3 == 0 {
			s.Listed = func(node int) []int { return []int{max(node-1, 0), node} } // a chain, each with its own
		}
		s.Within = 6 * time.Second
		s.Everything(groupOf(s))
		s.Settle()
	})
}
