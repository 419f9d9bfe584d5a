package figures

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/bench/measure"
)

// good is a round in which every bar is reached.
func good() Round {
	lat := func(p50, p99 int64) *measure.Percentiles { return &measure.Percentiles{P50: p50, P99: p99} }
	four := func(rate float64) *measure.Result {
		return &measure.Result{Sent: 10, Delivered: 40, Receivers: 4, MsgsPerSecond: rate}
	}
	return Round{
		"raw rtt":     {RTT: lat(5000, 7000)},
		"C ping-pong": {RTT: lat(5100, 7000)}, "sockperf": {RTT: lat(4900, 7000)},
		"rtt":        {RTT: lat(6000, 8000)},
		"rtt 1%":     {RTT: lat(6000, 60_000)},
		"raw rate":   {DatagramsPerSecond: 200_000},
		"rate 64":    {MsgsPerSecond: 6e6},
		"rate 1344":  {MsgsPerSecond: 300_000},
		"raw gso":    {DatagramsPerSecond: 2e6},
		"rate 64 1%": {MsgsPerSecond: 5e6},
		"rate 64 5%": {MsgsPerSecond: 3e6},
		"paced":      {Latency: lat(6000, 20_000)},
		"paced 0.1%": {Latency: lat(6000, 30_000), Repair: lat(12_000, 20_000)},
		"four":       four(500_000), "four 1%": four(400_000), "four 20%": four(80_000),
	}
}

func TestEveryBarCanFail(t *testing.T) {
	for _, v := range Judge(Bars(), []Round{good()}, 1) {
		if !v.Reached {
			t.Fatalf("not reached in a good round: %s: %v, want %s", v.What, v.Median, v.Text(1))
		}
	}
	worse := []struct {
		what  string // prefix of the bar
		spoil func(r Round)
	}{
		{"4 receivers, 1 % loss", func(r Round) { r["four 1%"].Duplicates = 1 }},
		{"4 receivers, 20 % loss", func(r Round) { r["four 20%"].Lost = 1 }},
		{"4 receivers: rate", func(r Round) { r["four 20%"].MsgsPerSecond = 49_000 }},
		{"round trip at 1 % loss", func(r Round) { r["rtt 1%"].RTT.P99 = 91_000 }},
		{"20,000/s at 0.1 % loss: p99", func(r Round) { r["paced 0.1%"].Latency.P99 = 41_000 }},
		{"20,000/s at 0.1 % loss: p50 of repair", func(r Round) { r["paced 0.1%"].Repair.P50 = 19_000 }},
		{"throughput at 1 %", func(r Round) { r["rate 64 1%"].MsgsPerSecond = 4.1e6 }},
		{"throughput at 5 %", func(r Round) { r["rate 64 5%"].MsgsPerSecond = 2.3e6 }},
		{"round trip, 64 bytes", func(r Round) { r["rtt"].RTT.P50 = 6800 }},
		{"raw p50 and that of C", func(r Round) { r["C ping-pong"].RTT.P50 = 5600 }},
		{"raw p50 and that of sockperf", func(r Round) { r["sockperf"].RTT.P50 = 4400 }},
		{"64-byte messages/s", func(r Round) { r["raw rate"].DatagramsPerSecond = 430_000 }},
		{"1,344-byte messages/s", func(r Round) { r["rate 1344"].MsgsPerSecond = 169_000 }},
		{"allocations", func(r Round) { r["rate 64"].AllocsPerMsg = 0.01 }},
	}
	if len(worse) != len(Bars()) {
		t.Errorf("%d bars, %d ways to miss one", len(Bars()), len(worse))
	}
	for _, c := range worse {
		r := good()
		c.spoil(r)
		missed := 0
		for _, v := range Judge(Bars(), []Round{r}, 1) {
			if strings.HasPrefix(v.What, c.what) && !v.Reached {
				missed++
			}
		}
		if missed != 1 {
			t.Errorf("%s: spoiled, and %d bars say so", c.what, missed)
		}
	}
	for name := range good() {
		r := good()
		delete(r, name)
		for _, v := range Judge(Bars(), []Round{r}, 2) {
			if v.Median != v.Median && v.Reached {
				t.Errorf("without the run %q: %s is reached by nothing", name, v.What)
			}
		}
	}
}

func TestMedianAndStrict(t *testing.T) {
	bad := good()
	bad["rtt"].RTT.P50 = 50_000
	bad["four 1%"].Lost = 1
	for _, v := range Judge(Bars(), []Round{good(), bad, good()}, 1) {
		want := !v.Strict || !strings.Contains(v.What, "1 % loss")
		if v.Reached != want {
			t.Errorf("one bad round of three: %s is %v, want %v", v.What, v.Reached, want)
		}
	}
}

