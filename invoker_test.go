package blaze_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// invoker is a channel without an engine's thread. Its Inline handler of topic a is h.
func invoker(t *testing.T, h func(c *blaze.Channel)) (*blaze.Channel, *blaze.Publisher) {
	t.Helper()
	cfg := testConfig(t)
	cfg.Invoker = true
	c := started(t, cfg)
	if _, err := c.SubscribePayload("a", func(*blaze.Delivery) { h(c) }, blaze.Inline()); err != nil {
		t.Fatal(err)
	}
	p, err := c.Publisher("a")
	if err != nil {
		t.Fatal(err)
	}
	return c, p
}

//go:noinline
func deep(n int, f func()) int {
	var room [1024]byte
	if n == 0 {
		f()
		return int(room[0])
	}
	room[n] = byte(n)
	return deep(n-1, f) + int(room[n])
}

// One goroutine after the other turns, each with the stack of the one before. A handler may ask for
// Stats in each of them.
func TestInvokerPassesToAnotherGoroutine(t *testing.T) {
	calls := 0
	c, p := invoker(t, func(c *blaze.Channel) { calls++; c.Stats() })
	for i := range 50 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			deep(40, func() {}) // the stack grows here, before Turn
			offer(t, p, []byte("x"))
			for calls <= i {
				c.Turn()
			}
		}()
		select {
		case <-done:
		case <-time.After(patience):
			stacks := make([]byte, 1<<14)
			t.Fatalf("goroutine %d hangs after %d calls of the handler:\n%s", i, calls, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// A goroutine that has never turned waits for receivers, while the one that turned last has ended.
func TestInvokerWaitsAfterTheTurnerHasEnded(t *testing.T) {
	c, p := invoker(t, func(*blaze.Channel) {})
	var turner sync.WaitGroup
	turner.Go(func() { c.Turn() })
	turner.Wait()
	cfg := c.Config()
	cfg.Invoker = false
	other, err := blaze.NewChannel(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Shutdown()
	inNetwork(t, cfg, func() { err = other.Start() })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.SubscribePayload("a", func(*blaze.Delivery) {}); err != nil {
		t.Fatal(err)
	}
	if err := p.WaitReceivers(within(t), 1); err != nil {
		t.Error(err)
	}
}

// A Broadcast that waits for room on a goroutine of its own gets it from the turns of another, and
// handlers run in these alone.
func TestInvokerBroadcastsFromElsewhere(t *testing.T) {
	var turning atomic.Bool
	var handled atomic.Int64
	c, _ := invoker(t, func(*blaze.Channel) {
		if handled.Add(1); !turning.Load() {
			t.Error("the handler runs on the goroutine that broadcasts")
		}
	})
	const messages = 200
	sent := make(chan error, 1)
	m := blaze.NewBytesMessage(make([]byte, 500_000)) // more than the window holds
	ctx := within(t)
	var wait sync.WaitGroup
	var end atomic.Bool
	wait.Go(func() {
		for !end.Load() {
			turning.Store(true)
			c.Turn()
			turning.Store(false)
			runtime.Gosched()
		}
	})
	eventually(t, "a goroutine turns", func() bool { return c.Stats().Engine.Turns > 10 })
	go func() {
		var err error
		for i := 0; i < messages && err == nil; i++ {
			err = c.Broadcast(ctx, "a", m)
		}
		sent <- err
	}()
	if err := next(t, sent, "Broadcast"); err != nil {
		t.Error(err)
	}
	eventually(t, "all came", func() bool { return handled.Load() == messages })
	if s := c.Stats(); s.BackPressure == 0 {
		t.Log("no Broadcast had to wait")
	}
	end.Store(true)
	wait.Wait()
}

// Streams are reported in Turn and nowhere else, and there a handler may call anything.
func TestInvokerOnStream(t *testing.T) {
	cfg := testConfig(t)
	other := started(t, cfg)
	cfg.Invoker = true
	c := started(t, cfg)
	turning := false
	turn := func(what string, until func() bool) {
		t.Helper()
		eventually(t, what, func() bool {
			turning = true
			c.Turn()
			turning = false
			return until()
		})
	}
	var outer, inner []blaze.StreamEventKind
	c.OnStream(func(e blaze.StreamEvent) {
		if !turning {
			t.Errorf("%v outside of Turn", e)
		}
		if outer = append(outer, e.Kind); len(outer) == 1 {
			c.Stats()
			c.OnStream(func(e blaze.StreamEvent) { inner = append(inner, e.Kind) })
		}
		if e.Kind == blaze.StreamLeft {
			c.Stop()
		}
	})
	if _, err := other.Publisher("a"); err != nil {
		t.Fatal(err)
	}
	turn("a stream begins", func() bool { return len(outer) == 1 && len(inner) == 1 })
	late := 0
	c.OnStream(func(blaze.StreamEvent) {
		if late++; !turning {
			t.Error("what is there is reported outside of Turn")
		}
		c.Stats()
	})
	turn("a handler that comes late is told what is there", func() bool { return late == 1 })
	if err := other.Stop(); err != nil {
		t.Fatal(err)
	}
	turn("the handler has stopped its channel", func() bool { return c.State() == blaze.Stopped })
	want := []blaze.StreamEventKind{blaze.StreamStarted, blaze.StreamLeft}
	if !slices.Equal(outer, want) || !slices.Equal(inner, want) || late != 2 {
		t.Errorf("told %v and %v, want %v; the late one %d", outer, inner, want, late)
	}
}

// In its handler an Invoker may call everything.
func TestInvokerHandlerCalls(t *testing.T) {
	var c *blaze.Channel
	var p *blaze.Publisher
	var once sync.Once
	c, p = invoker(t, func(c *blaze.Channel) {
		once.Do(func() {
			if n := c.Turn(); n != 0 {
				t.Errorf("Turn in a handler: %d", n)
			}
			if err := p.WaitReceivers(context.Background(), 5); !errors.Is(err, blaze.ErrBackPressure) {
				t.Errorf("WaitReceivers in a handler: %v", err)
			}
			if err := p.Offer([]byte("y")); err != nil {
				t.Error(err)
			}
			if err := c.Broadcast(context.Background(), "b", blaze.NewTextMessage("z")); err != nil {
				t.Error(err)
			}
			claim, err := p.Claim(1)
			if err != nil {
				t.Error(err)
			} else if err := claim.Commit(); err != nil {
				t.Error(err)
			}
			s, err := c.SubscribePayload("c", func(*blaze.Delivery) {}, blaze.Inline())
			if err != nil {
				t.Error(err)
			} else if err := s.Close(); err != nil {
				t.Error(err)
			}
			if err := c.Stop(); err != nil {
				t.Error(err)
			}
			if err := c.Shutdown(); err != nil {
				t.Error(err)
			}
			if got := c.State(); got != blaze.Started {
				t.Errorf("%v in the handler that called Shutdown", got)
			}
		})
	})
	offer(t, p, []byte("x"))
	for c.State() == blaze.Started {
		c.Turn()
	}
	if got := c.State(); got != blaze.Constructed {
		t.Errorf("%v after Stop and Shutdown in a handler", got)
	}
}
