package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// Rules of docs/cluster.md, section 20, that random runs seldom need: each script shows what goes wrong without one.

// witness has the primaries that anybody has established, by chain and epoch.
type witness map[string]wire.RingID

// watch is for newRig: it leaves out a rule, and notes what is established. The second result is how often two primaries had one
// epoch.
func (w witness) watch(leave defect, apart *int, change func(int, *Config)) func(int, *Config) {
	return func(i int, c *Config) {
		if change != nil {
			change(i, c)
		}
		c.defect = leave
		c.Probe = func(_ clock.Time, p *Probe) {
			if p.Kind != ProbeEstablished && p.Kind != ProbeFollowed {
				return
			}
			k := fmt.Sprint(p.Chain, p.Epoch)
			if ring, ok := w[k]; ok && ring != p.Opening.Primary.Ring {
				*apart++
			}
			w[k] = p.Opening.Primary.Ring
		}
	}
}

// forBoth runs a script with a rule and without it. It reports whether all went well.
func forBoth(t *testing.T, leave defect, script func(t *testing.T, leave defect) bool) {
	t.Helper()
	if !script(t, none) {
		t.Error("it goes wrong with the rule")
	}
	if script(t, leave) {
		t.Error("it goes well without the rule")
	}
}

// within reports whether f holds within so many turns.
func (r *rig) within(turns int, f func() bool) bool {
	for range turns {
		if f() {
			return true
		}
		r.turn()
	}
	return f()
}

func (r *rig) areReady(members ...int) func() bool {
	return func() bool {
		for _, i := range members {
			if !r.nodes[i].pub.Ready {
				return false
			}
		}
		return true
	}
}

// Claims whose last one came in the transition are no primary: the others have seen them fail.
func TestPlantedOpenIsEstablished(t *testing.T) {
	forBoth(t, openIsEstablished, func(t *testing.T, leave defect) bool {
		apart := 0
		r := newRig(t, 3, witness{}.watch(leave, &apart, all3))
		r.split([]int{0, 1, 2})
		r.ready(0, 1, 2)
		r.claim(0, 1, 2)
		r.split([]int{2}, []int{0, 1}) // the last claim is that of 2
		return r.within(500, r.areReady(0, 1)) && apart == 0
	})
}

// A primary that may have been established must not be forgotten: what it has acknowledged would be lost.
func TestPlantedOpenForgotten(t *testing.T) {
	forBoth(t, openForgotten, func(t *testing.T, leave defect) bool {
		apart := 0
		r := newRig(t, 3, witness{}.watch(leave, &apart, all3))
		r.split([]int{0, 1, 2})
		r.ready(0, 1, 2)
		r.claim(0, 1, 2)
		r.all(0) // it alone has established it
		c := r.nodes[0].put("a", "1")
		r.gather(r.nodes[0].ring)
		r.all(0)
		r.nodes[0].core.Flush(r.now)
		if r.nodes[0].done[c.Number] != c || c.Code != CodeOK {
			t.Fatal("not as it was meant")
		}
		r.kill(0)
		r.split([]int{1, 2})
		return r.within(500, r.areReady(1, 2)) && r.nodes[1].get("a") == "1" && apart == 0
	})
}

// Without its opening in the tail nobody can go on from a primary that is open.
func TestPlantedOpeningNotInTail(t *testing.T) {
	forBoth(t, openingNotInTail, func(t *testing.T, leave defect) bool {
		apart := 0
		r := newRig(t, 3, witness{}.watch(leave, &apart, all3))
		r.split([]int{0, 1, 2})
		r.ready(0, 1, 2)
		r.claim(0, 1, 2)
		r.all(0)
		r.kill(0)
		r.split([]int{1, 2})
		return r.within(500, r.areReady(1, 2))
	})
}

// A claim that only a learner takes for open has failed: else nobody could go on from it.
func TestPlantedNothingFails(t *testing.T) {
	forBoth(t, nothingFails, func(t *testing.T, leave defect) bool {
		apart := 0
		r := newRig(t, 3, witness{}.watch(leave, &apart, all3))
		r.split([]int{0, 1})
		r.ready(0, 1)
		r.claim(0, 1, 2)
		r.split([]int{2}, []int{0, 1})
		r.split([]int{0, 1, 2})
		return r.within(500, r.areReady(0, 1))
	})
}

