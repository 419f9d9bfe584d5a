package nack

import (
	"testing"
	"time"
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
	net.run(50 * time.Millisecond)
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
