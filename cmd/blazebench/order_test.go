package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/activeblaze/blaze/bench/measure"
)

// inOrderJSON runs the order workload and reads its JSON.
func inOrderJSON(t *testing.T, args ...string) (r measure.OrderResult, raw map[string]any) {
	t.Helper()
	args = append([]string{"order", "--verify", "--json", "-"}, args...)
	code, stdout, stderr := bench(t, args...)
	err := json.Unmarshal([]byte(stdout), &r)
	if err != nil || json.Unmarshal([]byte(stdout), &raw) != nil || code != exitOK {
		t.Fatalf("blazebench %s: exit %d, %v\n%s%s", strings.Join(args, " "), code, err, stdout, stderr)
	}
	return r, raw
}

func TestOrder(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"--safe", "--rate", "3000"},
		{"--loss", "0.05", "--rate", "3000", "--size", "3000"},
		{"--plain", "--members", "2"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			r, raw := inOrderJSON(t, append(args, "--duration", "150ms", "--profile", "shared")...)
			if r.OrderViolations+r.Duplicates+r.Reordered+r.Corrupt != 0 || r.Sent == 0 || r.Compared == 0 || !r.Verified {
				t.Errorf("%s, %d compared", counts(&r.Result), r.Compared)
			}
			// A member that was out of the ring for a while, on a host that stood still, may miss something.
			if r.Views == 1 && (r.Delivered != r.Sent*uint64(r.Ring) || r.Lost != 0) {
				t.Errorf("%s at %d members", counts(&r.Result), r.Ring)
			}
			if r.Own == nil || r.Last == nil || r.Latency == nil || r.Own.P50 <= 0 || r.Last.Max < r.Own.Min {
				t.Errorf("own %+v, last %+v", r.Own, r.Last)
			}
			if r.MsgsPerSecond <= 0 || r.TokenRotationNS <= 0 || r.Transport != "udp" {
				t.Errorf("%v messages/s, rotation %v ns, %s", r.MsgsPerSecond, r.TokenRotationNS, r.Transport)
			}
			for _, name := range []string{"order_violations", "views", "failover_ms", "token_rotation_ns", "workload", "msgs_per_s", "latency_ns", "cpus"} {
				if _, there := raw[name]; !there {
					t.Errorf("the JSON lacks %s", name)
				}
			}
		})
	}
}

// The same exchange without a ring, to compare with.
func TestOrderByNACK(t *testing.T) {
	code, stdout, stderr := bench(t, "order", "--protocol", "nack", "--duration", "100ms", "--loss", "0.01", "--json", "-")
	var r measure.OrderResult
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != exitOK {
		t.Fatalf("exit %d, %v\n%s%s", code, err, stdout, stderr)
	}
	if r.Sent == 0 || r.Delivered != r.Sent*3 || !r.Exact() || r.Views != 0 || r.Protocol != "nack" {
		t.Errorf("%s, %d views, %s", counts(&r.Result), r.Views, r.Protocol)
	}
}

func TestOrderKill(t *testing.T) {
	r, _ := inOrderJSON(t, "--kill", "--rate", "2000", "--duration", "600ms", "--profile", "lan")
	if r.OrderViolations != 0 || r.Views < 2 || r.FailoverMS == nil || *r.FailoverMS <= 0 {
		t.Errorf("%d violations, %d views, failover %v ms", r.OrderViolations, r.Views, r.FailoverMS)
	}
}

func TestOrderPrints(t *testing.T) {
	code, stdout, stderr := bench(t, "order", "--verify", "--duration", "50ms", "--members", "2", "--rate", "1000", "--profile", "shared")
	for _, want := range []string{"2 members", "profile shared", "own delivery", "last delivery", "the same at all members", "0 lost"} {
		if code != exitOK || !strings.Contains(stdout, want) {
			t.Fatalf("exit %d, no %q in:\n%s%s", code, want, stdout, stderr)
		}
	}
}

// What a run makes its channels lose stays with that run, though both are under way in one process.
func TestTwoRunsAtOnce(t *testing.T) {
	type outcome struct {
		r    measure.Result
		text string
	}
	start := func(loss string) <-chan outcome {
		done := make(chan outcome, 1)
		go func() {
			_, stdout, stderr := bench(t, "latency", "--duration", "200ms", "--idle", "backoff", "--loss", loss, "--json", "-")
			o := outcome{text: stdout + stderr}
			_ = json.Unmarshal([]byte(stdout), &o.r)
			done <- o
		}()
		return done
	}
	lossy, clean := start("0.2"), start("0")
	for name, o := range map[string]outcome{"with loss": <-lossy, "without": <-clean} {
		if o.r.Sent == 0 || !o.r.Exact() {
			t.Errorf("the run %s: %s", name, o.text)
		}
		if repaired := o.r.RepairedByNACK > 0; repaired != (name == "with loss") {
			t.Errorf("the run %s: %d datagrams were repaired", name, o.r.RepairedByNACK)
		}
	}
}

func TestOrderUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--members", "0"}, {"--members", "17"}, {"--members", "1", "--kill"}, {"--profile", "wan"}, {"--size", "3"}, {"--protocol", "fec"}, {"--protocol", "nack", "--verify"}, {"extra"}, {"--bogus"},
	} {
		if code, _, stderr := bench(t, append([]string{"order"}, args...)...); code != exitUsage || stderr == "" {
			t.Errorf("%v: exit %d, %q", args, code, stderr)
		}
	}
}

func TestOrderMustHold(t *testing.T) {
	ms := 1.0
	for _, c := range []struct {
		name string
		r    measure.OrderResult
		ok   bool
	}{
		{"clean", measure.OrderResult{Views: 1}, true},
		{"a violation", measure.OrderResult{Views: 1, OrderViolations: 1}, false},
		{"lost in one ring", measure.OrderResult{Views: 1, Result: measure.Result{Lost: 1}}, false},
		{"lost by one that was out of the ring", measure.OrderResult{Views: 3, Result: measure.Result{Lost: 1}}, true},
		{"corrupt", measure.OrderResult{Views: 1, Result: measure.Result{Corrupt: 1}}, false},
		{"went on after a kill", measure.OrderResult{Views: 2, Killed: true, FailoverMS: &ms}, true},
		{"stood still after a kill", measure.OrderResult{Views: 2, Killed: true}, false},
	} {
		if err := orderMustHold(&c.r); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
