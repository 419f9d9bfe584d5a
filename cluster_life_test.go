package blaze_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// Calls that wait when Stop comes get ErrClosed, each its answer, and what follows is ErrState.
func TestClusterStopAnswersCalls(t *testing.T) {
	all := clusterOf(t, 2)
	m := all[0].Map("m")
	held := mustLock(t, m, "locked")
	var wg sync.WaitGroup
	begun := make(chan struct{}, 100)
	for i := range 50 {
		wg.Go(func() {
			for n := 0; ; n++ {
				if n == 1 {
					begun <- struct{}{}
				}
				_, err := m.Put(context.Background(), fmt.Sprint(i), nil)
				switch {
				case err == nil:
				case errors.Is(err, blaze.ErrClosed) || errors.Is(err, blaze.ErrState):
					return
				default:
					t.Errorf("Put while the channel stops: %v", err)
					return
				}
			}
		})
		wg.Go(func() {
			if _, err := m.Lock(context.Background(), "locked"); !errors.Is(err, blaze.ErrClosed) {
				t.Errorf("Lock while the channel stops: %v", err)
			}
		})
	}
	for range 50 {
		next(t, begun, "a put")
	}
	eventually(t, "the line", func() bool { return all[1].Stats().Cluster.Waits == 50 })
	if err := all[0].Stop(); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if held.Held() || all[0].Primary() {
		t.Error("a stopped member believes in something")
	}
	wg.Wait()
	if err := all[0].WaitReady(soon(t)); !errors.Is(err, blaze.ErrState) {
		t.Errorf("WaitReady after Stop: %v", err)
	}
	eventually(t, "the line is empty", func() bool { s := all[1].Stats().Cluster; return s.Waits == 0 && s.Locks <= 1 })
}

// A member that starts again is given the state, and its watch begins anew; what it had put with RemoveOnExit is gone.
func TestClusterStartsAgain(t *testing.T) {
	all := clusterOf(t, 2)
	a, b := all[0], all[1]
	mustPut(t, b.Map("m"), "k", "v")
	mustPut(t, b.Map("m"), "mine", "v", blaze.RemoveOnExit())
	got := make(chan string, 100)
	defer b.Map("m").Watch("", func(e blaze.MapEvent) { got <- fmt.Sprint(e.Kind, " ", e.Key) })()
	for _, want := range []string{"present k", "present mine"} {
		if e := next(t, got, want); e != want {
			t.Errorf("the watch is given %s, want %s", e, want)
		}
	}
	for i := range 3 {
		if err := b.Stop(); err != nil {
			t.Fatalf("Stop: %v", err)
		}
		if e, ok := b.Map("m").Get("k"); !ok || string(e.Value) != "v" {
			t.Errorf("after Stop: %+v, %v", e, ok)
		}
		key := fmt.Sprint("away", i)
		startCluster(t, b)
		ready(t, a, b)
		mustPut(t, a.Map("m"), key, "v")
		if e, ok, err := b.Map("m").GetLinear(soon(t), key); err != nil || !ok || string(e.Value) != "v" {
			t.Errorf("GetLinear = %+v, %v, %v", e, ok, err)
		}
		if _, ok := b.Map("m").Get("mine"); ok {
			t.Error("the entry that goes with the member is there")
		}
		for e := ""; e != "reset "; {
			e = next(t, got, "reset")
		}
		for e := ""; e != "present "+key && e != "put "+key; {
			e = next(t, got, key)
		}
	}
	if a, b := a.Status(), b.Status(); a.Index != b.Index || a.Hash != b.Hash {
		t.Errorf("the members are at %d %x and %d %x", a.Index, a.Hash, b.Index, b.Hash)
	}
}

