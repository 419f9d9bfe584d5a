package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/activeblaze/blaze/bench/proc"
	"github.com/activeblaze/blaze/bench/raw"
	"github.com/activeblaze/blaze/bench/rig"
	"github.com/activeblaze/blaze/bench/rival"
	"github.com/activeblaze/blaze/xdp"
)

// rivals compares round trips: this program, bare sockets and AF_XDP, other blazebenches and other systems' programs,
// all in the same shuffled rounds, on the same kind of network, with their polling threads on the same CPUs.
type rivals struct {
	with     []string
	rig      rig.Kind // empty: loopback
	rounds   int
	duration time.Duration
	pin      bool
	json     string
}

// loopbackRig is the name of no rig.
const loopbackRig = "none"

// rivalSizes are the payloads that are measured, in bytes.
var rivalSizes = []int{64, 1344}

// contender is one of those that are compared.
type contender struct {
	name string
	run  func(ctx context.Context, size int) (rival.RoundTrip, error)
}

// matched is what a contender did with one size: a line of --json.
type matched struct {
	Contender string       `json:"contender"`
	Size      int          `json:"size"`
	Rig       string       `json:"rig"` // empty: loopback
	P50       middles      `json:"p50_ns"`
	P99       middles      `json:"p99_ns"`
	Failed    int          `json:"failed"` // runs
	Runs      []matchedRun `json:"runs"`
}

// middles is the median of the rounds, their span, and the median of the ratios to the first contender within a round.
type middles struct {
	Median  float64 `json:"median"`
	Lowest  float64 `json:"lowest"`
	Highest float64 `json:"highest"`
	Ratio   float64 `json:"ratio_to_first"`
}

type matchedRun struct {
	Round int     `json:"round"`
	P50   float64 `json:"p50_ns"`
	P99   float64 `json:"p99_ns"`
	CPUs  []int   `json:"cpus"` // that polling threads were pinned to; empty: none was
}

// checkWith refuses what names no rival.
func checkWith(with string) error {
	name, what, named := strings.Cut(with, "=")
	switch {
	case with == "sockperf":
		return nil
	case !named || name == "" || what == "" || len(name) > 14:
		return usagef("--with %q: want NAME=PATH, sockperf or NAME=ping COMMAND…|pong COMMAND…, with a NAME of at most 14 bytes", with)
	case strings.Contains(what, "|"):
		if _, err := rival.ParsePair(name, what); err != nil {
			return usagef("--with %q: %w", with, err)
		}
	}
	return nil
}

// contenders are all that this host has. Others are named on stderr and left out.
func (v *rivals) contenders(out *output) (all []contender, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	missing := func(name string, err error) {
		fmt.Fprintf(out.stderr, "blazebench: left out: %s: %s\n", name, oneLine(err))
	}
	fast := errors.New("it needs --rig")
	if v.rig != "" {
		fast = xdp.Available()
	}
	const udp, overXDP = "udp://239.255.66.76", "xdp://239.255.66.76"
	latency := func(name, path, uri string) {
		all = append(all, v.program(name, path, "latency --idle busyspin --uri "+uri))
	}
	latency("blaze", self, udp)
	if fast == nil {
		latency("blaze xdp", self, overXDP)
	} else {
		missing("AF_XDP", fast)
	}
	for _, with := range v.with {
		name, what, _ := strings.Cut(with, "=")
		switch {
		case with == "sockperf":
			v.pair(&all, rival.Sockperf(), missing)
		case strings.Contains(what, "|"):
			p, _ := rival.ParsePair(name, what) // checkWith has judged it
			v.pair(&all, p, missing)
		default:
			if _, err := exec.LookPath(what); err != nil {
				missing(name, err)
				continue
			}
			latency(name, what, udp)
			if fast == nil {
				latency(name+" xdp", what, overXDP)
			}
		}
	}
	if runtime.GOOS != "linux" {
		missing("raw", raw.ErrUnsupported)
		return all, nil
	}
	all = append(all, v.program("raw, loop off", self, "raw --loop off --uri "+udp), v.program("raw, loop on", self, "raw --loop on --uri "+udp))
	if fast == nil {
		all = append(all, v.program("raw xdp", self, "raw --uri "+overXDP))
	}
	return all, nil
}

// pair adds another system's program, where it is installed.
func (v *rivals) pair(all *[]contender, p rival.Pair, missing func(string, error)) {
	if err := p.Missing(); err != nil {
		missing(p.Name, err)
		return
	}
	*all = append(*all, contender{p.Name, func(ctx context.Context, size int) (rival.RoundTrip, error) {
		lo := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		e := rival.Ends{Addrs: [2]netip.Addr{lo, lo}, Interface: "lo", Size: size, Duration: v.duration,
			Group: netip.AddrPortFrom(netip.AddrFrom4([4]byte{239, 255, 66, 77}), uint16(20000+rand.IntN(10000)))}
		if v.pin {
			e.CPUs = twoCPUs()
		}
		if v.rig != "" {
			r, err := rig.New(v.rig, 2, rig.Options{})
			if err != nil {
				return rival.RoundTrip{}, err
			}
			defer r.Close()
			e.Places, e.Addrs, e.Interface = [2]proc.Place{r.Host(0), r.Host(1)}, [2]netip.Addr{rig.Addr(0), rig.Addr(1)}, rig.Interface
		}
		return p.Run(ctx, &e)
	}})
}

