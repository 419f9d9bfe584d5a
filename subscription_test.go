package blaze_test

import (
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/activeblaze/blaze"
)

// A subscription that was disconnected leaves nothing behind, though nobody closes it.
func TestDisconnectedLeavesNothing(t *testing.T) {
	cfg := testConfig(t)
	cfg.SlowConsumer, cfg.SubscriptionQueue = blaze.Disconnect, 1
	b := started(t, cfg)
	p := publisher(t, b, "x", 0)
	before := runtime.NumGoroutine()
	for range 50 {
		gate := make(chan struct{})
		s, err := b.SubscribePayload("x", func(*blaze.Delivery) { <-gate })
		if err != nil {
			t.Fatal(err)
		}
		for s.Err() == nil {
			if err := p.Offer([]byte("m")); err != nil && !errors.Is(err, blaze.ErrBackPressure) {
				t.Fatal(err)
			}
			runtime.Gosched()
		}
		close(gate)
	}
	eventually(t, "the end of their goroutines", func() bool { return runtime.NumGoroutine() <= before })
	if n := b.Stats().Disconnected; n != 50 {
		t.Errorf("%d were disconnected", n)
	}
}

// OnLoss gets what was still queued for a subscription that is disconnected.
func TestDisconnectReportsWhatWasQueued(t *testing.T) {
	cfg := testConfig(t)
	cfg.SlowConsumer, cfg.SubscriptionQueue = blaze.Disconnect, 16
	b := started(t, cfg)
	p := publisher(t, b, "x", 0)
	gate, told := make(chan struct{}), make(chan struct{})
	var mu sync.Mutex
	var last uint64
	var losses []blaze.Loss
	s, err := b.SubscribePayload("x", func(d *blaze.Delivery) {
		<-gate
		mu.Lock()
		last = d.Sequence
		mu.Unlock()
	}, blaze.OnLoss(func(l blaze.Loss) {
		losses = append(losses, l)
		close(told)
	}))
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		offer(t, p, []byte("m"))
	}
	next(t, s.Done(), "disconnection")
	close(gate)
	next(t, told, "loss")
	mu.Lock()
	defer mu.Unlock()
	if l := losses[0]; len(losses) != 1 || l.First != last+1 || l.Last != 16 || l.Reason != blaze.LossSlowConsumer {
		t.Errorf("message %d was handled, losses %v", last, losses)
	}
}
