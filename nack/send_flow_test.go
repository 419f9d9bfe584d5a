package nack

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// held is for how long receivers have held a stream back.
func held(s *Sender, now clock.Time) time.Duration {
	l := s.Limited(now)
	return l.Held()
}

// A sender that flow control holds back names the receiver that it waits for, and for how long.
func TestSenderNamesTheReceiverThatLimits(t *testing.T) {
	net, sender, s := pair(t, 1, 3, func(c *Config) { c.Window = 64 * 1472 })
	slow := net.nodes[2]
	if _, ok := s.Limiting(); ok || held(s, net.now) != 0 {
		t.Error("an idle stream waits for a receiver")
	}
	slow.refuse = func(*core.Delivery) bool { return true }
	until := func(d time.Duration) {
		for end := net.now.Add(d); net.now < end; {
			net.offer(sender, s, 10, 1000)
			net.run(time.Millisecond)
		}
	}
	until(200 * time.Millisecond)
	before, at := held(s, net.now), net.now
	until(time.Second)
	l, ok := s.Limiting()
	if !ok || l.Member != slow.id || l.Endpoint != slow.endpoint || l.Behind != 0 || l.Room != 0 {
		t.Errorf("limited by %+v, %v; want member %d", l, ok, slow.endpoint)
	}
	if d, all := held(s, net.now)-before, net.now.Sub(at); d < all*9/10 || d > all {
		t.Errorf("held back for %v in %v", d, all)
	}
	slow.refuse = nil
	if !net.until(time.Second, s.Acknowledged) {
		t.Fatal("not acknowledged")
	}
	before = held(s, net.now)
	net.run(time.Second) // there is nothing to send
	if _, ok := s.Limiting(); ok || held(s, net.now) != before {
		t.Errorf("a stream that has sent everything waits: %v more", held(s, net.now)-before)
	}
	net.done()
}

// The receiver that a stream waits for is found over time: at single moments it may be a quick one, whose
// report is due.
func TestSlowestIsFoundOverTime(t *testing.T) {
	net, sender, s := pair(t, 1, 3, func(c *Config) { c.Window = 64 * 1472 })
	slow, taken := net.nodes[2], 0
	slow.refuse = func(*core.Delivery) bool { taken--; return taken < 0 } // a few in each millisecond
	late := false
	net.filter = func(from, _ *node, _ *wire.Datagram) bool { return !late || from != net.nodes[1] }
	moments := 0
	for step := range 10000 {
		if step%10 == 0 {
			taken = 30
		}
		late = step%2000 < 400 // for 40 ms the quick one's reports do not come
		net.offer(sender, s, 10, 1000)
		net.run(100 * time.Microsecond)
		if step < 2000 {
			continue // the windows fill
		}
		if l, ok := s.Limiting(); ok && l.Member != slow.id {
			moments++
		}
		if l, ok := s.Slowest(net.now); !ok || l.Member != slow.id {
			t.Fatalf("step %d: %+v, %v", step, l, ok)
		}
		if step == 5000 {
			s.Reckon(net.now)
			net.offer(sender, s, 10, 1000)
			net.run(10 * time.Millisecond)
		}
	}
	if moments == 0 {
		t.Error("the stream never waited for the quick one: this test shows nothing")
	}
}
