package main

import (
	"encoding/json"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"
)

// Round trips of this program, of raw and of two other programs on loopback; one that is missing is named.
func TestCompareRivals(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("raw is measured on Linux")
	}
	t.Setenv("BLAZEBENCH_TEST_MAIN", "1") // this test's program plays blazebench
	args := []string{"compare", "--rig", "none", "--rounds", "2", "--duration", "50ms", "--pin", "off",
		"--with", "echo=ping echo p50=5us p99=9us|pong sleep 3600", "--with", "gone=/no/such/program", "--with", "absent=ping absent-1|pong absent-2"}
	code, stdout, stderr := bench(t, append(args, "--json", "-")...)
	for try := 1; code != exitOK && try < 10; try++ { // a host that is busy elsewhere may give raw no processor for so long
		code, stdout, stderr = bench(t, append(args, "--json", "-")...)
	}
	if code != exitOK || !strings.Contains(stderr, "left out: gone: ") || !strings.Contains(stderr, "left out: absent: absent-1: not installed") {
		t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
	}
	found := map[string]int{}
	for dec := json.NewDecoder(strings.NewReader(stdout)); dec.More(); {
		var m matched
		if err := dec.Decode(&m); err != nil {
			t.Fatal(err)
		}
		if m.Failed > 0 || len(m.Runs) != 2 || m.P50.Lowest <= 0 || m.P50.Median < m.P50.Lowest || m.P50.Highest < m.P50.Median || m.P99.Ratio <= 0 {
			t.Errorf("%+v", m)
		}
		if m.Contender == "echo" && (m.P50.Median != 5000 || m.P99.Highest != 9000) || m.Contender == "blaze" && m.P50.Ratio != 1 {
			t.Errorf("%+v", m)
		}
		found[m.Contender]++
	}
	for _, name := range []string{"blaze", "echo", "raw, loop off", "raw, loop on"} {
		if found[name] != len(rivalSizes) {
			t.Errorf("%d lines of %s", found[name], name)
		}
	}
	if len(found) != 4 {
		t.Errorf("%v", found)
	}
}

// What fails is said and is no figure; the others are shown, in 80 columns.
func TestCompareRivalThatFails(t *testing.T) {
	fails, err := exec.LookPath("false")
	if err != nil || runtime.GOOS != "linux" {
		t.Skip("there is no program called false, or no Linux")
	}
	t.Setenv("BLAZEBENCH_TEST_MAIN", "1")
	code, stdout, stderr := bench(t, "compare", "--rig", "none", "--rounds", "1", "--duration", "20ms", "--with", "before="+fails)
	if code != exitFailed || !strings.Contains(stderr, "before, 64 bytes: exit status 1") || !strings.Contains(stdout, "all failed") || strings.Count(stdout, "before") != len(rivalSizes) {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	narrow(t, stdout)
}

// narrow fails where a line is longer than a terminal of 80 columns shows.
func narrow(t *testing.T, text string) {
	t.Helper()
	for line := range strings.SplitSeq(text, "\n") {
		if n := utf8.RuneCountInString(line); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestScaleCommand(t *testing.T) {
	code, stdout, stderr := bench(t, "scale", "--only", "subscriptions", "--duration", "10ms")
	if code != exitOK || !strings.Contains(stdout, "10,000 topics") || strings.Contains(stdout, "lanes") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	narrow(t, stdout)
}
