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
	if l := c.Stats().Limits; len(l) != 1 || l[0].By != blaze.LimitedByReceiver && l[0].By != blaze.LimitedByWindow || l[0].Receiver != slow.ID() ||
		!l[0].Addr.IsValid() || l[0].Protocol != blaze.NACK {
		t.Errorf("limits %v", l)
	}
	rest.Store(true)
	eventually(t, "it has recovered", func() bool { return len(log.with(free)) == 1 })
	if named := log.with(fast.ID().String()); len(named) > 0 || len(log.with(held)) != 1 {
		t.Errorf("%q, %q", named, log.with(held))
	}
}

// Config.MaxRate is reported where it limits a stream, and the application where it does.
func TestMaxRateIsNamed(t *testing.T) {
	for _, p := range []blaze.Protocol{blaze.NACK, blaze.Totem} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(t)
			cfg.Protocol = p
			receiver := started(t, cfg)
			if _, err := receiver.SubscribePayload("a", func(*blaze.Delivery) {}); err != nil {
				t.Fatal(err)
			}
			var log lines
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			cfg.MaxRate, cfg.Window = 20_000_000, 1<<20
			c := started(t, cfg)
			publisher(t, c, "a", 1)
			limits := func() blaze.StreamLimit {
				l := c.Stats().Limits
				if len(l) != 1 || l[0].Protocol != p {
					t.Fatalf("limits %v", l)
				}
				return l[0]
			}
			if l := limits(); l.By != blaze.LimitedByApplication || !l.Receiver.IsZero() {
				t.Errorf("an idle stream: %v", l)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 2500*time.Millisecond)
			defer cancel()
			m := blaze.NewBytesMessage(make([]byte, 1000))
			for err := error(nil); err == nil; {
				err = c.Broadcast(ctx, "a", m)
			}
			if l := limits(); l.By != blaze.LimitedByMaxRate || l.For[blaze.LimitedByMaxRate] < time.Second {
				t.Errorf("at MaxRate: %v, %v", l, l.For)
			}
			if found := log.with("limited by"); len(found) != 1 || !strings.Contains(found[0], "MaxRate") {
				t.Errorf("the log: %q", found)
			}
			eventually(t, "nothing limits it any more", func() bool { return limits().By == blaze.LimitedByApplication })
		})
	}
}

// A handler that never returns holds all up, and after SlowestFor no longer: the others go on, both logs name the
// other member, and OnStream reports the eviction. When it returns at last its losses are LossReset, and it counts again.
func TestStuckReceiverIsEvicted(t *testing.T) {
	for _, p := range []blaze.Protocol{blaze.NACK, blaze.Hybrid} {
		if p != blaze.NACK && testing.Short() {
			continue
		}
		t.Run(p.String(), func(t *testing.T) {
			cfg := testConfig(t)
			cfg.Protocol, cfg.Window, cfg.SubscriptionQueue = p, 128<<10, 16
			var here, there lines // the logs of the sender and of the one that is stuck
			quiet := cfg.Logger
			cfg.Logger = slog.New(slog.NewTextHandler(&there, nil))
			stuck := started(t, cfg)
			release, resets := make(chan struct{}), make(chan blaze.Loss, 1000)
			t.Cleanup(func() {
				select {
				case <-release:
				default:
					close(release)
				}
			})
			if _, err := stuck.SubscribePayload("a", func(*blaze.Delivery) { <-release }, blaze.OnLoss(func(l blaze.Loss) { resets <- l })); err != nil {
				t.Fatal(err)
			}
			cfg.Logger = quiet
			well := started(t, cfg)
			var got atomic.Int64
			if _, err := well.SubscribePayload("a", func(*blaze.Delivery) { got.Add(1) }); err != nil {
				t.Fatal(err)
			}
			cfg.Logger = slog.New(slog.NewTextHandler(&here, nil))
			cfg.SlowestFor = time.Second
			c := started(t, cfg)
			told := onStream(t, c)
			publisher(t, c, "a", 2)
			send := func(n int) {
				t.Helper()
				m := blaze.NewBytesMessage(make([]byte, 1000))
				for range n {
					if err := c.Broadcast(within(t), "a", m); err != nil {
						t.Fatal(err)
					}
				}
			}
			began := time.Now()
			send(2000) // ten windows
			if took := time.Since(began); took < 900*time.Millisecond {
				t.Errorf("it was waited for only %v", took)
			}
			eventually(t, "the other one has all", func() bool { return got.Load() == 2000 })
			told.until(t, stuck.ID(), blaze.ReceiverJoined, blaze.ReceiverEvicted)
			told.until(t, well.ID(), blaze.ReceiverJoined)
			const evicted, out = "held a stream up for Config.SlowestFor", "held a stream up for its sender's Config.SlowestFor"
			eventually(t, "both logs name the other one", func() bool {
				a, b := here.with(evicted), there.with(out)
				return len(a) == 1 && strings.Contains(a[0], stuck.ID().String()) && len(b) == 1 && strings.Contains(b[0], c.ID().String())
			})
			close(release)
			eventually(t, "it counts again", func() bool { send(1); return len(told.kinds(stuck.ID())) == 3 })
			told.until(t, stuck.ID(), blaze.ReceiverJoined, blaze.ReceiverEvicted, blaze.ReceiverJoined)
			if l := next(t, resets, "loss"); l.Reason != blaze.LossReset || l.From != c.ID() {
				t.Errorf("told of %+v", l)
			}
		})
	}
}
