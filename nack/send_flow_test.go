package nack

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/core"
)

// A sender that flow control holds back names the receiver that it waits for, and for how long.
func TestSenderNamesTheReceiverThatLimits(t *testing.T) {
	net, sender, s := pair(t, 1, 3, func(c *Config) { c.Window = 64 * 1472 })
	slow := net.nodes[2]
	if _, ok := s.Limiting(); ok || s.BlockedFor(net.now) != 0 {
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
	before, at := s.BlockedFor(net.now), net.now
	until(time.Second)
	l, ok := s.Limiting()
	if !ok || l.Member != slow.id || l.Endpoint != slow.endpoint || l.Behind != 0 || l.Room != 0 {
		t.Errorf("limited by %+v, %v; want member %d", l, ok, slow.endpoint)
	}
	if d, all := s.BlockedFor(net.now)-before, net.now.Sub(at); d < all*9/10 || d > all {
		t.Errorf("held back for %v in %v", d, all)
	}
	slow.refuse = nil
	if !net.until(time.Second, s.Acknowledged) {
		t.Fatal("not acknowledged")
	}
	before = s.BlockedFor(net.now)
	net.run(time.Second) // there is nothing to send
	if _, ok := s.Limiting(); ok || s.BlockedFor(net.now) != before {
		t.Errorf("a stream that has sent everything waits: %v more", s.BlockedFor(net.now)-before)
	}
	net.done()
}
