package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/activeblaze/blaze/bench/figures"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/scale"
	"github.com/activeblaze/blaze/bench/workload"
)

// scaleFlags are the options of scale.
type scaleFlags struct {
	opt  scale.Options
	json string
}

func parseScale(args []string, out *output) (f scaleFlags, err error) {
	fs := flag.NewFlagSet("blazebench scale", flag.ContinueOnError)
	fs.DurationVar(&f.opt.Duration, "duration", figures.ScaleDuration, "how long each of some forty cases is measured")
	fs.BoolVar(&f.opt.Short, "short", false, "only the cases that bars are about")
	fs.StringVar(&f.opt.Only, "only", "", "only what has `this` in its name, such as lanes")
	fs.StringVar(&f.json, "json", "", "write the result as one JSON object to `file`; - is standard output")
	switch err := parse(fs, args, out, ""); {
	case err != nil:
		return f, err
	case fs.NArg() > 0:
		return f, usagef("%s: unexpected argument %q", fs.Name(), fs.Arg(0))
	case f.opt.Duration < 10*time.Millisecond || f.opt.Duration > workload.MaxDuration:
		return f, usagef("--duration %v: want 10ms to %v", f.opt.Duration, workload.MaxDuration)
	}
	return f, nil
}

func (f *scaleFlags) run(ctx context.Context, out *output) (*measure.Result, error) {
	f.opt.Progress = func(what string) { out.progress("scale: " + what) }
	defer out.clear()
	return scale.Run(ctx, f.opt)
}

// scaleCommand measures what a message costs against what there is of everything else.
func scaleCommand(ctx context.Context, args []string, out *output) error {
	f, err := parseScale(args, out)
	if err != nil {
		return err
	}
	if err := mayWrite(f.json); err != nil {
		return err
	}
	r, err := f.run(ctx, out)
	if err != nil {
		return err
	}
	if f.json != "-" {
		fmt.Fprintf(out.stdout, "scale: members over a wire in memory, one thread\n%s, %s\n", r.Kernel, r.Go)
		fmt.Fprintf(out.stdout, "ns for a datagram of 19 messages of 64 bytes, or for an idle turn;\nx is against the line with 1.00, within a round\n\n")
		figures.WriteScale(out.stdout, r.Scale)
	}
	return writeTo(f.json, out.stdout, r.Scale.WriteJSON)
}
