package nack

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/fec"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

var (
	hybridStream = wire.NewStreamID(wire.Hybrid, 0)
	fecStream    = wire.NewStreamID(wire.FEC, 0)
)

// Hybrid: one sender, eight receivers, loss, duplicates and reordering: every message is
// delivered to everybody, once and in order (RM-1 to RM-5), and every buffer comes back.
func TestHybridExactlyOnce(t *testing.T) {
	seeds := 100
	if raceEnabled || testing.Short() {
		seeds = 15
	}
	var st Stats
	for seed := range uint64(seeds) {
		delay := []time.Duration{10 * time.Microsecond, time.Millisecond}[seed%2]
		net := runStream(t, hybridStream, seed, 8, faults{loss: 0.05, duplicate: 0.01, reorder: 0.02, delay: delay, jitter: 5 * time.Microsecond}, 400)
		for _, n := range net.nodes[1:] {
			s := n.p.Stats()
			st.Rebuilt += s.Rebuilt
			st.SymbolNaksSent += s.SymbolNaksSent
			st.NaksSent += s.NaksSent
			st.BlocksCorrupt += s.BlocksCorrupt
		}
		st.ParityAsked += net.nodes[0].p.Stats().ParityAsked
	}
	t.Logf("%d rebuilt, %d NAKs, %d with symbols asked for, %d symbols made for them", st.Rebuilt, st.NaksSent, st.SymbolNaksSent, st.ParityAsked)
	if st.Rebuilt == 0 || st.SymbolNaksSent == 0 || st.ParityAsked == 0 || st.NaksSent == 0 || st.BlocksCorrupt != 0 {
		t.Errorf("something was not exercised: %+v", st)
	}
}

// Half and a fifth of all datagrams are lost, both ways: Hybrid still completes.
func TestHybridHeavyLoss(t *testing.T) {
	for seed := range uint64(6) {
		runStream(t, hybridStream, seed, 3, faults{loss: []float64{0.2, 0.5}[seed%2], delay: 10 * time.Microsecond, jitter: 5 * time.Microsecond}, 200)
	}
}

// A clean network: no NAK, nothing rebuilt, and the overhead is the floor.
func TestHybridClean(t *testing.T) {
	net := runStream(t, hybridStream, 1, 3, faults{delay: 5 * time.Microsecond}, 2000)
	if net.sent[wire.FrameNak]+net.sent[wire.FrameSymbolNak] != 0 {
		t.Errorf("NAKs without loss: %v", net.sent)
	}
	if net.sent[wire.FrameRepair] == 0 {
		t.Error("no repair symbols")
	}
}

// pour sends single-datagram messages at a steady pace.
func pour(net *network, n *node, s *Sender, count int, every time.Duration) {
	for range count {
		if !net.until(time.Second, func() bool { return net.offer(n, s, 1, 1300) == 1 }) {
			net.t.Fatalf("window full at %v", net.now)
		}
		net.run(every)
	}
}

// newCoded makes one sender and receivers over a network with the given loss on data and repair
// symbols, and opens a stream.
func newCoded(t *testing.T, id wire.StreamID, receivers int, loss float64, delay time.Duration, f FEC) (*network, *node, *Sender) {
	return newCodedOf(t, 7, id, receivers, loss, delay, f)
}

// newCodedOf is newCoded with another seed.
func newCodedOf(t *testing.T, seed uint64, id wire.StreamID, receivers int, loss float64, delay time.Duration, f FEC) (*network, *node, *Sender) {
	net := newNetwork(t, seed)
	net.extra = FECBuffers(f, 1)
	net.faults = faults{delay: delay} // in order: a repair symbol does not overtake its block
	set := func(c *Config) { c.FEC, c.Window, c.Room = f, 2<<20, 4<<20 }
	sender := net.add(set)
	for range receivers {
		net.add(set)
	}
	s := net.open(sender, id)
	net.run(30 * time.Millisecond)
	net.filter = func(_, _ *node, d *wire.Datagram) bool {
		k := d.Frames()[0].Kind
		return k != wire.FrameData && k != wire.FrameRepair || net.rnd.Float64() >= loss
	}
	return net, sender, s
}

