package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// gather orders what the members of a ring have offered, and delivers none of it.
func (r *rig) gather(ring *ringSim) {
	for _, n := range ring.members {
		if !n.dead {
			n.core.Flush(r.now)
		}
	}
	for _, n := range ring.members {
		for _, p := range n.pending {
			ring.ordered = append(ring.ordered, sent{n, p})
		}
		n.pending = nil
	}
}

// claim brings the members into one ring, and to where all their claims are ordered and none of them is delivered.
func (r *rig) claim(members ...int) *ringSim {
	r.t.Helper()
	r.split(members)
	ring := r.nodes[members[0]].ring
	for range 3000 {
		claiming := 0
		for _, n := range ring.members {
			if n.core.phase == Claiming && n.core.ex.sent {
				claiming++
			}
		}
		if claiming == len(ring.members) {
			r.gather(ring)
			return ring
		}
		r.gather(ring)
		for _, n := range ring.members {
			r.deliver(n, len(ring.ordered))
		}
		r.now = r.now.Add(time.Millisecond)
		for _, n := range ring.members {
			n.disk.sync(r.now)
			if at, ok := n.core.Deadline(); ok && at <= r.now {
				n.core.Tick(r.now)
			}
		}
	}
	s := r.nodes[members[0]].core.Status(r.now)
	r.t.Fatalf("members %v do not claim: phase %v, %s", members, s.Phase, s.Why)
	return nil
}

// all delivers all that is ordered in its ring to a member.
func (r *rig) all(i int) { r.deliver(r.nodes[i], len(r.nodes[i].ring.ordered)) }

// settled waits until these members are complete and equal, with nothing left over.
func (r *rig) settled(members ...int) {
	r.t.Helper()
	r.ready(members...)
	r.run(10 * time.Millisecond)
	r.same(members...)
	for _, i := range members {
		if c := r.nodes[i].core; len(c.tail) > 0 || len(c.tried) > 0 {
			r.t.Errorf("member %d has a tail of %d steps, and %d open primaries", i, len(c.tail), len(c.tried))
		}
	}
}

func (r *rig) epoch(i int) uint64 { return r.nodes[i].core.last.Epoch }

// outside waits until a member has found that it is in no primary.
func (r *rig) outside(i int, why Why) {
	r.t.Helper()
	r.until(fmt.Sprintf("member %d outside", i), func() bool { return r.nodes[i].core.phase == Outside })
	if d := r.nodes[i].core.ex.d; d.Why != why {
		r.t.Errorf("member %d is outside for: %v, want: %v", i, d.Why, why)
	}
}

func expected(n int) func(int, *Config) { return func(_ int, c *Config) { c.Expected = n } }

// A founding is claimed by all, and all see the last claim in the transition: it is open, and goes on in the next ring.
func TestOpenFounding(t *testing.T) {
	r := newRig(t, 3, all3)
	r.claim(0, 1, 2)
	r.split([]int{0, 1, 2})
	for i, n := range r.nodes {
		if n.core.stats.ClaimsOpen != 1 {
			t.Fatalf("member %d: %d claims are open", i, n.core.stats.ClaimsOpen)
		}
	}
	c := r.nodes[1].put("a", "1")
	if code := r.nodes[1].wait(c); code != CodeOK {
		t.Errorf("put: code %d", code)
	}
	r.settled(0, 1, 2)
	if e := r.epoch(0); e != 2 {
		t.Errorf("epoch %d", e)
	}
}

// A founding that one member has established, and all others see in the transition, goes on without that one.
func TestOpenFoundingGoesOn(t *testing.T) {
	r := newRig(t, 3, all3)
	r.claim(0, 1, 2)
	r.all(0)
	c := r.nodes[0].put("a", "1")
	r.gather(r.nodes[0].ring)
	r.split([]int{0}, []int{1, 2})
	if r.nodes[0].core.stats.Establishments != 1 || r.nodes[1].core.stats.ClaimsOpen != 1 {
		t.Fatal("not as it was meant")
	}
	r.ready(1, 2)
	r.outside(0, WhyMembers)
	if code := r.nodes[0].wait(c); code != CodeUnknown {
		t.Errorf("a put that may be in the tail of others: code %d", code)
	}
	r.split([]int{0, 1, 2})
	r.settled(0, 1, 2)
}

