package blaze_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/hook"
)

func inspect(t testing.TB, c *blaze.Channel) *blaze.Inspection {
	t.Helper()
	v, err := c.Inspect(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The sender's Inspect names the receiver that holds it up, and that one's Inspect the subscription that does.
func TestInspectFindsWhoIsBehind(t *testing.T) {
	cfg := testConfig(t)
	cfg.Window, cfg.SubscriptionQueue = 256<<10, 16
	stop := make(chan struct{})
	cfg.Name = "slow"
	slow := started(t, cfg)
	t.Cleanup(func() { close(stop) })
	if _, err := slow.SubscribePayload("a.>", func(*blaze.Delivery) { <-stop }); err != nil {
		t.Fatal(err)
	}
	cfg.Name = "quick"
	quick := started(t, cfg)
	if _, err := quick.SubscribePayload("a.b", func(*blaze.Delivery) {}, blaze.Inline()); err != nil {
		t.Fatal(err)
	}
	cfg.Name, cfg.Linger = "sender", time.Millisecond
	c := started(t, cfg)
	p := publisher(t, c, "a.b", 2)
	var err error
	for err == nil || c.Stats().Nack.Blocked == 0 {
		err = p.Offer(make([]byte, 1000))
	}
	var v *blaze.Inspection
	eventually(t, "the quick one has all, and is not behind", func() bool {
		v = inspect(t, c)
		return len(v.Sending) == 1 && v.Sending[0].Receivers[1].Behind == 0 && v.Sending[0].Blocked > 0.5 && v.Sending[0].Slowest.Member == slow.ID()
	})
	s := v.Sending[0]
	if r := s.Receivers; len(r) != 2 || r[0].Member != slow.ID() || r[0].Limit >= r[1].Limit || r[1].Member != quick.ID() || !r[0].Waited ||
		r[0].Limit == 0 || r[0].Room == 0 || time.Since(r[0].LastHeard) > patience || !r[0].Address.IsValid() {
		t.Errorf("receivers %+v", r)
	}
	if s.Slowest == nil || s.Slowest.Member != slow.ID() || s.Protocol != blaze.NACK || s.NextDatagram < 10 || s.NextMessage < s.NextDatagram ||
		s.WindowUsed == 0 || s.LimitedBy != "receiver" && s.LimitedBy != "window" {
		t.Errorf("sending %+v", s)
	}
	if v.Channel.Name != "sender" || v.Channel.State != "started" || v.Channel.ID != c.ID() || v.Channel.Since.IsZero() || v.Channel.Wire != 1 || v.Counters["nack.messages"] == 0 {
		t.Errorf("channel %+v", v.Channel)
	}
	eventually(t, "the queue is named as full", func() bool {
		v = inspect(t, slow)
		return len(v.Subscriptions) == 1 && v.Subscriptions[0].Full > 0.5
	})
	if u := v.Subscriptions[0]; u.Pattern != "a.>" || u.Kind != "topic" || u.Inline || u.Queued != 16 || u.Capacity != 16 || u.Oldest < 100*time.Millisecond || u.Oldest > time.Minute || u.Taken != 0 {
		t.Errorf("%+v", u)
	}
	if r := v.Receiving; len(r) != 1 || r[0].From.Member != c.ID() || r[0].Next == 0 || r[0].Highest < r[0].Next || r[0].Held == 0 && r[0].Highest > r[0].Next+300 {
		t.Errorf("receiving %+v", r)
	}
	v = inspect(t, quick)
	if u := v.Subscriptions[0]; !u.Inline || u.Queued != 0 || u.Taken == 0 || len(u.Times) == 0 {
		t.Errorf("%+v", u)
	}
	if e := v.Engines; len(e) != 1 || e[0].CPU != -1 || e[0].Turns <= 0 || e[0].Buffers == 0 || e[0].BuffersFree == 0 {
		t.Errorf("engines %+v", e)
	}
}

// What was repaired, how long that took, and what stayed lost.
func TestInspectShowsRepairAndLoss(t *testing.T) {
	cfg := testConfig(t)
	c := started(t, cfg)
	hook.Set(&cfg, hook.Options{Drop: 0.1, Seed: 1})
	b := started(t, cfg)
	last := make(chan struct{}, 1)
	if _, err := b.SubscribePayload("a", func(d *blaze.Delivery) {
		if d.Sequence == 500 {
			last <- struct{}{}
		}
	}); err != nil {
		t.Fatal(err)
	}
	p := publisher(t, c, "a", 1)
	for range 500 {
		offer(t, p, make([]byte, 1200))
	}
	next(t, last, "last message")
	r := inspect(t, b).Receiving
	if len(r) != 1 || r[0].Missed == 0 || r[0].Repaired == 0 || r[0].Repaired > r[0].Missed || r[0].RepairP50 == 0 || r[0].RepairP99 < r[0].RepairP50 || r[0].Gone != 0 || r[0].Silent {
		t.Errorf("receiving %+v", r)
	}
	eventually(t, "the sender knows of it", func() bool {
		s := inspect(t, c).Sending
		return s[0].Receivers[0].Missed > 0 && s[0].Repairs > 0 && s[0].Receivers[0].RoundTrip > 0
	})

	cfg.Protocol = blaze.BestEffort
	lossy := started(t, cfg)
	var mu sync.Mutex
	var want []blaze.Loss
	if _, err := lossy.SubscribePayload("b", func(*blaze.Delivery) {}, blaze.Inline(), blaze.OnLoss(func(l blaze.Loss) {
		mu.Lock()
		defer mu.Unlock()
		want = append(want, l)
	})); err != nil {
		t.Fatal(err)
	}
	q := publisher(t, started(t, cfg), "b", 1)
	eventually(t, "some losses", func() bool {
		offer(t, q, make([]byte, 1200))
		mu.Lock()
		defer mu.Unlock()
		return len(want) > 3
	})
	losses := inspect(t, lossy).Losses
	mu.Lock()
	defer mu.Unlock()
	for i, l := range want[:4] {
		if got := losses[i]; got.From.Member != l.From || got.First != l.First || got.Last != l.Last || got.Reason != "unrepaired" || time.Since(got.At) > patience {
			t.Errorf("loss %d: %+v, want %+v", i, got, l)
		}
	}
}

// Inspect works in every state, in every handler, in many goroutines at a time, and ends with its ctx.
func TestInspectAnywhere(t *testing.T) {
	cfg := testConfig(t)
	c, err := blaze.NewChannel(cfg)
	if err != nil {
		t.Fatal(err)
	}
	state := func(want string) {
		t.Helper()
		v := inspect(t, c)
		if v.Channel.State != want || v.Sending == nil || v.Schema != blaze.InspectionSchema {
			t.Errorf("state %q, want %q", v.Channel.State, want)
		}
		if _, err := json.Marshal(v); err != nil {
			t.Error(err)
		}
	}
	state("constructed")
	inNetwork(t, cfg, func() { err = c.Init() })
	if err != nil {
		t.Fatal(err)
	}
	state("initialized")
	inNetwork(t, cfg, func() { err = c.Start() })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Shutdown()
	state("started")
	seen := make(chan *blaze.Inspection, 3)
	look := func() {
		v, err := c.Inspect(context.Background())
		if err != nil {
			t.Error(err)
		}
		select {
		case seen <- v:
		default:
		}
	}
	if _, err := c.SubscribePayload("a", func(*blaze.Delivery) { look() }, blaze.Inline()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SubscribePayload("a", func(*blaze.Delivery) { look() }); err != nil {
		t.Fatal(err)
	}
	p, err := c.Publisher("a")
	if err != nil {
		t.Fatal(err)
	}
	offer(t, p, nil)
	for range 2 {
		if v := next(t, seen, "inspection of a handler"); v.Channel.ID != c.ID() {
			t.Errorf("%+v", v.Channel)
		}
	}
	c.OnStream(func(blaze.StreamEvent) { look() })
	other := started(t, cfg)
	_, _ = other.Subscribe("a", func(*blaze.Message) {})
	next(t, seen, "inspection of OnStream's handler")

	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			if v, err := c.Inspect(within(t)); err != nil || len(v.Subscriptions) != 2 {
				t.Error(v, err)
			}
		})
	}
	all.Wait()

	hang, hangs := make(chan struct{}), make(chan struct{})
	if _, err := c.SubscribePayload("hang", func(*blaze.Delivery) { close(hangs); <-hang }, blaze.Inline()); err != nil {
		t.Fatal(err)
	}
	h, err := c.Publisher("hang")
	if err != nil {
		t.Fatal(err)
	}
	offer(t, h, nil)
	next(t, hangs, "handler that hangs")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	for range 3 {
		if v, err := c.Inspect(ctx); !errors.Is(err, context.DeadlineExceeded) || v != nil || !strings.Contains(err.Error(), "turn") {
			t.Error(err)
		}
	}
	close(hang)
	state("started")
	stopped := make(chan struct{})
	go func() { defer close(stopped); _ = c.Stop() }()
	for open := true; open; {
		select {
		case <-stopped:
			open = false
		default:
			inspect(t, c)
		}
	}
	state("stopped")
	if err := c.Shutdown(); err != nil {
		t.Error(err)
	}
	state("constructed")
}

