package udp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/ip4"
	"github.com/activeblaze/blaze/internal/testnet"
)

// follows is a driver with the methods that tell of its interface.
type follows interface {
	driver
	Way() buf.Way
	NoWay() string
}

// eachFollowing runs a test over both implementations, with one of them in each of two namespaces of a hub.
func eachFollowing(t *testing.T, test func(t *testing.T, h *testnet.Hub, na *testnet.Namespace, a, b follows)) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			h := testnet.NewHub(t)
			na, nb := h.Member(), h.Member()
			cfg := groupConfig(t)
			cfg.Interface = "v0"
			open := func(n *testnet.Namespace) (d follows) {
				n.Do(func() {
					opened, err := k.open(cfg)
					if err != nil {
						t.Fatal(err)
					}
					d = opened.(follows)
				})
				t.Cleanup(func() { d.Close() })
				return d
			}
			a, b := open(na), open(nb)
			exchange(t, a, b)
			test(t, h, na, a, b)
		})
	}
}

// meet waits until the bridge forwards, which takes a moment after an interface has come up.
func meet(t *testing.T, a, b follows) {
	t.Helper()
	var batch [64]buf.Received
	for deadline := time.Now().Add(5 * time.Second); ; {
		sendAll(t, a, outgoing(buf.Group, 0, 1))
		b.Wait(20 * time.Millisecond)
		if b.Recv(batch[:]) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the bridge does not forward")
		}
	}
	for quiet := 0; quiet < 3; quiet++ { // what was sent while it did not forward yet may come late
		b.Wait(50 * time.Millisecond)
		if b.Recv(batch[:]) > 0 {
			quiet = 0
		}
	}
}

// exchange has two members hear each other, through the group and by unicast.
func exchange(t *testing.T, a, b follows) {
	t.Helper()
	meet(t, a, b)
	for i, d := range [][2]follows{{a, b}, {b, a}} {
		sendAll(t, d[0], outgoing(buf.Group, byte(i), 100, 200))
		check(t, receive(t, d[1], 2), d[0].Local(), true, byte(i), 100, 200)
		sendAll(t, d[0], outgoing(d[1].Local(), byte(i+2), 300))
		check(t, receive(t, d[1], 1), d[0].Local(), false, byte(i+2), 300)
	}
}

// becomes waits until a driver has noticed something. It receives nothing meanwhile that counts.
func becomes(t *testing.T, what string, d follows, is func() bool) {
	t.Helper()
	var batch [64]buf.Received
	for deadline := time.Now().Add(5 * time.Second); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 5 s: %+v, %q, %+v", what, d.Way(), d.NoWay(), d.Stats())
		}
		d.Wait(20 * time.Millisecond)
		d.Recv(batch[:])
	}
}

func shut(d follows) func() bool { return func() bool { return d.Way().Shut } }
func isOpen(d follows) func() bool {
	return func() bool { return d.Way() == buf.Way{Pack: 1472, Longest: 1472} }
}

// The address goes, and another one comes: the member goes on under that one.
func TestAddressChanged(t *testing.T) {
	eachFollowing(t, func(t *testing.T, _ *testnet.Hub, na *testnet.Namespace, a, b follows) {
		na.IP(t, "addr del 10.9.0.1/24 dev v0")
		becomes(t, "the address is gone", a, shut(a))
		sendAll(t, a, outgoing(buf.Group, 9, 100, 100, 100))
		na.IP(t, "addr add 10.9.0.7/24 dev v0")
		becomes(t, "there is another address", a, isOpen(a))
		if to := ip4.Addr(a.Local()).Addr().String(); to != "10.9.0.7" {
			t.Errorf("the member is at %s", to)
		}
		exchange(t, a, b)
		if s := a.Stats(); s.SendDown != 3 || s.SendDropped != 0 || s.Downs != 1 || s.Moves != 1 || s.Addresses < 2 {
			t.Errorf("%+v", s)
		}
	})
}