// A founding that one member alone takes for open: the two that saw it fail have founded without it, and prove it.
func TestFoundingFailed(t *testing.T) {
	r := newRig(t, 3, all3)
	r.claim(0, 1, 2)
	r.split([]int{2}, []int{0, 1}) // the last one of the claims is that of 2
	if r.nodes[0].core.stats.ClaimsFailed != 1 || r.nodes[2].core.stats.ClaimsOpen != 1 {
		t.Fatal("not as it was meant")
	}
	r.settled(0, 1)
	r.split([]int{0, 1, 2})
	r.settled(0, 1, 2)
}

// Tails of different lengths behind an open founding: the shorter one is filled.
func TestOpenFoundingFilled(t *testing.T) {
	r := newRig(t, 3, all3)
	ring := r.claim(0, 1, 2)
	r.all(0)
	r.nodes[0].put("a", "1")
	r.gather(ring)
	r.split([]int{0, 1}, []int{2}) // 0 brings 1 its put, and 2 has not received it
	r.ready(0, 1)
	r.split([]int{0, 1, 2})
	r.settled(0, 1, 2)
	if s := r.nodes[2].core.stats; s.Fills != 1 || s.Transfers != 0 {
		t.Errorf("%d fills, %d transfers", s.Fills, s.Transfers)
	}
}

// 21.2: one member delivers the last claim as regular and all others do in the transition. It dies; it is cut off; it comes
// back after two more primaries.
func TestLastClaimAtOne(t *testing.T) {
	for _, fate := range []string{"dies", "is cut off", "comes back"} {
		t.Run(fate, func(t *testing.T) {
			r := newRig(t, 3, all3)
			r.split([]int{0, 1, 2})
			r.ready(0, 1, 2)
			r.nodes[0].wait(r.nodes[0].put("a", "1"))
			r.claim(0, 1, 2)
			r.all(0)
			// It is the only one that has established the primary; what it puts there is in no other replica.
			c := r.nodes[0].put("a", "2")
			r.gather(r.nodes[0].ring)
			if fate == "dies" {
				r.kill(0)
				r.split([]int{1, 2})
			} else {
				r.split([]int{1, 2}, []int{0})
				r.outside(0, WhyMembers)
				if code := r.nodes[0].wait(c); code != CodeUnknown {
					t.Errorf("the put of the one: code %d", code)
				}
			}
			r.settled(1, 2)
			e := r.epoch(1)
			if fate == "comes back" {
				r.nodes[1].wait(r.nodes[1].put("a", "3"))
				r.split([]int{1, 2})
				r.ready(1, 2)
				r.split([]int{0, 1, 2})
				r.settled(0, 1, 2)
				if got := r.nodes[0].get("a"); got != "3" {
					t.Errorf("it holds %q", got)
				}
				if r.epoch(0) <= e {
					t.Errorf("epoch %d after %d", r.epoch(0), e)
				}
			}
		})
	}
}

// The member that has established a primary alone has answered a put that others have in their tails: it counts.
func TestAnsweredByOne(t *testing.T) {
	r := newRig(t, 3, all3)
	r.split([]int{0, 1, 2})
	r.ready(0, 1, 2)
	ring := r.nodes[0].ring
	c := r.nodes[0].put("a", "1")
	r.gather(ring)
	r.all(0)
	r.nodes[0].core.Flush(r.now)
	if r.nodes[0].done[c.Number] == nil || c.Code != CodeOK {
		t.Fatalf("the put was not answered")
	}
	r.kill(0)
	r.split([]int{1, 2})
	r.settled(1, 2)
	if r.nodes[1].get("a") != "1" {
		t.Error("an answered put is lost")
	}
}

