package udp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/ip4"
)

// driver is what both implementations offer, as the engine declares it.
type driver interface {
	Recv(batch []buf.Received) int
	Send(batch []buf.Send) (n int, err error)
	Wait(d time.Duration)
	Wake()
	Local() buf.Endpoint
	Addr(e buf.Endpoint) netip.AddrPort
	Datagram() int
	Room() int
	Stats() Stats
	SetPeers(members []buf.Endpoint)
	Close() error
}

var _ driver = (*Driver)(nil)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// freePort finds a UDP port that nobody uses.
func freePort(t testing.TB) uint16 {
	t.Helper()
	c, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return uint16(c.LocalAddr().(*net.UDPAddr).Port)
}

// groupConfig is a group of this test alone.
func groupConfig(t testing.TB) Config {
	addr := netip.AddrFrom4([4]byte{239, 255, byte(rand.IntN(256)), byte(1 + rand.IntN(254))})
	return Config{Group: netip.AddrPortFrom(addr, freePort(t)), Logger: quiet}
}

// peerConfig lists n free ports of loopback.
func peerConfig(t testing.TB, n int) Config {
	cfg := Config{Logger: quiet}
	for len(cfg.Peers) < n {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), freePort(t))
		if checkPeers(append(cfg.Peers, a), netip.AddrPort{}) == nil {
			cfg.Peers = append(cfg.Peers, a)
		}
	}
	return cfg
}

// kinds are the implementations; each test runs on both.
var kinds = []struct {
	name string
	open func(Config) (driver, error)
}{
	{"Driver", func(c Config) (driver, error) { return wrap(Open(c)) }},
	{"Driver without segmentation", func(c Config) (driver, error) {
		if c.GSO == "" {
			c.GSO = "off"
		}
		return wrap(Open(c))
	}},
	{"Portable", func(c Config) (driver, error) { return wrap(OpenPortable(c)) }},
}

func wrap[D driver](d D, err error) (driver, error) {
	if err != nil {
		return nil, err
	}
	return d, nil
}

func eachKind(t *testing.T, f func(t *testing.T, open func(Config) driver)) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			f(t, func(c Config) driver {
				d, err := k.open(c)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { d.Close() })
				return d
			})
		})
	}
}

// got is a received datagram, copied.
type got struct {
	data  []byte
	from  buf.Endpoint
	group bool
}

// receive waits for n datagrams at d, and shortly for one too many.
func receive(t testing.TB, d driver, n int) (list []got) {
	t.Helper()
	batch := make([]buf.Received, 64)
	deadline := time.Now().Add(5 * time.Second)
	for len(list) < n && time.Now().Before(deadline) {
		k := d.Recv(batch)
		for _, r := range batch[:k] {
			list = append(list, got{bytes.Clone(r.Buf.Bytes()), r.From, r.Group})
		}
		if k == 0 {
			d.Wait(50 * time.Millisecond)
		}
	}
	if len(list) != n {
		t.Fatalf("%d datagrams came, want %d; %+v", len(list), n, d.Stats())
	}
	return list
}

// nothing fails when something is there to receive.
func nothing(t testing.TB, d driver) {
	t.Helper()
	batch := make([]buf.Received, 1)
	if n := d.Recv(batch); n > 0 {
		t.Fatalf("an unexpected datagram of %d bytes from %v", batch[0].Buf.Len(), d.Addr(batch[0].From))
	}
}

// outgoing makes datagrams of the given sizes; the contents tell seed, number and place.
func outgoing(to buf.Endpoint, seed byte, sizes ...int) []buf.Send {
	pool := buf.NewPool(len(sizes), 65536)
	list := make([]buf.Send, len(sizes))
	for i, size := range sizes {
		b := pool.Get()
		b.Set(0, size)
		copy(b.Bytes(), content(seed, i, size))
		list[i] = buf.Send{Buf: b, To: to}
	}
	return list
}

func content(seed byte, i, size int) []byte {
	data := make([]byte, size)
	for j := range data {
		data[j] = byte(int(seed)*31 + i*7 + j)
	}
	return data
}

func sendAll(t testing.TB, d driver, batch []buf.Send) {
	t.Helper()
	defer pin()()
	if n, err := d.Send(batch); n != len(batch) || err != nil {
		t.Fatalf("Send took %d of %d: %v", n, len(batch), err)
	}
}

