package nack

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// asksFor has a receiver ask for datagrams of the sender's stream, through the group or by unicast.
func asksFor(t *testing.T, sender, receiver *node, byGroup bool, gaps ...wire.Gap) {
	t.Helper()
	b := forge(receiver.p.header(testStream), func(b []byte) []byte { return wire.AppendNak(b, sender.id, 1, gaps, nil) })
	if err := sender.net.step(sender, receiver.endpoint, b, byGroup); err != nil {
		t.Fatal(err)
	}
	sender.net.turn(sender)
}

// A receiver whose unicast is blocked is mute: its requests come and its reports do not. It is reported once, and the
// stream goes on without it. When unicast gets through again the stream waits for it as before.
func TestMute(t *testing.T) {
	net, sender, s := pairOf(t, 3, wire.NACK)
	blocked := net.nodes[1]
	net.faults.loss = 0.02
	net.noUnicast = blocked
	load := func(d time.Duration) {
		for end := net.now.Add(d); net.now < end; net.run(time.Millisecond) {
			net.offer(sender, s, 3, 1000)
		}
	}
	load(3 * time.Second) // it is evicted for its silence first
	if n, e := sender.of(ReceiverMute); n != 1 || e.Member != blocked.id {
		t.Fatalf("%d receivers were found mute, the last one %x", n, e.Member)
	}
	before := s.message
	load(time.Second)
	if n := s.message - before; n < 2900 {
		t.Errorf("%d of 3000 messages left beside a receiver that is mute", n)
	}
	net.noUnicast = nil
	net.run(time.Second)
	if r := s.findReceiver(blocked.id); r == nil || !r.waits() {
		t.Error("unicast gets through again, and the stream does not wait for the receiver")
	}
	net.done()
}

// A sender that did not run for a while reads a request first, and only then the reports that came before it.
func TestMuteAfterStandstill(t *testing.T) {
	net, sender, s := pairOf(t, 3, wire.NACK)
	net.offer(sender, s, 10, 1000)
	net.run(100 * time.Millisecond)
	r := net.nodes[1]
	sender.down = true
	net.run(3 * time.Second)
	sender.down, sender.wake = false, 0
	asksFor(t, sender, r, true, wire.Gap{First: 2, Count: 1})
	if n, _ := sender.of(ReceiverMute); n > 0 || !s.findReceiver(r.id).waits() {
		t.Error("the sender stood still, and takes a receiver for mute")
	}
	net.done()
}

// The reports of an idle stream's receivers are rare. When the stream goes on, its requests may come before the next one.
func TestMuteAfterIdleness(t *testing.T) {
	net, sender, s := pairOf(t, 3, wire.NACK)
	net.offer(sender, s, 10, 1000)
	net.run(2 * time.Minute)
	r := net.nodes[1]
	for i := range 3 {
		net.offer(sender, s, 1, 1000)
		asksFor(t, sender, r, true, wire.Gap{First: s.sent - 1, Count: 1})
		net.run(20 * time.Millisecond)
		if n, _ := sender.of(ReceiverMute); n > 0 || !s.findReceiver(r.id).waits() {
			t.Fatalf("request %d after idleness, and the receiver is taken for mute", i)
		}
	}
	net.done()
}

// A request that comes by unicast shows that unicast gets through.
func TestMuteAsksByUnicast(t *testing.T) {
	for _, unicast := range []bool{false, true} {
		net, sender, s := pairOf(t, 3, wire.NACK)
		net.offer(sender, s, 10, 1000)
		net.run(100 * time.Millisecond)
		r := net.nodes[1]
		net.filter = func(from, _ *node, _ *wire.Datagram) bool { return from != r }
		for i := range 40 {
			asksFor(t, sender, r, !unicast || i%8 > 0, wire.Gap{First: 2, Count: 1})
			net.run(50 * time.Millisecond)
		}
		if n, _ := sender.of(ReceiverMute); n > 0 == unicast {
			t.Errorf("%d receivers are mute; some requests come by unicast: %v", n, unicast)
		}
		net.done()
	}
}
