package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// memDisk is a DataDir in memory. What was handed over is durable when sync is called, and lost in a crash before.
type memDisk struct {
	n       *node
	durable memImage
	pending []func(*memImage) // of wholes that are not durable
	ticket  uint64
	dirty   bool
	stuck   bool // nothing gets durable
}

// memImage is what is on the disk.
type memImage struct {
	seat       wire.Seat
	quorum     []byte
	tail       [][]byte
	committed  uint64
	log        []memRecord
	base, hash uint64
	parts      [][]byte
}

type memRecord struct {
	index, hash uint64
	bytes       []byte
}

func (d *memDisk) do(f func(*memImage)) { d.pending, d.dirty = append(d.pending, f), true }

func (d *memDisk) Append(index, hash uint64, record []byte) {
	r := memRecord{index, hash, slices.Clone(record)}
	d.do(func(m *memImage) { m.log = append(m.log, r) })
}

func (d *memDisk) Quorum(record []byte) {
	b := slices.Clone(record)
	d.do(func(m *memImage) { m.quorum = b })
}

func (d *memDisk) Tail(records [][]byte) {
	var tail [][]byte
	for _, r := range records {
		tail = append(tail, slices.Clone(r))
	}
	d.do(func(m *memImage) { m.tail = tail })
}

func (d *memDisk) Committed(index uint64) {
	d.pending = append(d.pending, func(m *memImage) { m.committed = index })
}

func (d *memDisk) Flush(bool) uint64 {
	if d.dirty {
		d.ticket++
		d.dirty = false
	}
	return d.ticket
}

func (d *memDisk) Snapshot(s Snapshot) bool {
	var parts [][]byte
	for p := s.Next(); p != nil; p = s.Next() {
		parts = append(parts, slices.Clone(p))
	}
	d.do(func(m *memImage) {
		m.base, m.hash, m.parts = s.Index, s.Hash, parts
		m.log = slices.DeleteFunc(m.log, func(r memRecord) bool { return s.Replace || r.index <= s.Index })
	})
	if s.Done != nil {
		s.Done()
	}
	return true
}

// end is the index of the disk's replica.
func (m *memImage) end() (index, hash uint64) {
	if n := len(m.log); n > 0 {
		return m.log[n-1].index, m.log[n-1].hash
	}
	return m.base, m.hash
}

// sync makes durable what was handed over.
func (d *memDisk) sync(now clock.Time) {
	if d == nil || d.stuck || len(d.pending) == 0 || d.dirty {
		return
	}
	for _, f := range d.pending {
		f(&d.durable)
	}
	d.pending = nil
	index, _ := d.durable.end()
	d.n.core.Durable(now, d.ticket, index)
}

// recovered is what a process finds that opens the disk.
func (d *memDisk) recovered() *Recovered {
	m := d.durable
	r := &Recovered{Seat: m.seat, Quorum: m.quorum, Tail: m.tail, Committed: m.committed, Base: m.base, BaseHash: m.hash}
	r.End, r.EndHash = m.end()
	r.Parts = func(f func([]byte) error) error {
		for _, p := range m.parts {
			if err := f(p); err != nil {
				return err
			}
		}
		return nil
	}
	r.Log = func(f func(index, hash uint64, record []byte) error) error {
		for _, l := range m.log {
			if err := f(l.index, l.hash, l.bytes); err != nil {
				return err
			}
		}
		return nil
	}
	return r
}

// addDisk adds a member with a disk, a new one where d is nil.
func (r *rig) addDisk(name, expected int, d *memDisk) *node {
	if d == nil {
		d = &memDisk{durable: memImage{seat: wire.Seat{0: byte(len(r.nodes) + 1), 1: 'd'}}}
	} else { // what was not durable is lost
		d = &memDisk{durable: d.durable}
	}
	n := r.add(name, func(i int, c *Config) {
		if r.change != nil {
			r.change(i, c)
		}
		c.Expected, c.Store, c.Recovered = expected, d, d.recovered()
	})
	n.disk, d.n = d, n
	return n
}

func newDiskRig(t *testing.T, n int) *rig {
	r := newRig(t, 0, nil)
	for i := range n {
		r.addDisk(i, n, nil)
	}
	return r
}

// crash kills a process, and another one opens its disk. It returns the new one's number.
func (r *rig) crash(i, expected int) int {
	r.kill(i)
	return r.addDisk(int(r.nodes[i].cfg.Name[1]-'0'), expected, r.nodes[i].disk).i
}

