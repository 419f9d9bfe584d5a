package blaze_test

import (
	"errors"
	"testing"

	"github.com/activeblaze/blaze"
)

// pair is a sender and a receiver that one goroutine turns.
type pair struct {
	a, b *blaze.Channel
	p    *blaze.Publisher
	got  int
}

func newPair(t testing.TB) *pair {
	cfg := testConfig(t)
	cfg.Invoker = true
	return newPairWith(t, cfg)
}

func newPairWith(t testing.TB, cfg blaze.Config) *pair {
	t.Helper()
	x := &pair{a: started(t, cfg), b: started(t, cfg)}
	if _, err := x.b.SubscribePayload("bench.topic", func(d *blaze.Delivery) { x.got++ }, blaze.Inline()); err != nil {
		t.Fatal(err)
	}
	var err error
	if x.p, err = x.a.Publisher("bench.topic"); err != nil {
		t.Fatal(err)
	}
	for range 1_000_000 {
		if x.a.Turn(); x.p.Receivers() == 1 {
			return x
		}
		x.b.Turn()
	}
	t.Fatal("the receiver was never found")
	return nil
}

// send moves n messages from Offer to the handler.
func (x *pair) send(t testing.TB, payload []byte, n int) {
	x.got = 0
	for sent := 0; x.got < n; {
		for sent < n {
			if err := x.p.Offer(payload); err == nil {
				sent++
			} else if errors.Is(err, blaze.ErrBackPressure) {
				break
			} else {
				t.Fatal(err)
			}
		}
		x.a.Turn()
		x.b.Turn()
	}
}

func TestOfferToHandlerAllocatesNothing(t *testing.T) {
	for _, size := range []int{64, 1344} {
		x, payload := newPair(t), make([]byte, size)
		x.send(t, payload, 50_000) // everything that grows has grown
		const n = 2000
		if allocs := testing.AllocsPerRun(20, func() { x.send(t, payload, n) }); allocs > 0 {
			t.Errorf("%d bytes: %v allocations in %d messages", size, allocs, n)
		}
	}
}

// The same across the command queue and the queue of a subscription, on three goroutines.
func TestQueuedMessagesAllocateNothing(t *testing.T) {
	cfg := testConfig(t)
	a, b := started(t, cfg), started(t, cfg)
	got := make(chan struct{}, 1)
	const n = 5000
	count := 0
	b.SubscribePayload("q", func(d *blaze.Delivery) {
		if count++; count%n == 0 {
			got <- struct{}{}
		}
	})
	p, payload := publisher(t, a, "q", 1), make([]byte, 64)
	run := func() {
		for range n {
			offer(t, p, payload)
		}
		next(t, got, "last message")
	}
	for range 20 {
		run()
	}
	// The test's own timer and what the runtime does behind its back are a few.
	if allocs := testing.AllocsPerRun(10, run); allocs > n/100 {
		t.Errorf("%v allocations in %d messages", allocs, n)
	}
}

func BenchmarkOfferToHandler(b *testing.B) {
	for _, c := range []struct {
		name string
		size int
	}{{"64", 64}, {"1344", 1344}} {
		b.Run(c.name, func(b *testing.B) {
			x, payload := newPair(b), make([]byte, c.size)
			x.send(b, payload, 50_000)
			b.ReportAllocs()
			b.SetBytes(int64(c.size))
			b.ResetTimer()
			x.send(b, payload, b.N)
		})
	}
}

// BenchmarkRoundTrip is one message there and one back, each in a datagram of its own.
func BenchmarkRoundTrip(b *testing.B) {
	x := newPair(b)
	payload := make([]byte, 64)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		x.send(b, payload, 1)
	}
}
