package figures

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/bench/measure"
)

// grouped is a round in which every bar of groups is reached.
func grouped() Round {
	r := Round{}
	for _, c := range Group(time.Second, true).Cases {
		detect, longest := 85., 95.
		g := &measure.GroupResult{
			RequestPerRTT: 1.2, LeastShare: 0.2, Kills: 20, Detect: &detect, DetectMax: &longest, Wakeups: 100, BeatBits: 1e5,
			Request: &measure.Percentiles{P50: 11_000},
		}
		g.Sent, g.Delivered, g.MsgsPerSecond = 10, 10, 1e4
		if strings.HasSuffix(c.Name, "16 senders") {
			g.MsgsPerSecond = 1e5
		}
		g.RTT = &measure.Percentiles{P50: 9_000}
		g.Result.Group = g
		r[c.Name] = &g.Result
	}
	r["goroutines"].Group, r["goroutines"].RTT.P50 = nil, 9_000
	r["queue kill"].Group.Outstanding, r["queue kill"].Duplicates = 20, 20
	return r
}

func TestEveryBarOfGroupsCanFail(t *testing.T) {
	slow := 151.
	bars := Group(time.Second, true).Bars
	eachCanFail(t, bars, grouped, []spoilt{
		{"a member killed by SIGKILL, three members: all others report it after, ms, median", func(r Round) { r["kill"].Group.Detect = &slow }},
		{"a member killed by SIGKILL, three members: all others report it after, ms, longest", func(r Round) { r["kill"].Group.DetectMax = &slow }},
		{"the same beside one that publishes as fast as it can, three members: all others report it after, ms, median", func(r Round) { r["kill load"].Group.Detect = &slow }},
		{"the same beside one that publishes as fast as it can, three members: all others report it after, ms, longest", func(r Round) { r["kill load"].Group.DetectMax = nil }},
		{"request / NACK", func(r Round) { r["request"].Group.RequestPerRTT = 1.51 }},
		{"heap allocations", func(r Round) { r["request"].Group.AllocsPerRequest = 0.2 }},
		{"request with Messages over engines' threads / NACK round trip, Backoff", func(r Round) { r["messages"].Group.RequestPerRTT = 3.1 }},
		{"request with Messages over engines' threads / NACK round trip with handlers", func(r Round) { r["goroutines"].RTT.P50 = 3_000 }},
		{"sends/s of 16", func(r Round) { r["16 senders"].MsgsPerSecond = 7e4 }},
		{"requests and sends: lost", func(r Round) { r["one sender"].Lost = 1 }},
		{"queue, 4 consumers: never", func(r Round) { r["queue"].Group.Redelivered = 1 }},
		{"queue, one of 4 consumers killed", func(r Round) { r["queue kill"].Duplicates = 21 }},
		{"queue, 4 consumers: the least", func(r Round) { r["queue"].Group.LeastShare = 0.12 }},
		{"AF_XDP, request / NACK", func(r Round) { r["xdp request"].Group.RequestPerRTT = 0 }},
		{"AF_XDP, sends/s", func(r Round) { delete(r, "xdp 16 senders") }},
		{"AF_XDP, requests and sends", func(r Round) { r["xdp one sender"].Reordered = 1 }},
	})
	for _, v := range Judge(bars, []Round{{}}, 1) {
		if v.Reached {
			t.Errorf("nothing was run, and this is reached: %s", v.What)
		}
	}
}

func TestGroupRuns(t *testing.T) {
	s := Group(time.Second, true)
	var b bytes.Buffer
	s.Runs(&b, s, []Round{grouped()})
	for _, c := range s.Cases {
		if !strings.Contains(b.String(), "`"+c.Command()+"`") || c.Name != "goroutines" && !strings.HasPrefix(c.Command(), "blazebench group --what ") {
			t.Errorf("no line with %s", c.Command())
		}
		if strings.HasPrefix(c.Name, "xdp") != strings.Contains(c.Line, "xdp://") {
			t.Errorf("%s is %s", c.Name, c.Line)
		}
	}
	for _, want := range []string{"11.0, 0.0 µs | 9.0, 0.0 µs", "| 85, 95 |", "| 100 k |"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	for _, c := range Group(time.Second, false).Cases {
		if strings.Contains(c.Line, "xdp") {
			t.Errorf("%s is not for everybody", c.Line)
		}
	}
}
