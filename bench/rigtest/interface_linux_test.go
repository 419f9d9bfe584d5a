package rigtest

import (
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/rigtest/member"
	"github.com/activeblaze/blaze/internal/testnet"
)

// over is how the members of these tests talk.
var over = []struct{ name, uri string }{
	{"udp", "udp://239.255.66.79:6679?interface=v0"},
	{"xdp", "xdp://239.255.66.79:6679?interface=v0"},
}

// back is how long after the return of an interface, when the bridge forwards what it sends, messages must arrive again.
const back = time.Second

// What happens to a member's interface while the group is under load: address changed, interface made anew, down and up,
// renamed, MTU changed. Within a second of its return messages arrive at all again, in order; each message is
// delivered or its loss told.
func TestInterfaceUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds for each case: make rig-test does it")
	}
	short := os.Getenv("CI") != ""
	for _, o := range over {
		for _, f := range []struct {
			name string
			away func(h *testnet.Hub, n *testnet.Namespace, which int)
			back func(h *testnet.Hub, n *testnet.Namespace, which int)
		}{
			{"address", func(_ *testnet.Hub, n *testnet.Namespace, which int) {
				n.IP(t, "addr flush dev v0")
			}, func(_ *testnet.Hub, n *testnet.Namespace, which int) {
				n.IP(t, "addr add 10.9.0.7"+string(rune('0'+which))+"/24 dev v0")
			}},
			{"anew", func(h *testnet.Hub, _ *testnet.Namespace, which int) { h.Unplug(which) },
				func(h *testnet.Hub, _ *testnet.Namespace, which int) { h.Plug(which) }},
			{"down", func(_ *testnet.Hub, n *testnet.Namespace, _ int) { n.IP(t, "link set v0 down") },
				func(_ *testnet.Hub, n *testnet.Namespace, _ int) { n.IP(t, "link set v0 up") }},
			{"renamed", func(_ *testnet.Hub, n *testnet.Namespace, _ int) { n.IP(t, "link set v0 down") },
				func(_ *testnet.Hub, n *testnet.Namespace, _ int) {
					n.IP(t, "link set v0 name w0")
					n.IP(t, "link set w0 up")
				}},
			{"mtu", func(_ *testnet.Hub, n *testnet.Namespace, _ int) { n.IP(t, "link set v0 mtu 1400") },
				func(_ *testnet.Hub, n *testnet.Namespace, _ int) { n.IP(t, "link set v0 mtu 1500") }},
		} {
			for which, whose := range []string{"sender", "receiver"} {
				if short && (f.name == "renamed" || f.name == "mtu" || which == 1 && f.name != "anew") {
					continue
				}
				t.Run(o.name+"/"+f.name+"/"+whose, func(t *testing.T) {
					g := newParty(t, o.uri)
					g.flow(t, 300*time.Millisecond, 200)
					f.away(g.hub, g.hosts[which], which)
					away := time.Second
					if short {
						away = 300 * time.Millisecond
					}
					g.flow(t, away, 200)
					f.back(g.hub, g.hosts[which], which)
					began := time.Now()
					for !g.hub.Forwards(which) {
						if time.Since(began) > 10*time.Second {
							t.Fatal("the bridge does not forward")
						}
						g.flow(t, time.Millisecond, 200)
					}
					bridge := time.Since(began)
					took := g.arrives(t)
					t.Logf("messages arrive at all %v after the bridge forwards, which took %v", took.Round(time.Millisecond), bridge.Round(time.Millisecond))
					if took > back {
						t.Errorf("messages arrived %v after the return, want %v", took, back)
					}
					g.flow(t, 200*time.Millisecond, 200)
					g.settle(t, false)
				})
			}
		}
	}
}

// The MTU of the sender's interface is lowered and raised again after 3 s, under load, with messages that fill a
// datagram: nothing is lost, and no datagram is repaired more than 4 times.
func TestOwnMTU(t *testing.T) {
	low := 3 * time.Second
	if testing.Short() {
		low = 500 * time.Millisecond
	}
	for _, o := range over {
		t.Run(o.name, func(t *testing.T) {
			g := newParty(t, o.uri)
			g.flow(t, 300*time.Millisecond, 1380)
			g.hosts[0].IP(t, "link set v0 mtu 1400")
			g.flow(t, low, 1380)
			g.hosts[0].IP(t, "link set v0 mtu 1500")
			g.flow(t, 300*time.Millisecond, 1380)
			g.settle(t, true)
			s := g.channels[0].Stats()
			missed := uint64(0)
			for _, c := range g.channels[1:] {
				missed += c.Stats().Nack.Missed
			}
			repairs := s.Nack.RepairsMulticast + s.Nack.RepairsUnicast
			t.Logf("%d datagrams, %d missed, %d asked for while they could not leave, %d repairs, %d refused by the kernel",
				s.Nack.Datagrams, missed, s.Nack.NaksTooLong, repairs, s.UDP.SendDropped)
			if repairs > 4*missed {
				t.Errorf("%d repairs of %d missing datagrams", repairs, missed)
			}
		})
	}
}

