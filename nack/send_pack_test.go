package nack

import (
	"errors"
	"testing"
)

// A datagram that was laid is no message: nothing waits, nothing is sent of it, and the next
// message goes into it. What was laid comes back to the pool at the end.
func TestLaidDatagram(t *testing.T) {
	l := newLoop(0)
	s := l.s
	for s.Sent() <= startDatagrams { // a young stream says with each datagram when it leaves
		if err := s.Offer(l.now, "prices.eu", 0, make([]byte, 64)); err != nil {
			t.Fatal(err)
		}
		l.turn(startFor)
	}
	l.turn(startFor)
	if !s.packing || !s.w.Empty() {
		t.Fatal("nothing was laid")
	}
	laid, sent, came := s.slots[s.next&s.mask].buf, s.sent, l.messages
	for range 10 {
		if l.turn(startFor); !s.packing {
			t.Fatal("it was given back and taken again")
		}
	}
	if s.unsent() || !s.Acknowledged() || s.sent != sent || s.slots[s.next&s.mask].buf != laid {
		t.Errorf("an empty datagram: unsent %v, acknowledged %v, %d sent, %d before", s.unsent(), s.Acknowledged(), s.sent, sent)
	}
	if err := s.Offer(l.now, "prices.eu", 0, make([]byte, 64)); err != nil || s.slots[s.next&s.mask].buf != laid {
		t.Errorf("the message went elsewhere: %v", err)
	}
	if l.turn(0); s.sent != sent+1 || l.messages != came+1 {
		t.Errorf("%d datagrams sent, %d messages came", s.sent-sent, l.messages-came)
	}
	l.send.Close(l.now)
	if s.packing {
		t.Error("it is still laid after Close")
	}
	l.send.Release()
	if p := l.send.cfg.Pool; p.Free() != p.Count() {
		t.Errorf("%d of %d buffers are free", p.Free(), p.Count())
	}
}

// Packing stays near the driver: what has not been sent is bounded by maxAhead, not by the window.
func TestPackingStaysNearTheDriver(t *testing.T) {
	l := newLoop(0)
	payload := make([]byte, 1000) // one in a datagram
	offered := uint64(0)
	for ; ; offered++ {
		if err := l.s.Offer(l.now, "prices.eu", 0, payload); err != nil {
			if !errors.Is(err, ErrWindow) {
				t.Fatal(err)
			}
			break
		}
	}
	if ahead := l.s.next - l.s.sent; ahead < maxAhead || ahead > maxAhead+1 || l.s.window < 2*maxAhead {
		t.Errorf("%d datagrams wait of a window of %d, want %d", ahead, l.s.window, maxAhead)
	}
	for range 10 {
		l.turn(startFor)
	}
	if l.messages != int(offered) {
		t.Errorf("%d of %d messages came", l.messages, offered)
	}
}
