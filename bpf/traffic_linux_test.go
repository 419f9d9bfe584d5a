package bpf

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Real packets over a veth pair, in both modes: what is ours and has no socket, and what is not
// ours, arrives at ordinary sockets as if there was no program.
func TestTraffic(t *testing.T) {
	for _, mode := range []Mode{Native, Generic} {
		t.Run(mode.String(), func(t *testing.T) {
			inNamespace(t, func() { testTraffic(t, mode) })
		})
	}
}

func testTraffic(t *testing.T, mode Mode) {
	left, right := pair(t)
	f, _ := loadTest(t, func(c *Config) { c.Breakdown, c.Lanes = true, [][2]uint32{{2, 2}} })
	if err := f.Attach(left, mode); err != nil {
		t.Fatal(err)
	}
	here := listen(t, testGroup, left)
	own := listen(t, testUnicast, 0)
	mac, err := net.InterfaceByIndex(left)
	if err != nil {
		t.Fatal(err)
	}
	ours, foreign := toGroup(testCluster, testStream), packet{to: testGroup, payload: []byte("from another encoder")}
	unicast := packet{to: testUnicast, payload: datagram(testCluster, testStream)}
	for _, row := range []struct {
		name   string
		packet packet
		at     *net.UDPConn
		want   string
	}{
		{"no socket on the queue", ours, here, "NoSocket"},
		{"laid out otherwise", foreign, here, "Layout"},
		{"an unwanted lane", toGroup(testCluster, 3), here, "Lane"},
		{"another cluster", toGroup(1, testStream), here, "Cluster"},
		{"unicast, no socket on the queue", unicast, own, "NoSocket"},
	} {
		before := f.Counters()
		b := row.packet.bytes()
		if row.packet.to == testUnicast {
			copy(b, mac.HardwareAddr)
		}
		inject(t, right, b)
		got := make([]byte, 2048)
		row.at.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := row.at.Read(got)
		if err != nil || string(got[:n]) != string(row.packet.payload) {
			t.Errorf("%s: the kernel's socket got %x, %v", row.name, got[:n], err)
		}
		if counted := change(before, f.Counters()); counted != row.want+"+1" {
			t.Errorf("%s: counted %s", row.name, counted)
		}
	}
}

// What a sender's kernel leaves unsegmented on a virtual link (UDP_SEGMENT) is one packet to a
// program in generic mode. Where it is longer than a buffer it is passed, and the kernel's socket
// gets each datagram. Where it is shorter nothing shows that it is several: whoever reads the
// AF_XDP socket has to know it (docs/decisions/xdp-filter.md).
func TestSegmentationOffload(t *testing.T) {
	d := datagram(testCluster, testStream)
	for _, row := range []struct {
		mode Mode
		n    int // datagrams in one send
		want Counters
	}{
		{Native, 10, Counters{NoSocket: 10}},
		{Native, 100, Counters{NoSocket: 100}},
		{Generic, 10, Counters{NoSocket: 1}},
		{Generic, 100, Counters{Oversize: 1}},
	} {
		t.Run(fmt.Sprint(row.mode, " ", row.n), func(t *testing.T) {
			inNamespace(t, func() {
				left, right := pair(t)
				f, _ := loadTest(t, nil)
				if err := f.Attach(left, row.mode); err != nil {
					t.Fatal(err)
				}
				here := listen(t, testGroup, left)
				acceptLocal(t)
				sendSegments(t, right, bytes.Repeat(d, row.n), len(d))
				got := make([]byte, 2048)
				for i := range row.n {
					here.SetReadDeadline(time.Now().Add(5 * time.Second))
					if n, err := here.Read(got); err != nil || !bytes.Equal(got[:n], d) {
						t.Fatalf("datagram %d: %x, %v", i, got[:n], err)
					}
				}
				if c := f.Counters(); c != row.want {
					t.Errorf("counted %s, want %s", change(Counters{}, c), change(Counters{}, row.want))
				}
			})
		})
	}
}

// acceptLocal lets left hear what this host itself sends through right.
func acceptLocal(t *testing.T) {
	t.Helper()
	for file, value := range map[string]string{"left/accept_local": "1", "left/rp_filter": "0", "all/rp_filter": "0"} {
		if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+file, []byte(value), 0); err != nil {
			t.Skipf("no setting of the namespace's own: %v", err)
		}
	}
}

// sendSegments sends b to the group through an interface, as datagrams of size bytes in one go.
func sendSegments(t *testing.T, ifindex int, b []byte, size int) {
	t.Helper()
	command(t, "ip", "addr", "add", "10.9.0.2/24", "dev", "right")
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(s)
	for _, err := range []error{
		unix.SetsockoptIPMreqn(s, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(ifindex)}),
		unix.SetsockoptInt(s, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0),
		unix.Bind(s, &unix.SockaddrInet4{Addr: [4]byte{10, 9, 0, 2}}),
		unix.SetsockoptInt(s, unix.IPPROTO_UDP, unix.UDP_SEGMENT, size),
		unix.Sendto(s, b, 0, &unix.SockaddrInet4{Port: int(testGroup.Port()), Addr: testGroup.Addr().As4()}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// listen is an ordinary socket that hears a, which is joined on an interface when it is a group.
func listen(t *testing.T, a netip.AddrPort, ifindex int) *net.UDPConn {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if ifindex == 0 {
			return nil
		}
		c.Control(func(fd uintptr) {
			err = unix.SetsockoptIPMreqn(int(fd), unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP,
				&unix.IPMreqn{Multiaddr: a.Addr().As4(), Ifindex: int32(ifindex)})
		})
		return err
	}}
	c, err := lc.ListenPacket(context.Background(), "udp4", a.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.UDPConn)
}

// inject sends b out of an interface as it is.
func inject(t *testing.T, ifindex int, b []byte) {
	t.Helper()
	s, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no packet socket: %v (CAP_NET_RAW is needed)", err)
	}
	defer unix.Close(s)
	if err := unix.Sendto(s, b, 0, &unix.SockaddrLinklayer{Ifindex: ifindex}); err != nil {
		t.Fatal(err)
	}
}