// Tokens rise over the loss of all members: the index follows the clocks.
func TestPlantedNoClockInIndex(t *testing.T) {
	forBoth(t, noClockInIndex, func(t *testing.T, leave defect) bool {
		apart := 0
		change := witness{}.watch(leave, &apart, nil)
		r := newRig(t, 1, change)
		r.split([]int{0})
		r.ready(0)
		for range 5 {
			r.nodes[0].wait(r.nodes[0].put("k", "v"))
		}
		a := r.nodes[0].lock("k", time.Second)
		r.nodes[0].wait(a)
		r.kill(0)
		n := r.add(1, change)
		r.split([]int{1})
		r.ready(1)
		b := n.lock("k", time.Second)
		n.wait(b)
		return b.Token > a.Token
	})
}

// A claim may be delivered long after it was sent, when a chain has come and gone meanwhile: operations carry the clock, too.
func TestPlantedStampsAtEstablishments(t *testing.T) {
	forBoth(t, stampsAtEstablishments, func(t *testing.T, leave defect) bool {
		apart := 0
		change := witness{}.watch(leave, &apart, nil)
		r := newRig(t, 3, change)
		r.run(time.Second) // all have looked for others
		r.claim(1, 2)
		r.now = r.now.Add(time.Second)
		apartRing := r.nodes[1].ring
		r.nodes[1].ring, r.nodes[2].ring = nil, nil // nothing comes there for a time
		r.split([]int{0})
		r.ready(0)
		a := r.nodes[0].lock("k", time.Second)
		r.nodes[0].wait(a)
		r.kill(0)
		r.nodes[1].ring, r.nodes[2].ring = apartRing, apartRing
		r.ready(1, 2)
		b := r.nodes[1].lock("k", time.Second)
		r.nodes[1].wait(b)
		return b.Token > a.Token
	})
}

// A member that stands still may find an old token in its socket: one visit does not prove that nobody has gone on.
func TestPlantedOneVisit(t *testing.T) {
	forBoth(t, oneVisit, func(t *testing.T, leave defect) bool {
		apart := 0
		r := newRig(t, 3, witness{}.watch(leave, &apart, all3))
		r.split([]int{0, 1, 2})
		r.ready(0, 1, 2)
		r.nodes[1].wait(r.nodes[1].put("a", "1"))
		r.run(5 * time.Millisecond)
		n := r.nodes[0]
		forwarded, high := n.forwarded, uint64(len(n.ring.ordered))
		r.split([]int{1, 2})
		r.ready(1, 2)
		r.nodes[1].wait(r.nodes[1].put("a", "2"))
		g := n.call(&Call{Kind: CallLinear, Op: wire.ClusterOp{Map: []byte("m"), Key: []byte("a")}})
		n.core.Visit(r.now, forwarded, high)
		n.core.Flush(r.now)
		return n.done[g.Number] == nil
	})
}

// believes reports whether a member takes it that it holds a lock.
func (n *node) believes(c *Call) bool {
	return n.done[c.Number] == c && c.Code == CodeOK && !n.lost[c.Number] && n.rig.now < min(c.Deadline, n.pub.Until)
}

// The lock of a member that was lost goes to the next one only when it cannot believe any more.
func TestPlantedReleaseAtOnce(t *testing.T) {
	for _, leave := range []defect{releaseAtOnce, lostFreeAtOnce} {
		forBoth(t, leave, func(t *testing.T, leave defect) bool {
			apart := 0
			r := newRig(t, 3, witness{}.watch(leave, &apart, all3))
			r.split([]int{0, 1, 2})
			r.ready(0, 1, 2)
			a := r.nodes[0].lock("k", time.Hour)
			r.nodes[0].wait(a)
			b := r.nodes[1].lock("k", time.Hour)
			r.run(5 * time.Millisecond)
			r.split([]int{1, 2}) // 0 hears nothing, and knows nothing of it
			r.nodes[1].wait(b)
			return !r.nodes[0].believes(a)
		})
	}
}

// A lock that was taken from its holder in a primary without it is lost when the holder is back, however soon.
func TestPlantedLocksNotCompared(t *testing.T) {
	forBoth(t, locksNotCompared, func(t *testing.T, leave defect) bool {
		apart := 0
		r := newRig(t, 3, witness{}.watch(leave, &apart, all3))
		r.split([]int{0, 1, 2})
		r.ready(0, 1, 2)
		a := r.nodes[0].lock("k", time.Hour)
		r.nodes[0].wait(a)
		b := r.nodes[1].lock("k", time.Hour)
		r.run(5 * time.Millisecond)
		complete := func() bool { return r.nodes[1].core.phase == Complete && r.nodes[2].core.phase == Complete }
		r.split([]int{1, 2})
		if !r.within(50, complete) {
			t.Fatal("the two do not go on")
		}
		r.split([]int{0, 1, 2})
		if !r.within(50, func() bool { return complete() && r.nodes[0].core.phase == Complete }) || r.nodes[0].core.stats.Fills != 1 {
			t.Fatal("not as it was meant")
		}
		r.nodes[1].wait(b)
		return !r.nodes[0].believes(a)
	})
}

