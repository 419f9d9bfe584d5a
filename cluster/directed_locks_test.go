package cluster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// gatherIn orders what members have offered, in an order of the members.
func (r *rig) gatherIn(members ...int) {
	ring := r.nodes[members[0]].ring
	for _, i := range members {
		n := r.nodes[i]
		n.core.Flush(r.now)
		for _, p := range n.pending {
			ring.ordered = append(ring.ordered, sent{n, p})
		}
		n.pending = nil
	}
}

// holds reports whether a caller of a member believes now that it holds a lock, by the clock.
func (n *node) holds(c *Call) bool {
	return n.done[c.Number] == c && c.Code == CodeOK && !n.lost[c.Number] && n.rig.now < min(c.Deadline, n.pub.Until)
}

func (n *node) isMaster() bool { return n.pub.Master == n.id && n.rig.now < n.pub.Until }

// watched runs turns, and in each one no two members believe that they hold the lock of calls, or that they are master.
func (r *rig) watched(d time.Duration, calls map[int]*Call) {
	r.t.Helper()
	for end := r.now.Add(d); r.now < end; {
		r.turn()
		r.exclusive(calls)
	}
}

func (r *rig) exclusive(calls map[int]*Call) {
	r.t.Helper()
	holders, masters := []int{}, []int{}
	for i, n := range r.nodes {
		if calls[i] != nil && n.holds(calls[i]) {
			holders = append(holders, i)
		}
		if n.isMaster() {
			masters = append(masters, i)
		}
	}
	if len(holders) > 1 || len(masters) > 1 {
		r.t.Fatalf("at %v the members %v hold one lock, the members %v are master", r.now, holders, masters)
	}
}

// 21.9: the holder is stopped for some leases and continued, or cut off alone and healed.
func TestHolderStopped(t *testing.T) {
	for _, stopped := range []bool{true, false} {
		for _, leases := range []int{1, 3, 10} {
			t.Run(fmt.Sprintf("stopped %v for %d leases", stopped, leases), func(t *testing.T) {
				const lease = 400 * time.Millisecond
				r := newRig(t, 3, all3)
				r.split([]int{0, 1, 2})
				r.ready(0, 1, 2)
				calls := map[int]*Call{1: r.nodes[1].lock("k", lease)}
				r.nodes[1].wait(calls[1])
				calls[2] = r.nodes[2].lock("k", lease)
				r.watched(20*time.Millisecond, calls)
				if stopped {
					r.nodes[1].dead = true
					r.watched(100*time.Millisecond, calls)
					r.split([]int{0, 2})
				} else {
					r.split([]int{0, 2}, []int{1})
				}
				r.watched(time.Duration(leases)*lease, calls)
				if calls[2].Token <= calls[1].Token || r.nodes[2].done[calls[2].Number] == nil {
					t.Fatalf("the next in line has token %d after %d", calls[2].Token, calls[1].Token)
				}
				r.nodes[1].dead = false
				r.nodes[1].core.Flush(r.now)
				if r.nodes[1].holds(calls[1]) || !r.nodes[1].lost[calls[1].Number] {
					t.Error("the old holder still believes")
				}
				x := r.nodes[1].call(&Call{Kind: CallExtend, Lock: calls[1].Number, Op: wire.ClusterOp{Lease: int64(lease)}})
				if code := r.nodes[1].wait(x); code != CodeNotOwner {
					t.Errorf("it extends what it lost: code %d", code)
				}
				r.split([]int{0, 1, 2})
				r.watched(20*time.Millisecond, calls)
				r.settled(0, 1, 2)
			})
		}
	}
}

// 21.9: a grant that is applied after its holder's deadline is not handed out: the call goes on waiting, and gets another one.
func TestGrantAfterDeadline(t *testing.T) {
	const lease = 50 * time.Millisecond
	r := newRig(t, 3, all3)
	r.split([]int{0, 1, 2})
	r.ready(0, 1, 2)
	c := r.nodes[1].lock("k", lease)
	r.gather(r.nodes[0].ring)
	r.split([]int{0}, []int{1}, []int{2}) // it is in the tail of 1, and nobody else has it
	r.run(2 * lease)
	if r.nodes[1].done[c.Number] != nil && c.Code != CodeUnknown {
		t.Fatalf("code %d", c.Code)
	}
	again := r.nodes[1].done[c.Number] != nil // outside, a wait in line has an unknown outcome
	if again {
		c = r.nodes[1].lock("k", lease)
	}
	r.split([]int{0, 1, 2})
	if !again {
		r.nodes[1].wait(c)
		if c.Deadline <= r.now {
			t.Errorf("a lock that is over: deadline %v at %v", c.Deadline, r.now)
		}
	}
	r.settled(0, 1, 2)

	// In one ring: the exchange takes longer than the lease.
	c = r.nodes[1].lock("k2", lease)
	r.gather(r.nodes[0].ring)
	r.split([]int{0, 1, 2})
	r.now = r.now.Add(2 * lease)
	if code := r.nodes[1].wait(c); code != CodeOK || c.Deadline <= r.now {
		t.Errorf("code %d, deadline %v at %v", code, c.Deadline, r.now)
	}
	r.settled(0, 1, 2)
}

