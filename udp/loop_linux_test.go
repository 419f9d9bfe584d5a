package udp

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/iflock"
	"github.com/activeblaze/blaze/internal/testnet"
	"golang.org/x/sys/unix"
)

// loopPair is a pair of namespaces, and a group on their veth pair: v0 in the first.
func loopPair(t *testing.T) (na, nb *testnet.Namespace, cfg Config) {
	t.Helper()
	na, nb = testnet.Pair(t)
	cfg = groupConfig(t)
	cfg.Interface, cfg.GSO = "v0", "off" // one datagram a packet: the kernel counts packets
	return na, nb, cfg
}

// openIn opens a driver in a namespace.
func openIn(t *testing.T, n *testnet.Namespace, cfg Config) (d *Driver) {
	t.Helper()
	n.Do(func() { d = openLinux(t, cfg) })
	return d
}

// loopIs waits until a driver's loop is on or off, for a second.
func loopIs(t *testing.T, d *Driver, on uint64, when string) {
	t.Helper()
	for deadline := time.Now().Add(time.Second); d.Stats().Loop != on; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: the loop is %d after a second, want %d (%s)", when, d.Stats().Loop, on, d.loop.reason())
		}
	}
}

// hears has a send to the group, and b receive it.
func hears(t *testing.T, a, b *Driver, seed byte) {
	t.Helper()
	sendAll(t, a, outgoing(buf.Group, seed, 100, 200))
	check(t, receive(t, b, 2), a.Local(), true, seed, 100, 200)
}

// inMulticast is how many multicast packets were received in a namespace (IpExt InMcastPkts, RFC 4293).
func inMulticast(t *testing.T, n *testnet.Namespace) (packets int) {
	t.Helper()
	n.Do(func() {
		b, err := os.ReadFile("/proc/thread-self/net/netstat")
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			switch {
			case f[0] != "IpExt:":
			case names == nil:
				names = f
			default:
				for i, name := range names {
					if name == "InMcastPkts" {
						packets, err = strconv.Atoi(f[i])
					}
				}
			}
		}
		if names == nil || err != nil {
			t.Fatalf("%v in %s", err, b)
		}
	})
	return packets
}

// In a lone member's namespace the kernel receives what others sent, and no copies of what the member sends. With loop=on it
// receives them all.
func TestLoopAlone(t *testing.T) {
	for _, mode := range []string{"auto", "off", "on"} {
		t.Run(mode, func(t *testing.T) {
			na, nb, cfg := loopPair(t)
			cfg.Loop = mode
			a := openIn(t, na, cfg)
			cfg.Interface, cfg.Loop = "v1", "auto"
			b := openIn(t, nb, cfg)
			on := uint64(0)
			if mode == "on" {
				on = 1
			}
			if s := a.Stats(); s.Loop != on {
				t.Fatalf("alone: %+v", s)
			}
			before := inMulticast(t, na)
			sizes := repeat(200, 100)
			for i := range 5 {
				sendAll(t, a, outgoing(buf.Group, byte(i), sizes...))
				check(t, receive(t, b, len(sizes)), a.Local(), true, byte(i), sizes...)
				sendAll(t, b, outgoing(buf.Group, byte(i), 64))
				check(t, receive(t, a, 1), b.Local(), true, byte(i), 64)
			}
			if n, want := inMulticast(t, na)-before, 5+int(on)*5*len(sizes); n != want {
				t.Errorf("%d multicast packets were received, want %d", n, want)
			}
			if n := a.Stats().KernelDrops; n != 0 {
				t.Errorf("%d drops are counted", n)
			}
		})
	}
}

// Members of one host hear each other from the first datagram on, and what remains alone saves the copies again.
func TestLoopMembers(t *testing.T) {
	na, _, cfg := loopPair(t)
	a := openIn(t, na, cfg)
	for i := range 10 {
		loopIs(t, a, 0, "alone")
		b := openIn(t, na, cfg)
		if a.Stats().Loop != 1 || b.Stats().Loop != 1 {
			t.Fatalf("two members: %+v, %+v", a.Stats(), b.Stats())
		}
		hears(t, a, b, byte(i))
		hears(t, b, a, byte(i))
		if i%2 == 0 {
			a, b = b, a // the older one goes
		}
		b.Close()
	}
}

// A program that is no member, and one of a release before this: what it hears.
type foreign struct {
	name string
	join func(cfg Config) (heard func() (from uint64, next bool), leave func())
}

