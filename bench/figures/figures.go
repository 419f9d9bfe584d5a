// Package figures takes the figures that bench/RESULTS.md states and judges them: which runs
// there are, which ratio of which two figures a bar is about, and what was reached.
//
// Rounds are interleaved: each runs everything once, so that what the host does to one run it
// does to its neighbours too, and ratios are taken within a round. The median round counts.
//
// It also draws plots (plot.go), and compares two builds of blazebench (versus.go).
package figures

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/activeblaze/blaze/bench/measure"
)

// A Suite is what is run in a round, and what has to hold of it.
type Suite struct {
	Heading string // of its section of RESULTS.md; the first one has none
	Title   string // what the runs go over
	Cases   []Case
	Bars    []Bar
	Yard    []Yardstick
	Finer   int // rounds to take for each that is asked for, 0: one

	// Runs writes the medians of all runs; nil is WriteRuns.
	Runs func(b *bytes.Buffer, s Suite, rounds []Round)
}

// Loopback runs anywhere: sockets, on this host.
func Loopback(duration time.Duration) Suite {
	return Suite{Title: "Loopback multicast, MTU 1500", Cases: Cases(duration), Bars: Bars(), Yard: Yardsticks()}
}

// A Case is one run of a round.
type Case struct {
	Name     string
	Line     string        // the command line that runs it, without the program and the duration
	Duration time.Duration // measured
	Times    int           // how often it is run; 0: once
	Absolute bool          // no bar is about it but Absolute ones
}

// Args are the arguments that run the case.
func (c Case) Args() []string {
	return append(strings.Fields(c.Line), "--duration", c.Duration.String())
}

// Command is the command line that runs the case alone, as a shell takes it.
func (c Case) Command() string {
	words := c.Args()
	for i, w := range words {
		if strings.Contains(w, "://") {
			words[i] = "'" + w + "'"
		}
	}
	return "blazebench " + strings.Join(words, " ")
}

// long is how long a case is measured whose duration is part of what is asked for.
const long = 10 * time.Second

// Cases are the runs of a round, raw and blaze in turn.
func Cases(duration time.Duration) []Case {
	return []Case{
		{Name: "raw rtt", Line: "raw --size 64", Duration: duration},
		{Name: "rtt", Line: "latency --size 64 --idle busyspin", Duration: duration},
		{Name: "rtt 1%", Line: "latency --size 64 --loss 0.01 --idle busyspin", Duration: duration},
		{Name: "raw rate", Line: "raw --size 1344", Duration: duration},
		{Name: "rate 64", Line: "throughput --size 64 --idle busyspin", Duration: duration},
		{Name: "rate 1344", Line: "throughput --size 1344 --idle busyspin", Duration: duration},
		{Name: "raw gso", Line: "raw --size 1344 --gso", Duration: duration},
		{Name: "rate 64 1%", Line: "throughput --size 64 --loss 0.01 --idle busyspin", Duration: duration},
		{Name: "rate 64 5%", Line: "throughput --size 64 --loss 0.05 --idle busyspin", Duration: duration},
		{Name: "paced", Line: "loss --size 64 --loss 0 --rate 20000 --idle busyspin", Duration: long}, // a p99 needs them
		{Name: "paced 0.1%", Line: "loss --size 64 --loss 0.001 --rate 20000 --idle busyspin", Duration: long},
		{Name: "four", Line: "loss --size 256 --receivers 4 --loss 0", Duration: duration},
		{Name: "four 1%", Line: "loss --size 256 --receivers 4 --loss 0.01", Duration: long},
		{Name: "four 20%", Line: "loss --size 256 --receivers 4 --loss 0.2", Duration: long},
	}
}

// A Round is the results of one round by the names of their cases.
type Round map[string]*measure.Result

// A Bar is one thing that must hold.
type Bar struct {
	What    string
	Limit   float64
	AtLeast bool // else at most
	Strict  bool // counts something: no slack, and every round has to reach it
	// Absolute bars are about what this machine does by itself, not against another run of the
	// same round: nothing that CI can judge.
	Absolute bool
	// Tail bars compare 99th percentiles of messages on a schedule. One stall of 10 ms is 1 % of a
	// second, and on a small virtual machine kernel threads cause such stalls twice a second for a
	// while (DAMON's was seen to, with the scheduler's trace): it takes a quiet host and longer runs.
	Tail bool
	// Optional bars are about programs that not every host has: they are left out where no
	// round has a figure.
	Optional bool
	Value    func(r Round) float64 // NaN: there is none
	Detail   func(r Round) string  // the figures that Value is made of
}