// check compares what came with outgoing(…, seed, sizes).
func check(t testing.TB, list []got, from buf.Endpoint, group bool, seed byte, sizes ...int) {
	t.Helper()
	for i, g := range list {
		if g.from != from || g.group != group || !bytes.Equal(g.data, content(seed, i, sizes[i])) {
			t.Fatalf("datagram %d: %d bytes from %v group=%v, want %d from %v group=%v (contents equal: %v)", i,
				len(g.data), ip4.Addr(g.from), g.group, sizes[i], ip4.Addr(from), group, bytes.Equal(g.data, content(seed, i, sizes[i])))
		}
	}
}

// repeat lists size n times, and then the rest.
func repeat(n, size int, rest ...int) []int {
	var list []int
	for range n {
		list = append(list, size)
	}
	return append(list, rest...)
}

// bursts are the shapes that segmentation must put together and take apart exactly.
var bursts = map[string][]int{
	"one":                      {64},
	"empty":                    {0},
	"empty between":            {10, 0, 10, 0, 0, 10},
	"one byte":                 {1, 1, 1},
	"full":                     {1472},
	"equal":                    repeat(20, 1344),
	"equal, last one shorter":  repeat(20, 1344, 17),
	"shorter, then equal":      append([]int{17}, repeat(20, 1344)...),
	"64 segments":              repeat(64, 200),
	"65 segments":              repeat(65, 200),
	"130 segments, rest":       repeat(130, 200, 199),
	"65,000 bytes are the end": repeat(100, 1472),
	"growing":                  {1, 2, 3, 4, 5, 600, 601, 1400},
	"shrinking":                {1400, 601, 600, 5, 4, 3, 2, 1},
	"saw":                      {100, 50, 100, 50, 100, 100, 50, 100},
	"300 of one byte":          repeat(300, 1),
}

func TestGroup(t *testing.T) {
	eachKind(t, func(t *testing.T, open func(Config) driver) {
		for _, members := range []int{2, 5} {
			for name, sizes := range bursts {
				t.Run(fmt.Sprintf("%d members, %s", members, name), func(t *testing.T) {
					cfg := groupConfig(t)
					var ds []driver
					for range members {
						ds = append(ds, open(cfg))
					}
					for i, d := range ds {
						sendAll(t, d, outgoing(buf.Group, byte(i), sizes...))
						for j, e := range ds {
							if i != j {
								check(t, receive(t, e, len(sizes)), d.Local(), true, byte(i), sizes...)
							}
						}
					}
					for _, d := range ds {
						nothing(t, d) // nobody hears himself
						if s := d.Stats(); s.KernelDrops != 0 || s.SendDropped != 0 || s.SendDatagrams != uint64(len(sizes)) {
							t.Errorf("%+v", s)
						}
					}
				})
			}
		}
	})
}

func TestUnicast(t *testing.T) {
	eachKind(t, func(t *testing.T, open func(Config) driver) {
		cfg := groupConfig(t)
		a, b, c := open(cfg), open(cfg), open(cfg)
		for name, sizes := range bursts {
			t.Run(name, func(t *testing.T) {
				sendAll(t, a, outgoing(b.Local(), 1, sizes...))
				check(t, receive(t, b, len(sizes)), a.Local(), false, 1, sizes...)
				sendAll(t, b, outgoing(a.Local(), 2, sizes...))
				check(t, receive(t, a, len(sizes)), b.Local(), false, 2, sizes...)
			})
		}
		nothing(t, c)
	})
}

// A batch with several destinations keeps the order for each.
func TestMixedBatch(t *testing.T) {
	eachKind(t, func(t *testing.T, open func(Config) driver) {
		cfg := groupConfig(t)
		a, b, c := open(cfg), open(cfg), open(cfg)
		batch := outgoing(buf.Group, 1, repeat(90, 100)...)
		var toB, toC, toAll int
		for i := range batch {
			switch i % 7 {
			case 3, 4:
				batch[i].To = b.Local()
				toB++
			case 6:
				batch[i].To = c.Local()
				toC++
			default:
				toAll++
			}
		}
		sendAll(t, a, batch)
		for _, d := range []driver{b, c} {
			unicast := toB
			if d == c {
				unicast = toC
			}
			last := map[bool]int{true: -1, false: -1}
			for _, g := range receive(t, d, toAll+unicast) {
				i := int(g.data[0]-31) * 183 & 255 // 183 is the inverse of 7 modulo 256
				if !bytes.Equal(g.data, content(1, i, 100)) || i <= last[g.group] {
					t.Fatalf("datagram %d after %d (group=%v)", i, last[g.group], g.group)
				}
				last[g.group] = i
			}
		}
	})
}

