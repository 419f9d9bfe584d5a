package nack

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// What all receivers have reported is given back, but for the last datagrams. After an eviction the whole window stays.
func TestReportedIsGivenBack(t *testing.T) {
	net := newNetwork(t, 1)
	for range 3 {
		net.add(func(c *Config) { c.Window = 1 << 20 })
	}
	sender := net.nodes[0]
	s := sender.p.Open(net.now, testStream)
	net.turn(sender)
	net.run(rttMax) // the whole window stays until then, for receivers that are far away
	load := func(d time.Duration) {
		for end := net.now.Add(d); net.now < end; {
			net.offer(sender, s, 16, 1000)
			net.run(50 * time.Microsecond)
		}
	}
	load(30 * time.Millisecond)
	net.run(200 * time.Millisecond) // all is reported
	if kept := s.sent - s.first; kept != recent {
		t.Errorf("%d datagrams are kept that all receivers have, want %d", kept, recent)
	}
	gone := net.nodes[2]
	gone.down = true
	load(time.Millisecond)
	net.run(2 * sender.p.cfg.Eviction)
	if s.joined() != 1 {
		t.Fatalf("%d receivers after one was silent for long", s.joined())
	}
	load(30 * time.Millisecond)
	net.run(200 * time.Millisecond)
	if kept := s.next - s.first; kept < s.window-1 {
		t.Errorf("%d datagrams are kept after an eviction, want the window of %d", kept, s.window)
	}
	net.run(lateNeed)
	load(30 * time.Millisecond)
	net.run(200 * time.Millisecond)
	if kept := s.sent - s.first; kept != recent {
		t.Errorf("%d datagrams are kept long after an eviction, want %d", kept, recent)
	}
	net.done()
}

// A receiver that the stream has just ceased to wait for needs the window, from its very next report on.
func TestWindowStaysForOneThatIsStuck(t *testing.T) {
	net := newNetwork(t, 1)
	for range 3 {
		net.add(func(c *Config) { c.Window = 2 << 20 })
	}
	sender := net.nodes[0]
	s := sender.p.Open(net.now, testStream)
	net.turn(sender)
	net.run(50 * time.Millisecond)
	net.filter = func(_, to *node, d *wire.Datagram) bool {
		f := d.Frames()[0]
		return to != net.nodes[2] || f.Kind != wire.FrameData || f.Data().Number != 5
	}
	for range 10 {
		net.offer(sender, s, 100, 1000)
		net.run(time.Millisecond)
	}
	net.run(50 * time.Millisecond) // the other one has reported all
	r := s.findReceiver(net.nodes[2].id)
	if s.flow.update(); s.sent < 2*recent {
		t.Fatalf("%d datagrams have left", s.sent)
	}
	r.stuck.is, s.flow.stale = true, true
	s.giveBack(net.now)
	if s.first > r.next {
		t.Errorf("%d is the lowest datagram that is kept, and one that is stuck lacks %d", s.first, r.next)
	}
	net.done()
}
