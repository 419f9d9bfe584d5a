package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/activeblaze/blaze/bench/measure"
)

// inJMS runs the jms workload and reads its JSON.
func inJMS(t *testing.T, args ...string) (r measure.JMSResult) {
	t.Helper()
	code, stdout, stderr := bench(t, append([]string{"jms", "--json", "-", "--duration", "200ms", "--producers", "3", "--consumers", "2"}, args...)...)
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != exitOK {
		t.Fatalf("blazebench jms %s: exit %d, %v\n%s%s", strings.Join(args, " "), code, err, stdout, stderr)
	}
	if r.MsgsPerSecond <= 0 || r.Send == nil || r.EndToEnd == nil || r.EndToEnd.P50 <= 0 || r.Sent == 0 || r.Size != 100 || r.Workload != "jms" || r.Producers != 3 || r.Consumers != 2 {
		t.Errorf("%s: %+v", strings.Join(args, " "), r)
	}
	return r
}

func TestJMSQueue(t *testing.T) {
	r := inJMS(t, "--holders", "1")
	if r.Holders != 1 || r.Delivered != r.Sent || r.Lost+r.Duplicates+r.Redelivered != 0 || r.Commit != nil || r.Failover != nil {
		t.Errorf("%+v", r)
	}
	r = inJMS(t, "--holders", "1", "--transacted", "10")
	if r.Transacted != 10 || r.Commit == nil || r.Commit.P50 <= r.Send.Min || r.Delivered != r.Sent || r.Duplicates+r.Redelivered != 0 {
		t.Errorf("%+v", r)
	}
}

func TestJMSDir(t *testing.T) {
	r := inJMS(t, "--dir")
	if !r.DataDir || r.Filesync <= 0 || r.Delivered != r.Sent || r.Lost+r.Duplicates+r.Redelivered != 0 {
		t.Errorf("%+v", r)
	}
}

// A holder that is killed takes nothing with it.
func TestJMSKill(t *testing.T) {
	r := inJMS(t, "--kill")
	if r.Failover == nil || *r.Failover <= 0 || r.Holders != 3 || r.Delivered != r.Sent {
		t.Errorf("%+v", r)
	}
}

func TestJMSWithoutHolders(t *testing.T) {
	if r := inJMS(t, "--direct"); !r.Direct || r.Holders != 0 || r.Delivered != r.Sent || r.Duplicates != 0 {
		t.Errorf("%+v", r)
	}
	if r := inJMS(t, "--topic"); !r.Topic || r.Holders != 0 || r.Delivered <= r.Sent || r.Delivered > 2*r.Sent {
		t.Errorf("%+v", r)
	}
}

func TestJMSPrints(t *testing.T) {
	code, stdout, stderr := bench(t, "jms", "--holders", "1", "--producers", "1", "--consumers", "1", "--duration", "50ms", "--transacted", "2")
	for _, want := range []string{"jms, queue: 1 holder, 1 producer, 1 consumer, 100 bytes", "messages/s received", "of 2 messages", "end to end", "commit "} {
		if code != exitOK || !strings.Contains(stdout, want) {
			t.Errorf("exit %d, no %q in:\n%s%s", code, want, stdout, stderr)
		}
	}
}

func TestJMSMustHold(t *testing.T) {
	ok := func(change func(*measure.JMSResult)) measure.JMSResult {
		r := measure.JMSResult{Send: &measure.Percentiles{}, EndToEnd: &measure.Percentiles{}}
		change(&r)
		return r
	}
	for _, c := range []struct {
		name string
		r    measure.JMSResult
		ok   bool
	}{
		{"clean", ok(func(*measure.JMSResult) {}), true},
		{"lost", ok(func(r *measure.JMSResult) { r.Lost = 1 }), false},
		{"a topic that began before its consumers", ok(func(r *measure.JMSResult) { r.Topic, r.Lost = true, 1 }), true},
		{"twice with a mark", ok(func(r *measure.JMSResult) { r.Duplicates, r.Redelivered = 1, 1 }), true},
		{"twice without", ok(func(r *measure.JMSResult) { r.Duplicates = 1 }), false},
		{"corrupt", ok(func(r *measure.JMSResult) { r.Corrupt = 1 }), false},
		{"nothing", measure.JMSResult{}, false},
	} {
		if err := jmsMustHold(&c.r); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for args, want := range map[string]string{
		"--holders 17": "want 1 to 16", "--producers 0": "want more than 0", "--consumers 257": "want 1 to 256", "--transacted -1": "want 0 to 1000",
		"--topic --direct": "want one of them", "--topic --transacted 2": "for a queue that is held", "--direct --kill": "there is none", "--topic --dir": "there is none", "--kill --holders 2": "there must be 3",
	} {
		if code, _, stderr := bench(t, append([]string{"jms"}, strings.Fields(args)...)...); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, %s", args, code, stderr)
		}
	}
}