// 21.9: Extend crosses Expire, in both orders.
func TestExtendCrossesExpire(t *testing.T) {
	for _, first := range []string{"Extend", "Expire"} {
		t.Run(first+" first", func(t *testing.T) {
			const lease = 100 * time.Millisecond
			r := newRig(t, 3, all3)
			r.split([]int{0, 1, 2})
			r.ready(0, 1, 2)
			c := r.nodes[1].lock("k", lease)
			r.nodes[1].wait(c)
			r.run(5 * time.Millisecond)
			// The holder extends before its deadline, and the leader takes the lease for over at the same time.
			r.until("the end of the lease", func() bool { return r.now.Add(5*time.Millisecond) >= c.Deadline })
			x := r.nodes[1].call(&Call{Kind: CallExtend, Lock: c.Number, Op: wire.ClusterOp{Lease: int64(lease)}})
			r.nodes[1].core.Flush(r.now)
			r.nodes[0].core.Tick(r.now.Add(lease / 4)) // the leader's clock is ahead
			if first == "Extend" {
				r.gatherIn(1, 0, 2)
			} else {
				r.gatherIn(0, 1, 2)
			}
			if got := len(r.nodes[0].ring.ordered); got == 0 {
				t.Fatal("nothing was ordered")
			}
			for i := range 3 {
				r.all(i)
			}
			want := CodeOK
			if first == "Expire" {
				want = CodeNotOwner
			}
			if code := r.nodes[1].wait(x); code != want {
				t.Errorf("Extend: code %d, want %d", code, want)
			}
			h, ok := r.nodes[2].core.State().Held([]byte("m"), []byte("k"))
			if ok != (first == "Extend") || ok && h.Token != c.Token {
				t.Errorf("the lock is held: %v, %+v", ok, h)
			}
			r.run(5 * time.Millisecond)
			r.same(0, 1, 2)
		})
	}
}

// 21.9: Cancel crosses the grant, in both orders: the lock is free afterwards, and the next in line has it.
func TestCancelCrossesGrant(t *testing.T) {
	for _, first := range []string{"Unlock", "Cancel"} {
		t.Run(first+" first", func(t *testing.T) {
			r := newRig(t, 3, all3)
			r.split([]int{0, 1, 2})
			r.ready(0, 1, 2)
			a := r.nodes[0].lock("k", time.Hour)
			r.nodes[0].wait(a)
			b := r.nodes[1].lock("k", time.Hour)
			r.run(5 * time.Millisecond)
			c := r.nodes[2].lock("k", time.Hour)
			r.run(5 * time.Millisecond)
			r.nodes[0].call(&Call{Kind: CallUnlock, Lock: a.Number})
			if proposed, ok := r.nodes[1].core.Cancel(r.now, b.Number); !proposed || !ok {
				t.Errorf("Cancel: proposed %v, ok %v", proposed, ok)
			}
			if first == "Unlock" {
				r.gatherIn(0, 1, 2)
			} else {
				r.gatherIn(1, 0, 2)
			}
			for i := range 3 {
				r.all(i)
			}
			if code := r.nodes[2].wait(c); code != CodeOK {
				t.Errorf("the next in line: code %d", code)
			}
			r.run(5 * time.Millisecond)
			if h, ok := r.nodes[1].core.State().Held([]byte("m"), []byte("k")); !ok || h.Holder != r.nodes[2].id || h.Waiting != 0 {
				t.Errorf("held %v by %v, %d in line", ok, h.Holder, h.Waiting)
			}
			if r.nodes[1].done[b.Number] != nil {
				t.Error("the cancelled call is done")
			}
			r.same(0, 1, 2)
		})
	}
}