// 21.5 with disks: two of three are killed at once. One of them comes back, under any name; all do; a new one with an empty
// directory does not help.
func TestTwoOfThreeKilledWithDisks(t *testing.T) {
	start := func(t *testing.T) *rig {
		r := newDiskRig(t, 3)
		r.split([]int{0, 1, 2})
		r.ready(0, 1, 2)
		if code := r.nodes[0].wait(r.nodes[0].put("a", "1")); code != CodeOK {
			t.Fatalf("put: code %d", code)
		}
		r.run(5 * time.Millisecond)
		return r
	}
	t.Run("one comes back", func(t *testing.T) {
		r := start(t)
		r.kill(1)
		i := r.crash(2, 3)
		r.split([]int{0, i})
		r.settled(0, i)
		if r.nodes[i].get("a") != "1" {
			t.Error("the state is not there")
		}
	})
	t.Run("under another name", func(t *testing.T) {
		r := start(t)
		r.kill(1)
		r.kill(2)
		i := r.addDisk(9, 3, r.nodes[2].disk).i
		r.split([]int{0, i})
		r.settled(0, i)
	})
	t.Run("another one under its name, with a directory of its own", func(t *testing.T) {
		r := start(t)
		r.kill(1)
		r.kill(2)
		i := r.addDisk(2, 3, nil).i
		r.split([]int{0, i})
		r.outside(0, WhyQuorum)
	})
	t.Run("another one under its name, without a directory", func(t *testing.T) {
		r := start(t)
		r.kill(1)
		r.kill(2)
		i := r.add(2, all3).i
		r.split([]int{0, i})
		r.outside(0, WhyQuorum)
	})
	t.Run("all at once, and two come back", func(t *testing.T) {
		r := start(t)
		r.kill(0)
		i, k := r.crash(1, 3), r.crash(2, 3)
		r.split([]int{i, k})
		r.settled(i, k)
		if r.nodes[i].get("a") != "1" {
			t.Error("an acknowledged write is lost")
		}
	})
}

// 17: no claim is sent before the disk has it, and nothing is acknowledged before a quorum of the disks has it.
func TestDisksFirst(t *testing.T) {
	r := newDiskRig(t, 3)
	r.nodes[2].disk.stuck = true
	r.split([]int{0, 1, 2})
	r.run(50 * time.Millisecond)
	if c := r.nodes[2].core; c.phase != Claiming || c.ex.sent {
		t.Fatalf("phase %v, the claim is sent: %v", c.phase, c.ex.sent)
	}
	r.nodes[2].disk.stuck = false
	r.settled(0, 1, 2)

	r.nodes[1].disk.stuck, r.nodes[2].disk.stuck = true, true
	c := r.nodes[0].put("a", "1")
	l := r.nodes[0].lock("k", time.Hour)
	g := r.nodes[0].call(&Call{Kind: CallLinear, Op: wire.ClusterOp{Map: []byte("m"), Key: []byte("a")}})
	r.run(50 * time.Millisecond)
	if r.nodes[0].get("a") != "1" || r.nodes[2].get("a") != "1" {
		t.Error("Get does not show what is not committed")
	}
	for what, call := range map[string]*Call{"a put": c, "a lock": l} {
		if r.nodes[0].done[call.Number] != nil {
			t.Errorf("%s is acknowledged with one disk of three: code %d", what, call.Code)
		}
	}
	if r.nodes[0].done[g.Number] != nil && g.Entry != nil {
		t.Error("a linear read has found what is not committed")
	}
	r.nodes[1].disk.stuck = false
	for _, call := range []*Call{c, l} {
		if code := r.nodes[0].wait(call); code != CodeOK {
			t.Errorf("with two disks of three: code %d", code)
		}
	}
	// All lose power. Two of them have it.
	i, k := r.crash(1, 3), r.crash(2, 3)
	r.kill(0)
	r.split([]int{i, k})
	r.settled(i, k)
	if r.nodes[k].get("a") != "1" {
		t.Error("an acknowledged write is lost")
	}
}

// 21.2 with disks: a member crashes after its claim was durable and before it knows what came of it. It comes back with an open
// primary; the others had established it.
func TestCrashAfterClaim(t *testing.T) {
	for _, established := range []bool{true, false} {
		t.Run(fmt.Sprint(established), func(t *testing.T) {
			r := newDiskRig(t, 3)
			r.split([]int{0, 1, 2})
			r.ready(0, 1, 2)
			r.nodes[0].wait(r.nodes[0].put("a", "1"))
			r.claim(0, 1, 2)
			if established {
				r.all(0)
				r.all(1)
			}
			i := r.crash(2, 3)
			if c := r.nodes[i].core; len(c.tried) != 1 || len(c.tail) == 0 || c.tail[len(c.tail)-1].opening == nil {
				t.Fatalf("it comes back with %d open primaries and a tail of %d", len(c.tried), len(c.tail))
			}
			if established {
				r.split([]int{0, 1})
				r.settled(0, 1)
				r.nodes[1].wait(r.nodes[1].put("a", "2"))
				r.split([]int{0, i}) // 1 is away, with its disk
			} else {
				r.split([]int{0}, []int{1}, []int{i}) // nobody has seen all claims but 2, perhaps
				r.split([]int{0, i})
			}
			r.settled(0, i)
			r.split([]int{0, 1, i})
			r.settled(0, 1, i)
			want := "1"
			if established {
				want = "2"
			}
			if got := r.nodes[i].get("a"); got != want {
				t.Errorf("it holds %q, want %q", got, want)
			}
		})
	}
}