// foreigners are listeners that do not answer.
func foreigners(t *testing.T) []foreign {
	listen := func(cfg Config) (*net.UDPConn, error) {
		at, err := net.InterfaceByName(cfg.Interface)
		if err != nil {
			return nil, err
		}
		c, err := net.ListenMulticastUDP("udp4", at, net.UDPAddrFromAddrPort(cfg.Group))
		if err != nil {
			return nil, err
		}
		return c, control(c, func(fd uintptr) error { // nothing is read while everything is sent
			return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20)
		})
	}
	number := func(c *net.UDPConn) func() (uint64, bool) {
		var b [2048]byte
		return func() (uint64, bool) {
			_ = c.SetReadDeadline(time.Now().Add(time.Second))
			n, _, err := c.ReadFromUDP(b[:])
			return binary.LittleEndian.Uint64(b[:]), err == nil && n >= 8
		}
	}
	return []foreign{
		{"listener", func(cfg Config) (func() (uint64, bool), func()) {
			c, err := listen(cfg)
			if err != nil {
				t.Fatal(err)
			}
			return number(c), func() { c.Close() }
		}},
		// A member of an earlier release: a socket that has joined, and a name under which nobody answers.
		{"older member", func(cfg Config) (func() (uint64, bool), func()) {
			c, err := listen(cfg)
			if err != nil {
				t.Fatal(err)
			}
			at, _ := net.InterfaceByName(cfg.Interface)
			l, err := iflock.Shared(at.Index, cfg.Group)
			if err != nil {
				t.Fatal(err)
			}
			return number(c), func() { c.Close(); l.Release() }
		}},
		// A socket of the portable driver, which has no name.
		{"portable member", func(cfg Config) (func() (uint64, bool), func()) {
			p, err := OpenPortable(cfg)
			if err != nil {
				t.Fatal(err)
			}
			var batch [1]buf.Received
			return func() (uint64, bool) {
				for deadline := time.Now().Add(time.Second); p.Recv(batch[:]) == 0; p.Wait(50 * time.Millisecond) {
					if time.Now().After(deadline) {
						return 0, false
					}
				}
				return binary.LittleEndian.Uint64(batch[0].Buf.Bytes()), true
			}, func() { p.Close() }
		}},
	}
}

// A listener that is no member receives everything that is sent from 300 ms after it has joined, and the loop is off again
// when it has gone.
func TestLoopForeign(t *testing.T) {
	for _, f := range foreigners(t) {
		t.Run(f.name, func(t *testing.T) {
			rounds := 10
			if testing.Short() {
				rounds = 2
			}
			na, _, cfg := loopPair(t)
			d := openIn(t, na, cfg)
			one := outgoing(buf.Group, 0, 64)
			b := one[0].Buf.Bytes()
			sent := uint64(0)
			send := func() {
				sent++
				binary.LittleEndian.PutUint64(b, sent)
				sendAll(t, d, one)
			}
			for range rounds {
				loopIs(t, d, 0, "alone")
				var heard func() (uint64, bool)
				var leave func()
				na.Do(func() { heard, leave = f.join(cfg) })
				joined := time.Now()
				for time.Since(joined) < 300*time.Millisecond {
					send()
					time.Sleep(time.Millisecond)
				}
				due := sent // all beyond that
				for range 300 {
					send()
				}
				next := due + 1
				for next <= sent {
					n, ok := heard()
					if !ok || n > next {
						t.Fatalf("%d came after %d, which was sent when it had joined for 300 ms (%v)", n, next-1, ok)
					}
					if n == next {
						next++
					}
				}
				leave()
			}
			loopIs(t, d, 0, "it has gone")
			if n := d.Stats().LoopSwitches; n != uint64(1+2*rounds) {
				t.Errorf("the loop was switched %d times in %d rounds", n, rounds)
			}
		})
	}
}