// 21.3: the ring changes in the middle of the exchange, of the claims, again and again, with operations under way: every caller
// gets an answer, and each operation counts once.
func TestRingsInTheMiddle(t *testing.T) {
	for until := range 12 {
		t.Run(fmt.Sprint(until), func(t *testing.T) {
			r := newRig(t, 3, all3)
			r.split([]int{0, 1, 2})
			r.ready(0, 1, 2)
			var calls []*Call
			for k := range 10 {
				for i, n := range r.nodes {
					calls = append(calls, n.put(fmt.Sprintf("%d.%d", k, i), "1"))
				}
				ring := r.nodes[0].ring
				for range until / 2 { // rounds of messages that come through
					r.gather(ring)
					for i := range r.nodes {
						r.deliver(r.nodes[i], len(ring.ordered))
					}
				}
				if until%2 == 1 { // one member is ahead of the others
					r.gather(ring)
					r.all(k % 3)
				}
				r.split([]int{0, 1, 2})
			}
			for k, c := range calls {
				if code := r.nodes[k%3].wait(c); code != CodeOK {
					t.Errorf("put %d: code %d", k, code)
				}
			}
			r.settled(0, 1, 2)
			var versions = map[uint64]bool{}
			for k, c := range calls {
				e := r.nodes[0].core.State().Get([]byte("m"), fmt.Appendf(nil, "%d.%d", k/3, k%3))
				if e == nil || e.Version() != c.Version || versions[c.Version] {
					t.Errorf("put %d: version %d of the call, entry %+v", k, c.Version, e)
				}
				versions[c.Version] = true
			}
		})
	}
}

// restart is a new process in the place of a dead one.
func (r *rig) restart(i int, change func(int, *Config)) int {
	n := r.add(i, change)
	return n.i
}

// 21.5: two of three are killed at once.
func TestTwoOfThreeKilled(t *testing.T) {
	start := func(t *testing.T) *rig {
		r := newRig(t, 3, all3)
		r.split([]int{0, 1, 2})
		r.ready(0, 1, 2)
		r.nodes[0].wait(r.nodes[0].put("a", "1"))
		r.run(5 * time.Millisecond)
		r.kill(1)
		r.kill(2)
		r.split([]int{0})
		r.outside(0, WhyMembers)
		return r
	}
	t.Run("one comes back under its name", func(t *testing.T) {
		r := start(t)
		i := r.restart(2, all3)
		begun := r.now
		r.split([]int{0, i})
		r.until("a primary", func() bool { return r.nodes[0].pub.Primary })
		if d := r.now.Sub(begun); d < DefaultRejoin {
			t.Errorf("a primary by a seat that was taken over after %v, want %v at least", d, DefaultRejoin)
		}
		r.settled(0, i)
		if r.nodes[i].get("a") != "1" {
			t.Error("the state is not there")
		}
		// It has a seat of its own by now, and goes on when the ring changes.
		r.split([]int{0, i})
		r.settled(0, i)
	})
	t.Run("the ring changes while it learns", func(t *testing.T) {
		r := start(t)
		i := r.restart(2, all3)
		r.split([]int{0, i})
		r.until("a primary", func() bool { return r.nodes[0].core.phase == Complete && r.nodes[i].core.phase == Learning })
		r.split([]int{0, i})
		r.settled(0, i)
	})
	t.Run("one comes back under another name", func(t *testing.T) {
		r := start(t)
		i := r.restart(7, all3)
		r.split([]int{0, i})
		r.outside(0, WhyQuorum)
		r.outside(i, WhyQuorum)
	})
	t.Run("all three are there", func(t *testing.T) {
		r := start(t)
		i, k := r.restart(1, all3), r.restart(2, all3)
		begun := r.now
		r.split([]int{0, i, k})
		r.until("a primary", func() bool { return r.nodes[0].pub.Primary })
		if d := r.now.Sub(begun); d > DefaultRejoin/2 {
			t.Errorf("nobody is missing, and a primary after %v", d)
		}
		r.settled(0, i, k)
	})
}

