package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/activeblaze/blaze/bench/measure"
)

// What is lost on the way comes back by blocks, by NAKs or not at all, and the result states which.
func TestCodedRuns(t *testing.T) {
	for _, c := range []struct {
		args  string
		holds func(r *measure.Result) bool
	}{
		{"--protocol hybrid", func(r *measure.Result) bool { return r.Exact() && r.ParityOverhead > 0 && r.K+r.M+r.Interleave == 0 }},
		{"--protocol hybrid --receivers 2 --k 4 --m 2 --interleave 2", func(r *measure.Result) bool {
			return r.Exact() && r.K == 4 && r.M == 2 && r.Interleave == 2 && r.ParityOverhead > 0.4
		}},
		{"--protocol fec --k 4 --m 4", func(r *measure.Result) bool {
			return r.RepairedByFEC > 0 && r.RepairedByNACK == 0 && r.ParityOverhead > 0.8
		}},
		{"--protocol fec --m 1 --loss 0.3", func(r *measure.Result) bool { return r.ResidualLoss > 0 && r.NAKsSent == 0 }},
		{"--protocol nack", func(r *measure.Result) bool {
			return r.Exact() && r.RepairedByFEC == 0 && r.RepairedByNACK > 0 && r.ParityOverhead == 0 && r.RepairOverhead > 0
		}},
	} {
		t.Run(c.args, func(t *testing.T) {
			args := append([]string{"loss", "--loss", "0.1", "--rate", "5000", "--duration", "300ms"}, strings.Fields(c.args)...)
			r := measured(t, args...)
			if !c.holds(&r) {
				t.Errorf("%s; by FEC %d, by NACK %d, parity %.3f, sent again %.3f, residual %.4f, code %d %d %d", counts(&r),
					r.RepairedByFEC, r.RepairedByNACK, r.ParityOverhead, r.RepairOverhead, r.ResidualLoss, r.K, r.M, r.Interleave)
			}
			sum := r.Sent * uint64(r.Receivers)
			if r.Delivered+r.Told != sum || r.Told != r.Lost || r.ResidualLoss != float64(r.Lost)/float64(sum) {
				t.Errorf("delivered and told as lost are not all that was sent: %s, residual %v", counts(&r), r.ResidualLoss)
			}
			// One symbol for 20 datagrams of which six are lost mends none; a block that its
			// deadline closed early is short, and may be mended.
			if hopeless := r.M == 1 && r.ResidualLoss > 0.2; r.RepairedByFEC+r.RepairedByNACK == 0 && !hopeless {
				t.Error("nothing was repaired")
			}
		})
	}
}

// A longer wire makes every message as late as it is long, and repair later still.
func TestDelayedRun(t *testing.T) {
	r := measured(t, "loss", "--delay", "2ms", "--rate", "5000", "--loss", "0.02", "--duration", "200ms")
	if r.DelayNS != 2e6 || !r.Exact() || r.Latency == nil || r.Latency.Min < 2e6 || r.Repair == nil || r.Repair.P50 < 4e6 {
		t.Errorf("%s; one way %+v, repair %+v", counts(&r), r.Latency, r.Repair)
	}
}

func TestSweep(t *testing.T) {
	all := sweepLosses
	defer func() { sweepLosses = all }()
	sweepLosses = []float64{0.003, 0.1}
	rounds := "2"
	if testing.Short() {
		rounds = "1"
	}
	dir := t.TempDir()
	picture, data := filepath.Join(dir, "s.svg"), filepath.Join(dir, "s.json")
	code, stdout, stderr := bench(t, "loss", "--sweep", "--rate", "5000", "--duration", "100ms", "--rounds", rounds, "--out", picture, "--json", data)
	if code != exitOK {
		t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
	}
	if rows := regexp.MustCompile(`(?m)^ +(0\.3|10) % +(nack|fec|hybrid) +\d`).FindAllString(stdout, -1); len(rows) != 6 {
		t.Errorf("%d rows of 6:\n%s", len(rows), stdout)
	}
	f, err := os.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	seen := map[string]int{}
	for d := json.NewDecoder(f); ; {
		var r measure.Result
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen[r.Protocol]++
		if r.Delivered == 0 || r.Rate != 5000 {
			t.Errorf("%+v", r)
		}
	}
	if len(seen) != 3 || seen["nack"] != 2 || seen["fec"] != 2 || seen["hybrid"] != 2 {
		t.Errorf("runs by protocol: %v", seen)
	}
	if b, err := os.ReadFile(picture); err != nil || xml.Unmarshal(b, new(struct{ XMLName xml.Name })) != nil {
		t.Errorf("%v: %.200s", err, b)
	}
	// A plot that has nowhere to go is refused before anything runs.
	if code, _, stderr = bench(t, "loss", "--sweep", "--out", dir); code != exitFailed || !strings.Contains(stderr, dir) {
		t.Errorf("a directory as --out: exit %d, %s", code, stderr)
	}
}

