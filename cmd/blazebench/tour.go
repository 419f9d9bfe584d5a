package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/workload"
)

// step is one run of the tour, and its line of the table.
type step struct {
	title string
	kind  workload.Kind
	opt   workload.Options
	row   func(r *measure.Result) (figure, rest string)
}

var steps = []step{
	{"bare sockets, round trip, 64 bytes", workload.Raw, workload.Options{Size: 64}, roundTrip},
	{"bare sockets, one way, 1,344 bytes", workload.Raw, workload.Options{Size: 1344}, datagrams},
	{"round trip, 64 bytes", workload.Latency, workload.Options{Size: 64}, roundTrip},
	{"round trip with 1 % loss", workload.Latency, workload.Options{Size: 64, Loss: 0.01}, roundTrip},
	{"throughput, 64 bytes", workload.Throughput, workload.Options{Size: 64}, messages},
	{"throughput, 1,344 bytes", workload.Throughput, workload.Options{Size: 1344}, messages},
	{"throughput with 1 % loss, 64 bytes", workload.Loss, workload.Options{Size: 64, Loss: 0.01}, messages},
	{"repair with 1 % loss, 20,000 messages/s", workload.Loss, workload.Options{Size: 64, Loss: 0.01, Rate: 20000}, repair},
}

// tourDuration is how long each step is measured: with starting, warm-up and settling the tour
// stays well below a minute.
const tourDuration = 3 * time.Second

// tour runs all steps and prints one table.
func tour(ctx context.Context, args []string, out *output) error {
	fs := flag.NewFlagSet("blazebench", flag.ContinueOnError)
	uri := fs.String("uri", "", "broadcast `URI` instead of loopback multicast")
	duration := fs.Duration("duration", tourDuration, "how long each step is measured")
	jsonFile := fs.String("json", "", "write the results, one JSON object for each run, to `file`")
	switch err := parse(fs, args, out, overview+"\nOptions of the tour:\n"); {
	case err != nil:
		return err
	case fs.NArg() > 0:
		return usagef("unexpected argument %q", fs.Arg(0))
	}
	if err := mayWrite(*jsonFile); err != nil {
		return err
	}
	receiver, err := receiverArgs()
	if err != nil {
		return err
	}
	began := time.Now()
	var done []step
	var runs []*measure.Result
	for i, s := range steps {
		out.prefix = fmt.Sprintf("[%d/%d, %s left] %s: ", i+1, len(steps), left(began, i, len(steps), *duration), s.title)
		o := s.opt
		o.URI, o.Duration, o.Receivers, o.Receiver = *uri, *duration, 1, receiver
		o.Stderr, o.Progress = out.stderr, out.progress
		r, _, err := workload.Run(ctx, s.kind, o)
		out.clear()
		if errors.Is(err, workload.ErrUnsupported) {
			fmt.Fprintf(out.stderr, "blazebench: left out: %s: %v\n", s.title, err)
			continue
		}
		if ctx.Err() != nil && len(runs) > 0 {
			table(out.stdout, done, runs)
			fmt.Fprintf(out.stdout, "Interrupted: these are %d of %d steps.\n", len(runs), len(steps))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.title, err)
		}
		done, runs = append(done, s), append(runs, r)
	}
	table(out.stdout, done, runs)
	if *jsonFile != "" {
		if err := writeTo(*jsonFile, out.stdout, func(w io.Writer) error {
			e := json.NewEncoder(w)
			for _, r := range runs {
				if err := e.Encode(r); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	var broken error
	for _, r := range runs {
		broken = errors.Join(broken, mustHold(r))
	}
	return broken
}

// left is how long the rest of the steps takes, from what those before took.
func left(began time.Time, done, all int, duration time.Duration) time.Duration {
	each := duration + time.Second // with starting and settling
	if done > 0 {
		each = time.Since(began) / time.Duration(done)
	}
	return max(time.Second, (each * time.Duration(all-done)).Round(time.Second))
}

// table prints what the steps of the tour found.
func table(w io.Writer, steps []step, runs []*measure.Result) {
	r0 := runs[0]
	columns := width(w)
	say := func(text string) { fmt.Fprintln(w, wrap(text, columns, 0)) }
	say(fmt.Sprintf("Blaze reliable multicast: 1 sender and 1 receiver process, %s, no privileges", r0.URI[:strings.LastIndex(r0.URI, ":")]))
	say(fmt.Sprintf("%s; %d CPUs %s; %s; idle %s", r0.Kernel, r0.CPUs, r0.CPUModel, r0.Go, runs[len(runs)-1].Idle))
	fmt.Fprintln(w)
	exact := true
	rows := make([][3]string, len(runs))
	for i, r := range runs {
		figure, rest := steps[i].row(r)
		rows[i] = [3]string{steps[i].title, figure, rest}
		if r.Workload != "raw" {
			exact = exact && r.Exact()
		}
	}
	writeRows(w, columns, rows)
	var sent, repairs uint64
	for _, r := range runs {
		sent, repairs = sent+r.Sent, repairs+r.RepairsSent
	}
	verdict := "every message was delivered exactly once, in order and intact"
	if !exact {
		verdict = "NOT every message was delivered exactly once, in order and intact"
	}
	fmt.Fprintln(w)
	say(fmt.Sprintf("%s messages and %s repairs were sent: %s.", count(float64(sent)), count(float64(repairs)), verdict))
}

// writeRows prints rows in columns, or, on a terminal that is too narrow for that, each below its title.
func writeRows(w io.Writer, columns int, rows [][3]string) {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	for _, r := range rows {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", r[0], r[1], r[2])
	}
	tw.Flush()
	widest := 0
	for line := range strings.Lines(b.String()) {
		widest = max(widest, utf8.RuneCountInString(strings.TrimRight(line, " \n")))
	}
	if columns == 0 || widest <= columns {
		io.WriteString(w, b.String())
		return
	}
	for _, r := range rows {
		fmt.Fprintf(w, "%s\n%s\n", wrap(r[0], columns, 0), wrap("   "+r[1]+"   "+r[2], columns, 3))
	}
}

func roundTrip(r *measure.Result) (string, string) {
	if r.RTT == nil {
		return "-", "no round trip was measured"
	}
	return "p50 " + ns(r.RTT.P50), "p99 " + ns(r.RTT.P99) + ", p99.9 " + ns(r.RTT.P999) + ", max " + ns(r.RTT.Max)
}

func datagrams(r *measure.Result) (string, string) {
	return count(r.DatagramsPerSecond) + " datagrams/s", mega(r.DatagramsPerSecond*float64(r.Size)) + " MB/s"
}

func messages(r *measure.Result) (string, string) {
	rest := mega(r.BytesPerSecond) + " MB/s, " + count(r.DatagramsPerSecond) + " datagrams/s"
	if r.Loss > 0 {
		rest += ", " + count(float64(r.RepairsSent)) + " repairs"
	}
	return count(r.MsgsPerSecond) + " messages/s", rest
}

func repair(r *measure.Result) (string, string) {
	if r.Repair == nil {
		return "-", "nothing had to be repaired"
	}
	rest := "p99 " + ns(r.Repair.P99)
	if r.Latency != nil {
		rest += "; one way p50 " + ns(r.Latency.P50) + ", p99 " + ns(r.Latency.P99)
	}
	return "p50 " + ns(r.Repair.P50), rest
}
