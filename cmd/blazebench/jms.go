package main

import (
	"errors"
	"fmt"

	"github.com/activeblaze/blaze/bench/measure"
)

// jms adds the options of the jms workload.
func (f *flags) jms() {
	o, j := &f.opt, &f.opt.JMS
	f.protocol = "nack" // not used
	o.Size = 100
	f.Lookup("size").DefValue = "100"
	f.Lookup("hist").Usage = "write the distribution of the times from end to end (.hgrm, microseconds) to `file`; - is standard output"
	f.IntVar(&j.Holders, "holders", 3, "`processes` that hold the queue")
	f.IntVar(&j.Producers, "producers", 8, "`connections` that send, each with one message under way")
	f.IntVar(&j.Consumers, "consumers", 8, "`connections` that receive, each with a listener")
	f.IntVar(&j.Transacted, "transacted", 0, "`messages` of each transaction of producers and consumers; 0: none")
	f.BoolVar(&j.Topic, "topic", false, "a topic instead of a queue: nobody holds it, and each consumer gets each message")
	f.BoolVar(&j.Direct, "direct", false, "a direct queue: its senders keep the messages, and nobody holds it")
	f.BoolVar(&j.Kill, "kill", false, "and end a holder by SIGKILL while the producers go on: others take over")
	f.BoolVar(&j.Dir, "dir", false, "each holder has a DataDir, and a Send returns when a majority's disks have its message")
	f.StringVar(&o.Idle, "idle", "", "how members wait: busyspin, backoff or block\n(default backoff)")
}

// jmsMustHold is an error when a run broke what a queue promises: each message once, and again only with a mark. A topic
// loses what was sent before its consumers were known.
func jmsMustHold(r *measure.JMSResult) error {
	switch {
	case r.Corrupt > 0:
		return fmt.Errorf("%d corrupt messages", r.Corrupt)
	case r.Duplicates > r.Redelivered:
		return fmt.Errorf("%s came twice, and %d deliveries were marked", plural(int(r.Duplicates), "message"), r.Redelivered)
	case !r.Topic && r.Lost > 0:
		return fmt.Errorf("%s did not come", plural(int(r.Lost), "message"))
	case r.Send == nil || r.EndToEnd == nil:
		return errors.New("nothing was sent and received")
	}
	return nil
}

// jms prints the result to be read.
func (o *output) jms(res *measure.Result) {
	w, r := o.stdout, res.JMS
	kind := "queue"
	switch {
	case r.Topic:
		kind = "topic"
	case r.Direct:
		kind = "direct queue"
	}
	fmt.Fprintf(w, "jms, %s: %s, %s, %s, %d bytes, %s\n", kind, plural(r.Holders, "holder"), plural(r.Producers, "producer"), plural(r.Consumers, "consumer"), r.Size, r.URI)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-15s %s\n", name, fmt.Sprintf(format, args...))
	}
	where := "in memory"
	if r.DataDir {
		where = fmt.Sprintf("on disk, which takes %s to append 4 KiB and sync them", ns(r.Filesync))
	}
	line("members", "idle %s, %d CPUs, %s; holders %s", r.Idle, r.CPUs, r.Kernel, where)
	if r.Transacted > 0 {
		line("transactions", "of %s", plural(r.Transacted, "message"))
	}
	line("throughput", "%s messages/s received", count(r.MsgsPerSecond))
	for _, p := range []struct {
		name string
		*measure.Percentiles
	}{{"send", r.Send}, {"commit", r.Commit}, {"end to end", r.EndToEnd}} {
		if p.Percentiles != nil {
			line(p.name, "min %s  p50 %s  p90 %s  p99 %s  p99.9 %s  max %s", ns(p.Min), ns(p.P50), ns(p.P90), ns(p.P99), ns(p.P999), ns(p.Max))
		}
	}
	if r.RotationNS > 0 {
		line("token", "%s a rotation; a Send's median is %.1f of them", ns(int64(r.RotationNS)), float64(r.Send.P50)/r.RotationNS)
	}
	if r.Failover != nil {
		line("fail-over", "a holder killed: a producer waited %.0f ms at most", *r.Failover)
	}
	line("messages", "%s; %s marked redelivered", counts(&r.Result), count(float64(r.Redelivered)))
	line("cost", "%.2f s of CPU", r.CPUSeconds)
}