// The MTU of a member's interface is lowered and raised again, twice, while it floods a ring with messages that fill a
// datagram: what has its number in the ring and is too long now leaves in parts. Nothing is lost, and the ring stays.
func TestOwnMTUInARing(t *testing.T) {
	for _, o := range over {
		t.Run(o.name, func(t *testing.T) {
			g := newParty(t, o.uri, blaze.Totem)
			g.flow(t, 300*time.Millisecond, 1380)
			views := g.channels[0].Stats().Totem.Views
			for range 2 {
				g.flood(t, 200*time.Millisecond, 1380)
				g.hosts[0].IP(t, "link set v0 mtu 1000")
				g.flood(t, 500*time.Millisecond, 1380)
				g.hosts[0].IP(t, "link set v0 mtu 1500")
			}
			g.flow(t, 100*time.Millisecond, 1380)
			g.settle(t, true)
			s := g.channels[0].Stats()
			t.Logf("%d messages, %d datagrams sent again, %d refused by the kernel", g.sent, s.Totem.Retransmitted, s.UDP.SendDropped)
			if n := s.Totem.Views - views; n > 0 {
				t.Errorf("%d rings were formed", n)
			}
		})
	}
}

// While there is no way out Stats says so, and Stop says what did not leave.
func TestStopWithoutAWay(t *testing.T) {
	for _, o := range over {
		t.Run(o.name, func(t *testing.T) {
			g := newParty(t, o.uri)
			g.flow(t, 100*time.Millisecond, 200)
			g.settle(t, true)
			g.hub.Unplug(0)
			deadline := time.Now().Add(5 * time.Second)
			for g.channels[0].Stats().NoWay == "" {
				if time.Now().After(deadline) {
					t.Fatal("Stats never said that there is no way out")
				}
				time.Sleep(time.Millisecond)
			}
			before := g.sent
			for range 200 {
				g.offer(t, 200)
			}
			err := g.channels[0].Stop()
			t.Log(err)
			if err == nil || !strings.Contains(err.Error(), "the interface is gone") || !strings.Contains(err.Error(), "200 messages accepted and not sent") {
				t.Errorf("after %d messages without a way out Stop said %v", g.sent-before, err)
			}
		})
	}
}

// party is a sender and two receivers, each in a namespace of its own, on a hub.
type party struct {
	hub      *testnet.Hub
	hosts    []*testnet.Namespace
	channels []*blaze.Channel
	heard    []*heard
	p        *blaze.Publisher
	sent     uint64
	body     []byte
}

// heard is what one receiver heard.
type heard struct {
	mu    sync.Mutex
	last  uint64 // the number of the last message, delivered or lost
	wrong int
	lost  uint64
}

func newParty(t *testing.T, uri string, protocol ...blaze.Protocol) *party {
	t.Helper()
	testnet.NeedAFXDP(t)
	g := &party{hub: testnet.NewHub(t), body: make([]byte, 2000)}
	for i := range 3 {
		g.hosts = append(g.hosts, g.hub.Member())
		cfg := member.Config(uri)
		if len(protocol) > 0 {
			cfg.Protocol = protocol[0]
		}
		g.hosts[i].Do(func() {
			ch, err := blaze.NewChannel(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if i > 0 {
				h := &heard{}
				g.heard = append(g.heard, h)
				if _, err = ch.SubscribePayload("interface", h.take, blaze.Inline(), blaze.OnLoss(h.loss)); err != nil {
					t.Fatal(err)
				}
			}
			if err = ch.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = ch.Shutdown() })
			g.channels = append(g.channels, ch)
		})
	}
	var err error
	if g.p, err = g.channels[0].Publisher("interface"); err != nil {
		t.Fatal(err)
	}
	if err = g.p.WaitReceivers(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	return g
}

func (h *heard) take(d *blaze.Delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := binary.LittleEndian.Uint64(d.Payload); n != h.last+1 || n != d.Sequence {
		h.wrong++
	}
	h.last = d.Sequence
}

func (h *heard) loss(l blaze.Loss) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l.First != h.last+1 {
		h.wrong++
	}
	h.lost += l.Last - l.First + 1
	h.last = l.Last
}

func (h *heard) at() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// offer offers the next message. It reports whether there was room.
func (g *party) offer(t *testing.T, size int) bool {
	t.Helper()
	binary.LittleEndian.PutUint64(g.body, g.sent+1)
	err := g.p.Offer(g.body[:size])
	if err == nil {
		g.sent++
	} else if !errors.Is(err, blaze.ErrBackPressure) {
		t.Fatal(err)
	}
	return err == nil
}

// flow offers 2,000 messages a second for a while.
func (g *party) flow(t *testing.T, d time.Duration, size int) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Millisecond) {
		g.offer(t, size)
		g.offer(t, size)
	}
}

// flood offers as many messages as there is room for, for a while.
func (g *party) flood(t *testing.T, d time.Duration, size int) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		if !g.offer(t, size) {
			time.Sleep(50 * time.Microsecond)
		}
	}
}

// arrives offers messages until one that was offered from now on has arrived everywhere, and returns how long that took.
func (g *party) arrives(t *testing.T) time.Duration {
	t.Helper()
	began, mark := time.Now(), uint64(0)
	for time.Since(began) < 15*time.Second {
		if g.offer(t, 200) && mark == 0 {
			mark = g.sent
		}
		if mark > 0 && !slices.ContainsFunc(g.heard, func(h *heard) bool { return h.at() < mark }) {
			return time.Since(began)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(began)
}

// settle waits until every message was delivered or its loss told at each receiver, in order.
func (g *party) settle(t *testing.T, whole bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if !slices.ContainsFunc(g.heard, func(h *heard) bool { return h.at() < g.sent }) {
			break
		}
	}
	for i, h := range g.heard {
		h.mu.Lock()
		if h.last != g.sent || h.wrong > 0 || whole && h.lost > 0 {
			t.Errorf("receiver %d: at message %d of %d, %d lost and told, %d out of order", i, h.last, g.sent, h.lost, h.wrong)
		} else if h.lost > 0 {
			t.Logf("receiver %d was told of %d lost messages of %d", i, h.lost, g.sent)
		}
		h.mu.Unlock()
	}
}
