package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/rig"
	"github.com/activeblaze/blaze/bench/workload"
)

// flags are the options of a workload.
type flags struct {
	*flag.FlagSet
	kind     workload.Kind
	opt      workload.Options
	protocol string
	json     string
	hist     string
	sweep    sweep // loss
	kill     bool  // cluster
	nats     bool  // cluster
}

func newFlags(kind workload.Kind) *flags {
	f := &flags{FlagSet: flag.NewFlagSet("blazebench "+string(kind), flag.ContinueOnError), kind: kind}
	o := &f.opt
	f.StringVar(&o.URI, "uri", "", "broadcast `URI`, with ?interface=eth0 for a network; without a port it gets a free one\n(default udp://239.255.66.76 on loopback)")
	f.IntVar(&o.Size, "size", 64, "`bytes` of payload in each message, 16 or more")
	f.DurationVar(&o.Duration, "duration", defaultDuration, "how long to measure, after a short warm-up")
	f.StringVar((*string)(&o.Rig), "rig", "", "make a `network` for the run, veth, bridge or tap, each member a host of its own on it (root)")
	f.Func("link", "what the rig's cable to the last receiver `carries`: rate=100mbit,queue=64k,mtu=1400; with --rig tap also\nloss=0.01, reorder=5ms, double=0.5, multicast=off, unicast=off", func(text string) (err error) {
		o.Link, err = rig.ParseLink(text)
		return err
	})
	f.StringVar(&o.LinkAt, "link-at", "receiver", "`whose` cable has the link: the last receiver's, or the sender's on its way out")
	f.StringVar(&f.json, "json", "", "write the result as one JSON object to `file`; - is standard output")
	f.StringVar(&f.hist, "hist", "", "write the percentile distribution (.hgrm, microseconds) to `file`; - is standard output")
	switch kind {
	case workload.Order:
		f.ring()
		return f
	case workload.Group:
		f.group()
		return f
	case workload.Cluster:
		f.cluster()
		return f
	case workload.JMS:
		f.jms()
		return f
	}
	f.BoolVar(&o.Offload, "offload", false, "the rig's interfaces keep segmentation offload, as the kernel makes them")
	if kind == workload.Raw {
		f.BoolVar(&o.GSO, "gso", false, "with segmentation offload")
		f.Func("loop", "whether an end gets what it sends itself (IP_MULTICAST_LOOP): `on` or off; on loopback it always does (default on)", func(text string) error {
			if o.NoLoop = text == "off"; !o.NoLoop && text != "on" {
				return errors.New("want on or off")
			}
			return nil
		})
		o.Receivers, f.protocol = 1, "nack" // not used
		return f
	}
	if kind == workload.Latency {
		f.BoolVar(&o.Breakdown, "breakdown", false, "over xdp://: show where the time goes, from Offer to the handler")
	}
	if kind == workload.Latency {
		f.BoolVar(&o.Goroutines, "goroutines", false, "handlers run on goroutines, not on the engines' threads; with idle backoff or block")
	}
	loss := 0.0
	if kind == workload.Loss {
		loss = 0.01
	}
	f.StringVar(&f.protocol, "protocol", "nack", "`nack`, besteffort, fec or hybrid")
	f.IntVar(&o.FEC.SourceSymbols, "k", 0, "fec, hybrid: `datagrams` of a block, 1 to 64 (default 20)")
	f.IntVar(&o.FEC.RepairSymbols, "m", 0, "fec, hybrid: repair `datagrams` of every block, 1 to 64 (default as many as the loss asks for)")
	f.IntVar(&o.FEC.Interleave, "interleave", 0, "fec, hybrid: `blocks` that are sent in turn, against bursts, 1 to 16 (default 1)")
	if kind == workload.Loss {
		f.BoolVar(&f.sweep.on, "sweep", false, "a table of nack, fec and hybrid over losses of 0.01 to 20 %, at --rate")
		f.IntVar(&f.sweep.rounds, "rounds", 1, "with --sweep: how many `times` all is run; of each point the run with the median p99 is shown")
		f.StringVar(&f.sweep.file, "out", "", "with --sweep: draw it into `file`, an SVG")
	}
	f.Float64Var(&o.Rate, "rate", 0, "`messages` a second on a fixed schedule; 0: ping-pong, or as fast as it goes")
	f.IntVar(&o.Receivers, "receivers", 1, "receiving `processes`")
	o.Loss = loss
	f.Var((*share)(&o.Loss), "loss", "`share` of all datagrams, of every kind, that each member drops, 0 to 1, or 1%")
	f.DurationVar(&o.Delay, "delay", 0, "`time` that everything comes later at each member: a round trip is twice that longer")
	f.Uint64Var(&o.Seed, "seed", 1, "`seed` of the drops")
	f.StringVar(&o.Idle, "idle", "", "how members wait: busyspin, backoff or block\n(default busyspin if there is a CPU for each member, else backoff)")
	return f
}

