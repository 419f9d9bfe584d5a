package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/activeblaze/blaze/bench/figures"
	"github.com/activeblaze/blaze/bench/rig"
	"github.com/activeblaze/blaze/bench/workload"
	"github.com/activeblaze/blaze/xdp"
)

// compareDuration is how long each of compare's runs is measured: five rounds take some five
// minutes.
const compareDuration = 2 * time.Second

// compare runs sockets and AF_XDP, each bare and with the protocol, in turn on one kind of rig, and
// prints medians and ratios. It judges nothing. With another program it compares this one with that.
func compare(ctx context.Context, args []string, out *output) error {
	fs := flag.NewFlagSet("blazebench compare", flag.ContinueOnError)
	fs.SetOutput(out.stderr)
	kind := fs.String("rig", string(rig.Veth), "`network` to run it on: veth or bridge")
	rounds := fs.Int("rounds", 5, "how many `times` everything is run; with --with 9 unless given")
	duration := fs.Duration("duration", compareDuration, "how long each run is measured; with --with 1s unless given")
	file := fs.String("json", "", "write the results, one JSON object for each run, to `file`; - is standard output")
	with := fs.String("with", "", "compare this program with another blazebench, `NAME=PATH`, on loopback and over AF_XDP; nothing may be worse")
	only := fs.String("only", "", "with --with: the `names` of what is compared, with commas; empty: all")
	pin := fs.String("pin", "auto", "with --with: pin polling threads where there is a CPU for each: `auto` or off")
	switch err := fs.Parse(args); {
	case err != nil:
		return usageError{error: err, told: true}
	case fs.NArg() > 0:
		return usagef("%s: unexpected argument %q", fs.Name(), fs.Arg(0))
	case *rounds < 1:
		return usagef("--rounds %d: want 1 or more", *rounds)
	case *duration < 10*time.Millisecond || *duration > workload.MaxDuration:
		return usagef("--duration %v: want 10ms to %v", *duration, workload.MaxDuration)
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if *with != "" {
		v := versus{only: *only, rounds: versusRounds, duration: versusDuration, pin: *pin == "auto", json: *file}
		var ok bool
		switch v.name, v.path, ok = strings.Cut(*with, "="); {
		case !ok || v.name == "" || v.path == "":
			return usagef("--with %q: want NAME=PATH, such as before=/tmp/blazebench", *with)
		case *pin != "auto" && *pin != "off":
			return usagef("--pin %q: want auto or off", *pin)
		case given["rig"]:
			return usagef("--rig: --with makes the networks that it needs")
		}
		if given["rounds"] {
			v.rounds = *rounds
		}
		if given["duration"] {
			v.duration = *duration
		}
		return v.run(ctx, out)
	}
	for _, name := range []string{"only", "pin"} {
		if given[name] {
			return usagef("--%s is for --with", name)
		}
	}
	if err := rig.Check(rig.Kind(*kind), 2, rig.Options{}); err != nil {
		return usagef("--%w", err)
	}
	if err := errors.Join(rig.Possible(), xdp.Available()); err != nil {
		return err
	}
	s := figures.FastPath(*duration, rig.Kind(*kind))
	results, failed := takeSuite(ctx, s, *rounds, out)
	if results == nil {
		return failed
	}
	if *file != "-" {
		fmt.Fprintf(out.stdout, "Medians of %s, everything in turn on a %s:\n\n", plural(*rounds, "round"), *kind)
		figures.WriteRuns(out.stdout, s, results)
		fmt.Fprintf(out.stdout, "\nRatios within a round, and the round with the median:\n\n")
		figures.WriteRatios(out.stdout, append(s.Bars, figures.Comparisons()...), results)
	}
	return errors.Join(failed, writeTo(*file, out.stdout, func(w io.Writer) error {
		e := json.NewEncoder(w)
		for _, r := range results {
			for _, c := range s.Cases {
				if run := r[c.Name]; run != nil {
					if err := e.Encode(run); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}))
}
