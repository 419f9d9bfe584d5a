package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/activeblaze/blaze/bench/figures"
	"github.com/activeblaze/blaze/bench/result"
	"github.com/activeblaze/blaze/bench/workload"
)

// Durations of a figure's runs. Bars that name their own duration keep it, but for check.
const (
	figureDuration = 3 * time.Second
	checkDuration  = time.Second
)

// takeFigures runs every figure of bench/RESULTS.md. With check it is short rounds with twice
// the slack: for CI, where neighbours make noise.
func takeFigures(ctx context.Context, check bool, args []string, out *output) error {
	name, rounds, duration := "figures", 5, figureDuration
	if check {
		name, rounds, duration = "check", 3, checkDuration
	}
	fs := flag.NewFlagSet("blazebench "+name, flag.ContinueOnError)
	fs.SetOutput(out.stderr)
	fs.IntVar(&rounds, "rounds", rounds, "how many `times` everything is run")
	fs.DurationVar(&duration, "duration", duration, "how long each run is measured, unless its bar says it")
	file := new(string)
	if !check {
		fs.StringVar(file, "write", "bench/RESULTS.md", "put the tables into this results `file`, between its markers; empty: nowhere")
	}
	switch err := fs.Parse(args); {
	case err != nil:
		return usageError{error: err, told: true}
	case fs.NArg() > 0:
		return usagef("%s: unexpected argument %q", fs.Name(), fs.Arg(0))
	case rounds < 1:
		return usagef("--rounds %d: want 1 or more", rounds)
	case duration < 10*time.Millisecond || duration > workload.MaxDuration:
		return usagef("--duration %v: want 10ms to %v", duration, workload.MaxDuration)
	}
	// Before a quarter of an hour is spent on figures that then have nowhere to go.
	if *file != "" {
		if err := figures.Writable(*file); err != nil {
			return err
		}
	}
	slack := 1.0
	cases := figures.Cases(duration)
	if check {
		slack = 2
		for i := range cases {
			cases[i].Opt.Duration = duration
		}
	}
	receiver, err := receiverArgs()
	if err != nil {
		return err
	}
	n, total := 0, rounds*len(cases)
	var yard []figures.Yardstick
	if !check {
		yard = figures.Yardsticks()
	}
	run := func(ctx context.Context, c figures.Case) (*result.Run, error) {
		n++
		out.prefix = fmt.Sprintf("[%d/%d] ", n, total)
		o := c.Opt
		o.Receiver, o.Stderr, o.Progress = receiver, out.stderr, out.progress
		r, _, err := workload.Run(ctx, c.Kind, o)
		out.clear()
		return r, err
	}
	var failed error
	results, err := figures.Take(ctx, cases, yard, rounds, run, func(command string, err error) {
		err = fmt.Errorf("%s: %w", command, err)
		fmt.Fprintf(out.stderr, "blazebench: %v\n", err)
		failed = errors.Join(failed, err)
	})
	if err != nil {
		return err
	}
	verdicts := figures.Judge(results, slack)
	if check {
		figures.WriteTable(out.stdout, verdicts, slack)
	} else {
		text := figures.Report(results, cases, yard)
		fmt.Fprint(out.stdout, text)
		if *file != "" {
			if err := figures.Update(*file, text); err != nil {
				return err
			}
		}
	}
	for _, v := range verdicts {
		if !v.Reached {
			failed = errors.Join(failed, fmt.Errorf("not reached: %s: %.4g, want %s", v.What, v.Median, v.Text(slack)))
		}
	}
	return failed
}