func TestPeers(t *testing.T) {
	eachKind(t, func(t *testing.T, open func(Config) driver) {
		cfg := peerConfig(t, 4)
		a, b, c := open(cfg), open(cfg), open(cfg) // each takes the first address that is free
		for i, d := range []driver{a, b, c} {
			if d.Addr(d.Local()) != cfg.Peers[i] {
				t.Fatalf("member %d is at %v, want %v", i, d.Addr(d.Local()), cfg.Peers[i])
			}
		}
		cfg.Bind = cfg.Peers[3]
		e := open(cfg)
		all := []driver{a, b, c, e}
		for name, sizes := range bursts {
			t.Run(name, func(t *testing.T) {
				for i, d := range all {
					sendAll(t, d, outgoing(buf.Group, byte(i), sizes...))
					for j, r := range all {
						if i != j {
							check(t, receive(t, r, len(sizes)), d.Local(), false, byte(i), sizes...)
						}
					}
				}
				sendAll(t, a, outgoing(e.Local(), 9, sizes...))
				check(t, receive(t, e, len(sizes)), a.Local(), false, 9, sizes...)
			})
		}
		for _, d := range all {
			nothing(t, d)
		}
	})
}

// A peer list with nobody else in it is a group of one.
func TestAlone(t *testing.T) {
	eachKind(t, func(t *testing.T, open func(Config) driver) {
		d := open(peerConfig(t, 1))
		sendAll(t, d, outgoing(buf.Group, 1, 10, 20, 30))
		nothing(t, d)
	})
}

// What Recv could not place in the batch comes with the next one.
func TestSmallBatch(t *testing.T) {
	eachKind(t, func(t *testing.T, open func(Config) driver) {
		cfg := groupConfig(t)
		a, b := open(cfg), open(cfg)
		sizes := repeat(50, 700, 3)
		sendAll(t, a, outgoing(buf.Group, 1, sizes...))
		var list []got
		batch := make([]buf.Received, 3)
		for deadline := time.Now().Add(5 * time.Second); len(list) < len(sizes) && time.Now().Before(deadline); {
			b.Wait(time.Second)
			n := b.Recv(batch)
			for _, r := range batch[:n] { // the whole batch is lent at the same time
				list = append(list, got{bytes.Clone(r.Buf.Bytes()), r.From, r.Group})
			}
		}
		if len(list) != len(sizes) {
			t.Fatalf("%d datagrams came, want %d", len(list), len(sizes))
		}
		check(t, list, a.Local(), true, 1, sizes...)
	})
}

func TestEndpoint(t *testing.T) {
	for _, s := range []string{"127.0.0.1:1", "10.1.2.3:65535", "255.255.255.255:6676", "0.0.0.1:80"} {
		a := netip.MustParseAddrPort(s)
		if e := EndpointOf(a); e == buf.Group || ip4.Addr(e) != a {
			t.Errorf("%v became %v", a, ip4.Addr(e))
		}
	}
	for _, s := range []string{"0.0.0.0:5", "10.1.2.3:0", "[::1]:5"} {
		if e := EndpointOf(netip.MustParseAddrPort(s)); e != buf.Group {
			t.Errorf("%s became %v", s, e)
		}
	}
	if e := EndpointOf(netip.MustParseAddrPort("[::ffff:10.1.2.3]:9")); ip4.Addr(e).String() != "10.1.2.3:9" {
		t.Errorf("a mapped address became %v", ip4.Addr(e))
	}
}

// A Wake that comes before Wait ends it, and so does one during it.
func TestWake(t *testing.T) {
	eachKind(t, func(t *testing.T, open func(Config) driver) {
		d := open(groupConfig(t))
		d.Wake()
		d.Wake() // the second is the same wake-up
		d.Wait(-1)
		start := time.Now()
		for range 3 {
			d.Wait(2 * time.Millisecond) // an early return of one is allowed
		}
		if took := time.Since(start); took < 4*time.Millisecond {
			t.Errorf("three waits of 2ms took %v together", took)
		}
		d.Wait(0)
		woken := make(chan bool)
		go func() {
			for range 2 {
				d.Wait(-1)
				woken <- true
			}
		}()
		for range 2 {
			d.Wake()
			select {
			case <-woken:
			case <-time.After(5 * time.Second):
				t.Fatal("Wake does not end Wait")
			}
		}
	})
}

