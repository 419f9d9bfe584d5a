package nack

import (
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// lowered has the sender's interface take datagrams of at most n bytes; engine and driver would do that. It returns how
// often each data datagram was sent, in all.
func lowered(net *network, sender *node) (to func(n int), sends map[uint64]int) {
	longest, length := 1472, 0
	sends = map[uint64]int{}
	net.onSend = func(n *node, s buf.Send, d *wire.Datagram) {
		length = s.Buf.Len()
		if n == sender && d.Frames()[0].Kind == wire.FrameData {
			m := d.Frames()[0].Data()
			sends[m.Number]++
		}
	}
	net.filter = func(from, _ *node, _ *wire.Datagram) bool { return from != sender || length <= longest }
	return func(n int) {
		longest = n
		sender.p.Fit(net.now, buf.Way{Pack: n, Longest: n})
		net.turn(sender)
	}, sends
}

// The MTU of the sender's interface is lowered under load, and raised after 3 s. What was packed just before is too long
// to leave: it is not sent again until it can, and then at once. New datagrams fit. Nothing is lost.
func TestMTULoweredAndRaised(t *testing.T) {
	for _, protocol := range []wire.Protocol{wire.NACK, wire.Hybrid} {
		net, sender, s := pairOf(t, 3, protocol)
		_, sends := lowered(net, sender)
		load := func(d time.Duration) {
			for end := net.now.Add(d); net.now < end; {
				net.offer(sender, s, 3, 1300)
				net.run(time.Millisecond)
			}
		}
		load(200 * time.Millisecond)
		// The driver drops a few, before it is known.
		net.filter = func(from, _ *node, _ *wire.Datagram) bool { return from != sender }
		net.offer(sender, s, 10, 1420)
		to, again := lowered(net, sender)
		for n := range sends {
			again[n] = sends[n]
		}
		to(1372)
		load(3 * time.Second)
		if n := sender.p.Stats().NaksTooLong; n == 0 {
			t.Errorf("%v: nothing was asked for in vain", protocol)
		}
		for n, count := range again {
			if count > 1+4 {
				t.Errorf("%v: datagram %d was sent %d times while it could not leave", protocol, n, count)
			}
		}
		to(1472)
		if !net.until(20*time.Millisecond, s.Acknowledged) {
			t.Errorf("%v: what waited did not arrive within 20 ms", protocol)
		}
		load(100 * time.Millisecond)
		net.until(time.Second, s.Acknowledged)
		for _, n := range net.nodes {
			if n == sender {
				continue
			}
			if h := n.stream(sender.id, s.ID()); len(h.lost) > 0 || h.next != s.message {
				t.Errorf("%v: node %d is at message %d of %d and lost %v", protocol, n.endpoint, h.next, s.message, h.lost)
			}
		}
		for n, count := range again {
			if count > 1+4 {
				t.Errorf("%v: datagram %d was sent %d times", protocol, n, count)
			}
		}
		net.done()
	}
}

// The MTU stays low: receivers are told what cannot be sent any more, and go on.
func TestMTUStaysLow(t *testing.T) {
	net, sender, s := pairOf(t, 2, wire.NACK)
	net.offer(sender, s, 10, 1300)
	net.run(50 * time.Millisecond)
	net.filter = func(from, _ *node, _ *wire.Datagram) bool { return from != sender }
	net.offer(sender, s, 10, 1420)
	to, _ := lowered(net, sender)
	to(1372)
	net.run(10 * time.Millisecond)
	for range 12 {
		net.offer(sender, s, 1, 1300)
		net.run(time.Second)
	}
	h := net.nodes[1].stream(sender.id, s.ID())
	if !slices.ContainsFunc(h.lost, func(l core.Loss) bool { return l.Reason == core.LossTimeout }) || h.next != s.message {
		t.Errorf("the receiver is at message %d of %d and was told of %v", h.next, s.message, h.lost)
	}
	net.done()
}

// While nothing can leave, receivers are not evicted for their silence: what was sent meanwhile reaches them when there
// is a way again, and until then it counts as not sent.
func TestNoWayOut(t *testing.T) {
	for _, after := range []time.Duration{500 * time.Millisecond, 5 * time.Second} {
		net, sender, s := pairOf(t, 3, wire.NACK)
		net.offer(sender, s, 10, 100)
		net.run(100 * time.Millisecond)
		shut := false
		net.filter = func(from, to *node, _ *wire.Datagram) bool { return !shut || from != sender && to != sender }
		shut = true
		sender.p.Fit(net.now, buf.Way{Pack: 1472, Longest: 1472, Shut: true, Down: true})
		net.offer(sender, s, 200, 100)
		net.run(after)
		if s.Receivers() != 2 || s.Acknowledged() || s.Unsent() != 200 {
			t.Errorf("after %v: %d receivers, acknowledged %v, %d messages not sent", after, s.Receivers(), s.Acknowledged(), s.Unsent())
		}
		shut = false
		sender.p.Fit(net.now, buf.Way{Pack: 1472, Longest: 1472})
		if !net.until(300*time.Millisecond, s.Acknowledged) || s.Unsent() != 0 {
			t.Errorf("after %v: not all has arrived 300 ms later", after)
		}
		for _, n := range net.nodes[1:] {
			if h := n.stream(sender.id, s.ID()); len(h.lost) > 0 || h.next != s.message {
				t.Errorf("after %v: node %d is at message %d of %d and lost %v", after, n.endpoint, h.next, s.message, h.lost)
			}
		}
		net.done()
	}
}

// Without a receiver, and without a carrier, what was sent counts as not sent.
func TestNoCarrier(t *testing.T) {
	net, sender, s := pairOf(t, 1, wire.NACK)
	net.offer(sender, s, 10, 100)
	net.run(100 * time.Millisecond)
	sender.p.Fit(net.now, buf.Way{Pack: 1472, Longest: 1472, Down: true})
	net.offer(sender, s, 20, 100)
	net.run(100 * time.Millisecond)
	if s.Acknowledged() || s.Unsent() != 20 {
		t.Errorf("acknowledged %v, %d messages not sent", s.Acknowledged(), s.Unsent())
	}
	net.done()
}

// A sender and a receiver go on under other addresses: requests and repairs go there.
func TestAddressesChange(t *testing.T) {
	net, sender, s := pairOf(t, 2, wire.NACK)
	receiver := net.nodes[1]
	net.faults.loss = 0.1
	for i, n := range []*node{sender, receiver} {
		n.endpoint = buf.Endpoint(100 + i)
		if n == sender { // one datagram tells, before any heartbeat
			net.faults.loss = 0
			net.offer(sender, s, 1, 1000)
			net.run(20 * time.Microsecond)
			if at := receiver.p.known[streamKey{sender.id, s.ID()}].endpoint; at != sender.endpoint {
				t.Errorf("the sender is at %d, the receiver asks at %d", sender.endpoint, at)
			}
			net.faults.loss = 0.1
		}
		for range 50 {
			net.offer(sender, s, 20, 1000)
			net.run(2 * time.Millisecond)
		}
		if !net.until(time.Second, s.Acknowledged) {
			t.Fatalf("not all has arrived after %d changes", i+1)
		}
		if st := receiver.p.Stats(); st.Lost > 0 || st.Missed == 0 {
			t.Errorf("%d lost, %d missed", st.Lost, st.Missed)
		}
	}
	if to := s.receivers[0].endpoint; to != receiver.endpoint {
		t.Errorf("the receiver is at %d, the sender sends to %d", receiver.endpoint, to)
	}
	net.done()
}

// pairOf is a network of a sender and receivers, n in all, with a stream under a protocol.
func pairOf(t *testing.T, n int, protocol wire.Protocol) (*network, *node, *Sender) {
	net := newNetwork(t, 1)
	for range n {
		net.add()
	}
	sender := net.nodes[0]
	s := sender.p.Open(net.now, wire.NewStreamID(protocol, 0))
	net.turn(sender)
	net.run(50 * time.Millisecond)
	return net, sender, s
}
