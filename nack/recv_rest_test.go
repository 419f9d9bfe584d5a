package nack

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// rested is a sender and receivers after a message and half a minute of silence, all of an older version or none.
func rested(t *testing.T, seed uint64, receivers int, older bool, id wire.StreamID) (*network, *node, *Sender) {
	net := newNetwork(t, seed)
	sender := net.add()
	sender.older = older
	for range receivers {
		net.add()
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

// The reports of an idle stream become rare, nobody is evicted, and with an older sender all is as it was.
func TestIdleReportsBecomeRare(t *testing.T) {
	for _, p := range []wire.Protocol{wire.BestEffort, wire.NACK, wire.FEC, wire.Hybrid} {
		for _, loss := range []float64{0, 0.01, 0.05, 0.2} {
			if testing.Short() && p != wire.NACK && loss != 0.05 {
				continue
			}
			var counts [2]int
			for i, older := range []bool{true, false} {
				net, sender, s := rested(t, 1, 4, older, wire.NewStreamID(p, 0))
				net.faults.loss = loss
				before := net.sent[wire.FrameStatus]
				net.run(60 * time.Second)
				counts[i] = net.sent[wire.FrameStatus] - before
				if n := sender.p.Stats().Evictions; n != 0 || s.Receivers() != 4 {
					t.Errorf("%v, loss %v, older %v: %d evictions, %d receivers", p, loss, older, n, s.Receivers())
				}
				net.done()
			}
			rare := 30 + int(4*60*4*1.2*loss) // one each 24 s from four, and one for each heartbeat that is lost
			if counts[0] < 4*60*8 || counts[1] > rare {
				t.Errorf("%v, loss %v: %d reports of an idle stream in a minute with an older sender, %d otherwise", p, loss, counts[0], counts[1])
			}
		}
	}
}

// After a minute of silence heartbeats come once a second, and say so. A message makes them as frequent as ever.
func TestIdleHeartbeatsBecomeRare(t *testing.T) {
	for _, p := range []wire.Protocol{wire.BestEffort, wire.NACK, wire.FEC, wire.Hybrid} {
		net, sender, s := rested(t, 1, 4, false, wire.NewStreamID(p, 0))
		net.run(29 * time.Second)
		count := func(d time.Duration) (n int) {
			n = net.sent[wire.FrameHeartbeat]
			net.run(d)
			return net.sent[wire.FrameHeartbeat] - n
		}
		if n := count(time.Second); n < 3 || n > 5 {
			t.Errorf("%v: %d heartbeats in the last second of a minute", p, n)
		}
		net.run(5 * time.Second)
		if n := count(20 * time.Second); n < 18 || n > 21 {
			t.Errorf("%v: %d heartbeats in 20 s after a minute", p, n)
		}
		net.offer(sender, s, 1, 64)
		if n := count(5 * time.Second); n < 15 {
			t.Errorf("%v: %d heartbeats in 5 s after a message", p, n)
		}
		net.done()
	}
}

// A sender that is gone is silent within a second where it sent something in the last minute, and within 3.5 s where its
// heartbeats had become rare.
func TestSilenceIsJudgedByThePause(t *testing.T) {
	for _, p := range []wire.Protocol{wire.BestEffort, wire.NACK, wire.FEC, wire.Hybrid} {
		for _, c := range []struct {
			idle  time.Duration
			again bool // it sends a message just before the end
			most  time.Duration
		}{{29 * time.Second, false, time.Second}, {90 * time.Second, false, 3500 * time.Millisecond}, {90 * time.Second, true, time.Second}} {
			net, sender, s := rested(t, 2, 3, false, wire.NewStreamID(p, 0))
			net.run(c.idle)
			net.run(time.Duration(net.rnd.Int64N(1e9)))
			if c.again { // it arrives, and no heartbeat does that says so
				net.offer(sender, s, 1, 64)
				net.run(20 * time.Microsecond)
			}
			sender.down = true
			silent := func() (n int) {
				for _, r := range net.nodes[1:] {
					if e := r.events; len(e) > 0 && e[len(e)-1].Kind == StreamSilent {
						n++
					}
				}
				return n
			}
			if silent() != 0 {
				t.Fatalf("%v: silent before its end", p)
			}
			began := net.now
			if !net.until(c.most, func() bool { return silent() == 3 }) {
				t.Errorf("%v: %d of 3 report silence within %v, after %v of it", p, silent(), c.most, c.idle)
			}
			if took := net.now.Sub(began); c.most > time.Second && took < time.Second {
				t.Errorf("%v: silence after %v, with a heartbeat each second", p, took)
			}
			net.done()
		}
	}
}

// A receiver of an older version counts on a heartbeat each 250 ms: it gets them, whenever it comes.
func TestOlderReceiverHearsHeartbeats(t *testing.T) {
	net, _, s := rested(t, 7, 2, false, testStream)
	net.run(60 * time.Second)
	old := net.add()
	old.older = true
	if !net.until(1200*time.Millisecond, func() bool { return s.Receivers() == 3 }) {
		t.Fatal("it is not counted within the pause of a heartbeat")
	}
	net.run(time.Millisecond)
	before, asked := net.sent[wire.FrameHeartbeat], old.p.Stats().StatusesSent
	if net.run(550 * time.Millisecond); net.sent[wire.FrameHeartbeat] < before+2 {
		t.Errorf("%d heartbeats in the first 550 ms of a receiver of an older version", net.sent[wire.FrameHeartbeat]-before)
	}
	net.run(20 * time.Second)
	if n := net.sent[wire.FrameHeartbeat] - before; n < 75 {
		t.Errorf("%d heartbeats in 20 s with a receiver of an older version", n)
	}
	if n := old.p.Stats().StatusesSent - asked; n < 150 {
		t.Errorf("an older receiver reported %d times in 20 s", n)
	}
	for _, e := range old.events {
		if e.Kind == StreamSilent {
			t.Error("the stream is silent at a receiver of an older version")
		}
	}
	net.done()
}

// A message after the rest is acknowledged as soon as one without: also where its data and the first heartbeats are lost.
func TestRestedStreamAcknowledgesSoon(t *testing.T) {
	for _, receivers := range []int{1, 3, 8, 40} {
		for _, lost := range []time.Duration{0, 2 * time.Millisecond} {
			var took [2]time.Duration
			const seeds = 5
			for i, older := range []bool{true, false} {
				for seed := range uint64(seeds) {
					net, sender, s := rested(t, seed, receivers, older, testStream)
					deaf := net.now.Add(lost)
					net.filter = func(from, _ *node, _ *wire.Datagram) bool { return from != sender || net.now >= deaf }
					began := net.now
					net.offer(sender, s, 1, 64)
					if !net.until(time.Second, s.Acknowledged) {
						t.Fatalf("%d receivers, older %v: not acknowledged", receivers, older)
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
	for i, older := range []bool{true, false} {
		net, sender, s := rested(t, 3, 3, older, testStream)
		began, left := net.now, 4000
		if !net.until(5*time.Second, func() bool {
			left -= net.offer(sender, s, left, 1200)
			return left == 0 && s.Acknowledged()
		}) {
			t.Fatalf("older %v: %d messages are left", older, left)
		}
		took[i] = net.now.Sub(began)
		net.done()
	}
	if took[1] > took[0]*11/10+time.Millisecond {
		t.Errorf("4000 messages after a rest take %v, %v without rests", took[1], took[0])
	}
}

// A burst after silence of any length is delivered as soon as by a stream that never rests, which an older sender keeps.
func TestBurstAfterSilenceIsAsSoon(t *testing.T) {
	const messages, seeds = 1000, 5
	for _, idle := range []time.Duration{time.Second, 10 * time.Second, 2 * time.Minute} {
		for _, jitter := range []time.Duration{0, time.Microsecond} { // which changes the order in a burst
			var took [2]time.Duration
			for i, older := range []bool{true, false} {
				for seed := range uint64(seeds) {
					net := newNetwork(t, seed)
					net.faults.jitter = jitter
					sender := net.add()
					sender.older = older
					for range 3 {
						net.add()
					}
					s := net.open(sender, testStream)
					net.run(60 * time.Millisecond)
					net.offer(sender, s, 1, 64)
					net.run(idle)
					began, left := net.now, messages
					if !net.until(5*time.Second, func() bool {
						left -= net.offer(sender, s, left, 1000)
						for _, r := range net.nodes[1:] {
							if r.stream(sender.id, testStream).delivered < 1+messages {
								return false
							}
						}
						return true
					}) {
						t.Fatalf("idle %v, older %v: %d messages are left", idle, older, left)
					}
					took[i] += net.now.Sub(began) / seeds
					net.done()
				}
			}
			t.Logf("idle %v, jitter %v: the last of 1000 messages after %v with an older sender, %v otherwise", idle, jitter, took[0], took[1])
			if took[1] > took[0]*11/10 {
				t.Errorf("idle %v, jitter %v: the last of 1000 messages comes after %v, %v without rest", idle, jitter, took[1], took[0])
			}
		}
	}
}

// A receiver that has gone during the rest is evicted within the time of Eviction after the next message that waits for
// it, also where the messages go on; without a message it is borne for longer.
func TestRestedReceiverIsEvicted(t *testing.T) {
	net, sender, s := rested(t, 4, 3, false, testStream)
	net.nodes[2].down = true
	net.run(30 * time.Second)
	if s.Receivers() != 3 {
		t.Errorf("a receiver that reports each 24 s was evicted within 30 s: %d are left", s.Receivers())
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
	net.run(time.Minute)
	net.nodes[3].down = true
	if !net.until(3*time.Minute, func() bool { return s.Receivers() == 1 }) {
		t.Error("a receiver of an idle stream that has gone is never evicted")
	}
	net.done()
}

// A receiver that comes, and one that is admitted again, count as soon as without rests.
func TestRestedStreamCountsReceivers(t *testing.T) {
	for _, older := range []bool{true, false} {
		net, sender, s := rested(t, 5, 3, older, testStream)
		r := net.add()
		if !net.until(300*time.Millisecond, func() bool { return s.Receivers() == 4 }) {
			t.Errorf("older %v: a new receiver is not counted within 300 ms", older)
		}
		net.run(20 * time.Second)
		sender.p.Forget(net.now, r.id, true)
		net.run(time.Second)
		if s.Receivers() != 3 {
			t.Errorf("older %v: a barred receiver is counted", older)
		}
		net.run(10 * time.Second)
		sender.p.Admit(net.now, r.id)
		net.turn(sender)
		if !net.until(150*time.Millisecond, func() bool { return s.Receivers() == 4 }) {
			t.Errorf("older %v: an admitted receiver is not counted within 150 ms", older)
		}
		net.done()
	}
}

// A member of an older version in either role: reports stay as frequent as ever, and a receiver that has gone is evicted as
// soon as ever.
func TestRestNeedsBothEnds(t *testing.T) {
	for _, older := range []bool{true, false} {
		net := newNetwork(t, 6)
		sender := net.add()
		sender.older = older
		net.add().older = !older
		s := net.open(sender, testStream)
		net.offer(sender, s, 1, 64)
		net.run(20 * time.Second)
		before := net.sent[wire.FrameStatus]
		net.run(10 * time.Second)
		if n := net.sent[wire.FrameStatus] - before; n < 80 || sender.p.Stats().Evictions != 0 {
			t.Errorf("sender older %v: %d reports in 10 s, %d evictions", older, n, sender.p.Stats().Evictions)
		}
		net.nodes[1].down = true
		if !net.until(1300*time.Millisecond, func() bool { return s.Receivers() == 0 }) {
			t.Errorf("sender older %v: a receiver that has gone is not evicted in time", older)
		}
		net.done()
	}
}