// Bars are those of the project's issue, in its order.
func Bars() []Bar {
	return []Bar{
		{
			What: "4 receivers, 1 % loss: lost + duplicated + reordered + corrupt", Limit: 0, Strict: true,
			Value: func(r Round) float64 { return defects(r["four 1%"]) }, Detail: func(r Round) string { return counts(r["four 1%"]) },
		},
		{
			What: "4 receivers, 20 % loss: lost + duplicated + reordered + corrupt", Limit: 0, Strict: true,
			Value: func(r Round) float64 { return defects(r["four 20%"]) }, Detail: func(r Round) string { return counts(r["four 20%"]) },
		},
		{
			What: "4 receivers: rate at 20 % loss / clean rate", Limit: 0.1, AtLeast: true,
			Value:  func(r Round) float64 { return rate(r["four 20%"]) / rate(r["four"]) },
			Detail: func(r Round) string { return rates(r["four 20%"], r["four"]) },
		},
		{
			What: "round trip at 1 % loss: p99 / clean p50", Limit: 15,
			Value:  func(r Round) float64 { return p99(r["rtt 1%"]) / p50(r["rtt"]) },
			Detail: func(r Round) string { return micros(p99(r["rtt 1%"]), p50(r["rtt"])) },
		},
		{
			What: "20,000/s at 0.1 % loss: p99 one way / clean p99", Limit: 2, Tail: true,
			Value: func(r Round) float64 { return oneWay99(r["paced 0.1%"]) / oneWay99(r["paced"]) },
			Detail: func(r Round) string {
				return micros(oneWay99(r["paced 0.1%"]), oneWay99(r["paced"]))
			},
		},
		{
			What: "20,000/s at 0.1 % loss: p50 of repair / p50 round trip", Limit: 3,
			Value:  func(r Round) float64 { return repair50(r["paced 0.1%"]) / p50(r["rtt"]) },
			Detail: func(r Round) string { return micros(repair50(r["paced 0.1%"]), p50(r["rtt"])) },
		},
		{
			What: "throughput at 1 % loss / clean", Limit: 0.7, AtLeast: true,
			Value:  func(r Round) float64 { return rate(r["rate 64 1%"]) / rate(r["rate 64"]) },
			Detail: func(r Round) string { return rates(r["rate 64 1%"], r["rate 64"]) },
		},
		{
			What: "throughput at 5 % loss / clean", Limit: 0.4, AtLeast: true,
			Value:  func(r Round) float64 { return rate(r["rate 64 5%"]) / rate(r["rate 64"]) },
			Detail: func(r Round) string { return rates(r["rate 64 5%"], r["rate 64"]) },
		},
		{
			What: "round trip, 64 bytes: p50 / raw p50", Limit: 1.35,
			Value:  func(r Round) float64 { return p50(r["rtt"]) / p50(r["raw rtt"]) },
			Detail: func(r Round) string { return micros(p50(r["rtt"]), p50(r["raw rtt"])) },
		},
		independent("C ping-pong"),
		independent("sockperf"),
		{
			What: "64-byte messages/s / raw 1,344-byte datagrams/s", Limit: 14, AtLeast: true,
			Value:  func(r Round) float64 { return rate(r["rate 64"]) / datagrams(r["raw rate"]) },
			Detail: func(r Round) string { return perSecond(rate(r["rate 64"]), datagrams(r["raw rate"])) },
		},
		{
			What: "1,344-byte messages/s / raw 1,344-byte datagrams/s", Limit: 0.85, AtLeast: true,
			Value:  func(r Round) float64 { return rate(r["rate 1344"]) / datagrams(r["raw rate"]) },
			Detail: func(r Round) string { return perSecond(rate(r["rate 1344"]), datagrams(r["raw rate"])) },
		},
		{
			What: "allocations for each message, sender and receiver", Limit: 0.001,
			Value:  func(r Round) float64 { return allocs(r["rate 64"]) },
			Detail: func(r Round) string { return counts(r["rate 64"]) },
		},
	}
}

// independent is the bar that raw itself has to reach: to agree with an independent program.
func independent(name string) Bar {
	return Bar{
		What: "raw p50 and that of " + name + ", relative difference", Limit: 0.1, Optional: true,
		Value:  func(r Round) float64 { return math.Abs(p50(r["raw rtt"])/p50(r[name]) - 1) },
		Detail: func(r Round) string { return micros(p50(r["raw rtt"]), p50(r[name])) },
	}
}

// Reached reports whether v is good enough. slack 1 is the bar itself, 2 is twice the slack.
func (b Bar) Reached(v, slack float64) bool {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return false
	case b.Strict:
		slack = 1
	}
	if b.AtLeast {
		return v >= b.Limit/slack
	}
	return v <= b.Limit*slack
}

// Text is the bar's limit as a table states it.
func (b Bar) Text(slack float64) string {
	if b.Strict {
		slack = 1
	}
	if b.AtLeast {
		return fmt.Sprintf("≥ %.4g", b.Limit/slack)
	}
	return fmt.Sprintf("≤ %.4g", b.Limit*slack)
}

