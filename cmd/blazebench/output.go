package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/activeblaze/blaze/bench/measure"
)

// defaultDuration is how long a workload is measured unless --duration is given.
const defaultDuration = 5 * time.Second

// output is where results and progress go.
type output struct {
	stdout, stderr io.Writer
	prefix         string // of progress: the step of a tour
	shown          bool   // a line of progress is on the terminal
}

// progress shows what is going on, on a terminal, in one line of it.
func (o *output) progress(what string) {
	if !lively(o.stderr) {
		return
	}
	fmt.Fprintf(o.stderr, "\r\x1b[K%s", cut(o.prefix+what+" …", width(o.stderr)-1))
	o.shown = true
}

// clear removes the line of progress.
func (o *output) clear() {
	if o.shown {
		fmt.Fprint(o.stderr, "\r\x1b[K")
		o.shown = false
	}
}

// report prints one result to be read.
func (o *output) report(r *measure.Result) {
	w := o.stdout
	protocol := r.Protocol
	if r.Workload == "raw" {
		protocol = "bare sockets"
		if r.XDPMode != "" {
			protocol = "bare AF_XDP"
		}
		if r.GSO {
			protocol += " with segmentation offload"
		}
	}
	columns := width(w)
	fmt.Fprintln(w, wrap(fmt.Sprintf("%s: %s, %d bytes, %s, %s", r.Workload, protocol, r.Size, plural(r.Receivers, "receiver"), r.URI), columns, 2))
	line := func(name, format string, args ...any) {
		fmt.Fprintln(w, wrap(fmt.Sprintf("  %-15s %s", name, fmt.Sprintf(format, args...)), columns, 18))
	}
	line("members", "idle %s, %s CPUs, %s, driver %s", r.Idle, strconv.Itoa(r.CPUs), r.Kernel, driver(r))
	if r.Loop != "" {
		line("own packets", "%s", map[string]string{"on": "come back (--loop on)", "off": "do not come back (--loop off)"}[r.Loop])
	}
	if r.NotDone != "" {
		line("not done", "%s", r.NotDone)
	}
	if r.Loss > 0 {
		line("injected loss", "%.4g %% of the datagrams at each member, seed %d", r.Loss*100, r.Seed)
	}
	if r.DelayNS > 0 {
		line("added delay", "%s one way", ns(r.DelayNS))
	}
	if r.K > 0 || r.M > 0 || r.Interleave > 0 {
		line("code", "%s", code(r))
	}
	if r.Rate > 0 {
		line("schedule", "%s messages a second", count(r.Rate))
	}
	if r.MsgsPerSecond > 0 && r.Workload != "raw" {
		line("throughput", "%s messages/s, %s MB/s, %s datagrams/s at the slowest receiver", count(r.MsgsPerSecond), mega(r.BytesPerSecond), count(r.DatagramsPerSecond))
	} else if r.DatagramsPerSecond > 0 {
		line("throughput", "%s datagrams/s received", count(r.DatagramsPerSecond))
	}
	for _, p := range []struct {
		name string
		*measure.Percentiles
	}{{"round trip", r.RTT}, {"one way", r.Latency}, {"repair", r.Repair}} {
		if p.Percentiles != nil {
			line(p.name, "min %s  p50 %s  p90 %s  p99 %s  p99.9 %s  p99.99 %s  max %s",
				ns(p.Min), ns(p.P50), ns(p.P90), ns(p.P99), ns(p.P999), ns(p.P9999), ns(p.Max))
		}
	}
	for i, s := range r.Breakdown {
		name := ""
		if i == 0 {
			name = "one way, median"
		}
		line(name, "%9s  %3.0f %%  %s", ns(s.NS), 100*float64(s.NS)/float64(r.Breakdown[len(r.Breakdown)-1].NS), s.Name)
	}
	if r.Sent > 0 {
		line("messages", "%s", counts(r))
	}
	if r.RepairedByFEC+r.RepairedByNACK > 0 || r.ParityOverhead > 0 {
		back, over := count(float64(r.RepairedByNACK))+" came back by NAKs", "sent again "+percent(r.RepairOverhead)+" of the datagrams"
		if coded := r.Protocol == "fec" || r.Protocol == "hybrid"; coded {
			over = fmt.Sprintf("parity %s of the bytes of data, %s", percent(r.ParityOverhead), over)
			back = fmt.Sprintf("%s came back by FEC, %s by NAKs", count(float64(r.RepairedByFEC)), count(float64(r.RepairedByNACK)))
		}
		line("lost on the way", "%s; residual loss %s", back, percent(r.ResidualLoss))
		line("overhead", "%s", over)
	}
	if r.Workload != "raw" {
		line("cost", "%s NAKs, %s repairs, %.4f allocations a message, %.2f s of CPU",
			count(float64(r.NAKsSent)), count(float64(r.RepairsSent)), r.AllocsPerMsg, r.CPUSeconds)
	}
}

