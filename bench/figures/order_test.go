package figures

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/bench/measure"
)

// ordered is a round in which every bar of the ring is reached.
func ordered() Round {
	r := Round{}
	for name, rate := range map[string]float64{
		"clean": 2e6, "clean xdp": 1e6, "5%": 1e6, "idle": 1e3, "block": 3, "1%": 1e6, "paced 1%": 25e4, "kill": 1e6,
		"nack 1344": 5e5, "1344": 4e5, "plain 1344": 4e5, "pair": 9e5, "plain pair": 7e5,
	} {
		o := &measure.OrderResult{MemberCPU: 0.01, Views: 1, Compared: 10, TokenRotationNS: 1e5}
		o.Sent, o.Delivered, o.MsgsPerSecond = 10, 30, rate
		o.RTT = &measure.Percentiles{P50: 50_000, P99: 5_000_000}
		o.Result.Order = o
		r[name] = &o.Result
	}
	r["kill"].Order.Failovers = []float64{130, 140, 600}
	return r
}

func TestEveryBarOfTheRingCanFail(t *testing.T) {
	bars := Order(time.Second, true).Bars
	eachCanFail(t, bars, ordered, []spoilt{
		{"Totem: violations", func(r Round) { r["1344"].Lost = 1 }},
		{"Totem: rings", func(r Round) { r["clean"].Order.Views = 2 }},
		{"Totem at 1 % and 5 % loss", func(r Round) { r["5%"].Order.OrderViolations = 1 }},
		{"Totem, a member killed", func(r Round) { r["kill"].Order.Compared = 0 }},
		{"64-byte messages/s of three members", func(r Round) { r["clean"].MsgsPerSecond = 0.94e6 }},
		{"send to own delivery", func(r Round) { r["idle"].RTT.P50 = 98_000 }},
		{"idle ring with Block", func(r Round) { r["block"].Order.MemberCPU = 0.03 }},
		{"64-byte messages/s at 1 % loss", func(r Round) { r["1%"].MsgsPerSecond = 0.23e6 }},
		{"1 % loss, 250,000", func(r Round) { r["paced 1%"].RTT.P99 = 11_000_000 }},
		{"1,344-byte messages/s of three", func(r Round) { r["nack 1344"].MsgsPerSecond = 6e5 }},
		{"1,344-byte messages/s of two", func(r Round) { r["plain pair"].MsgsPerSecond = 8e5 }},
		{"a member killed by SIGKILL", func(r Round) { r["kill"].Order.Failovers = []float64{100, 251, 300} }},
		{"AF_XDP on a bridge: violations", func(r Round) { r["clean xdp"].Corrupt = 1 }},
		{"AF_XDP on a bridge: rings", func(r Round) { r["clean xdp"].Order.Views = 3 }},
	})
	// A run that failed is no run without violations.
	for _, v := range Judge(bars, []Round{{}}, 1) {
		if v.Reached {
			t.Errorf("nothing was run, and this is reached: %s", v.What)
		}
	}
}

func TestEveryBarOfTheRingHasItsRuns(t *testing.T) {
	for _, fast := range []bool{false, true} {
		s, r := Order(time.Second, fast), Round{}
		for _, c := range s.Cases {
			if r[c.Name] != nil || ordered()[c.Name] == nil {
				t.Errorf("case %q is there twice, or not known here", c.Name)
			}
			r[c.Name] = ordered()[c.Name]
			cmd := c.Command()
			for word, in := range map[string]bool{
				"blazebench order --members": true, " --kill": c.Name == "kill", " --plain": strings.HasPrefix(c.Name, "plain"),
				" --members 2": strings.HasSuffix(c.Name, "pair"), " --rig bridge": strings.HasSuffix(c.Name, "xdp"),
				" --loss ": strings.HasSuffix(c.Name, "%"), " --size 1344": strings.Contains(c.Name, "1344") || strings.Contains(c.Name, "pair"),
				" --protocol nack": c.Name == "nack 1344", " --duration 10s": strings.HasPrefix(c.Name, "clean") || c.Name == "5%",
			} {
				if strings.Contains(cmd, word) != in {
					t.Errorf("case %q cannot be run alone by %s: %q", c.Name, cmd, word)
				}
			}
		}
		for _, v := range Judge(s.Bars, []Round{r}, 1) {
			if v.Median != v.Median {
				t.Errorf("%s: cannot be told from the runs that there are", v.What)
			}
		}
	}
}

// Several runs of one case make one result, with the defects and the failovers of all.
func TestRepeatAddsUp(t *testing.T) {
	ms := []float64{100, 300, 200}
	n := 0
	c := Case{Line: "order --kill", Duration: 7 * time.Second, Times: 3}
	r, err := repeat(t.Context(), c, func(_ context.Context, args []string) (*measure.Result, error) {
		if got := strings.Join(args, " "); got != "order --kill --duration 7s" {
			t.Errorf("ran %s", got)
		}
		out := &measure.OrderResult{Killed: true, FailoverMS: &ms[n], Compared: uint64(10 - n), OrderViolations: uint64(n), Own: &measure.Percentiles{P50: 7}}
		out.Result.Order = out
		n++
		return &out.Result, nil
	})
	if err != nil || n != 3 || !slices.Equal(r.Order.Failovers, ms) || r.Order.OrderViolations != 3 || r.Order.Compared != 8 || r.RTT.P50 != 7 {
		t.Errorf("%v after %d runs: %+v", err, n, r)
	}
	if v := failover(r); v != 200 {
		t.Errorf("median failover %v", v)
	}
	r, err = repeat(t.Context(), Case{}, func(context.Context, []string) (*measure.Result, error) {
		out := &measure.OrderResult{Killed: true}
		out.Result.Order = out
		return &out.Result, nil
	})
	if v := failover(r); err != nil || !math.IsInf(v, 1) {
		t.Errorf("nothing was delivered again, and the failover is %v, %v", v, err)
	}
	broken := errors.New("broken")
	if _, err := repeat(t.Context(), c, func(context.Context, []string) (*measure.Result, error) { return nil, broken }); err != broken {
		t.Errorf("error %v", err)
	}
}
