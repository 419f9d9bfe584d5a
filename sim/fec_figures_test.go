package sim

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/fec"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// fast is 100,000 datagrams a second and a round trip of 2 ms.
func fast(p wire.Protocol, seed uint64, count int, loss float64) feed {
	return feed{protocol: p, seed: seed, every: 10 * time.Microsecond, roundTrip: 2 * time.Millisecond,
		receivers: 1, count: count, size: 1300, loss: constant(loss)}
}

// counts chooses the messages of a run: all of them, fewer, or few.
func counts(full, usual, short int) int {
	switch {
	case Full():
		return full
	case testing.Short():
		return short
	}
	return usual
}

// TestHybridOnePercent: 1 % independent loss, adaptive: at least 95 % of the losses are mended without
// a NAK at a parity overhead of at most 12 %; p99 of delivery latency is at most half, p99.9 at most
// 0.8 of plain NACK's in the same run; nothing is missing.
func TestHybridOnePercent(t *testing.T) {
	var all [2]feeding
	for seed := range uint64(counts(8, 2, 1)) {
		for i, p := range []wire.Protocol{wire.Hybrid, wire.NACK} {
			r := fast(p, seed, counts(30000, 20000, 10000), 0.01).run(t)
			all[i].late = append(all[i].late, r.late...)
			if p == wire.Hybrid {
				t.Logf("seed %d: %d lost, %.1f %% mended without a NAK, parity %.1f %%", seed, r.lost, 100*r.unasked(), 100*r.overhead())
				if r.unasked() < 0.95 || r.overhead() > 0.12 {
					t.Errorf("seed %d: %.1f %% mended without a NAK, parity %.1f %%", seed, 100*r.unasked(), 100*r.overhead())
				}
			}
		}
	}
	for i := range all {
		slices.Sort(all[i].late)
	}
	h, n := &all[0], &all[1]
	t.Logf("p50, p99, p99.9: Hybrid %v %v %v, NACK %v %v %v", h.percentile(0.5), h.percentile(0.99), h.percentile(0.999),
		n.percentile(0.5), n.percentile(0.99), n.percentile(0.999))
	if ratio(h.percentile(0.99), n.percentile(0.99)) > 0.5 || ratio(h.percentile(0.999), n.percentile(0.999)) > 0.8 {
		t.Error("Hybrid is not early enough")
	}
}

// TestHybridTwentyPercent: it completes although one datagram in five is lost, both ways.
func TestHybridTwentyPercent(t *testing.T) {
	r := fast(wire.Hybrid, 1, counts(30000, 8000, 3000), 0.2).run(t)
	t.Logf("%d lost, %.1f %% mended without a NAK, parity %.1f %%, repairs %.1f %%", r.lost, 100*r.unasked(), 100*r.overhead(),
		100*float64(r.repairs)/float64(r.bytes))
	if r.lost < r.count/6 || len(r.late) != r.count {
		t.Errorf("%d of %d delivered, %d were lost at first", len(r.late), r.count, r.lost)
	}
}

// TestHybridFewerExtraBytes: 64 receivers that lose 1 % each: parity and repairs together are at most
// a third of what NAKs alone have sent again.
func TestHybridFewerExtraBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute: make sim does it")
	}
	var extra [2]float64
	for i, p := range []wire.Protocol{wire.Hybrid, wire.NACK} {
		f := fast(p, 3, counts(10000, 2000, 800), 0.01)
		f.receivers = 64
		r := f.run(t)
		extra[i] = r.extra()
		t.Logf("protocol %d: %d lost, %d NAKs, parity %.1f %%, extra bytes %.1f %%", p, r.lost, r.naks, 100*r.overhead(), 100*r.extra())
	}
	if 3*extra[0] > extra[1] {
		t.Errorf("extra bytes: Hybrid %.1f %%, NACK %.1f %%", 100*extra[0], 100*extra[1])
	}
}

