package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// supports gives a member a build that supports other rules.
func (n *node) supports(min, max uint32) { n.core.rules.min, n.core.rules.max = min, max }

func (n *node) warnings() string { return strings.Join(n.warned, "\n") }

// upgrade replaces a member by a process of the same name with another build.
func (r *rig) upgrade(i int, min, max uint32) int {
	n := r.nodes[i]
	n.core.Close(r.now, time.Second)
	r.until("the end", func() bool { closed, _ := n.core.Closed(); return closed })
	n.dead = true
	var k int
	for name, o := range r.nodes {
		if o == n {
			k = name
		}
	}
	next := r.add(k%3, all3)
	next.supports(min, max)
	return next.i
}

// 21.17: a cluster of three is upgraded from rules 1 to builds of 1 and 2, in every order: the old rules hold until all members
// have supported the new ones for a minute.
func TestUpgrade(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		r := newRig(t, 3, all3)
		members := []int{0, 1, 2}
		r.split(members)
		r.ready(members...)
		for step, i := range order {
			r.nodes[members[i]].wait(r.nodes[members[i]].put("a", "1"))
			members[i] = r.upgrade(members[i], 1, 2)
			r.split(members)
			r.settled(members...)
			r.run(200 * time.Millisecond)
			for _, k := range members {
				if v := r.nodes[k].core.State().Rules(); v != 1 {
					t.Fatalf("%v: rules %d after %d of 3", order, v, step+1)
				}
			}
		}
		for range 61 {
			r.now = r.now.Add(time.Second - time.Millisecond)
			r.turn()
			r.run(3 * time.Millisecond)
		}
		r.run(20 * time.Millisecond)
		for _, k := range members {
			if v := r.nodes[k].core.State().Rules(); v != 2 {
				t.Errorf("%v: rules %d at member %d after a minute", order, v, k)
			}
		}
		r.same(members...)

		// An old member comes back when the rules have risen: it does not vote, gets no state, and says why.
		old := r.add(7, all3)
		r.split(append(members, old.i))
		r.ready(members...)
		w := old.call(&Call{Kind: CallReady})
		if code := old.wait(w); code != CodeUnsupported {
			t.Errorf("WaitReady of the old build: code %d", code)
		}
		p := old.put("a", "2")
		if code := old.wait(p); code != CodeUnsupported {
			t.Errorf("a put of the old build: code %d", code)
		}
		if why := old.core.Status(r.now).Why; !strings.Contains(why, "rules 2") || !strings.Contains(why, "1 to 1") {
			t.Errorf("its Status says %q: not both numbers", why)
		}
		if old.core.State() != nil {
			t.Error("it got the state")
		}
		if v := r.nodes[members[0]].core.State().Voters(); len(v) != 3 || seated(v, wire.Seat(old.id)) {
			t.Errorf("voters %v", v)
		}
	}
}

// 21.17: a member whose build is too old says so, whatever else is missing.
func TestOldBuildsOnly(t *testing.T) {
	r := newRig(t, 3, all3)
	r.nodes[0].supports(2, 2)
	r.nodes[1].supports(2, 3)
	r.split([]int{0, 1, 2})
	r.ready(0, 1)
	if v := r.nodes[0].core.State().Rules(); v != 2 {
		t.Fatalf("rules %d", v)
	}
	r.split([]int{0, 2}, []int{1})
	r.outside(0, WhyQuorum)
	r.until("the old build's word", func() bool { return r.nodes[2].core.phase == Outside })
	if code := r.nodes[0].wait(r.nodes[0].put("a", "1")); code != CodeNoQuorum {
		t.Errorf("a put of the build that supports the rules: code %d", code)
	}
	if code := r.nodes[2].wait(r.nodes[2].put("a", "1")); code != CodeUnsupported {
		t.Errorf("a put of the one that does not: code %d", code)
	}
	r.split([]int{0, 1})
	r.settled(0, 1)
}

func (r *rig) force(i int) *Call {
	c := r.nodes[i].call(&Call{Kind: CallForce})
	r.nodes[i].core.Flush(r.now)
	return c
}

