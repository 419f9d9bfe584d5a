package blaze_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

const patience = 10 * time.Second // for what takes microseconds when all is well

// testConfig is a configuration with a port and a cluster of the test's own.
func testConfig(t testing.TB) blaze.Config {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	port := c.LocalAddr().(*net.UDPAddr).Port
	c.Close()
	return blaze.Config{
		BroadcastURI: testURI(t, port),
		Cluster:      fmt.Sprintf("test-%x", rand.Uint64()),
		Logger:       slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

// started makes a channel that is started, and shut down when the test ends.
func started(t testing.TB, cfg blaze.Config) *blaze.Channel {
	t.Helper()
	c, err := blaze.NewChannel(cfg)
	if err != nil {
		t.Fatal(err)
	}
	inNetwork(t, cfg, func() { err = c.Start() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Shutdown(); err != nil {
			t.Logf("Shutdown: %v", err)
		}
	})
	return c
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func publisher(t testing.TB, c *blaze.Channel, topic string, receivers int) *blaze.Publisher {
	t.Helper()
	p, err := c.Publisher(topic)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WaitReceivers(within(t), receivers); err != nil {
		t.Fatal(err)
	}
	return p
}

func offer(t testing.TB, p *blaze.Publisher, payload []byte) {
	t.Helper()
	for end := time.Now().Add(patience); ; runtime.Gosched() {
		err := p.Offer(payload)
		if err == nil {
			return
		}
		if !errors.Is(err, blaze.ErrBackPressure) || time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// next waits for the next value of c.
func next[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s within %v", what, patience)
		panic("unreachable")
	}
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	eventuallyIn(t, patience, what, cond)
}

func eventuallyIn(t testing.TB, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

func TestBroadcastReachesSubscribers(t *testing.T) {
	for _, p := range []blaze.Protocol{blaze.NACK, blaze.BestEffort} {
		t.Run(p.String(), func(t *testing.T) {
			cfg := testConfig(t)
			cfg.Protocol = p
			a, b := started(t, cfg), started(t, cfg)
			got := make(chan *blaze.Message, 8)
			if _, err := b.Subscribe("prices.*", func(m *blaze.Message) { got <- m }); err != nil {
				t.Fatal(err)
			}
			if p == blaze.NACK {
				publisher(t, a, "prices.eur", 1)
			}
			m := blaze.NewTextMessage("1.0841").Set("venue", blaze.StringValue("XETR"))
			if err := a.Broadcast(within(t), "prices.eur", m); err != nil {
				t.Fatal(err)
			}
			r := next(t, got, "message")
			if !r.Equal(m) || r.Topic() != "prices.eur" || r.From() != a.ID() || r.Sequence() == 0 {
				t.Errorf("got %v on %q from %v number %d", r, r.Topic(), r.From(), r.Sequence())
			}
		})
	}
}

func TestOwnBroadcastsAreHeardInOrder(t *testing.T) {
	cfg := testConfig(t)
	a := started(t, cfg)
	got := make(chan string, 200)
	a.SubscribePayload("x", func(d *blaze.Delivery) { got <- string(d.Payload) }, blaze.Inline())
	p := publisher(t, a, "x", 0)
	for i := range 100 {
		offer(t, p, fmt.Append(nil, i))
	}
	for i := range 100 {
		if s := next(t, got, "own message"); s != fmt.Sprint(i) {
			t.Fatalf("message %d is %q", i, s)
		}
	}

	cfg.NoSelfDelivery = true
	b := started(t, cfg)
	b.SubscribePayload("y", func(d *blaze.Delivery) { t.Error("heard itself") }, blaze.Inline())
	heard := make(chan string, 1)
	a.SubscribePayload("y", func(d *blaze.Delivery) { heard <- string(d.Payload) }, blaze.Inline())
	offer(t, publisher(t, b, "y", 1), []byte("z"))
	next(t, heard, "message at the other member")
}

func TestEveryMessageOnceInOrderAtFourReceivers(t *testing.T) {
	const count = 20000
	cfg := testConfig(t)
	a := started(t, cfg)
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		want := uint64(0)
		started(t, cfg).SubscribePayload("n", func(d *blaze.Delivery) {
			if string(d.Payload) != fmt.Sprint(want) {
				t.Errorf("got %q, want %d", d.Payload, want)
			}
			if want++; want == count {
				wg.Done()
			}
		}, blaze.OnLoss(func(l blaze.Loss) { t.Error(l) }))
	}
	p := publisher(t, a, "n", 4)
	for i := range count {
		offer(t, p, fmt.Append(nil, i))
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	next(t, done, "last message at all receivers")
}

func TestLargeMessagesArriveWhole(t *testing.T) {
	cfg := testConfig(t)
	a, b := started(t, cfg), started(t, cfg)
	got := make(chan []byte, 10)
	b.SubscribePayload("big", func(d *blaze.Delivery) { got <- bytes.Clone(d.Payload) })
	p := publisher(t, a, "big", 1)
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 1300, 1400, 1472, 1473, 65536, 1 << 20} {
		want := make([]byte, n)
		for i := range want {
			want[i] = byte(r.Uint32())
		}
		offer(t, p, want)
		if g := next(t, got, fmt.Sprintf("message of %d bytes", n)); !bytes.Equal(g, want) {
			t.Fatalf("%d bytes came back as %d other ones", n, len(g))
		}
	}
	if err := p.Offer(make([]byte, 1<<20+1)); !errors.Is(err, blaze.ErrTooLarge) {
		t.Errorf("one byte more than MaxMessageSize: %v", err)
	}
}

func TestClaim(t *testing.T) {
	for _, invoker := range []bool{false, true} {
		t.Run(fmt.Sprint("invoker=", invoker), func(t *testing.T) {
			cfg := testConfig(t)
			b := started(t, cfg)
			got := make(chan string, 10)
			b.SubscribePayload("c", func(d *blaze.Delivery) { got <- string(d.Payload[:min(5, len(d.Payload))]) })
			cfg.Invoker = invoker
			a := started(t, cfg)
			p := publisher(t, a, "c", 1)
			for _, n := range []int{5, 1400, 100_000} {
				c, err := p.Claim(n)
				if err != nil || len(c.Bytes()) != n {
					t.Fatalf("claim of %d: %d bytes, %v", n, len(c.Bytes()), err)
				}
				copy(c.Bytes(), "wrong")
				c.Abort()
				if c, err = p.Claim(n); err != nil {
					t.Fatal(err)
				}
				copy(c.Bytes(), "right")
				if err := c.Commit(); err != nil {
					t.Fatal(err)
				}
				if err := c.Commit(); !errors.Is(err, blaze.ErrState) {
					t.Errorf("second Commit: %v", err)
				}
				for end := time.Now().Add(patience); len(got) == 0 && time.Now().Before(end); {
					a.Turn()
				}
				if s := next(t, got, "claimed message"); s != "right" {
					t.Fatalf("got %q", s)
				}
			}
			if _, err := p.Claim(1<<20 + 1); !errors.Is(err, blaze.ErrTooLarge) {
				t.Errorf("claim above MaxMessageSize: %v", err)
			}
		})
	}
}

func TestStates(t *testing.T) {
	socketsOnly(t)
	c, err := blaze.NewChannel(testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	want := func(s blaze.State) {
		t.Helper()
		if c.State() != s {
			t.Fatalf("state %v, want %v", c.State(), s)
		}
	}
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	p, err := c.Publisher("a")
	ok(err)
	want(blaze.Constructed)
	ok(c.Stop())
	ok(c.Shutdown())
	if !c.ID().IsZero() {
		t.Error("an ID before the first start")
	}
	if err := p.Offer(nil); !errors.Is(err, blaze.ErrState) {
		t.Errorf("Offer in constructed: %v", err)
	}
	if err := c.Broadcast(within(t), "a", blaze.NewMessage()); !errors.Is(err, blaze.ErrState) {
		t.Errorf("Broadcast in constructed: %v", err)
	}
	ok(c.SetConfig(c.Config()))
	ok(c.Init())
	ok(c.Init())
	want(blaze.Initialized)
	if err := c.SetConfig(c.Config()); !errors.Is(err, blaze.ErrState) {
		t.Errorf("SetConfig in initialized: %v", err)
	}
	ok(c.Stop())
	want(blaze.Initialized)
	ok(c.Start())
	ok(c.Start())
	ok(c.Init())
	want(blaze.Started)
	first := c.ID()
	ok(p.Offer(nil))
	ok(c.Stop())
	want(blaze.Stopped)
	ok(c.Stop())
	ok(c.Init())
	want(blaze.Stopped)
	if err := p.Offer(nil); !errors.Is(err, blaze.ErrState) || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("Offer in stopped: %v", err)
	}
	ok(c.Start())
	if id := c.ID(); id == first || id.IsZero() {
		t.Errorf("ID %v after %v: must be a new one", id, first)
	}
	ok(p.Offer(nil))
	ok(c.Shutdown())
	want(blaze.Constructed)
	ok(c.Shutdown())
	ok(c.Start())
	ok(c.Shutdown())
}

func TestSubscriptionsOutliveStopAndShutdown(t *testing.T) {
	socketsOnly(t)
	cfg := testConfig(t)
	a := started(t, cfg)
	b, err := blaze.NewChannel(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown()
	got := make(chan string, 10)
	b.SubscribePayload("s", func(d *blaze.Delivery) { got <- "queued " + string(d.Payload) })
	b.SubscribePayload("s", func(d *blaze.Delivery) { got <- "inline " + string(d.Payload) }, blaze.Inline())
	p, err := a.Publisher("s")
	if err != nil {
		t.Fatal(err)
	}
	for i, leave := range []func() error{b.Stop, b.Shutdown, b.Shutdown} {
		if err := b.Start(); err != nil {
			t.Fatal(err)
		}
		if err := p.WaitReceivers(within(t), 1); err != nil {
			t.Fatal(err)
		}
		offer(t, p, fmt.Append(nil, i))
		// A member that starts among a stream's first datagrams, and is then kept from the
		// processor, takes itself for one that was there when it began, and hears these again.
		want := map[string]bool{fmt.Sprint("queued ", i): true, fmt.Sprint("inline ", i): true}
		for len(want) > 0 {
			m := next(t, got, "message")
			if n := int(m[len(m)-1] - '0'); n > i {
				t.Fatalf("round %d: %s", i, m)
			}
			delete(want, m)
		}
		if err := leave(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the sender forgets a receiver that left", func() bool { return p.Receivers() == 0 })
	}
}

// Stop, Shutdown and Close do not wait for the handler that calls them.
func TestHandlersMayCallAnything(t *testing.T) {
	for _, opts := range [][]blaze.SubscribeOption{nil, {blaze.Inline()}} {
		for name, call := range map[string]func(*blaze.Channel, *blaze.Subscription) error{
			"Stop":     func(c *blaze.Channel, _ *blaze.Subscription) error { return c.Stop() },
			"Shutdown": func(c *blaze.Channel, _ *blaze.Subscription) error { return c.Shutdown() },
			"Close":    func(_ *blaze.Channel, s *blaze.Subscription) error { return s.Close() },
			"Stats":    func(c *blaze.Channel, _ *blaze.Subscription) error { c.Stats(); return nil },
			"Broadcast": func(c *blaze.Channel, _ *blaze.Subscription) error {
				return c.Broadcast(context.Background(), "z", blaze.NewMessage())
			},
			"Subscribe": func(c *blaze.Channel, _ *blaze.Subscription) error {
				_, err := c.Subscribe("q", func(*blaze.Message) {})
				return err
			},
		} {
			t.Run(fmt.Sprint(name, " inline=", opts != nil), func(t *testing.T) {
				cfg := testConfig(t)
				a, b := started(t, cfg), started(t, cfg)
				var s *blaze.Subscription
				returned := make(chan error, 1)
				var once sync.Once
				ready := make(chan struct{})
				s, err := b.SubscribePayload("h", func(*blaze.Delivery) {
					once.Do(func() { <-ready; returned <- call(b, s) })
				}, opts...)
				if err != nil {
					t.Fatal(err)
				}
				close(ready)
				offer(t, publisher(t, a, "h", 1), nil)
				if err := next(t, returned, "return of "+name); err != nil {
					t.Error(err)
				}
				switch name {
				case "Stop":
					eventually(t, "stopped", func() bool { return b.State() == blaze.Stopped })
				case "Shutdown":
					eventually(t, "shut down", func() bool { return b.State() == blaze.Constructed })
				case "Close":
					next(t, s.Done(), "end of the subscription")
					if s.Err() != nil {
						t.Error(s.Err())
					}
				}
			})
		}
	}
}

// A handler may call Stop for each message that it gets: the second call does not wait for the first,
// which waits for the handler.
func TestHandlersMayStopAgain(t *testing.T) {
	cfg := testConfig(t)
	a, b := started(t, cfg), started(t, cfg)
	if _, err := b.SubscribePayload("h", func(*blaze.Delivery) {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
		eventually(t, "the stop to begin", func() bool { return b.State() == blaze.Stopped })
	}, blaze.Inline()); err != nil {
		t.Fatal(err)
	}
	p := publisher(t, a, "h", 1)
	for range 50 {
		offer(t, p, nil)
	}
	eventually(t, "stopped", func() bool { return b.Shutdown() == nil && b.State() == blaze.Constructed })
}

func TestCloseWaitsForTheHandler(t *testing.T) {
	for _, opts := range [][]blaze.SubscribeOption{nil, {blaze.Inline()}} {
		cfg := testConfig(t)
		a, b := started(t, cfg), started(t, cfg)
		var running, calls, arrived atomic.Int64
		entered := make(chan struct{}, 1000)
		ended := make(chan (<-chan struct{}), 1) // closed when Close has begun
		s, err := b.SubscribePayload("w", func(*blaze.Delivery) {
			running.Store(1)
			calls.Add(1)
			entered <- struct{}{}
			<-<-ended
			for range 100 {
				runtime.Gosched() // a Close that does not wait returns meanwhile
			}
			running.Store(0)
		}, opts...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.SubscribePayload("w", func(*blaze.Delivery) { arrived.Add(1) }, blaze.Inline()); err != nil {
			t.Fatal(err)
		}
		p := publisher(t, a, "w", 1)
		for range 100 {
			offer(t, p, nil)
		}
		next(t, entered, "first message")
		ended <- s.Done()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if running.Load() != 0 {
			t.Fatal("Close returned while the handler was running")
		}
		offer(t, p, nil)
		eventually(t, "all messages arrived", func() bool { return arrived.Load() == 101 })
		if n := calls.Load(); n != 1 {
			t.Fatalf("the handler ran after Close: %d calls", n)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A handler that Stop gave up waiting for is neither joined by the next start's nor left out of what
// Close waits for, and what was queued behind it is not for the next start.
func TestStopGivesUpOnAHandler(t *testing.T) {
	cfg := testConfig(t)
	a := started(t, cfg)
	cfg.Linger = 20 * time.Millisecond
	b := started(t, cfg)
	var running atomic.Int64
	entered, release := make(chan byte, 100), make(chan struct{}, 100)
	s, err := b.SubscribePayload("g", func(d *blaze.Delivery) {
		if running.Add(1) != 1 {
			t.Error("two handlers of one subscription run at the same time")
		}
		entered <- d.Payload[0]
		<-release
		running.Add(-1)
	})
	if err != nil {
		t.Fatal(err)
	}
	var arrived atomic.Int64
	if _, err := b.SubscribePayload("g", func(*blaze.Delivery) { arrived.Add(1) }, blaze.Inline()); err != nil {
		t.Fatal(err)
	}
	p := publisher(t, a, "g", 1)
	const first, queued, later = 1, 2, 3
	offer(t, p, []byte{first})
	if got := next(t, entered, "first message"); got != first {
		t.Fatalf("message %d came first", got)
	}
	for start := range 2 { // the first handler runs in both
		for range 5 {
			offer(t, p, []byte{queued})
		}
		eventually(t, "five more messages arrived", func() bool { return arrived.Load() == int64(1+5*(start+1)) })
		if err := b.Stop(); err == nil || !strings.Contains(err.Error(), `a handler of "g" still runs`) {
			t.Fatalf("Stop beside a handler that does not return: %v", err)
		}
		inNetwork(t, cfg, func() { err = b.Start() })
		if err != nil {
			t.Fatal(err)
		}
		if err := p.WaitReceivers(within(t), 1); err != nil {
			t.Fatal(err)
		}
	}
	offer(t, p, []byte{later})
	eventually(t, "the last message arrived", func() bool { return arrived.Load() == 12 })
	if len(entered) != 0 {
		t.Error("a handler was called beside the one that runs")
	}
	release <- struct{}{}
	if got := next(t, entered, "message of the last start"); got != later {
		t.Errorf("the last start's handler got message %d, which was queued in an earlier one", got)
	}
	// Once more: Close waits for what Stop did not.
	if err := b.Stop(); err == nil {
		t.Fatal("Stop did not say that a handler runs")
	}
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	next(t, s.Done(), "beginning of Close")
	select {
	case <-closed:
		t.Error("Close returned while the handler was running")
	default:
	}
	release <- struct{}{}
	if err := next(t, closed, "end of Close"); err != nil {
		t.Error(err)
	}
}

func TestSlowConsumer(t *testing.T) {
	const count, queue = 5000, 16
	run := func(t *testing.T, policy blaze.SlowConsumer) (got int, losses []blaze.Loss, s *blaze.Subscription, b *blaze.Channel) {
		cfg := testConfig(t)
		a := started(t, cfg)
		cfg.SlowConsumer, cfg.SubscriptionQueue = policy, queue
		b = started(t, cfg)
		hold, last := make(chan struct{}), make(chan struct{})
		var mu sync.Mutex
		var seen []uint64
		s, err := b.SubscribePayload("s", func(d *blaze.Delivery) {
			<-hold
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, d.Sequence)
			if string(d.Payload) == "last" {
				close(last)
			}
		}, blaze.OnLoss(func(l blaze.Loss) {
			mu.Lock()
			defer mu.Unlock()
			losses = append(losses, l)
		}))
		if err != nil {
			t.Fatal(err)
		}
		p := publisher(t, a, "s", 1)
		for range count {
			offer(t, p, []byte("x"))
		}
		switch policy {
		case blaze.Disconnect:
			next(t, s.Done(), "disconnection")
			close(hold)
			eventually(t, "the loss of what was queued", func() bool { mu.Lock(); defer mu.Unlock(); return len(losses) > 0 })
			return 0, nil, s, b
		case blaze.Drop:
			eventually(t, "drops", func() bool { return b.Stats().SlowDropped >= count-queue-1 })
		case blaze.Pause:
			eventually(t, "a long pause", func() bool { return b.Stats().LongPauses > 0 })
		}
		close(hold)
		if policy == blaze.Drop {
			// The queue has to drain, or the last message is dropped too.
			eventually(t, "room", func() bool { mu.Lock(); defer mu.Unlock(); return len(seen) >= queue })
		}
		offer(t, p, []byte("last"))
		next(t, last, "last message")
		mu.Lock()
		defer mu.Unlock()
		at := uint64(0)
		for i, n := range seen {
			if n <= at {
				t.Fatalf("delivery %d has number %d after %d", i, n, at)
			}
			at = n
		}
		return len(seen), losses, s, b
	}
	t.Run("pause", func(t *testing.T) {
		got, losses, _, _ := run(t, blaze.Pause)
		if got != count+1 || len(losses) > 0 {
			t.Errorf("%d of %d messages, losses %v", got, count+1, losses)
		}
	})
	t.Run("drop", func(t *testing.T) {
		got, losses, _, _ := run(t, blaze.Drop)
		var gone int
		for _, l := range losses {
			if l.Reason != blaze.LossSlowConsumer {
				t.Errorf("loss %v", l)
			}
			gone += int(l.Last - l.First + 1)
		}
		if got+gone != count+1 || gone == 0 {
			t.Errorf("%d delivered and %d told lost, of %d", got, gone, count+1)
		}
	})
	t.Run("disconnect", func(t *testing.T) {
		_, _, s, b := run(t, blaze.Disconnect)
		if s.Err() == nil || !strings.Contains(s.Err().Error(), "queue of 16") {
			t.Errorf("Err: %v", s.Err())
		}
		if b.Stats().Disconnected != 1 {
			t.Error("not counted")
		}
	})
}

// A consumer that pauses holds the sender back, which is told so, and nothing is lost.
func TestBackPressureIsVisible(t *testing.T) {
	cfg := testConfig(t)
	cfg.Window, cfg.MaxMessageSize = 64<<10, 4096
	a := started(t, cfg)
	cfg.SubscriptionQueue = 4
	b := started(t, cfg)
	hold := make(chan struct{})
	var count atomic.Int64
	b.SubscribePayload("s", func(d *blaze.Delivery) { <-hold; count.Add(1) })
	p := publisher(t, a, "s", 1)
	payload, sent := make([]byte, 4096), int64(0)
	for end := time.Now().Add(patience); ; {
		if err := p.Offer(payload); err == nil {
			sent++
		} else if errors.Is(err, blaze.ErrBackPressure) {
			break
		} else {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatal("the sender never felt a receiver that takes nothing")
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	big := blaze.NewBytesMessage(payload[:4000])
	var err error
	for err == nil {
		if err = a.Broadcast(ctx, "s", big); err == nil {
			sent++
		}
	}
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `broadcast on "s"`) {
		t.Errorf("Broadcast under back-pressure: %v", err)
	}
	close(hold)
	eventually(t, "all that was accepted is delivered", func() bool { return count.Load() == sent })
}

// asked is a context that closes waits when somebody waits for its end.
type asked struct {
	context.Context
	once  sync.Once
	waits chan struct{}
}

func (a *asked) Done() <-chan struct{} {
	a.once.Do(func() { close(a.waits) })
	return a.Context.Done()
}

func TestStopEndsWhoWaits(t *testing.T) {
	a := started(t, testConfig(t))
	p, err := a.Publisher("nobody")
	if err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	ctx := &asked{Context: context.Background(), waits: make(chan struct{})}
	go func() { waited <- p.WaitReceivers(ctx, 1) }()
	next(t, ctx.waits, "wait")
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := next(t, waited, "end of the wait"); !errors.Is(err, blaze.ErrClosed) && !errors.Is(err, blaze.ErrState) {
		t.Errorf("WaitReceivers when Stop came: %v", err)
	}
}

// Stop waits until the receivers have what was accepted.
func TestStopLingers(t *testing.T) {
	cfg := testConfig(t)
	cfg.Linger = patience
	a, b := started(t, cfg), started(t, cfg)
	var got atomic.Int64
	b.SubscribePayload("l", func(*blaze.Delivery) { got.Add(1) }, blaze.Inline())
	p := publisher(t, a, "l", 1)
	for range 5000 {
		offer(t, p, make([]byte, 1000))
	}
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all 5000 delivered", func() bool { return got.Load() == 5000 })
}

func TestClearErrors(t *testing.T) {
	socketsOnly(t)
	good := testConfig(t)
	for name, c := range map[string]struct {
		change func(*blaze.Config)
		is     error
		says   []string
	}{
		"unknown interface": {func(c *blaze.Config) { c.BroadcastURI += "?interface=nosuch0" }, blaze.ErrConfig, []string{"nosuch0", "lo"}},
		"bad scheme":        {func(c *blaze.Config) { c.BroadcastURI = "tcp://1.2.3.4:5" }, blaze.ErrConfig, []string{"tcp", "udp"}},
		"not multicast":     {func(c *blaze.Config) { c.BroadcastURI = "udp://10.0.0.1:5" }, blaze.ErrConfig, []string{"10.0.0.1", "multicast"}},
		"window":            {func(c *blaze.Config) { c.Window = 7 }, blaze.ErrConfig, []string{"Window", "7"}},
		"xdp nowhere":       {func(c *blaze.Config) { c.BroadcastURI = "xdp://239.255.66.76:6676" }, blaze.ErrConfig, []string{"interface"}},
		"no such CPU":       {func(c *blaze.Config) { c.EngineCPUs = []int{4095} }, nil, []string{"4095"}},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "no such CPU" && runtime.GOOS != "linux" {
				t.Skip("pinning needs Linux")
			}
			cfg := good
			c.change(&cfg)
			ch, err := blaze.NewChannel(cfg)
			if err == nil {
				err = ch.Start()
				defer ch.Shutdown()
			}
			if err == nil || c.is != nil && !errors.Is(err, c.is) {
				t.Fatalf("got %v, want %v", err, c.is)
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
		})
	}
	c := started(t, good)
	if _, err := c.Publisher("a..b"); !errors.Is(err, blaze.ErrTopic) {
		t.Errorf("topic a..b: %v", err)
	}
	if _, err := c.Publisher("a.*"); !errors.Is(err, blaze.ErrTopic) {
		t.Errorf("publishing on a.*: %v", err)
	}
	if _, err := c.Subscribe("a.>.b", func(*blaze.Message) {}); !errors.Is(err, blaze.ErrTopic) {
		t.Errorf("pattern a.>.b: %v", err)
	}
	s, _ := c.Subscribe("a", func(*blaze.Message) {})
	s.Close()
	p, _ := c.Publisher("a")
	p.Close()
	if err := p.Offer(nil); !errors.Is(err, blaze.ErrClosed) {
		t.Errorf("Offer after Close: %v", err)
	}
}

// Two wildcard subscriptions and an exact one each get a message once.
func TestOverlappingSubscriptions(t *testing.T) {
	cfg := testConfig(t)
	a, b := started(t, cfg), started(t, cfg)
	got := make(chan string, 10)
	for _, pattern := range []string{"a.b", "a.>", "a.*", ">", "a", "b.>"} {
		b.SubscribePayload(pattern, func(d *blaze.Delivery) { got <- pattern }, blaze.Inline())
	}
	offer(t, publisher(t, a, "a.b", 1), nil)
	for _, want := range []string{"a.b", "a.>", "a.*", ">"} {
		if g := next(t, got, "message"); g != want {
			t.Errorf("got %q, want %q: in order of subscription", g, want)
		}
	}
	offer(t, publisher(t, a, "end", 1), nil)
	if g := next(t, got, "message"); g != ">" {
		t.Errorf("%q also got it", g)
	}
}

func TestLanesAndRules(t *testing.T) {
	cfg := testConfig(t)
	cfg.Lanes = 4
	cfg.Topics = []blaze.TopicConfig{{Pattern: "fast.>", Protocol: blaze.BestEffort}}
	a, b := started(t, cfg), started(t, cfg)
	const topics, each = 20, 50
	var mu sync.Mutex
	at, got := map[string]int{}, 0
	done := make(chan struct{})
	b.SubscribePayload(">", func(d *blaze.Delivery) {
		mu.Lock()
		defer mu.Unlock()
		if string(d.Payload) != fmt.Sprint(at[d.Topic]) {
			t.Errorf("%s: got %s, want %d", d.Topic, d.Payload, at[d.Topic])
		}
		at[d.Topic]++
		if got++; got == topics*each {
			close(done)
		}
	})
	var pubs []*blaze.Publisher
	for i := range topics {
		name := fmt.Sprint("t.", i)
		pubs = append(pubs, publisher(t, a, name, 1))
	}
	for n := range each {
		for _, p := range pubs {
			offer(t, p, fmt.Append(nil, n))
		}
	}
	next(t, done, "last message")
}

// With an Invoker one goroutine turns and offers; the rest may come from anywhere.
func TestInvokerAndOtherGoroutines(t *testing.T) {
	cfg := testConfig(t)
	b := started(t, cfg)
	got := make(chan struct{}, 1<<16)
	b.SubscribePayload(">", func(*blaze.Delivery) { got <- struct{}{} })
	cfg.Invoker = true
	a := started(t, cfg)
	a.SubscribePayload("own", func(*blaze.Delivery) { a.Stats() }, blaze.Inline())
	p := publisher(t, a, "turned", 1) // which turns
	stop, turned, turning := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(turned)
		a.Turn()
		close(turning)
		for {
			select {
			case <-stop:
				return
			default:
				p.Offer(nil)
				a.Turn()
			}
		}
	}()
	<-turning
	for range 50 {
		if err := a.Broadcast(within(t), "own", blaze.NewMessage()); err != nil {
			t.Fatal(err)
		}
		a.Stats()
		s, err := a.Subscribe("x", func(*blaze.Message) {}, blaze.Inline())
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	next(t, got, "message")
	if err := a.Stop(); err != nil { // while the other goroutine turns
		t.Error(err)
	}
	close(stop)
	next(t, turned, "end of the turning goroutine")
	if a.Turn() != 0 || a.State() != blaze.Stopped {
		t.Error("turned after Stop")
	}
}

// leaks counts what a channel could leave behind.
func leaks() (goroutines, descriptors int) {
	entries, _ := os.ReadDir("/proc/self/fd")
	return runtime.NumGoroutine(), len(entries)
}

func TestStartStopShutdownLeaksNothing(t *testing.T) {
	socketsOnly(t)
	rounds := 1000
	if testing.Short() {
		rounds = 100
	}
	cfg := testConfig(t)
	cfg.Window, cfg.MaxMessageSize = 1<<20, 1<<16
	c, err := blaze.NewChannel(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Subscribe("a", func(*blaze.Message) {})
	round := func() {
		for _, f := range []func() error{
			c.Start, func() error { return c.Broadcast(context.Background(), "a", blaze.NewMessage()) },
			c.Stop, c.Start, c.Shutdown,
		} {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		}
	}
	round()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	g, fd := leaks()
	for range rounds {
		round()
	}
	eventually(t, "goroutines and descriptors as before", func() bool { g2, fd2 := leaks(); return g2 <= g && fd2 <= fd })
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("the heap grew by %d KiB over %d rounds", grown>>10, rounds)
	}
}

func TestPointcast(t *testing.T) {
	socketsOnly(t)
	cfg := testConfig(t)
	var list []string
	for range 3 {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c.LocalAddr().String())
		defer c.Close()
		c.Close()
	}
	cfg.BroadcastURI = "pointcast://" + strings.Join(list, ",")
	got := make(chan string, 10)
	a := started(t, cfg)
	for i := range 2 {
		started(t, cfg).SubscribePayload("p", func(d *blaze.Delivery) { got <- fmt.Sprint(i, string(d.Payload)) })
	}
	offer(t, publisher(t, a, "p", 2), []byte("!"))
	seen := map[string]bool{next(t, got, "message"): true, next(t, got, "message"): true}
	if !seen["0!"] || !seen["1!"] {
		t.Errorf("got %v", seen)
	}
	if tr := a.Stats().Transport; tr != "pointcast" {
		t.Errorf("transport %q", tr)
	}
}

// Messages of another cluster on the same address are not heard.
func TestClustersDoNotMix(t *testing.T) {
	cfg := testConfig(t)
	a, b := started(t, cfg), started(t, cfg)
	cfg.Cluster += "-other"
	c := started(t, cfg)
	c.SubscribePayload(">", func(d *blaze.Delivery) { t.Error("heard another cluster") }, blaze.Inline())
	got := make(chan struct{}, 1)
	b.SubscribePayload("a", func(d *blaze.Delivery) { got <- struct{}{} }, blaze.Inline())
	offer(t, publisher(t, a, "a", 1), nil)
	next(t, got, "message")
	eventually(t, "the other cluster's datagrams are counted", func() bool { return c.Stats().Engine.Drops[1] > 0 })
}