// 21.6: of four that are expected, two halves: neither writes, and after healing nothing is lost.
func TestTwoHalves(t *testing.T) {
	r := newRig(t, 4, expected(4))
	r.split([]int{0, 1, 2, 3})
	r.ready(0, 1, 2, 3)
	r.nodes[0].wait(r.nodes[0].put("a", "1"))
	r.split([]int{0, 1}, []int{2, 3})
	for i := range 4 {
		r.outside(i, WhyMembers)
		if code := r.nodes[i].wait(r.nodes[i].put("a", "2")); code != CodeNoQuorum {
			t.Errorf("member %d: code %d", i, code)
		}
		if r.nodes[i].get("a") != "1" {
			t.Errorf("member %d serves %q", i, r.nodes[i].get("a"))
		}
	}
	r.split([]int{0, 1, 2, 3})
	r.settled(0, 1, 2, 3)
	if r.nodes[3].get("a") != "1" {
		t.Error("a write is lost")
	}
}

// 21.6: five as 2+2+1, and back in every order.
func TestFiveApart(t *testing.T) {
	a, b, c := []int{0, 1}, []int{2, 3}, []int{4}
	join := func(groups ...[]int) (all []int) {
		for _, g := range groups {
			all = append(all, g...)
		}
		return all
	}
	for _, order := range [][3][]int{{a, b, c}, {a, c, b}, {b, a, c}, {b, c, a}, {c, a, b}, {c, b, a}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			r := newRig(t, 5, expected(5))
			r.split([]int{0, 1, 2, 3, 4})
			r.ready(0, 1, 2, 3, 4)
			r.nodes[0].wait(r.nodes[0].put("a", "1"))
			r.split(a, b, c)
			for i := range 5 {
				r.outside(i, WhyMembers)
			}
			first := join(order[0], order[1])
			r.split(first, order[2])
			r.settled(first...)
			r.nodes[first[0]].wait(r.nodes[first[0]].put("a", "2"))
			r.split([]int{0, 1, 2, 3, 4})
			r.settled(0, 1, 2, 3, 4)
			for i := range 5 {
				if r.nodes[i].get("a") != "2" {
					t.Errorf("member %d holds %q", i, r.nodes[i].get("a"))
				}
			}
		})
	}
}

// 21.6: of two that are expected one leaves in order, and comes back.
func TestOneOfTwoLeaves(t *testing.T) {
	r := newRig(t, 2, expected(2))
	r.split([]int{0, 1})
	r.ready(0, 1)
	r.nodes[0].wait(r.nodes[0].put("a", "1"))
	r.nodes[1].core.Close(r.now, time.Second)
	r.until("the end", func() bool { closed, _ := r.nodes[1].core.Closed(); return closed })
	r.kill(1)
	r.split([]int{0})
	r.outside(0, WhyMembers) // a majority of those that are expected is not here
	i := r.restart(1, expected(2))
	r.split([]int{0, i})
	r.settled(0, i)
	if v := r.nodes[0].core.State().Voters(); len(v) != 2 {
		t.Errorf("%d voters", len(v))
	}
}

// 21.7: a dynamic cluster shrinks by kills, one at a time, and each time goes on.
func TestShrinks(t *testing.T) {
	r := newRig(t, 5, nil)
	r.split([]int{0, 1, 2, 3, 4})
	r.ready(0, 1, 2, 3, 4)
	left := []int{0, 1, 2, 3, 4}
	for _, i := range []int{0, 4, 1} {
		r.kill(i)
		for k := range left {
			if left[k] == i {
				left = append(left[:k:k], left[k+1:]...)
				break
			}
		}
		r.split(left)
		r.settled(left...)
		if code := r.nodes[left[0]].wait(r.nodes[left[0]].put("a", fmt.Sprint(i))); code != CodeOK {
			t.Fatalf("%v are left: code %d", left, code)
		}
	}
	// Two are left, 2 and 3. The younger one dies: the other goes on. The longest-serving one does: nobody does.
	t.Run("the younger one dies", func(t *testing.T) {
		r.split([]int{2}, []int{3})
		r.settled(2)
		r.outside(3, WhyQuorum)
		r.split([]int{2, 3})
		r.settled(2, 3)
		r.kill(2)
		r.split([]int{3})
		r.outside(3, WhyQuorum)
	})
}