// 7.3: a majority is gone for good, and an operator makes the rest the primary.
func TestForce(t *testing.T) {
	r := newRig(t, 3, all3)
	r.split([]int{0, 1, 2})
	r.ready(0, 1, 2)
	r.nodes[0].wait(r.nodes[0].put("a", "1"))
	r.run(5 * time.Millisecond)
	if code := r.nodes[1].wait(r.force(1)); code != CodeOK {
		t.Errorf("Force in a primary: code %d", code)
	}
	if e := r.epoch(0); e != 1 {
		t.Errorf("and epoch %d", e)
	}
	r.split([]int{0}, []int{1, 2})
	r.settled(1, 2)
	r.nodes[1].wait(r.nodes[1].put("a", "2"))
	r.outside(0, WhyMembers)
	c := r.force(0)
	if code := r.nodes[0].wait(c); code != CodeOK {
		t.Fatalf("Force: code %d", code)
	}
	r.settled(0)
	if e := r.epoch(0); e != 1+forcedStep {
		t.Errorf("epoch %d", e)
	}
	if !strings.Contains(r.nodes[0].warnings(), "writes may be lost") {
		t.Errorf("the log says %q", r.nodes[0].warnings())
	}
	if code := r.nodes[0].wait(r.nodes[0].put("b", "1")); code != CodeOK {
		t.Errorf("a put: code %d", code)
	}
	// The others come back: the forced primary is the one that counts.
	r.split([]int{0, 1, 2})
	r.settled(0, 1, 2)
	for i, n := range r.nodes {
		if n.get("a") != "1" || n.get("b") != "1" {
			t.Errorf("member %d holds %q, %q", i, n.get("a"), n.get("b"))
		}
	}
	if v := r.nodes[2].core.State().Voters(); len(v) != 3 {
		t.Errorf("%d voters", len(v))
	}
}

// Force with what is open: it is forgotten, its history is not.
func TestForceWithOpenClaims(t *testing.T) {
	r := newRig(t, 5, expected(5))
	r.split([]int{0, 1, 2, 3, 4})
	r.ready(0, 1, 2, 3, 4)
	r.nodes[0].wait(r.nodes[0].put("a", "1"))
	ring := r.claim(0, 1, 2)
	r.all(2)
	c := r.nodes[2].put("a", "2")
	r.gather(ring)
	r.all(2)
	r.nodes[2].core.Flush(r.now)
	if r.nodes[2].done[c.Number] == nil || c.Code != CodeOK {
		t.Fatal("the put is not answered")
	}
	r.split([]int{0, 1})
	r.outside(0, WhyMembers)
	if len(r.nodes[0].core.tried) != 1 {
		t.Fatal("nothing is open")
	}
	if code := r.nodes[1].wait(r.force(1)); code != CodeOK {
		t.Fatalf("Force: code %d", code)
	}
	r.settled(0, 1)
	if r.nodes[0].get("a") != "2" {
		t.Error("an answered put is lost")
	}
}

// A Force whose ring ends leaves all as it was.
func TestForceInterrupted(t *testing.T) {
	r := newRig(t, 5, expected(5))
	r.split([]int{0, 1, 2, 3, 4})
	r.ready(0, 1, 2, 3, 4)
	r.split([]int{0, 1}, []int{2, 3, 4})
	r.outside(0, WhyMembers)
	for rounds := range 3 {
		c := r.force(0)
		ring := r.nodes[0].ring
		for range rounds {
			r.gather(ring)
			r.all(0)
			r.all(1)
		}
		r.split([]int{0, 1})
		r.outside(0, WhyMembers)
		r.outside(1, WhyMembers)
		if code := r.nodes[0].wait(c); code != CodeNoQuorum && code != CodeUnknown {
			t.Errorf("after %d rounds: code %d", rounds, code)
		}
	}
	r.split([]int{0, 1, 2, 3, 4})
	r.settled(0, 1, 2, 3, 4)
	if e := r.epoch(0); e > 10 {
		t.Errorf("epoch %d: what failed counts", e)
	}
}
