package sim

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// updateTable writes what TestHybridTable measures into docs/fec.md:
//
//	SIM_SEEDS=full go test ./sim -run TestHybridTable -update.fec
var updateTable = flag.Bool("update.fec", false, "write the table of docs/fec.md")

var (
	tableRates      = []int{1000, 3000, 10000, 30000, 100000, 300000} // datagrams a second
	tableRoundTrips = []time.Duration{50 * time.Microsecond, 200 * time.Microsecond, time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond}
)

// cell is one rate and round trip: Hybrid and NACK over the same losses.
type cell struct {
	rate         int
	roundTrip    time.Duration
	hybrid, nack delays
	unasked      float64
	overhead     float64
}

// delays is the delivery latency of one protocol.
type delays struct{ p50, p99, p999, mean time.Duration }

// product is how many datagrams leave in a round trip.
func (c *cell) product() float64 { return float64(c.rate) * c.roundTrip.Seconds() }

// measure runs a cell with some seeds and takes all messages together.
func measure(t *testing.T, rate int, roundTrip time.Duration, seeds, count int, loss, burst float64) *cell {
	c := &cell{rate: rate, roundTrip: roundTrip}
	for i, p := range []wire.Protocol{wire.Hybrid, wire.NACK} {
		all := &feeding{}
		for seed := range uint64(seeds) {
			r := feed{protocol: p, seed: seed, every: perSecond(rate), roundTrip: roundTrip, receivers: 1,
				count: count, loss: constant(loss), burst: burst}.run(t)
			all.late = append(all.late, r.late...)
			all.lost, all.asked = all.lost+r.lost, all.asked+r.asked
			all.parity, all.bytes = all.parity+r.parity, all.bytes+r.bytes
		}
		slices.Sort(all.late)
		s := delays{all.percentile(0.5), all.percentile(0.99), all.percentile(0.999), all.mean()}
		if i == 0 {
			c.hybrid, c.unasked, c.overhead = s, all.unasked(), all.overhead()
		} else {
			c.nack = s
		}
	}
	return c
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

// TestHybridTable: from which rate times round trip on Hybrid delivers earlier than NACK, and that it
// is never later by more than a tenth. 1 % of everything is lost, NAKs and repairs too.
func TestHybridTable(t *testing.T) {
	rates, roundTrips, seeds, count := tableRates, tableRoundTrips, 3, 20000
	if !Full() {
		rates, roundTrips, seeds = []int{1000, 10000, 100000}, []time.Duration{200 * time.Microsecond, 2 * time.Millisecond}, 1
		if testing.Short() {
			count = 8000
		}
	}
	cells := make([]*cell, len(rates)*len(roundTrips))
	t.Run("cells", func(t *testing.T) {
		for i, rate := range rates {
			for j, roundTrip := range roundTrips {
				t.Run(fmt.Sprintf("%d,%v", rate, roundTrip), func(t *testing.T) {
					t.Parallel()
					cells[i*len(roundTrips)+j] = measure(t, rate, roundTrip, seeds, count, 0.01, 1)
				})
			}
		}
	})
	if t.Failed() || slices.Contains(cells, nil) {
		return // the reason is told, or -run chose some of them
	}
	for _, c := range cells {
		h, n := c.hybrid, c.nack
		t.Logf("%6d/s, %5v: Hybrid p50 %8v, p99 %8v, p99.9 %8v, mean %8v; NACK %8v, %8v, %8v, %8v; %.1f %% unasked, %.1f %% parity",
			c.rate, c.roundTrip, h.p50, h.p99, h.p999, h.mean, n.p50, n.p99, n.p999, n.mean, 100*c.unasked, 100*c.overhead)
		worst := max(ratio(h.p50, n.p50), ratio(h.mean, n.mean))
		if Full() || c.rate > 1000 { // in a short run at a low rate a loss more or less moves p99 by a round trip
			worst = max(worst, ratio(h.p99, n.p99))
		}
		if Full() { // in a short run p99.9 is a handful of messages, those whose repair was lost too
			worst = max(worst, ratio(h.p999, n.p999))
		}
		if worst > 1.1 {
			t.Errorf("%d/s, round trip %v: Hybrid takes %.2f times as long as NACK", c.rate, c.roundTrip, worst)
		}
		if c.product() >= 20 && ratio(h.p99, n.p99) > 0.9 {
			t.Errorf("%d/s, round trip %v: a block ends within a round trip, yet Hybrid's p99 is %.2f times NACK's", c.rate, c.roundTrip, ratio(h.p99, n.p99))
		}
		if c.product() >= 100 && (ratio(h.p99, n.p99) > 0.5 || ratio(h.p999, n.p999) > 0.8) {
			t.Errorf("%d/s, round trip %v: p99 %.2f and p99.9 %.2f times NACK's", c.rate, c.roundTrip, ratio(h.p99, n.p99), ratio(h.p999, n.p999))
		}
	}
	text := printTable(rates, roundTrips, cells)
	t.Logf("Hybrid's delivery latency as a part of NACK's, p99 and p99.9; share of losses mended without a NAK\n%s", text)
	if *updateTable {
		writeTable(t, text)
	}
}

// TestHybridInBursts: where losses come in runs of 4 most blocks fail, and a wait for them is for
// nothing. A receiver learns that, and Hybrid is hardly later than NACK even where a block ends just
// before a NAK could bring a repair.
func TestHybridInBursts(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds: make sim does it")
	}
	for _, at := range []struct {
		rate      int
		roundTrip time.Duration
	}{{100000, 200 * time.Microsecond}, {10000, 5 * time.Millisecond}} {
		c := measure(t, at.rate, at.roundTrip, counts(8, 3, 3), 20000, 0.02, 4)
		h, n := c.hybrid, c.nack
		t.Logf("%d/s, %v: Hybrid p99 %v, p99.9 %v, mean %v; NACK %v, %v, %v; %.1f %% unasked", at.rate, at.roundTrip,
			h.p99, h.p999, h.mean, n.p99, n.p999, n.mean, 100*c.unasked)
		if worst := max(ratio(h.p50, n.p50), ratio(h.p99, n.p99), ratio(h.mean, n.mean)); worst > 1.1 {
			t.Errorf("%d/s, round trip %v: Hybrid takes %.2f times as long as NACK", at.rate, at.roundTrip, worst)
		}
	}
}