// 1 % loss, 100,000 datagrams a second, a round trip of 2 ms: blocks give back nearly all of the
// losses that NAKs would need a round trip for.
func TestHybridMendsWithoutNaks(t *testing.T) {
	net, sender, s := newCoded(t, hybridStream, 1, 0.01, time.Millisecond, FEC{})
	count := 20000
	if testing.Short() {
		count = 6000
	}
	pour(net, sender, s, count, 10*time.Microsecond)
	if !net.until(time.Second, func() bool { return completeOn(net, hybridStream, count) }) {
		t.Fatal("not complete")
	}
	r, w := net.nodes[1].p.Stats(), sender.p.Stats()
	overhead := float64(w.ParityBytes) / float64(w.DatagramBytes)
	t.Logf("%d missed, %d rebuilt, %d NAKs, %d repairs, %.1f %% parity", r.Missed, r.Rebuilt, r.NaksSent, w.RepairsMulticast+w.RepairsUnicast, 100*overhead)
	if float64(r.Rebuilt-w.ParityAsked) < 0.9*float64(r.Missed) || overhead > 0.12 {
		t.Errorf("%d of %d rebuilt, %.1f %% parity", r.Rebuilt, r.Missed, 100*overhead)
	}
	net.done()
}

// 1 % loss, 100,000 datagrams a second, a round trip of 2 ms: Hybrid delivers earlier than NACK in
// the tail, p99 in at most half the time and p99.9 in 0.8 of it: medians, since what few blocks cannot mend makes
// the tail of one run.
func TestHybridIsEarlier(t *testing.T) {
	count, seeds := 30000, 9
	if testing.Short() || raceEnabled {
		count, seeds = 10000, 3
	}
	var p99, p999 [2][]time.Duration
	for run := range 2 * seeds {
		i := run % 2
		id := []wire.StreamID{hybridStream, testStream}[i]
		net, sender, s := newCodedOf(t, uint64(run/2), id, 1, 0.01, time.Millisecond, FEC{})
		sent := make([]clock.Time, 1, count+1)
		var late []time.Duration
		net.nodes[1].refuse = func(m *core.Delivery) bool {
			late = append(late, net.now.Sub(sent[m.Sequence]))
			return false
		}
		for range count {
			sent = append(sent, net.now)
			pour(net, sender, s, 1, 10*time.Microsecond)
		}
		if !net.until(time.Second, func() bool { return completeOn(net, id, count) }) {
			t.Fatal("not complete")
		}
		slices.Sort(late)
		p99[i], p999[i] = append(p99[i], late[len(late)*99/100]), append(p999[i], late[len(late)*999/1000])
		t.Logf("%d: p50 %v, p99 %v, p99.9 %v, longest %v", id.Protocol(), late[len(late)/2], p99[i][run/2], p999[i][run/2], late[len(late)-1])
		net.done()
	}
	middle := func(v []time.Duration) time.Duration {
		slices.Sort(v)
		return v[len(v)/2]
	}
	hybrid, nack := middle(p99[0]), middle(p99[1])
	rarely, rarelyNACK := middle(p999[0]), middle(p999[1])
	if 2*hybrid > nack || float64(rarely) > 0.8*float64(rarelyNACK) {
		t.Errorf("p99 %v and %v, p99.9 %v and %v: not early enough", hybrid, nack, rarely, rarelyNACK)
	}
}

