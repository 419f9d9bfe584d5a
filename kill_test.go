package blaze_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// TestChild is no test: it is what the processes below run, when the environment says so.
func TestChild(t *testing.T) {
	role := os.Getenv("BLAZE_TEST_ROLE")
	if role == "" {
		t.Skip("for the processes that other tests start")
	}
	cfg := testConfig(t)
	cfg.BroadcastURI, cfg.Cluster = os.Getenv("BLAZE_TEST_URI"), os.Getenv("BLAZE_TEST_CLUSTER")
	c := started(t, cfg)
	switch role {
	case "receiver":
		c.SubscribePayload("k", func(*blaze.Delivery) {}, blaze.Inline())
		c.SubscribePayload("sender.k", func(*blaze.Delivery) {}, blaze.Inline())
	case "sender":
		p := publisher(t, c, "sender.k", 1)
		go func() {
			for {
				_ = p.Offer([]byte("from the one that will be killed"))
				time.Sleep(100 * time.Microsecond)
			}
		}()
	}
	os.Stdout.WriteString("ready\n")
	bufio.NewReader(os.Stdin).ReadString('\n') // until killed, or the parent has gone
}

// child starts a process that is a member, and waits until it is one.
func child(t *testing.T, role string, cfg blaze.Config) *exec.Cmd {
	t.Helper()
	return childOf(t, "TestChild", role, cfg)
}

// childOf is child with another function that the process runs.
func childOf(t *testing.T, test, role string, cfg blaze.Config) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), "BLAZE_TEST_ROLE="+role, "BLAZE_TEST_URI="+cfg.BroadcastURI, "BLAZE_TEST_CLUSTER="+cfg.Cluster)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Process.Kill(); cmd.Wait() })
	ready := make(chan error, 1)
	go func() {
		line, err := bufio.NewReader(out).ReadString('\n')
		if err == nil && !strings.HasPrefix(line, "ready") {
			err = errors.New(line)
		}
		ready <- err
	}()
	if err := next(t, ready, "member in another process"); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// A receiver that is killed holds nobody up for longer than the eviction time, and loses
// nobody anything.
func TestKilledReceiver(t *testing.T) {
	socketsOnly(t)
	cfg := testConfig(t)
	cfg.Window, cfg.MaxMessageSize = 256<<10, 4096 // small, so that flow control bites at once
	a, b := started(t, cfg), started(t, cfg)
	var got atomic.Uint64
	b.SubscribePayload("k", func(*blaze.Delivery) { got.Add(1) }, blaze.Inline(), blaze.OnLoss(func(l blaze.Loss) { t.Error(l) }))
	victim := child(t, "receiver", cfg)
	p := publisher(t, a, "k", 2)

	payload, sent := make([]byte, 1024), uint64(0)
	var stall time.Duration
	last := time.Now()
	run := func(d time.Duration) {
		for end := time.Now().Add(d); time.Now().Before(end); {
			if p.Offer(payload) == nil {
				sent++
				stall = max(stall, time.Since(last))
				last = time.Now()
			}
		}
	}
	run(100 * time.Millisecond)
	stall = 0
	victim.Process.Kill()
	run(2500 * time.Millisecond)
	stall = max(stall, time.Since(last))
	if p.Receivers() != 1 {
		t.Errorf("%d receivers are known, want 1", p.Receivers())
	}
	// Eviction comes after a second of silence; the rest is what looking for it takes.
	if stall > 2*time.Second {
		t.Errorf("the sender stood still for %v", stall)
	}
	eventually(t, "the survivor has everything", func() bool { return got.Load() == sent })
	t.Logf("the sender stood still for %v; %d messages", stall.Round(time.Millisecond), sent)
}

// A sender that is killed does not disturb the streams of others, and its stream is reported silent.
func TestKilledSender(t *testing.T) {
	socketsOnly(t)
	cfg := testConfig(t)
	a, b := started(t, cfg), started(t, cfg)
	log := onStream(t, b)
	var fromVictim atomic.Uint64
	b.SubscribePayload("sender.k", func(*blaze.Delivery) { fromVictim.Add(1) }, blaze.Inline())
	var got atomic.Uint64
	b.SubscribePayload("k", func(*blaze.Delivery) { got.Add(1) }, blaze.Inline())
	victim := child(t, "sender", cfg)
	eventually(t, "messages of the other process", func() bool { return fromVictim.Load() > 10 })
	from := log.first(t).From
	publisher(t, a, "k", 1)
	victim.Process.Kill()
	killed := time.Now()
	for i := range uint64(1000) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		if err := a.Broadcast(ctx, "k", blaze.NewTextMessage("x")); err != nil {
			t.Fatal(err)
		}
		cancel()
		eventually(t, "each message arrives while a dead sender is being forgotten", func() bool { return got.Load() == i+1 })
	}
	log.until(t, from, blaze.StreamStarted, blaze.StreamSilent)
	took := log.of(from)[1].at.Sub(killed)
	t.Logf("the silence of the sender is reported %v after it was killed", took.Round(time.Millisecond))
	if took > 3*time.Second { // one, on a machine that does nothing else
		t.Errorf("the silence of the sender is reported after %v", took)
	}
}
