package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"

	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/workload"
)

// inOrder runs members of a ring and reports what they saw.
func inOrder(ctx context.Context, args []string, out *output) error {
	var o workload.OrderOptions
	var jsonFile, histFile string
	fs := flag.NewFlagSet("blazebench order", flag.ContinueOnError)
	fs.SetOutput(out.stderr)
	fs.StringVar(&o.URI, "uri", "", "broadcast `URI`, with ?interface=eth0 for a network; without a port it gets a free one\n(default udp://239.255.66.76 on loopback)")
	fs.IntVar(&o.Members, "members", 3, "`processes`, each of which sends and receives")
	fs.IntVar(&o.Size, "size", 64, "`bytes` of payload in each message, 16 or more")
	fs.Float64Var(&o.Rate, "rate", 0, "`messages` a second of all members together, on a fixed schedule; 0: as fast as it goes")
	fs.DurationVar(&o.Duration, "duration", defaultDuration, "how long to measure, after a short warm-up")
	fs.StringVar(&o.Protocol, "protocol", "totem", "`totem`, or nack: the same exchange without a total order, to compare with")
	fs.BoolVar(&o.Safe, "safe", false, "deliver only what every member has; without, delivery is agreed")
	fs.BoolVar(&o.Plain, "plain", false, "the ring as first published, not accelerated")
	fs.BoolVar(&o.Kill, "kill", false, "end one member midway, by SIGKILL, and tell how long delivery stood still")
	fs.BoolVar(&o.Verify, "verify", false, "compare the sequences that the members delivered")
	fs.Float64Var(&o.Loss, "loss", 0, "`share` of all datagrams, of every kind, that each member drops, 0 to 1")
	fs.Uint64Var(&o.Seed, "seed", 1, "`seed` of the drops")
	fs.StringVar(&o.Idle, "idle", "", "how members wait: busyspin, backoff or block\n(default busyspin if there is a CPU for each member, else backoff, which measured best)")
	fs.StringVar(&o.Profile, "profile", "", "the ring's timers: lan, isolated or shared (default lan)")
	fs.StringVar((*string)(&o.Rig), "rig", "", "make a `network` for the run, veth or bridge, each member a host of its own on it (root)")
	fs.StringVar(&jsonFile, "json", "", "write the result as one JSON object to `file`; - is standard output")
	fs.StringVar(&histFile, "hist", "", "write the distribution of the time to the last member's delivery (.hgrm, microseconds) to `file`; - is standard output")
	switch err := fs.Parse(args); {
	case err != nil:
		return usageError{error: err, told: true}
	case fs.NArg() > 0:
		return usagef("%s: unexpected argument %q", fs.Name(), fs.Arg(0))
	}
	// A zero that somebody typed is no default.
	for name, zero := range map[string]bool{"members": o.Members == 0, "size": o.Size == 0, "duration": o.Duration == 0} {
		if zero {
			return usagef("--%s 0: want more than 0", name)
		}
	}
	if err := o.Check(); err != nil {
		return usagef("--%w", err)
	}
	var err error
	if o.Receiver, err = receiverArgs(); err != nil {
		return err
	}
	o.Stderr, o.Progress = out.stderr, out.progress
	r, h, err := workload.RunOrder(ctx, o)
	out.clear()
	if err != nil {
		return err
	}
	if jsonFile != "-" && histFile != "-" {
		out.order(r)
	}
	if err := writeTo(jsonFile, out.stdout, r.WriteJSON); err != nil {
		return err
	}
	if err := writeTo(histFile, out.stdout, h.WriteHGRM); err != nil {
		return err
	}
	err = orderMustHold(r)
	for _, v := range r.Violations {
		fmt.Fprintf(out.stderr, "blazebench: %s\n", v)
	}
	ring := r.Protocol == "totem"
	if expected := !ring || !r.Killed && r.Views == 1 || r.Killed && r.Views == 2; err != nil || !expected {
		// On a loaded host that is no error, and yet somebody will ask why.
		for i, m := range r.Members {
			fmt.Fprintf(out.stderr, "blazebench: member %d: %s\n", i, m)
		}
	}
	return err
}

// orderMustHold is an error when a run broke Totem's promises. A member that was out of the ring
// for a while may miss what the others delivered meanwhile; in one ring nothing is missing.
func orderMustHold(r *measure.OrderResult) error {
	switch {
	case r.OrderViolations > 0:
		return fmt.Errorf("%d violations of the order: %s", r.OrderViolations, counts(&r.Result))
	case r.Corrupt > 0:
		return fmt.Errorf("%d corrupt messages", r.Corrupt)
	case r.Lost > 0 && r.Views <= 1:
		return fmt.Errorf("messages are missing, though nobody came or went: %s", counts(&r.Result))
	case r.Killed && r.FailoverMS == nil:
		return fmt.Errorf("after a member was killed, not all of the others delivered again")
	}
	return nil
}

// order prints a result to be read.
func (o *output) order(r *measure.OrderResult) {
	w := o.stdout
	delivery, ring := "agreed", ""
	if r.Safe {
		delivery = "safe"
	}
	if r.Plain {
		ring = ", plain ring"
	}
	what := fmt.Sprintf("totem, %s delivery%s", delivery, ring)
	if r.Protocol != "totem" {
		what = r.Protocol + ", no total order"
	}
	fmt.Fprintf(w, "order: %s, %d bytes, %s, %s\n", what, r.Size, plural(r.Ring, "member"), r.URI)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-15s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("members", "idle %s, profile %s, %d CPUs, %s, driver %s", r.Idle, r.Profile, r.CPUs, r.Kernel, driver(&r.Result))
	if r.Loss > 0 {
		line("injected loss", "%.4g %% of the datagrams at each member, seed %d", r.Loss*100, r.Seed)
	}
	if r.Rate > 0 {
		line("schedule", "%s messages a second, of all members together", count(r.Rate))
	}
	line("throughput", "%s messages/s, %s MB/s, %s datagrams/s at the slowest member", count(r.MsgsPerSecond), mega(r.BytesPerSecond), count(r.DatagramsPerSecond))
	for _, p := range []struct {
		name string
		*measure.Percentiles
	}{{"own delivery", r.Own}, {"last delivery", r.Last}} {
		if p.Percentiles != nil {
			line(p.name, "min %s  p50 %s  p90 %s  p99 %s  p99.9 %s  p99.99 %s  max %s",
				ns(p.Min), ns(p.P50), ns(p.P90), ns(p.P99), ns(p.P999), ns(p.P9999), ns(p.Max))
		}
	}
	if r.Protocol == "totem" {
		line("ring", "%s, a rotation of the token takes %s", plural(r.Views, "view"), ns(int64(r.TokenRotationNS)))
	}
	if r.FailoverMS != nil {
		line("failover", "%s ms without a delivery after a member was killed", strconv.FormatFloat(*r.FailoverMS, 'f', 1, 64))
	}
	line("messages", "%s", counts(&r.Result))
	switch {
	case r.OrderViolations > 0:
		line("order", "%s", plural(int(r.OrderViolations), "violation"))
	case r.Verified:
		line("order", "the same at all members, compared over %s messages", count(float64(r.Compared)))
	}
	line("cost", "%s retransmissions, %.4f allocations a message, %.2f s of CPU, %.1f %% of one at the busiest member", count(float64(r.RepairsSent)), r.AllocsPerMsg, r.CPUSeconds, 100*r.MemberCPU)
}