// With an Invoker the callers turn the engine: calls of one goroutine, and of several at a time.
func TestClusterInvoker(t *testing.T) {
	cfg := clusterConfig(t)
	cfg.ExpectedMembers, cfg.Invoker = 1, true
	a := inCluster(t, "a", cfg)
	ready(t, a)
	m := a.Map("m")
	mustPut(t, m, "k", "v")
	if e, ok, err := m.GetLinear(soon(t), "k"); err != nil || !ok || string(e.Value) != "v" {
		t.Errorf("GetLinear = %+v, %v, %v", e, ok, err)
	}
	l := mustLock(t, m, "l")
	short, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if _, err := m.Lock(short, "l"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Lock: %v", err)
	}
	if err := l.Unlock(soon(t)); err != nil {
		t.Error(err)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 20 {
				if _, err := m.Put(soon(t), fmt.Sprint(i, n), nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if m.Len() != 81 {
		t.Errorf("%d entries", m.Len())
	}
}

// A handler that runs on the engine's thread cannot wait: its calls fail, and reading works.
func TestClusterInlineHandler(t *testing.T) {
	a := alone(t)
	m := a.Map("m")
	mustPut(t, m, "k", "v")
	got := make(chan error, 1)
	if _, err := a.SubscribePayload("topic", func(*blaze.Delivery) {
		if e, ok := m.Get("k"); !ok || string(e.Value) != "v" {
			t.Errorf("Get = %+v, %v", e, ok)
		}
		if s := a.Status(); !s.Primary {
			t.Errorf("Status = %+v", s)
		}
		_, err := m.Put(context.Background(), "k", nil)
		got <- err
	}, blaze.Inline()); err != nil {
		t.Fatal(err)
	}
	offer(t, publisher(t, a.Channel, "topic", 0), []byte("x"))
	if err := next(t, got, "message"); !errors.Is(err, blaze.ErrBackPressure) {
		t.Errorf("Put in an Inline handler: %v", err)
	}
}

// A handler of Watch or OnMaster may stop the channel.
func TestClusterHandlerStops(t *testing.T) {
	a := alone(t)
	done := make(chan error, 1)
	var once sync.Once
	a.Map("m").Watch("", func(blaze.MapEvent) { once.Do(func() { done <- a.Stop() }) })
	if _, err := a.Map("m").Put(soon(t), "k", nil); err != nil && !errors.Is(err, blaze.ErrClosed) {
		t.Error(err)
	}
	if err := next(t, done, "Stop"); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if a.State() != blaze.Stopped {
		t.Errorf("state %v", a.State())
	}
}

// A call whose ctx ends while it waits gets ctx's error, and says whether it may have happened.
func TestClusterContextEnds(t *testing.T) {
	all := clusterOf(t, 2)
	m := all[0].Map("m")
	known, unknown := 0, 0
	for i := range 200 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i%20)*20*time.Microsecond)
		_, err := m.Put(ctx, "k", nil)
		cancel()
		switch {
		case err == nil:
		case errors.Is(err, blaze.ErrUnknownOutcome) && errors.Is(err, context.DeadlineExceeded):
			unknown++
		case errors.Is(err, context.DeadlineExceeded):
			known++
		default:
			t.Errorf("Put: %v", err)
		}
	}
	t.Logf("%d did not happen, of %d it is unknown", known, unknown)
	mustPut(t, m, "k", "last")
	eventually(t, "no call is left", func() bool { return all[0].Stats().Cluster.Calls == 0 })
}

// Starting and stopping again and again leaves nothing behind: no goroutine, no buffer, no memory.
func TestClusterLeavesNothing(t *testing.T) {
	rounds := 1000
	if testing.Short() {
		rounds = 20
	}
	cfg := testConfig(t)
	cfg.ExpectedMembers = 1
	c := newCluster(t, "a", cfg)
	round := func(i int) {
		startCluster(t, c)
		m := c.Map("m")
		cancel := m.Watch("", func(blaze.MapEvent) {})
		mustPut(t, m, fmt.Sprint(i), "v")
		mustLock(t, m, "l")
		if i%2 == 0 {
			cancel()
		} else {
			defer cancel()
		}
		if err := c.Stop(); err != nil {
			t.Fatalf("Stop: %v", err)
		}
		if b := c.Stats().Buffers; b.Free != b.Count && i%10 == 0 {
			t.Logf("%d of %d buffers are free after Stop", b.Free, b.Count)
		}
	}
	for i := range 5 {
		round(i)
	}
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, memory := runtime.NumGoroutine(), heap()
	began := time.Now()
	for i := range rounds {
		round(i)
	}
	t.Logf("%d rounds, %v each", rounds, (time.Since(began) / time.Duration(rounds)).Round(time.Microsecond))
	eventually(t, "the goroutines are gone", func() bool { return runtime.NumGoroutine() <= before })
	if after := heap(); after > memory+memory/2+8<<20 {
		t.Errorf("the heap has grown from %d to %d bytes", memory, after)
	}
}
