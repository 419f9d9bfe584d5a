package figures

import (
	"bytes"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/activeblaze/blaze/bench/measure"
	cases "github.com/activeblaze/blaze/bench/scale"
)

// ScaleDuration is how long each case of scale is measured.
const ScaleDuration = 500 * time.Millisecond

// Scale is what a message costs against what there is of everything else. Short runs only what bars are about.
func Scale(short bool) Suite {
	line := "scale"
	if short {
		line = "scale --short"
	}
	return Suite{
		Heading: "Scale", Title: "Members over a wire in memory, one thread",
		Cases: []Case{{Name: "scale", Line: line, Duration: ScaleDuration}}, Bars: scaleBars(),
		Runs: func(b *bytes.Buffer, s Suite, rounds []Round) {
			fmt.Fprintf(b, "`%s`, the last round: ns for a datagram of 19 messages of 64 bytes, or for an idle turn.\n\n```\n", s.Cases[0].Command())
			if n := len(rounds); n > 0 && rounds[n-1]["scale"] != nil {
				WriteScale(b, rounds[n-1]["scale"].Scale)
			}
			fmt.Fprintf(b, "```\n")
		},
	}
}

// scaleBars are those of the performance issue.
func scaleBars() []Bar {
	receiver := func(p *measure.ScalePoint) (ratio, ns float64) { return p.ReceiverRatio, p.Receiver }
	sender := func(p *measure.ScalePoint) (ratio, ns float64) { return p.SenderRatio, p.Sender }
	bar := func(what string, limit float64, of string, n int, side func(*measure.ScalePoint) (ratio, ns float64)) Bar {
		point := func(r Round) *measure.ScalePoint {
			if r["scale"] == nil || r["scale"].Scale == nil {
				return nil
			}
			return r["scale"].Scale.Point(of, n)
		}
		return Bar{
			What: what, Limit: limit,
			Value: func(r Round) float64 {
				if p := point(r); p != nil {
					ratio, _ := side(p)
					return ratio
				}
				return nan
			},
			Detail: func(r Round) string {
				p := point(r)
				if p == nil {
					return "the run failed"
				}
				ratio, ns := side(p)
				return fmt.Sprintf("%.0f / %.0f ns", ns, ns/ratio)
			},
		}
	}
	return []Bar{
		bar("64 lanes, each filled in turn / one: sender's cost of a datagram", 1.3, cases.Lanes, 64, sender),
		bar("64 lanes, each filled in turn / one: receiver's cost of a datagram", 1.3, cases.Lanes, 64, receiver),
		bar("10,000 topics and 1,000 wildcard subscriptions / 100 and one: sender's cost of a datagram", 2, cases.Both, 1000, sender),
		bar("10,000 topics and 1,000 wildcard subscriptions / 100 and one: receiver's cost of a datagram", 2, cases.Both, 1000, receiver),
		bar("1,000 senders / ten: receiver's cost of a datagram", 1.5, cases.Senders, 1000, receiver),
		bar("1,000 senders at 1 % loss / ten: receiver's cost of a datagram", 1.5, cases.Lossy, 1000, receiver),
		bar("idle turn with 64 open lanes / one: sender", 1.2, cases.Idle, 64, sender),
		bar("idle turn with 64 lanes received / one: receiver", 1.2, cases.Idle, 64, receiver),
	}
}

// WriteScale writes the points as a table for a terminal of 80 columns.
func WriteScale(w io.Writer, r *measure.ScaleResult) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(tw, "\tn\tsender\tx\treceiver\tx\t\n")
	last := ""
	for _, p := range r.Points {
		name := ""
		if p.Of != last {
			name, last = p.Of, p.Of
		}
		fmt.Fprintf(tw, "%s\t%d\t%.0f\t%.2f\t%.0f\t%.2f\t\n", name, p.N, p.Sender, p.SenderRatio, p.Receiver, p.ReceiverRatio)
	}
	tw.Flush()
}
