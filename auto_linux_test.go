package blaze_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/testnet"
	"github.com/activeblaze/blaze/wire"
)

// With auto:// a member runs over udp wherever xdp cannot be had and udp can, and says why.
func TestAutoFallsBack(t *testing.T) {
	testnet.NeedAFXDP(t)
	na, _ := testnet.Pair(t)
	na.IP(t, "link set v0 mtu 9000")
	for _, c := range []struct {
		name, kind string // of an interface on top of v0; kind "": v0 itself
		options    string
		reason     string // what Stats.Reason must name
	}{
		{"xmac", "macvlan mode bridge", "", "macvlan"},
		{"xipv", "ipvlan mode l2", "", "ipvlan"},
		{"xvla", "vlan id 10", "", "vlan"},
		{"xbon", "bond", "", "bond"},
		{"xtea", "team", "", "team"},
		{"v0", "", "&mtu=9000", "mtu 9000"},
		{"v0", "", "&queue=4000", "queue 4000"},
		{"v0", "", "&zerocopy=on", "zero-copy"},
	} {
		t.Run(strings.TrimSpace(c.name+" "+c.options), func(t *testing.T) {
			if c.kind != "" {
				master := " link v0"
				if c.kind == "bond" || c.kind == "team" {
					master = ""
				}
				if out, err := na.TryIP("link add" + master + " name " + c.name + " type " + c.kind); err != nil {
					t.Skipf("this kernel has no %s: %s", c.kind, out)
				}
				na.IP(t, "addr add 10.10.0.1/24 dev "+c.name)
				na.IP(t, "link set "+c.name+" up")
				defer na.IP(t, "link del "+c.name)
			}
			a := startedIn(t, na, over(t, "auto", c.name, c.options))
			s := a.Stats()
			if s.Transport != "udp" || !strings.Contains(s.Reason, c.reason) {
				t.Errorf("transport %q, since %q; want udp, and a reason that names %q", s.Transport, s.Reason, c.reason)
			}
			a.Shutdown()
		})
	}
}

// Without descriptors auto:// does not take udp, which would need fewer: the error says what is missing.
func TestAutoWithoutDescriptors(t *testing.T) {
	testnet.NeedAFXDP(t)
	na, _ := testnet.Pair(t)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	had := uint64(len(list)) - 1
	for _, spare := range []uint64{8, 10, 12} { // udp takes 6
		ch, err := blaze.NewChannel(over(t, "auto", "v0", ""))
		if err != nil {
			t.Fatal(err)
		}
		na.Do(func() {
			if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: had + spare, Max: before.Max}, nil); err != nil {
				t.Fatal(err)
			}
			err = ch.Start()
			_ = unix.Prlimit(0, unix.RLIMIT_NOFILE, &before, nil)
		})
		if !errors.Is(err, unix.EMFILE) || errors.Is(err, blaze.ErrUnsupported) {
			t.Errorf("with %d descriptors: %v, transport %q", spare, err, ch.Stats().Transport)
		}
		ch.Shutdown()
	}
}

// An administrator gets one line at Start, which says what was taken and why, and none for the few
// datagrams that come through the kernel.
func TestAutoLogsOneLine(t *testing.T) {
	testnet.NeedAFXDP(t)
	na, nb := testnet.Pair(t)
	for _, scheme := range []string{"auto", "xdp"} {
		cfg := over(t, scheme, "v0", "")
		other := over(t, scheme, "v1", "")
		other.BroadcastURI, other.Cluster = strings.Replace(cfg.BroadcastURI, "v0", "v1", 1), cfg.Cluster
		var log bytes.Buffer
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		a, b := startedIn(t, na, cfg), startedIn(t, nb, other)
		b.SubscribePayload("a", func(*blaze.Delivery) {})
		publisher(t, a, "a", 1)
		a.Shutdown()
		b.Shutdown()
		if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, scheme+":// took xdp") || !strings.Contains(text, "mode=") {
			t.Errorf("not one line:\n%s", text)
		}
	}
}

// The second AF_XDP socket is linked by who imports it; this program does not.
func TestAsavieIsNotLinked(t *testing.T) {
	testnet.NeedAFXDP(t)
	na, _ := testnet.Pair(t)
	const line = `import _ "github.com/activeblaze/blaze/xdp/asavie"`
	c, err := tryIn(na, over(t, "xdp", "v0", "&socket=asavie"))
	if err == nil {
		c.Shutdown()
	}
	if !errors.Is(err, blaze.ErrUnsupported) || !strings.Contains(err.Error(), line) {
		t.Errorf("%v; want ErrUnsupported with the line %s", err, line)
	}
	if s := startedIn(t, na, over(t, "auto", "v0", "&socket=asavie")).Stats(); s.Transport != "udp" || !strings.Contains(s.Reason, line) {
		t.Errorf("auto took %q: %s", s.Transport, s.Reason)
	}
}

