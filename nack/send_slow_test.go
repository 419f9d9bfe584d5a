package nack

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// flooded is a sender that sends as much as it can, and receivers.
type flooded struct {
	*network
	sender *node
	s      *Sender
}

func flood(t *testing.T, seed uint64, receivers int, longest time.Duration) *flooded {
	net := newNetwork(t, seed)
	f := &flooded{network: net, sender: net.add(func(c *Config) { c.SlowestFor, c.Window = longest, 64<<10 })}
	for range receivers {
		net.add(func(c *Config) { c.Window = 64 << 10 })
	}
	f.s = net.open(f.sender, testStream)
	net.run(60 * time.Millisecond)
	return f
}

// goOn offers messages for d, one each ms.
func (f *flooded) goOn(d time.Duration) {
	for end := f.now.Add(d); f.now < end; {
		f.offer(f.sender, f.s, 1, 1000)
		f.run(time.Millisecond)
	}
}

// held is for how long receivers have held the stream up.
func (f *flooded) held() time.Duration {
	l := f.s.Limited(f.now)
	return l.Held()
}

// of counts the events of one kind at a member, and when the last one came.
func (n *node) of(k EventKind) (count int, last Event) {
	for _, e := range n.events {
		if e.Kind == k {
			count, last = count+1, e
		}
	}
	return count, last
}

// delivered is how many messages of the stream a receiver has got.
func (f *flooded) delivered(i int) int {
	return f.nodes[i].stream(f.sender.id, testStream).delivered
}

// A handler that never returns holds all up for SlowestFor; then they go on without it, and both ends are told. It goes on
// with a loss in its place when it returns at last, and counts again.
func TestSlowestForEvicts(t *testing.T) {
	for _, loss := range []float64{0, 0.05} {
		if testing.Short() && loss > 0 {
			continue
		}
		f := flood(t, 1, 3, 2*time.Second)
		f.faults.loss = loss
		f.goOn(time.Second)
		stuck := f.nodes[2]
		stuck.refuse = func(*core.Delivery) bool { return true }
		f.goOn(time.Second)
		held := f.delivered(1)
		f.goOn(time.Second / 2)
		if n, _ := f.sender.of(ReceiverSlow); n != 0 || f.delivered(1) != held {
			t.Errorf("loss %v: %d evictions, %d messages passed, within SlowestFor", loss, n, f.delivered(1)-held)
		}
		f.goOn(time.Second)
		n, e := f.sender.of(ReceiverSlow)
		if n != 1 || e.Member != stuck.id || f.s.Receivers() != 2 {
			t.Fatalf("loss %v: %d evictions, the last one of %x, %d receivers", loss, n, e.Member, f.s.Receivers())
		}
		if n, _ = stuck.of(StreamEvicted); n != 1 {
			t.Errorf("loss %v: the receiver is told %d times", loss, n)
		}
		held = f.delivered(1)
		f.goOn(5 * time.Second)
		if d := f.delivered(1) - held; d < 4000 || f.delivered(3) < held {
			t.Errorf("loss %v: %d messages in 5 s after the eviction", loss, d)
		}
		stuck.refuse = nil
		f.goOn(5 * time.Second)
		h := stuck.stream(f.sender.id, testStream)
		if f.s.Receivers() != 3 || len(h.lost) == 0 {
			t.Errorf("loss %v: %d receivers after its return, losses %v", loss, f.s.Receivers(), h.lost)
		}
		for _, l := range h.lost {
			if l.Reason != core.LossReset {
				t.Errorf("loss %v: %d..%d lost for reason %v", loss, l.First, l.Last, l.Reason)
			}
		}
		if n, _ = f.sender.of(ReceiverJoined); n != 4 {
			t.Errorf("loss %v: %d receivers joined", loss, n)
		}
		if n, _ = f.sender.of(ReceiverSlow); n != 1 || f.sender.p.Stats().Evictions != 1 {
			t.Errorf("loss %v: %d evictions", loss, n)
		}
		f.done()
	}
}

// Two that stand still at one message cost one SlowestFor, and none at all is waited for when they are the only ones.
func TestSlowestForEvictsTogether(t *testing.T) {
	for _, receivers := range []int{2, 3} {
		f := flood(t, 2, receivers, time.Second)
		f.goOn(time.Second)
		for _, n := range f.nodes[1:3] {
			n.refuse = func(m *core.Delivery) bool { return m.Sequence >= 2000 }
		}
		f.goOn(4 * time.Second)
		if n, _ := f.sender.of(ReceiverSlow); n != 2 || f.s.Receivers() != receivers-2 || f.s.Sent() < 3000 {
			t.Errorf("%d evictions, %d receivers are left of %d, %d datagrams were sent", n, f.s.Receivers(), receivers, f.s.Sent())
		}
		if f.held() > 1500*time.Millisecond {
			t.Errorf("the stream was held up for %v", f.held())
		}
		f.done()
	}
}

// Without SlowestFor the stream waits for as long as the receiver lives.
func TestSlowestForIsOff(t *testing.T) {
	f := flood(t, 3, 2, 0)
	f.nodes[1].refuse = func(m *core.Delivery) bool { return m.Sequence >= 2000 }
	f.goOn(30 * time.Second)
	if f.s.Receivers() != 2 || f.sender.p.Stats().Evictions != 0 || f.delivered(2) > 3000 {
		t.Errorf("%d receivers, %d messages delivered at the others", f.s.Receivers(), f.delivered(2))
	}
	f.done()
}