// 21.7: of a dynamic cluster of four the half with the longest-serving member goes on.
func TestDynamicHalves(t *testing.T) {
	for _, side := range [][]int{{0, 3}, {0, 2}, {0, 1}} {
		other := []int{}
		for i := range 4 {
			if i != side[0] && i != side[1] {
				other = append(other, i)
			}
		}
		r := newRig(t, 4, nil)
		r.split([]int{0, 1, 2, 3})
		r.ready(0, 1, 2, 3)
		r.split(side, other)
		r.settled(side...)
		r.outside(other[0], WhyQuorum)
		r.outside(other[1], WhyQuorum)
		r.split([]int{0, 1, 2, 3})
		r.settled(0, 1, 2, 3)
	}
}

// 21.8: two clusters of one that wrote apart meet: the older one's state, a reset at the other one, its calls answered, and
// tokens after the merge above both.
func TestTwoChainsMeet(t *testing.T) {
	r := newRig(t, 2, nil)
	r.split([]int{0})
	r.settled(0)
	r.run(100 * time.Millisecond)
	r.split([]int{1})
	r.settled(1)
	r.nodes[0].wait(r.nodes[0].put("a", "older"))
	r.nodes[1].wait(r.nodes[1].put("a", "younger"))
	r.nodes[1].wait(r.nodes[1].put("b", "younger"))
	held, dropped := r.nodes[0].lock("k", time.Hour), r.nodes[1].lock("k", time.Hour)
	r.nodes[0].wait(held)
	r.nodes[1].wait(dropped)
	if r.nodes[0].core.last.Chain == r.nodes[1].core.last.Chain {
		t.Fatal("one chain from the beginning")
	}
	waiting := r.nodes[1].lock("k", time.Hour) // in its line
	r.run(5 * time.Millisecond)
	r.nodes[1].pub.Reset = false
	highest := max(r.nodes[0].core.State().Index(), r.nodes[1].core.State().Index())
	r.claim(0, 1)
	if !r.nodes[1].core.published.Primary && len(r.nodes[1].core.holds) > 0 {
		t.Error("it holds locks of its chain with the claim under way")
	}
	r.nodes[1].core.Flush(r.now)
	if !r.nodes[1].lost[dropped.Number] {
		t.Error("the lock is not lost when the claim is sent")
	}
	r.settled(0, 1)
	if r.nodes[1].get("a") != "older" || r.nodes[1].get("b") != "-" {
		t.Errorf("the younger one holds %q, %q", r.nodes[1].get("a"), r.nodes[1].get("b"))
	}
	if code := r.nodes[1].wait(waiting); code != CodeUnknown {
		t.Errorf("a call that waited in line: code %d", code)
	}
	if r.nodes[0].lost[held.Number] {
		t.Error("the older chain's lock is lost")
	}
	c := r.nodes[1].lock("other", time.Hour)
	if code := r.nodes[1].wait(c); code != CodeOK || c.Token <= highest || c.Token <= dropped.Token {
		t.Errorf("a token %d, the highest index before was %d", c.Token, highest)
	}
}

