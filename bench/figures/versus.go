package figures

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/activeblaze/blaze/bench/measure"
)

// A Match is one thing that another program is compared in: a command line that both take, and the
// figure of it that counts.
type Match struct {
	Case
	What    string // the figure
	AtLeast bool   // more is better
	Figure  func(*measure.OrderResult) float64
	Show    func(float64) string
	Polls   int  // polling threads, each in a process of its own; 0: none that is pinned
	Skip    int  // processes that do not poll, before those that do
	Root    bool // needs root and AF_XDP
}

// Matches are the round trips and the rates, on loopback and, for root, over AF_XDP.
func Matches(duration time.Duration) []Match {
	rtt := func(m Match) Match {
		m.What, m.Figure = "p50", func(r *measure.OrderResult) float64 { return p50(&r.Result) }
		m.Show = func(v float64) string { return fmt.Sprintf("%.2f µs", v/1e3) }
		return m
	}
	perSecond := func(m Match) Match {
		m.What, m.AtLeast, m.Figure = "rate", true, func(r *measure.OrderResult) float64 { return rate(&r.Result) }
		m.Show = func(v float64) string { return fmt.Sprintf("%.3f M/s", v/1e6) }
		return m
	}
	late := func(m Match) Match {
		m = rtt(m)
		m.What, m.Figure = "p99", func(r *measure.OrderResult) float64 { return of(r.Latency, tail) }
		return m
	}
	own := func(m Match) Match {
		m = rtt(m)
		m.Figure = func(r *measure.OrderResult) float64 { return of(r.Own, median) }
		return m
	}
	xdp := "--idle busyspin --rig veth --uri " + overXDP
	all := []Match{
		rtt(Match{Case: Case{Name: "rtt", Line: "latency --size 64 --idle busyspin"}, Polls: 2}),
		rtt(Match{Case: Case{Name: "rtt 1%", Line: "latency --size 64 --idle busyspin --loss 0.01"}, Polls: 2}),
		rtt(Match{Case: Case{Name: "rtt hybrid", Line: "latency --size 64 --idle busyspin --protocol hybrid"}, Polls: 2}),
		perSecond(Match{Case: Case{Name: "rate 64", Line: "throughput --size 64 --idle busyspin"}, Polls: 2}),
		perSecond(Match{Case: Case{Name: "rate 1344", Line: "throughput --size 1344 --idle busyspin"}, Polls: 2}),
		perSecond(Match{Case: Case{Name: "rate 64 0.1%", Line: "throughput --size 64 --idle busyspin --loss 0.001"}, Polls: 2}),
		perSecond(Match{Case: Case{Name: "rate 64 1%", Line: "throughput --size 64 --idle busyspin --loss 0.01"}, Polls: 2}),
		perSecond(Match{Case: Case{Name: "rate 64 5%", Line: "throughput --size 64 --idle busyspin --loss 0.05"}, Polls: 2}),
		perSecond(Match{Case: Case{Name: "rate 64 20%", Line: "throughput --size 64 --idle busyspin --loss 0.2"}, Polls: 2}),
		late(Match{Case: Case{Name: "one way 64", Line: "throughput --size 64 --idle busyspin"}, Polls: 2}),
		late(Match{Case: Case{Name: "one way 64 1%", Line: "throughput --size 64 --idle busyspin --loss 0.01"}, Polls: 2}),
		perSecond(Match{Case: Case{Name: "rate 64 hybrid 1%", Line: "throughput --size 64 --idle busyspin --protocol hybrid --loss 0.01"}, Polls: 2}),
		own(Match{Case: Case{Name: "ring 1000/s", Line: "order --members 3 --size 64 --rate 1000"}}),
		perSecond(Match{Case: Case{Name: "ring 64", Line: "order --members 3 --size 64"}}),
		perSecond(Match{Case: Case{Name: "ring pair 1344", Line: "order --members 2 --size 1344 --idle busyspin"}, Polls: 2, Skip: 1}),
		rtt(Match{Case: Case{Name: "xdp rtt", Line: "latency --size 64 " + xdp}, Polls: 2, Root: true}),
		perSecond(Match{Case: Case{Name: "xdp rate 64", Line: "throughput --size 64 " + xdp}, Polls: 2, Root: true}),
		perSecond(Match{Case: Case{Name: "xdp rate 1344", Line: "throughput --size 1344 " + xdp}, Polls: 2, Root: true}),
	}
	for i := range all {
		all[i].Duration = duration
	}
	return all
}