// Members of another port of the group are known, and do not want the copies. A stranger beside them is noticed.
func TestLoopOtherPort(t *testing.T) {
	na, _, cfg := loopPair(t)
	other := cfg
	other.Group = netip.AddrPortFrom(cfg.Group.Addr(), freePort(t))
	a, b := openIn(t, na, cfg), openIn(t, na, other)
	loopIs(t, a, 0, "a member of another port")
	loopIs(t, b, 0, "a member of another port")
	var stranger *net.UDPConn
	na.Do(func() {
		at, err := net.InterfaceByName("v0")
		if err == nil {
			stranger, err = net.ListenMulticastUDP("udp4", at, net.UDPAddrFromAddrPort(cfg.Group))
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	loopIs(t, a, 1, "a stranger")
	loopIs(t, b, 1, "a stranger")
	stranger.Close()
	loopIs(t, a, 0, "the stranger has gone")
	loopIs(t, b, 0, "the stranger has gone")
	c := openIn(t, na, other)
	if b.Stats().Loop != 1 || c.Stats().Loop != 1 {
		t.Errorf("two members of the port: %+v, %+v", b.Stats(), c.Stats())
	}
	hears(t, b, c, 1)
	loopIs(t, a, 0, "two members of another port")
}

// A member with loop=off is known to the others, and they send to it.
func TestLoopOff(t *testing.T) {
	na, _, cfg := loopPair(t)
	a := openIn(t, na, cfg)
	off := cfg
	off.Loop = "off"
	b := openIn(t, na, off)
	hears(t, a, b, 1)
	sendAll(t, b, outgoing(buf.Group, 2, 100))
	hears(t, a, b, 3)
	if n := a.Recv(make([]buf.Received, 4)); n != 0 || a.Stats().Loop != 1 || b.Stats().Loop != 0 {
		t.Errorf("%d datagrams came, %+v, %+v", n, a.Stats(), b.Stats())
	}
}

// On the loopback interface nothing changes: no member answers, none looks, and all hear each other whatever Loop says.
func TestLoopOnLoopback(t *testing.T) {
	cfg := groupConfig(t)
	cfg.Loop = "off"
	a := openLinux(t, cfg)
	cfg.Loop = "auto"
	b := openLinux(t, cfg)
	for _, d := range []*Driver{a, b} {
		if d.loop.end != nil || d.lock.Named() || d.Stats().Loop != 1 || d.Stats().LoopSwitches != 0 {
			t.Errorf("%+v", d.Stats())
		}
	}
	hears(t, a, b, 1)
	hears(t, b, a, 2)
}

// Packets that the kernel drops because a socket is full are counted, though nothing of the member's own is dropped beside
// them.
func TestLoopOffDrops(t *testing.T) {
	na, nb, cfg := loopPair(t)
	small := cfg
	small.RecvBuffer = 4 << 10
	a := openIn(t, na, small)
	cfg.Interface = "v1"
	b := openIn(t, nb, cfg)
	const sent = 500
	sendAll(t, a, outgoing(buf.Group, 1, repeat(sent, 200)...))
	receive(t, b, sent)
	before := inMulticast(t, na)
	sendAll(t, b, outgoing(buf.Group, 2, repeat(sent, 200)...))
	for deadline := time.Now().Add(5 * time.Second); inMulticast(t, na)-before < sent; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not everything arrived")
		}
	}
	came, batch := 0, make([]buf.Received, 64)
	for n := a.Recv(batch); n > 0; n = a.Recv(batch) {
		came += n
	}
	if drops := a.Stats().KernelDrops; drops == 0 || int(drops)+came != sent {
		t.Errorf("%d were received and %d counted as dropped, want %d in all", came, drops, sent)
	}
}

// Two members of a host whose interface is removed and made anew, or gets another address, hear each other afterwards.
func TestLoopInterfaceAnew(t *testing.T) {
	h := testnet.NewHub(t)
	n := h.Member()
	cfg := groupConfig(t)
	cfg.Interface = "v0"
	a, b := openIn(t, n, cfg), openIn(t, n, cfg)
	both := func(what string, is func(d follows) func() bool) {
		t.Helper()
		becomes(t, what, a, is(a))
		becomes(t, what, b, is(b))
	}
	for i := range 3 {
		h.Unplug(0)
		both("the interface is gone", shut)
		h.Plug(0)
		both("the interface is back", isOpen)
		hears(t, a, b, byte(i))
		hears(t, b, a, byte(i))
		n.IP(t, "addr flush dev v0")
		both("the address is gone", shut)
		n.IP(t, "addr add 10.9.0.7"+strconv.Itoa(i)+"/24 dev v0")
		both("there is another address", isOpen)
		hears(t, a, b, byte(10+i))
		hears(t, b, a, byte(10+i))
	}
	b.Close()
	loopIs(t, a, 0, "alone")
	h.Unplug(0)
	becomes(t, "the interface is gone", a, shut(a))
	h.Plug(0)
	becomes(t, "the interface is back", a, isOpen(a))
	loopIs(t, a, 0, "alone after the return")
	if s, err := unix.GetsockoptInt(a.own.fd, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP); s != 0 || err != nil {
		t.Errorf("the socket has IP_MULTICAST_LOOP %d, %v", s, err)
	}
}

// Somebody asks while the lists are read, and is in none of them: what they say does not count.
func TestLoopAskedMeanwhile(t *testing.T) {
	na, _, cfg := loopPair(t)
	d := openIn(t, na, cfg)
	l := &d.loop
	l.mu.Lock()
	asks := l.asks
	l.mu.Unlock()
	l.admit("somebody")
	l.mu.Lock()
	l.become(asks, "")
	l.mu.Unlock()
	if d.Stats().Loop != 1 {
		t.Error("the loop is off for somebody who has asked")
	}
	loopIs(t, d, 0, "nobody is there after all")
}

// While a member joins the group again no list shows it, and while it has no name no other member does: the loop is on.
func TestLoopAwayOrUnnamed(t *testing.T) {
	na, _, cfg := loopPair(t)
	d := openIn(t, na, cfg)
	l := &d.loop
	loopIs(t, d, 0, "alone")
	index := l.index
	l.away()
	for range 3 {
		if l.look(); d.Stats().Loop != 1 {
			t.Fatal("the loop is off while the member joins the group again")
		}
	}
	l.joined(index)
	loopIs(t, d, 0, "it has joined again")
	l.mu.Lock()
	named := l.lock
	l.lock = new(iflock.Lock)
	l.mu.Unlock()
	if l.look(); d.Stats().Loop != 1 || l.reason() != noName {
		t.Errorf("without a name: loop %d, %s", d.Stats().Loop, l.reason())
	}
	l.mu.Lock()
	l.lock = named
	l.mu.Unlock()
	loopIs(t, d, 0, "it has a name again")
}

// A host that routes multicast takes what its own programs send from the copies.
func TestLoopOnARouter(t *testing.T) {
	na, _, cfg := loopPair(t)
	var router int
	na.Do(func() {
		var err error
		if router, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_IGMP); err != nil {
			t.Fatal(err)
		}
		const mrtInit, mrtAddVIF = 200, 202 // linux/mroute.h
		if err = unix.SetsockoptInt(router, unix.IPPROTO_IP, mrtInit, 1); err != nil {
			t.Skipf("the kernel does not route multicast: %v", err)
		}
		vif := make([]byte, 16) // struct vifctl: vifi, flags, threshold, rate limit, local address, remote address
		vif[3] = 1
		copy(vif[8:], []byte{10, 9, 0, 1})
		if err = unix.SetsockoptString(router, unix.IPPROTO_IP, mrtAddVIF, string(vif)); err != nil {
			t.Fatal(err)
		}
	})
	d := openIn(t, na, cfg)
	if d.Stats().Loop != 0 { // nothing passes a router with TTL 1
		t.Errorf("TTL 1: %s", d.loop.reason())
	}
	cfg.TTL, cfg.Group = 2, netip.AddrPortFrom(cfg.Group.Addr().Next(), cfg.Group.Port())
	d = openIn(t, na, cfg)
	if d.Stats().Loop != 1 {
		t.Error("TTL 2: the loop is off on a host that routes multicast")
	}
	unix.Close(router)
	loopIs(t, d, 0, "it does not route any more")
}

