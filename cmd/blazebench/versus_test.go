package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Each round runs every program once, in an order of its own; the lines of --json say which it was.
func TestCompareWith(t *testing.T) {
	t.Setenv("BLAZEBENCH_TEST_MAIN", "1")
	_, stdout, stderr := bench(t, "compare", "--with", "old="+os.Args[0], "--rounds", "2", "--duration", "20ms", "--only", "rtt", "--pin", "off", "--json", "-")
	runs := map[string]int{}
	for dec := json.NewDecoder(strings.NewReader(stdout)); dec.More(); {
		var l versusRun
		if err := dec.Decode(&l); err != nil {
			t.Fatal(err)
		}
		if l.Match != "rtt" || l.Run == nil || l.Run.RTT == nil || l.CPUs == nil || len(l.CPUs) > 0 {
			t.Errorf("a line of --json is %+v", l)
		}
		runs[l.Program]++
	}
	if len(runs) != programs || runs["old"] != 2 || runs["old again"] != 2 || runs["now"] != 2 {
		t.Errorf("ran %v\n%s", runs, stderr)
	}
}

// A program that fails is no program that is slow.
func TestCompareWithAProgramThatFails(t *testing.T) {
	fails, err := exec.LookPath("false")
	if err != nil {
		t.Skip("there is no program called false")
	}
	t.Setenv("BLAZEBENCH_TEST_MAIN", "1")
	code, stdout, stderr := bench(t, "compare", "--with", "before="+fails, "--rounds", "1", "--duration", "20ms", "--only", "rtt")
	if code != exitFailed || !strings.Contains(stdout, "2 FAILED") || !strings.Contains(stderr, "2 runs failed") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
}
