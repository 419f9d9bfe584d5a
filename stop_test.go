package blaze_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// lasting is how long a test that looks for a race does so: BLAZE_LONG, such as "60s", or a short time.
func lasting(t *testing.T, short time.Duration) time.Duration {
	t.Helper()
	s := os.Getenv("BLAZE_LONG")
	if s == "" {
		return short
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// What was claimed and not committed when Stop has waited for Linger is taken back: Stop and Commit
// both report it. With an Invoker the claim lies in the datagram, else in the command ring.
func TestCommitAfterStop(t *testing.T) {
	for _, invoker := range []bool{false, true} {
		cfg := testConfig(t)
		cfg.Linger = 10 * time.Millisecond
		cfg.Invoker = invoker
		c := started(t, cfg)
		p := publisher(t, c, "a", 0)
		claim, err := p.Claim(8)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Stop(); err == nil || !strings.Contains(err.Error(), "1 claims") {
			t.Errorf("invoker %v: Stop with an open claim: %v", invoker, err)
		}
		copy(claim.Bytes(), "12345678")
		if err := claim.Commit(); !errors.Is(err, blaze.ErrClosed) {
			t.Errorf("invoker %v: Commit after Stop: %v, want ErrClosed", invoker, err)
		}
		if err := claim.Commit(); !errors.Is(err, blaze.ErrState) {
			t.Errorf("invoker %v: second Commit: %v, want ErrState", invoker, err)
		}
		// The next start has nothing of it.
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if claim, err = p.Claim(8); err != nil {
			t.Fatal(err)
		}
		claim.Abort()
		if err := c.Stop(); err != nil {
			t.Errorf("invoker %v: Stop after Abort: %v", invoker, err)
		}
	}
}

// A claim that is committed while Stop waits is accepted, and sent.
func TestCommitDuringStop(t *testing.T) {
	cfg := testConfig(t)
	cfg.Linger = patience
	l := started(t, cfg)
	got := make(chan string, 1)
	if _, err := l.SubscribePayload("a", func(d *blaze.Delivery) { got <- string(d.Payload) }); err != nil {
		t.Fatal(err)
	}
	c := started(t, cfg)
	p := publisher(t, c, "a", 1)
	claim, err := p.Claim(8)
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error)
	go func() { stopped <- c.Stop() }()
	eventually(t, "Stop has begun", func() bool { return c.State() == blaze.Stopped })
	copy(claim.Bytes(), "12345678")
	if err := claim.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := next(t, stopped, "Stop"); err != nil {
		t.Error(err)
	}
	if s := next(t, got, "message"); s != "12345678" {
		t.Errorf("got %q", s)
	}
}

// Whatever Offer accepts beside a Stop is delivered, or counted as unsent and in Stop's error.
func TestOfferBesideStop(t *testing.T) {
	rounds := 150
	if s := os.Getenv("BLAZE_LONG"); s != "" {
		rounds = 10_000
	}
	cfg := testConfig(t)
	cfg.Linger = patience
	d := started(t, cfg)
	var got atomic.Int64
	if _, err := d.SubscribePayload("a", func(*blaze.Delivery) { got.Add(1) }, blaze.Inline(),
		blaze.OnLoss(func(l blaze.Loss) { t.Errorf("lost: %v", l) })); err != nil {
		t.Fatal(err)
	}
	c, err := blaze.NewChannel(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Shutdown()
	p, err := c.Publisher("a")
	if err != nil {
		t.Fatal(err)
	}
	var refused atomic.Int64
	told := uint64(0)
	for round := range rounds {
		inNetwork(t, cfg, func() { err = c.Start() })
		if err != nil {
			t.Fatal(err)
		}
		if err := p.WaitReceivers(within(t), 1); err != nil {
			t.Fatal(err)
		}
		before, unsent := got.Load(), c.Stats().Unsent
		var accepted atomic.Int64
		var all sync.WaitGroup
		enough := make(chan struct{})
		for i := range 2 {
			send := func() error { return p.Offer([]byte("12345678")) }
			if i == 1 {
				send = func() error {
					claim, err := p.Claim(8)
					if err == nil {
						err = claim.Commit()
					}
					return err
				}
			}
			all.Go(func() {
				for {
					switch err := send(); {
					case err == nil:
						if accepted.Add(1) == int64(1+round%300) {
							close(enough)
						}
						runtime.Gosched()
					case errors.Is(err, blaze.ErrBackPressure):
						runtime.Gosched()
					case errors.Is(err, blaze.ErrClosed):
						refused.Add(1)
						return
					case errors.Is(err, blaze.ErrState):
						return
					default:
						t.Error(err)
						return
					}
				}
			})
		}
		<-enough
		stopErr := c.Stop()
		all.Wait()
		unsent = c.Stats().Unsent - unsent
		told += unsent
		if (unsent > 0) && stopErr == nil {
			t.Fatalf("round %d: %d messages not sent, and Stop returned nil", round, unsent)
		}
		want := before + accepted.Load() - int64(unsent)
		for end := time.Now().Add(time.Second); got.Load() < want && time.Now().Before(end); {
			time.Sleep(20 * time.Microsecond)
		}
		if n := got.Load(); n != want {
			t.Fatalf("round %d: %d accepted, %d delivered, %d told; Stop: %v", round, accepted.Load(), n-before, unsent, stopErr)
		}
	}
	t.Logf("%d rounds: %d messages delivered, %d told, %d refused with ErrClosed", rounds, got.Load(), told, refused.Load())
}

// Claims that are aborted give their room to a Broadcast that waits for it.
func TestAbortWakesBroadcast(t *testing.T) {
	cfg := testConfig(t)
	c := started(t, cfg)
	p := publisher(t, c, "a", 0)
	var claims []blaze.Claim
	for _, n := range []int{1 << 19, 100, 30, 7, 0} { // until nothing fits
		for {
			claim, err := p.Claim(n)
			if err != nil {
				break
			}
			claims = append(claims, claim)
		}
	}
	sent := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	go func() { sent <- c.Broadcast(ctx, "a", blaze.NewTextMessage("x")) }()
	eventually(t, "Broadcast waits for room", func() bool { return c.Stats().BackPressure > 0 })
	for i := range claims {
		claims[i].Abort()
	}
	began := time.Now()
	if err := next(t, sent, "Broadcast"); err != nil {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

// Stop, Stats and Start may come from any goroutine while another one turns and offers.
func TestInvokerStopFromElsewhere(t *testing.T) {
	socketsOnly(t)
	cfg := testConfig(t)
	cfg.Invoker = true
	cfg.Linger = 20 * time.Millisecond
	c, err := blaze.NewChannel(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Shutdown()
	var delivered atomic.Int64
	if _, err := c.SubscribePayload("a", func(*blaze.Delivery) { delivered.Add(1) }, blaze.Inline()); err != nil {
		t.Fatal(err)
	}
	p, err := c.Publisher("a")
	if err != nil {
		t.Fatal(err)
	}
	var end atomic.Bool
	var others sync.WaitGroup
	others.Go(func() {
		for !end.Load() {
			_ = p.Offer([]byte("x"))
			if claim, err := p.Claim(1); err == nil {
				_ = claim.Commit()
			}
			c.Turn()
		}
	})
	others.Go(func() {
		for !end.Load() {
			c.Stats()
			_ = c.Broadcast(context.Background(), "a", blaze.NewTextMessage("x"))
			time.Sleep(100 * time.Microsecond)
		}
	})
	rounds := 0
	for until := time.Now().Add(lasting(t, 500*time.Millisecond)); time.Now().Before(until); rounds++ {
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for n := delivered.Load(); delivered.Load() == n && time.Now().Before(until); {
			time.Sleep(50 * time.Microsecond)
		}
		_ = c.Stop()
		if rounds%8 == 0 {
			if err := c.Shutdown(); err != nil {
				t.Fatal(err)
			}
		}
	}
	end.Store(true)
	others.Wait()
	t.Logf("%d rounds, %d messages", rounds, delivered.Load())
}

// A handler does not wait for a transition that waits for the handler.
func TestHandlerCallsTransitionsDuringStop(t *testing.T) {
	for _, inline := range []bool{true, false} {
		cfg := testConfig(t)
		cfg.Linger = time.Minute
		c := started(t, cfg)
		in, out := make(chan struct{}), make(chan error, 3)
		var opts []blaze.SubscribeOption
		if inline {
			opts = append(opts, blaze.Inline())
		}
		if _, err := c.SubscribePayload("a", func(*blaze.Delivery) {
			close(in)
			for c.State() != blaze.Stopped {
				time.Sleep(50 * time.Microsecond)
			}
			out <- c.SetConfig(cfg)
			out <- c.Start()
			out <- c.Stop()
		}, opts...); err != nil {
			t.Fatal(err)
		}
		offer(t, publisher(t, c, "a", 0), []byte("x"))
		next(t, in, "message")
		began := time.Now()
		stopped := make(chan error)
		go func() { stopped <- c.Stop() }()
		for _, want := range []error{blaze.ErrState, blaze.ErrState, nil} {
			if err := next(t, out, "answer in the handler"); !errors.Is(err, want) {
				t.Errorf("inline %v: %v, want %v", inline, err, want)
			}
		}
		if err := next(t, stopped, "Stop"); err != nil || time.Since(began) > patience {
			t.Errorf("inline %v: Stop: %v after %v", inline, err, time.Since(began))
		}
	}
}

// After Shutdown a program that keeps the channel, its publishers and its subscriptions keeps little
// memory with them: a publisher's command ring, until it is used again.
func TestShutdownGivesMemoryBack(t *testing.T) {
	socketsOnly(t)
	cfg := testConfig(t)
	before := heap()
	c, err := blaze.NewChannel(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.SubscribePayload("a", func(*blaze.Delivery) {})
	if err != nil {
		t.Fatal(err)
	}
	var p *blaze.Publisher
	for range 2 {
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if p, err = c.Publisher("a"); err != nil {
			t.Fatal(err)
		}
		offer(t, p, []byte("x"))
		if err := c.Broadcast(within(t), "b", blaze.NewTextMessage("x")); err != nil {
			t.Fatal(err)
		}
		started := heap()
		if err := c.Shutdown(); err != nil {
			t.Fatal(err)
		}
		if kept, used := heap()-before, started-before; kept > used/8 {
			t.Errorf("%d KiB are in use after Shutdown, %d before", kept>>10, used>>10)
		} else {
			t.Logf("%d KiB are in use after Shutdown, %d before", kept>>10, used>>10)
		}
	}
	runtime.KeepAlive(p)
	runtime.KeepAlive(s)
	runtime.KeepAlive(c)
}
