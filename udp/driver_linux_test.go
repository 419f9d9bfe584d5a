package udp

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/ip4"
	"golang.org/x/sys/unix"
)

func openLinux(t testing.TB, cfg Config) *Driver {
	t.Helper()
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// With segmentation, 192 datagrams are 3 packets and one system call.
func TestSegmentsSave(t *testing.T) {
	cfg := groupConfig(t)
	a, b := openLinux(t, cfg), openLinux(t, cfg)
	if !a.segments {
		t.Skip("the kernel has no UDP_SEGMENT (Linux 4.18)")
	}
	sizes := repeat(192, 1000)
	sendAll(t, a, outgoing(buf.Group, 1, sizes...))
	check(t, receive(t, b, len(sizes)), a.Local(), true, 1, sizes...)
	if s := a.Stats(); s.SendCalls != 1 || s.SendPackets != 3 || s.SendDatagrams != 192 || s.SendBytes != 192000 {
		t.Errorf("sender: %+v", s)
	}
	if s := b.Stats(); s.RecvPackets != 3 || s.RecvDatagrams != 192 || s.RecvBytes != 192000 {
		t.Errorf("receiver: %+v", s)
	}
}

// A sender that cannot segment and a receiver that does not coalesce understand the others.
func TestSegmentsOneSided(t *testing.T) {
	with := groupConfig(t)
	without := with
	without.GSO = "off"
	a, b := openLinux(t, with), openLinux(t, without)
	for name, sizes := range bursts {
		t.Run(name, func(t *testing.T) {
			sendAll(t, a, outgoing(buf.Group, 1, sizes...))
			check(t, receive(t, b, len(sizes)), a.Local(), true, 1, sizes...)
			sendAll(t, b, outgoing(buf.Group, 2, sizes...))
			check(t, receive(t, a, len(sizes)), b.Local(), true, 2, sizes...)
		})
	}
	if n := a.Stats().KernelDrops + b.Stats().KernelDrops; n != 0 {
		t.Errorf("%d drops counted", n)
	}
}

// A kernel that refuses segmentation: nothing is lost, and it is not tried again. Without
// checksums on the socket it really does (udp_send_skb in net/ipv4/udp.c).
func TestSegmentsRefused(t *testing.T) {
	cfg := groupConfig(t)
	a, b := openLinux(t, cfg), openLinux(t, cfg)
	if !a.segments {
		t.Skip("the kernel has no UDP_SEGMENT (Linux 4.18)")
	}
	if err := unix.SetsockoptInt(a.own.fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
		t.Fatal(err)
	}
	sizes := []int{7, 100, 100, 100, 50}
	for range 2 {
		sendAll(t, a, outgoing(buf.Group, 1, sizes...))
		check(t, receive(t, b, len(sizes)), a.Local(), true, 1, sizes...)
	}
	if s := a.Stats(); s.SegmentsOff != 1 || s.SendDropped != 0 || s.SendPackets != 10 {
		t.Errorf("%+v", s)
	}
}

// With a socket that takes little, Send stops short, says so, and goes on where it stopped.
// Loopback never lets a UDP socket fill up, so a socket of another family stands in that
// does, keeps datagrams apart and ignores the address.
func TestSocketFull(t *testing.T) {
	for _, mode := range []string{"auto", "off"} {
		d := openLinux(t, Config{Group: groupConfig(t).Group, GSO: mode, Logger: quiet})
		far := standIn(t, d)
		batch := outgoing(buf.Group, 1, repeat(200, 1000, 900)...)
		var came [][]byte
		for i, again := 0, 0; i < len(batch); {
			n, err := d.Send(batch[i:])
			if i += n; i < len(batch) && !errors.Is(err, ErrAgain) || i == len(batch) && err != nil {
				t.Fatalf("Send took %d: %v", n, err)
			}
			if err != nil {
				again++
			}
			packets := drain(t, far)
			if err != nil && len(packets) == 0 {
				t.Fatal("ErrAgain although the socket was empty")
			}
			for _, p := range packets {
				for len(p) > 0 {
					k := min(1000, len(p))
					came, p = append(came, p[:k]), p[k:]
				}
			}
			if i == len(batch) && (again == 0 || d.Stats().SendAgain != uint64(again)) {
				t.Errorf("the socket was full %d times, %+v", again, d.Stats())
			}
		}
		if len(came) != len(batch) {
			t.Fatalf("%d datagrams came, want %d", len(came), len(batch))
		}
		for i, c := range came {
			if string(c) != string(batch[i].Buf.Bytes()) {
				t.Fatalf("datagram %d differs", i)
			}
		}
	}
}

// A datagram to peers that some have got goes on with the others, and nobody gets it twice.
func TestPeersSocketFull(t *testing.T) {
	for _, mode := range []string{"auto", "off"} {
		cfg := peerConfig(t, 100)
		cfg.GSO = mode
		d := openLinux(t, cfg)
		far := standIn(t, d)
		batch := outgoing(buf.Group, 1, 1000, 1000, 900)
		came := 0
		for i := 0; i < len(batch); {
			n, err := d.Send(batch[i:])
			if i += n; err != nil && !errors.Is(err, ErrAgain) {
				t.Fatal(err)
			}
			for _, p := range drain(t, far) {
				came += len(p)
			}
		}
		if s := d.Stats(); came != 99*2900 || s.SendDatagrams != 99*3 || s.SendAgain == 0 || s.SendBytes != 99*2900 {
			t.Errorf("%s: %d bytes came, want %d; %+v", mode, came, 99*2900, s)
		}
	}
}

// standIn replaces d's own socket and returns the other end.
func standIn(t *testing.T, d *Driver) (far int) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.SetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 40_000), unix.Dup3(pair[0], d.own.fd, unix.O_CLOEXEC)); err != nil {
		t.Fatal(err)
	}
	unix.Close(pair[0])
	t.Cleanup(func() { unix.Close(pair[1]) })
	return pair[1]
}

