package figures

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/activeblaze/blaze/bench/measure"
)

// Group is groups over loopback: requests, sends, queues, and how soon a failure is reported; with fast also
// over AF_XDP, which needs root.
func Group(duration time.Duration, fast bool) Suite {
	s := Suite{Heading: "Groups", Title: "Loopback, MTU 1500", Bars: groupBars(), Runs: writeGroupRuns}
	add := func(name, line string, d time.Duration, absolute bool) {
		s.Cases = append(s.Cases, Case{Name: name, Line: "group " + line, Duration: d, Absolute: absolute})
	}
	add("request", "--what request --compare nack --idle busyspin", duration, false)
	add("messages", "--what request --messages --compare nack --idle backoff", duration, false)
	s.Cases = append(s.Cases, Case{Name: "goroutines", Line: "latency --goroutines --idle backoff", Duration: duration})
	add("one sender", "--what send --senders 1", duration, false)
	add("16 senders", "--what send --senders 16", duration, false)
	add("queue", "--what queue --count 100000", duration, false)
	add("queue kill", "--what queue --count 100000 --kills 1", duration, false)
	add("kill", "--what members --members 3 --kills 20 --idle backoff", time.Second, true)
	add("kill load", "--what members --members 3 --kills 20 --load --idle backoff", time.Second, true)
	for _, n := range []int{2, 3, 16} {
		add(fmt.Sprintf("block %d", n), fmt.Sprintf("--what members --members %d --idle block", n), duration, true)
	}
	if fast {
		s.Title += "; AF_XDP over a veth pair between namespaces"
		over := " --uri " + overXDP + " --rig veth"
		add("xdp request", "--what request --compare nack --idle busyspin"+over, duration, false)
		add("xdp one sender", "--what send --senders 1"+over, duration, false)
		add("xdp 16 senders", "--what send --senders 16"+over, duration, false)
		s.Bars = append(s.Bars,
			requestRatio("AF_XDP, request / NACK round trip, BusySpin, Inline, Invoker: p50", 1.5, "xdp request"),
			sendersRatio("AF_XDP, sends/s of 16 senders to one member / of one", "xdp "),
			nothingLost("AF_XDP, requests and sends", "xdp request", "xdp one sender", "xdp 16 senders"))
	}
	return s
}

// groupBars are those of the issue on groups, in its order.
func groupBars() []Bar {
	bars := []Bar{}
	for _, c := range []struct{ what, name string }{{"a member killed by SIGKILL", "kill"}, {"the same beside one that publishes as fast as it can", "kill load"}} {
		ms := func(f func(*measure.GroupResult) *float64) func(Round) float64 {
			return func(r Round) float64 {
				if g := groupOf(r[c.name]); g != nil && f(g) != nil {
					return *f(g)
				}
				return nan
			}
		}
		detail := func(r Round) string {
			if g := groupOf(r[c.name]); g != nil {
				return fmt.Sprintf("%d killed, %d failures reported of members that lived", g.Kills, g.FalseFailures)
			}
			return "the run failed"
		}
		bars = append(bars,
			Bar{
				What: c.what + ", three members: all others report it after, ms, median", Limit: 100, Absolute: true, Detail: detail,
				Value: ms(func(g *measure.GroupResult) *float64 { return g.Detect }),
			},
			Bar{
				What: c.what + ", three members: all others report it after, ms, longest", Limit: 150, Absolute: true, Detail: detail,
				Value: ms(func(g *measure.GroupResult) *float64 { return g.DetectMax }),
			})
	}
	return append(bars,
		requestRatio("request / NACK round trip, BusySpin, Inline, Invoker: p50", 1.5, "request"),
		Bar{
			What: "heap allocations of both members for each of these requests, those at the start among them", Limit: 0.1,
			Value: func(r Round) float64 {
				if g := groupOf(r["request"]); g != nil && g.Sent > 0 {
					return g.AllocsPerRequest
				}
				return nan
			},
			Detail: func(r Round) string { return counts(r["request"]) },
		},
		absolute(requestRatio("request with Messages over engines' threads / NACK round trip, Backoff: p50", 3, "messages")),
		Bar{
			What: "request with Messages over engines' threads / NACK round trip with handlers on goroutines, Backoff: p50", Limit: 3,
			Value: func(r Round) float64 {
				if g := groupOf(r["messages"]); g != nil {
					return of(g.Request, median) / p50(r["goroutines"])
				}
				return nan
			},
			Detail: func(r Round) string {
				if g := groupOf(r["messages"]); g != nil {
					return micros(of(g.Request, median), p50(r["goroutines"]))
				}
				return "the run failed"
			},
		},
		sendersRatio("sends/s of 16 senders to one member / of one", ""),
		nothingLost("requests and sends", "request", "messages", "one sender", "16 senders"),
		onceOrMarked("queue, 4 consumers", "queue", true),
		onceOrMarked("queue, one of 4 consumers killed midway", "queue kill", false),
		Bar{
			What: "queue, 4 consumers: the least share of one", Limit: 1. / 8, AtLeast: true,
			Value: func(r Round) float64 {
				if g := groupOf(r["queue"]); g != nil && g.Sent > 0 {
					return g.LeastShare
				}
				return nan
			},
			Detail: func(r Round) string { return counts(r["queue"]) },
		})
}

func groupOf(r *measure.Result) *measure.GroupResult {
	if r == nil {
		return nil
	}
	return r.Group
}

