package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/figures"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/workload"
)

// sweep is loss --sweep: the same load at many losses, under each protocol that repairs.
type sweep struct {
	on     bool
	file   string // of the plot; empty: none
	rounds int
}

// What is swept over.
var (
	sweepLosses    = []float64{0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2}
	sweepProtocols = []blaze.Protocol{blaze.NACK, blaze.FEC, blaze.Hybrid}
)

const (
	// sweepRate is what two cores carry under every protocol at every loss, so that latency
	// is that of repair and not of queues.
	sweepRate     = 50_000
	sweepDuration = 2 * time.Second // at each point
)

// checkSweep refuses options that a sweep chooses by itself, and puts in its own defaults.
func (f *flags) checkSweep() error {
	if !f.sweep.on {
		for _, name := range []string{"out", "rounds"} {
			if f.given(name) {
				return usagef("--%s is for --sweep", name)
			}
		}
		return nil
	}
	for _, name := range []string{"loss", "protocol", "hist"} {
		if f.given(name) {
			return usagef("--%s: --sweep goes through nack, fec and hybrid and its own losses, and has a table", name)
		}
	}
	if !f.given("rate") {
		f.opt.Rate = sweepRate
	}
	if !f.given("duration") {
		f.opt.Duration = sweepDuration
	}
	if f.sweep.rounds < 1 {
		return usagef("--rounds %d: want 1 or more", f.sweep.rounds)
	}
	if f.opt.Rate == 0 {
		return usagef("--rate 0: --sweep needs a rate, since latency at full speed is that of queues")
	}
	return nil
}

// takeSweep runs every point of a sweep, in the order of the table, rounds times: a neighbour's noise
// then falls on all protocols alike. Without runs it was stopped; with them the error names which
// of them broke its protocol's promise.
func (f *flags) takeSweep(ctx context.Context, out *output) (all [][]*measure.Result, broken error) {
	o := f.opt
	o.Stderr, o.Progress = out.stderr, out.progress
	points := len(sweepLosses) * len(sweepProtocols)
	all = make([][]*measure.Result, points)
	for n := range points * f.sweep.rounds {
		point := n % points
		o.Loss, o.Protocol, o.FEC = sweepLosses[point/len(sweepProtocols)], sweepProtocols[point%len(sweepProtocols)], f.opt.FEC
		if o.Protocol == blaze.NACK {
			o.FEC = blaze.FECConfig{}
		}
		if err := o.Check(workload.Loss); err != nil {
			return nil, usagef("--%w", err)
		}
		what := fmt.Sprintf("%s at %s loss: ", o.Protocol, percent(o.Loss))
		out.prefix = fmt.Sprintf("[%d/%d] %s", n+1, points*f.sweep.rounds, what)
		r, _, err := workload.Run(ctx, workload.Loss, o)
		out.clear()
		if err != nil {
			return nil, fmt.Errorf("%s%w", what, err)
		}
		if err := mustHold(r); err != nil {
			broken = errors.Join(broken, fmt.Errorf("%s%w", what, err))
		}
		all[point] = append(all[point], r)
	}
	return all, broken
}

// middleRun is the run with the median p99 of latency; where that was not measured, any.
func middleRun(runs []*measure.Result) *measure.Result {
	runs = slices.SortedFunc(slices.Values(runs), func(a, b *measure.Result) int {
		if a.Latency == nil || b.Latency == nil {
			return 0
		}
		return cmp.Compare(a.Latency.P99, b.Latency.P99)
	})
	return runs[len(runs)/2]
}

// runSweep takes every point of a sweep, prints the table and draws the plot. What breaks its
// protocol's promise is an error, when all is shown.
func (f *flags) runSweep(ctx context.Context, out *output) error {
	// Before minutes are spent on a plot that then has nowhere to go.
	if name := f.sweep.file; name != "" && name != "-" {
		file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o666)
		if err != nil {
			return err
		}
		file.Close()
	}
	all, broken := f.takeSweep(ctx, out)
	if all == nil {
		return broken
	}
	runs := make([]*measure.Result, len(all))
	for i := range all {
		runs[i] = middleRun(all[i])
	}
	if f.json != "-" && f.sweep.file != "-" {
		sweepTable(out.stdout, runs)
	}
	return errors.Join(broken,
		writeTo(f.json, out.stdout, func(w io.Writer) error {
			e := json.NewEncoder(w)
			for _, r := range runs {
				if err := e.Encode(r); err != nil {
					return err
				}
			}
			return nil
		}),
		writeTo(f.sweep.file, out.stdout, sweepFigure(runs).WriteSVG))
}

