package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// servedDisks is served with a disk at each member.
func servedDisks(t *testing.T, n int, names ...string) *rig {
	r := served(t, 0, nil, names...)
	for i := range n {
		r.addDisk(i, n, nil)
	}
	return r
}

// All members are killed at once, in the middle of operations, with and without snapshots on their disks: what was
// acknowledged is there, and all hold the same.
func TestServicesOnDisks(t *testing.T) {
	for _, snapshots := range []bool{false, true} {
		t.Run(fmt.Sprint(snapshots), func(t *testing.T) {
			r := servedDisks(t, 3, "empty", "one")
			members := []int{0, 1, 2}
			r.split(members)
			r.ready(members...)
			acked := map[string]bool{}
			for life := range 4 {
				var calls []*Call
				for k := range 200 {
					n := r.nodes[members[k%3]]
					calls = append(calls, n.propose("one", fmt.Sprintf("life %d, op %d, %s", life, k, strings.Repeat("x", 10*k))))
					if k%9 == 0 {
						r.turn()
					}
					if snapshots && k%60 == 30 {
						n.core.disk.operations = snapshotLogOps
						n.put("k", fmt.Sprint(k))
					}
				}
				r.run(time.Duration(r.rand.IntN(8)) * time.Millisecond)
				for _, c := range calls {
					for _, i := range members {
						if n := r.nodes[i]; n.done[c.Number] == c && c.Code == CodeOK {
							acked[string(c.Op.Value)] = true
						}
					}
				}
				based := 0
				for k, i := range members {
					if r.nodes[i].disk.durable.base != 0 {
						based++
					}
					members[k] = r.crash(i, 3)
				}
				if snapshots != (based > 0) {
					t.Errorf("life %d: %d disks have a snapshot", life, based)
				}
				r.split(members)
				r.ready(members...)
				r.alike(members...)
				count := map[string]int{}
				for _, line := range r.nodes[members[0]].book("one").lines {
					if _, op, ok := strings.Cut(line, " life "); ok {
						count["life "+op]++
					}
				}
				for op := range acked {
					if n := count[op]; n != 1 {
						t.Fatalf("life %d: %.30q was acknowledged, and is there %d times", life, op, n)
					}
				}
				if len(acked) < 100*(life+1) {
					t.Fatalf("%d acknowledged", len(acked))
				}
			}
		})
	}
}

// Nothing is certain, and no call returns, before a majority's disks have it; but for Unsynced.
func TestServiceUnsynced(t *testing.T) {
	r := servedDisks(t, 3, "one")
	r.split([]int{0, 1, 2})
	r.ready(0, 1, 2)
	r.nodes[0].wait(r.nodes[0].propose("one", "first"))
	r.run(20 * time.Millisecond)
	for _, n := range r.nodes {
		n.disk.stuck = true
	}
	n := r.nodes[0]
	before := slices.Clone(n.book("one").certain)
	slow := n.propose("one", "slow")
	fast := n.propose("one", "fast")
	fast.Unsynced = true
	if code := n.wait(fast); code != CodeOK || string(fast.Answer) == "" {
		t.Errorf("unsynced: code %d, answer %q", code, fast.Answer)
	}
	r.run(50 * time.Millisecond)
	if n.done[slow.Number] != nil {
		t.Errorf("it is answered with code %d, and no disk has it", slow.Code)
	}
	if got := n.book("one").certain; !slices.Equal(got, before) {
		t.Errorf("certain up to %d, and no disk has it", got[len(got)-1])
	}
	for _, n := range r.nodes {
		n.disk.stuck = false
	}
	if code := n.wait(slow); code != CodeOK {
		t.Errorf("code %d", code)
	}
	r.run(20 * time.Millisecond)
	if got := n.book("one").certain; got[len(got)-1] < slow.Version {
		t.Errorf("certain up to %d, and %d is committed", got[len(got)-1], slow.Version)
	}
}

