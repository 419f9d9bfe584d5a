package blaze_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// A ring goes round beside a BestEffort stream at full speed as it does without: the protocols of a
// member share what it sends, and tokens come first. Both halves have the same load of the ring.
func TestBusyProtocols(t *testing.T) {
	cfg := testConfig(t)
	cfg.Protocol, cfg.Invoker, cfg.Linger = blaze.BestEffort, true, time.Millisecond
	cfg.Totem.Profile = blaze.Shared // it outlasts other processes' turns
	cfg.Topics = []blaze.TopicConfig{{Pattern: "ring.>", Protocol: blaze.Totem}}
	c, d := started(t, cfg), started(t, cfg)
	most := time.Duration(3) // times
	if strings.HasPrefix(cfg.BroadcastURI, "xdp://") {
		// Between virtual interfaces the sender's system call carries each packet through to the receiver:
		// some 4 µs for each of the 16 datagrams that lie before a token.
		most = 14
	}
	var plain, ordered atomic.Int64
	for pattern, n := range map[string]*atomic.Int64{"plain": &plain, "ring.x": &ordered} {
		if _, err := d.SubscribePayload(pattern, func(*blaze.Delivery) { n.Add(1) }, blaze.Inline()); err != nil {
			t.Fatal(err)
		}
	}
	busy, err := c.Publisher("plain")
	if err != nil {
		t.Fatal(err)
	}
	ring, err := c.Publisher("ring.x")
	if err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for !stop.Load() {
			d.Turn()
		}
	}()
	defer func() { stop.Store(true); <-ended }()
	for began := time.Now(); c.Stats().Totem.Members < 2; c.Turn() {
		if time.Since(began) > patience {
			t.Fatal("no ring of two")
		}
	}
	payload := make([]byte, 1300)
	undisturbed := func(load bool) time.Duration {
		var rotations []time.Duration
		began, last, tokens := time.Now(), time.Now(), c.Stats().Totem.Tokens
		for ; time.Since(began) < busyFor; c.Turn() {
			for n := 0; load && n < 64 && busy.Offer(payload) == nil; n++ {
			}
			_ = ring.Offer(payload[:64])
			if d := time.Since(last); d > 2*time.Millisecond {
				now := c.Stats().Totem.Tokens
				rotations = append(rotations, d/time.Duration(max(now-tokens, 1)))
				last, tokens = time.Now(), now
			}
		}
		slices.Sort(rotations)
		return rotations[len(rotations)/10] // in the other windows another process may have run
	}
	views := c.Stats().Totem.Views
	for round := 1; ; round++ { // another process may have the processors in any one
		alone := undisturbed(false)
		beside := undisturbed(true)
		t.Logf("rotation %v alone, %v beside BestEffort at full speed", alone, beside)
		if beside <= most*alone && beside < time.Millisecond {
			break
		}
		if round == 12 {
			t.Fatalf("a rotation takes %v beside a BestEffort stream, and %v alone", beside, alone)
		}
	}
	if n := c.Stats().Totem.Views; n != views {
		t.Errorf("the ring formed %d times anew", n-views)
	}
	if plain.Load() == 0 || ordered.Load() == 0 {
		t.Errorf("%d messages of BestEffort and %d of the ring delivered", plain.Load(), ordered.Load())
	}
}

// busyFor is how long each half of a round of TestBusyProtocols takes.
const busyFor = 300 * time.Millisecond

// A program whose members have all processors of the Go scheduler gets its answers as soon as one with processors to
// spare: the scheduler by itself took one from an engine after 10 ms.
func TestGoroutinesBesideEngines(t *testing.T) {
	cfg := testConfig(t)
	a, b := inCluster(t, "a", cfg), inCluster(t, "b", cfg)
	ready(t, a, b)
	median := func(procs int) time.Duration {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		took := make([]time.Duration, 100)
		for i := range took {
			start := time.Now()
			mustPut(t, a.Map("m"), fmt.Sprint("key ", i), "new")
			took[i] = time.Since(start)
		}
		slices.Sort(took)
		return took[len(took)/2]
	}
	for range 3 {
		spare, none := median(8), median(2)
		t.Logf("a put takes %v, and with a processor for each engine and no more %v", spare, none)
		if none < 5*spare+time.Millisecond {
			return
		}
	}
	t.Error("goroutines wait for engines")
}
