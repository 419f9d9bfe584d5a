package sleep

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A Wake ends the sleep that it falls into, and the next one where it comes before; after Close it
// does nothing.
func TestWake(t *testing.T) {
	var s Sleeper
	s.Wake() // not open yet
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	doze := func(limit time.Duration) bool {
		if !s.LieDown() {
			return true
		}
		fds := [...]unix.PollFd{s.Poll()}
		_, woken := s.Doze(fds[:], limit)
		return woken
	}
	if !doze(-1) {
		t.Error("a Wake from before is lost")
	}
	if doze(time.Microsecond) {
		t.Error("woken by nobody")
	}
	for range 1000 {
		woken := make(chan bool)
		go func() { woken <- doze(5 * time.Second) }()
		for !s.Asleep() {
			runtime.Gosched()
		}
		s.Wake()
		if !<-woken {
			t.Fatal("a Wake during the sleep is lost")
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if !s.LieDown() {
		t.Error("a Wake was left")
	}
	s.Wake()
	if err := s.Close(); err != nil {
		t.Error("the second Close:", err)
	}
}
