package measure

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
)

// The names that scripts rely on, in the order in which they are written.
var stable = []string{
	"schema", "time", "host", "module_version",
	"workload", "uri", "transport", "xdp_mode", "xdp_socket", "rig", "protocol", "size", "receivers", "seconds", "sent", "delivered", "lost",
	"duplicates", "reordered", "msgs_per_s", "bytes_per_s", "datagrams_per_s", "rtt_ns", "latency_ns", "repair_ns", "breakdown",
	"naks_sent", "repairs_sent", "allocs_per_msg", "cpu_s", "kernel", "cpus",
}

func TestStableNames(t *testing.T) {
	r := Result{RTT: &Percentiles{P50: 7}}
	r.Circumstances()
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range stable {
		if _, ok := got[name]; !ok {
			t.Errorf("JSON lacks %q", name)
		}
	}
	if got["latency_ns"] != nil {
		t.Errorf("latency_ns that nobody measured is %v, want null", got["latency_ns"])
	}
	rtt, _ := got["rtt_ns"].(map[string]any)
	for _, k := range []string{"min", "p50", "p90", "p99", "p99.9", "p99.99", "max"} {
		if _, ok := rtt[k]; !ok {
			t.Errorf("rtt_ns lacks %q", k)
		}
	}
	if got["kernel"] == "" || got["cpus"].(float64) < 1 {
		t.Errorf("circumstances are missing: kernel %v, cpus %v", got["kernel"], got["cpus"])
	}
}

func TestExactSeesEveryDefect(t *testing.T) {
	for i, f := range []func(*Result){
		func(r *Result) { r.Lost = 1 }, func(r *Result) { r.Duplicates = 1 },
		func(r *Result) { r.Reordered = 1 }, func(r *Result) { r.Corrupt = 1 },
		func(r *Result) { r.Unanswered = 1 },
	} {
		r := Result{Sent: 10, Delivered: 10}
		if !r.Exact() {
			t.Fatal("a clean run is not exact")
		}
		if f(&r); r.Exact() {
			t.Errorf("defect %d goes unseen", i)
		}
	}
}

func TestReadBack(t *testing.T) {
	want := Result{Workload: "loss", Sent: 1 << 40, Repair: &Percentiles{Min: 1, P50: 2, Max: 7}}
	var b bytes.Buffer
	if err := want.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got Result
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Sent != want.Sent || *got.Repair != *want.Repair || !slices.Equal([]string{got.Workload}, []string{"loss"}) {
		t.Errorf("read back %+v", got)
	}
}