func TestInspectInvoker(t *testing.T) {
	calls := 0
	c, p := invoker(t, func(c *blaze.Channel) {
		if _, err := c.Inspect(context.Background()); err != nil {
			t.Error(err)
		}
		calls++
	})
	if v := inspect(t, c); len(v.Sending) != 1 || len(v.Engines) != 1 { // nobody has turned, and nobody does
		t.Errorf("%+v", v)
	}
	offer(t, p, []byte("x"))
	for calls == 0 {
		c.Turn()
	}
	if v := inspect(t, c); len(v.Sending) != 1 || v.Sending[0].NextMessage != 2 || v.Subscriptions[0].Handlers != 1 || v.Counters["engine.turns"] == 0 {
		t.Errorf("%+v", v)
	}
}

func TestInspectRing(t *testing.T) {
	cfg := testConfig(t)
	cfg.Protocol, cfg.Totem.Profile = blaze.Totem, blaze.Shared
	a, b := started(t, cfg), started(t, cfg)
	publisher(t, a, "t", 1)
	var v *blaze.Inspection
	eventually(t, "a ring of two", func() bool {
		v = inspect(t, a)
		return v.Ring != nil && v.Ring.State == "operational" && len(v.Ring.Members) == 2 && v.Ring.Rotation > 0
	})
	r := v.Ring
	ids := []blaze.MemberID{r.Members[0].Member, r.Members[1].Member}
	if !slices.Contains(ids, a.ID()) || !slices.Contains(ids, b.ID()) || r.View == 0 || !slices.Contains(ids, r.Representative) || r.TokenLoss == 0 {
		t.Errorf("%+v", r)
	}
	if n := len(r.Reasons); n < 3 || r.Reasons[n-1].State != "operational" || r.Reasons[n-1].Reason != "recovered" || r.Reasons[n-1].At.IsZero() {
		t.Errorf("%+v", r.Reasons)
	}
	if s := v.Sending; len(s) != 1 || s[0].Protocol != blaze.Totem || v.ClusterRing != nil {
		t.Errorf("%+v", s)
	}
}

