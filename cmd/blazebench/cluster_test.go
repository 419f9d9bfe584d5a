package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/activeblaze/blaze/bench/measure"
)

// inCluster runs the cluster workload and reads its JSON.
func inCluster(t *testing.T, args ...string) (r measure.ClusterResult) {
	t.Helper()
	code, stdout, stderr := bench(t, append([]string{"cluster", "--json", "-", "--duration", "50ms", "--keys", "100"}, args...)...)
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != exitOK {
		t.Fatalf("blazebench cluster %s: exit %d, %v\n%s%s", strings.Join(args, " "), code, err, stdout, stderr)
	}
	if r.PutsPerSecond <= 0 || r.Put == nil || r.Put.P50 <= 0 || r.Mismatches != 0 || r.Transport != "udp" || r.Rules == 0 {
		t.Errorf("%s: %+v", strings.Join(args, " "), r)
	}
	return r
}

// Hosts of tests stop processes for longer than the timers of a LAN bear: then rings break, and puts fail rightly.
func TestClusterPuts(t *testing.T) {
	r := inCluster(t, "--reads", "1", "--locks", "--writers", "4", "--profile", "shared")
	if r.GetsPerSecond <= 0 || r.LinearPerSecond <= 0 || r.Linear == nil || r.LockHandOffs <= 0 || r.RotationNS <= 0 || r.Members != 3 || r.Failover != nil || r.Filesync != 0 {
		t.Errorf("%+v", r)
	}
	if r := inCluster(t, "--dir", "--members", "2", "--writers", "4", "--rate", "1000", "--profile", "shared"); r.Filesync <= 0 || !r.DataDir || r.PutsPerSecond > 2000 {
		t.Errorf("%+v", r)
	}
}

func TestClusterKillAndJoin(t *testing.T) {
	r := inCluster(t, "--kill", "--kills", "1", "--writers", "4")
	if r.Failover == nil || *r.Failover <= 0 || r.LockFailover == nil || len(r.LockFailovers) != 1 || r.Kills != 1 {
		t.Errorf("%+v", r)
	}
	r = inCluster(t, "--join", "1000", "--members", "2", "--duration", "3s", "--rate", "1000")
	if r.Ready <= 0 || r.TransferPerSecond <= 0 || r.Joined != 1000 {
		t.Errorf("%+v", r)
	}
}

func TestClusterPrints(t *testing.T) {
	code, stdout, stderr := bench(t, "cluster", "--duration", "20ms", "--keys", "10", "--reads", "1", "--locks", "--writers", "3", "--loss", "0.01")
	for _, want := range []string{"puts ", "linear by 3", "hand-offs/s", "a rotation", "injected loss", "0 replicas differ"} {
		if code != exitOK || !strings.Contains(stdout, want) {
			t.Errorf("exit %d, no %q in:\n%s%s", code, want, stdout, stderr)
		}
	}
}

func TestClusterMustHold(t *testing.T) {
	for _, c := range []struct {
		name string
		r    measure.ClusterResult
		ok   bool
	}{
		{"clean", measure.ClusterResult{Put: &measure.Percentiles{}}, true},
		{"another state", measure.ClusterResult{Put: &measure.Percentiles{}, Mismatches: 1}, false},
		{"nothing", measure.ClusterResult{}, false},
	} {
		if err := clusterMustHold(&c.r); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for args, want := range map[string]string{
		"--members 2 --kill": "to go on without one there must be 3", "--profile wan": "want lan, isolated or shared", "--members 17": "want 1 to 15", "--writers 0": "want more than 0", "--join -1": "want 0 to",
	} {
		if code, _, stderr := bench(t, append([]string{"cluster"}, strings.Fields(args)...)...); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, %s", args, code, stderr)
		}
	}
}