// Whatever is published before Wake is seen after Wait: hangs if a wake-up is lost.
func TestWakeStress(t *testing.T) {
	eachKind(t, func(t *testing.T, open func(Config) driver) {
		d := open(groupConfig(t))
		const producers, each = 3, 3000
		var published atomic.Int64
		for range producers {
			go func() {
				for i := range each {
					published.Add(1)
					d.Wake()
					if i%7 == 0 {
						runtime.Gosched()
					}
				}
			}()
		}
		done := make(chan bool)
		go func() {
			for published.Load() < producers*each {
				d.Wait(-1)
			}
			done <- true
		}()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatalf("asleep after %d of %d", published.Load(), producers*each)
		}
	})
}

// A datagram ends Wait: on the group's socket, and on the own.
func TestWaitForDatagram(t *testing.T) {
	eachKind(t, func(t *testing.T, open func(Config) driver) {
		cfg := groupConfig(t)
		a, b := open(cfg), open(cfg)
		for _, to := range []buf.Endpoint{buf.Group, b.Local()} {
			batch := make([]buf.Received, 4)
			came := make(chan int)
			go func() {
				n := 0
				for n == 0 { // Wait may return early
					b.Wait(-1)
					n = b.Recv(batch)
				}
				came <- n
			}()
			sendAll(t, a, outgoing(to, 1, 100))
			select {
			case n := <-came:
				if n != 1 {
					t.Errorf("%d datagrams came", n)
				}
			case <-time.After(5 * time.Second):
				t.Fatal("a datagram does not end Wait")
			}
		}
	})
}

func TestClose(t *testing.T) {
	eachKind(t, func(t *testing.T, open func(Config) driver) {
		cfg := groupConfig(t)
		a, b := open(cfg), open(cfg)
		sendAll(t, a, outgoing(buf.Group, 1, 10))
		receive(t, b, 1)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal("the second Close:", err)
		}
		b.Wake()
		b.Wait(-1)
		if n := b.Recv(make([]buf.Received, 1)); n != 0 {
			t.Error("Recv after Close found something")
		}
		if n, err := b.Send(outgoing(buf.Group, 1, 10)); n != 0 || !errors.Is(err, ErrClosed) {
			t.Error("Send after Close:", n, err)
		}
		if s := b.Stats(); s.RecvDatagrams != 1 {
			t.Errorf("counters after Close: %+v", s)
		}
		sendAll(t, a, outgoing(buf.Group, 1, 10)) // the others go on
	})
}

// Opening and closing leaves no goroutine behind.
func TestCloseGoroutines(t *testing.T) {
	cfg := groupConfig(t)
	before := runtime.NumGoroutine()
	for range 20 {
		for _, k := range kinds {
			d, err := k.open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			d.Close()
		}
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, %d before", after, before)
	}
}

