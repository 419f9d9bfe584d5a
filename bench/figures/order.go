package figures

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/activeblaze/blaze/bench/measure"
)

// What Corosync 3.1.7 did with three nodes on one bridge and two cores, 64-byte messages.
const (
	rivalRate     = 95e3   // messages/s, all sending
	rivalRateLoss = 7.9e3  // with 1 % loss
	rivalOwnNS    = 97_000 // from sending to the sender's own delivery, median
)

// kills is how many members are ended one after another to measure how long the others stand still.
const kills = 20

// Order is the ring: throughput, latency, order and failover, over loopback; with fast also over
// AF_XDP, which needs root.
func Order(duration time.Duration, fast bool) Suite {
	s := Suite{Heading: "Total order", Title: "Loopback multicast, MTU 1500, members that all send", Bars: orderBars()}
	s.Cases = []Case{
		{Name: "clean", Line: "order --members 3 --size 64 --verify", Duration: long},
		{Name: "5%", Line: "order --members 3 --size 64 --loss 0.05 --verify", Duration: long},
		{Name: "idle", Line: "order --members 3 --size 64 --rate 1000 --verify", Duration: duration},
		{Name: "block", Line: "order --members 3 --size 64 --rate 3 --idle block --verify", Duration: duration},
		{Name: "1%", Line: "order --members 3 --size 64 --loss 0.01 --verify", Duration: duration},
		{Name: "paced 1%", Line: "order --members 3 --size 64 --rate 250000 --loss 0.01 --verify", Duration: duration},
		{Name: "nack 1344", Line: "order --members 3 --size 1344 --protocol nack", Duration: duration},
		{Name: "1344", Line: "order --members 3 --size 1344 --verify", Duration: duration},
		{Name: "plain 1344", Line: "order --members 3 --size 1344 --plain --verify", Duration: duration},
		{Name: "pair", Line: "order --members 2 --size 1344 --verify", Duration: duration},
		{Name: "plain pair", Line: "order --members 2 --size 1344 --plain --verify", Duration: duration},
		{Name: "kill", Line: "order --members 3 --size 64 --kill --verify", Duration: time.Second, Times: kills},
	}
	if fast {
		s.Title += "; AF_XDP over a bridge between namespaces"
		s.Cases = append(s.Cases, Case{Name: "clean xdp", Line: "order --members 3 --size 64 --uri " + overXDP + " --rig bridge --verify", Duration: long})
		s.Bars = append(s.Bars, inOrder("AF_XDP on a bridge", "clean xdp"), views("AF_XDP on a bridge", "clean xdp"))
	}
	return s
}

// orderBars are those of the Totem issue.
func orderBars() []Bar {
	return []Bar{
		inOrder("Totem", "clean", "idle", "1344", "plain 1344", "pair", "plain pair"),
		views("Totem", "clean"),
		inOrder("Totem at 1 % and 5 % loss", "5%", "1%", "paced 1%"),
		inOrder("Totem, a member killed", "kill"),
		{
			What: "64-byte messages/s of three members, in millions, 10 × Corosync's", Limit: 10 * rivalRate / 1e6, AtLeast: true, Absolute: true,
			Value:  func(r Round) float64 { return rate(r["clean"]) / 1e6 },
			Detail: func(r Round) string { return counts(r["clean"]) },
		},
		{
			What: "send to own delivery, ring otherwise idle: p50 in µs, Corosync's", Limit: rivalOwnNS / 1e3, Absolute: true,
			Value:  func(r Round) float64 { return p50(r["idle"]) / 1e3 },
			Detail: func(r Round) string { return rotation(r["idle"]) },
		},
		{
			What: "idle ring with Block: CPU of the busiest member, % of a core", Limit: 2, Absolute: true,
			Value: func(r Round) float64 {
				if r["block"] == nil || r["block"].Order == nil {
					return nan
				}
				return 100 * r["block"].Order.MemberCPU
			},
			Detail: func(r Round) string { return counts(r["block"]) },
		},
		{
			What: "64-byte messages/s at 1 % loss, in millions, 30 × Corosync's", Limit: 30 * rivalRateLoss / 1e6, AtLeast: true, Absolute: true,
			Value:  func(r Round) float64 { return rate(r["1%"]) / 1e6 },
			Detail: func(r Round) string { return counts(r["1%"]) },
		},
		{
			What: "1 % loss, 250,000 messages/s: p99 to own delivery in ms", Limit: 10, Absolute: true,
			Value:  func(r Round) float64 { return p99(r["paced 1%"]) / 1e6 },
			Detail: func(r Round) string { return counts(r["paced 1%"]) },
		},
		quotient("1,344-byte messages/s of three members, Totem / NACK without order", 0.7, true, rate, perSecond, "1344", "nack 1344"),
		quotient("1,344-byte messages/s of two members, accelerated ring / plain", 1.2, true, rate, perSecond, "pair", "plain pair"),
		{
			What: fmt.Sprintf("a member killed by SIGKILL: others deliver again after, ms, median of %d", kills), Limit: 250, Absolute: true,
			Value: func(r Round) float64 { return failover(r["kill"]) },
			Detail: func(r Round) string {
				if r["kill"] == nil {
					return "the run failed"
				}
				return fmt.Sprintf("median of %d", len(r["kill"].Order.Failovers))
			},
		},
	}
}

