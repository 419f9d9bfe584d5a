package cluster

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/wire"
)

func all3(i int, c *Config) { c.Expected = 3 }

// Three members found a cluster, write, read, and go on when one of them dies.
func TestFoundPutKill(t *testing.T) {
	r := newRig(t, 3, all3)
	r.split([]int{0, 1, 2})
	r.ready(0, 1, 2)
	c := r.nodes[1].put("a", "1")
	if code := r.nodes[1].wait(c); code != CodeOK || c.Version == 0 {
		t.Fatalf("put: code %d, version %d", code, c.Version)
	}
	r.run(5 * time.Millisecond)
	for i, n := range r.nodes {
		if n.get("a") != "1" {
			t.Errorf("member %d holds %q", i, n.get("a"))
		}
	}
	r.same(0, 1, 2)
	r.kill(0)
	c2 := r.nodes[1].put("a", "2") // in the old ring, that has no token any more
	r.run(100 * time.Millisecond)
	r.split([]int{1, 2})
	if code := r.nodes[1].wait(c2); code != CodeOK || c2.Version <= c.Version {
		t.Fatalf("put after the view change: code %d, version %d after %d", code, c2.Version, c.Version)
	}
	r.run(5 * time.Millisecond)
	r.same(1, 2)
	if r.nodes[2].get("a") != "2" {
		t.Errorf("member 2 holds %q", r.nodes[2].get("a"))
	}
	// A linear read elsewhere finds it.
	g := r.nodes[2].call(&Call{Kind: CallLinear, Op: wire.ClusterOp{Map: []byte("m"), Key: []byte("a")}})
	if code := r.nodes[2].wait(g); code != CodeOK || g.Entry == nil || string(g.Entry.Value()) != "2" {
		t.Errorf("GetLinear: code %d, entry %v", code, g.Entry)
	}
}

// The smaller part of a split refuses writes; the larger one goes on.
func TestSplit(t *testing.T) {
	r := newRig(t, 3, all3)
	r.split([]int{0, 1, 2})
	r.ready(0, 1, 2)
	r.split([]int{0}, []int{1, 2})
	r.ready(1, 2)
	a, b := r.nodes[0].put("a", "1"), r.nodes[1].put("b", "2")
	if code := r.nodes[0].wait(a); code != CodeNoQuorum {
		t.Errorf("a put in the smaller part: code %d", code)
	}
	if code := r.nodes[1].wait(b); code != CodeOK {
		t.Errorf("a put in the larger part: code %d", code)
	}
	if r.nodes[0].pub.Primary || !r.nodes[1].pub.Primary {
		t.Error("the wrong part is primary")
	}
}

// What was delivered in the transition counts when a primary goes on from it, and its caller gets the result.
func TestTail(t *testing.T) {
	r := newRig(t, 3, all3)
	r.split([]int{0, 1, 2})
	r.ready(0, 1, 2)
	n := r.nodes[0]
	c := n.put("a", "1")
	n.core.Flush(r.now)
	r.now = r.now.Add(time.Millisecond)
	r.rotate(n.ring) // ordered, and not safe yet
	r.split([]int{0, 1, 2})
	if len(n.core.tail) == 0 || len(n.done) != 0 {
		t.Fatalf("the tail has %d steps, %d calls are done", len(n.core.tail), len(n.done))
	}
	if code := n.wait(c); code != CodeOK {
		t.Errorf("the call in the tail: code %d", code)
	}
	r.run(5 * time.Millisecond)
	r.same(0, 1, 2)
	if r.nodes[2].get("a") != "1" {
		t.Errorf("member 2 holds %q", r.nodes[2].get("a"))
	}
}

// A lock passes from one member to the next, and ends by its lease where its holder does nothing.
func TestLock(t *testing.T) {
	r := newRig(t, 3, all3)
	r.split([]int{0, 1, 2})
	r.ready(0, 1, 2)
	a := r.nodes[0].lock("k", time.Second)
	if code := r.nodes[0].wait(a); code != CodeOK || a.Token == 0 {
		t.Fatalf("lock: code %d", code)
	}
	b := r.nodes[1].lock("k", time.Second)
	r.run(50 * time.Millisecond)
	if r.nodes[1].done[b.Number] != nil {
		t.Fatal("two members hold one lock")
	}
	u := r.nodes[0].call(&Call{Kind: CallUnlock, Lock: a.Number})
	if code := r.nodes[0].wait(u); code != CodeOK {
		t.Errorf("unlock: code %d", code)
	}
	if code := r.nodes[1].wait(b); code != CodeOK || b.Token <= a.Token {
		t.Errorf("the next in line: code %d, token %d after %d", code, b.Token, a.Token)
	}
	c := r.nodes[2].lock("k", time.Second)
	if code := r.nodes[2].wait(c); code != CodeOK {
		t.Fatalf("lock after a lease: code %d", code)
	}
	if !r.nodes[1].lost[b.Number] {
		t.Error("the holder whose lease is over does not know it")
	}
}

// The lock of a member that dies goes to the next after the guard time, not before.
func TestOrphan(t *testing.T) {
	r := newRig(t, 3, all3)
	r.split([]int{0, 1, 2})
	r.ready(0, 1, 2)
	a := r.nodes[0].lock("k", time.Hour)
	r.nodes[0].wait(a)
	b := r.nodes[1].lock("k", time.Hour)
	r.run(10 * time.Millisecond)
	r.kill(0)
	died := r.now
	r.run(100 * time.Millisecond)
	r.split([]int{1, 2})
	if code := r.nodes[1].wait(b); code != CodeOK {
		t.Fatalf("the next in line: code %d", code)
	}
	if d := r.now.Sub(died); d < DefaultGuard || d > DefaultGuard+20*time.Millisecond {
		t.Errorf("the lock was free %v after its holder died, want about %v", d, DefaultGuard)
	}
	// And so is the master's.
	r.until("another master", func() bool { return r.nodes[1].pub.Master == r.nodes[1].id })
	r.run(time.Millisecond)
	for _, n := range r.nodes[1:] {
		if s := n.core.Stats(); s.Orphaned != 2 || s.Released != 2 {
			t.Errorf("member %d: %d locks orphaned and %d released, want 2 and 2", n.i, s.Orphaned, s.Released)
		}
	}
}

// A member that stops in order leaves at once.
func TestStop(t *testing.T) {
	r := newRig(t, 3, nil)
	r.split([]int{0, 1, 2})
	r.ready(0, 1, 2)
	a := r.nodes[0].lock("k", time.Hour)
	r.nodes[0].wait(a)
	b := r.nodes[1].lock("k", time.Hour)
	w := r.nodes[0].lock("other", time.Hour)
	r.nodes[0].wait(w)
	x := r.nodes[0].lock("other", time.Hour) // waits for its own member
	r.run(10 * time.Millisecond)
	r.nodes[0].core.Close(r.now, time.Second)
	if code := r.nodes[0].wait(x); code != CodeClosed || !x.Proposed {
		t.Errorf("a call at Stop: code %d, proposed %v", code, x.Proposed)
	}
	r.until("the end", func() bool { closed, exited := r.nodes[0].core.Closed(); return closed && exited })
	if code := r.nodes[1].wait(b); code != CodeOK {
		t.Errorf("the next in line: code %d", code)
	}
	if v := r.nodes[1].core.State().Voters(); len(v) != 2 {
		t.Errorf("%d voters are left, want 2", len(v))
	}
	// One of the two that are left may die as well: the longer-serving one goes on.
	r.kill(0)
	r.split([]int{1, 2})
	r.ready(1, 2)
	r.split([]int{1})
	r.ready(1)
}
