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
	// A sleep may also end early: a signal of the runtime ends it as its limit would, and a Wake that comes as one does
	// ends the next one, too.
	slept := 0
	for range 1000 {
		woken := make(chan bool, 1)
		go func() {
			for start := time.Now(); ; {
				if doze(5 * time.Second) {
					woken <- true
					return
				}
				if time.Since(start) > 4*time.Second {
					woken <- false
					return
				}
			}
		}()
		for !s.Asleep() && len(woken) == 0 {
			runtime.Gosched()
		}
		if len(woken) == 0 {
			slept++
			s.Wake()
		}
		if !<-woken {
			t.Fatal("a Wake during the sleep is lost")
		}
	}
	if slept < 900 {
		t.Errorf("%d of 1000 sleeps were still going on when they were to be ended", slept)
	}
	for s.LieDown() {
		fds := [...]unix.PollFd{s.Poll()}
		if _, woken := s.Doze(fds[:], 0); !woken {
			break
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
