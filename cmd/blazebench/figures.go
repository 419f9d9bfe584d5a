package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/activeblaze/blaze/bench/figures"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/rig"
	"github.com/activeblaze/blaze/bench/workload"
	"github.com/activeblaze/blaze/xdp"
)

// Durations of a figure's runs. Bars that name their own duration keep it, but for check.
const (
	figureDuration = 3 * time.Second
	checkDuration  = time.Second
)

// figureFiner is how many times as many rounds are taken over AF_XDP as were asked for, of runs so
// much shorter. Its bars compare microseconds, and a virtual machine's processors change their speed
// for seconds at a time, all at once: what is compared has to run within a second or two.
const figureFiner = 4

// takeFigures runs every figure of bench/RESULTS.md. With check it is short rounds with twice
// the slack, but for what needs a quiet host: for CI, where neighbours make noise.
func takeFigures(ctx context.Context, check bool, args []string, out *output) error {
	name, rounds, duration, finer := "figures", 5, figureDuration, figureFiner
	times := "how many `times` everything is run; what goes over AF_XDP runs four times as often, in runs of a quarter of the time"
	if check {
		name, rounds, duration, finer, times = "check", 3, checkDuration, 1, "how many `times` everything is run, at most"
	}
	fs := flag.NewFlagSet("blazebench "+name, flag.ContinueOnError)
	fs.IntVar(&rounds, "rounds", rounds, times)
	fs.DurationVar(&duration, "duration", duration, "how long each run is measured, unless its bar says it")
	format := formatOption(fs)
	file, only := new(string), "all"
	fs.StringVar(&only, "only", only, "`what` to measure: all, loopback, xdp (AF_XDP, on a rig; root), fec, order, group, cluster or scale")
	if !check {
		fs.StringVar(file, "write", "bench/RESULTS.md", "put the tables into this results `file`, between its markers; empty: nowhere")
	}
	switch err := parse(fs, args, out, ""); {
	case err != nil:
		return err
	case fs.NArg() > 0:
		return usagef("%s: unexpected argument %q", fs.Name(), fs.Arg(0))
	case only != "all" && only != "loopback" && only != "xdp" && only != "fec" && only != "order" && only != "group" && only != "cluster" && only != "scale":
		return usagef("--only %q: want all, loopback, xdp, fec, order, group, cluster or scale", only)
	case checkFormat(*format) != nil:
		return checkFormat(*format)
	case rounds < 1:
		return usagef("--rounds %d: want 1 or more", rounds)
	case duration < 10*time.Millisecond || duration > workload.MaxDuration:
		return usagef("--duration %v: want 10ms to %v", duration, workload.MaxDuration)
	}
	if only != "all" {
		*file = "" // a part does not replace the whole
	}
	// Before a quarter of an hour is spent on figures that then have nowhere to go.
	if *file != "" {
		if err := figures.Writable(*file); err != nil {
			return err
		}
	}
	var failed error
	var texts []string
	for _, s := range suites(duration, only, finer, check, out) {
		slack := 1.0
		if check {
			slack, s.Yard = 2, nil
			s.Bars = slices.DeleteFunc(s.Bars, func(b figures.Bar) bool { return b.Absolute || b.Tail })
			s.Cases = slices.DeleteFunc(s.Cases, func(c figures.Case) bool { return c.Absolute })
			for i := range s.Cases {
				s.Cases[i].Duration, s.Cases[i].Times = duration, 1
			}
		}
		var take taker = figures.Take
		if check {
			take = func(ctx context.Context, s figures.Suite, rounds int, run figures.Runner, failed func(string, error)) ([]figures.Round, error) {
				return figures.TakeForOne(ctx, s, rounds, slack, run, failed)
			}
		}
		results, err := takeSuite(ctx, s, rounds*max(s.Finer, 1), take, out)
		if results == nil {
			return err
		}
		failed = errors.Join(failed, err)
		verdicts := figures.Judge(s.Bars, results, slack)
		if check {
			for i := range verdicts {
				verdicts[i].InOneRound(slack)
			}
			tables(out.stdout, *format, func(w io.Writer) { figures.WriteTable(w, verdicts, slack) })
		} else {
			text := figures.Report(s, results)
			fmt.Fprintln(out.stdout, text)
			if s.Heading != "" {
				text = "## " + s.Heading + "\n\n" + text
			}
			texts = append(texts, text)
		}
		for _, v := range verdicts {
			if !v.Reached {
				failed = errors.Join(failed, fmt.Errorf("not reached: %s: %.4g, want %s", v.What, v.Median, v.Text(slack)))
			}
		}
	}
	if *file != "" {
		failed = errors.Join(failed, figures.Update(*file, strings.Join(texts, "\n")))
	}
	return failed
}

// suites are those that were asked for and that this host can run, finer where they go over AF_XDP
// alone, and in a short form where there is one. A line names those that it cannot run.
func suites(duration time.Duration, only string, finer int, short bool, out *output) (all []figures.Suite) {
	wanted := func(name string) bool { return only == "all" || only == name }
	if wanted("loopback") {
		all = append(all, figures.Loopback(duration))
	}
	fast := false
	if wanted("xdp") || wanted("fec") || wanted("order") || wanted("group") {
		if err := errors.Join(rig.Possible(), xdp.Available()); err != nil {
			fmt.Fprintf(out.stderr, "blazebench: left out: all figures of AF_XDP: %s\n", oneLine(err))
		} else {
			fast = true
		}
	}
	if wanted("xdp") && fast {
		s := figures.FastPath(duration/time.Duration(finer), rig.Veth)
		s.Finer = finer
		all = append(all, s)
	}
	if wanted("fec") {
		all = append(all, figures.FEC(duration, fast))
	}
	if wanted("order") {
		all = append(all, figures.Order(duration, fast))
	}
	if wanted("group") {
		all = append(all, figures.Group(duration, fast))
	}
	if wanted("cluster") {
		all = append(all, figures.Cluster(duration))
	}
	if wanted("scale") {
		all = append(all, figures.Scale(short))
	}
	return all
}

// A taker is figures.Take, or a form of it.
type taker func(ctx context.Context, s figures.Suite, rounds int, run figures.Runner, failed func(string, error)) ([]figures.Round, error)

// takeSuite runs rounds of a suite, at most, as take has them. Without results it was stopped; with them the error names
// which runs failed.
func takeSuite(ctx context.Context, s figures.Suite, rounds int, take taker, out *output) (_ []figures.Round, failed error) {
	n, total := 0, 0
	for _, c := range s.Cases {
		total += rounds * max(c.Times, 1)
	}
	run := func(ctx context.Context, args []string) (*measure.Result, error) {
		n++
		out.prefix = fmt.Sprintf("[%d/%d] ", n, total)
		if args[0] == "scale" {
			f, err := parseScale(args[1:], out)
			if err != nil {
				return nil, err
			}
			return f.run(ctx, out)
		}
		f, err := parseWorkload(args, out)
		if err != nil {
			return nil, err
		}
		r, _, err := f.run(ctx, out)
		return r, err
	}
	results, err := take(ctx, s, rounds, run, func(command string, err error) {
		err = fmt.Errorf("%s: %w", command, err)
		fmt.Fprintf(out.stderr, "blazebench: %v\n", err)
		failed = errors.Join(failed, err)
	})
	if err != nil {
		return nil, err
	}
	return results, failed
}

// oneLine is an error without line ends.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