// parseWorkload reads a command line that begins with a workload; every error names the option.
func parseWorkload(args []string, out *output) (*flags, error) {
	f := newFlags(workload.Kind(args[0]))
	switch err := parse(f.FlagSet, args[1:], out, ""); {
	case err != nil:
		return nil, err
	case f.NArg() > 0:
		return nil, usagef("%s: unexpected argument %q", f.Name(), f.Arg(0))
	}
	var err error
	if f.opt.Protocol, err = f.parseProtocol(); err != nil {
		return nil, err
	}
	if f.opt.Receiver, err = receiverArgs(); err != nil {
		return nil, err
	}
	// A zero on the command line is no default.
	f.Visit(func(g *flag.Flag) {
		switch g.Name {
		case "size", "duration", "receivers", "members", "holders", "producers", "writers", "keys", "kills", "senders", "consumers", "count", "k", "m", "interleave":
			if v := g.Value.String(); err == nil && (v == "0" || v == "0s") {
				err = usagef("--%s 0: want more than 0", g.Name)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if !f.kill {
		f.opt.Cluster.Kills = 0
	}
	f.opt.FEC.NoAdapt = f.opt.FEC.RepairSymbols > 0
	if err := f.checkSweep(); err != nil {
		return nil, err
	}
	if f.sweep.on {
		return f, nil // each of its points is checked
	}
	if err := f.opt.Check(f.kind); err != nil {
		return nil, usagef("--%w", err)
	}
	return f, nil
}

// given reports whether the command line has an option.
func (f *flags) given(name string) (given bool) {
	f.Visit(func(g *flag.Flag) { given = given || g.Name == name })
	return given
}

func (f *flags) parseProtocol() (blaze.Protocol, error) {
	want := "nack, besteffort, fec or hybrid"
	if f.kind == workload.Order {
		want = "totem or nack"
	}
	name := strings.ToLower(f.protocol)
	for _, p := range []blaze.Protocol{blaze.NACK, blaze.BestEffort, blaze.FEC, blaze.Hybrid, blaze.Totem} {
		if p.String() == name && strings.Contains(want, name) {
			return p, nil
		}
	}
	return 0, usagef("--protocol %q: want %s", f.protocol, want)
}

// run runs the workload.
func (f *flags) run(ctx context.Context, out *output) (*measure.Result, *measure.Histogram, error) {
	f.opt.Stderr, f.opt.Progress = out.stderr, out.progress
	defer out.clear()
	return workload.Run(ctx, f.kind, f.opt)
}

// one runs one workload and reports it.
func one(ctx context.Context, args []string, out *output) error {
	f, err := parseWorkload(args, out)
	if err != nil {
		return err
	}
	if err := mayWrite(f.json, f.hist, f.sweep.file); err != nil {
		return err
	}
	if f.sweep.on {
		return f.runSweep(ctx, out)
	}
	r, h, err := f.run(ctx, out)
	if err != nil {
		return err
	}
	if f.nats {
		if err := f.besideNATS(ctx, r.Cluster, out); err != nil {
			return err
		}
	}
	show, write := out.report, r.WriteJSON
	switch {
	case r.Order != nil:
		show, write = out.order, r.Order.WriteJSON
	case r.Group != nil:
		show, write = out.group, r.Group.WriteJSON
	case r.Cluster != nil:
		show, write = out.cluster, r.Cluster.WriteJSON
	case r.JMS != nil:
		show, write = out.jms, r.JMS.WriteJSON
	}
	if f.json != "-" && f.hist != "-" {
		show(r)
	}
	if err := writeTo(f.json, out.stdout, write); err != nil {
		return err
	}
	if h == nil {
		h = measure.NewHistogram()
	}
	if err := writeTo(f.hist, out.stdout, h.WriteHGRM); err != nil {
		return err
	}
	return out.verdict(r)
}

// verdict is an error when a run broke its protocol's promise. Then it shows the members' counters, and
// after a ring that was not as expected too: on a loaded host that is no error, and yet a reader
// will ask why.
func (o *output) verdict(r *measure.Result) error {
	err, odd, first := mustHold(r), false, " (0 is the sender)"
	if r.Group != nil {
		err, first = groupMustHold(r.Group), ""
	}
	if r.Cluster != nil {
		err, first = clusterMustHold(r.Cluster), ""
	}
	if r.JMS != nil {
		err, first = jmsMustHold(r.JMS), ""
	}
	if ring := r.Order; ring != nil {
		for _, v := range ring.Violations {
			fmt.Fprintf(o.stderr, "blazebench: %s\n", v)
		}
		err, first = orderMustHold(ring), ""
		odd = r.Protocol == "totem" && !(!ring.Killed && ring.Views == 1 || ring.Killed && ring.Views == 2)
	}
	if err != nil || odd {
		for i, m := range r.Members {
			fmt.Fprintf(o.stderr, "blazebench: member %d%s: %s\n", i, first, m)
		}
	}
	return err
}

// mustHold is an error when a run broke the promise of its protocol.
func mustHold(r *measure.Result) error {
	if (r.Protocol == "nack" || r.Protocol == "hybrid") && !r.Exact() {
		return fmt.Errorf("not exactly once in order: %s", counts(r))
	}
	if r.Protocol == "fec" && (r.Duplicates > 0 || r.Reordered > 0 || r.Told != r.Lost) {
		return fmt.Errorf("not at most once in order with every loss told: %s", counts(r))
	}
	if r.Corrupt > 0 {
		return fmt.Errorf("%d corrupt messages", r.Corrupt)
	}
	return nil
}

// mayWrite opens the files that a run will fill, so that one that cannot be made is known before.
func mayWrite(names ...string) error {
	for _, name := range names {
		if name == "" || name == "-" {
			continue
		}
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o666)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// writeTo has write fill a file; name "" is none and "-" standard output.
func writeTo(name string, stdout io.Writer, write func(io.Writer) error) error {
	switch name {
	case "":
		return nil
	case "-":
		return write(stdout)
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return fmt.Errorf("%s: %w", name, err)
	}
	return f.Close()
}
