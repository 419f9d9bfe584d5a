package proc

import (
	"slices"
	"testing"
	"time"
)

// A process and its child that both poll get a CPU each, and a process that waits gets none.
func TestPin(t *testing.T) {
	cpus := CPUs()
	if len(cpus) < 2 {
		t.Skip("one CPU: there is nothing to choose")
	}
	waits := start(t, "echo")
	idle := Pin(waits.PID(), 0, cpus[:1])
	parent := start(t, "pollers")
	p := Pin(parent.PID(), 0, cpus[:2])
	pinned := make(chan struct{})
	go func() { p.done.Wait(); close(pinned) }()
	select {
	case <-pinned:
	case <-time.After(20 * time.Second):
		t.Error("two processes poll, and after 20 s not both are pinned")
	}
	if got := p.Stop(); !slices.Equal(got, cpus[:2]) {
		t.Errorf("pinned to %v, want %v", got, cpus[:2])
	}
	if got := idle.Stop(); len(got) > 0 {
		t.Errorf("a process that waits is pinned to %v", got)
	}
}
