package rig

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// build makes a rig for the test, or skips in one line.
func build(t *testing.T, kind Kind, hosts int, opt Options) *Rig {
	t.Helper()
	r, err := New(kind, hosts, opt)
	if errors.Is(err, ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

const group = "239.1.2.3"

// listen opens a socket in host i that receives from the group.
func listen(t *testing.T, r *Rig, i int) net.PacketConn {
	t.Helper()
	var fd int
	if err := r.Host(i).Run(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		at := netip.MustParseAddr(group).As4()
		return errors.Join(
			unix.Bind(fd, &unix.SockaddrInet4{Addr: at, Port: 4711}),
			unix.SetsockoptIPMreq(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &unix.IPMreq{Multiaddr: at, Interface: Addr(i).As4()}))
	}); err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "")
	c, err := net.FilePacketConn(f)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// send has host i send n datagrams to the group, each with its number.
func send(t *testing.T, r *Rig, i, n int) {
	t.Helper()
	if err := r.Host(i).Run(func() error {
		c, err := net.Dial("udp4", group+":4711")
		if err != nil {
			return err
		}
		defer c.Close()
		for k := range n {
			if _, err := fmt.Fprint(c, k); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestMulticastReachesAllOthers(t *testing.T) {
	for _, c := range []struct {
		kind  Kind
		hosts int
	}{{Veth, 2}, {Bridge, 2}, {Bridge, 4}, {Tap, 2}, {Tap, 4}} {
		t.Run(fmt.Sprint(c.kind, c.hosts), func(t *testing.T) {
			r := build(t, c.kind, c.hosts, Options{})
			var heard []net.PacketConn
			for i := range c.hosts {
				heard = append(heard, listen(t, r, i))
			}
			for from := range c.hosts {
				send(t, r, from, 1)
				for i, h := range heard { // the sender too: IP_MULTICAST_LOOP is on by default
					b := make([]byte, 16)
					h.SetReadDeadline(time.Now().Add(5 * time.Second))
					_, at, err := h.ReadFrom(b)
					if want := Addr(from).String(); err != nil || !strings.HasPrefix(at.String(), want+":") {
						t.Errorf("host %d heard from %v, %v; want %s", i, at, err, want)
					}
				}
			}
		})
	}
}

func TestSwitchLoses(t *testing.T) {
	for _, kind := range []Kind{Bridge, Tap} {
		r := build(t, kind, 2, Options{Loss: 0.3})
		h := listen(t, r, 1)
		const n = 2000
		got := 0
		for range n / 100 { // no more at once than a socket holds
			send(t, r, 0, 100)
			got += count(h)
		}
		// Binomial, standard deviation 20: seven of them.
		if want := n * 7 / 10; got < want-140 || got > want+140 {
			t.Errorf("%s: %d of %d arrived at 30 %% loss", kind, got, n)
		}
	}
}

// count takes what has come, and counts it. The end is when nothing comes for a while.
func count(h net.PacketConn) (n int) {
	b := make([]byte, 2048)
	for {
		h.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, _, err := h.ReadFrom(b); err != nil {
			return n
		}
		n++
	}
}

// dial opens a socket in host i that sends to an address.
func dial(t *testing.T, r *Rig, i int, to string) (c net.Conn) {
	t.Helper()
	if err := r.Host(i).Run(func() (err error) { c, err = net.Dial("udp4", to); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// flood sends n datagrams of size bytes at once.
func flood(t *testing.T, c net.Conn, n, size int) {
	t.Helper()
	b := make([]byte, size)
	for range n {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
	}
}

// A bottleneck carries what its queue and its rate allow, each way and with each switch, until it goes.
func TestBottleneck(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		host int
		way  Way
	}{{Bridge, 1, ToHost}, {Bridge, 0, FromHost}, {Bridge, 0, OnHost}, {Veth, 0, OnHost}, {Tap, 1, ToHost}, {Tap, 0, FromHost}, {Tap, 0, OnHost}} {
		t.Run(fmt.Sprint(c.kind, " ", c.way), func(t *testing.T) {
			r := build(t, c.kind, 2, Options{})
			h, from := listen(t, r, 1), dial(t, r, 0, group+":4711")
			const size, n = 1000, 400
			for range 2 { // setting it again changes nothing
				err := r.SetLink(c.host, c.way, Link{Rate: 1_000_000, Queue: 16 << 10})
				if errors.Is(err, ErrUnsupported) {
					t.Skip(err)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			began := time.Now()
			flood(t, from, n, size)
			sent := time.Since(began)
			got := count(h)
			// 15 packets wait, three have been sent at once, and 120 more pass in each second.
			if most := 19 + int(120*sent.Seconds()); got < 14 || got > most {
				t.Errorf("%d of %d packets passed a queue for 15, want at most %d", got, n, most)
			}
			if err := r.SetLink(c.host, c.way, Link{}); err != nil {
				t.Fatal(err)
			}
			flood(t, from, 50, size)
			if got := count(h); got != 50 {
				t.Errorf("%d of 50 packets passed after the bottleneck had gone", got)
			}
		})
	}
}

// A narrow cable loses long packets without a word, and no others.
func TestNarrow(t *testing.T) {
	for _, kind := range []Kind{Bridge, Tap} {
		r := build(t, kind, 2, Options{})
		h, from := listen(t, r, 1), dial(t, r, 0, group+":4711")
		if err := r.SetLink(1, ToHost, Link{MTU: 1400}); err != nil {
			t.Fatal(err)
		}
		for size, want := range map[int]int{1372: 5, 1373: 0} {
			flood(t, from, 5, size)
			if got := count(h); got != want {
				t.Errorf("%s: %d of 5 packets of %d bytes passed, want %d", kind, got, size+28, want)
			}
		}
	}
}

// Two of three hosts do not reach each other, and the third one reaches both, until they do.
func TestIsolate(t *testing.T) {
	for _, kind := range []Kind{Bridge, Tap} {
		r := build(t, kind, 3, Options{})
		if kind == Bridge { // also behind a cable of its own
			if err := r.SetLink(1, FromHost, Link{Rate: 1e9}); err != nil {
				t.Fatal(err)
			}
		}
		var heard []net.PacketConn
		for i := range 3 {
			heard = append(heard, listen(t, r, i))
		}
		for _, on := range []bool{true, false} {
			if err := r.Isolate(on, 1, 2); err != nil {
				t.Fatal(err)
			}
			for from := range 3 {
				send(t, r, from, 1)
				for to, h := range heard {
					want := 1 // its own too: IP_MULTICAST_LOOP
					if on && from+to == 3 && from != to && from*to != 0 {
						want = 0
					}
					if got := count(h); got != want {
						t.Errorf("%s, isolated %v: host %d got %d of host %d, want %d", kind, on, to, got, from, want)
					}
				}
			}
		}
	}
}

// Unicast is kept back, and ARP and multicast pass.
func TestUnicastOff(t *testing.T) {
	r := build(t, Tap, 2, Options{})
	h := listen(t, r, 1)
	var own net.PacketConn
	if err := r.Host(1).Run(func() (err error) {
		own, err = net.ListenPacket("udp4", Addr(1).String()+":4712")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	to, from := dial(t, r, 0, Addr(1).String()+":4712"), dial(t, r, 0, group+":4711")
	for _, c := range []struct {
		link           Link
		group, unicast int
	}{{Link{NoUnicast: true}, 3, 0}, {Link{NoMulticast: true}, 0, 3}, {Link{}, 3, 3}} {
		if err := r.SetLink(1, ToHost, c.link); err != nil {
			t.Fatal(err)
		}
		flood(t, to, 3, 100)
		flood(t, from, 3, 100)
		if g, u := count(h), count(own); g != c.group || u != c.unicast {
			t.Errorf("%+v: %d to the group and %d to the host pass, want %d and %d", c.link, g, u, c.group, c.unicast)
		}
	}
}

func TestOffloads(t *testing.T) {
	for _, offload := range []bool{false, true} {
		r := build(t, Veth, 2, Options{Offload: offload})
		for i := range 2 {
			var f map[string]bool
			if err := r.Host(i).Run(func() (err error) { f, err = Features(Interface); return err }); err != nil {
				t.Fatal(err)
			}
			if got, there := f["tx-udp-segmentation"]; !there || got != offload {
				t.Errorf("offload=%v: tx-udp-segmentation is %v (known: %v)", offload, got, there)
			}
		}
	}
}

// What runs in a host does not see this process's interfaces, and the other way round.
func TestApart(t *testing.T) {
	r := build(t, Veth, 2, Options{})
	if _, err := net.InterfaceByName(Interface); err == nil {
		t.Errorf("%s is on this host", Interface)
	}
	err := r.Host(1).Run(func() error {
		out, err := exec.Command("ip", "-o", "link").CombinedOutput()
		if err == nil && strings.Count(string(out), "\n") != 2 {
			err = fmt.Errorf("more than lo and %s:\n%s", Interface, out)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := net.InterfaceByName(Interface); err == nil {
		t.Error("the thread did not come back")
	}
}

// The parts of a rig are gone with the last that holds it.
func TestCloseLeavesNothing(t *testing.T) {
	r := build(t, Bridge, 3, Options{})
	var there unix.Stat_t
	if err := unix.Fstat(r.Host(0).fd, &there); err != nil {
		t.Fatal(err)
	}
	r.Close()
	r.Close()
	for end := time.Now().Add(10 * time.Second); namespaceHeld(t, there.Ino); {
		if time.Now().After(end) {
			t.Fatal("a namespace is still there")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// namespaceHeld reports whether a descriptor of this process still leads to a namespace.
func namespaceHeld(t *testing.T, ino uint64) bool {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && to == fmt.Sprintf("net:[%d]", ino) {
			return true
		}
	}
	return false
}