func drain(t *testing.T, fd int) (list [][]byte) {
	for {
		p := make([]byte, 65536)
		n, _, err := unix.Recvfrom(fd, p, 0)
		if err == unix.EAGAIN {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p[:n])
	}
}

// What the kernel refuses does not hold up the rest, nor does an endpoint that cannot be.
func TestRefused(t *testing.T) {
	cfg := groupConfig(t)
	cfg.MTU = 9000
	a, b := openLinux(t, cfg), openLinux(t, cfg)
	batch := outgoing(buf.Group, 1, 100, 3000, 3000, 100, 100, 100)
	batch[3].To = EndpointOf(netip.MustParseAddrPort("255.255.255.255:9")) // broadcast needs a permission
	batch[4].To = buf.Endpoint(1 << 20)                                    // port 0
	// Loopback carries 65536 bytes; what an Ethernet refuses is not to be had without one.
	sendAll(t, a, batch)
	list := receive(t, b, 4)
	check(t, list[:3], a.Local(), true, 1, 100, 3000, 3000)
	if s := a.Stats(); s.SendDropped != 2 || s.SendDatagrams != 4 {
		t.Errorf("%+v", s)
	}
}

// Data sent before a token is handed out before it, however much data it is and however
// Recv's batches fall. Totem's token travels by unicast.
func TestGroupBeforeUnicast(t *testing.T) {
	for _, mode := range []string{"auto", "off"} {
		cfg := groupConfig(t)
		cfg.GSO = mode
		a, b := openLinux(t, cfg), openLinux(t, cfg)
		for _, size := range []int{1, 7, 64, 256} {
			for _, data := range []int{1, 32, 33, 64, 65, 200} {
				var batch []buf.Send
				batch = append(batch, outgoing(b.Local(), 9, 10, 10)...) // earlier unicast is in the way
				batch = append(batch, outgoing(buf.Group, 1, repeat(data, 300)...)...)
				batch = append(batch, outgoing(b.Local(), 2, 20)...)
				in := make([]buf.Received, size)
				// The second round has read some unicast before the data comes.
				for _, split := range []int{0, 1, 2} {
					sendAll(t, a, batch[:split])
					group, n := 0, 0
					step := func() {
						k := b.Recv(in)
						for _, r := range in[:k] {
							if n++; r.Group {
								group++
							} else if r.Buf.Len() == 20 && group != data {
								t.Fatalf("%s, batch %d: the token came after %d of %d datagrams", mode, size, group, data)
							}
						}
					}
					if split > 0 {
						step()
					}
					sendAll(t, a, batch[split:])
					for deadline := time.Now().Add(5 * time.Second); n < len(batch) && time.Now().Before(deadline); {
						step()
					}
					if n != len(batch) {
						t.Fatalf("%d datagrams came, want %d", n, len(batch))
					}
				}
			}
		}
	}
}

