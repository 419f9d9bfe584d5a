package nack

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// inFlood is a sender that has flooded receivers for d.
func inFlood(t *testing.T, d time.Duration, members int, each func(i int, n *node)) (*network, *node, *Sender) {
	net, sender, s := pairOf(t, members, wire.NACK)
	for i, n := range net.nodes {
		each(i, n)
	}
	for end := net.now.Add(d); net.now < end; {
		net.offer(sender, s, 64, 1000)
		net.run(50 * time.Microsecond)
	}
	return net, sender, s
}

// Receivers report in the steps that they are asked for, and say so.
func TestReportsInSteps(t *testing.T) {
	net, sender, s := inFlood(t, 30*time.Millisecond, 3, func(int, *node) {})
	for i := range s.receivers {
		if r := &s.receivers[i]; r.every == 0 || r.every > s.flow.step() {
			t.Errorf("receiver %d reports after each %d bytes, %d are asked for", i, r.every, s.flow.step())
		}
	}
	for _, n := range net.nodes[1:] {
		r := n.p.known[streamKey{sender.id, testStream}]
		for _, asked := range []uint32{1, leastEvery, 1 << 31} {
			r.reportEach(asked)
			if e := r.status.every; e < 2*cost(n.p.cfg.Datagram) || e > uint64(n.p.cfg.Room) && n.p.cfg.Room > 0 || asked > 1 && e > uint64(asked) {
				t.Errorf("asked for reports after each %d bytes it reports after %d", asked, e)
			}
		}
	}
	net.done()
}

// A receiver of an older version does not say how often it reports, and sets no bound; nor does a stream have one in which
// there is such a receiver.
func TestOlderReceiversSetNoBound(t *testing.T) {
	for _, older := range []bool{false, true} {
		net, _, s := inFlood(t, 30*time.Millisecond, 3, func(i int, n *node) { n.older = older && i == 2 })
		s.flow.flight.bound = flightLeast
		s.flow.update()
		if free := s.flow.inFlight == noNumber; free != older {
			t.Errorf("an older receiver %v: %d bytes may be in flight", older, s.flow.inFlight)
		}
		net.run(100 * time.Millisecond)
		net.done()
	}
}

// A receiver that lies about its steps cannot stop a stream: at the least four datagrams may be in flight, and what it
// says it takes before it reports.
func TestLiesAboutSteps(t *testing.T) {
	for _, lie := range []uint32{1, 1 << 30, 1<<32 - 1} {
		net, sender, s := inFlood(t, 30*time.Millisecond, 2, func(int, *node) {})
		r := &s.receivers[0]
		b := wire.AppendStatus(wire.AppendHeader(nil, net.nodes[1].p.header(testStream)), wire.Status{Origin: sender.id, OriginIncarnation: sender.p.cfg.Incarnation,
			Next: r.next, Highest: r.highest, Limit: r.limit, Room: 1 << 20, Every: lie})
		wire.Seal(b)
		if err := net.inject(sender, net.nodes[1].endpoint, b); err != nil {
			t.Fatal(err)
		}
		s.flow.flight.bound = flightLeast
		s.flow.update()
		if s.flow.inFlight < flightLeast || s.flow.room > 1<<20 {
			t.Errorf("a step of %d bytes: %d may be in flight, %d are room", lie, s.flow.inFlight, s.flow.room)
		}
		sent := s.sent
		for range 40 {
			net.offer(sender, s, 64, 1000)
			net.run(50 * time.Microsecond)
		}
		if s.sent-sent < 1000 {
			t.Errorf("a step of %d bytes: %d datagrams left", lie, s.sent-sent)
		}
		net.done()
	}
}