// 64 receivers that each lose 1 % on their own: repair symbols and repairs are at most a third of
// what NAKs alone send again.
func TestHybridManyReceivers(t *testing.T) {
	if raceEnabled {
		t.Skip("slow with the race detector, and one goroutine")
	}
	count := 2500
	if testing.Short() {
		count = 1000
	}
	var extra [2]float64
	for i, id := range []wire.StreamID{hybridStream, testStream} {
		net, sender, s := newCoded(t, id, 64, 0.01, time.Millisecond, FEC{})
		again := 0
		net.onSend = func(n *node, b buf.Send, d *wire.Datagram) {
			if n != sender {
				return
			}
			switch f := &d.Frames()[0]; f.Kind {
			case wire.FrameRepair:
				again += b.Buf.Len()
			case wire.FrameData:
				if m := f.Data(); m.Number < s.sent-1 {
					again += b.Buf.Len()
				}
			}
		}
		pour(net, sender, s, count, 10*time.Microsecond)
		if !net.until(2*time.Second, func() bool { return completeOn(net, id, count) }) {
			t.Fatal("not complete")
		}
		extra[i] = float64(again) / float64(sender.p.Stats().DatagramBytes)
		naks, sup, missed := uint64(0), uint64(0), uint64(0)
		for _, n := range net.nodes[1:] {
			st := n.p.Stats()
			naks, sup, missed = naks+st.NaksSent, sup+st.NaksSuppressed, missed+st.Missed
		}
		t.Logf("%d: %d missed, %d NAKs, %d suppressed", id.Protocol(), missed, naks, sup)
		net.done()
	}
	t.Logf("extra bytes: Hybrid %.1f %%, NACK %.1f %%", 100*extra[0], 100*extra[1])
	if 3*extra[0] > extra[1] {
		t.Errorf("extra bytes: Hybrid %.1f %%, NACK %.1f %%", 100*extra[0], 100*extra[1])
	}
}

// A slow stream: NAKs are quicker than its blocks, and Hybrid is as quick as NACK.
func TestHybridIsNackWhereThatIsQuicker(t *testing.T) {
	var longest [2]time.Duration
	for i, id := range []wire.StreamID{hybridStream, testStream} {
		net, sender, s := newCoded(t, id, 1, 0.05, 10*time.Microsecond, FEC{})
		const count = 400
		for range count {
			net.offer(sender, s, 1, 1300)
			begin := net.now
			net.run(300 * time.Microsecond)
			if h := net.nodes[1].stream(sender.id, id); h.next < s.message {
				net.until(time.Second, func() bool { return h.next == s.message })
				longest[i] = max(longest[i], net.now.Sub(begin))
			}
		}
		if !net.until(time.Second, func() bool { return completeOn(net, id, count) }) {
			t.Fatal("not complete")
		}
		net.done()
	}
	t.Logf("longest: Hybrid %v, NACK %v", longest[0], longest[1])
	if longest[0] > longest[1]+longest[1]/2+200*time.Microsecond {
		t.Errorf("Hybrid took %v, NACK %v", longest[0], longest[1])
	}
}

// FEC alone: nothing is asked for; what blocks cannot give back is reported as LossUnrepaired, in its
// place (the Sink checks), and every message is either delivered or reported as lost.
func TestFECLossesAreHonest(t *testing.T) {
	for _, loss := range []float64{0.01, 0.1, 0.3} {
		net, sender, s := newCoded(t, fecStream, 2, loss, 50*time.Microsecond, FEC{})
		const count = 5000
		pour(net, sender, s, count, 20*time.Microsecond)
		net.run(time.Second)
		for _, n := range net.nodes[1:] {
			h, lost := n.stream(sender.id, fecStream), 0
			for _, l := range h.lost {
				lost += int(l.Last - l.First + 1)
				if l.Reason != core.LossUnrepaired {
					t.Errorf("reason %d", l.Reason)
				}
			}
			st := n.p.Stats()
			t.Logf("loss %v: %d missed, %d rebuilt, %d lost", loss, st.Missed, st.Rebuilt, lost)
			if h.first != 1 || h.next != count+1 || h.delivered+lost != count {
				t.Errorf("loss %v: first %d, next %d, %d delivered, %d lost", loss, h.first, h.next, h.delivered, lost)
			}
			if uint64(lost) != st.Lost || st.Missed != st.Rebuilt+st.Gone {
				t.Errorf("loss %v: %d missed is not %d rebuilt and %d gone", loss, st.Missed, st.Rebuilt, st.Gone)
			}
			if st.Rebuilt == 0 || loss == 0.3 && lost == 0 {
				t.Errorf("loss %v: %d rebuilt, %d lost", loss, st.Rebuilt, lost)
			}
		}
		if n := net.sent[wire.FrameNak] + net.sent[wire.FrameSymbolNak]; n != 0 {
			t.Errorf("%d NAKs", n)
		}
		net.done()
	}
}