// A driver that spins reads each time the socket that the last datagram came through, and the other one on every
// eighth empty read. It looks at both after it has sent, after it has slept and when it is told to.
func TestSpinsOnTheBusySocket(t *testing.T) {
	cfg := groupConfig(t)
	a, b := openLinux(t, cfg), openLinux(t, cfg)
	in := make([]buf.Received, 8)
	calls := func() (n uint64) {
		before := b.stats.RecvCalls
		if n := b.Recv(in); n > 0 {
			t.Fatalf("%d datagrams came that nobody sent", n)
		}
		return b.stats.RecvCalls - before
	}
	for range 3 {
		for _, to := range []buf.Endpoint{b.Local(), buf.Group} {
			sendAll(t, a, outgoing(to, 1, 20))
			receiveSome(t, b, in)
			for _, look := range []struct {
				why string
				f   func()
			}{
				{"something came", func() {}},
				{"sent", func() { sendAll(t, b, outgoing(EndpointOf(netip.MustParseAddrPort("127.0.0.1:9")), 1, 20)) }},
				{"told", b.LookAtAll},
				{"slept", func() { b.Wait(0) }},
			} {
				look.f()
				for i := range 5 * otherEvery {
					want := uint64(1)
					if i%otherEvery == 0 {
						want = 2
					}
					if n := calls(); n != want {
						t.Fatalf("to %v, %s: empty Recv %d made %d calls, want %d", to, look.why, i, n, want)
					}
				}
				calls() // so that a count that is not begun anew shows
			}
			sendAll(t, a, outgoing(to, 1, 20)) // it is read each time, so the very next one finds it
			if n := b.Recv(in); n != 1 {
				t.Fatalf("to %v: the socket that it came through was not read", to)
			}
		}
	}
}

// While the group's socket is never found empty, unicast still comes through: when what the group's socket held before
// it has been handed out, and, as the kernel's count is not exact, what a quarter of the socket's buffer holds.
func TestUnicastUnderFlood(t *testing.T) {
	cfg := groupConfig(t)
	cfg.GSO, cfg.RecvBuffer = "off", 1<<20
	a, b := openLinux(t, cfg), openLinux(t, cfg)
	flood := outgoing(buf.Group, 1, repeat(80, 1400)...)
	in := make([]buf.Received, 64)
	const each = 4 // reports that come in the time in which 64 datagrams are handed out
	quarter := b.Room() / 2 / charge(1400)
	var due [1000][2]int // of each round: how many datagrams of the group come before its reports, at least and at most
	held, group, unicast := 0, 0, 0
	for turn := range due {
		if held+len(flood) <= 3*quarter { // so that the kernel drops nothing
			sendAll(t, a, flood)
			held += len(flood)
		}
		sendAll(t, a, outgoing(b.Local(), byte(turn), repeat(each, 77)...))
		due[turn] = [2]int{group + held, group + 2*(held+quarter) + 3*len(in)}
		for _, r := range in[:b.Recv(in)] {
			if r.Group {
				group++
				held--
				continue
			}
			// A report may overtake what came in the few turns in which those before it were handed out.
			if of := due[unicast/each]; group+4*len(in) < of[0] && held > len(in) || group > of[1] {
				t.Fatalf("turn %d: a report comes behind %d datagrams of the group, want %d to %d", unicast/each, group, of[0], of[1])
			}
			unicast++
		}
	}
	if late := group - due[unicast/each][1]; late > 0 {
		t.Errorf("a report did not come %d datagrams after it was due", late)
	}
	if drops := b.Stats().KernelDrops; drops > 0 {
		t.Errorf("the kernel dropped %d packets", drops)
	}
	t.Logf("%d reports and %d datagrams of the group in %d turns", unicast, group, len(due))
}