// A Verdict is a bar and what was reached.
type Verdict struct {
	Bar
	Values  []float64 // of each round
	Median  float64
	Reached bool
	Detail  string // of the round with the median
}

// InOneRound judges v by the round that came out best: what else a host does makes a ratio worse
// and hardly ever better, and CI has no quiet host. A Strict bar still counts every round.
func (v *Verdict) InOneRound(slack float64) {
	if v.Strict {
		return
	}
	for _, value := range v.Values {
		better := math.IsNaN(v.Median) || v.AtLeast && value > v.Median || !v.AtLeast && value < v.Median
		if better {
			v.Median = value
		}
	}
	v.Reached = v.Bar.Reached(v.Median, slack)
}

// Judge holds rounds against bars. For a Strict bar every round counts, not the median.
func Judge(bars []Bar, rounds []Round, slack float64) []Verdict {
	var out []Verdict
	for _, b := range bars {
		v := Verdict{Bar: b}
		order := make([]int, len(rounds))
		for i, r := range rounds {
			v.Values = append(v.Values, b.Value(r))
			order[i] = i
		}
		// NaN first: where a round has no figure, a median may be none.
		slices.SortFunc(order, func(i, j int) int { return cmp.Compare(v.Values[i], v.Values[j]) })
		at := order[len(order)/2]
		if b.Strict {
			at = order[len(order)-1]
			if math.IsNaN(v.Values[order[0]]) {
				at = order[0]
			}
		}
		if b.Optional && !slices.ContainsFunc(v.Values, func(f float64) bool { return f == f }) {
			continue
		}
		v.Median, v.Detail = v.Values[at], b.Detail(rounds[at])
		v.Reached = b.Reached(v.Median, slack)
		out = append(out, v)
	}
	return out
}

// Runner runs one command line, whose first argument is the workload.
type Runner func(ctx context.Context, args []string) (*measure.Result, error)

// Take runs rounds of a suite, and each independent program behind its case. A run that fails
// leaves its place in the round empty, so that the others are not for nothing; failed gets its
// error.
func Take(ctx context.Context, s Suite, rounds int, run Runner, failed func(command string, err error)) ([]Round, error) {
	var out []Round
	for range rounds {
		r := Round{}
		if err := r.take(ctx, s, run, failed); err != nil {
			return out, err
		}
		out = append(out, r)
	}
	return out, nil
}

// TakeForOne is Take for bars that InOneRound judges. A bar that one round has reached with this slack needs no other
// one, so the later rounds run only the cases of bars that are not reached yet. Those of Strict bars, which every round has
// to reach, run twice. What is not run again stands in a round as it came out before.
func TakeForOne(ctx context.Context, s Suite, rounds int, slack float64, run Runner, failed func(command string, err error)) ([]Round, error) {
	var out []Round
	for range rounds {
		r, again := Round{}, s
		if len(out) > 0 {
			r = maps.Clone(out[len(out)-1])
			if again.Cases = stillNeeded(s, out, slack); len(again.Cases) == 0 {
				break
			}
			for _, c := range again.Cases {
				delete(r, c.Name)
			}
		}
		if err := r.take(ctx, again, run, failed); err != nil {
			return out, err
		}
		out = append(out, r)
	}
	return out, nil
}

// stillNeeded are the cases of s that another round is to run, in their order.
func stillNeeded(s Suite, rounds []Round, slack float64) []Case {
	needed := map[string]bool{}
	last := rounds[len(rounds)-1]
	for _, v := range Judge(s.Bars, rounds, slack) {
		if v.InOneRound(slack); v.Strict && len(rounds) >= 2 || !v.Strict && v.Reached {
			continue
		}
		whole := v.Value(last)
		for _, c := range s.Cases {
			without := maps.Clone(last)
			delete(without, c.Name)
			if value := v.Value(without); math.IsNaN(whole) || value != whole { // of another case's figures, or of none
				needed[c.Name] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(s.Cases), func(c Case) bool { return !needed[c.Name] })
}

// take runs the cases of s once.
func (r Round) take(ctx context.Context, s Suite, run Runner, failed func(command string, err error)) error {
	keep := func(name, command string, res *measure.Result, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			failed(command, err)
		default:
			r[name] = res
		}
		return nil
	}
	for i, c := range s.Cases {
		res, err := repeat(ctx, c, run)
		if err := keep(c.Name, c.Command(), res, err); err != nil {
			return err
		}
		for _, y := range s.Yard {
			if y.After != c.Name && (y.After != "" || i > 0) {
				continue
			}
			res, err := y.Run(ctx)
			if err := keep(y.Name, y.Command, res, err); err != nil {
				return err
			}
		}
	}
	return nil
}
