package blaze_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// A handler of Watch that does not return holds up no write, and misses nothing.
func TestWatchThatSleeps(t *testing.T) {
	a := alone(t)
	m := a.Map("m")
	wake, got := make(chan struct{}), make(chan string, 100)
	defer m.Watch("", func(e blaze.MapEvent) {
		<-wake
		got <- e.Key
	})()
	const n = 50
	for i := range n {
		mustPut(t, m, fmt.Sprint(i), "v")
	}
	close(wake)
	for i := range n {
		if key := next(t, got, "an event"); key != fmt.Sprint(i) {
			t.Fatalf("event %d is of %s", i, key)
		}
	}
}

// TestWatchPanicChild is no test: it is the process that TestWatchPanic starts.
func TestWatchPanicChild(t *testing.T) {
	if os.Getenv("BLAZE_TEST_ROLE") == "" {
		t.Skip("for the processes that other tests start")
	}
	a := alone(t)
	a.Map("m").Watch("", func(blaze.MapEvent) { panic("the handler's own") })
	mustPut(t, a.Map("m"), "k", "v")
	time.Sleep(patience)
}

// A handler of Watch that panics ends the process, as a panic of any goroutine of the application does: it is not swallowed.
func TestWatchPanic(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestWatchPanicChild$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), "BLAZE_TEST_ROLE=watch")
	out, err := cmd.CombinedOutput()
	if _, ended := err.(*exec.ExitError); !ended || !strings.Contains(string(out), "panic: the handler's own") {
		t.Errorf("the process ends with %v:\n%s", err, out)
	}
}