func TestSlack(t *testing.T) {
	atMost, atLeast := Bar{Limit: 3}, Bar{Limit: 3, AtLeast: true}
	if atMost.Reached(4, 1) || !atMost.Reached(4, 2) || atLeast.Reached(2, 1) || !atLeast.Reached(2, 2) {
		t.Error("twice the slack is not what it says")
	}
	if (Bar{Strict: true}).Reached(1, 2) {
		t.Error("a count has slack")
	}
}

func TestEveryBarHasItsRuns(t *testing.T) {
	r := Round{}
	for _, c := range Cases(time.Second) {
		if r[c.Name] != nil {
			t.Errorf("two cases are called %q", c.Name)
		}
		if g := good()[c.Name]; g != nil {
			r[c.Name] = g
		} else {
			t.Errorf("case %q is used by nothing", c.Name)
		}
	}
	for _, v := range Judge(Bars(), []Round{r}, 1) {
		if strings.Contains(v.What, "ping-pong") || strings.Contains(v.What, "sockperf") {
			t.Errorf("%s: judged on a host that has no such program", v.What)
		}
		if !v.Reached {
			t.Errorf("%s: cannot be told from the runs that there are", v.What)
		}
	}
}

func TestTakeGoesOnAfterAFailure(t *testing.T) {
	cases := Cases(time.Second)
	failures := 0
	rounds, err := Take(t.Context(), Suite{Cases: cases}, 2, func(_ context.Context, args []string) (*measure.Result, error) {
		line := strings.Join(args, " ")
		i := slices.IndexFunc(cases, func(c Case) bool { return line == strings.Join(c.Args(), " ") })
		if i < 0 || cases[i].Name == "rtt" {
			return nil, errors.New("planted")
		}
		return good()[cases[i].Name], nil
	}, func(string, error) { failures++ })
	if err != nil || failures != 2 || len(rounds) != 2 || len(rounds[0]) != len(cases)-1 {
		t.Errorf("%v, %d failures, %d rounds", err, failures, len(rounds))
	}
}