// The figure has all that the table has, in its place, also where nothing was measured.
func TestSweepFigure(t *testing.T) {
	var runs []*measure.Result
	for i, loss := range sweepLosses {
		for j, p := range sweepProtocols {
			r := &measure.Result{Protocol: p.String(), Loss: loss, Rate: 1000, ParityOverhead: 0.1 * float64(j), ResidualLoss: float64(j%2) * loss / 10}
			if i > 0 { // the first has no latency
				r.Latency = &measure.Percentiles{P50: int64(10000 + i), P99: int64(20000 + i), P999: int64(40000 * i)}
			}
			runs = append(runs, r)
		}
	}
	f := sweepFigure(runs)
	if len(f.Panels) != 5 {
		t.Fatalf("%d panels", len(f.Panels))
	}
	for i, p := range f.Panels {
		if len(p.Series) != len(sweepProtocols) {
			t.Fatalf("%s has %d series", p.Title, len(p.Series))
		}
		for _, s := range p.Series {
			if len(s.Points) != len(sweepLosses) || s.Points[2].X != sweepLosses[2] {
				t.Errorf("%s, %s: %v", p.Title, s.Name, s.Points)
			}
		}
		if i < 3 && (p.Y.Low != 10000 || p.Y.High != 500_000) {
			t.Errorf("%s goes from %v to %v", p.Title, p.Y.Low, p.Y.High)
		}
	}
	if y := f.Panels[1].Series[0].Points[3].Y; y != 20003 {
		t.Errorf("p99 at the fourth loss is drawn at %v", y)
	}
	var svg strings.Builder
	if err := f.WriteSVG(&svg); err != nil || strings.Contains(svg.String(), "NaN") {
		t.Errorf("%v, or NaN in it", err)
	}
	sweepTable(io.Discard, runs)
}

// CI holds FEC to its counts, and to ratios within a round; a rate by itself is this machine's.
func TestCheckOfFEC(t *testing.T) {
	if testing.Short() {
		t.Skip("make bench-check runs it at length")
	}
	_, stdout, stderr := bench(t, "check", "--only", "fec", "--rounds", "1", "--duration", "50ms")
	for _, want := range []string{"| Hybrid, 4 receivers, 5 % loss: lost + duplicated + reordered + corrupt | ≤ 0 | 0 |", "loss, Hybrid / NACK | ≥ 0.35 |"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s%s", want, stdout, stderr)
		}
	}
	if strings.Contains(stdout, "in millions") {
		t.Errorf("a bar on a rate alone:\n%s", stdout)
	}
}

func TestMiddleRun(t *testing.T) {
	at := func(p99 int64) *measure.Result { return &measure.Result{Latency: &measure.Percentiles{P99: p99}} }
	if r := middleRun([]*measure.Result{at(9), at(1), at(5)}); r.Latency.P99 != 5 {
		t.Errorf("got %d of 9, 1, 5", r.Latency.P99)
	}
	if r := middleRun([]*measure.Result{{Sent: 1}}); r.Sent != 1 {
		t.Errorf("got %+v", r)
	}
}

func TestSharesAndTicks(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{percent(0), "0"}, {percent(0.0001), "0.01 %"}, {percent(0.1), "10 %"}, {percent(1), "100 %"}, {percent(0.0234567), "2.3 %"},
		{percent(1e-9), "0.0000001 %"}, {percent(12.3), "1200 %"},
		{tickTime(1), "1 ns"}, {tickTime(1000), "1 µs"}, {tickTime(99999.999), "100 µs"}, {tickTime(2e7), "20 ms"}, {tickTime(5e9), "5 s"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
