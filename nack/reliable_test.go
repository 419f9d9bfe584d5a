package nack

import (
	"fmt"
	"testing"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// One sender, eight receivers, five per cent loss each way, duplicates and reordering: every
// message is delivered to everybody, once and in order (RM-1 to RM-5, RM-11, RM-12).
func TestExactlyOnce(t *testing.T) {
	seeds := 200
	switch {
	case raceEnabled:
		seeds = 20
	case testing.Short():
		seeds = 50 // make sim has all of them
	}
	for seed := range uint64(seeds) {
		run(t, seed, 8, faults{loss: 0.05, duplicate: 0.01, reorder: 0.02, delay: 10 * time.Microsecond, jitter: 5 * time.Microsecond}, 400)
	}
}

// run sends messages of mixed sizes, in bursts, and waits until all have all.
func run(t *testing.T, seed uint64, receivers int, f faults, messages int) *network {
	t.Helper()
	return runStream(t, testStream, seed, receivers, f, messages)
}

// runStream is run for any stream that is to be complete in the end.
func runStream(t *testing.T, id wire.StreamID, seed uint64, receivers int, f faults, messages int) *network {
	t.Helper()
	net := newNetwork(t, seed)
	if coded(id.Protocol()) {
		net.extra = FECBuffers(FEC{}, 1)
	}
	net.faults = f
	sender := net.add()
	for range receivers {
		net.add()
	}
	s := net.open(sender, id)
	for sent := 0; sent < messages; {
		n := 1 + net.rnd.IntN(30)
		size := 20 + net.rnd.IntN(100)
		switch net.rnd.IntN(10) {
		case 0:
			size = 5000 + net.rnd.IntN(10000)
			n = min(n, 3)
		case 1:
			size = 1300
		}
		sent += net.offer(sender, s, min(n, messages-sent), size)
		net.run(time.Duration(net.rnd.IntN(300)) * time.Microsecond)
	}
	if !net.until(20*time.Second, func() bool { return completeOn(net, id, messages) && s.Acknowledged() }) {
		for _, n := range net.nodes[1:] {
			h := n.stream(sender.id, id)
			fmt.Printf("node %d: first %d next %d lost %v gaps %v\n", n.endpoint, h.first, h.next, h.lost, n.p.streams)
		}
		t.Fatalf("seed %d: not settled after 20 s: %+v", seed, sender.p.Stats())
	}
	net.done()
	return net
}

func complete(net *network, messages int) bool { return completeOn(net, testStream, messages) }

func completeOn(net *network, id wire.StreamID, messages int) bool {
	for _, n := range net.nodes[1:] {
		h := n.stream(net.nodes[0].id, id)
		if h.delivered != messages || h.first != 1 || len(h.lost) > 0 {
			return false
		}
	}
	return true
}

// Half of all datagrams are lost, both ways: nothing that the sender holds is ever given up.
func TestHeavyLoss(t *testing.T) {
	for seed := range uint64(10) {
		run(t, seed, 3, faults{loss: 0.5, delay: 10 * time.Microsecond, jitter: 5 * time.Microsecond}, 200)
	}
}

// Streams without loss need no NAK and no repair.
func TestCleanNetwork(t *testing.T) {
	net := run(t, 1, 3, faults{delay: 5 * time.Microsecond}, 2000)
	if net.sent[wire.FrameNak] != 0 {
		t.Errorf("%d NAKs without loss", net.sent[wire.FrameNak])
	}
	st := net.nodes[0].p.Stats()
	if st.RepairsMulticast+st.RepairsUnicast != 0 {
		t.Errorf("%d repairs without loss", st.RepairsMulticast+st.RepairsUnicast)
	}
}