// 21.20: three members with tails of different lengths after a split of every shape: the fill makes all of them current.
func TestFill(t *testing.T) {
	for a := range 4 {
		for b := range 4 {
			for c := range 4 {
				for _, shape := range [][][]int{{{0}, {1}, {2}}, {{0, 1}, {2}}, {{0}, {1, 2}}, {{0, 2}, {1}}} {
					r := newRig(t, 3, all3)
					r.split([]int{0, 1, 2})
					r.ready(0, 1, 2)
					ring := r.nodes[0].ring
					for k := range 3 {
						r.nodes[k].put(fmt.Sprint(k), "1")
						r.gather(ring)
					}
					r.deliver(r.nodes[0], r.nodes[0].delivered+a)
					r.deliver(r.nodes[1], r.nodes[1].delivered+b)
					r.deliver(r.nodes[2], r.nodes[2].delivered+c)
					r.split(shape...)
					r.run(2 * time.Millisecond)
					before := r.nodes[0].core.stats.Transfers + r.nodes[1].core.stats.Transfers + r.nodes[2].core.stats.Transfers
					r.split([]int{0, 1, 2})
					r.settled(0, 1, 2)
					after := r.nodes[0].core.stats.Transfers + r.nodes[1].core.stats.Transfers + r.nodes[2].core.stats.Transfers
					if after != before && len(shape) == 3 {
						t.Errorf("%d %d %d, %v: %d members had to learn", a, b, c, shape, after-before)
					}
				}
			}
		}
	}
}

// 21.20: the filler dies before, in the middle of, and after its fill.
func TestFillerDies(t *testing.T) {
	for rounds := range 5 {
		t.Run(fmt.Sprint(rounds), func(t *testing.T) {
			r := newRig(t, 5, expected(5))
			r.split([]int{0, 1, 2, 3, 4})
			r.ready(0, 1, 2, 3, 4)
			r.split([]int{0, 1, 2}, []int{3, 4})
			r.settled(0, 1, 2)
			c := r.nodes[0].put("a", "1")
			r.nodes[0].wait(c)
			r.run(2 * time.Millisecond)
			r.split([]int{0, 1, 2, 3, 4})
			ring := r.nodes[0].ring
			r.gather(ring)
			for range rounds {
				for i := range 5 {
					r.deliver(r.nodes[i], len(ring.ordered))
				}
				r.gather(ring)
			}
			r.kill(0)
			r.split([]int{1, 2, 3, 4})
			r.settled(1, 2, 3, 4)
			if r.nodes[4].get("a") != "1" {
				t.Error("a write is lost")
			}
		})
	}
}

// 21.21: the longest State, of 16 members with the longest names and as many open primaries as a member remembers, fits one
// message of the ring, and one datagram's worth of fragments that every ring takes.
func TestLongestState(t *testing.T) {
	set := make([]wire.Voter, wire.MaxRing)
	seats := make([]wire.Seat, wire.MaxRing)
	for i := range set {
		seats[i] = wire.Seat{byte(i), 1}
		set[i] = wire.Voter{Seat: seats[i], Name: ^uint64(i), Started: ^uint64(0), Disk: true}
	}
	p := func(i int) wire.Primary {
		return wire.Primary{Chain: chainA, Epoch: 1<<62 + uint64(i), Ring: ringOf(wire.MaxRingSeq), N: 16, Voters: set, Seats: seats}
	}
	s := &wire.ClusterState{Ring: ringOf(1), Name: string(make([]byte, wire.MaxName)), Certain: set, RulesMin: 1, RulesMax: 1}
	l := p(0)
	s.Last = &l
	for i := range wire.MaxTried {
		s.Tried = append(s.Tried, p(i+1))
	}
	for i := range wire.MaxStages {
		s.Stages = append(s.Stages, wire.Stage{Primary: p(i), End: uint64(i), Rules: 1, Voters: set, Between: []wire.VoterSet{{Index: 1, Voters: set}}})
	}
	b := wire.AppendCluster(nil, wire.KindState, s)
	if len(b) > 64<<10 {
		t.Errorf("it takes %d bytes", len(b))
	}
	var got wire.ClusterState
	if _, body, err := wire.ParseCluster(b); err != nil || wire.ParseClusterPart(body, &got) != nil {
		t.Errorf("it is not read: %v", err)
	}
	if !sane(&got) {
		t.Error("it breaks a limit")
	}
}

