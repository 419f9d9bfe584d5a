package measure

import (
	"bytes"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// The JSON of a group's result is what scripts read: it changes only on purpose.
func TestGroupJSON(t *testing.T) {
	ms, most := 86.5, 93.25
	p := func(n int64) *Percentiles {
		return &Percentiles{Min: n, P50: n + 1, P90: n + 2, P99: n + 3, P999: n + 4, P9999: n + 5, Max: n + 6}
	}
	r := GroupResult{
		Result: Result{
			Workload: "group", URI: "udp://239.255.66.76:6676", Transport: "udp", Protocol: "group", Size: 64, Receivers: 1, Seconds: 5,
			Sent: 10, Delivered: 10, RTT: p(100), Kernel: "Linux", CPUs: 2,
		},
		What: "request", Members: 2, Senders: 1, Consumers: 4, Messages: true, Invoker: true, Compare: "nack",
		RequestsPerSecond: 1, Request: p(200), RequestPerRTT: 2, AllocsPerRequest: 3,
		SendsPerSecond: 4, Send: p(300), QueuePerSecond: 5, Queue: p(400),
		Redelivered: 6, Unmarked: 7, Outstanding: 8, LeastShare: 0.25,
		Kills: 9, Detect: &ms, DetectMax: &most, Detects: []float64{ms, most}, FalseFailures: 10,
		Loaded: true, BeatBits: 11, MemberCPU: 12, Wakeups: 13, Sleeps: 15, ClosestCall: 14,
	}
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/group.json"
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("got\n%s\nwant\n%s", b.Bytes(), want)
	}
}