// From the moment that Stop begins no call returns a lock.
func TestPlantedLockInStop(t *testing.T) {
	forBoth(t, lockInStop, func(t *testing.T, leave defect) bool {
		apart := 0
		r := newRig(t, 3, witness{}.watch(leave, &apart, all3))
		r.split([]int{0, 1, 2})
		r.ready(0, 1, 2)
		a := r.nodes[0].lock("k", time.Hour)
		r.nodes[0].core.Flush(r.now)
		r.nodes[0].core.Close(r.now, time.Second)
		r.run(20 * time.Millisecond)
		return r.nodes[0].done[a.Number] != a || a.Code == CodeClosed
	})
}

// slowDisk is a Store that has what it was given when a test says so.
type slowDisk struct {
	n       *node
	ticket  uint64
	index   uint64
	stopped bool
}

func (d *slowDisk) Append(index, _ uint64, _ []byte) { d.index = index }
func (d *slowDisk) Quorum([]byte)                    {}
func (d *slowDisk) Tail([][]byte)                    {}
func (d *slowDisk) Committed(uint64)                 {}
func (d *slowDisk) Snapshot(Snapshot) bool           { return true }
func (d *slowDisk) Flush(bool) uint64 {
	d.ticket++
	return d.ticket
}

// newSlowRig is newRig of three members with slow disks.
func newSlowRig(t *testing.T, leave defect) (r *rig, disks []*slowDisk) {
	apart := 0
	r = newRig(t, 3, witness{}.watch(leave, &apart, func(i int, c *Config) {
		c.Expected = 3
		d := &slowDisk{}
		disks = append(disks, d)
		c.Store, c.Recovered = d, &Recovered{Seat: wire.Seat{0: byte(i + 1), 9: 9}}
	}))
	for i, n := range r.nodes {
		disks[i].n = n
	}
	return r, disks
}

// synced lets some turns go by, in which disks that are not stopped write everything.
func (r *rig) synced(disks []*slowDisk, turns int) {
	for range turns {
		r.turn()
		for _, d := range disks {
			if !d.stopped {
				d.n.core.Durable(r.now, d.ticket, d.index)
			}
		}
	}
}

// A Claim is sent when the disk has what the seat must not forget.
func TestPlantedClaimBeforeDisk(t *testing.T) {
	forBoth(t, claimBeforeDisk, func(t *testing.T, leave defect) bool {
		r, disks := newSlowRig(t, leave)
		disks[1].stopped = true
		r.split([]int{0, 1, 2})
		r.synced(disks, 100)
		return r.nodes[0].core.stats.Establishments == 0
	})
}

// stalled is a primary of which the disks of two members write nothing any more.
func stalled(t *testing.T, leave defect) (r *rig, disks []*slowDisk) {
	r, disks = newSlowRig(t, leave)
	r.split([]int{0, 1, 2})
	r.synced(disks, 100)
	if !r.areReady(0, 1, 2)() {
		t.Fatal("they are not ready")
	}
	disks[1].stopped, disks[2].stopped = true, true
	return r, disks
}

// A write is acknowledged, a lock is returned and a value is read when a quorum's disks have it.
func TestPlantedBeforeQuorum(t *testing.T) {
	for leave, call := range map[defect]func(n *node) *Call{
		answerBeforeQuorum: func(n *node) *Call { return n.put("a", "1") },
		lockBeforeCommit:   func(n *node) *Call { return n.lock("k", time.Second) },
		linearBeforeDisk: func(n *node) *Call {
			n.put("a", "1")
			for range 5 {
				n.rig.turn()
			}
			return n.call(&Call{Kind: CallLinear, Op: wire.ClusterOp{Map: []byte("m"), Key: []byte("a")}})
		},
	} {
		forBoth(t, leave, func(t *testing.T, leave defect) bool {
			r, disks := stalled(t, leave)
			c := call(r.nodes[0])
			r.synced(disks, 50)
			early := r.nodes[0].done[c.Number] == c
			disks[1].stopped = false
			r.synced(disks, 50)
			if r.nodes[0].done[c.Number] != c || c.Code != CodeOK {
				t.Errorf("the call does not end well when the disks have it: code %d", c.Code)
			}
			return !early
		})
	}
}

