package nack

import (
	"fmt"
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// More streams than there are reorder windows for, to a member that takes messages slowly, as a
// consumer that pauses does: it asks only for what it can keep. So repairs stay in proportion to
// what was lost, and all is delivered as fast as it is taken. A member that asks for what it must
// drop has the senders repeat it again and again.
func TestManyStreamsToASlowMember(t *testing.T) {
	for _, id := range []wire.StreamID{testStream, hybridStream} {
		for seed := range uint64(5) {
			t.Run(fmt.Sprintf("%v %d", id.Protocol(), seed), func(t *testing.T) { slowMember(t, id, seed) })
		}
	}
}

func slowMember(t *testing.T, id wire.StreamID, seed uint64) {
	const streams, count, rate = 8, 1000, 20 // messages in a millisecond
	net := newNetwork(t, seed)
	net.faults.loss = 0.01
	net.faults.delay, net.faults.jitter = 50*time.Microsecond, 0 // in order
	net.extra = 3 * (WindowDatagrams(256<<10, 1472) + 1)
	slow := net.add()
	net.filter = func(from, to *node, _ *wire.Datagram) bool { return from == slow || to == slow }
	taken := 0
	slow.refuse = func(*core.Delivery) bool {
		if float64(taken) >= rate*float64(net.now)/1e6 {
			return true
		}
		taken++
		return false
	}
	var from []*node
	var senders []*Sender
	for range streams {
		n := net.add()
		from, senders = append(from, n), append(senders, net.open(n, id))
	}
	net.run(5 * time.Millisecond)
	var offered [streams]int
	began := net.now
	if !net.until(2*time.Second, func() bool {
		least := count
		for i, s := range senders {
			offered[i] += net.offer(from[i], s, count-offered[i], 1000)
			least = min(least, slow.stream(from[i].id, id).delivered)
		}
		return least == count
	}) {
		t.Errorf("not all is delivered: %d of %d", taken, streams*count)
	}
	took := net.now.Sub(began)
	repairs := uint64(0)
	for _, n := range from {
		st := n.p.Stats()
		repairs += st.RepairsMulticast + st.RepairsUnicast + st.ParityAsked
	}
	st := slow.p.Stats()
	t.Logf("%v: %d repairs of %d datagrams, %d missed, %d dropped for want of buffers, %d requests",
		took, repairs, st.DataReceived, st.Missed, st.Drops[DropNoBuffer], st.NaksSent)
	if repairs > streams*count {
		t.Errorf("%d repairs for %d datagrams", repairs, st.DataReceived)
	}
	if most := time.Second * streams * count / rate / 1000; took > most*5/4 {
		t.Errorf("it took %v, the receiver takes all in %v", took, most)
	}
	net.done()
}

// Streams that are paused at one time are offered in turn: none has all that is taken.
func TestPausedStreamsTakeTurns(t *testing.T) {
	net := newNetwork(t, 1)
	slow, a, b := net.add(), net.add(), net.add()
	left := 0
	slow.refuse = func(*core.Delivery) bool { left--; return left < 0 }
	sa, sb := net.open(a, testStream), net.open(b, testStream)
	net.run(5 * time.Millisecond)
	net.offer(a, sa, 100, 1000)
	net.offer(b, sb, 100, 1000)
	net.run(time.Millisecond)
	for range 40 {
		left = 1
		slow.p.Deliver(net.now)
	}
	left = 0
	if x, y := slow.stream(a.id, testStream).delivered, slow.stream(b.id, testStream).delivered; x != 20 || y != 20 {
		t.Errorf("%d messages of one stream and %d of the other were taken, want 20 of each", x, y)
	}
	net.done()
}

// What a paused stream holds leaves the other users of the pool their part.
func TestReservedBuffersAreNotHeld(t *testing.T) {
	net := newNetwork(t, 1)
	const reserved = 300
	slow := net.add(func(c *Config) { c.Reserved = reserved })
	from := net.add()
	slow.refuse = func(*core.Delivery) bool { return true }
	s := net.open(from, testStream)
	net.run(5 * time.Millisecond)
	for range 50 {
		net.offer(from, s, 100, 1000)
		net.run(time.Millisecond)
	}
	if held, free := slow.p.held, slow.pool.Free(); held == 0 || free < reserved {
		t.Errorf("%d buffers held, %d left for others, which have %d", held, free, reserved)
	}
	net.done()
}
