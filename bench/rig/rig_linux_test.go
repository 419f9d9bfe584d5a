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
	}{{Veth, 2}, {Bridge, 2}, {Bridge, 4}} {
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
	r := build(t, Bridge, 2, Options{Loss: 0.3})
	h := listen(t, r, 1)
	const n = 2000
	got := 0
	for range n / 100 { // no more at once than a socket holds
		send(t, r, 0, 100)
		b := make([]byte, 16)
		for {
			// The packets were handed over inside the calls that sent them.
			h.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			if _, _, err := h.ReadFrom(b); err != nil {
				break
			}
			got++
		}
	}
	// Binomial, standard deviation 20: seven of them.
	if want := n * 7 / 10; got < want-140 || got > want+140 {
		t.Errorf("%d of %d arrived at 30 %% loss", got, n)
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
