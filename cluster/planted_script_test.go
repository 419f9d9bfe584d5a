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