// printTable is the table in Markdown.
func printTable(rates []int, roundTrips []time.Duration, cells []*cell) string {
	var b strings.Builder
	b.WriteString("| datagrams a second |")
	for _, r := range roundTrips {
		fmt.Fprintf(&b, " %s |", strings.NewReplacer("µs", " µs", "ms", " ms").Replace(r.String()))
	}
	b.WriteString("\n| ---: |" + strings.Repeat(" --- |", len(roundTrips)) + "\n")
	for i, rate := range rates {
		fmt.Fprintf(&b, "| %d |", rate)
		for j := range roundTrips {
			c := cells[i*len(roundTrips)+j]
			fmt.Fprintf(&b, " %.2f, %.2f; %.0f %% |", ratio(c.hybrid.p99, c.nack.p99), ratio(c.hybrid.p999, c.nack.p999), 100*c.unasked)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// writeTable puts the table between the two marks of docs/fec.md.
func writeTable(t *testing.T, text string) {
	const file, begin, end = "../docs/fec.md", "<!-- table: begin -->\n", "<!-- table: end -->"
	was, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	i, j := bytes.Index(was, []byte(begin)), bytes.Index(was, []byte(end))
	if i < 0 || j < i {
		t.Fatalf("%s has no place for the table", file)
	}
	now := slices.Concat(was[:i+len(begin)], []byte(text), was[j:])
	if err := os.WriteFile(file, now, 0o644); err != nil {
		t.Fatal(err)
	}
}
