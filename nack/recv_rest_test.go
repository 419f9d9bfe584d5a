package nack

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// rested is a sender and receivers after a message and half a minute of silence, with reports that become rare or not.
func rested(t *testing.T, seed uint64, receivers int, watched bool, id wire.StreamID) (*network, *node, *Sender) {
	net := newNetwork(t, seed)
	change := func(c *Config) { c.Watched = watched }
	sender := net.add(change)
	for range receivers {
		net.add(change)
	}
	s := net.open(sender, id)
	net.run(60 * time.Millisecond)
	net.offer(sender, s, 1, 64)
	net.run(30 * time.Second)
	if s.Receivers() != receivers || !s.Acknowledged() {
		t.Fatalf("seed %d: %d receivers of %d, all acknowledged: %v", seed, s.Receivers(), receivers, s.Acknowledged())
	}
	return net, sender, s
}

// The reports of an idle stream become rare where groups watch, nobody is evicted, and without groups all is as it was.
func TestIdleReportsBecomeRare(t *testing.T) {
	for _, p := range []wire.Protocol{wire.BestEffort, wire.NACK, wire.FEC, wire.Hybrid} {
		for _, loss := range []float64{0, 0.05} {
			var counts [2]int
			for i, watched := range []bool{false, true} {
				net, sender, s := rested(t, 1, 4, watched, wire.NewStreamID(p, 0))
				net.faults.loss = loss
				before := net.sent[wire.FrameStatus]
				net.run(20 * time.Second)
				counts[i] = net.sent[wire.FrameStatus] - before
				if n := sender.p.Stats().Evictions; n != 0 || s.Receivers() != 4 {
					t.Errorf("%v, loss %v, watched %v: %d evictions, %d receivers", p, loss, watched, n, s.Receivers())
				}
				net.done()
			}
			if counts[0] < 4*20*8 || counts[1] > 70 {
				t.Errorf("%v, loss %v: %d reports of an idle stream in 20 s without groups, %d with", p, loss, counts[0], counts[1])
			}
		}
	}
}

// A message after the rest is acknowledged as soon as one without: also where its data and the first heartbeats are lost.
func TestRestedStreamAcknowledgesSoon(t *testing.T) {
	for _, receivers := range []int{1, 3, 8, 40} {
		for _, lost := range []time.Duration{0, 2 * time.Millisecond} {
			var took [2]time.Duration
			const seeds = 5
			for i, watched := range []bool{false, true} {
				for seed := range uint64(seeds) {
					net, sender, s := rested(t, seed, receivers, watched, testStream)
					deaf := net.now.Add(lost)
					net.filter = func(from, _ *node, _ *wire.Datagram) bool { return from != sender || net.now >= deaf }
					began := net.now
					net.offer(sender, s, 1, 64)
					if !net.until(time.Second, s.Acknowledged) {
						t.Fatalf("%d receivers, watched %v: not acknowledged", receivers, watched)
					}
					took[i] += net.now.Sub(began) / seeds
					net.done()
				}
			}
			// The mean over a few seeds, of what is spread over 125 ms.
			if took[1] > took[0]*3/2+20*time.Millisecond {
				t.Errorf("%d receivers: the first message after a rest is acknowledged after %v, %v without rests", receivers, took[1], took[0])
			}
		}
	}
}

// A burst after the rest, of several windows, meets as little back-pressure as without.
func TestRestedStreamFlows(t *testing.T) {
	var took [2]time.Duration
	for i, watched := range []bool{false, true} {
		net, sender, s := rested(t, 3, 3, watched, testStream)
		began, left := net.now, 4000
		if !net.until(5*time.Second, func() bool {
			left -= net.offer(sender, s, left, 1200)
			return left == 0 && s.Acknowledged()
		}) {
			t.Fatalf("watched %v: %d messages are left", watched, left)
		}
		took[i] = net.now.Sub(began)
		net.done()
	}
	if took[1] > took[0]*11/10+time.Millisecond {
		t.Errorf("4000 messages after a rest take %v, %v without rests", took[1], took[0])
	}
}

// A receiver that has gone during the rest is evicted within the time of Eviction after the next message that waits for
// it, also where the messages go on; without a message it is borne for longer.
func TestRestedReceiverIsEvicted(t *testing.T) {
	net, sender, s := rested(t, 4, 3, true, testStream)
	net.nodes[2].down = true
	net.run(3 * time.Second)
	if s.Receivers() != 3 {
		t.Errorf("a receiver that reports each 4 s was evicted within 3 s: %d are left", s.Receivers())
	}
	began := net.now
	for s.Receivers() == 3 && net.now.Sub(began) < 3*time.Second {
		net.offer(sender, s, 1, 64)
		net.run(150 * time.Millisecond)
	}
	if took := net.now.Sub(began); took < 800*time.Millisecond || took > 1300*time.Millisecond {
		t.Errorf("evicted %v after the first message that waited for it", took)
	}
	if !net.until(time.Second, s.Acknowledged) || s.Receivers() != 2 {
		t.Errorf("%d receivers, acknowledged: %v", s.Receivers(), s.Acknowledged())
	}
	net.run(30 * time.Second)
	net.nodes[3].down = true
	if !net.until(20*time.Second, func() bool { return s.Receivers() == 1 }) {
		t.Error("a receiver of an idle stream that has gone is never evicted")
	}
	net.done()
}

// A receiver that comes, and one that is admitted again, count as soon as without rests.
func TestRestedStreamCountsReceivers(t *testing.T) {
	for _, watched := range []bool{false, true} {
		net, sender, s := rested(t, 5, 3, watched, testStream)
		r := net.add(func(c *Config) { c.Watched = watched })
		if !net.until(300*time.Millisecond, func() bool { return s.Receivers() == 4 }) {
			t.Errorf("watched %v: a new receiver is not counted within 300 ms", watched)
		}
		net.run(20 * time.Second)
		sender.p.Forget(net.now, r.id, true)
		net.run(time.Second)
		if s.Receivers() != 3 {
			t.Errorf("watched %v: a barred receiver is counted", watched)
		}
		net.run(10 * time.Second)
		sender.p.Admit(net.now, r.id)
		net.turn(sender)
		if !net.until(150*time.Millisecond, func() bool { return s.Receivers() == 4 }) {
			t.Errorf("watched %v: an admitted receiver is not counted within 150 ms", watched)
		}
		net.done()
	}
}

// A member without groups beside one with, in either role: reports stay as frequent as ever, since one of the two counts
// on it.
func TestRestNeedsBothEnds(t *testing.T) {
	for _, watched := range []bool{false, true} {
		net := newNetwork(t, 6)
		sender := net.add(func(c *Config) { c.Watched = watched })
		net.add(func(c *Config) { c.Watched = !watched })
		s := net.open(sender, testStream)
		net.offer(sender, s, 1, 64)
		net.run(20 * time.Second)
		before := net.sent[wire.FrameStatus]
		net.run(10 * time.Second)
		if n := net.sent[wire.FrameStatus] - before; n < 80 || sender.p.Stats().Evictions != 0 {
			t.Errorf("sender watched %v: %d reports in 10 s, %d evictions", watched, n, sender.p.Stats().Evictions)
		}
		net.nodes[1].down = true
		if !net.until(1300*time.Millisecond, func() bool { return s.Receivers() == 0 }) {
			t.Errorf("sender watched %v: a receiver that has gone is not evicted in time", watched)
		}
		net.done()
	}
}