// What was read of the group's socket last time, and emptied it then, says nothing of what has come since.
func TestUnicastBehindWhatWasRead(t *testing.T) {
	cfg := groupConfig(t)
	a, b := openLinux(t, cfg), openLinux(t, cfg)
	in := make([]buf.Received, 7)
	sendAll(t, a, outgoing(buf.Group, 1, repeat(10, 100)...))
	group := len(receiveSome(t, b, in)) // and three more are read
	sendAll(t, a, outgoing(buf.Group, 1, repeat(5, 100)...))
	sendAll(t, a, outgoing(b.Local(), 1, 20))
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		for _, r := range in[:b.Recv(in)] {
			if r.Group {
				group++
				continue
			}
			if group != 15 {
				t.Fatalf("unicast came after %d of 15 datagrams", group)
			}
			return
		}
	}
	t.Fatal("the unicast did not come")
}

// Unicast that comes after the group's data waits for it, although the reads before found one packet each.
func TestLaterUnicastWaitsForTheGroup(t *testing.T) {
	cfg := groupConfig(t)
	cfg.GSO = "off"
	a, b := openLinux(t, cfg), openLinux(t, cfg)
	in := make([]buf.Received, 80)
	for range 3 { // reads that find nothing: the next one asks for a single packet
		if n := b.Recv(in); n > 0 {
			t.Fatalf("%d datagrams came that nobody sent", n)
		}
	}
	b.LookAtAll()
	sendAll(t, a, outgoing(b.Local(), 1, 20, 21))
	sendAll(t, a, outgoing(buf.Group, 1, repeat(100, 300)...))
	taken := 0
	for deadline := time.Now().Add(5 * time.Second); taken < len(in) && time.Now().Before(deadline); {
		taken += b.Recv(in[:len(in)-taken])
	}
	sendAll(t, a, outgoing(buf.Group, 2, 301))
	sendAll(t, a, outgoing(b.Local(), 2, 22))
	last := false
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		for _, r := range in[:b.Recv(in)] {
			switch r.Buf.Len() {
			case 301:
				last = true
			case 22:
				if !last {
					t.Fatal("unicast came before data of the group that was sent before it")
				}
				return
			}
		}
	}
	t.Fatal("the unicast did not come")
}

// receiveSome is the first batch that is not empty.
func receiveSome(t *testing.T, d *Driver, in []buf.Received) []buf.Received {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		if n := d.Recv(in); n > 0 {
			return in[:n]
		}
	}
	t.Fatal("nothing came")
	return nil
}

// Where no filter can be attached, the driver drops own multicast itself.
func TestWithoutFilter(t *testing.T) {
	cfg := groupConfig(t)
	a, b := openLinux(t, cfg), openLinux(t, cfg)
	if !a.filtered {
		t.Error("no filter was attached")
	}
	if err := unix.SetsockoptInt(a.group.fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0); err != nil {
		t.Fatal(err)
	}
	a.filtered = false
	sendAll(t, a, outgoing(buf.Group, 1, 10, 20, 30))
	sendAll(t, b, outgoing(buf.Group, 2, 10))
	check(t, receive(t, a, 1), b.Local(), true, 2, 10)
	if s := a.Stats(); s.RecvOwn != 3 || s.KernelDrops != 0 {
		t.Errorf("%+v", s)
	}
}