// inOrder is the bar that nothing is out of order, twice, damaged or, in one ring, missing.
func inOrder(what string, names ...string) Bar {
	return Bar{
		What: what + ": violations of the order + corrupt + lost in one ring", Limit: 0, Strict: true,
		Value: func(r Round) float64 {
			sum := 0.0
			for _, name := range names {
				sum += disorder(r[name])
			}
			return sum
		},
		Detail: func(r Round) string {
			sent, compared := uint64(0), uint64(0)
			for _, name := range names {
				if r[name] == nil || r[name].Order == nil {
					return "a run failed"
				}
				sent += r[name].Sent
				compared += r[name].Order.Compared
			}
			return fmt.Sprintf("%d sent, %d compared", sent, compared)
		},
	}
}

// views is the bar that a clean run has one ring. Where others have the processors it may need two
// without anything being wrong, so in CI there is slack.
func views(what, name string) Bar {
	return Bar{
		What: what + ": rings in a clean run", Limit: 1,
		Value: func(r Round) float64 {
			if r[name] == nil || r[name].Order == nil {
				return nan
			}
			return float64(r[name].Order.Views)
		},
		Detail: func(r Round) string { return rotation(r[name]) },
	}
}

// disorder counts what must not be; NaN where nothing was compared.
func disorder(r *measure.Result) float64 {
	if r == nil || r.Order == nil || r.Order.Compared == 0 {
		return nan
	}
	n := r.Order.OrderViolations + r.Corrupt
	if r.Order.Views == 1 {
		n += r.Lost
	}
	return float64(n)
}

// failover is the median time without a delivery, ms.
func failover(r *measure.Result) float64 {
	if r == nil || r.Order == nil {
		return nan
	}
	return middle(r.Order.Failovers)
}

func rotation(r *measure.Result) string {
	if r == nil || r.Order == nil {
		return "the run failed"
	}
	return fmt.Sprintf("a rotation takes %.0f µs", r.Order.TokenRotationNS/1e3)
}

// repeat runs a case as often as it asks for, and makes one result of all: the last one's; of a ring,
// with the violations and the failovers of all.
func repeat(ctx context.Context, c Case, run Runner) (*measure.Result, error) {
	var all *measure.OrderResult
	for range max(c.Times, 1) {
		res, err := run(ctx, c.Args())
		if err != nil || res.Order == nil {
			return res, err
		}
		r := res.Order
		if all != nil {
			r.Failovers = all.Failovers
			r.OrderViolations += all.OrderViolations
			r.Corrupt += all.Corrupt
			r.Compared = min(r.Compared, all.Compared)
		}
		ms := math.Inf(1) // killed, and nothing was delivered again
		if r.FailoverMS != nil {
			ms = *r.FailoverMS
		}
		if r.Killed {
			r.Failovers = append(r.Failovers, ms)
		}
		all = r
	}
	all.RTT = all.Own // there and back: a sender receives its own message when that has its place
	return &all.Result, nil
}