// circumstances is what all points of a sweep have in common, in two lines.
func circumstances(runs []*measure.Result) (load, host string) {
	r := runs[len(runs)-1] // the last protocol has parity
	over := driver(r)
	if r.DelayNS > 0 {
		over += fmt.Sprintf(", %s later one way", ns(r.DelayNS))
	}
	return fmt.Sprintf("%s messages/s of %d bytes, %s, %s, %s", count(r.Rate), r.Size, plural(r.Receivers, "receiver"), over, code(r)),
		fmt.Sprintf("%s, %d CPUs %s, %s, idle %s", r.Kernel, r.CPUs, r.CPUModel, r.Go, r.Idle)
}

// sweepTable prints what every point found.
func sweepTable(w io.Writer, runs []*measure.Result) {
	load, host := circumstances(runs)
	fmt.Fprintf(w, "%s\n%s\n\n", load, host)
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintf(tw, "loss\tprotocol\tp50\tp99\tp99.9\tresidual\tparity\tsent again\tby FEC\tby NAK\t\n")
	for _, r := range runs {
		p50, p99, p999 := "-", "-", "-"
		if l := r.Latency; l != nil {
			p50, p99, p999 = ns(l.P50), ns(l.P99), ns(l.P999)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", percent(r.Loss), r.Protocol, p50, p99, p999,
			percent(r.ResidualLoss), percent(r.ParityOverhead), percent(r.RepairOverhead),
			count(float64(r.RepairedByFEC)), count(float64(r.RepairedByNACK)))
	}
	tw.Flush()
	fmt.Fprintf(w, "\nloss: datagrams that each member drops, of every kind; residual: messages never delivered; parity: bytes of repair symbols\n"+
		"against those of data; sent again: datagrams against those of data; by FEC, by NAK: lost datagrams that came back unasked, asked for.\n")
}

// percent prints a share with the two digits that mean something.
func percent(v float64) string {
	short, err := strconv.ParseFloat(strconv.FormatFloat(v*100, 'g', 2, 64), 64)
	if err != nil || short == 0 {
		return "0"
	}
	return strconv.FormatFloat(short, 'f', -1, 64) + " %"
}

// tickTime prints the nanoseconds at a tick of an axis, a round number.
func tickTime(v float64) string {
	u, scale := "ns", 1.0
	for _, x := range []struct {
		unit  string
		scale float64
	}{{"µs", 1e3}, {"ms", 1e6}, {"s", 1e9}} {
		if v > 0.999*x.scale {
			u, scale = x.unit, x.scale
		}
	}
	return strconv.FormatFloat(math.Round(v/scale), 'f', -1, 64) + " " + u
}

// sweepFigure is the plot of a sweep: three percentiles of latency on one scale, then what is
// missing at the end, and what the repair costs.
func sweepFigure(runs []*measure.Result) *figures.Plot {
	load, host := circumstances(runs)
	fig := &figures.Plot{Title: "Delivery under loss", Notes: []string{load, host}}
	x := figures.Axis{Label: "datagrams lost at each member", Format: percent, Low: sweepLosses[0], High: sweepLosses[len(sweepLosses)-1]}
	add := func(title string, y figures.Axis, value func(*measure.Result) float64) {
		p := figures.Panel{Title: title, X: x, Y: y}
		for _, protocol := range sweepProtocols {
			s := figures.Series{Name: protocol.String()}
			for _, r := range runs {
				if r.Protocol == s.Name {
					s.Points = append(s.Points, figures.Point{X: r.Loss, Y: value(r)})
				}
			}
			p.Series = append(p.Series, s)
		}
		fig.Panels = append(fig.Panels, p)
	}
	least, most := math.Inf(1), 0.0
	for _, r := range runs {
		if l := r.Latency; l != nil {
			least, most = min(least, float64(l.P50)), max(most, float64(l.P999))
		}
	}
	for _, q := range []struct {
		title string
		of    func(*measure.Percentiles) int64
	}{
		{"Latency, p50", func(p *measure.Percentiles) int64 { return p.P50 }},
		{"Latency, p99", func(p *measure.Percentiles) int64 { return p.P99 }},
		{"Latency, p99.9", func(p *measure.Percentiles) int64 { return p.P999 }},
	} {
		y := figures.Axis{Label: "from Offer to the handler", Format: tickTime}
		if most > 0 {
			y.Low, y.High = figures.RoundDown(least), figures.RoundUp(most)
		}
		add(q.title, y, func(r *measure.Result) float64 {
			if r.Latency == nil {
				return math.NaN()
			}
			return float64(q.of(r.Latency))
		})
	}
	add("Residual loss", figures.Axis{Label: "messages never delivered", Format: percent}, func(r *measure.Result) float64 { return r.ResidualLoss })
	add("Overhead", figures.Axis{Label: "parity and what is sent again", Format: percent},
		func(r *measure.Result) float64 { return r.ParityOverhead + r.RepairOverhead })
	return fig
}
