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
// prints medians and ratios. It judges nothing. With another blazebench it compares this program with that; with other
// systems' programs, or on a network that is named, it compares round trips (rivals).
func compare(ctx context.Context, args []string, out *output) error {
	fs := flag.NewFlagSet("blazebench compare", flag.ContinueOnError)
	kind := fs.String("rig", string(rig.Veth), "`network` to run it on: veth or bridge; with --with also none, which is loopback")
	rounds := fs.Int("rounds", 5, "how many `times` everything is run; with --with 9 unless given")
	duration := fs.Duration("duration", compareDuration, "how long each run is measured; with --with 1s unless given")
	file := fs.String("json", "", "write the results, one JSON object for each run, to `file`; - is standard output")
	format := formatOption(fs)
	var with []string
	fs.Func("with", "compare this program with another blazebench, `NAME=PATH`, on loopback and over AF_XDP; nothing may be worse.\nWith --rig, or with one of these, round trips on that network, beside each other: sockperf;\n'NAME=ping COMMAND…|pong COMMAND…' for any program that prints p50=… p99=…, with $SIZE, $SECONDS,\n$GROUP, $PORT, $INTERFACE, $ADDRESS and $PEER put in. It may be given several times", func(text string) error {
		with = append(with, text)
		return nil
	})
	only := fs.String("only", "", "with --with: the `names` of what is compared, with commas; empty: all")
	pin := fs.String("pin", "auto", "with --with: pin polling threads where there is a CPU for each: `auto` or off")
	switch err := parse(fs, args, out, ""); {
	case err != nil:
		return err
	case fs.NArg() > 0:
		return usagef("%s: unexpected argument %q", fs.Name(), fs.Arg(0))
	case *rounds < 1:
		return usagef("--rounds %d: want 1 or more", *rounds)
	case *duration < 10*time.Millisecond || *duration > workload.MaxDuration:
		return usagef("--duration %v: want 10ms to %v", *duration, workload.MaxDuration)
	}
	if err := errors.Join(checkFormat(*format), mayWrite(*file)); err != nil {
		return err
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if len(with) > 0 {
		for _, w := range with {
			if err := checkWith(w); err != nil {
				return err
			}
		}
		if *pin != "auto" && *pin != "off" {
			return usagef("--pin %q: want auto or off", *pin)
		}
		if !given["rounds"] {
			*rounds = versusRounds
		}
		if !given["duration"] {
			*duration = versusDuration
		}
		if name, path, ok := strings.Cut(with[0], "="); ok && !strings.Contains(path, "|") && len(with) == 1 && !given["rig"] {
			v := versus{name: name, path: path, only: *only, rounds: *rounds, duration: *duration, pin: *pin == "auto", json: *file}
			return v.run(ctx, out)
		}
		if given["only"] {
			return usagef("--only is for --with NAME=PATH alone")
		}
		v := rivals{with: with, rounds: *rounds, duration: *duration, pin: *pin == "auto", json: *file}
		if *kind != loopbackRig {
			if err := rig.Check(rig.Kind(*kind), 2, rig.Options{}); err != nil {
				return usagef("--%w, or none", err)
			}
			if err := rig.Possible(); err != nil {
				return fmt.Errorf("%w (--rig none runs on loopback)", err)
			}
			v.rig = rig.Kind(*kind)
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
	results, failed := takeSuite(ctx, s, *rounds, figures.Take, out)
	if results == nil {
		return failed
	}
	if *file != "-" {
		fmt.Fprintf(out.stdout, "Medians of %s, everything in turn on a %s:\n\n", plural(*rounds, "round"), *kind)
		tables(out.stdout, *format, func(w io.Writer) { figures.WriteRuns(w, s, results) })
		fmt.Fprintf(out.stdout, "\nRatios within a round, and the round with the median:\n\n")
		tables(out.stdout, *format, func(w io.Writer) { figures.WriteRatios(w, append(s.Bars, figures.Comparisons()...), results) })
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