// A snapshot for the disk that fails is made again later, and the log goes on meanwhile.
func TestServiceDiskSnapshotFails(t *testing.T) {
	r := servedDisks(t, 1, "one")
	r.split([]int{0})
	r.ready(0)
	n := r.nodes[0]
	for _, plant := range []func(error){func(e error) { n.book("one").snapshot = e }, func(e error) { n.book("one").torn = e }} {
		plant(errors.New("no memory"))
		n.core.disk.operations, n.core.disk.retry = snapshotLogOps, 0
		n.wait(n.propose("one", "a"))
		r.run(100 * time.Millisecond)
		if n.disk.durable.base != 0 || n.core.disk.retry == 0 {
			t.Fatal("there is a snapshot")
		}
		plant(nil)
	}
	n.core.disk.retry = 0
	n.wait(n.propose("one", "b"))
	r.run(100 * time.Millisecond)
	if n.disk.durable.base == 0 {
		t.Error("there is no snapshot")
	}
	if n.book("one").open != 0 {
		t.Errorf("%d snapshots are open", n.book("one").open)
	}
	i := r.crash(0, 1)
	r.split([]int{i})
	r.ready(i)
	if got := r.nodes[i].book("one").lines; len(got) != 4 || got[3] != "gone 1" {
		t.Errorf("%q", got)
	}
}

// An observer with a disk that lacks a service goes on making snapshots: what it lacks has no part in them.
func TestObserverDiskLacking(t *testing.T) {
	r := servedDisks(t, 1, "one")
	r.change = func(_ int, c *Config) { c.Observer = true }
	watcher := r.addDisk(1, 1, nil)
	r.split([]int{0, 1})
	r.ready(0, 1)
	for k := range 3 {
		base := watcher.disk.durable.base
		watcher.core.disk.operations = snapshotLogOps
		r.nodes[0].wait(r.nodes[0].propose("one", fmt.Sprint(k)))
		r.run(100 * time.Millisecond)
		if watcher.disk.durable.base <= base || watcher.core.disk.writing {
			t.Errorf("round %d: the snapshot is at %d, before at %d", k, watcher.disk.durable.base, base)
		}
	}
}

// A directory with the state of a service that the member lacks: it takes no part, and says the name. Tools look at it.
func TestServiceOfTheDiskLacking(t *testing.T) {
	for _, snapshot := range []bool{false, true} {
		r := servedDisks(t, 1, "one")
		r.split([]int{0})
		r.ready(0)
		n := r.nodes[0]
		n.wait(n.put("k", "v"))
		if snapshot {
			n.core.disk.operations = snapshotLogOps
		}
		n.wait(n.propose("one", "a"))
		r.run(100 * time.Millisecond)
		if snapshot != (n.disk.durable.base != 0) {
			t.Fatal("snapshot: ", !snapshot)
		}
		r.kill(0)
		s, err := Examine(n.disk.recovered())
		if err != nil || s.Entries != 1 || s.Index != n.core.State().Index() {
			t.Errorf("snapshot %v: Examine: %+v, %v", snapshot, s, err)
		}
		change := r.change
		r.change = nil
		i := r.addDisk(0, 1, n.disk).i
		if s := r.nodes[i].core.Status(r.now); !strings.Contains(s.DiskError, `"one"`) {
			t.Errorf("snapshot %v: disk error %q", snapshot, s.DiskError)
		}
		r.change = change
		i = r.addDisk(0, 1, n.disk).i
		r.split([]int{i})
		r.ready(i)
		if got := r.nodes[i].book("one").lines; len(got) != 2 || r.nodes[i].get("k") != "v" {
			t.Errorf("%q", got)
		}
	}
}

// A joiner's disk has what it was given.
func TestServiceJoinerOnDisk(t *testing.T) {
	r := servedDisks(t, 3, "one")
	r.split([]int{0, 1})
	r.ready(0, 1)
	n := r.nodes[0]
	for k := range 20 {
		n.wait(n.propose("one", strings.Repeat(fmt.Sprint(k), 5000)))
	}
	r.split([]int{0, 1, 2})
	r.ready(0, 1, 2)
	n.wait(n.propose("one", "after"))
	r.alike(0, 1, 2)
	if r.nodes[2].book("one").restores != 1 {
		t.Errorf("%d restores", r.nodes[2].book("one").restores)
	}
	i := r.crash(2, 3)
	if got := r.nodes[i].book("one").lines; len(got) < 20 {
		t.Errorf("its disk has %s", lastOf(got))
	}
	r.split([]int{0, 1, i})
	r.ready(0, 1, i)
	n.wait(n.propose("one", "again"))
	r.alike(0, 1, i)
}
