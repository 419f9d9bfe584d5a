package cluster

import (
	"strings"
	"testing"
	"time"
)

// 21.18: the wall clock is set back an hour at all members.
func TestClockSetBack(t *testing.T) {
	const hour = int64(time.Hour / time.Microsecond)
	back := func(_ int, c *Config) { c.Expected, c.Wall, c.Started = 3, c.Wall-hour, c.Started-hour }
	first := func(t *testing.T, r *rig) *Call {
		r.split([]int{0, 1, 2})
		r.ready(0, 1, 2)
		a := r.nodes[0].lock("k", time.Hour)
		if code := r.nodes[0].wait(a); code != CodeOK {
			t.Fatalf("code %d", code)
		}
		r.run(5 * time.Millisecond)
		for i, n := range r.nodes {
			if len(n.warned) > 0 {
				t.Errorf("member %d warns: %s", i, n.warnings())
			}
		}
		return a
	}
	second := func(t *testing.T, r *rig, members ...int) *Call {
		r.split(members)
		r.ready(members...)
		n := r.nodes[members[0]]
		b := n.lock("other", time.Hour)
		if code := n.wait(b); code != CodeOK {
			t.Fatalf("code %d", code)
		}
		return b
	}
	const says = "the wall clocks of all members were set back by 1h0m0s"
	t.Run("two lives in memory", func(t *testing.T) {
		r := newRig(t, 3, all3)
		a := first(t, r)
		var next []int
		for i := range 3 {
			r.kill(i)
			next = append(next, r.add(i, back).i)
		}
		if b := second(t, r, next...); b.Token > a.Token {
			t.Errorf("token %d after %d: the exception of section 1 is none", b.Token, a.Token)
		}
	})
	t.Run("one member after the other", func(t *testing.T) {
		r := newRig(t, 3, all3)
		a := first(t, r)
		members := []int{0, 1, 2}
		for i := range members {
			for k := range members {
				if n := r.nodes[members[k]]; strings.Contains(n.warnings(), says) {
					t.Errorf("%d of 3 clocks were set back, and member %d takes it for all", i, k)
				}
			}
			r.kill(members[i])
			members[i] = r.add(i, back).i
			r.split(members)
			r.settled(members...)
		}
		b := second(t, r, members...)
		if b.Token <= a.Token {
			t.Errorf("token %d after %d", b.Token, a.Token)
		}
		for _, i := range members {
			if n := r.nodes[i]; strings.Count(n.warnings(), says) != 1 {
				t.Errorf("member %d: %q", i, n.warnings())
			}
		}
		r.split(members)
		r.settled(members...)
		if n := r.nodes[members[0]]; strings.Count(n.warnings(), says) != 1 {
			t.Errorf("it says so again: %q", n.warnings())
		}
	})
	t.Run("two lives with disks", func(t *testing.T) {
		r := newDiskRig(t, 3)
		a := first(t, r)
		var next []int
		for i := range 3 {
			r.kill(i)
			d := &memDisk{durable: r.nodes[i].disk.durable}
			n := r.add(i, func(_ int, c *Config) {
				back(i, c)
				c.Store, c.Recovered = d, d.recovered()
			})
			n.disk, d.n = d, n
			next = append(next, n.i)
		}
		if b := second(t, r, next...); b.Token <= a.Token {
			t.Errorf("token %d after %d", b.Token, a.Token)
		}
		for _, i := range next {
			if n := r.nodes[i]; !strings.Contains(n.warnings(), says) {
				t.Errorf("member %d: %q", i, n.warnings())
			}
		}
	})
}