// Who counts in a primary before all have claimed it is alone with it.
func TestPlantedOneRound(t *testing.T) {
	forBoth(t, oneRound, func(t *testing.T, leave defect) bool {
		apart := 0
		r := newRig(t, 3, witness{}.watch(leave, &apart, all3))
		r.split([]int{0, 1, 2})
		r.ready(0, 1, 2)
		r.claim(0, 1, 2)
		r.deliver(r.nodes[0], r.nodes[0].delivered+1) // its own claim alone
		r.split([]int{0}, []int{1, 2})
		return r.within(500, r.areReady(1, 2)) && apart == 0
	})
}

// Of two halves of a dynamic cluster one goes on.
func TestPlantedBothHalves(t *testing.T) {
	forBoth(t, bothHalves, func(t *testing.T, leave defect) bool {
		apart := 0
		r := newRig(t, 4, witness{}.watch(leave, &apart, nil))
		r.split([]int{0, 1, 2, 3})
		r.ready(0, 1, 2, 3)
		r.split([]int{0, 1}, []int{2, 3})
		if !r.within(500, r.areReady(0, 1)) {
			t.Fatal("the longest-serving half does not go on")
		}
		return apart == 0 && !r.areReady(2, 3)()
	})
}

// While it is not certain that a learner has its seat, both sets of voters are asked.
func TestPlantedLastVotersOnly(t *testing.T) {
	forBoth(t, lastVotersOnly, func(t *testing.T, leave defect) bool {
		apart := 0
		r := newRig(t, 3, witness{}.watch(leave, &apart, nil))
		r.split([]int{0, 1})
		r.ready(0, 1)
		r.split([]int{0, 1, 2})
		ring := r.nodes[2].ring
		if !r.within(500, func() bool { return r.nodes[2].core.owns[ready] > 0 && len(r.nodes[2].pending) > 0 }) {
			t.Fatal("the learner does not propose Ready")
		}
		r.gather(ring)
		r.all(1)
		r.all(2)
		r.split([]int{0}, []int{1, 2}) // 0 has Ready in its tail
		r.run(500 * time.Millisecond)
		return r.nodes[1].core.phase == Complete && r.nodes[0].core.phase != Complete
	})
}

// answered is three members of which the first has acknowledged a put that the others have in their tails, and died.
func answered(t *testing.T, leave defect) *rig {
	apart := 0
	r := newRig(t, 3, witness{}.watch(leave, &apart, all3))
	r.split([]int{0, 1, 2})
	r.ready(0, 1, 2)
	c := r.nodes[0].put("a", "1")
	r.gather(r.nodes[0].ring)
	r.all(0)
	r.nodes[0].core.Flush(r.now)
	if r.nodes[0].done[c.Number] != c || c.Code != CodeOK {
		t.Fatal("not as it was meant")
	}
	r.kill(0)
	r.split([]int{1, 2})
	return r
}

// What is in a tail may have been acknowledged: it is kept over a view change, and counted in what a replica tells.
func TestPlantedTail(t *testing.T) {
	for _, leave := range []defect{tailDropped, tailNotCounted} {
		forBoth(t, leave, func(t *testing.T, leave defect) bool {
			r := answered(t, leave)
			return r.within(500, r.areReady(1, 2)) && r.nodes[1].get("a") == "1" && r.nodes[2].get("a") == "1"
		})
	}
}

// What only one member has received is not acknowledged.
func TestPlantedAnswersInTransition(t *testing.T) {
	forBoth(t, answersInTransition, func(t *testing.T, leave defect) bool {
		apart := 0
		r := newRig(t, 3, witness{}.watch(leave, &apart, all3))
		r.split([]int{0, 1, 2})
		r.ready(0, 1, 2)
		c := r.nodes[0].put("a", "1")
		r.gather(r.nodes[0].ring)
		r.split([]int{0}, []int{1, 2})
		r.run(20 * time.Millisecond)
		return r.nodes[0].done[c.Number] != c || c.Code != CodeOK
	})
}

// What is in a tail is not proposed again: it would count twice.
func TestPlantedTailProposedAgain(t *testing.T) {
	forBoth(t, tailProposedAgain, func(t *testing.T, leave defect) bool {
		times := 0
		r := newRig(t, 3, func(i int, c *Config) {
			c.Expected, c.defect = 3, leave
			c.Probe = func(_ clock.Time, p *Probe) {
				if i == 1 && p.Kind == ProbeApplied && p.Op != nil && p.Op.Kind == wire.OpPut {
					times++
				}
			}
		})
		r.split([]int{0, 1, 2})
		r.ready(0, 1, 2)
		c := r.nodes[0].put("a", "1")
		r.gather(r.nodes[0].ring)
		r.split([]int{0, 1, 2})
		r.nodes[0].wait(c)
		r.run(20 * time.Millisecond)
		return times == 1
	})
}