// What stays lost of FEC alone is what theory says of (k, m) and the loss.
func TestFECResidual(t *testing.T) {
	const k, m, p = 20, 2, 0.05
	net, sender, s := newCoded(t, fecStream, 1, p, 50*time.Microsecond, FEC{Source: k, Fixed: m})
	count := 30000
	if testing.Short() {
		count = 10000
	}
	pour(net, sender, s, count, 10*time.Microsecond)
	net.run(100 * time.Millisecond)
	got, want := float64(net.nodes[1].p.Stats().Gone)/float64(count), fec.Residual(k, m, p)
	t.Logf("%.3f %% stay lost, theory says %.3f %%", 100*got, 100*want)
	if got < want*0.7 || got > want*1.3 { // losses that stay come three and more at a time
		t.Errorf("%.3f %% stay lost, theory says %.3f %%", 100*got, 100*want)
	}
	net.done()
}

// FEC alone waits for a lost datagram for a bounded time, and what follows is delivered then.
func TestFECWaitIsBounded(t *testing.T) {
	net, sender, s := newCoded(t, fecStream, 1, 0, 50*time.Microsecond, FEC{Fixed: 1, Max: 1})
	pour(net, sender, s, 100, 20*time.Microsecond)
	net.run(20 * time.Millisecond)
	dropped := 0
	net.filter = func(_, _ *node, d *wire.Datagram) bool {
		if k := d.Frames()[0].Kind; k == wire.FrameData && dropped < 2 {
			dropped++
			return false // two of one block: its one symbol cannot mend them
		}
		return true
	}
	begin := net.now
	pour(net, sender, s, 10, 20*time.Microsecond)
	h := net.nodes[1].stream(sender.id, fecStream)
	if !net.until(time.Second, func() bool { return h.next == 111 }) {
		t.Fatalf("next is %d", h.next)
	}
	if d := net.now.Sub(begin); d > 2*fec.DefaultMaxOpen+5*time.Millisecond {
		t.Errorf("waited %v", d)
	}
	if len(h.lost) == 0 || h.lost[0].First != 101 || h.lost[len(h.lost)-1].Last != 102 {
		t.Errorf("lost %v", h.lost)
	}
	net.done()
}

// While the stream goes on, a hopeless gap is given up soon after its block: something shows that
// the block is past, and MaxOpen need not be waited for.
func TestFECGivesUpSoon(t *testing.T) {
	net, sender, s := newCoded(t, fecStream, 1, 0, 50*time.Microsecond, FEC{Fixed: 1, Max: 1})
	pour(net, sender, s, 100, 20*time.Microsecond)
	dropped := 0
	net.filter = func(_, _ *node, d *wire.Datagram) bool {
		if d.Frames()[0].Kind == wire.FrameData && dropped < 2 {
			dropped++
			return false
		}
		return true
	}
	begin := net.now
	h := net.nodes[1].stream(sender.id, fecStream)
	for h.next <= 102 && net.now.Sub(begin) < time.Second {
		pour(net, sender, s, 1, 20*time.Microsecond)
	}
	if d := net.now.Sub(begin); d > 3*time.Millisecond || len(h.lost) == 0 {
		t.Errorf("given up after %v: %v", d, h.lost)
	}
	net.done()
}

// The last two datagrams before silence are lost, and a repair symbol shows them before any
// heartbeat does: they are given up before their message numbers are known, and reported then.
func TestFECTailIsTold(t *testing.T) {
	net, sender, s := newCoded(t, fecStream, 1, 0, 50*time.Microsecond, FEC{Fixed: 1, Max: 1})
	pour(net, sender, s, 100, 20*time.Microsecond)
	net.filter = func(_, _ *node, d *wire.Datagram) bool {
		f := &d.Frames()[0]
		if f.Kind != wire.FrameData {
			return true
		}
		m := f.Data()
		return m.Number < 102
	}
	pour(net, sender, s, 3, 20*time.Microsecond)
	h := net.nodes[1].stream(sender.id, fecStream)
	if !net.until(100*time.Millisecond, func() bool { return h.next == 104 }) {
		t.Fatalf("next is %d", h.next)
	}
	if len(h.lost) != 1 || h.lost[0].First != 102 || h.lost[0].Last != 103 || h.lost[0].Reason != core.LossUnrepaired {
		t.Errorf("lost %v", h.lost)
	}
	net.done()
}

