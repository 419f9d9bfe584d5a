package main

import (
	"fmt"
	"strconv"

	"github.com/activeblaze/blaze/bench/measure"
)

// ring adds the options of the order workload.
func (f *flags) ring() {
	o, g := &f.opt, &f.opt.Ring
	f.Lookup("hist").Usage = "write the distribution of the time to the last member's delivery (.hgrm, microseconds) to `file`; - is standard output"
	f.IntVar(&g.Members, "members", 3, "`processes`, each of which sends and receives")
	f.Float64Var(&o.Rate, "rate", 0, "`messages` a second of all members together, on a fixed schedule; 0: as fast as it goes")
	f.StringVar(&f.protocol, "protocol", "totem", "`totem`, or nack: the same exchange without a total order, to compare with")
	f.BoolVar(&g.Safe, "safe", false, "deliver only what every member has; without, delivery is agreed")
	f.BoolVar(&g.Plain, "plain", false, "the ring as first published, not accelerated")
	f.BoolVar(&g.Kill, "kill", false, "end one member midway, by SIGKILL, and tell how long delivery stood still")
	f.BoolVar(&g.Verify, "verify", false, "compare the sequences that the members delivered")
	f.Var((*share)(&o.Loss), "loss", "`share` of all datagrams, of every kind, that each member drops, 0 to 1, or 1%")
	f.Uint64Var(&o.Seed, "seed", 1, "`seed` of the drops")
	f.StringVar(&o.Idle, "idle", "", "how members wait: busyspin, backoff or block\n(default busyspin if there is a CPU for each member, else backoff, which measured best)")
	f.StringVar(&g.Profile, "profile", "", "the ring's timers: lan, isolated or shared (default lan)")
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

// order prints the result of a ring to be read.
func (o *output) order(res *measure.Result) {
	w, r := o.stdout, res.Order
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