// Only what a full buffer dropped counts as dropped.
func TestKernelDrops(t *testing.T) {
	cfg := groupConfig(t)
	cfg.RecvBuffer = 16 << 10
	a, b := openLinux(t, cfg), openLinux(t, cfg)
	sizes := repeat(100, 1400, 1401, 1402, 1403) // packets of 45 or so, and single ones
	for range 20 {
		sendAll(t, a, outgoing(buf.Group, 1, sizes...))
	}
	if s := a.Stats(); s.KernelDrops != 0 {
		t.Errorf("the sender lost nothing: %+v", s)
	}
	s := b.Stats()
	if s.KernelDrops == 0 {
		t.Errorf("%+v", s)
	}
	in, sent := make([]buf.Received, 64), a.Stats().SendPackets
	for deadline := time.Now().Add(5 * time.Second); s.RecvPackets+s.KernelDrops != sent && time.Now().Before(deadline); s = b.Stats() {
		b.Recv(in) // a busy host may take its time
	}
	if s.RecvPackets+s.KernelDrops != sent {
		t.Errorf("%d packets sent, %d came and %d were dropped", sent, s.RecvPackets, s.KernelDrops)
	}
}

// A member with a smaller mtu drops what does not fit and counts it.
func TestTruncated(t *testing.T) {
	cfg := groupConfig(t)
	var log bytes.Buffer
	cfg.GSO, cfg.Logger = "off", slog.New(slog.NewTextHandler(&log, nil))
	b := openLinux(t, cfg)
	cfg.MTU = 9000
	a := openLinux(t, cfg)
	sendAll(t, a, outgoing(buf.Group, 1, 100, 8000, 100))
	if list := receive(t, b, 2); len(list[1].data) != 100 || b.Stats().RecvTruncated != 1 {
		t.Errorf("%+v", b.Stats())
	}
	if !strings.Contains(log.String(), "bytes=8000 largest=1472") { // also where it is longer than what receives it
		t.Errorf("the log does not say how long it was: %s", log.String())
	}
}

// RFC 768 allows a datagram with source port 0. Nobody can answer it, and its endpoint would
// be mistaken for another's.
func TestSourcePortZero(t *testing.T) {
	raw, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		t.Skip("raw sockets need CAP_NET_RAW:", err)
	}
	defer unix.Close(raw)
	cfg := groupConfig(t)
	a, b := openLinux(t, cfg), openLinux(t, cfg)
	_, port := ip4.Split(b.Local())
	packet := []byte{0, 0, byte(port >> 8), byte(port), 0, 9, 0, 0, 'x'}
	if err := unix.Sendto(raw, packet, 0, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	sendAll(t, a, outgoing(b.Local(), 1, 5))
	check(t, receive(t, b, 1), a.Local(), false, 1, 5)
	if s := b.Stats(); s.RecvInvalid != 1 {
		t.Errorf("%+v", s)
	}
}

// The options reach the sockets.
func TestOptions(t *testing.T) {
	cfg := groupConfig(t)
	cfg.TTL, cfg.DSCP = 7, 46
	d := openLinux(t, cfg)
	for _, row := range []struct {
		fd, level, opt, want int
	}{
		{d.own.fd, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, 7},
		{d.own.fd, unix.IPPROTO_IP, unix.IP_TOS, 46 << 2},
		{d.own.fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE},
		{d.group.fd, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0},
		{d.own.fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 0},
	} {
		if n, err := unix.GetsockoptInt(row.fd, row.level, row.opt); err != nil || n != row.want {
			t.Errorf("option %d of level %d is %d, %v; want %d", row.opt, row.level, n, err, row.want)
		}
	}
	cfg.BusyPoll = 50 * time.Microsecond
	d, err := Open(cfg)
	if err != nil {
		if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
			t.Error(err)
		}
		return
	}
	defer d.Close()
	if n, err := unix.GetsockoptInt(d.group.fd, unix.SOL_SOCKET, unix.SO_BUSY_POLL); n != 50 {
		t.Error(n, err)
	}
}