// Neither direction allocates.
func TestNoAllocations(t *testing.T) {
	eachKind(t, func(t *testing.T, open func(Config) driver) {
		cfg := groupConfig(t)
		a, b := open(cfg), open(cfg)
		out := append(outgoing(buf.Group, 1, repeat(10, 1344, 5)...), outgoing(b.Local(), 2, repeat(5, 100)...)...)
		in := make([]buf.Received, 64)
		turn := func() {
			if n, err := a.Send(out); n != len(out) || err != nil {
				t.Fatal(n, err)
			}
			for n := 0; n < len(out); {
				k := b.Recv(in)
				if n += k; k == 0 {
					b.Wait(time.Second)
				}
			}
		}
		turn()
		if n := testing.AllocsPerRun(100, turn); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// What is longer than the own MTU allows is dropped, counted, and logged with the sender and both
// sizes, however it travelled: alone, or as segments of one packet.
func TestLongerThanOwn(t *testing.T) {
	eachKind(t, func(t *testing.T, open func(Config) driver) {
		cfg := groupConfig(t)
		a := open(cfg)
		var log bytes.Buffer
		cfg.MTU, cfg.Logger = 1480, slog.New(slog.NewTextHandler(&log, nil))
		b := open(cfg)
		for _, to := range []buf.Endpoint{buf.Group, b.Local()} {
			before := b.Stats().RecvTruncated
			sizes := append(repeat(20, 1472, 100, 1453, 1452, 2, 1472), repeat(3, 1472, 1460, 1452)...)
			var fit []int // places
			for i, n := range sizes {
				if n <= b.Datagram() {
					fit = append(fit, i)
				}
			}
			sendAll(t, a, outgoing(to, 1, sizes...))
			for i, g := range receive(t, b, len(fit)) {
				if want := content(1, fit[i], sizes[fit[i]]); !bytes.Equal(g.data, want) {
					t.Errorf("%d bytes, want %d", len(g.data), len(want))
				}
			}
			if n := b.Stats().RecvTruncated - before; n != uint64(len(sizes)-len(fit)) {
				t.Errorf("%d were counted, want %d", n, len(sizes)-len(fit))
			}
		}
		b.Close()
		var lines []string
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "longer than") {
				lines = append(lines, line)
			}
		}
		for _, want := range []string{a.Addr(a.Local()).String(), "bytes=1472", "largest=1452"} {
			if len(lines) != 1 || !strings.Contains(lines[0], want) {
				t.Errorf("want one line that names %s: %s", want, log.String())
			}
		}
	})
}

func TestSizes(t *testing.T) {
	eachKind(t, func(t *testing.T, open func(Config) driver) {
		cfg := groupConfig(t)
		if d := open(cfg); d.Datagram() != 1472 || d.Room() <= 0 {
			t.Errorf("datagram %d, room %d", d.Datagram(), d.Room())
		}
		cfg.MTU, cfg.RecvBuffer, cfg.SendBuffer = 9000, 64<<10, 64<<10
		a, b := open(cfg), open(cfg)
		if a.Datagram() != 8972 || a.Room() < 32<<10 || a.Room() > 128<<10 {
			t.Errorf("datagram %d, room %d", a.Datagram(), a.Room())
		}
		sizes := repeat(5, 8972, 1)
		sendAll(t, a, outgoing(buf.Group, 1, sizes...))
		check(t, receive(t, b, len(sizes)), a.Local(), true, 1, sizes...)
	})
}

// Rows say why the error text must name what it names.
func TestConfigErrors(t *testing.T) {
	group := netip.MustParseAddrPort("239.1.2.3:6676")
	peers := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:6676")}
	ap := netip.MustParseAddrPort
	for _, row := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "neither a group nor a list of peers"},
		{Config{Group: group, Peers: peers}, "exclude each other"},
		{Config{Group: group, Bind: peers[0]}, "name an interface instead"},
		{Config{Group: ap("10.1.2.3:6676")}, "10.1.2.3 is no IPv4 multicast address (224.0.0.0 to 239.255.255.255"},
		{Config{Group: ap("[ff02::1]:6676")}, "no IPv4 multicast address"},
		{Config{Group: ap("239.1.2.3:0")}, "needs a port"},
		{Config{Group: group, TTL: 256}, "ttl 256 is outside 1 to 255"},
		{Config{Group: group, TTL: -1}, "ttl -1"},
		{Config{Group: group, MTU: 575}, "mtu 575 is outside 576 to 65535"},
		{Config{Group: group, MTU: 65536}, "mtu 65536 is outside"},
		{Config{Group: group, DSCP: 64}, "dscp 64 is outside 0 to 63"},
		{Config{Group: group, BusyPoll: -1}, "busypoll -1ns is outside 0 to 1s"},
		{Config{Group: group, BusyPoll: 1500}, "whole number of microseconds"},
		{Config{Group: group, GSO: "maybe"}, `gso "maybe" is none of auto, on, off`},
		{Config{Group: group, RecvBuffer: 1}, "receive buffer of 1 bytes is outside 4096 to 1073741824"},
		{Config{Group: group, SendBuffer: 1<<30 + 1}, "send buffer of 1073741825 bytes"},
		{Config{Group: group, Interface: "no-such"}, `there is no interface "no-such"; this host has `},
		{Config{Peers: []netip.AddrPort{ap("127.0.0.1:0")}}, "127.0.0.1:0 is no IPv4 unicast address with a port"},
		{Config{Peers: []netip.AddrPort{group}}, "no IPv4 unicast address"},
		{Config{Peers: []netip.AddrPort{{}}}, "no IPv4 unicast address"},
		{Config{Peers: []netip.AddrPort{peers[0], peers[0]}}, "127.0.0.1:6676 is listed twice"},
		{Config{Peers: peers, Bind: ap("127.0.0.1:6677")}, "127.0.0.1:6677 is not among the listed peers"},
		{Config{Peers: make([]netip.AddrPort, 257)}, "at most 256"},
		{Config{Peers: []netip.AddrPort{ap("192.0.2.77:6676")}}, "192.0.2.77:6676 is not local"}, // RFC 5737: nobody's
	} {
		for _, k := range kinds {
			wantError(t, k.name, k.open, row.cfg, ErrConfig, row.want)
		}
	}
}
