package blaze_test

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"

	"github.com/activeblaze/blaze"
)

// Profiles show which goroutine is whose, and the system's list of threads which thread is an engine.
func TestLabelsAndThreadNames(t *testing.T) {
	cfg := testConfig(t)
	cfg.Name, cfg.Idle = "floor\x1b[31m", blaze.Backoff
	c := started(t, cfg)
	if _, err := c.Subscribe("prices.>", func(*blaze.Message) {}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "goroutines have labels", func() bool {
		var b bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
			t.Fatal(err)
		}
		all := b.String()
		return strings.Contains(all, `"blaze_part":"engine 0"`) && strings.Contains(all, `"blaze_subscription":"prices.\u003e"`) ||
			strings.Contains(all, `"blaze_part":"engine 0"`) && strings.Contains(all, `"blaze_subscription":"prices.>"`)
	})
	e := inspect(t, c).Engines[0]
	if runtime.GOOS != "linux" {
		return
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/comm", e.Thread))
	if err != nil {
		t.Fatal(err)
	}
	if want := "blaze/0 floor?[\n"; string(name) != want && e.Thread != os.Getpid() {
		t.Errorf("thread %d is called %q, want %q", e.Thread, name, want)
	}
}