// The last datagram before silence is lost: its short block gives it back without a heartbeat.
func TestTailIsMended(t *testing.T) {
	for _, id := range []wire.StreamID{fecStream, hybridStream} {
		net, sender, s := newCoded(t, id, 2, 0, 50*time.Microsecond, FEC{})
		pour(net, sender, s, 105, 20*time.Microsecond)
		net.filter = func(_, _ *node, d *wire.Datagram) bool {
			k := d.Frames()[0].Kind
			return k == wire.FrameRepair || k == wire.FrameStatus
		}
		pour(net, sender, s, 1, 20*time.Microsecond)
		if !net.until(20*time.Millisecond, func() bool { return completeOn(net, id, 106) }) {
			t.Errorf("%v: the tail is not there", id.Protocol())
		}
		net.done()
	}
}

// The sender follows the loss that receivers report: up when it rises, down to the floor again.
func TestAdaptive(t *testing.T) {
	for _, id := range []wire.StreamID{fecStream, hybridStream} {
		loss := 0.0
		net, sender, s := newCoded(t, id, 1, 0, 200*time.Microsecond, FEC{})
		net.filter = func(_, _ *node, d *wire.Datagram) bool {
			k := d.Frames()[0].Kind
			return k != wire.FrameData && k != wire.FrameRepair || net.rnd.Float64() >= loss
		}
		overhead := func(count int) float64 {
			pour(net, sender, s, count, 10*time.Microsecond)
			a := sender.p.Stats()
			pour(net, sender, s, 2000, 10*time.Microsecond)
			b := sender.p.Stats()
			return float64(b.ParityDatagrams-a.ParityDatagrams) / 2000
		}
		clean := overhead(8000)
		loss = 0.05
		lossy := overhead(3000)
		loss = 0
		again := overhead(18000)
		t.Logf("%d: parity clean %.3f, at 5 %% loss %.3f, clean again %.3f", id.Protocol(), clean, lossy, again)
		if clean > 0.06 || lossy < 0.13 || again > 0.06 {
			t.Errorf("%d: parity clean %.3f, at 5 %% loss %.3f, clean again %.3f", id.Protocol(), clean, lossy, again)
		}
		net.done()
	}
}

// Repair symbols that overtake their blocks rebuild what is not lost. That costs nothing, and does
// not raise the number of repair symbols.
func TestOvertakingIsNotLoss(t *testing.T) {
	net, sender, s := newCoded(t, hybridStream, 1, 0, 200*time.Microsecond, FEC{})
	pour(net, sender, s, 4000, 10*time.Microsecond)
	net.faults.jitter = 5 * time.Microsecond
	a := sender.p.Stats()
	pour(net, sender, s, 4000, 10*time.Microsecond)
	b, r := sender.p.Stats(), net.nodes[1].p.Stats()
	parity := float64(b.ParityDatagrams-a.ParityDatagrams) / 4000
	t.Logf("%d overtaken, %d NAKs, parity %.3f", r.Overtaken, r.NaksSent, parity)
	if r.Overtaken < 50 || parity > 0.06 {
		t.Errorf("%d overtaken, parity %.3f", r.Overtaken, parity)
	}
	net.done()
}

