package totem

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
)

// visit is one call of Config.Visit.
type visit struct {
	now, confirmed clock.Time
	high           uint64
}

// watchVisits makes a rig of n members whose visits are recorded.
func watchVisits(t *testing.T, n int, change ...func(*Config)) (*rig, map[int]*[]visit) {
	all := map[int]*[]visit{}
	r := newRig(t, 0)
	for i := range n {
		list := &[]visit{}
		all[i] = list
		r.add(append(change, func(c *Config) {
			c.Visit = func(now, confirmed clock.Time, high uint64) { *list = append(*list, visit{now, confirmed, high}) }
		})...)
	}
	return r, all
}

// Each visit confirms when this member had the token before. A ring of one confirms the present.
func TestVisit(t *testing.T) {
	r, all := watchVisits(t, 3)
	r.form()
	r.run(time.Millisecond)
	for i, n := range r.nodes {
		list := *all[i]
		if len(list) < 3 || list[0].confirmed == 0 || list[0].confirmed >= list[0].now {
			t.Fatalf("member %d: %v", i, list)
		}
		for k := 1; k < len(list); k++ {
			if list[k].confirmed != list[k-1].now {
				t.Errorf("member %d: visit %d at %v confirms %v, and the one before was at %v", i, k, list[k].now, list[k].confirmed, list[k-1].now)
			}
		}
		if err := n.p.Offer(r.now, "a", 0, []byte("x"), true); err != nil {
			t.Fatal(err)
		}
	}
	r.until(time.Second, func() bool { return r.nodes[0].count == 3 })
	r.run(time.Millisecond)
	for i, n := range r.nodes {
		list := *all[i]
		if high := list[len(list)-1].high; high < 3 || n.p.Delivered() != high {
			t.Errorf("member %d: %d numbers were given, and everything up to %d is delivered", i, high, n.p.Delivered())
		}
	}
	r.nodes[1].down, r.nodes[2].down = true, true
	r.form()
	r.run(time.Millisecond)
	list := *all[0]
	if v := list[len(list)-1]; v.confirmed != v.now || v.now < r.now.Add(-100*time.Microsecond) {
		t.Errorf("alone, at %v: %v", r.now, v)
	}
	r.done()
}

// A token that rests goes on at once when somebody asks for it, at the representative and elsewhere, and does not rest
// before it has come round twice.
func TestHurry(t *testing.T) {
	const hold = 4 * time.Millisecond
	r, all := watchVisits(t, 3, func(c *Config) { c.Profile.Hold, c.Profile.IdleRotations = hold, 5 })
	r.form()
	r.run(50 * time.Millisecond)
	for i, n := range r.nodes {
		if !r.until(2*hold, func() bool { return r.nodes[0].p.tok.held }) {
			t.Fatal("the token does not rest")
		}
		had, from := len(*all[i]), r.now
		n.p.Hurry()
		if !r.until(hold, func() bool { return len(*all[i]) >= had+2 }) {
			t.Errorf("member %d: %d visits within a rest", i, len(*all[i])-had)
		}
		if took := r.now.Sub(from); took > hold/4 {
			t.Errorf("member %d: two visits took %v", i, took)
		}
		r.run(10 * time.Millisecond)
	}
	r.done()
}

// Received is the time of the datagram, not of the delivery: a safe message waits for all.
func TestReceived(t *testing.T) {
	r := newRig(t, 3)
	r.form()
	at := map[*rigNode]clock.Time{}
	for _, n := range r.nodes {
		n.received = func(when clock.Time) { at[n] = when }
	}
	sent := r.now
	if err := r.nodes[1].p.Offer(r.now, "a", 0, []byte("x"), true); err != nil {
		t.Fatal(err)
	}
	if !r.until(time.Second, func() bool { return len(at) == 3 }) {
		t.Fatal("not delivered")
	}
	for i, n := range r.nodes {
		if at[n] < sent || at[n] >= r.now {
			t.Errorf("member %d: received at %v, sent at %v, delivered at %v", i, at[n], sent, r.now)
		}
	}
	if at[r.nodes[1]] > at[r.nodes[0]] || at[r.nodes[1]] > at[r.nodes[2]] {
		t.Error("another member received it before it had its number")
	}
	r.done()
}
