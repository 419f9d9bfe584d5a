package blaze_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// A loop gets what a handler gets, in order, and leaves no subscription behind.
func TestMessages(t *testing.T) {
	c := started(t, testConfig(t))
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	const n = 100
	go func() {
		for len(inspect(t, c).Subscriptions) == 0 {
			time.Sleep(time.Millisecond)
		}
		for i := range n {
			if err := c.Broadcast(ctx, fmt.Sprint("a.", i%3), blaze.NewTextMessage(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		}
	}()
	got := 0
	var last error
	for m, err := range c.Messages(ctx, "a.>") {
		if err != nil {
			if m != nil {
				t.Error("a message beside an error")
			}
			last = err
			continue // the loop ends by itself
		}
		if s, _ := m.Text(); s != fmt.Sprint(got) || m.From() != c.ID() {
			t.Fatalf("%v, want %d", m, got)
		}
		if got++; got == n {
			cancel()
		}
	}
	if !errors.Is(last, context.Canceled) || got != n {
		t.Errorf("%d messages, then %v", got, last)
	}
	if s := inspect(t, c).Subscriptions; len(s) != 0 {
		t.Errorf("left behind: %+v", s)
	}
}

// A body that leaves the loop in the middle, panics, or stops the channel leaves nothing behind.
func TestMessagesLeft(t *testing.T) {
	c := started(t, testConfig(t))
	ctx := within(t)
	run := func(body func()) {
		go func() {
			for len(inspect(t, c).Subscriptions) == 0 {
				time.Sleep(time.Millisecond)
			}
			for range 3 {
				_ = c.Broadcast(ctx, "a", blaze.NewTextMessage("x"))
			}
		}()
		defer func() { _ = recover() }()
		for _, err := range c.Messages(ctx, "a") {
			if err != nil {
				t.Error(err)
			}
			body()
			break
		}
	}
	run(func() {})
	run(func() { panic("of the application") })
	if s := inspect(t, c).Subscriptions; len(s) != 0 {
		t.Errorf("left behind: %+v", s)
	}
	run(func() {
		if err := c.Stop(); err != nil {
			t.Log(err) // the messages behind this one are not taken
		}
	})
	if s := inspect(t, c).Subscriptions; len(s) != 0 {
		t.Errorf("left behind: %+v", s)
	}
}

func TestMessagesErrors(t *testing.T) {
	cfg := testConfig(t)
	cfg.SubscriptionQueue, cfg.SlowConsumer = 4, blaze.Disconnect
	c := started(t, cfg)
	for _, row := range []struct {
		topic string
		opts  []blaze.SubscribeOption
		want  error
	}{{"a..b", nil, blaze.ErrTopic}, {"a", []blaze.SubscribeOption{nil}, blaze.ErrArgument}, {"a", []blaze.SubscribeOption{blaze.Inline()}, blaze.ErrArgument}} {
		n := 0
		for m, err := range c.Messages(within(t), row.topic, row.opts...) {
			if n++; m != nil || !errors.Is(err, row.want) {
				t.Errorf("%q: %v, %v", row.topic, m, err)
			}
		}
		if n != 1 {
			t.Errorf("%q: %d rounds", row.topic, n)
		}
	}
	p, err := c.Publisher("a")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for len(inspect(t, c).Subscriptions) == 0 {
			time.Sleep(time.Millisecond)
		}
		offer(t, p, nil)
	}()
	var last error
	for _, err := range c.Messages(within(t), "a") {
		if last = err; err == nil {
			for c.Stats().Disconnected == 0 { // while the body works the queue fills, and no more
				_ = p.Offer(nil)
			}
		}
	}
	if !errors.Is(last, blaze.ErrClosed) {
		t.Errorf("disconnected: %v", last)
	}
}