func TestJoined(t *testing.T) {
	group := netip.MustParseAddr("239.255.66.76")
	word := func(a netip.Addr) string {
		four := a.As4()
		return strings.ToUpper(strconv.FormatUint(uint64(binary.NativeEndian.Uint32(four[:])), 16))
	}
	const head = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n"
	list := head +
		"1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n" +
		"2\tv0        :     2      V3\n\t\t\t\t" + word(group) + "    12 0:00000000\t\t0\n\t\t\t\t010000E0     1 0:00000000\t\t0\n" +
		"12\tv:1        :     2      V2\n\t\t\t\t" + word(group) + "     3 1:00000012\t\t1\n"
	for _, c := range []struct {
		index int
		group netip.Addr
		want  int
		why   string
	}{
		{2, group, 12, "there"},
		{12, group, 3, "an interface whose name has a colon"},
		{1, group, 0, "the group is on another interface"},
		{3, group, 0, "no such interface"},
		{2, group.Next(), 0, "another group"},
	} {
		if n := joined([]byte(list), c.index, c.group); n != c.want {
			t.Errorf("%s: %d have joined, want %d", c.why, n, c.want)
		}
	}
	for n := range list { // a list that is cut off anywhere is read without a fault
		joined([]byte(list[:n]), 12, group)
	}
	for _, digits := range []string{"", "-1", "1:", "/", "G", "4294967296", "99999999999999999999999"} {
		if n := joined([]byte(head+"1\tlo\n\t\t\t\t"+word(group)+" "+digits+" 0:0\t\t0\n"), 1, group); n != 0 {
			t.Errorf("%q users are %d", digits, n)
		}
		if n := joined([]byte(head+"1\tlo\n\t\t\t\t"+digits+" 5 0:0\t\t0\n"), 1, group); n != 0 {
			t.Errorf("%d have joined the group %q", n, digits)
		}
		if n := joined([]byte(head+digits+"\tlo\n\t\t\t\t"+word(group)+" 5 0:0\t\t0\n"), 1, group); n != 0 {
			t.Errorf("%d have joined on the interface %q", n, digits)
		}
	}
	high := netip.MustParseAddr("239.255.255.255") // a word above the largest signed one
	if n := joined([]byte(head+"1\tlo\n\t\t\t\t"+word(high)+" 5 0:0\t\t0\n"), 1, high); n != 5 {
		t.Errorf("%d have joined %v", n, high)
	}
}