// The interface is removed and made anew, with the same address, three times.
func TestInterfaceAnew(t *testing.T) {
	eachFollowing(t, func(t *testing.T, h *testnet.Hub, _ *testnet.Namespace, a, b follows) {
		for range 3 {
			before := a.Local()
			h.Unplug(0)
			becomes(t, "the interface is gone", a, shut(a))
			if why := a.NoWay(); why != "the interface is gone" {
				t.Errorf("no way out since %q", why)
			}
			h.Plug(0)
			becomes(t, "the interface is back", a, isOpen(a))
			exchange(t, a, b)
			if a.Local() != before {
				t.Errorf("the member moved to %v", ip4.Addr(a.Local()))
			}
		}
		if s := a.Stats(); s.Downs != 3 || s.Moves != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// The interface goes down, is renamed and comes back.
func TestInterfaceDownAndRenamed(t *testing.T) {
	eachFollowing(t, func(t *testing.T, _ *testnet.Hub, na *testnet.Namespace, a, b follows) {
		na.IP(t, "link set v0 down")
		becomes(t, "the interface is down", a, shut(a))
		na.IP(t, "link set v0 name w0")
		na.IP(t, "link set w0 up")
		becomes(t, "the interface is up", a, isOpen(a))
		exchange(t, a, b)
	})
}

// Where only the carrier is lost, members of the same host still hear each other.
func TestNoCarrier(t *testing.T) {
	na, nb := testnet.Pair(t)
	cfg := groupConfig(t)
	cfg.Interface = "v0"
	var a, b *Driver
	na.Do(func() { a, b = openLinux(t, cfg), openLinux(t, cfg) })
	nb.IP(t, "link set v1 down")
	becomes(t, "the link is down", a, func() bool { return a.Way().Down })
	if w := a.Way(); w.Shut || a.NoWay() != "the link is down" {
		t.Errorf("%+v, %q", w, a.NoWay())
	}
	sendAll(t, a, outgoing(buf.Group, 1, 100))
	check(t, receive(t, b, 1), a.Local(), true, 1, 100)
	if n := a.Stats().SendDown; n != 1 {
		t.Errorf("%d datagrams were counted as sent into a dead link, want 1", n)
	}
	nb.IP(t, "link set v1 up")
	becomes(t, "the link is up", a, isOpen(a))
}

// New datagrams fit an MTU that was lowered, and are longer again when it is raised. A higher one than at the start
// changes nothing.
func TestMTUChanged(t *testing.T) {
	eachFollowing(t, func(t *testing.T, _ *testnet.Hub, na *testnet.Namespace, a, b follows) {
		for _, c := range []struct {
			mtu  string
			pack int
		}{{"1400", 1372}, {"1500", 1472}, {"9000", 1472}, {"1500", 1472}, {"200", 548}, {"1500", 1472}} {
			na.IP(t, "link set v0 mtu "+c.mtu)
			becomes(t, "the MTU is "+c.mtu, a, func() bool { return a.Way().Pack == c.pack && !a.Way().Down })
		}
		exchange(t, a, b)
	})
}

// A listed peer's address goes and comes back.
func TestPeerAddressReturns(t *testing.T) {
	na, nb := testnet.Pair(t)
	cfg := Config{Logger: quiet, Peers: []netip.AddrPort{netip.MustParseAddrPort("10.9.0.1:7001"), netip.MustParseAddrPort("10.9.0.2:7001")}}
	var a, b *Driver
	na.Do(func() { a = openLinux(t, cfg) })
	nb.Do(func() { b = openLinux(t, cfg) })
	na.IP(t, "addr del 10.9.0.1/24 dev v0")
	becomes(t, "the address is gone", a, shut(a))
	na.IP(t, "addr add 10.9.0.1/24 dev v0")
	becomes(t, "the address is back", a, isOpen(a))
	sendAll(t, a, outgoing(buf.Group, 1, 100))
	check(t, receive(t, b, 1), a.Local(), false, 1, 100)
}