// What udp cannot use either is an error, and names what is wrong.
func TestAutoFails(t *testing.T) {
	testnet.NeedAFXDP(t)
	na, _ := testnet.Pair(t)
	na.IP(t, "link add name down type veth peer name bare")
	na.IP(t, "link set bare up")
	na.IP(t, "addr add 10.10.0.1/24 dev down")
	for name, want := range map[string]string{"none": `no interface "none"`, "down": "is down", "bare": "no IPv4 address"} {
		c, err := tryIn(na, over(t, "auto", name, ""))
		if err == nil {
			c.Shutdown()
		}
		if !errors.Is(err, blaze.ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("interface %s: %v; want an error that says %q", name, err, want)
		}
	}
}

// Tagged packets belong to members on VLAN interfaces above ours: the host gets them.
func TestTaggedPacketsGoToTheHost(t *testing.T) {
	testnet.NeedAFXDP(t)
	na, nb := testnet.Pair(t)
	cfg := over(t, "xdp", "v0", "")
	c := startedIn(t, na, cfg)
	u, err := blaze.ParseURI(cfg.BroadcastURI)
	if err != nil {
		t.Fatal(err)
	}
	before := c.Stats().XDP
	const packets = 10
	nb.Do(func() { sendTagged(t, "v1", taggedPacket(u.Group, wire.ClusterHash(cfg.Cluster), 20), packets) })
	eventually(t, "the filter has seen all packets", func() bool {
		s := c.Stats().XDP
		return s.Filter.Others-before.Filter.Others+s.Filter.Group-before.Filter.Group >= packets
	})
	s := c.Stats().XDP
	if n := s.Filter.Group - before.Filter.Group; n > 0 {
		t.Errorf("%d packets of another VLAN were taken from the host", n)
	}
	if n := s.RecvForeign - before.RecvForeign; n > 0 {
		t.Errorf("%d packets of another VLAN were dropped", n)
	}
	// A tag with a priority only is no other network's.
	nb.Do(func() { sendTagged(t, "v1", taggedPacket(u.Group, wire.ClusterHash(cfg.Cluster), 0), packets) })
	eventually(t, "packets with a priority have come", func() bool {
		return c.Stats().XDP.Filter.Group-before.Filter.Group >= packets
	})
}

// taggedPacket is an Ethernet packet to the group with a VLAN tag, and a datagram in it that the
// filter takes.
func taggedPacket(group netip.AddrPort, cluster uint64, vlan uint16) []byte {
	h := wire.AppendHeader(nil, wire.Header{Cluster: cluster, Transmitter: wire.MemberID{1}, Stream: wire.NewStreamID(wire.NACK, 0)})
	payload := wire.AppendLeave(h, wire.Leave{})
	wire.Seal(payload)
	g := group.Addr().As4()
	p := []byte{0x01, 0x00, 0x5e, g[1] & 0x7f, g[2], g[3], 2, 0, 0, 0, 0, 9, 0x81, 0x00}
	p = binary.BigEndian.AppendUint16(p, vlan)
	p = append(p, 0x08, 0x00)
	ip := make([]byte, 28)
	ip[0] = 0x45
	binary.BigEndian.PutUint16(ip[2:], uint16(28+len(payload)))
	ip[6] = 0x40
	ip[8], ip[9] = 1, 17
	copy(ip[12:], []byte{10, 9, 0, 2})
	copy(ip[16:], g[:])
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	sum = sum>>16 + sum&0xffff
	sum += sum >> 16
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum))
	binary.BigEndian.PutUint16(ip[20:], 5000)
	binary.BigEndian.PutUint16(ip[22:], group.Port())
	binary.BigEndian.PutUint16(ip[24:], uint16(8+len(payload)))
	return append(append(p, ip...), payload...)
}

// sendTagged sends a packet n times from an interface of the calling thread's namespace.
func sendTagged(t *testing.T, ifname string, packet []byte, n int) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		t.Error(err)
		return
	}
	defer unix.Close(fd)
	ifi, err := net.InterfaceByName(ifname)
	if err != nil {
		t.Error(err)
		return
	}
	for range n {
		if err := unix.Sendto(fd, packet, 0, &unix.SockaddrLinklayer{Ifindex: ifi.Index}); err != nil {
			t.Error(err)
		}
	}
}