// slowHandler takes at most one message each so long.
func slowHandler(net *network, each time.Duration) func(*core.Delivery) bool {
	var next clock.Time
	return func(*core.Delivery) bool {
		if net.now < next {
			return true
		}
		next = net.now.Add(each)
		return false
	}
}

// A receiver that holds the others up and takes a window now and then stays; one that takes less is evicted, again and
// again, and each time the others are rid of it for longer.
func TestSlowestForMeasuresWindows(t *testing.T) {
	f := flood(t, 4, 3, time.Second) // 44 datagrams
	f.nodes[1].refuse = slowHandler(f.network, 10*time.Millisecond)
	f.goOn(10 * time.Second)
	if n, _ := f.sender.of(ReceiverSlow); n != 0 || f.s.Receivers() != 3 {
		t.Errorf("a receiver that takes two windows in SlowestFor was evicted %d times", n)
	}
	if share := f.held().Seconds() / 10; share < 0.8 {
		t.Errorf("the stream was held up %.0f %% of the time: the test shows nothing", 100*share)
	}
	f.nodes[1].refuse = slowHandler(f.network, 50*time.Millisecond)
	before, blocked := f.delivered(2), f.held()
	f.goOn(40 * time.Second)
	n, _ := f.sender.of(ReceiverSlow)
	if n < 3 || n > 6 {
		t.Errorf("a receiver that takes half a window in SlowestFor was evicted %d times in 40 s", n)
	}
	if share := (f.held() - blocked).Seconds() / 40; share > 0.25 || f.delivered(2)-before < 25_000 {
		t.Errorf("the stream was held up %.0f %% of the time, %d messages passed", 100*share, f.delivered(2)-before)
	}
	f.done()
}

// Receivers that take what comes stay, however full the sender's window always is, and whatever is lost; so does one that
// holds a stream up while its sender does not run.
func TestSlowestForLeavesOthers(t *testing.T) {
	for _, loss := range []float64{0, 0.2} {
		f := flood(t, 5, 4, 500*time.Millisecond)
		f.faults = faults{loss: loss, delay: 200 * time.Microsecond, jitter: 300 * time.Microsecond, reorder: loss}
		for end := f.now.Add(1500 * time.Millisecond); f.now < end; {
			f.offer(f.sender, f.s, 50, 300)
			f.run(200 * time.Microsecond)
		}
		if n := f.sender.p.Stats(); n.Evictions != 0 || n.Blocked < 20 {
			t.Errorf("loss %v: %d evictions, blocked %d times", loss, n.Evictions, n.Blocked)
		}
		f.done()
	}
	f := flood(t, 6, 2, 2*time.Second)
	f.nodes[1].refuse = func(*core.Delivery) bool { return true }
	f.goOn(500 * time.Millisecond)
	f.sender.down = true
	f.run(10 * time.Second)
	f.sender.down = false
	f.turn(f.sender)
	f.nodes[1].refuse = nil
	f.goOn(3 * time.Second)
	if n := f.sender.p.Stats().Evictions; n != 0 || f.s.Receivers() != 2 {
		t.Errorf("%d evictions by a sender that did not run", n)
	}
	f.done()
}

// An evicted receiver of an older version skips that it is told, and gets its loss when what it lacks is held no more.
func TestSlowestForWithOlderReceiver(t *testing.T) {
	f := flood(t, 7, 2, time.Second)
	f.filter = func(_, to *node, d *wire.Datagram) bool {
		frames := d.Frames()
		return to != f.nodes[1] || frames[0].Kind != wire.FrameHeartbeat || !frames[0].Heartbeat().Evicted
	}
	f.nodes[1].refuse = func(m *core.Delivery) bool { return m.Sequence >= 1000 }
	f.goOn(5 * time.Second)
	f.nodes[1].refuse = nil
	f.goOn(5 * time.Second)
	h := f.nodes[1].stream(f.sender.id, testStream)
	if len(h.lost) == 0 || h.lost[0].Reason != core.LossReset || f.s.Receivers() != 2 {
		t.Errorf("losses %v, %d receivers", h.lost, f.s.Receivers())
	}
	f.done()
}

// A receiver behind a queue that is full of others' datagrams gets one datagram in ten. It asks for some of them many times,
// each time after they were sent again. That is no reason to go on without it.
func TestFullQueueIsNoHole(t *testing.T) {
	for seed := range uint64(4) {
		net := newNetwork(t, seed)
		for range 3 {
			net.add()
		}
		sender, behind := net.nodes[0], net.nodes[1]
		s := net.open(sender, testStream)
		net.run(50 * time.Millisecond)
		net.filter = func(_, to *node, _ *wire.Datagram) bool { return to != behind || net.rnd.Float64() < 0.1 }
		for end := net.now.Add(2 * time.Second); net.now < end; net.run(time.Millisecond) {
			net.offer(sender, s, 5, 1000)
		}
		if n, e := sender.of(ReceiverStuck); n > 0 {
			t.Errorf("seed %d: %d receivers are stuck, the last one for datagram %d", seed, n, e.Number)
		}
		if h := behind.stream(sender.id, testStream); len(h.lost) > 0 {
			t.Errorf("seed %d: lost %v", seed, h.lost)
		}
		net.done()
	}
}
