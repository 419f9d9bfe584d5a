package blaze_test

import (
	"context"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// rig is two members that two goroutines turn: the test's own turns a, another one turns b, whose Inline handlers
// answer. A message on topic ping comes back on pong.
type callRig struct {
	a, b *blaze.GroupChannel
	ping *blaze.Publisher
	got  int // of pong
	stop atomic.Bool
}

func newCallRig(t testing.TB, idle blaze.Idle) *callRig {
	t.Helper()
	cfg := testConfig(t)
	cfg.Invoker, cfg.Idle = true, idle
	x := &callRig{a: inGroup(t, "a", cfg), b: inGroup(t, "b", cfg)}
	pong, err := x.b.Publisher("pong")
	if err != nil {
		t.Fatal(err)
	}
	x.b.SubscribePayload("ping", func(d *blaze.Delivery) {
		if err := pong.Offer(d.Payload); err != nil {
			t.Errorf("pong: %v", err)
		}
	}, blaze.Inline())
	x.a.SubscribePayload("pong", func(d *blaze.Delivery) { x.got++ }, blaze.Inline())
	if _, err := x.b.HandleCalls("", func(c *blaze.Call) {
		if err := c.Reply(c.Payload); err != nil {
			t.Errorf("Reply: %v", err)
		}
	}, blaze.Inline()); err != nil {
		t.Fatal(err)
	}
	if x.ping, err = x.a.Publisher("ping"); err != nil {
		t.Fatal(err)
	}
	turned := make(chan struct{})
	go func() {
		defer close(turned)
		for !x.stop.Load() {
			if x.b.Turn() == 0 && idle != blaze.BusySpin {
				runtime.Gosched()
			}
		}
	}()
	t.Cleanup(func() {
		x.stop.Store(true)
		<-turned
	})
	for began := time.Now(); len(x.a.Members()) < 2 || len(x.b.Members()) < 2 || x.ping.Receivers() < 1 || pong.Receivers() < 1; {
		x.a.Turn()
		if time.Since(began) > patience {
			t.Fatal("the members do not find each other")
		}
	}
	return x
}

// topic makes one round trip over topics.
func (x *callRig) topic(t testing.TB, payload []byte) {
	want := x.got + 1
	if err := x.ping.Offer(payload); err != nil {
		t.Fatal(err)
	}
	for x.got < want {
		x.a.Turn()
	}
}

// request makes one round trip by RequestPayload.
func (x *callRig) request(t testing.TB, payload, reply []byte) {
	got, err := x.a.RequestPayload(context.Background(), x.b.ID(), "", payload, reply[:0])
	if err != nil || len(got) != len(payload) {
		t.Fatalf("reply of %d bytes, %v", len(got), err)
	}
}

// median is the median of up to n calls, within half a second.
func median(n int, f func()) time.Duration {
	var all []time.Duration
	for first := time.Now(); len(all) < n && time.Since(first) < time.Second/2; {
		began := time.Now()
		f()
		all = append(all, time.Since(began))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func TestRequestPayloadAllocatesNothing(t *testing.T) {
	x := newCallRig(t, blaze.Backoff) // two that spin would wait for each other's processor where there are not two
	payload, reply := make([]byte, 64), make([]byte, 64)
	for range 500 {
		x.request(t, payload, reply)
	}
	// What the group sends by itself, and what the runtime does behind its back, come with time and not with requests: few
	// requests at a time meet nothing of it, once in many times on a busy host too. What a request allocates is in each.
	const n = 20
	least := float64(n)
	for round := 0; least > n/10 && round < 100; round++ {
		least = min(least, testing.AllocsPerRun(1, func() {
			for range n {
				x.request(t, payload, reply)
			}
		}))
	}
	if least > n/10 {
		t.Errorf("%v allocations in %d requests", least, n)
	}
}

// The bar of the figures is 1.5.
func TestRequestAgainstRoundTrip(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("needs a processor for each of two members that spin")
	}
	x := newCallRig(t, blaze.BusySpin)
	payload, reply := make([]byte, 64), make([]byte, 64)
	best := 1e9
	for began := time.Now(); best > 1.5 && time.Since(began) < 3*time.Second; { // whatever else runs on the machine
		topic := median(500, func() { x.topic(t, payload) })
		request := median(500, func() { x.request(t, payload, reply) })
		best = min(best, float64(request)/float64(topic))
		t.Logf("round trip %v, request %v", topic, request)
	}
	if best > 3 {
		t.Errorf("a request takes %.2f times a round trip", best)
	}
}

// Request with Messages, on engine threads that back off.
func TestRequestAllocates(t *testing.T) {
	a, b := two(t, testConfig(t))
	if _, err := b.HandleInbox("", func(m *blaze.Message) { b.Reply(context.Background(), m, m) }); err != nil {
		t.Fatal(err)
	}
	m := blaze.NewTextMessage("what is the price?")
	request := func() {
		if _, err := a.Request(context.Background(), b.ID(), m); err != nil {
			t.Fatal(err)
		}
	}
	for range 300 {
		request()
	}
	const n = 200
	allocs := testing.AllocsPerRun(3, func() {
		for range n {
			request()
		}
	})
	t.Logf("%.1f allocations a request", allocs/n)
	if allocs > 12*n {
		t.Errorf("%.1f allocations a request, at most 12", allocs/n)
	}
}

// A request with Messages, between engines on threads of their own that back off, against a round trip over topics
// between such. The bar of the figures is 3.
func TestRequestWithMessagesAgainstRoundTrip(t *testing.T) {
	a, b := two(t, testConfig(t))
	b.HandleInbox("", func(m *blaze.Message) { b.Reply(context.Background(), m, m) })
	pong := publisher(t, b.Channel, "pong", 0)
	back := make(chan struct{}, 1)
	b.SubscribePayload("ping", func(d *blaze.Delivery) { pong.Offer(d.Payload) }, blaze.Inline())
	a.SubscribePayload("pong", func(*blaze.Delivery) { back <- struct{}{} }, blaze.Inline())
	ping := publisher(t, a.Channel, "ping", 1)
	if err := pong.WaitReceivers(soon(t), 1); err != nil {
		t.Fatal(err)
	}
	payload, m := make([]byte, 64), blaze.NewBytesMessage(make([]byte, 64))
	best := 1e9
	for began := time.Now(); best > 3 && time.Since(began) < 3*time.Second; {
		topic := median(300, func() {
			offer(t, ping, payload)
			next(t, back, "pong")
		})
		request := median(300, func() {
			if _, err := a.Request(context.Background(), b.ID(), m); err != nil {
				t.Fatal(err)
			}
		})
		best = min(best, float64(request)/float64(topic))
		t.Logf("round trip %v, request %v", topic, request)
	}
	if best > 6 {
		t.Errorf("a request takes %.2f times a round trip", best)
	}
}

func BenchmarkRequestPayload(b *testing.B) {
	x := newCallRig(b, blaze.BusySpin)
	payload, reply := make([]byte, 64), make([]byte, 64)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		x.request(b, payload, reply)
	}
}

func BenchmarkTopicRoundTrip(b *testing.B) {
	x := newCallRig(b, blaze.BusySpin)
	payload := make([]byte, 64)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		x.topic(b, payload)
	}
}

func BenchmarkRequest(b *testing.B) {
	x, y := two(b, testConfig(b))
	y.HandleInbox("", func(m *blaze.Message) { y.Reply(context.Background(), m, m) })
	m := blaze.NewTextMessage("what is the price?")
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := x.Request(context.Background(), y.ID(), m); err != nil {
			b.Fatal(err)
		}
	}
}