// Worse is how much worse a median may be than before.
const Worse = 0.03

// A Change is what became of one figure: by program, the medians and how much worse each is than
// before.
type Change struct {
	Match
	Before, Again, Now     float64 // medians of the rounds
	AgainWorse, NowWorse   float64 // medians of the ratios within a round, less 1; negative: better
	Limit                  float64 // of NowWorse: Worse, or what the control differs by where that is more
	Failed                 int     // runs
	before, control, after []float64
}

// Add takes one round. A run that failed is nil, and the round then does not count.
func (c *Change) Add(before, control, after *measure.OrderResult) {
	for _, r := range []*measure.OrderResult{before, control, after} {
		if r == nil || c.Figure(r) != c.Figure(r) {
			c.Failed++
		}
	}
	if before == nil || control == nil || after == nil {
		return
	}
	c.before = append(c.before, c.Figure(before))
	c.control = append(c.control, c.Figure(control))
	c.after = append(c.after, c.Figure(after))
}

// Judge works out the medians. It reports whether the figure is not worse than before by more than
// the limit; without a whole round nothing is shown, and so it is not.
func (c *Change) Judge() bool {
	worse := func(vs []float64) float64 {
		ratios := make([]float64, len(vs))
		for i, v := range vs {
			if ratios[i] = v / c.before[i]; c.AtLeast {
				ratios[i] = c.before[i] / v
			}
		}
		return middle(ratios) - 1
	}
	c.Before, c.Again, c.Now = middle(c.before), middle(c.control), middle(c.after)
	c.AgainWorse, c.NowWorse = worse(c.control), worse(c.after)
	c.Limit = max(Worse, math.Abs(c.AgainWorse))
	return c.NowWorse <= c.Limit && c.Failed == 0
}

// WriteChanges writes changes as a table for a terminal; before is the other program's name. A change
// with a plus is for the worse.
func WriteChanges(w io.Writer, before string, changes []Change) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(tw, "\t\t%s\tagain\tnow\tagain\tnow\tlimit\t\t\n", before)
	for i := range changes {
		c := &changes[i]
		verdict := "ok"
		if !c.Judge() {
			verdict = "WORSE"
			if c.Failed > 0 {
				verdict = fmt.Sprintf("%d FAILED", c.Failed)
			}
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", c.Name, c.What, c.Show(c.Before), c.Show(c.Again), c.Show(c.Now),
			worsened(c.AgainWorse), worsened(c.NowWorse), worsened(c.Limit), verdict)
	}
	tw.Flush()
}

func worsened(v float64) string {
	if v != v {
		return "?"
	}
	return fmt.Sprintf("%+.1f %%", 100*v)
}

// Chosen are the matches whose names the comma-separated list has; an empty list is all of them.
func Chosen(list string, duration time.Duration) ([]Match, error) {
	all := Matches(duration)
	if list == "" {
		return all, nil
	}
	var names []string
	for _, m := range all {
		names = append(names, m.Name)
	}
	var some []Match
	for _, name := range strings.Split(list, ",") {
		i := slices.Index(names, strings.TrimSpace(name))
		if i < 0 {
			return nil, fmt.Errorf("only %q: want some of %s", name, strings.Join(names, ","))
		}
		some = append(some, all[i])
	}
	return some, nil
}
