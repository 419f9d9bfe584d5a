package nack

import (
	"testing"
	"time"
)

// What all receivers have reported is given back, but for the last datagrams. After an eviction the whole window stays.
func TestReportedIsGivenBack(t *testing.T) {
	net, sender, s := inFlood(t, 30*time.Millisecond, 3, func(int, *node) {})
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
	load(2 * sender.p.cfg.Eviction)
	if s.joined() != 1 {
		t.Fatalf("%d receivers after one was silent for long", s.joined())
	}
	net.run(200 * time.Millisecond)
	if kept := s.next - s.first; kept < s.window {
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