func TestReportAndUpdate(t *testing.T) {
	text := Report(Suite{Cases: Cases(time.Second), Bars: Bars(), Yard: []Yardstick{{Name: "sockperf", Command: "sockperf ping-pong"}}}, []Round{good()})
	for _, want := range []string{
		"| round trip, 64 bytes: p50 / raw p50 | ≤ 1.35 | 1.2 | 6.0 / 5.0 µs | yes |",
		"`blazebench loss --size 256 --receivers 4 --loss 0.2 --duration 10s`",
		"`blazebench raw --size 1344 --gso --duration 1s`",
		"| `sockperf ping-pong` | | | p50 4.9 µs |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	file := filepath.Join(t.TempDir(), "RESULTS.md")
	if err := os.WriteFile(file, []byte("before\n"+begin+"\nold\n"+end+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Update(file, "new\n"); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(file)
	if want := "before\n" + begin + "\n\nnew\n\n" + end + "\nafter\n"; string(got) != want {
		t.Errorf("got %q", got)
	}
	if err := os.WriteFile(file, []byte("no markers"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Update(file, "new"); err == nil {
		t.Error("a file without markers was overwritten")
	}
}

func TestYardsticksParse(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          float64
	}{
		{`p50 ([0-9.]+) ns`, "size 64 rounds 2000 p50 10295 ns p99 37446779 ns", 10295},
		{`percentile 50\.0+ =\s*([0-9.]+)`, "---> percentile 75.000 =   10.255\n---> percentile 50.000 =    9.754", 9.754},
	} {
		if got, err := number(c.pattern, c.text); err != nil || got != c.want {
			t.Errorf("%q: %v, %v", c.text, got, err)
		}
	}
	if _, err := number("p50 ([0-9]+)", "nothing"); err == nil {
		t.Error("found a number in nothing")
	}
}

// CI judges a ratio by its best round, and a count by every round.
func TestInOneRound(t *testing.T) {
	slow, lost := good(), good()
	slow["rate 64"].MsgsPerSecond = 1
	lost["four 1%"].Lost = 1
	for _, v := range Judge(Bars(), []Round{slow, good(), slow}, 1) {
		missed := !v.Reached
		if v.InOneRound(1); !v.Reached {
			t.Errorf("%s: one good round is not enough", v.What)
		}
		if strings.HasPrefix(v.What, "64-byte messages/s") && !missed {
			t.Errorf("%s: reached by the median of two bad rounds", v.What)
		}
	}
	misses := 0
	for _, v := range Judge(Bars(), []Round{good(), lost, good()}, 1) {
		if v.InOneRound(1); !v.Reached {
			misses++
		}
	}
	if misses != 1 {
		t.Errorf("a message is lost in one round, and %d bars say so", misses)
	}
}

// What is judged by the best round runs until one round has reached it, and no longer; what is counted runs twice.
func TestTakeForOne(t *testing.T) {
	plain, lossy := Suite{Bars: Bars()}, good()
	lossy["rate 64 5%"].MsgsPerSecond = 1 // slow, in the first two rounds
	for _, name := range slices.Sorted(maps.Keys(good())) {
		plain.Cases = append(plain.Cases, Case{Name: name, Line: strings.ReplaceAll(name, " ", "_")})
	}
	var ran []string
	begun := map[string]int{}
	run := func(_ context.Context, args []string) (*measure.Result, error) {
		name := strings.ReplaceAll(args[0], "_", " ")
		ran = append(ran, name)
		if begun[name]++; begun[name] < 3 {
			return lossy[name], nil
		}
		return good()[name], nil
	}
	rounds, err := TakeForOne(t.Context(), plain, 5, 1, run, func(string, error) {})
	if err != nil || len(rounds) != 3 {
		t.Fatal(len(rounds), err)
	}
	first := len(plain.Cases)
	want := slices.Concat(ran[:first],
		[]string{"four 1%", "four 20%", "rate 64", "rate 64 5%"}, // 64 is what 5 % is compared with
		[]string{"rate 64", "rate 64 5%"})
	if !slices.Equal(ran, want) {
		t.Errorf("ran %q, want %q", ran, want)
	}
	for _, v := range Judge(plain.Bars, rounds, 1) {
		if v.InOneRound(1); !v.Reached {
			t.Errorf("%s: not reached: %v", v.What, v.Values)
		}
	}
	// A run that fails is none that was good before.
	failing := func(_ context.Context, args []string) (*measure.Result, error) {
		if begun[args[0]]++; begun[args[0]] > 1 {
			return nil, errors.New("failed")
		}
		return good()[strings.ReplaceAll(args[0], "_", " ")], nil
	}
	clear(begun)
	failures := 0
	rounds, err = TakeForOne(t.Context(), plain, 2, 1, failing, func(string, error) { failures++ })
	if err != nil || failures != 2 || rounds[1]["four 1%"] != nil || rounds[1]["rtt"] == nil {
		t.Errorf("%d failures, %v, %v", failures, rounds[1], err)
	}
}

// An independent program runs right behind the case that it is compared with.
func TestYardsticksFollowTheirCases(t *testing.T) {
	var order []string
	yard := func(name, after string) Yardstick {
		return Yardstick{Name: name, After: after, run: func(context.Context) (*measure.Result, error) {
			order = append(order, name)
			return &measure.Result{}, nil
		}}
	}
	s := Suite{Cases: []Case{{Name: "a", Line: "a"}, {Name: "b", Line: "b"}, {Name: "c", Line: "c"}}, Yard: []Yardstick{yard("x", ""), yard("y", "b")}}
	rounds, err := Take(t.Context(), s, 2, func(_ context.Context, args []string) (*measure.Result, error) {
		order = append(order, args[0])
		return &measure.Result{}, nil
	}, func(string, error) {})
	if got := strings.Join(order, ""); err != nil || got != "axbycaxbyc" || len(rounds[1]) != 5 {
		t.Errorf("ran %s, %v", got, err)
	}
}

// spoilt is a round in which one bar is missed.
type spoilt struct {
	what  string // prefix of the bar
	spoil func(r Round)
}

// eachCanFail checks that a good round reaches every bar, and that each way to spoil one is found
// by just one of them.
func eachCanFail(t *testing.T, bars []Bar, good func() Round, worse []spoilt) {
	t.Helper()
	for _, v := range Judge(bars, []Round{good()}, 1) {
		if !v.Reached {
			t.Fatalf("not reached in a good round: %s: %v, want %s", v.What, v.Median, v.Text(1))
		}
	}
	if len(worse) != len(bars) {
		t.Errorf("%d bars, %d ways to miss one", len(bars), len(worse))
	}
	for _, c := range worse {
		r := good()
		c.spoil(r)
		missed := 0
		for _, v := range Judge(bars, []Round{r}, 1) {
			if strings.HasPrefix(v.What, c.what) && !v.Reached {
				missed++
			}
		}
		if missed != 1 {
			t.Errorf("%s: spoiled, and %d bars say so", c.what, missed)
		}
	}
}
