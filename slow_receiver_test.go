package blaze_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// with returns the lines that contain what.
func (l *lines) with(what string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.buf.String()) {
		if strings.Contains(line, what) {
			found = append(found, line)
		}
	}
	return found
}

// A receiver that is slow all the time is named at the sender: in the error of a Broadcast, in the log
// and in a counter. The other receiver, which keeps up, is not.
func TestSlowReceiverIsNamed(t *testing.T) {
	cfg := testConfig(t)
	cfg.Window = 256 << 10
	cfg.SubscriptionQueue = 16
	var rest atomic.Bool // the slow handler is slow no more
	receiver := func(h func(*blaze.Delivery)) *blaze.Channel {
		c := started(t, cfg)
		if _, err := c.SubscribePayload("a", h); err != nil {
			t.Fatal(err)
		}
		return c
	}
	slow := receiver(func(*blaze.Delivery) {
		if !rest.Load() {
			time.Sleep(time.Millisecond) // this is the slowness
		}
	})
	fast := receiver(func(*blaze.Delivery) {})
	var log lines
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	c := started(t, cfg)
	publisher(t, c, "a", 2)
	ctx, cancel := context.WithTimeout(context.Background(), 2500*time.Millisecond)
	defer cancel()
	m := blaze.NewBytesMessage(make([]byte, 1000))
	var err error
	for err == nil {
		err = c.Broadcast(ctx, "a", m)
	}
	for _, want := range []string{"receiver " + slow.ID().String() + " at ", "behind", "room"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error has no %q: %v", want, err)
		}
	}
	const held, free = "holds a stream back", "does not hold its stream back any more"
	eventually(t, "the log names the receiver", func() bool { return len(log.with(held)) == 1 })
	if line := log.with(held)[0]; !strings.Contains(line, slow.ID().String()) || !strings.Contains(line, "room=") {
		t.Error(line)
	}
	if n := c.Stats().SlowReceivers; n != 1 {
		t.Errorf("SlowReceivers %d", n)
	}
	rest.Store(true)
	eventually(t, "it has recovered", func() bool { return len(log.with(free)) == 1 })
	if named := log.with(fast.ID().String()); len(named) > 0 || len(log.with(held)) != 1 {
		t.Errorf("%q, %q", named, log.with(held))
	}
}