// 17: members without a disk follow those with one: they found nothing with a vote, never vote later, and never take a seat.
func TestMixedMembers(t *testing.T) {
	r := newRig(t, 0, nil)
	for i := range 2 {
		r.addDisk(i, 3, nil)
	}
	r.add(2, all3)
	r.split([]int{0, 1, 2})
	r.ready(0, 1, 2)
	check := func(when string, want int, members ...int) {
		t.Helper()
		for _, i := range members {
			v := r.nodes[i].core.State().Voters()
			if len(v) != want || slices.ContainsFunc(v, func(v wire.Voter) bool { return !v.Disk }) {
				t.Errorf("%s, member %d: voters %+v", when, i, v)
			}
		}
	}
	check("after the founding", 2, 0, 1, 2)
	if code := r.nodes[2].wait(r.nodes[2].put("a", "1")); code != CodeOK {
		t.Errorf("a put of a member without a disk: code %d", code)
	}
	if !strings.Contains(r.nodes[0].warnings(), "those without one never vote") {
		t.Errorf("the log says %q", r.nodes[0].warnings())
	}
	r.split([]int{1, 2})
	r.outside(1, WhyQuorum)
	r.outside(2, WhyQuorum)
	r.split([]int{0, 1, 2})
	r.settled(0, 1, 2)
	check("after the healing", 2, 0, 1, 2)
	i := r.addDisk(2, 3, nil).i
	r.kill(2)
	r.split([]int{0, 1, i})
	r.settled(0, 1, i)
	check("with a third disk", 3, 0, 1, i)
	r.split([]int{1, i})
	r.settled(1, i)
}

// A cluster in memory becomes one with disks, a member at a time.
func TestToDisks(t *testing.T) {
	r := newRig(t, 3, all3)
	members := []int{0, 1, 2}
	r.split(members)
	r.ready(members...)
	for k := range 3 {
		r.nodes[members[k]].core.Close(r.now, time.Second)
		r.until("the end", func() bool { closed, _ := r.nodes[members[k]].core.Closed(); return closed })
		r.kill(members[k])
		members[k] = r.addDisk(k, 3, nil).i
		r.split(members)
		r.settled(members...)
		if code := r.nodes[members[k]].wait(r.nodes[members[k]].put("a", fmt.Sprint(k))); code != CodeOK {
			t.Fatalf("step %d: a put of the member with a disk: code %d", k, code)
		}
		r.split(members)
		r.settled(members...)
		if code := r.nodes[members[2]].wait(r.nodes[members[2]].put("b", fmt.Sprint(k))); code != CodeOK {
			t.Fatalf("step %d: a put of the last member: code %d", k, code)
		}
	}
	if v := r.nodes[members[0]].core.State().Voters(); len(v) != 3 || slices.ContainsFunc(v, func(v wire.Voter) bool { return !v.Disk }) {
		t.Errorf("voters %+v", v)
	}
}

// A directory that was copied: two members of one seat. Neither takes part, and both are named.
func TestCopiedDirectory(t *testing.T) {
	r := newDiskRig(t, 3)
	r.split([]int{0, 1, 2})
	r.ready(0, 1, 2)
	r.run(5 * time.Millisecond)
	twin := r.addDisk(7, 3, r.nodes[2].disk)
	r.split([]int{0, 1, 2, twin.i})
	r.ready(0, 1)
	for _, i := range []int{2, twin.i} {
		n := r.nodes[i]
		if code := n.wait(n.put("a", "1")); code != CodeUnsupported {
			t.Errorf("a put of member %d: code %d", i, code)
		}
		if why := n.core.Status(r.now).Why; !strings.Contains(why, "copied") {
			t.Errorf("member %d says %q", i, why)
		}
		if n.pub.Primary {
			t.Errorf("member %d is in the primary", i)
		}
	}
	if code := r.nodes[0].wait(r.nodes[0].put("a", "1")); code != CodeOK {
		t.Errorf("a put of the others: code %d", code)
	}
}

