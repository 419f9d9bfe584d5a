package blaze_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/testnet"
)

// startedIn is started, in a namespace.
func startedIn(t testing.TB, n *testnet.Namespace, cfg blaze.Config) (c *blaze.Channel) {
	t.Helper()
	c, err := tryIn(n, cfg)
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

func tryIn(n *testnet.Namespace, cfg blaze.Config) (c *blaze.Channel, err error) {
	if c, err = blaze.NewChannel(cfg); err != nil {
		return nil, err
	}
	n.Do(func() { err = c.Start() })
	return c, err
}

// over is testConfig with another scheme, on an interface.
func over(t testing.TB, scheme, ifname, options string) blaze.Config {
	socketsOnly(t) // it has networks of its own
	cfg := testConfig(t)
	cfg.BroadcastURI = scheme + strings.TrimPrefix(cfg.BroadcastURI, "udp") + "?interface=" + ifname + options
	return cfg
}

// One conversation, whatever each side's driver is.
func TestOverXDP(t *testing.T) {
	testnet.NeedAFXDP(t)
	const count = 20000
	for _, schemes := range [][2]string{{"xdp", "xdp"}, {"xdp", "udp"}, {"udp", "xdp"}, {"auto", "xdp"}} {
		t.Run(schemes[0]+" to "+schemes[1], func(t *testing.T) {
			na, nb := testnet.Pair(t)
			cfg := over(t, schemes[0], "v0", "")
			a := startedIn(t, na, cfg)
			cfg.BroadcastURI = schemes[1] + strings.Replace(strings.TrimPrefix(cfg.BroadcastURI, schemes[0]), "v0", "v1", 1)
			b := startedIn(t, nb, cfg)

			var got atomic.Uint64
			sub := func(c *blaze.Channel, topic string) <-chan struct{} {
				done, want := make(chan struct{}), 0
				if _, err := c.SubscribePayload(topic, func(d *blaze.Delivery) {
					if string(d.Payload) != fmt.Sprint(want) {
						t.Errorf("got %q, want %d", d.Payload, want)
					}
					got.Add(1)
					if want++; want == count {
						close(done)
					}
				}, blaze.OnLoss(func(l blaze.Loss) { t.Error(l) })); err != nil {
					t.Fatal(err)
				}
				return done
			}
			atB, atA := sub(b, "a.to.b"), sub(a, "b.to.a")
			pa, pb := publisher(t, a, "a.to.b", 1), publisher(t, b, "b.to.a", 1)
			for i := range count {
				offer(t, pa, fmt.Append(nil, i))
				offer(t, pb, fmt.Append(nil, i))
			}
			next(t, atB, "last message at b")
			next(t, atA, "last message at a")

			big := make([]byte, 200_000)
			size := make(chan int, 1)
			b.SubscribePayload("big", func(d *blaze.Delivery) { size <- len(d.Payload) })
			offer(t, publisher(t, a, "big", 1), big)
			if n := next(t, size, "large message"); n != len(big) {
				t.Errorf("%d bytes", n)
			}
			s := a.Stats()
			want := schemes[0]
			if want == "auto" {
				want = "xdp"
			}
			if s.Transport != want {
				t.Errorf("transport %q (%s), want %q", s.Transport, s.Reason, want)
			}
			if want == "xdp" && s.XDP.SendCopied > 0 {
				t.Errorf("%d datagrams were copied on their way out", s.XDP.SendCopied)
			}
		})
	}
}

// The in-order path over xdp copies nothing and allocates nothing.
func TestOverXDPAllocatesNothing(t *testing.T) {
	testnet.NeedAFXDP(t)
	na, nb := testnet.Pair(t)
	cfg := over(t, "xdp", "v0", "")
	cfg.Invoker = true
	x := &pair{a: startedIn(t, na, cfg)}
	cfg.BroadcastURI = strings.Replace(cfg.BroadcastURI, "v0", "v1", 1)
	x.b = startedIn(t, nb, cfg)
	x.b.SubscribePayload("bench.topic", func(d *blaze.Delivery) { x.got++ }, blaze.Inline())
	var err error
	if x.p, err = x.a.Publisher("bench.topic"); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); x.p.Receivers() == 0; {
		x.a.Turn()
		if x.b.Turn(); time.Now().After(end) {
			t.Fatal("the receiver was never found")
		}
	}
	payload := make([]byte, 64)
	x.send(t, payload, 50_000)
	const n = 2000
	if allocs := testing.AllocsPerRun(20, func() { x.send(t, payload, n) }); allocs > 0 {
		t.Errorf("%v allocations in %d messages", allocs, n)
	}
	if s := x.a.Stats().XDP; s.SendCopied > 0 {
		t.Errorf("%d datagrams were copied on their way out", s.SendCopied)
	}
}