// 21.19: a member whose replica has another hash becomes a learner, and is named.
func TestWrongHash(t *testing.T) {
	for wrong := range 3 {
		r := newRig(t, 3, all3)
		r.split([]int{0, 1, 2})
		r.ready(0, 1, 2)
		r.nodes[0].wait(r.nodes[0].put("a", "1"))
		r.run(5 * time.Millisecond)
		r.nodes[wrong].core.state.hash ^= 1 << 20
		r.split([]int{0, 1, 2})
		r.settled(0, 1, 2)
		for i, n := range r.nodes {
			if transfers := n.core.stats.Transfers; transfers != 0 != (i == wrong) {
				t.Errorf("member %d is wrong, and member %d had %d transfers", wrong, i, transfers)
			}
			if n.core.stats.HashMismatches == 0 || !strings.Contains(n.warnings(), "differs from another member's") {
				t.Errorf("member %d: %d mismatches, the log says %q", i, n.core.stats.HashMismatches, n.warnings())
			}
		}
	}
}

// 21.21: a member that a full ring has refused founds nothing, and says so.
func TestSeventeenth(t *testing.T) {
	r := newRig(t, wire.MaxRing+1, nil)
	all := make([]int, wire.MaxRing)
	for i := range all {
		all[i] = i
	}
	r.split(all, []int{wire.MaxRing})
	n := r.nodes[wire.MaxRing]
	n.core.Full(r.now)
	w, c := n.call(&Call{Kind: CallReady}), n.put("a", "1")
	r.ready(all...)
	for _, call := range []*Call{w, c} {
		if code := n.wait(call); code != CodeUnsupported {
			t.Errorf("code %d", code)
		}
	}
	if s := n.core.Status(r.now); !strings.Contains(s.Why, "as many members as it can have") || s.Last.Epoch != 0 {
		t.Errorf("it says %q, and is in epoch %d", s.Why, s.Last.Epoch)
	}
	// One leaves, and there is room.
	r.kill(3)
	all = append(append(slices.Clone(all[:3]), all[4:]...), wire.MaxRing)
	r.split(all)
	r.settled(all...)
}

// Observers change no quorum, also when they are killed: with them there is a primary where there is one without, and none else.
func TestObservers(t *testing.T) {
	r := newRig(t, 5, func(i int, c *Config) { c.Expected, c.Observer = 3, i >= 3 })
	r.split([]int{3, 4})
	r.outside(3, WhyVoters)
	r.split([]int{0, 3, 4})
	r.outside(0, WhyMembers)
	r.split([]int{0, 1, 2, 3, 4})
	r.settled(0, 1, 2, 3, 4)
	if v := r.nodes[4].core.State().Voters(); len(v) != 3 {
		t.Errorf("%d voters", len(v))
	}
	if code := r.nodes[4].wait(r.nodes[4].put("a", "1")); code != CodeOK {
		t.Errorf("a put of an observer: code %d", code)
	}
	l := r.nodes[4].lock("k", time.Hour)
	r.nodes[4].wait(l)
	r.split([]int{0, 3, 4}, []int{1, 2})
	r.settled(1, 2)
	r.outside(0, WhyMembers)
	r.outside(4, WhyMembers)
	r.split([]int{0, 1, 2, 3, 4})
	r.settled(0, 1, 2, 3, 4)
	r.kill(3)
	r.kill(4)
	r.split([]int{0, 1, 2})
	r.settled(0, 1, 2)
	r.split([]int{0, 1})
	r.settled(0, 1)
	for _, i := range []int{0, 1} {
		if m := r.nodes[i].pub.Master; m == r.nodes[3].id || m == r.nodes[4].id {
			t.Error("an observer is master")
		}
	}
}