// requestRatio is the bar on requests against NACK's round trip in the same run, in turn.
func requestRatio(what string, limit float64, name string) Bar {
	return Bar{
		What: what, Limit: limit,
		Value: func(r Round) float64 {
			if g := groupOf(r[name]); g != nil && g.RequestPerRTT > 0 {
				return g.RequestPerRTT
			}
			return nan
		},
		Detail: func(r Round) string {
			if g := groupOf(r[name]); g != nil {
				return micros(of(g.Request, median), of(g.RTT, median))
			}
			return "the run failed"
		},
	}
}

// absolute makes a bar one that CI does not judge. A request with Messages wakes goroutines, NACK's round trip
// does not, so their ratio is about how soon this host wakes a thread.
func absolute(b Bar) Bar {
	b.Absolute = true
	return b
}

func sendersRatio(what, over string) Bar {
	return quotient(what, 8, true, rate, perSecond, over+"16 senders", over+"one sender")
}

// nothingLost is the bar that all arrives once, in order and intact.
func nothingLost(what string, names ...string) Bar {
	return Bar{
		What: what + ": lost + duplicated + reordered + corrupt", Limit: 0, Strict: true,
		Value: func(r Round) (sum float64) {
			for _, name := range names {
				sum += defects(r[name])
			}
			return sum
		},
		Detail: func(r Round) string {
			sent := uint64(0)
			for _, name := range names {
				if r[name] == nil {
					return "a run failed"
				}
				sent += r[name].Sent
			}
			return fmt.Sprintf("%d sent", sent)
		},
	}
}

// onceOrMarked is the bar that each message is handled, once or with a mark; with clean once.
func onceOrMarked(what, name string, clean bool) Bar {
	what += ": never handled + again without a mark + more again than were outstanding"
	if clean {
		what += " + handed out again"
	}
	return Bar{
		What: what, Limit: 0, Strict: true,
		Value: func(r Round) float64 {
			g := groupOf(r[name])
			if g == nil || g.Delivered == 0 {
				return nan
			}
			n := g.Lost + g.Corrupt + g.Unmarked
			if g.Duplicates > g.Outstanding {
				n += g.Duplicates - g.Outstanding
			}
			if clean {
				n += g.Redelivered + g.Outstanding
			}
			return float64(n)
		},
		Detail: func(r Round) string {
			g := groupOf(r[name])
			if g == nil {
				return "the run failed"
			}
			return fmt.Sprintf("%d sent; %d twice, %d handed out again", g.Sent, g.Duplicates, g.Outstanding)
		},
	}
}

// writeGroupRuns writes the medians of all runs as two tables: calls, and members.
func writeGroupRuns(b *bytes.Buffer, s Suite, rounds []Round) {
	med := func(c Case, f func(g *measure.GroupResult) float64) float64 {
		return medianRun(rounds, c.Name, func(r *measure.Result) float64 {
			if r.Group == nil { // of another workload
				return f(&measure.GroupResult{Result: *r})
			}
			return f(r.Group)
		})
	}
	call := func(g *measure.GroupResult) *measure.Percentiles {
		for _, p := range []*measure.Percentiles{g.Request, g.Send} {
			if p != nil {
				return p
			}
		}
		return g.Queue
	}
	fmt.Fprintf(b, "| command | calls/s | call p50, p99 | NACK round trip p50, p99 | allocations a message | CPU s |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, c := range s.Cases {
		if strings.Contains(c.Line, "--what members") {
			continue
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s |\n", c.Command(), large(med(c, func(g *measure.GroupResult) float64 { return g.MsgsPerSecond })),
			pair(med(c, func(g *measure.GroupResult) float64 { return of(call(g), median) }), med(c, func(g *measure.GroupResult) float64 { return of(call(g), tail) })),
			pair(med(c, func(g *measure.GroupResult) float64 { return of(g.RTT, median) }), med(c, func(g *measure.GroupResult) float64 { return of(g.RTT, tail) })),
			value(med(c, func(g *measure.GroupResult) float64 { return g.AllocsPerMsg })), value(med(c, func(g *measure.GroupResult) float64 { return g.CPUSeconds })))
	}
	fmt.Fprintf(b, "\n| command | %% of a CPU, busiest member | wake-ups/s of all threads | of the engine | beats, bit/s | detection ms: median, longest | closest call, ‰ |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, c := range s.Cases {
		if !strings.Contains(c.Line, "--what members") {
			continue
		}
		detect := ""
		if v := med(c, func(g *measure.GroupResult) float64 { return orNaN(g.Detect) }); v == v {
			detect = fmt.Sprintf("%.0f, %.0f", v, med(c, func(g *measure.GroupResult) float64 { return orNaN(g.DetectMax) }))
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", c.Command(),
			value(100*med(c, func(g *measure.GroupResult) float64 { return g.MemberCPU })),
			large(med(c, func(g *measure.GroupResult) float64 { return g.Wakeups })),
			large(med(c, func(g *measure.GroupResult) float64 { return g.Sleeps })),
			large(med(c, func(g *measure.GroupResult) float64 { return g.BeatBits })), detect,
			value(med(c, func(g *measure.GroupResult) float64 { return float64(g.ClosestCall) })))
	}
}

func orNaN(v *float64) float64 {
	if v == nil {
		return nan
	}
	return *v
}