// code is how the blocks of FEC and Hybrid are made.
func code(r *measure.Result) string {
	s := "adaptive parity"
	if r.M > 0 {
		s = plural(r.M, "repair symbol")
	}
	if r.K > 0 {
		s = fmt.Sprintf("blocks of %d, %s", r.K, s)
	}
	if r.Interleave > 0 {
		s += fmt.Sprintf(", %d blocks in turn", r.Interleave)
	}
	return s
}

// driver is what carried the datagrams, and over what.
func driver(r *measure.Result) string {
	s := r.Transport
	if r.XDPMode != "" {
		s += " " + r.XDPMode
	}
	if r.XDPSocket == "asavie" {
		s += ", socket of asavie/xdp"
	}
	if r.Rig != "" {
		s += ", over a " + r.Rig
		if r.Link != "" {
			s += " (" + r.Link + " at one " + r.LinkAt + ")"
		}
		if r.Offload {
			s += " with segmentation offload"
		}
	}
	return s
}

// counts is what became of the messages.
func counts(r *measure.Result) string {
	s := fmt.Sprintf("%s sent, %s delivered, %s lost, %s duplicated, %s reordered, %s corrupt", count(float64(r.Sent)),
		count(float64(r.Delivered)), count(float64(r.Lost)), count(float64(r.Duplicates)), count(float64(r.Reordered)), count(float64(r.Corrupt)))
	if r.Told > 0 {
		s += fmt.Sprintf(", %s told as lost (%s)", count(float64(r.Told)), reasons(r))
	}
	if r.Evictions > 0 {
		s += fmt.Sprintf(", %s", plural(int(r.Evictions), "eviction"))
	}
	if r.Unanswered > 0 {
		s += fmt.Sprintf(", %s unanswered", count(float64(r.Unanswered)))
	}
	return s
}

// reasons lists why messages were reported as lost.
func reasons(r *measure.Result) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(r.Reasons)) {
		parts = append(parts, count(float64(r.Reasons[name]))+" "+name)
	}
	return strings.Join(parts, ", ")
}

// ns prints nanoseconds with three digits and a unit that suits.
func ns(v int64) string {
	for _, u := range []struct {
		unit  string
		scale float64
	}{{"s", 1e9}, {"ms", 1e6}, {"µs", 1e3}} {
		if f := float64(v) / u.scale; f >= 1 {
			return strconv.FormatFloat(f, 'f', max(0, 2-len(strconv.Itoa(int(f)))+1), 64) + " " + u.unit
		}
	}
	return strconv.FormatInt(v, 10) + " ns"
}

// count prints a number with thousands separated.
func count(v float64) string {
	s := strconv.FormatFloat(v, 'f', 0, 64)
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// mega prints a number in millions.
func mega(v float64) string { return strconv.FormatFloat(v/1e6, 'f', 1, 64) }

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