// Three members on a bridge, one of them udp and two xdp, each losing 1 % of what it receives:
// every message once, in order, from each to the two others.
func TestMixedMembersUnderLoss(t *testing.T) {
	testnet.NeedAFXDP(t)
	nets := testnet.Bridge(t, 3)
	const count = 5000
	cfg := over(t, "xdp", "v0", "")
	lossy(&cfg, 0.01)
	var members []*blaze.Channel
	for i, n := range nets {
		c := cfg
		if i == 2 {
			c.BroadcastURI = "udp" + strings.TrimPrefix(cfg.BroadcastURI, "xdp")
		}
		members = append(members, startedIn(t, n, c))
	}
	var dones []<-chan struct{}
	for i, c := range members {
		for j := range members {
			if i == j {
				continue
			}
			done, want := make(chan struct{}), 0
			dones = append(dones, done)
			c.SubscribePayload(fmt.Sprint("from.", j), func(d *blaze.Delivery) {
				if string(d.Payload) != fmt.Sprint(want) {
					t.Errorf("member %d got %q of %d, want %d", i, d.Payload, j, want)
				}
				if want++; want == count {
					close(done)
				}
			}, blaze.OnLoss(func(l blaze.Loss) { t.Error(l) }))
		}
	}
	var pubs []*blaze.Publisher
	for i, c := range members {
		pubs = append(pubs, publisher(t, c, fmt.Sprint("from.", i), 2))
	}
	for n := range count {
		for _, p := range pubs {
			offer(t, p, fmt.Append(nil, n))
		}
	}
	for _, d := range dones {
		next(t, d, "last message")
	}
}

// The second member on an interface is told who is first.
func TestInterfaceHasOneOwner(t *testing.T) {
	testnet.NeedAFXDP(t)
	na, _ := testnet.Pair(t)
	cfg := over(t, "xdp", "v0", "")
	a := startedIn(t, na, cfg)
	for _, scheme := range []string{"xdp", "udp"} {
		second := cfg
		second.BroadcastURI = scheme + strings.TrimPrefix(cfg.BroadcastURI, "xdp")
		c, err := tryIn(na, second)
		if err == nil {
			c.Shutdown()
			t.Fatalf("%s: a second member on the interface of an xdp one", scheme)
		}
		if !strings.Contains(err.Error(), "process") || !strings.Contains(err.Error(), "udp://") {
			t.Errorf("%s: %v", scheme, err)
		}
	}
	if err := a.Shutdown(); err != nil {
		t.Fatal(err)
	}
	cfg.BroadcastURI = "udp" + strings.TrimPrefix(cfg.BroadcastURI, "xdp")
	u := startedIn(t, na, cfg)
	cfg.BroadcastURI = "auto" + strings.TrimPrefix(cfg.BroadcastURI, "udp")
	b := startedIn(t, na, cfg)
	if s := b.Stats(); s.Transport != "udp" || !strings.Contains(s.Reason, "udp member") {
		t.Errorf("auto beside a udp member took %q: %s", s.Transport, s.Reason)
	}
	u.Shutdown()
	b.Shutdown()
	if _, err := tryIn(na, over(t, "xdp", "nosuch0", "")); !errors.Is(err, blaze.ErrConfig) {
		t.Errorf("unknown interface: %v", err)
	}
}

func TestOverXDPLeaksNothing(t *testing.T) {
	testnet.NeedAFXDP(t)
	rounds := 200
	if testing.Short() {
		rounds = 20
	}
	na, _ := testnet.Pair(t)
	cfg := over(t, "xdp", "v0", "")
	cfg.Window, cfg.MaxMessageSize = 1<<20, 1<<16
	c, err := blaze.NewChannel(cfg)
	if err != nil {
		t.Fatal(err)
	}
	round := func() {
		var err error
		na.Do(func() { err = c.Start() })
		if err == nil {
			err = c.Shutdown()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	leaveNothing(t, na, rounds, round)
}

// leaveNothing fails when rounds leave goroutines, descriptors, or a program on the node's interface.
func leaveNothing(t *testing.T, n *testnet.Namespace, rounds int, round func()) {
	t.Helper()
	for range 3 { // what is made once
		round()
	}
	g, fd := leaks()
	for range rounds {
		round()
	}
	eventually(t, "goroutines and descriptors as before", func() bool { g2, fd2 := leaks(); return g2 <= g && fd2 <= fd })
	if links := n.IP(t, "-d link show v0"); strings.Contains(links, "xdp") {
		t.Errorf("a program was left behind:\n%s", links)
	}
}

// BenchmarkOverXDP is one message from Offer to the handler over a veth pair, on one thread.
func BenchmarkOverXDP(b *testing.B) {
	testnet.NeedAFXDP(b)
	na, nb := testnet.Pair(b)
	cfg := over(b, "xdp", "v0", "")
	cfg.Invoker = true
	x := &pair{a: startedIn(b, na, cfg)}
	cfg.BroadcastURI = strings.Replace(cfg.BroadcastURI, "v0", "v1", 1)
	x.b = startedIn(b, nb, cfg)
	x.b.SubscribePayload("bench.topic", func(d *blaze.Delivery) { x.got++ }, blaze.Inline())
	x.p, _ = x.a.Publisher("bench.topic")
	for end := time.Now().Add(patience); x.p.Receivers() == 0; {
		x.a.Turn()
		if x.b.Turn(); time.Now().After(end) {
			b.Fatal("the receiver was never found")
		}
	}
	payload := make([]byte, 64)
	x.send(b, payload, 1000)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		x.send(b, payload, 1)
	}
}