// 21.10: 1,000 waiters in one line, half of them give up, their members die one by one: fair, no waiter lost, none granted
// twice.
func TestLongLine(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	r := newRig(t, 5, nil)
	r.split([]int{0, 1, 2, 3, 4})
	r.ready(0, 1, 2, 3, 4)
	type waiter struct {
		i    int
		call *Call
		gone bool
	}
	var line []*waiter
	for k := range 1000 {
		w := &waiter{i: k % 5}
		w.call = r.nodes[w.i].lock("k", time.Hour)
		line = append(line, w)
		if k%50 == 49 {
			r.run(2 * time.Millisecond)
		}
	}
	r.run(20 * time.Millisecond)
	for _, k := range random.Perm(1000)[:500] {
		if w := line[k]; r.nodes[w.i].done[w.call.Number] == nil {
			r.nodes[w.i].core.Cancel(r.now, w.call.Number)
			w.gone = true
		}
	}
	r.run(20 * time.Millisecond)
	alive := []int{0, 1, 2, 3, 4}
	granted, last := 0, uint64(0)
	for granted < 300 || len(alive) > 1 {
		// The holder is the first in line that is there. It unlocks.
		k := slices.IndexFunc(line, func(w *waiter) bool { return r.nodes[w.i].done[w.call.Number] == w.call && !w.gone })
		if k < 0 {
			r.until("the next grant", func() bool {
				k = slices.IndexFunc(line, func(w *waiter) bool { return r.nodes[w.i].done[w.call.Number] == w.call && !w.gone })
				return k >= 0
			})
		}
		w := line[k]
		if w.call.Code != CodeOK || w.call.Token <= last {
			t.Fatalf("waiter %d: code %d, token %d after %d", k, w.call.Code, w.call.Token, last)
		}
		for at, o := range line {
			switch {
			case o == w || o.gone:
			case r.nodes[o.i].done[o.call.Number] == o.call:
				t.Fatal("two have it")
			case at < k && o.i == w.i:
				t.Fatalf("waiter %d has it before %d", k, at)
			}
		}
		last = w.call.Token
		w.gone = true
		granted++
		if granted%60 == 0 && len(alive) > 1 {
			dead := alive[len(alive)-1]
			alive = alive[:len(alive)-1]
			r.kill(dead)
			for _, o := range line {
				if o.i == dead {
					o.gone = true
				}
			}
			r.run(130 * time.Millisecond)
			r.split(alive)
			r.ready(alive...)
			if w.i == dead {
				continue
			}
		}
		r.nodes[w.i].call(&Call{Kind: CallUnlock, Lock: w.call.Number})
		if granted > 700 {
			t.Fatal("more grants than waiters")
		}
		if !slices.ContainsFunc(line, func(o *waiter) bool { return !o.gone }) {
			break
		}
	}
	r.run(20 * time.Millisecond)
	for k, w := range line {
		if !w.gone && r.nodes[w.i].done[w.call.Number] == nil {
			h, _ := r.nodes[0].core.State().Held([]byte("m"), []byte("k"))
			if h.Waiting == 0 {
				t.Errorf("waiter %d is lost", k)
			}
		}
	}
	r.same(alive...)
}

// 21.1: the leader is killed between a grant and its expiry, and between an exit of a holder and the Release.
func TestLeaderKilled(t *testing.T) {
	t.Run("before a lease ends", func(t *testing.T) {
		const lease = 400 * time.Millisecond
		r := newRig(t, 4, nil)
		r.split([]int{0, 1, 2, 3})
		r.ready(0, 1, 2, 3)
		calls := map[int]*Call{1: r.nodes[1].lock("k", lease)}
		r.nodes[1].wait(calls[1])
		calls[2] = r.nodes[2].lock("k", lease)
		r.watched(lease/2, calls)
		r.kill(0)
		r.watched(100*time.Millisecond, calls)
		r.split([]int{1, 2, 3})
		r.watched(lease, calls)
		if r.nodes[2].done[calls[2].Number] == nil {
			t.Error("the next in line does not get it")
		}
		r.watched(lease, calls)
	})
	t.Run("before a Release", func(t *testing.T) {
		r := newRig(t, 5, nil)
		r.split([]int{0, 1, 2, 3, 4})
		r.ready(0, 1, 2, 3, 4)
		calls := map[int]*Call{4: r.nodes[4].lock("k", time.Hour)}
		r.nodes[4].wait(calls[4])
		calls[2] = r.nodes[2].lock("k", time.Hour)
		r.watched(20*time.Millisecond, calls)
		r.split([]int{0, 1, 2, 3}) // 4 is lost, and still believes
		r.watched(50*time.Millisecond, calls)
		r.kill(0)
		r.watched(50*time.Millisecond, calls)
		r.split([]int{1, 2, 3})
		r.watched(2*DefaultGuard, calls)
		if r.nodes[2].done[calls[2].Number] == nil || calls[2].Code != CodeOK {
			t.Error("the next in line does not get it")
		}
	})
}