// A holder that is cut off stops to believe before its lock is free.
func TestPlantedLostIgnoresConfirmed(t *testing.T) {
	forBoth(t, lostIgnoresConfirmed, func(t *testing.T, leave defect) bool {
		apart := 0
		r := newRig(t, 3, witness{}.watch(leave, &apart, all3))
		r.split([]int{0, 1, 2})
		r.ready(0, 1, 2)
		a := r.nodes[0].lock("k", time.Hour)
		r.nodes[0].wait(a)
		b := r.nodes[1].lock("k", time.Hour)
		r.run(5 * time.Millisecond)
		r.split([]int{1, 2})
		r.nodes[1].wait(b)
		return !r.nodes[0].believes(a)
	})
}

// A lease counts from the arrival of its grant, which may be long before its delivery.
func TestPlantedLeaseFromDelivery(t *testing.T) {
	forBoth(t, leaseFromDelivery, func(t *testing.T, leave defect) bool {
		apart := 0
		r := newRig(t, 3, witness{}.watch(leave, &apart, all3))
		r.split([]int{0, 1, 2})
		r.ready(0, 1, 2)
		r.late = 50 * time.Millisecond
		a := r.nodes[0].lock("k", 100*time.Millisecond)
		r.nodes[0].wait(a)
		return a.Deadline <= r.now.Add(50*time.Millisecond)
	})
}

// Who waits in a line and is lost gets no lock.
func TestPlantedWaitsStay(t *testing.T) {
	forBoth(t, waitsStay, func(t *testing.T, leave defect) bool {
		apart := 0
		r := newRig(t, 3, witness{}.watch(leave, &apart, all3))
		r.split([]int{0, 1, 2})
		r.ready(0, 1, 2)
		a := r.nodes[0].lock("k", time.Hour)
		r.nodes[0].wait(a)
		r.nodes[1].lock("k", time.Hour)
		r.run(5 * time.Millisecond)
		b := r.nodes[2].lock("k", time.Hour)
		r.run(5 * time.Millisecond)
		r.kill(1)
		r.split([]int{0, 2})
		r.ready(0, 2)
		r.nodes[0].wait(r.nodes[0].call(&Call{Kind: CallUnlock, Lock: a.Number}))
		return r.within(50, func() bool { return r.nodes[2].done[b.Number] == b })
	})
}

// An operation that was ordered before its ring's primary counts nowhere: not at those who would have kept it either.
func TestPlantedEarlyCounts(t *testing.T) {
	forBoth(t, earlyCounts, func(t *testing.T, leave defect) bool {
		apart := 0
		r := newRig(t, 3, func(i int, c *Config) {
			d := none
			if i == 2 {
				d = leave // an order in which only some keep it
			}
			witness{}.watch(d, &apart, all3)(i, c)
		})
		r.split([]int{0, 1, 2})
		r.ready(0, 1, 2)
		c := r.nodes[0].put("a", "1")
		r.nodes[0].core.Flush(r.now) // offered to the ring that ends
		r.split([]int{0, 1, 2})
		r.nodes[0].wait(c)
		r.run(20 * time.Millisecond)
		a, b := r.nodes[1].core.State(), r.nodes[2].core.State()
		return a.Index() == b.Index() && a.Hash() == b.Hash()
	})
}

// A learner gets the state at the cut, not the present one: operations since would count twice.
func TestPlantedPresentSnapshot(t *testing.T) {
	forBoth(t, presentSnapshot, func(t *testing.T, leave defect) bool {
		apart := 0
		r := newRig(t, 3, witness{}.watch(leave, &apart, nil))
		r.split([]int{0, 1})
		r.ready(0, 1)
		r.nodes[0].wait(r.nodes[0].put("a", "1"))
		r.lossy = func(wire.MemberID) bool { return true }
		r.split([]int{0, 1, 2})
		for range 20 { // operations while the state does not come
			r.nodes[0].put("a", "2")
			r.turn()
		}
		r.lossy = nil
		r.within(1000, r.areReady(0, 1, 2))
		r.run(20 * time.Millisecond)
		a, b := r.nodes[0].core.State(), r.nodes[2].core.State()
		return r.areReady(0, 1, 2)() && a.Index() == b.Index() && a.Hash() == b.Hash()
	})
}