// parityOf is the mean number of repair symbols of the blocks that were closed between two looks at
// the sender's counters.
func parityOf(a, b nack.Stats) float64 {
	return float64(b.ParityDatagrams-a.ParityDatagrams) / float64(b.Blocks-a.Blocks)
}

// TestParityFollowsLoss: loss that steps from 0 to 1, 5, 10 % and back to 0. m is up within 100 blocks,
// holds what docs/decisions/fec-parity.md says, and is at the floor within 1,000 blocks of the end of
// the losses, whatever the floor is. NAKs stay the exception throughout.
func TestParityFollowsLoss(t *testing.T) {
	const k = 20
	blocks := counts(2000, 1200, 400) // of a step but the last
	const last = 1000
	losses := []float64{0, 0.01, 0.05, 0.1, 0.05, 0.01, 0}
	want := [][2]float64{{1, 1}, {1.9, 2.5}, {3.7, 5}, {5, 6}, {3.7, 5.2}, {1.9, 3}, {1, 1}} // in the last blocks of a step
	floors := []int{0, -1}
	if testing.Short() {
		floors = floors[:1]
	}
	for _, least := range floors {
		marks := make([][3]nack.Stats, len(losses))
		step := func(n uint64) int { return min(int(n)/(blocks*k), len(losses)-1) }
		f := fast(wire.Hybrid, 4, ((len(losses)-1)*blocks+last)*k, 0)
		f.size, f.fec.Min = 64, least
		f.loss = func(n uint64) float64 { return losses[step(n)] }
		f.each = func(r *feeding, n int) {
			i := step(uint64(n))
			at, long := n-i*blocks*k, blocks
			if i == len(losses)-1 {
				long = last
			}
			st := func() nack.Stats { return r.c.Members[0].Core.(*CoreNode).Protocol.Stats() }
			switch at {
			case 100 * k: // a step is known
				marks[i][0] = st()
			case (long - 50) * k:
				marks[i][1] = st()
			case long*k - 1:
				marks[i][2] = st()
			}
		}
		r := f.run(t)
		for i, p := range losses {
			soon, end := parityOf(marks[i][0], marks[i][1]), parityOf(marks[i][1], marks[i][2])
			t.Logf("MinRepair %d, loss %2.0f %%: %.2f repair symbols from block 100 on, %.2f at the end of the step", least, 100*p, soon, end)
			from, to := want[i][0], want[i][1]
			if p == 0 && least == -1 {
				from, to = 0, 0
			}
			if end < from || end > to {
				t.Errorf("MinRepair %d, step %d: %.2f repair symbols at a loss of %.0f %%, want %v to %v", least, i, end, 100*p, from, to)
			}
			if i >= 1 && i <= 3 && soon < 0.8*from {
				t.Errorf("MinRepair %d, step %d: only %.2f repair symbols from block 100 on", least, i, soon)
			}
		}
		t.Logf("%d lost, %.1f %% mended without a NAK", r.lost, 100*r.unasked())
		if r.unasked() < 0.9 {
			t.Errorf("%.1f %% mended without a NAK", 100*r.unasked())
		}
	}
}

