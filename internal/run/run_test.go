package run

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// silence is a driver that receives nothing. It takes what it is given to send, or nothing.
type silence struct {
	blocked atomic.Bool // Send takes nothing
	over    atomic.Bool // no method but Wake may be called any more
	used    atomic.Int64
	wake    chan struct{}
}

func newSilence() *silence { return &silence{wake: make(chan struct{}, 1)} }

func (d *silence) use() {
	if d.over.Load() {
		d.used.Add(1)
	}
}

func (d *silence) Recv([]buf.Received) int { d.use(); return 0 }
func (d *silence) Send(b []buf.Send) (int, error) {
	if d.use(); d.blocked.Load() {
		return 0, nil
	}
	return len(b), nil
}
func (d *silence) Wait(t time.Duration) {
	d.use()
	if t < 0 {
		t = time.Second
	}
	select {
	case <-d.wake:
	case <-time.After(t):
	}
}
func (d *silence) Wake() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}
func (d *silence) Local() buf.Endpoint { return 1 }
func (d *silence) Datagram() int       { return 1472 }
func (d *silence) Room() int           { return 1 << 20 }
func (d *silence) Close() error        { return nil }

// handler is a consumer of everything.
type handler func(d *core.Delivery)

func (h handler) Ready(clock.Time) bool                            { return true }
func (h handler) Deliver(_ clock.Time, _ string, d *core.Delivery) { h(d) }
func (h handler) Lost(*core.Loss)                                  {}

const window = 1 << 20

// both runs a test without an Invoker and with one.
func both(t *testing.T, f func(t *testing.T, cfg Config, d *silence)) {
	for _, invoker := range []bool{false, true} {
		name := "threads"
		if invoker {
			name = "invoker"
		}
		t.Run(name, func(t *testing.T) {
			d := newSilence()
			cfg := Config{Invoker: invoker, Member: member.Config{
				ID: wire.MemberID{1}, Cluster: 7, Driver: d, Table: member.NewTable(), Rand: rand.New(rand.NewPCG(1, 2)),
				Pool:     buf.NewPool(nack.Buffers(window, d.Datagram(), 4, 1), d.Datagram()+nack.Headroom),
				Protocol: wire.NACK, Lanes: 1, Window: window, MaxMessageSize: 1 << 20, SelfDelivery: true,
				Eviction: time.Second, Idle: engine.Block, CPU: -1,
			}}
			if !invoker {
				cfg.Member.Queue = 1 << 16
			}
			f(t, cfg, d)
			if p := cfg.Member.Pool; p.Free() != p.Count() {
				t.Errorf("%d of %d buffers were not given back", p.Count()-p.Free(), p.Count())
			}
		})
	}
}

func start(t *testing.T, cfg Config) (*Run, *Topic) {
	t.Helper()
	r, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	to, err := r.Topic("a")
	if err != nil {
		t.Fatal(err)
	}
	return r, &to
}

// stop stops a run, and returns what was missing and how many messages were not sent.
func stop(r *Run, linger time.Duration) (left string, unsent uint64) {
	r.Refuse()
	left = strings.Join(r.Settle(engine.Now().Add(linger)), ", ")
	r.End(func(n uint64) { unsent = n })
	return left, unsent
}

// What was accepted before the stop and cannot be sent is counted, to the message.
func TestUnsentIsCounted(t *testing.T) {
	both(t, func(t *testing.T, cfg Config, d *silence) {
		d.blocked.Store(true)
		r, to := start(t, cfg)
		accepted := uint64(0)
		for full := 0; full < 10; { // until no turn makes room
			if err := r.Offer(to, wire.KindRaw, make([]byte, 100)); err == nil {
				accepted, full = accepted+1, 0
			} else if full++; r.Do(func() {}) != nil {
				t.Fatal("closed")
			}
			r.Turn()
		}
		var claim Claim
		err := r.Claim(&claim, to, wire.KindRaw, 0)
		open := err == nil
		left, unsent := stop(r, 5*time.Millisecond)
		// One batch of datagrams is on its way to the driver: they count as sent, and are in left.
		if held := accepted - unsent; unsent == 0 || held > engine.Batch*1472/100 {
			t.Errorf("%d accepted, %d unsent (%s)", accepted, unsent, left)
		}
		if !strings.Contains(left, "64 datagrams") {
			t.Errorf("missing: %q", left)
		}
		if err := claim.Commit(); open && err != ErrClosed {
			t.Errorf("Commit after the end: %v", err)
		}
	})
}

