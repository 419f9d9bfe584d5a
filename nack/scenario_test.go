package nack

import (
	"math"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// pair is a sender and receivers that know each other.
func pair(t testing.TB, seed uint64, receivers int, change ...func(*Config)) (*network, *node, *Sender) {
	t.Helper()
	net := newNetwork(t, seed)
	sender := net.add(change...)
	for range receivers {
		net.add(change...)
	}
	s := net.open(sender, testStream)
	net.run(60 * time.Millisecond) // Starts are over
	if s.Receivers() != receivers {
		t.Fatalf("%d of %d receivers known", s.Receivers(), receivers)
	}
	return net, sender, s
}

// dropData loses the first transmission of some data datagrams.
func dropData(lost func(number uint64) bool) func(_, _ *node, d *wire.Datagram) bool {
	seen := map[uint64]bool{}
	return func(_, to *node, d *wire.Datagram) bool {
		f := d.Frames()[0]
		if f.Kind != wire.FrameData {
			return true
		}
		n := f.Data().Number
		if !lost(n) || seen[n] {
			return true
		}
		seen[n] = true
		return false
	}
}

// RM-12: the last datagram before silence is repaired quickly, for a heartbeat shows it.
func TestTailLoss(t *testing.T) {
	net, sender, s := pair(t, 1, 1)
	net.filter = dropData(func(n uint64) bool { return n == 3 })
	net.offer(sender, s, 1, 64)
	net.offer(sender, s, 1, 64)
	net.offer(sender, s, 1, 64)
	began := net.now
	if !net.until(time.Second, func() bool { return complete(net, 3) }) {
		t.Fatal("not repaired")
	}
	if d := net.now.Sub(began); d > 200*time.Microsecond {
		t.Errorf("the tail was repaired after %v", d)
	}
	net.done()
}

// A lost heartbeat is followed by another soon.
func TestTailLossAndLostHeartbeat(t *testing.T) {
	net, sender, s := pair(t, 1, 1)
	beats := 0
	data := dropData(func(n uint64) bool { return n == 2 })
	net.filter = func(from, to *node, d *wire.Datagram) bool {
		if d.Frames()[0].Kind == wire.FrameHeartbeat {
			beats++
			return beats != 1
		}
		return data(from, to, d)
	}
	net.offer(sender, s, 1, 64)
	net.offer(sender, s, 1, 64)
	began := net.now
	if !net.until(time.Second, func() bool { return complete(net, 2) }) {
		t.Fatal("not repaired")
	}
	if d := net.now.Sub(began); d > 400*time.Microsecond {
		t.Errorf("the tail was repaired after %v", d)
	}
	net.done()
}

// Heartbeats: at most three in the first millisecond after a datagram, and at most the larger
// of a tenth of the datagrams and 100 in any second.
func TestHeartbeatBudget(t *testing.T) {
	for _, every := range []time.Duration{20 * time.Microsecond, 60 * time.Microsecond, 400 * time.Microsecond, 3 * time.Millisecond, 15 * time.Millisecond, time.Second} {
		net, sender, s := pair(t, 1, 2)
		var beats, data []clock.Time
		net.onSend = sendTimes(sender, &beats, &data)
		for end := net.now.Add(3 * time.Second); net.now < end; {
			net.offer(sender, s, 1, 64)
			net.run(every)
		}
		checkBeats(t, every, beats, data)
		net.done()
	}
}

func checkBeats(t *testing.T, every time.Duration, beats, data []clock.Time) {
	t.Helper()
	count := func(v []clock.Time, from, to clock.Time) (n int) {
		for _, x := range v {
			if x >= from && x < to {
				n++
			}
		}
		return n
	}
	for i := 0; i < len(beats); i += 1 + len(beats)/200 {
		from := beats[i]
		n := count(beats, from, from.Add(time.Second))
		most := max(100, count(data, from, from.Add(time.Second))/10)
		if n > most && from.Add(time.Second) < beats[len(beats)-1] {
			t.Errorf("a datagram every %v: %d heartbeats in a second, at most %d wanted", every, n, most)
			return
		}
	}
	for i := 0; i < len(data); i += 1 + len(data)/1000 {
		end := data[i].Add(time.Millisecond)
		if i+1 < len(data) {
			end = min(end, data[i+1])
		}
		if n := count(beats, data[i], end); n > 3 {
			t.Errorf("a datagram every %v: %d heartbeats in the millisecond after one", every, n)
			return
		}
	}
}

// A consumer that pauses: nothing is lost, the sender is held back, and all goes on afterwards.
func TestPause(t *testing.T) {
	net, sender, s := pair(t, 3, 2, func(c *Config) { c.Window = 32 * 1472 })
	net.faults.loss = 0.05
	paused := true
	net.nodes[1].refuse = func(*core.Delivery) bool { return paused }
	sent := 0
	for range 100 {
		sent += net.offer(sender, s, 50, 1000)
		net.run(time.Millisecond)
	}
	if sent > 2*32+1 {
		t.Errorf("%d datagrams accepted for a receiver that takes none", sent)
	}
	if net.nodes[1].stream(sender.id, testStream).delivered != 0 {
		t.Error("delivered while paused")
	}
	if n := sender.p.Stats().BackPressure; n == 0 {
		t.Error("back-pressure was not counted")
	}
	net.run(5 * time.Second) // it is alive: it is not evicted
	if s.Receivers() != 2 {
		t.Fatal("a paused receiver was evicted")
	}
	paused = false
	net.turn(net.nodes[1])
	if !net.until(time.Second, func() bool { return complete(net, sent) }) {
		t.Fatal("did not go on after the pause")
	}
	sent += net.offer(sender, s, 10, 1000)
	if !net.until(time.Second, func() bool { return complete(net, sent) && s.Acknowledged() }) {
		t.Fatal("no new messages after the pause")
	}
	net.done()
}

// A pause in the middle of a datagram, again and again: no message twice, none missing.
func TestPauseInsideDatagram(t *testing.T) {
	net, sender, s := pair(t, 4, 1)
	n := 0
	net.nodes[1].refuse = func(*core.Delivery) bool { n++; return n%3 != 0 }
	sent := net.offer(sender, s, 60, 60) + net.offer(sender, s, 2, 5000)
	for range 1000 {
		net.turn(net.nodes[1])
		net.run(20 * time.Microsecond)
	}
	if !complete(net, sent) {
		t.Fatal("not all delivered")
	}
	if got := net.nodes[1].p.Stats().Delivered; got != uint64(sent) {
		t.Errorf("%d messages counted as delivered, %d were", got, sent)
	}
	net.done()
}

// RM-7: a member that joins late starts at the present, and gets no loss.
func TestLateJoin(t *testing.T) {
	for seed := range uint64(20) {
		net, sender, s := pair(t, seed, 1)
		net.faults.loss = 0.1
		net.offer(sender, s, 100, 300)
		net.offer(sender, s, 1, 20000)
		net.run(50 * time.Millisecond)
		at := s.message
		late := net.add()
		net.offer(sender, s, 1, 30000) // its first datagram may be in the middle of this
		net.offer(sender, s, 100, 300)
		net.run(100 * time.Millisecond)
		net.faults.loss = 0
		net.offer(sender, s, 1, 64)
		net.run(200 * time.Millisecond)
		h := late.stream(sender.id, testStream)
		if h.first < at || len(h.lost) > 0 || h.next != s.message {
			t.Errorf("seed %d: joined at %d, delivered %d..%d, lost %v; %d was next", seed, at, h.first, h.next, h.lost, s.message)
		}
		net.done()
	}
}

// An early receiver starts at the beginning, even if the first datagrams are lost.
func TestEarlyLoss(t *testing.T) {
	net := newNetwork(t, 1)
	sender := net.add()
	net.add()
	net.filter = func(_, _ *node, d *wire.Datagram) bool { return net.now > clock.Time(100*time.Microsecond) }
	s := net.open(sender, testStream)
	net.offer(sender, s, 1, 64)
	net.offer(sender, s, 1, 64)
	if !net.until(time.Second, func() bool { return complete(net, 2) }) {
		t.Fatal("the beginning was not repaired")
	}
	net.done()
}

// RM-13: a sender that restarts is a new stream; a new incarnation ends the old one.
func TestRestart(t *testing.T) {
	net, sender, s := pair(t, 5, 1)
	net.offer(sender, s, 10, 64)
	net.run(time.Millisecond)
	sender.down = true
	again := net.add(func(c *Config) { c.Self, c.Incarnation = sender.id, 2 })
	again.id = sender.id
	receiver := net.nodes[1]
	h := receiver.stream(sender.id, testStream)
	if h.delivered != 10 {
		t.Fatalf("%d delivered", h.delivered)
	}
	receiver.streams = map[string]*heard{} // the same names, from 1 again
	s2 := net.open(again, testStream)
	net.offer(again, s2, 5, 64)
	net.run(10 * time.Millisecond)
	if h := receiver.stream(sender.id, testStream); h.first != 1 || h.delivered != 5 {
		t.Errorf("new incarnation: first %d, %d delivered", h.first, h.delivered)
	}
	// What the old one says now is stale.
	sender.down = false
	net.offer(sender, s, 1, 64)
	net.run(10 * time.Millisecond)
	if h := receiver.stream(sender.id, testStream); h.delivered != 5 {
		t.Error("the old incarnation was heard")
	}
	if receiver.p.Stats().Drops[DropIncarnation] == 0 {
		t.Error("not counted")
	}
	net.run(5 * time.Second)
	if n := len(receiver.p.streams); n != 1 {
		t.Errorf("%d streams kept", n)
	}
	net.done()
}

// A silent receiver is evicted, and the others go on; it comes back with its next status.
func TestEviction(t *testing.T) {
	net, sender, s := pair(t, 6, 3, func(c *Config) { c.Window = 64 * 1472 })
	dead := net.nodes[3]
	dead.down = true
	began := net.now
	sent := 0
	for net.now.Sub(began) < 900*time.Millisecond {
		sent += net.offer(sender, s, 20, 1000)
		net.run(10 * time.Millisecond)
	}
	if sent > 3*64 {
		t.Errorf("%d datagrams went by a silent receiver", sent)
	}
	for s.Receivers() == 3 && net.now.Sub(began) < 3*time.Second {
		net.run(10 * time.Millisecond)
	}
	if d := net.now.Sub(began); d > 1200*time.Millisecond || s.Receivers() != 2 {
		t.Errorf("%d receivers after %v", s.Receivers(), d)
	}
	for range 50 {
		sent += net.offer(sender, s, 20, 1000)
		net.run(time.Millisecond)
	}
	live := func() bool {
		for _, n := range net.nodes[1:3] {
			if n.stream(sender.id, testStream).delivered != sent {
				return false
			}
		}
		return true
	}
	if !net.until(time.Second, live) || sent < 500 {
		t.Fatalf("the others did not go on: %d sent", sent)
	}
	dead.down = false
	net.turn(dead)
	if !net.until(time.Second, func() bool { return s.Receivers() == 3 }) {
		t.Fatal("it did not come back")
	}
	h := dead.stream(sender.id, testStream)
	sent += net.offer(sender, s, 1, 64)
	if !net.until(time.Second, func() bool { return h.next == uint64(sent)+1 }) {
		t.Fatalf("it is at %d of %d", h.next, sent)
	}
	lost := uint64(0)
	for _, l := range h.lost {
		if l.Reason != core.LossReset {
			t.Errorf("reason %d", l.Reason)
		}
		lost += l.Last - l.First + 1
	}
	if lost == 0 || lost+uint64(h.delivered) != uint64(sent) {
		t.Errorf("%d lost and %d delivered of %d", lost, h.delivered, sent)
	}
	net.done()
}

// Fastest never waits: a receiver that falls behind gets exactly what it lost.
func TestFastestTellsLoss(t *testing.T) {
	net, sender, s := pair(t, 7, 1, func(c *Config) { c.Fastest, c.Window = true, 16*1472 })
	r := net.nodes[1]
	h := r.stream(sender.id, testStream)
	sent := net.offer(sender, s, 10, 300)
	net.run(time.Millisecond)
	r.down = true
	for range 100 {
		sent += net.offer(sender, s, 7, 300)
		net.run(100 * time.Microsecond)
	}
	if sent != 710 {
		t.Errorf("the sender was slowed: %d sent", sent)
	}
	r.down = false
	sent += net.offer(sender, s, 3, 300)
	if !net.until(2*time.Second, func() bool { return h.next == uint64(sent)+1 }) {
		t.Fatalf("at %d of %d, lost %v", h.next, sent, h.lost)
	}
	if len(h.lost) == 0 || h.lost[0].First != 11 || h.lost[0].Reason != core.LossReset {
		t.Errorf("lost %v", h.lost)
	}
	net.done()
}

// A farewell ends the stream: what is missing is reported at once, exactly.
func TestLeave(t *testing.T) {
	net, sender, s := pair(t, 8, 2)
	net.offer(sender, s, 10, 64)
	net.filter = func(_, to *node, d *wire.Datagram) bool {
		return to != net.nodes[1] || d.Frames()[0].Kind == wire.FrameLeave
	}
	net.offer(sender, s, 20, 64)
	sender.p.Close(net.now)
	if err := s.Offer(net.now, "prices.eu", 0, payload(sender.id, 31, 20)); err != ErrClosed {
		t.Errorf("Offer after Close: %v", err)
	}
	net.turn(sender)
	net.run(10 * time.Millisecond)
	a, b := net.nodes[1].stream(sender.id, testStream), net.nodes[2].stream(sender.id, testStream)
	if a.delivered != 10 || len(a.lost) != 1 || a.lost[0].First != 11 || a.lost[0].Last != 30 || a.lost[0].Reason != core.LossSenderGone {
		t.Errorf("delivered %d, lost %v", a.delivered, a.lost)
	}
	if b.delivered != 30 || len(b.lost) != 0 {
		t.Errorf("delivered %d, lost %v", b.delivered, b.lost)
	}
	net.run(10 * time.Second)
	if n := len(net.nodes[1].p.streams); n != 0 {
		t.Errorf("%d streams kept", n)
	}
	net.done()
}

// A receiver that leaves holds up no sender any more.
func TestReceiverLeaves(t *testing.T) {
	net, _, s := pair(t, 9, 2)
	net.nodes[1].p.Close(net.now)
	net.turn(net.nodes[1])
	net.run(time.Millisecond)
	if s.Receivers() != 1 {
		t.Errorf("%d receivers", s.Receivers())
	}
	// A report that it sent before its Leave, and that lay in the other socket, does not bring it back.
	report := func() error {
		var d wire.Datagram
		d.Transmitter, d.Stream = net.nodes[1].id, testStream
		return s.stepStatus(net.now, &d, &wire.Status{Origin: s.p.cfg.Self, Next: 1, Highest: 1, Limit: 100, Echo: lastBeat(s)}, net.nodes[1].endpoint)
	}
	if err := report(); err != ErrStale || s.Receivers() != 1 {
		t.Errorf("a late report: %v; %d receivers", err, s.Receivers())
	}
	net.run(leftFor)
	if err := report(); err != nil || s.Receivers() != 2 {
		t.Errorf("a report later on: %v; %d receivers", err, s.Receivers())
	}
	net.done()
}

// A sender that falls silent, and one that is forgotten: what is missing is reported; should it go
// on, so does the stream, without a silent gap.
func TestSenderGone(t *testing.T) {
	for _, forget := range []bool{false, true} {
		net, sender, s := pair(t, 10, 1)
		r := net.nodes[1]
		h := r.stream(sender.id, testStream)
		net.offer(sender, s, 10, 64)
		net.filter = dropData(func(n uint64) bool { return n == 2 || n == 4 })
		net.offer(sender, s, 5, 64) // lost
		net.offer(sender, s, 5, 64) // 3
		net.offer(sender, s, 5, 64) // lost
		net.run(8 * time.Microsecond)
		sender.down = true
		if forget {
			r.p.Forget(net.now, sender.id, false)
		} else {
			net.run(4 * time.Second)
		}
		if len(h.lost) != 1 || h.lost[0].First != 11 || h.lost[0].Last != 15 || h.lost[0].Reason != core.LossSenderGone || h.delivered != 15 {
			t.Errorf("forget %v: delivered %d, lost %v", forget, h.delivered, h.lost)
		}
		sender.down = false
		net.offer(sender, s, 5, 64)
		net.run(300 * time.Millisecond)
		if h.next != 31 || len(h.lost) != 1 {
			t.Errorf("forget %v: it goes on at %d, lost %v", forget, h.next, h.lost)
		}
		net.done()
	}
}

// BestEffort never asks: gaps are reported at once and exactly, also at the end.
func TestBestEffort(t *testing.T) {
	net := newNetwork(t, 11)
	net.faults.jitter = 0
	sender := net.add()
	r := net.add()
	id := wire.NewStreamID(wire.BestEffort, 0)
	s := net.open(sender, id)
	net.run(60 * time.Millisecond)
	if s.Receivers() != 1 {
		t.Fatalf("%d receivers", s.Receivers())
	}
	net.filter = dropData(func(n uint64) bool { return n%3 == 0 })
	for range 30 {
		net.offer(sender, s, 4, 64)
		net.run(100 * time.Microsecond)
	}
	net.run(500 * time.Millisecond)
	h := r.stream(sender.id, id)
	if h.next != 121 || h.delivered != 80 || len(h.lost) != 10 {
		t.Errorf("at %d, delivered %d, lost %v", h.next, h.delivered, h.lost)
	}
	for _, l := range h.lost {
		if l.Reason != core.LossUnrepaired || l.Last-l.First != 3 {
			t.Errorf("lost %v", l)
		}
	}
	if net.sent[wire.FrameNak] != 0 {
		t.Error("it asked")
	}
	net.done()
}

// Messages larger than the window's share are accepted from a copy, and arrive.
func TestLargeMessages(t *testing.T) {
	net, sender, s := pair(t, 12, 2, func(c *Config) { c.Window = 32 * 1472 })
	net.faults.loss = 0.05
	sent := 0
	for _, size := range []int{1400, 1450, 10000, 46000, 200000, 1 << 20} {
		if !net.until(time.Second*5, func() bool { return net.offer(sender, s, 1, size) == 1 }) {
			t.Fatalf("%d bytes not accepted", size)
		}
		sent++
	}
	if err := s.Offer(net.now, "prices.eu", 0, make([]byte, 1<<20+1)); err != ErrTooLarge && err != ErrWindow {
		t.Errorf("above MaxMessageSize: %v", err)
	}
	if !net.until(10*time.Second, func() bool { return complete(net, sent) }) {
		t.Fatal("not delivered")
	}
	if err := s.Offer(net.now, "prices.eu", 0, make([]byte, 1<<20+1)); err != ErrTooLarge {
		t.Errorf("above MaxMessageSize: %v", err)
	}
	net.done()
}

// A fragment that is lost for good takes its message with it, once, and no other.
func TestFragmentLostForGood(t *testing.T) {
	net := newNetwork(t, 13)
	net.faults.jitter = 0 // BestEffort takes what is late for lost
	sender := net.add()
	r := net.add()
	id := wire.NewStreamID(wire.BestEffort, 0)
	s := net.open(sender, id)
	net.run(60 * time.Millisecond)
	for cut := range uint64(6) {
		base := s.Sent()
		net.filter = dropData(func(n uint64) bool { return n == base+1+cut })
		net.offer(sender, s, 1, 64)
		net.offer(sender, s, 1, 5000) // four datagrams
		net.offer(sender, s, 1, 64)
		net.run(200 * time.Millisecond)
	}
	h := r.stream(sender.id, id)
	if h.next != 19 || h.delivered != 12 || len(h.lost) != 6 {
		t.Errorf("at %d, delivered %d, lost %v", h.next, h.delivered, h.lost)
	}
	for i, l := range h.lost {
		if want := []uint64{1, 5, 8, 11, 14, 18}[i]; l.First != want || l.Last != want {
			t.Errorf("cut %d: lost %v", i, l)
		}
	}
	net.done()
}

// Own messages come back, in order, and a consumer that pauses holds the stream up.
func TestSelfDelivery(t *testing.T) {
	net, sender, s := pair(t, 14, 1, func(c *Config) { c.SelfDelivery, c.Window = true, 32*1472 })
	paused := true
	sender.refuse = func(*core.Delivery) bool { return paused }
	sent := 0
	for range 50 {
		sent += net.offer(sender, s, 5, 1000)
		net.run(time.Millisecond)
	}
	if sent > 2*32+1 {
		t.Errorf("%d accepted", sent)
	}
	paused = false
	sent += net.offer(sender, s, 1, 8000)
	own := sender.stream(sender.id, testStream)
	if !net.until(time.Second, func() bool { net.turn(sender); return own.delivered == sent && complete(net, sent) }) {
		t.Fatalf("%d of %d own messages", own.delivered, sent)
	}
	sender.p.WantSelf(false)
	sent += net.offer(sender, s, 3, 64)
	net.run(time.Millisecond)
	sender.p.WantSelf(true)
	own.first, own.next = 0, 0
	net.offer(sender, s, 1, 64)
	net.run(time.Millisecond)
	if own.first != uint64(sent)+1 {
		t.Errorf("switched on again at %d, not %d", own.first, sent+1)
	}
	net.done()
}

// MaxRate bounds everything that is sent.
func TestMaxRate(t *testing.T) {
	const rate = 50_000_000
	net, sender, s := pair(t, 15, 1, func(c *Config) { c.Pacer = core.NewPacer(rate, c.Datagram) })
	net.faults.loss = 0.02
	bits := 0
	net.onSend = sendBits(sender, &bits)
	began, sent := net.now, 0
	for net.now.Sub(began) < 200*time.Millisecond {
		sent += net.offer(sender, s, 20, 1000)
		net.run(500 * time.Microsecond)
	}
	got := float64(bits) / net.now.Sub(began).Seconds()
	if got > rate*1.02 || got < rate*0.9 {
		t.Errorf("%.1f Mbit/s of 50", got/1e6)
	}
	if !net.until(time.Second, func() bool { return complete(net, sent) }) {
		t.Fatal("not delivered")
	}
	net.done()
}

// A claim is packed in place.
func TestClaim(t *testing.T) {
	net, sender, s := pair(t, 16, 1)
	b, err := s.Claim(net.now, "prices.eu", 0, 64)
	if err != nil || len(b) != 64 {
		t.Fatal(len(b), err)
	}
	if err := s.Offer(net.now, "prices.eu", 0, nil); err != ErrClaimed {
		t.Errorf("Offer during a claim: %v", err)
	}
	if _, err := s.Claim(net.now, "prices.eu", 0, 64); err != ErrClaimed {
		t.Errorf("second claim: %v", err)
	}
	net.turn(sender) // Flush leaves it alone
	if s.Acknowledged() {
		t.Error("acknowledged with an open claim")
	}
	copy(b, payload(sender.id, 1, 64))
	s.Commit()
	b, _ = s.Claim(net.now, "prices.eu", 0, 64)
	clear(b)
	s.Abort()
	if _, err := s.Claim(net.now, "prices.eu", 0, 1473); err != ErrTooLarge {
		t.Errorf("claim above a datagram: %v", err)
	}
	b, _ = s.Claim(net.now, "prices.eu", 0, 20)
	copy(b, payload(sender.id, 2, 20))
	s.Commit()
	net.turn(sender)
	if !net.until(time.Second, func() bool { return complete(net, 2) && s.Acknowledged() }) {
		t.Fatal("not delivered")
	}
	net.done()
}

// A message number near the end of its range neither panics nor wraps.
func TestNumbersNearTheEnd(t *testing.T) {
	net, sender, _ := pair(t, 17, 1)
	r := net.nodes[1]
	for _, n := range []uint64{1, 2, 1 << 31, 1<<32 - 1, 1 << 32, 1 << 63, math.MaxUint64 - 2, math.MaxUint64 - 1} {
		mem := make([]byte, 2000)
		var w wire.DataWriter
		h := sender.p.header(wire.NewStreamID(wire.NACK, uint16(n%7+1)))
		w.Begin(mem, 1472, h, n, max(n-1, 1))
		w.Add("prices.eu", 0, payload(sender.id, max(n-1, 1), 20))
		off, l := w.Finish()
		net.inject(r, sender.endpoint, mem[off:off+l])
		hb := wire.AppendHeartbeat(wire.AppendHeader(nil, h), wire.Heartbeat{First: n, Last: n, FirstMessage: n, NextMessage: n, SentAt: n})
		wire.Seal(hb)
		net.inject(r, sender.endpoint, hb)
		net.run(time.Millisecond)
	}
}