// TestBudget: a budget of one repair symbol for ten datagrams holds whatever is lost, and however
// short blocks are; Hybrid asks for the rest and is complete. Without a budget there are more.
func TestBudget(t *testing.T) {
	for _, c := range []struct {
		rate, count int
		loss        float64
		budget      float64
		from, to    float64 // repair symbols that nobody asked for, as a share of the datagrams
	}{
		{100000, 6000, 0.1, 0.1, 0.095, 0.1},
		{100000, 6000, 0.1, 0, 0.2, 0.3},
		{100000, 6000, 0, 0.1, 0.045, 0.08}, // it begins with a guess of the loss
		{50, 400, 0.1, 0.1, 0.095, 0.1},
		{50, 400, 0.1, 0, 1, 2},
	} {
		f := fast(wire.Hybrid, 7, c.count, c.loss)
		f.every, f.size, f.fec.Budget = perSecond(c.rate), 64, c.budget
		r := f.run(t)
		const saved = 4 // what the budget had saved in the beginning
		share := float64(r.sender.ParityDatagrams) / float64(r.count)
		t.Logf("%d/s, %.0f %% loss, budget %v: %.3f repair symbols for a datagram, %.1f %% of %d losses mended without a NAK",
			c.rate, 100*c.loss, c.budget, share, 100*r.unasked(), r.lost)
		if share < c.from || float64(r.sender.ParityDatagrams) > c.to*float64(r.count)+saved {
			t.Errorf("%d/s, %.0f %% loss, budget %v: %.3f repair symbols for a datagram, want %v to %v", c.rate, 100*c.loss, c.budget, share, c.from, c.to)
		}
	}
}

// TestBurstsAndInterleaving: losses in bursts of 4 get more parity than single ones do; and
// interleaving mends them with less.
func TestBurstsAndInterleaving(t *testing.T) {
	leftToSim(t)
	run := func(burst float64, depth int) *feeding {
		f := fast(wire.Hybrid, 5, counts(90000, 30000, 0), 0.02)
		f.size, f.burst, f.fec.Interleave = 64, burst, depth
		r := f.run(t)
		t.Logf("2 %% lost in runs of %v, %d blocks at a time: %.1f %% mended without a NAK, parity %.1f %%, p99 %v",
			burst, depth, 100*r.unasked(), 100*r.overhead(), r.percentile(0.99))
		return r
	}
	single, bursts, deep := run(1, 1), run(4, 1), run(4, 8)
	if bursts.overhead() < 1.2*single.overhead() {
		t.Errorf("parity %.3f against bursts, %.3f against single losses", bursts.overhead(), single.overhead())
	}
	if deep.overhead() > 0.9*bursts.overhead() || deep.unasked() < bursts.unasked()+0.2 {
		t.Errorf("interleaved: parity %.3f and %.3f mended unasked; at a depth of one %.3f and %.3f",
			deep.overhead(), deep.unasked(), bursts.overhead(), bursts.unasked())
	}
}

// TestResidualOfMembers: what FEC alone leaves lost, told to the application, is what the binomial
// tail says of (k, m) and the loss, within four standard errors.
func TestResidualOfMembers(t *testing.T) {
	for _, c := range []struct {
		k, m int
		p    float64
	}{{20, 2, 0.05}, {10, 3, 0.1}, {32, 8, 0.2}} {
		f := fast(wire.FEC, 6, counts(200000, 30000, 10000), c.p)
		f.size, f.fec = 64, nack.FEC{Source: c.k, Fixed: c.m}
		r := f.run(t)
		const batches = 50 // losses come together: batches of them are independent
		var in [batches]float64
		for n := range r.told {
			in[int(n-1)*batches/r.count]++
		}
		sum, squares := 0.0, 0.0
		for _, x := range in {
			share := x / (float64(r.count) / batches)
			sum += share
			squares += share * share
		}
		mean := sum / batches
		deviation := math.Sqrt((squares/batches - mean*mean) / (batches - 1))
		theory := fec.Residual(c.k, c.m, c.p)
		t.Logf("(%d, %d) at %v: %.5f stays lost, theory %.5f, standard error %.5f", c.k, c.m, c.p, mean, theory, deviation)
		if math.Abs(mean-theory) > 4*deviation {
			t.Errorf("(%d, %d) at %v: %.5f stays lost, theory says %.5f", c.k, c.m, c.p, mean, theory)
		}
		if len(r.told)+len(r.late) != r.count || r.naks > 0 {
			t.Errorf("(%d, %d): %d delivered and %d told lost of %d, %d NAKs", c.k, c.m, len(r.late), len(r.told), r.count, r.naks)
		}
	}
}
