package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/activeblaze/blaze/bench/measure"
)

// group adds the options of the group workload.
func (f *flags) group() {
	o, g := &f.opt, &f.opt.Group
	f.protocol = "nack" // a group has a protocol of its own; this one is for topics
	f.Lookup("hist").Usage = "write the distribution of the calls' times (.hgrm, microseconds) to `file`; - is standard output"
	f.StringVar(&g.What, "what", "request", "`request`, send, queue or members")
	f.IntVar(&g.Members, "members", 3, "members: `processes`, idle unless --load")
	f.IntVar(&g.Senders, "senders", 0, "request, send, queue: `calls` that are under way at a time\n(default 1; queue 64)")
	f.IntVar(&g.Consumers, "consumers", 4, "queue: `processes` that consume it")
	f.IntVar(&g.Count, "count", 0, "queue: so many `messages`, whatever --duration says")
	f.IntVar(&g.Kills, "kills", 0, "queue: `consumers` to end midway, by SIGKILL; members: members to end one after another,\neach replaced by a new one")
	f.BoolVar(&g.Load, "load", false, "members: one of them publishes as fast as it can, and the others subscribe")
	f.BoolVar(&g.Messages, "messages", false, "request: with Messages, by goroutines, not with payloads on the engine's thread")
	f.StringVar(&g.Compare, "compare", "", "request: `nack`, to measure its round trip too, in turn")
	f.DurationVar(&g.HeartbeatInterval, "heartbeat", 0, "Config.HeartbeatInterval (default the library's)")
	f.DurationVar(&g.FailureTimeout, "failure-timeout", 0, "Config.FailureTimeout (default with members the library's, else 1s: a host that stands still for a moment does not end the run)")
	f.BoolVar(&o.Offload, "offload", false, "the rig's interfaces keep segmentation offload, as the kernel makes them")
	f.Var((*share)(&o.Loss), "loss", "`share` of all datagrams, of every kind, that each member drops, 0 to 1, or 1%")
	f.Uint64Var(&o.Seed, "seed", 1, "`seed` of the drops")
	f.StringVar(&o.Idle, "idle", "", "how members wait: busyspin, backoff or block\n(default busyspin for one request at a time without --messages if there is a CPU for each member, else backoff)")
}

// groupMustHold is an error when a run broke what a group promises. A failure that was reported of a
// member that lived is none: a host that stands still may cause it.
func groupMustHold(r *measure.GroupResult) error {
	switch {
	case r.What == "members":
		return nil
	case r.Lost > 0 || r.Corrupt > 0 || r.Reordered > 0:
		return fmt.Errorf("not everything arrived in order and intact: %s", counts(&r.Result))
	case r.What == "queue" && r.Unmarked > 0:
		return fmt.Errorf("%s handled again without a mark", plural(int(r.Unmarked), "message"))
	case r.What == "queue" && r.Duplicates > r.Outstanding:
		return fmt.Errorf("%d messages were handled twice, and %d were handed out again", r.Duplicates, r.Outstanding)
	case r.What != "queue" && r.Duplicates > 0:
		return errors.New("not exactly once: " + counts(&r.Result))
	}
	return nil
}

// group prints the result of a group to be read.
func (o *output) group(res *measure.Result) {
	w, r := o.stdout, res.Group
	fmt.Fprintf(w, "group, %s: %d bytes, %s, %s\n", r.What, r.Size, plural(r.Members, "member"), r.URI)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-15s %s\n", name, fmt.Sprintf(format, args...))
	}
	how := ""
	switch {
	case r.Invoker:
		how = ", each turns its engine itself"
	case r.What == "request" && !r.Messages:
		how = ", payloads on the engine's thread"
	case r.What != "members":
		how = ", Messages by goroutines"
	}
	line("members", "idle %s%s, %d CPUs, %s, driver %s", r.Idle, how, r.CPUs, r.Kernel, driver(&r.Result))
	if r.Loss > 0 {
		line("injected loss", "%.4g %% of the datagrams at each member, seed %d", r.Loss*100, r.Seed)
	}
	if r.Senders > 0 {
		line("under way", "%s at a time", plural(r.Senders, "call"))
	}
	for _, rate := range []struct {
		name string
		v    float64
	}{{"requests", r.RequestsPerSecond}, {"sends", r.SendsPerSecond}, {"queue messages", r.QueuePerSecond}} {
		if rate.v > 0 {
			line("throughput", "%s %s/s", count(rate.v), rate.name)
		}
	}
	for _, p := range []struct {
		name string
		*measure.Percentiles
	}{{"request", r.Request}, {"send", r.Send}, {"queue", r.Queue}, {"NACK round trip", r.RTT}} {
		if p.Percentiles != nil {
			line(p.name, "min %s  p50 %s  p90 %s  p99 %s  p99.9 %s  p99.99 %s  max %s",
				ns(p.Min), ns(p.P50), ns(p.P90), ns(p.P99), ns(p.P999), ns(p.P9999), ns(p.Max))
		}
	}
	if r.RequestPerRTT > 0 {
		line("request / NACK", "%.2f, median of %s", r.RequestPerRTT, plural(len(r.Ratios), "turn"))
	}
	if r.Consumers > 0 {
		line("consumers", "%d, %s killed; the one with the fewest had %.1f %%; %s marked, %s handed out again",
			r.Consumers, strconv.Itoa(r.Kills), 100*r.LeastShare, count(float64(r.Redelivered)), count(float64(r.Outstanding)))
	}
	if r.What == "members" {
		load := "idle"
		if r.Loaded {
			load = "one publishes as fast as it can"
		}
		line("cost", "%s: %.2f %% of a CPU at the busiest, %s wake-ups/s of all threads at the one with the most, its engine slept %s times a second, beats %s bit/s",
			load, 100*r.MemberCPU, count(r.Wakeups), count(r.Sleeps), count(r.BeatBits))
		if r.Detect != nil {
			line("detection", "%s killed, reported by all others after %.1f ms (median), %.1f ms at most", plural(r.Kills, "member"), *r.Detect, *r.DetectMax)
		}
		line("accuracy", "%s of members that lived; the longest silence that ended well took %.1f %% of the time to a removal",
			plural(int(r.FalseFailures), "failure report"), float64(r.ClosestCall)/10)
		return
	}
	line("messages", "%s", counts(&r.Result))
	line("cost", "%.2f allocations a message, %.2f s of CPU", r.AllocsPerMsg, r.CPUSeconds)
}