func TestInspectGroupAndCluster(t *testing.T) {
	all := clusterOf(t, 2)
	a, b := all[0], all[1]
	ctx := within(t)
	mustPut(t, a.Map("m"), "k", "value")
	lock := mustLock(t, a.Map("m"), "k", blaze.Lease(time.Minute))
	go func() {
		if l, err := b.Map("m").Lock(ctx, "k"); err == nil {
			_ = l.Unlock(ctx)
		}
	}()
	begun, done := make(chan struct{}), make(chan struct{})
	if _, err := b.Consume("q", func(*blaze.Message) error { close(begun); <-done; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := b.HandleInbox("box", func(*blaze.Message) {}); err != nil {
		t.Fatal(err)
	}
	go func() { _ = a.Enqueue(ctx, "q", blaze.NewTextMessage("x")) }()
	next(t, begun, "message of the queue")
	var v *blaze.Inspection
	eventually(t, "one waits for the lock", func() bool {
		v = inspect(t, b.Channel)
		return len(v.Locks) == 1 && v.Locks[0].Waiting == 1
	})
	if l := v.Locks[0]; l.Map != "m" || l.Key != "k" || l.Owner.Member != a.ID() || l.Owner.Name != "a" || l.Token != lock.Token() || l.LeaseLeft < 50*time.Second || l.LeaseLeft > time.Minute || len(l.Waiters) != 1 || l.Waiters[0].Name != "b" {
		t.Errorf("%+v", l)
	}
	if m := v.Maps; len(m) != 1 || m[0].Name != "m" || m[0].Entries != 1 || m[0].Bytes == 0 || m[0].Version == 0 {
		t.Errorf("%+v", m)
	}
	if m := v.Master; m == nil || !m.Primary || m.Phase != "complete" || m.Master == nil || m.Master.Name != "a" {
		t.Errorf("%+v", m)
	}
	if m := v.Members; len(m) != 2 || m[0].Name+m[1].Name != "ab" && m[0].Name+m[1].Name != "ba" || m[0].Since.IsZero() {
		t.Errorf("%+v", m)
	}
	if r := v.ClusterRing; r == nil || len(r.Members) != 2 || r.Members[0].Name == "" || v.Ring != nil {
		t.Errorf("%+v", r)
	}
	kinds := map[string]string{}
	for _, s := range v.Subscriptions {
		kinds[s.Kind] += s.Pattern + " "
	}
	if !strings.Contains(kinds["inbox"], "box ") || kinds["queue"] != "q " {
		t.Errorf("%v", kinds)
	}
	v = inspect(t, a.Channel)
	if q := v.Queues; len(q) != 1 || q[0].Name != "q" || q[0].Out != 1 || q[0].Waiting != 0 || len(q[0].Consumers) != 1 || q[0].Consumers[0].Name != "b" || q[0].Consumers[0].Out != 1 {
		t.Errorf("%+v", q)
	}
	close(done)
	if err := lock.Unlock(ctx); err != nil {
		t.Error(err)
	}
	eventually(t, "no lock is held", func() bool { return len(inspect(t, a.Channel).Locks) == 0 })
}