// Plain streams refuse what only coded ones have, and FEC alone refuses to be asked.
func TestCodedFramesElsewhere(t *testing.T) {
	net := newNetwork(t, 1)
	net.extra = FECBuffers(FEC{}, 2)
	net.hostile = true
	sender, receiver := net.add(), net.add()
	nak, alone := net.open(sender, testStream), net.open(sender, fecStream)
	net.offer(sender, nak, 3, 100)
	net.offer(sender, alone, 3, 100)
	net.run(10 * time.Millisecond)
	frame := func(id wire.StreamID, from *node) []byte { return wire.AppendHeader(nil, from.p.header(id)) }
	for _, id := range []wire.StreamID{testStream, fecStream} {
		b := wire.AppendSymbolNak(frame(id, receiver), sender.id, 1, []wire.Need{{Block: 1, Count: 1}})
		wire.Seal(b)
		if err := net.inject(sender, receiver.endpoint, b); err != ErrProtocol {
			t.Errorf("SymbolNak for stream %x: %v", id, err)
		}
	}
	b := wire.AppendNak(frame(fecStream, receiver), sender.id, 1, []wire.Gap{{First: 1, Count: 1}}, nil)
	wire.Seal(b)
	if err := net.inject(sender, receiver.endpoint, b); err != ErrProtocol {
		t.Errorf("Nak for FEC: %v", err)
	}
	b = wire.AppendRepair(frame(testStream, sender), &wire.Repair{Block: 1, Scheme: 1, Stride: 1, Sources: 2, Repairs: 1, Symbol: make([]byte, 50)})
	wire.Seal(b)
	if err := net.inject(receiver, sender.endpoint, b); err != ErrProtocol {
		t.Errorf("Repair for NACK: %v", err)
	}
	net.done()
}

// Forged and damaged repair symbols and SymbolNaks, in the victim's own name: nothing wrong is ever
// delivered (the Sink checks), a Hybrid stream completes all the same, and all buffers come back.
func TestForgedSymbols(t *testing.T) {
	for seed := range uint64(5) {
		net, sender, s := newCoded(t, hybridStream, 1, 0.05, 50*time.Microsecond, FEC{})
		net.hostile = true
		net.rnd = rand.New(rand.NewPCG(seed, 3))
		r := net.nodes[1]
		const count = 1500
		for range count {
			pour(net, sender, s, 1, 20*time.Microsecond)
			h := sender.p.header(hybridStream)
			near := max(1, s.sent-min(s.sent-1, uint64(net.rnd.IntN(60)))+uint64(net.rnd.IntN(30)))
			symbol := make([]byte, 7+net.rnd.IntN(1390))
			for i := range symbol {
				symbol[i] = byte(net.rnd.Uint32())
			}
			small := func(n int) uint8 { return uint8(net.rnd.IntN(n)) }
			net.inject(r, sender.endpoint, forge(h, func(b []byte) []byte {
				return wire.AppendRepair(b, &wire.Repair{
					Block: near, Scheme: 1 + small(2), Stride: 1 + small(20), Sources: 1 + small(100), Repairs: small(100),
					Index: small(100), Symbol: symbol,
				})
			}))
			h.Transmitter = r.id
			net.inject(sender, r.endpoint, forge(h, func(b []byte) []byte {
				return wire.AppendSymbolNak(b, sender.id, 1, []wire.Need{{Block: near, Count: 1 + uint32(small(127))}, {Block: 1 << 60, Count: 1}})
			}))
		}
		if !net.until(5*time.Second, func() bool { return completeOn(net, hybridStream, count) }) {
			h := r.stream(sender.id, hybridStream)
			t.Fatalf("seed %d: next %d, lost %v: %+v", seed, h.next, h.lost, r.p.Stats())
		}
		net.done()
	}
}

// Steady state allocates nothing under FEC and Hybrid either, with losses and without.
func TestCodedNoAllocation(t *testing.T) {
	for _, id := range []wire.StreamID{hybridStream, fecStream} {
		for _, lose := range []uint64{0, 7} {
			l := newLoopOf(id, lose)
			payload := make([]byte, 64)
			body := func() {
				for range 200 {
					if l.s.Offer(l.now, "prices.eu", 0, payload) != nil {
						break
					}
				}
				for range 5 {
					l.turn(60 * time.Microsecond)
				}
			}
			for range 400 {
				body()
			}
			if n := testing.AllocsPerRun(300, body); n != 0 {
				t.Errorf("%d, losing one in %d: %v allocations", id.Protocol(), lose, n)
			}
			st := l.recv.Stats()
			if lose != 0 && st.Rebuilt == 0 || l.messages < 50000 {
				t.Errorf("%d, losing one in %d: %d messages, %+v", id.Protocol(), lose, l.messages, st)
			}
		}
	}
}