// All members stop in order, and are started in every order: with the one that stopped last there is a primary, without it
// there is none, the log and the status name the seat that is missing, and Force brings the state back.
func TestAllStoppedInOrder(t *testing.T) {
	for _, stop := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		for _, start := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
			r := newDiskRig(t, 3)
			r.split([]int{0, 1, 2})
			r.ready(0, 1, 2)
			left := []int{0, 1, 2}
			for k, i := range stop {
				// A write before each end; the last one is alone, and no quorum.
				n := r.nodes[i]
				if code := n.wait(n.put("a", fmt.Sprint(k))); (code == CodeOK) != (k < 2) {
					t.Fatalf("the put of member %d: code %d", i, code)
				}
				n.core.Close(r.now, time.Second)
				r.until("the end", func() bool { closed, _ := n.core.Closed(); return closed })
				r.run(5 * time.Millisecond)
				r.kill(i)
				if left = slices.DeleteFunc(left, func(l int) bool { return l == i }); len(left) > 0 {
					r.split(left)
					if len(left) > 1 {
						r.settled(left...)
					}
				}
			}
			last := stop[2]
			seat := r.nodes[last].disk.durable.seat
			var up, again []int // those that run now; and their nodes of before
			for _, i := range start {
				again = append(again, i)
				up = append(up, r.addDisk(i, 3, r.nodes[i].disk).i)
				r.split(up)
				r.run(outsideAfter + 100*time.Millisecond)
				name := fmt.Sprintf("stopped %v, started %v", stop, again)
				primary := len(up) > 1 && slices.Contains(again, last)
				for _, k := range up {
					n := r.nodes[k]
					if n.pub.Primary != primary {
						t.Fatalf("%s: member %d: primary is %t", name, k, n.pub.Primary)
					}
					if primary {
						continue
					}
					s := n.core.Status(r.now)
					named := slices.ContainsFunc(s.Missing, func(v wire.Voter) bool { return v.Seat == seat })
					inLog := strings.Contains(n.warnings(), fmt.Sprintf("seat %x-", seat[:4]))
					if s.Why == "" || !strings.Contains(n.warnings(), "outside of the primary component: "+s.Why) {
						t.Errorf("%s: member %d: why %q, the log %q", name, k, s.Why, n.warnings())
					}
					if lacks := !slices.Contains(again, last); named != lacks || lacks && !inLog {
						t.Errorf("%s: member %d: missing %v, the log %q", name, k, s.Missing, n.warnings())
					}
				}
				if len(up) == 2 && !primary {
					// An operator goes on without the one that stopped last.
					n := r.nodes[up[0]]
					if code := n.wait(n.call(&Call{Kind: CallForce})); code != CodeOK {
						t.Fatalf("%s: Force: code %d", name, code)
					}
					r.settled(up...)
					if got := n.get("a"); got != "1" { // what stop[1] wrote, before it ended
						t.Errorf("%s: after Force it holds %q", name, got)
					}
					break
				}
			}
			if len(up) == 3 {
				r.settled(up...)
				for _, k := range up {
					if got := r.nodes[k].get("a"); got != "1" {
						t.Errorf("stopped %v, started %v: member %d holds %q", stop, start, k, got)
					}
				}
			}
		}
	}
}

// A member whose disk has failed gives its vote back, also when it is stopped at once: Stop waits until its Exit is delivered.
// Otherwise it would stay a voter, and the last of the others could not leave before it is back.
func TestDiskFailedAndStopped(t *testing.T) {
	r := newDiskRig(t, 3)
	r.split([]int{0, 1, 2})
	r.settled(0, 1, 2)
	stop := func(i int) {
		t.Helper()
		n := r.nodes[i]
		n.core.Close(r.now, time.Second)
		r.until(fmt.Sprintf("member %d is closed", i), func() bool { closed, _ := n.core.Closed(); return closed })
		if _, exited := n.core.Closed(); !exited {
			t.Errorf("member %d has not left", i)
		}
		r.kill(i)
	}
	failed := r.nodes[2]
	failed.disk.stuck = true
	failed.core.DiskFailed(r.now, errors.New("full"))
	stop(2)
	r.split([]int{0, 1})
	r.settled(0, 1)
	for i := range 2 {
		if v := r.nodes[i].core.State().Voters(); len(v) != 2 {
			t.Errorf("member %d: %d voters", i, len(v))
		}
	}
	stop(1)
}

// A failed member whose ring ends before its Exit is delivered does not wait for it: in the next primary it would not free the
// seat.
func TestDiskFailedAndRingEnds(t *testing.T) {
	r := newDiskRig(t, 3)
	r.split([]int{0, 1, 2})
	r.settled(0, 1, 2)
	failed := r.nodes[2]
	failed.disk.stuck = true
	failed.core.DiskFailed(r.now, errors.New("full"))
	failed.core.Close(r.now, time.Minute)
	r.split([]int{0, 1}, []int{2})
	r.split([]int{0, 1, 2})
	r.until("member 2 is closed", func() bool { closed, _ := failed.core.Closed(); return closed })
}
