package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/rival"
)

// cluster adds the options of the cluster workload.
func (f *flags) cluster() {
	o, c := &f.opt, &f.opt.Cluster
	f.protocol = "nack" // not used: the cluster's ring is its own
	f.Lookup("hist").Usage = "write the distribution of the puts' times (.hgrm, microseconds) to `file`; - is standard output"
	f.IntVar(&c.Members, "members", 3, "members: `processes`")
	f.IntVar(&c.Writers, "writers", 64, "`goroutines` that put, of all members together")
	f.IntVar(&c.Keys, "keys", 10_000, "`entries` that are written and read")
	f.IntVar(&c.Readers, "reads", 0, "read too, at one member: by so many `goroutines` from its replica, and then linearly by --writers")
	f.BoolVar(&c.Locks, "locks", false, "and have two goroutines of each member take one lock in turn")
	f.BoolVar(&f.kill, "kill", false, "and end the master by SIGKILL, --kills times: another one takes over")
	f.IntVar(&c.Kills, "kills", 20, "with --kill: how many `times`")
	f.IntVar(&c.Join, "join", 0, "start one more member while the writers go on, with so many `entries` there")
	f.BoolVar(&c.Dir, "dir", false, "each member has a DataDir, and a put counts when a quorum's disks have it")
	f.BoolVar(&f.nats, "nats", false, "then put the same into a key-value bucket of three nats-server processes in memory, where that program is installed")
	f.Float64Var(&o.Rate, "rate", 0, "`puts` a second of all writers on a fixed schedule; 0: as fast as it goes")
	f.BoolVar(&o.Offload, "offload", false, "the rig's interfaces keep segmentation offload, as the kernel makes them")
	f.Var((*share)(&o.Loss), "loss", "`share` of all datagrams, of every kind, that each member drops, 0 to 1, or 1%")
	f.Uint64Var(&o.Seed, "seed", 1, "`seed` of the drops")
	f.StringVar(&c.Profile, "profile", "", "the ring's timers: lan, isolated or shared (default lan)")
	f.StringVar(&o.Idle, "idle", "", "how members wait: busyspin, backoff or block\n(default backoff)")
}

// besideNATS puts the same load into another system.
func (f *flags) besideNATS(ctx context.Context, r *measure.ClusterResult, out *output) error {
	out.progress("the same with three nats-server processes")
	defer out.clear()
	p, err := rival.NATS(ctx, r.Writers, r.Keys, r.Size, f.opt.Duration)
	if errors.Is(err, rival.ErrNotInstalled) {
		fmt.Fprintf(out.stderr, "blazebench: %v: the comparison is left out\n", err)
		return nil
	}
	r.NATS = p
	return err
}

// clusterMustHold is an error when a run broke what a cluster promises.
func clusterMustHold(r *measure.ClusterResult) error {
	if r.Mismatches > 0 {
		return fmt.Errorf("%s of another state than the rest", plural(int(r.Mismatches), "replica"))
	}
	if r.Put == nil {
		return errors.New("nothing was put")
	}
	return nil
}

// cluster prints the result of a cluster to be read.
func (o *output) cluster(res *measure.Result) {
	w, r := o.stdout, res.Cluster
	fmt.Fprintf(w, "cluster: %s, %s, %d bytes, %s\n", plural(r.Members, "member"), plural(r.Writers, "writer"), r.Size, r.URI)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-15s %s\n", name, fmt.Sprintf(format, args...))
	}
	where := "in memory"
	if r.DataDir {
		where = fmt.Sprintf("on disk, which takes %s to append 4 KiB and sync them", ns(r.Filesync))
	}
	line("members", "idle %s, profile %s, %d CPUs, %s, driver %s; %s", r.Idle, r.Profile, r.CPUs, r.Kernel, driver(&r.Result), where)
	if r.Loss > 0 {
		line("injected loss", "%.4g %% of the datagrams at each member, seed %d", r.Loss*100, r.Seed)
	}
	rate := "as fast as it goes"
	if r.Rate > 0 {
		rate = fmt.Sprintf("%s/s asked for", count(r.Rate))
	}
	line("puts", "%s/s, %s", count(r.PutsPerSecond), rate)
	times := func(name string, p *measure.Percentiles) {
		if p != nil {
			line(name, "min %s  p50 %s  p90 %s  p99 %s  p99.9 %s  max %s", ns(p.Min), ns(p.P50), ns(p.P90), ns(p.P99), ns(p.P999), ns(p.Max))
		}
	}
	times("put", r.Put)
	if r.RotationNS > 0 {
		line("token", "%s a rotation; a put's median is %.1f of them", ns(int64(r.RotationNS)), float64(r.Put.P50)/r.RotationNS)
	}
	if r.GetsPerSecond > 0 {
		line("reads", "%s/s of the own replica by %s, %s entries; %s/s linear by %d", count(r.GetsPerSecond), plural(r.Readers, "goroutine"), count(float64(r.Keys)), count(r.LinearPerSecond), r.Writers)
		times("linear read", r.Linear)
	}
	if r.LockHandOffs > 0 {
		line("lock", "%s hand-offs/s among %d goroutines", count(r.LockHandOffs), 2*r.Members)
	}
	if r.Failover != nil {
		line("fail-over", "%s killed: another one after %.0f ms, its lock free after %.0f ms (medians)", plural(r.Kills, "master"), *r.Failover, *r.LockFailover)
	}
	if r.Joined > 0 {
		line("joiner", "ready after %.0f ms with %s entries, %s/s; a writer waited %.1f ms while the ring changed, and %.1f ms after that",
			r.Ready, count(float64(r.Joined)), count(r.TransferPerSecond), r.RingStall, r.WriterStall)
	}
	if p := r.NATS; p != nil {
		line("NATS", "%s/s, p50 %s, p99 %s: puts/s here are %.1f × that (%s, JetStream key-value in memory, 3 replicas)",
			count(p.PerSecond), ns(p.Put.P50), ns(p.Put.P99), r.PutsPerSecond/p.PerSecond, p.Version)
	}
	line("state", "%s differ from the first one", plural(int(r.Mismatches), "replica"))
	line("cost", "%.2f s of CPU", r.CPUSeconds)
}