// 21.1: the master is cut off, stopped, outweighed, in every order: there are never two, and in the end there is one.
func TestMasters(t *testing.T) {
	events := []string{"cut off", "stopped", "outweighed"}
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			r := newRig(t, 5, expected(5))
			all := []int{0, 1, 2, 3, 4}
			r.split(all)
			r.ready(all...)
			master := func() int {
				m := -1
				r.until("a master", func() bool {
					r.exclusive(nil)
					m = slices.IndexFunc(r.nodes, func(n *node) bool { return n.isMaster() && !n.dead })
					return m >= 0
				})
				return m
			}
			weight := int64(0)
			for _, e := range order {
				m := master()
				var others []int
				for _, i := range all {
					if i != m {
						others = append(others, i)
					}
				}
				switch events[e] {
				case "cut off":
					r.split(others, []int{m})
					r.watched(DefaultGuard*2, nil)
				case "stopped":
					r.nodes[m].dead = true
					r.watched(130*time.Millisecond, nil)
					r.split(others)
					r.watched(DefaultGuard*2, nil)
					r.nodes[m].dead = false
					r.exclusive(nil)
					r.nodes[m].core.Flush(r.now)
				case "outweighed":
					weight++
					i := others[0]
					c := r.nodes[i].call(&Call{Kind: CallOp, Op: wire.ClusterOp{Kind: wire.OpWeight, Weight: weight}})
					r.watched(20*time.Millisecond, nil)
					r.nodes[i].wait(c)
					if got := master(); got != i {
						t.Errorf("member %d has the highest weight, and %d is master", i, got)
					}
					continue
				}
				if got := master(); got == m {
					t.Errorf("%s, and it is still master", events[e])
				}
				r.split(all)
				r.watched(20*time.Millisecond, nil)
				r.settled(all...)
			}
			m := master()
			for _, i := range all {
				if r.nodes[i].pub.Master != r.nodes[m].id {
					t.Errorf("member %d takes another one for master", i)
				}
			}
		})
	}
}

// TestYieldedAcrossRings: a master proposes to give it up, since another one outweighs it, and the ring ends before it gets
// its proposal back. A primary without it counts the proposal, and has another master at once: the old one does not
// believe in it again, whatever rings it is in until an establishment shows what came of it.
func TestYieldedAcrossRings(t *testing.T) {
	r := newRig(t, 5, func(_ int, c *Config) { c.Expected, c.Rejoin = 5, time.Millisecond })
	r.split([]int{0, 1, 2, 3, 4})
	r.ready(0, 1, 2, 3, 4)
	old := r.nodes[0]
	r.until("member 0 is master", old.isMaster)
	r.nodes[1].call(&Call{Kind: CallOp, Op: wire.ClusterOp{Kind: wire.OpWeight, Weight: 1}})
	r.until("it proposes to give it up", func() bool { return len(old.pending) > 0 })
	if old.isMaster() {
		t.Error("it proposes to give it up, and believes in it")
	}
	r.nodes[1].put("k", "v")
	r.gatherIn(0, 1) // nobody is handed them yet
	r.split([]int{1, 2, 3}, []int{0, 4})
	r.watched(5*time.Millisecond, nil) // outside, it answers what waits
	r.split([]int{0, 4})
	r.nodes[4].dead = true // the exchange of its next ring does not end
	r.watched(2*DefaultGuard, nil)
	if !r.nodes[1].isMaster() {
		t.Error("member 1 is not master")
	}

	// In a primary with it the replica shows what came of it.
	r.nodes[4].dead = false
	r.split([]int{0, 1, 2, 3, 4})
	r.watched(20*time.Millisecond, nil)
	r.settled(0, 1, 2, 3, 4)
	old.call(&Call{Kind: CallOp, Op: wire.ClusterOp{Kind: wire.OpWeight, Weight: 2}})
	r.until("member 0 is master again", func() bool { r.exclusive(nil); return old.isMaster() })
}