// Of a run that is at rest Stop misses nothing.
func TestStopOfARunAtRest(t *testing.T) {
	both(t, func(t *testing.T, cfg Config, d *silence) {
		r, to := start(t, cfg)
		if err := r.Offer(to, wire.KindRaw, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if left, unsent := stop(r, time.Second); left != "" || unsent != 0 {
			t.Errorf("%q, %d unsent", left, unsent)
		}
	})
}

// After the end every call returns that the run is closed, and nothing reaches the driver.
func TestCallsAfterTheEnd(t *testing.T) {
	both(t, func(t *testing.T, cfg Config, d *silence) {
		r, to := start(t, cfg)
		var claim Claim
		err := r.Claim(&claim, to, wire.KindRaw, 3)
		if err != nil {
			t.Fatal(err)
		}
		stop(r, time.Millisecond)
		d.over.Store(true)
		select {
		case <-r.Gone():
		default:
			t.Error("not gone after End")
		}
		if err := r.Offer(to, wire.KindRaw, []byte("x")); err != ErrClosed {
			t.Errorf("Offer: %v", err)
		}
		if err := r.Claim(new(Claim), to, wire.KindRaw, 3); err != ErrClosed {
			t.Errorf("Claim: %v", err)
		}
		if err := claim.Commit(); err != ErrClosed || claim.Open() {
			t.Errorf("Commit: %v, open %v", err, claim.Open())
		}
		if err := r.Do(func() { t.Error("Do has called its function") }); err != ErrClosed {
			t.Errorf("Do: %v", err)
		}
		if n := r.Turn(); n != 0 {
			t.Errorf("Turn: %d", n)
		}
		if err := r.Await(t.Context(), to.Lane, func() bool { return false }); err != ErrClosed {
			t.Errorf("Await: %v", err)
		}
		r.Barrier()
		r.Notify()
		if n := d.used.Load(); n != 0 {
			t.Errorf("the driver was used %d times after the end", n)
		}
	})
}

// A stop may come at any moment of what other goroutines do. When End has returned the driver is left
// alone, whoever goes on turning and offering.
func TestEndBesideOtherGoroutines(t *testing.T) {
	both(t, func(t *testing.T, cfg Config, d *silence) {
		for range 20 {
			d.over.Store(false)
			r, to := start(t, cfg)
			var others sync.WaitGroup
			ended := make(chan struct{})
			began := make(chan struct{}, 3)
			for _, call := range []func() error{
				func() error { r.Turn(); return r.Offer(to, wire.KindRaw, []byte("x")) },
				func() error { return r.Do(func() { r.Engine(0).Stats() }) },
				func() error {
					return r.Await(t.Context(), to.Lane, func() bool { return to.Lane.Receivers() > 0 })
				},
			} {
				others.Go(func() {
					began <- struct{}{}
					for {
						if err := call(); err != nil && !errors.Is(err, nack.ErrWindow) {
							if err != ErrClosed {
								t.Error(err)
							}
							select {
							case <-ended:
								return
							default:
							}
						}
					}
				})
			}
			for range 3 {
				<-began
			}
			stop(r, time.Millisecond)
			d.over.Store(true)
			close(ended)
			others.Wait()
		}
		if n := d.used.Load(); n != 0 {
			t.Errorf("the driver was used %d times after the end", n)
		}
	})
}

// A handler is known as one in every goroutine that turns, and others beside it are not.
func TestHandlerIsWhoIsInside(t *testing.T) {
	both(t, func(t *testing.T, cfg Config, _ *silence) {
		var r *Run
		var to *Topic
		var calls atomic.Int64
		cfg.Member.Table.Add(">", handler(func(*core.Delivery) {
			if _, in := r.Handler(); !in {
				t.Error("a handler is not known as one")
			}
			if err := r.Do(func() { calls.Add(1) }); err != nil {
				t.Error(err)
			}
			if err := r.Await(t.Context(), to.Lane, func() bool { return false }); err != ErrOccupied {
				t.Errorf("Await in a handler: %v", err)
			}
			beside := make(chan bool)
			go func() { beside <- r.InHandler() }()
			if <-beside {
				t.Error("a goroutine beside the handler is taken for it")
			}
		}))
		r, to = start(t, cfg)
		for i := int64(1); i <= 20; i++ {
			var turner sync.WaitGroup
			turner.Go(func() {
				if err := r.Offer(to, wire.KindRaw, []byte("x")); err != nil {
					t.Error(err)
				}
				for until := time.Now().Add(10 * time.Second); calls.Load() < i; r.Turn() {
					if time.Now().After(until) {
						t.Error("the handler is not called")
						return
					}
				}
				if r.InHandler() {
					t.Error("a goroutine is taken for a handler between turns")
				}
			})
			turner.Wait()
		}
		stop(r, time.Second)
	})
}
