package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// The first one that is due is taken first, the master's before all others of its time, and each again after a while.
func TestOrphans(t *testing.T) {
	var l orphans
	if _, ok := l.next(); ok || l.take(1, 1) != nil {
		t.Error("something of nothing")
	}
	l.forget("m", "none")
	l.add(lockName{"m", "later"}, 4, 300)
	for i := range 5 {
		l.add(lockName{"m", fmt.Sprint(i)}, 3, 200)
	}
	l.add(lockName{"", MasterKey}, 2, 200)
	if at, ok := l.next(); !ok || at != 200 || l.take(199, 1) != nil {
		t.Errorf("the first one is due at %v", at)
	}
	if o := l.take(200, 1000); o == nil || o.name.key != MasterKey || o.token != 2 {
		t.Fatalf("the first one is %+v", o)
	}
	l.forget("m", "3")
	l.forget("m", "3")
	l.add(lockName{"m", "4"}, 9, 200) // it was released, granted and orphaned again
	seen := map[string]uint64{}
	for o := l.take(201, 1000); o != nil; o = l.take(201, 1000) {
		seen[o.name.key] = o.token
	}
	if len(seen) != 4 || seen["4"] != 9 || seen["0"] != 3 {
		t.Errorf("taken %v", seen)
	}
	l.forget("", MasterKey)
	l.shift(50)
	if o := l.take(351, 1); o == nil || o.name.key != "later" {
		t.Errorf("%+v", o)
	}
	if at, _ := l.next(); at != 352 {
		t.Errorf("the next one is due at %v", at)
	}
	for i := range 5 {
		l.forget("m", fmt.Sprint(i))
	}
	l.forget("m", "later")
	if len(l.due) != 0 || len(l.named) != 0 {
		t.Errorf("%d are left, %d names", len(l.due), len(l.named))
	}
}

// All locks of a lost member are orphaned at one index, and released by as many operations as fit: in the meantime the
// leader has at most a message's worth of them under way, and afterwards no member remembers any.
func TestManyOrphans(t *testing.T) {
	r := newRig(t, 3, all3)
	r.split([]int{0, 1, 2})
	r.ready(0, 1, 2)
	n, last := 2000, (*Call)(nil)
	for i := range n {
		last = r.nodes[2].lock(fmt.Sprint(i), time.Hour)
	}
	r.nodes[2].wait(last)
	waits := r.nodes[1].lock("7", time.Hour)
	r.run(5 * time.Millisecond)
	r.kill(2)
	r.split([]int{0, 1})
	r.ready(0, 1)
	for i := range 2 {
		if c := r.nodes[i].core; len(c.state.Orphans()) != n || len(c.orphans.due) != n {
			t.Fatalf("member %d: %d locks are orphaned, and it knows of %d, want %d", i, len(c.state.Orphans()), len(c.orphans.due), n)
		}
	}
	most := 0
	r.until("all are released", func() bool {
		most = max(most, r.nodes[0].core.owns[duty])
		return r.nodes[0].core.state.Size().Locks == 1
	})
	if most == 0 || most > wire.MaxClusterOps {
		t.Errorf("%d operations of the leader are under way, want 1 to %d", most, wire.MaxClusterOps)
	}
	if code := r.nodes[1].wait(waits); code != CodeOK {
		t.Errorf("the one in line: code %d", code)
	}
	r.run(5 * time.Millisecond)
	for i := range 2 {
		if c := r.nodes[i].core; len(c.orphans.due) != 0 || len(c.orphans.named) != 0 {
			t.Errorf("member %d remembers %d orphans", i, len(c.orphans.due))
		}
	}
}

// BenchmarkOrphans is what one release of a lock costs the leader, while half a million are due.
func BenchmarkOrphans(b *testing.B) {
	var l orphans
	const n = 500_000
	for i := range n {
		l.add(lockName{"m", fmt.Sprint(i)}, uint64(i), 1)
	}
	b.ReportAllocs()
	now := clock.Time(2)
	for b.Loop() {
		now++
		o := l.take(now, time.Millisecond)
		l.forget(o.name.table, o.name.key)
		l.add(o.name, o.token, now)
	}
}
