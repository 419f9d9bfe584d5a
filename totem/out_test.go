package totem

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
)

// While nothing can leave, only one Join, one word about the ring and one token wait, however long it
// lasts. Afterwards the newest of each leaves.
func TestOutboxIsBounded(t *testing.T) {
	r := newRig(t, 3)
	r.form()
	for i := range 3 {
		n := r.nodes[i]
		for range 20 {
			_ = n.p.Offer(r.now, "a", 0, make([]byte, 1200), false)
		}
	}
	// From here on every node receives its Ticks, and sends nothing.
	most := 0
	for end := r.now.Add(20 * time.Second); r.now < end; r.now += 100_000 {
		for _, n := range r.nodes {
			for _, b := range n.inbox {
				n.step(b)
			}
			n.inbox = n.inbox[:0]
			n.p.Tick(r.now)
			n.p.Flush(r.now)
			most = max(most, len(n.p.out.list)-n.p.out.next-n.p.out.data)
		}
	}
	if most > int(latestKinds)+maxJoins {
		t.Errorf("%d control datagrams waited", most)
	}
	if r.nodes[0].p.Stats().Joins < 10 {
		t.Fatal("no member tried to form a ring")
	}
	r.form()
	r.done()
}

// A token that moves to the end leaves nothing behind, and data keeps its order.
func TestOutboxOrder(t *testing.T) {
	r := newRig(t, 1)
	p := r.nodes[0].p
	o := &p.out
	o.clear()
	put := func(data bool, k latest, mark byte) {
		b := p.cfg.Pool.Get()
		b.Mem()[0] = mark
		b.Set(0, 1)
		if data {
			o.putData(b)
		} else {
			o.put(k, b, buf.Group)
		}
	}
	put(false, theToken, 'a')
	put(true, 0, '1')
	put(false, theJoin, 'j')
	put(false, theToken, 'b') // in place of a, behind the data
	put(true, 0, '2')
	r.now += 1
	p.last = r.now
	put(false, theJoin, 'k') // in place of j, which is of an earlier turn
	put(false, theToken, 'c')
	got := ""
	for s, ok := o.poll(1); ok; s, ok = o.poll(1) {
		got += string(s.Buf.Bytes())
		s.Buf.Release()
	}
	if got != "1k2c" || !o.empty() || o.data != 0 {
		t.Errorf("left in the order %q", got)
	}
	for range 1000 { // over and over, with something always waiting
		put(false, theToken, 't')
		put(true, 0, 'd')
		put(false, theMergeDetect, 'm')
		if s, ok := o.poll(1); !ok || s.Buf == nil {
			t.Fatal("nothing left")
		} else {
			s.Buf.Release()
		}
		if s, ok := o.poll(1); !ok || s.Buf == nil {
			t.Fatal("nothing left")
		} else {
			s.Buf.Release()
		}
	}
	if len(o.list) > 2000 {
		t.Errorf("the list has grown to %d", len(o.list))
	}
	r.done()
}

// The members of a ring that is idle wake for tokens and holds only, not for timers that were put off.
func TestIdleRingWakesForNothing(t *testing.T) {
	r := newRig(t, 3, func(c *Config) { c.Profile = Tuned(); c.Profile.Hold = 4 * time.Millisecond })
	r.form()
	r.run(20 * time.Millisecond)
	wakes := 0
	for end := r.now.Add(time.Second); r.now < end; r.now += 20_000 {
		for i, n := range r.nodes {
			if at, ok := n.p.Deadline(); !ok || at > r.now || len(n.inbox) > 0 {
				continue
			}
			due := false
			for _, at := range n.p.timers {
				due = due || at <= r.now
			}
			if wakes++; !due {
				t.Fatalf("member %d wakes and nothing is due", i)
			}
		}
		r.turn()
	}
	// The end of each hold, and merge detection.
	if wakes == 0 || wakes > 250+20 {
		t.Errorf("woken %d times in a second by timers", wakes)
	}
	r.done()
}

// Where only the representative lets the token rest a message does not wait for the end of the hold either.
func TestHoldOfAnotherProfile(t *testing.T) {
	r := newRig(t, 0)
	for i := range 3 {
		r.add(func(c *Config) {
			if c.Profile = Tuned(); i == 0 {
				c.Profile.Hold = 4 * time.Millisecond
			}
		})
	}
	r.form()
	for range 20 {
		r.run(20 * time.Millisecond)
		n := r.nodes[1+r.nodes[1].count%2]
		want := r.nodes[0].count + 1
		if err := n.p.Offer(r.now, "a", 0, []byte("x"), false); err != nil {
			t.Fatal(err)
		}
		if !r.until(1300*time.Microsecond, func() bool { return r.nodes[0].count == want }) {
			t.Fatal("a message waited for the end of the hold")
		}
	}
	if r.nodes[0].p.Stats().Holds == 0 {
		t.Error("the token never rested")
	}
	r.done()
}
