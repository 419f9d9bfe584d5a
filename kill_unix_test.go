//go:build unix

package blaze_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// A sender's process that stands still is reported silent; when it goes on, its stream is resumed.
func TestStoppedSender(t *testing.T) {
	socketsOnly(t)
	cfg := testConfig(t)
	b := started(t, cfg)
	log := onStream(t, b)
	victim := child(t, "sender", cfg)
	from := log.first(t).From
	var want []blaze.StreamEventKind
	then := func(kinds ...blaze.StreamEventKind) {
		t.Helper()
		want = append(want, kinds...)
		began := time.Now()
		log.until(t, from, want...)
		t.Logf("%v after %v", kinds, time.Since(began).Round(time.Millisecond))
	}
	then(blaze.StreamStarted)
	for range 2 {
		victim.Process.Signal(syscall.SIGSTOP)
		then(blaze.StreamSilent)
		victim.Process.Signal(syscall.SIGCONT)
		then(blaze.StreamResumed)
	}
	victim.Process.Kill()
	then(blaze.StreamSilent)
}