// An idle member looks who has joined for as long as it lives: that allocates nothing while it is alone.
func TestCensusAllocatesNothing(t *testing.T) {
	var c census
	if err := c.open(false); err != nil {
		t.Fatal(err)
	}
	defer c.close()
	group := netip.MustParseAddrPort("239.255.66.76:6676")
	look := func() { c.take(1, group, false) }
	look()
	if n := testing.AllocsPerRun(100, look); n != 0 {
		t.Errorf("a look allocates %v times", n)
	}
}

// A long list is read whole.
func TestCensusReads(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcde\n"), 5000)
	f, err := os.CreateTemp(t.TempDir(), "")
	if err == nil {
		_, err = f.Write(want)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var c census
	for range 2 {
		if b, err := c.read(f); err != nil || !bytes.Equal(b, want) {
			t.Fatalf("%d bytes, want %d, %v", len(b), len(want), err)
		}
	}
}

// Where something is not known the loop is on: a member without a name, and lists that cannot be read.
func TestLoopNotKnown(t *testing.T) {
	na, _, cfg := loopPair(t)
	na.Do(func() {
		at, err := net.InterfaceByName("v0")
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; ; n++ {
			l, err := iflock.Answering(at.Index, cfg.Group)
			if err != nil || n > 300 {
				t.Fatal(n, err)
			}
			if !l.Named() {
				break
			}
			defer l.Release()
			go l.Answer(func() {})
		}
		d := openLinux(t, cfg)
		if s := d.Stats(); s.Loop != 1 || d.loop.end != nil {
			t.Errorf("without a name: %+v", s)
		}
	})
	closed, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	c := census{memberships: closed}
	if why := c.take(1, cfg.Group, false); why == "" {
		t.Error("a list that cannot be read says that nobody has joined")
	}
	c.memberships, err = os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer c.memberships.Close()
	if why := c.take(1, cfg.Group, false); why == "" {
		t.Error("a list without this member says that nobody has joined")
	}
}

// The log has one line for each member that is opened, which says how the loop is and why.
func TestLoopLogged(t *testing.T) {
	na, _, cfg := loopPair(t)
	for _, c := range []struct{ mode, want string }{
		{"auto", `msg="udp: what is sent to the group does not go to other sockets of this host" interface=v0 why="none of them has joined it"`},
		{"auto", `msg="udp: what is sent to the group goes to other sockets of this host too" interface=v0 why="another member of this host"`},
		{"on", `msg="udp: what is sent to the group goes to other sockets of this host too" interface=v0 why="the URI says so"`},
		{"off", `msg="udp: what is sent to the group does not go to other sockets of this host" interface=v0 why="the URI says so"`},
	} {
		var log bytes.Buffer
		cfg.Loop = c.mode
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		d := openIn(t, na, cfg) // which stays
		d.following.end()       // nothing else logs
		if text := log.String(); strings.Count(text, c.want) != 1 {
			t.Errorf("%s: the log has %q, want %q", c.mode, text, c.want)
		}
	}
}