// program is a blazebench, with a command line that measures round trips.
func (v *rivals) program(name, path, line string) contender {
	if v.rig != "" {
		line += " --rig " + string(v.rig)
	}
	return contender{name, func(ctx context.Context, size int) (t rival.RoundTrip, err error) {
		args := append(strings.Fields(line), "--size", fmt.Sprint(size), "--duration", v.duration.String())
		var cpus []int
		if v.pin {
			cpus = twoCPUs()
		}
		r, cpus, err := runProgram(ctx, path, args, 0, cpus)
		switch {
		case err != nil:
			return t, err
		case r.RTT == nil:
			return t, errors.New("it measured no round trip")
		}
		return rival.RoundTrip{P50: float64(r.RTT.P50), P99: float64(r.RTT.P99), CPUs: cpus}, nil
	}}
}

// twoCPUs are those for two polling threads; none where there are fewer.
func twoCPUs() []int {
	if cpus := proc.CPUs(); len(cpus) >= 2 {
		return cpus[:2]
	}
	return nil
}

// run runs all rounds and prints what they found.
func (v *rivals) run(ctx context.Context, out *output) error {
	all, err := v.contenders(out)
	if err != nil {
		return err
	}
	var results []matched
	for _, size := range rivalSizes {
		for _, c := range all {
			results = append(results, matched{Contender: c.name, Size: size, Rig: string(v.rig), Runs: []matchedRun{}})
		}
	}
	var failed error
	pinned := map[int]bool{}
	for round := range v.rounds {
		for done, i := range rand.Perm(len(results)) {
			m := &results[i]
			out.prefix = fmt.Sprintf("[%d/%d] ", round*len(results)+done+1, v.rounds*len(results))
			out.progress(fmt.Sprintf("%s, %d bytes", m.Contender, m.Size))
			t, err := all[i%len(all)].run(ctx, m.Size)
			out.clear()
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil:
				m.Failed++
				err = fmt.Errorf("%s, %d bytes: %w", m.Contender, m.Size, err)
				fmt.Fprintf(out.stderr, "blazebench: %s\n", oneLine(err))
				failed = errors.Join(failed, err)
				continue
			}
			for _, cpu := range t.CPUs {
				pinned[cpu] = true
			}
			m.Runs = append(m.Runs, matchedRun{Round: round + 1, P50: t.P50, P99: t.P99, CPUs: append([]int{}, t.CPUs...)})
		}
	}
	for i := range results {
		results[i].judge(&results[i-i%len(all)])
	}
	if v.json != "-" {
		over, how := "loopback", "polling threads are not pinned"
		if v.rig != "" {
			over = "a " + string(v.rig)
		}
		if len(pinned) > 0 {
			how = fmt.Sprintf("polling threads pinned to %s", plural(len(pinned), "CPU"))
		}
		fmt.Fprintf(out.stdout, "%s over %s, shuffled, each run %v;\n%s.\n", plural(v.rounds, "round"), over, v.duration, how)
		fmt.Fprintf(out.stdout, "Round trips: medians, lowest and highest; x is the median of the ratios to the\nfirst line within a round.\n")
		for i := range rivalSizes {
			writeMatched(out.stdout, results[i*len(all):(i+1)*len(all)])
		}
		if slices.ContainsFunc(all, func(c contender) bool { return c.name == "raw xdp" }) {
			fmt.Fprintf(out.stdout, "\nnot done by raw xdp: %s\n", raw.NotDone)
		}
	}
	return errors.Join(failed, writeTo(v.json, out.stdout, func(w io.Writer) error {
		e := json.NewEncoder(w)
		for i := range results {
			if err := e.Encode(&results[i]); err != nil {
				return err
			}
		}
		return nil
	}))
}

// judge works out the medians, and the ratios to the first contender in the same rounds.
func (m *matched) judge(first *matched) {
	for _, f := range []struct {
		to *middles
		of func(matchedRun) float64
	}{{&m.P50, func(r matchedRun) float64 { return r.P50 }}, {&m.P99, func(r matchedRun) float64 { return r.P99 }}} {
		var all, ratios []float64
		for _, r := range m.Runs {
			all = append(all, f.of(r))
			i := slices.IndexFunc(first.Runs, func(o matchedRun) bool { return o.Round == r.Round })
			if i >= 0 {
				ratios = append(ratios, f.of(r)/f.of(first.Runs[i]))
			}
		}
		if len(all) > 0 {
			*f.to = middles{Median: medianOf(all), Lowest: slices.Min(all), Highest: slices.Max(all)}
		}
		if len(ratios) > 0 {
			f.to.Ratio = medianOf(ratios)
		}
	}
}

func medianOf(all []float64) float64 {
	all = slices.SortedFunc(slices.Values(all), cmp.Compare[float64])
	return all[len(all)/2]
}

// writeMatched writes what contenders did with one size, for a terminal of 80 columns.
func writeMatched(w io.Writer, all []matched) {
	fmt.Fprintf(w, "\n%d bytes, µs:\n", all[0].Size)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(tw, "\tp50\t\tx\tp99\t\tx\t\n")
	micros := func(ns float64) string {
		switch {
		case ns < 10e3:
			return fmt.Sprintf("%.2f", ns/1e3)
		case ns < 100e3:
			return fmt.Sprintf("%.1f", ns/1e3)
		case ns < 10e6:
			return fmt.Sprintf("%.0f", ns/1e3)
		}
		return fmt.Sprintf("%.0fms", ns/1e6)
	}
	for _, m := range all {
		if len(m.Runs) == 0 {
			fmt.Fprintf(tw, "%s\t-\tall failed\t\t-\t\t\t\n", m.Contender)
			continue
		}
		fmt.Fprintf(tw, "%s", m.Contender)
		for _, p := range []middles{m.P50, m.P99} {
			fmt.Fprintf(tw, "\t%s\t%s–%s\t%.2f", micros(p.Median), micros(p.Lowest), micros(p.Highest), p.Ratio)
		}
		fmt.Fprintf(tw, "\t\n")
	}
	tw.Flush()
}
