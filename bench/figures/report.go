package figures

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/activeblaze/blaze/bench/measure"
)

// WriteTable writes verdicts as a Markdown table.
func WriteTable(w io.Writer, vs []Verdict, slack float64) {
	fmt.Fprintf(w, "| what | bar | reached | figures | |\n| --- | --- | --- | --- | --- |\n")
	for _, v := range vs {
		mark := "yes"
		if !v.Reached {
			mark = "**no**"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", v.What, v.Text(slack), value(v.Median), v.Detail, mark)
	}
}

func value(v float64) string {
	if v != v {
		return "?"
	}
	return fmt.Sprintf("%.3g", v)
}

// Report is what RESULTS.md has of one suite.
func Report(s Suite, rounds []Round) string {
	var b bytes.Buffer
	if first := anyRun(rounds); first != nil {
		fmt.Fprintf(&b, "%s, %d × %s, %s, commit %s. %s; %s.\n\n",
			first.Kernel, first.CPUs, orUnknown(first.CPUModel), first.Go, orUnknown(first.Commit), s.Title, medianOf(len(rounds)))
	}
	WriteTable(&b, Judge(s.Bars, rounds, 1), 1)
	fmt.Fprintf(&b, "\n### Runs\n\nMedians of the rounds; each line can be run alone.\n\n")
	if s.Runs == nil {
		s.Runs = func(b *bytes.Buffer, s Suite, rounds []Round) { WriteRuns(b, s, rounds) }
	}
	s.Runs(&b, s, rounds)
	return b.String()
}

// WriteRuns writes the medians of all runs as a Markdown table.
func WriteRuns(b io.Writer, s Suite, rounds []Round) {
	fmt.Fprintf(b, "| command | messages/s | datagrams/s | round trip p50, p99 | one way p50, p99 | repair p50, p99 | repairs | CPU s |\n")
	fmt.Fprintf(b, "| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, c := range s.Cases {
		med := func(f func(*measure.Result) float64) float64 { return medianRun(rounds, c.Name, f) }
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s | %s | %s |\n", c.Command(),
			large(med(rate)), large(med(datagrams)),
			pair(med(p50), med(p99)),
			pair(med(func(r *measure.Result) float64 { return of(r.Latency, median) }), med(oneWay99)),
			pair(med(repair50), med(func(r *measure.Result) float64 { return of(r.Repair, tail) })),
			large(med(func(r *measure.Result) float64 { return float64(r.RepairsSent) })),
			value(med(func(r *measure.Result) float64 { return r.CPUSeconds })))
	}
	for _, y := range s.Yard {
		if v := medianRun(rounds, y.Name, rate); v == v {
			fmt.Fprintf(b, "| `%s` | | %s | | | | | |\n", y.Command, large(v))
			continue
		}
		fmt.Fprintf(b, "| `%s` | | | p50 %.1f µs | | | | |\n", y.Command, medianRun(rounds, y.Name, p50)/1e3)
	}
}

// Markers between which RESULTS.md is generated; what stands outside is written by hand.
const (
	begin = "<!-- figures: begin, written by make figures -->"
	end   = "<!-- figures: end -->"
)

// Update replaces the generated part of a results file.
func Update(file, text string) error {
	head, tail, err := split(file)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(head+begin+"\n\n"+text+"\n"+end+tail), 0o644)
}

// Writable reports whether Update will find its place in file.
func Writable(file string) error {
	_, _, err := split(file)
	return err
}

// split returns what stands before and behind the generated part.
func split(file string) (head, tail string, err error) {
	old, err := os.ReadFile(file)
	if err != nil {
		return "", "", fmt.Errorf("results: %w (--write names another file, or none)", err)
	}
	head, rest, ok1 := strings.Cut(string(old), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		return "", "", fmt.Errorf("%s: the lines %q and %q are missing: nowhere to write", file, begin, end)
	}
	return head, tail, nil
}

func anyRun(rounds []Round) *measure.Result {
	for _, r := range rounds {
		for _, run := range r {
			if run.Kernel != "" {
				return run
			}
		}
	}
	return nil
}

func medianRun(rounds []Round, name string, f func(*measure.Result) float64) float64 {
	var vs []float64
	for _, r := range rounds {
		if run := r[name]; run != nil {
			vs = append(vs, f(run))
		}
	}
	return middle(vs)
}

func medianOf(n int) string {
	if n == 1 {
		return "one round"
	}
	return fmt.Sprintf("medians of %d interleaved rounds, ratios within a round", n)
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func large(v float64) string {
	switch {
	case v != v:
		return ""
	case v >= 1e6:
		return fmt.Sprintf("%.2f M", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%.0f k", v/1e3)
	}
	return fmt.Sprintf("%.0f", v)
}

func pair(a, b float64) string {
	if a != a {
		return ""
	}
	return fmt.Sprintf("%.1f, %.1f µs", a/1e3, b/1e3)
}

// WriteRatios writes what bars are about, without judging it: the median, and the span of all
// rounds.
func WriteRatios(w io.Writer, bars []Bar, rounds []Round) {
	fmt.Fprintf(w, "| what | median | lowest and highest | figures |\n| --- | --- | --- | --- |\n")
	for _, v := range Judge(bars, rounds, 1) {
		fmt.Fprintf(w, "| %s | %s | %s, %s | %s |\n", v.What, value(v.Median), value(slices.Min(v.Values)), value(slices.Max(v.Values)), v.Detail)
	}
}