// An interface of this host that is down, where there is one.
func TestInterfaceDown(t *testing.T) {
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, ifi := range all {
		if ifi.Flags&net.FlagUp == 0 {
			cfg := groupConfig(t)
			cfg.Interface = ifi.Name
			for _, k := range kinds {
				wantError(t, k.name, k.open, cfg, ErrConfig, "interface "+ifi.Name+" is down; bring it up with: ip link set dev "+ifi.Name+" up")
			}
			return
		}
	}
	t.Skip("every interface of this host is up")
}

// Neither Close nor a failed Open leaves a descriptor behind.
func TestDescriptors(t *testing.T) {
	count := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(list)
	}
	good, taken, peers := groupConfig(t), groupConfig(t), peerConfig(t, 2)
	hog, err := net.ListenUDP("udp4", &net.UDPAddr{Port: int(taken.Group.Port())})
	if err != nil {
		t.Fatal(err)
	}
	defer hog.Close()
	turn := func() {
		for _, k := range kinds {
			for _, cfg := range []Config{good, peers} {
				d, err := k.open(cfg)
				if err != nil {
					t.Fatal(err)
				}
				d.Close()
				d.Close()
			}
			if d, err := k.open(taken); err == nil {
				d.Close()
				t.Fatal("the port is taken, and yet")
			}
		}
	}
	turn() // the runtime's poller opens some of its own
	before := count()
	for range 10 {
		turn()
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

// How much payload fits a socket with its buffer full, as Room's comment says.
func TestRoom(t *testing.T) {
	for _, row := range []struct {
		mode  string
		size  int
		least float64 // of Room
	}{{"auto", 1344, 1}, {"off", 1344, 0.9}, {"off", 64, 0.1}} {
		cfg := groupConfig(t)
		cfg.GSO, cfg.RecvBuffer = row.mode, 2<<20
		a, b := openLinux(t, cfg), openLinux(t, cfg)
		batch := outgoing(buf.Group, 1, repeat(180, row.size)...)
		for b.Stats().KernelDrops == 0 {
			sendAll(t, a, batch)
		}
		bytes, in := 0, make([]buf.Received, 64)
		for n := b.Recv(in); n > 0; n = b.Recv(in) {
			for _, r := range in[:n] {
				bytes += r.Buf.Len()
			}
		}
		ratio := float64(bytes) / float64(b.Room())
		t.Logf("gso=%s, %d bytes: a room of %d bytes holds %d of payload (%.2f)", row.mode, row.size, b.Room(), bytes, ratio)
		if ratio < row.least {
			t.Errorf("less than %.1f", row.least)
		}
	}
}

// The members change while some of them have got a datagram and others not, since the socket is full: nobody
// gets it twice, and of those that stay everybody gets it.
func TestSetPeersSocketFull(t *testing.T) {
	cfg := peerConfig(t, 100)
	members := make([]buf.Endpoint, 98)
	for i := range members {
		members[i] = EndpointOf(cfg.Peers[i+2])
	}
	for _, mode := range []string{"auto", "off"} {
		for _, keep := range []int{len(members), len(members) / 2, 0} {
			d := openLinux(t, Config{Peers: cfg.Peers[:2], GSO: mode, Logger: quiet})
			far := standIn(t, d)
			d.SetPeers(members)
			batch := outgoing(buf.Group, 1, 1000, 1000, 900)
			came, changes := 0, 0
			for i := 0; i < len(batch); {
				n, err := d.Send(batch[i:])
				if i += n; err != nil && !errors.Is(err, ErrAgain) {
					t.Fatal(err)
				}
				for _, p := range drain(t, far) {
					came += len(p)
				}
				if err != nil {
					// Those at the end of the list stay: some of them have not got it yet.
					changes++
					d.SetPeers(members[len(members)-keep:])
				}
			}
			most, least := 99*2900, (1+keep)*2900
			if came > most || came < least || changes == 0 || keep == len(members) && came != most {
				t.Errorf("%s, %d stay: %d bytes came, want %d to %d; %d changes", mode, keep, came, least, most, changes)
			}
			d.Close()
		}
	}
}
