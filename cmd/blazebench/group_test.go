package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/activeblaze/blaze/bench/measure"
)

// inGroup runs the group workload and reads its JSON.
func inGroup(t *testing.T, args ...string) (r measure.GroupResult, raw map[string]any) {
	t.Helper()
	code, stdout, stderr := bench(t, append([]string{"group", "--json", "-", "--duration", "50ms"}, args...)...)
	err := json.Unmarshal([]byte(stdout), &r)
	if err != nil || json.Unmarshal([]byte(stdout), &raw) != nil || code != exitOK {
		t.Fatalf("blazebench group %s: exit %d, %v\n%s%s", strings.Join(args, " "), code, err, stdout, stderr)
	}
	return r, raw
}

func TestGroupRequest(t *testing.T) {
	for _, c := range []struct {
		args     string
		invoker  bool
		messages bool
	}{
		{args: "", invoker: true},
		{args: "--idle backoff --size 3000"},
		{args: "--messages", messages: true},
		{args: "--senders 4 --loss 0.02"},
	} {
		t.Run(c.args, func(t *testing.T) {
			r, raw := inGroup(t, strings.Fields(c.args)...)
			if r.Sent == 0 || r.Delivered != r.Sent || !r.Exact() || r.Transport != "udp" || r.Messages != c.messages {
				t.Errorf("%s, %s, messages %v", counts(&r.Result), r.Transport, r.Messages)
			}
			if c.invoker && r.Idle == "busyspin" != r.Invoker { // which it is if there are two CPUs
				t.Errorf("idle %s, invoker %v", r.Idle, r.Invoker)
			}
			if r.RequestsPerSecond <= 0 || r.Request == nil || r.Request.P50 <= 0 || raw["rtt_ns"] != nil || raw["detect_ms"] != nil {
				t.Errorf("%v requests/s, %+v, rtt_ns %v, detect_ms %v", r.RequestsPerSecond, r.Request, raw["rtt_ns"], raw["detect_ms"])
			}
		})
	}
}

func TestGroupRequestCompared(t *testing.T) {
	r, _ := inGroup(t, "--compare", "nack")
	if r.RTT == nil || r.RTT.P50 <= 0 || r.RequestPerRTT <= 0 || r.Compare != "nack" || r.Sent == 0 {
		t.Errorf("round trip %+v, ratio %v, %s", r.RTT, r.RequestPerRTT, counts(&r.Result))
	}
}

func TestGroupSend(t *testing.T) {
	for _, n := range []string{"1", "16"} {
		r, _ := inGroup(t, "--what", "send", "--senders", n)
		if r.SendsPerSecond <= 0 || r.Send == nil || r.Sent == 0 || r.Delivered != r.Sent || !r.Exact() {
			t.Errorf("%s at a time: %v/s, %s", n, r.SendsPerSecond, counts(&r.Result))
		}
	}
}

func TestGroupQueue(t *testing.T) {
	// On a loaded host a consumer must not be taken for failed.
	r, _ := inGroup(t, "--what", "queue", "--consumers", "3", "--failure-timeout", "1s")
	if r.QueuePerSecond <= 0 || r.Queue == nil || r.Sent == 0 || r.Delivered != r.Sent || r.Duplicates+r.Redelivered+r.Outstanding != 0 || r.LeastShare <= 0 {
		t.Errorf("%+v", r)
	}
	r, _ = inGroup(t, "--what", "queue", "--consumers", "2", "--count", "500", "--kills", "1", "--failure-timeout", "200ms")
	if r.Sent != 500 || r.Delivered != 500 || r.Unmarked != 0 || r.Kills != 1 || r.Outstanding == 0 {
		t.Errorf("%s, %d unmarked, %d handed out again", counts(&r.Result), r.Unmarked, r.Outstanding)
	}
}

func TestGroupMembers(t *testing.T) {
	r, _ := inGroup(t, "--what", "members", "--members", "2", "--kills", "1", "--idle", "block")
	if r.Detect == nil || r.DetectMax == nil || len(r.Detects) != 1 || *r.Detect <= 0 || r.BeatBits <= 0 || r.Transport != "udp" {
		t.Errorf("%+v", r)
	}
}

func TestGroupPrints(t *testing.T) {
	for args, want := range map[string][]string{
		"--what request --compare nack":        {"requests/s", "request / NACK", "0 lost"},
		"--what send":                          {"sends/s", "1 call at a time"},
		"--what queue --failure-timeout 1s":    {"queue messages/s", "4, 0 killed"},
		"--what members --members 2 --kills 1": {"1 member killed, reported by all others after", "wake-ups/s"},
	} {
		code, stdout, stderr := bench(t, append([]string{"group", "--duration", "20ms"}, strings.Fields(args)...)...)
		for _, w := range want {
			if code != exitOK || !strings.Contains(stdout, w) {
				t.Errorf("%s: exit %d, no %q in:\n%s%s", args, code, w, stdout, stderr)
			}
		}
	}
}

func TestGroupMustHold(t *testing.T) {
	for _, c := range []struct {
		name string
		r    measure.GroupResult
		ok   bool
	}{
		{"clean", measure.GroupResult{What: "send"}, true},
		{"lost", measure.GroupResult{What: "request", Result: measure.Result{Lost: 1}}, false},
		{"a send twice", measure.GroupResult{What: "send", Result: measure.Result{Duplicates: 1}}, false},
		{"redelivered", measure.GroupResult{What: "queue", Outstanding: 2, Redelivered: 2, Result: measure.Result{Duplicates: 1}}, true},
		{"handled again unmarked", measure.GroupResult{What: "queue", Outstanding: 2, Unmarked: 1, Result: measure.Result{Duplicates: 1}}, false},
		{"more again than were handed out", measure.GroupResult{What: "queue", Outstanding: 2, Result: measure.Result{Duplicates: 3}}, false},
		{"never handled", measure.GroupResult{What: "queue", Result: measure.Result{Lost: 1}}, false},
	} {
		if err := groupMustHold(&c.r); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
