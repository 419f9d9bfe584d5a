package nack

import (
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// naksForOneLoss counts the NAK datagrams for one datagram that all receivers miss.
func naksForOneLoss(t *testing.T, seed uint64, receivers int) int {
	net := newNetwork(t, seed)
	net.faults = faults{delay: 25 * time.Microsecond, jitter: 10 * time.Microsecond}
	sender := net.add(func(c *Config) { c.Window = 64 << 10 })
	for range receivers {
		net.add(func(c *Config) { c.Window = 64 << 10 })
	}
	s := net.open(sender, testStream)
	if !net.until(5*time.Second, func() bool { return s.Receivers() == receivers }) {
		t.Fatalf("seed %d: %d of %d receivers known after 5 s", seed, s.Receivers(), receivers)
	}
	// Some traffic, so that heartbeats tell the round trip and the number of receivers.
	for range 5 {
		net.offer(sender, s, 1, 64)
		net.run(200 * time.Millisecond)
	}
	naks := net.sent[wire.FrameNak]
	if naks != 0 {
		t.Fatalf("seed %d: %d NAKs before the loss", seed, naks)
	}
	lose := s.Sent() + 1
	net.filter = func(_, _ *node, d *wire.Datagram) bool {
		if f := d.Frames()[0]; f.Kind == wire.FrameData && f.Data().Number == lose {
			return false
		}
		return true
	}
	net.offer(sender, s, 1, 64)
	net.filter = nil
	net.offer(sender, s, 1, 64)
	if !net.until(2*time.Second, func() bool { return complete(net, 7) }) {
		t.Fatalf("seed %d: not repaired", seed)
	}
	n := net.sent[wire.FrameNak]
	if st := sender.p.Stats(); st.RepairsMulticast != 1 || st.RepairsUnicast != 0 {
		t.Logf("seed %d: %d NAKs, repairs: %d to the group, %d to one", seed, n, st.RepairsMulticast, st.RepairsUnicast)
	}
	net.done()
	return n
}

func median(v []int) int {
	slices.Sort(v)
	return v[len(v)/2]
}

// RFC 5401, section 5.2: with back-off and suppression the number of NAKs hardly depends on the
// number of receivers.
func TestFewNaks(t *testing.T) {
	for _, c := range []struct{ receivers, seeds, most int }{
		{2, 5, 2},
		{64, 31, 4},
		{1000, 5, 6},
	} {
		if testing.Short() && c.receivers == 1000 || raceEnabled && c.receivers > 64 {
			c.seeds = 1
		}
		var naks []int
		for seed := range uint64(c.seeds) {
			naks = append(naks, naksForOneLoss(t, seed, c.receivers))
		}
		m := median(naks)
		t.Logf("%d receivers: NAKs for one loss: median %d of %v", c.receivers, m, naks)
		if m > c.most {
			t.Errorf("%d receivers: median of %d NAKs, at most %d wanted", c.receivers, m, c.most)
		}
	}
}

// Unicast from one of three receivers does not get through. It finds so although others ask for the same datagrams, and
// what they asked for comes to it, too. When unicast gets through again, it asks by unicast again.
func TestOneWay(t *testing.T) {
	for seed := range uint64(3) {
		net := newNetwork(t, seed)
		for range 4 {
			net.add()
		}
		sender, blocked := net.nodes[0], net.nodes[1]
		s := net.open(sender, testStream)
		net.run(50 * time.Millisecond)
		net.faults.loss = 0.05
		net.noUnicast = blocked
		load := func(d time.Duration) {
			for end := net.now.Add(d); net.now < end; net.run(time.Millisecond) {
				net.offer(sender, s, 1, 1000)
			}
		}
		load(3 * time.Second)
		for _, n := range net.nodes[1:] {
			if count, _ := n.of(StreamOneWay); (count == 1) != (n == blocked) {
				t.Errorf("seed %d: node %d finds %d times that unicast does not get through", seed, n.endpoint, count)
			}
		}
		net.noUnicast = nil
		load(4 * directEach)
		if r := blocked.p.known[streamKey{sender.id, testStream}]; r.asking.byGroup {
			t.Errorf("seed %d: unicast gets through again, and requests still go to the group", seed)
		}
		net.done()
	}
}

// Requests that are lost by chance are no blocked way: here every fourth datagram needs a repair, and the first two
// requests for every eighth are lost.
func TestLostRequestsAreNoBlockedWay(t *testing.T) {
	for _, receivers := range []int{1, 3} {
		net, sender, s := pairOf(t, receivers+1, wire.NACK)
		type key struct {
			to *node
			n  uint64
		}
		lost, asked := map[key]bool{}, map[key]int{}
		net.filter = func(from, to *node, d *wire.Datagram) bool {
			for _, f := range d.Frames() {
				switch f.Kind {
				case wire.FrameData:
					k := key{to, f.Data().Number}
					if from == sender && k.n%4 == 0 && !lost[k] {
						lost[k] = true
						return false
					}
				case wire.FrameNak:
					if to != sender {
						return true
					}
					nak := f.Nak()
					for _, gaps := range []wire.GapIter{nak.Gaps(), nak.Again()} {
						for g, ok := gaps.Next(); ok; g, ok = gaps.Next() {
							k := key{from, g.First}
							if asked[k]++; g.First%8 == 0 && asked[k] <= 2 {
								return false
							}
						}
					}
				}
			}
			return true
		}
		for range 600 {
			net.offer(sender, s, 1, 64)
			net.run(5 * time.Millisecond)
		}
		net.filter = nil
		if !net.until(time.Second, func() bool { return complete(net, 600) }) {
			t.Error("not everything was repaired")
		}
		for _, n := range net.nodes {
			for _, e := range n.events {
				if e.Kind == StreamOneWay {
					t.Errorf("%d receivers: %+v, and unicast gets through", receivers, e)
				}
			}
			if n != sender {
				if r := n.p.Stats().Repaired; r < 100 {
					t.Errorf("%d receivers: %d datagrams repaired, at least 100 wanted", receivers, r)
				}
			}
		}
		net.done()
	}
}
