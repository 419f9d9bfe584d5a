package xdp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/iface"
	"github.com/activeblaze/blaze/internal/ip4"
	"github.com/activeblaze/blaze/udp"
	"golang.org/x/sys/unix"
)

var _ engine.Driver = (*Driver)(nil)

// sockets are the implementations, each of which every test of traffic has to pass.
var sockets = []string{"own", "asavie"}

// both runs a test with each implementation, on one pair of interfaces.
func both(t *testing.T, f func(t *testing.T, na, nb *namespace, config func(i int) Config)) {
	na, nb := pair(t)
	for _, s := range sockets {
		t.Run(s, func(t *testing.T) {
			if s == "asavie" && runtime.GOARCH != "amd64" {
				t.Skip("asavie/xdp is for amd64 only")
			}
			f(t, na, nb, func(i int) Config {
				c := testConfig(i)
				c.Socket = s
				return c
			})
		})
	}
}

func TestTwoDriversTalk(t *testing.T) {
	both(t, func(t *testing.T, na, nb *namespace, config func(int) Config) {
		for _, mode := range []string{"generic", "native"} {
			ca, cb := config(0), config(1)
			ca.Mode, cb.Mode = mode, mode
			a, b := na.open(t, ca), nb.open(t, cb)
			for n := 0; n <= 1472-47; n++ {
				want := datagram(ca.Cluster, uint64(n), n)
				send(t, a, buf.Group, want)
				r := expect(t, b)
				if !bytes.Equal(r.Buf.Bytes(), want) || !r.Group || r.From != a.Local() {
					t.Fatalf("group: %d bytes from %v, group %v", r.Buf.Len(), ip4.Addr(r.From), r.Group)
				}
				send(t, b, r.From, want)
				r = expect(t, a)
				if !bytes.Equal(r.Buf.Bytes(), want) || r.Group || r.From != b.Local() {
					t.Fatalf("unicast: %d bytes from %v, group %v", r.Buf.Len(), ip4.Addr(r.From), r.Group)
				}
			}
			if s := b.Stats(); s.RecvKernel != 0 || s.SendKernel != 0 || s.SendCopied != 0 || s.RecvInvalid != 0 {
				t.Errorf("not all went through AF_XDP and without a copy: %+v", s)
			}
			if want := mode + " copy"; a.Mode() != want {
				t.Errorf("mode %q, want %q", a.Mode(), want)
			}
			for _, d := range []*Driver{a, b} {
				account(t, d)
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// Datagrams that the filter does not recognise go through the kernel, and arrive all the same:
// sizes from 0 and layouts of foreign encoders.
func TestWhatTheFilterPassesArrives(t *testing.T) {
	na, nb := pair(t)
	a, b := na.open(t, testConfig(0)), nb.open(t, testConfig(1))
	for n := range 48 {
		want := bytes.Repeat([]byte{0xff}, n)
		for _, to := range []buf.Endpoint{buf.Group, b.Local()} {
			send(t, a, to, want)
			if r := expect(t, b); !bytes.Equal(r.Buf.Bytes(), want) || r.Group != (to == buf.Group) || r.From != a.Local() {
				t.Fatalf("%d bytes: came as %d from %v, group %v", n, r.Buf.Len(), ip4.Addr(r.From), r.Group)
			}
		}
	}
	if s := b.Stats(); s.RecvKernel != 96 || s.Filter.Unmatched != 96 {
		t.Errorf("%d through the kernel, %d not matched", s.RecvKernel, s.Filter.Unmatched)
	}
}

// Every datagram arrives once and in order, while windows of buffers are held by the sender (as
// for repair) and by the receiver (as for reordering), and all rings wrap many times.
func TestManyDatagrams(t *testing.T) {
	count := uint64(100_000)
	if testing.Short() {
		count = 30_000
	}
	both(t, func(t *testing.T, na, nb *namespace, config func(int) Config) {
		a, b := na.open(t, config(0)), nb.open(t, config(1))
		const held = 300
		var window, kept [held]*buf.Buf
		var sends [64]buf.Send
		var batch [64]buf.Received
		sent, got, unsent := uint64(0), uint64(0), 0
		data := datagram(config(0).Cluster, 0, 1472-47)
		wait(t, "the last datagram", func() bool {
			for ; unsent < len(sends) && sent < count && sent-got < 700; unsent++ {
				o := a.Pool().Get()
				if o == nil {
					t.Fatalf("datagram %d: the pool is empty", sent)
				}
				o.Set(0, copy(o.Mem(), data[:55+sent%1400]))
				binary.LittleEndian.PutUint64(o.Bytes()[47:], sent)
				if old := window[sent%held]; old != nil {
					old.Release()
				}
				window[sent%held] = o
				o.Retain()
				sends[unsent] = buf.Send{Buf: o}
				sent++
			}
			n, err := a.Send(sends[:unsent])
			if err != nil && err != ErrAgain {
				t.Fatal(err)
			}
			for _, s := range sends[:n] {
				s.Buf.Release()
			}
			unsent = copy(sends[:], sends[n:unsent])
			for _, r := range batch[:b.Recv(batch[:])] {
				if seq := binary.LittleEndian.Uint64(r.Buf.Bytes()[47:]); seq != got || r.Buf.Len() != int(55+got%1400) {
					t.Fatalf("datagram %d came instead of %d; %+v", seq, got, b.Stats())
				}
				k := b.Pool().Keep(r.Buf)
				if k != r.Buf {
					t.Fatal("what is kept was copied")
				}
				if old := kept[got%held]; old != nil {
					if seq := binary.LittleEndian.Uint64(old.Bytes()[47:]); seq != got-held {
						t.Fatalf("datagram %d, which was kept, has become %d", got-held, seq)
					}
					old.Release()
				}
				kept[got%held] = k
				got++
			}
			return got == count
		})
		for i := range held {
			window[i].Release()
			kept[i].Release()
		}
		for _, d := range []*Driver{a, b} {
			s := d.Stats()
			if s.SendCopied+s.SendDropped+s.SendKernel+s.RecvKernel+s.RecvInvalid+s.KernelDropped != 0 {
				t.Errorf("copied, dropped or through the kernel: %+v", s)
			}
			if d.Pool().Free() != d.Pool().Count() {
				t.Errorf("%d of %d are free", d.Pool().Free(), d.Pool().Count())
			}
		}
	})
}

// A buffer that is sent again is not copied; one that is sent elsewhere meanwhile is.
func TestSendingAgain(t *testing.T) {
	na, nb := pair(t)
	a, b := na.open(t, testConfig(0)), nb.open(t, testConfig(1))
	send(t, b, buf.Group, datagram(testConfig(0).Cluster, 1, 8))
	expect(t, a) // learns where b is
	want := datagram(testConfig(0).Cluster, 2, 100)
	o := fill(t, a, want)
	to := []buf.Endpoint{buf.Group, buf.Group, b.Local(), b.Local(), buf.Group}
	var sends []buf.Send
	for _, e := range to {
		sends = append(sends, buf.Send{Buf: o, To: e})
	}
	if n, err := a.Send(sends); n != len(to) || err != nil {
		t.Fatal(n, err)
	}
	if s := a.Stats(); s.SendCopied != 2 {
		t.Errorf("%d copies; two of five went elsewhere than the first", s.SendCopied)
	}
	var batch [16]buf.Received
	got := 0
	wait(t, "five datagrams", func() bool {
		for _, r := range batch[:b.Recv(batch[:])] {
			if !bytes.Equal(r.Buf.Bytes(), want) || r.Group != (to[got] == buf.Group) {
				t.Errorf("datagram %d: %d bytes, group %v", got, r.Buf.Len(), r.Group)
			}
			got++
		}
		return got == len(to)
	})
	foreign := buf.NewPool(1, 2048).Get()
	foreign.Set(3, copy(foreign.Mem()[3:], want))
	if n, err := a.Send([]buf.Send{{Buf: foreign}}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if r := expect(t, b); !bytes.Equal(r.Buf.Bytes(), want) {
		t.Error("a datagram from another pool came as something else")
	}
	o.Release()
}

// The first datagram to a stranger goes through the kernel, which finds its hardware address;
// the driver then hears of that address.
func TestUnknownNeighbour(t *testing.T) {
	na, nb := pair(t)
	a, b := na.open(t, testConfig(0)), nb.open(t, testConfig(1))
	want := datagram(testConfig(0).Cluster, 1, 64)
	send(t, a, b.Local(), want)
	if r := expect(t, b); r.From != a.Local() || r.Group {
		t.Fatalf("from %v", ip4.Addr(r.From))
	}
	if s := a.Stats(); s.SendKernel != 1 {
		t.Fatalf("%d through the kernel's socket", s.SendKernel)
	}
	var none [1]buf.Received
	wait(t, "the neighbour's address", func() bool { a.Recv(none[:]); return a.Stats().Neighbours > 0 })
	send(t, a, b.Local(), want)
	if expect(t, b); a.Stats().SendKernel != 1 {
		t.Error("the address is known, and the kernel's socket was used")
	}
}

func TestHotPathAllocatesNothing(t *testing.T) {
	both(t, func(t *testing.T, na, nb *namespace, config func(int) Config) {
		a, b := na.open(t, config(0)), nb.open(t, config(1))
		data := datagram(config(0).Cluster, 1, 200)
		var batch [64]buf.Received
		turn := func() {
			o := a.Pool().Get()
			o.Set(0, copy(o.Mem(), data))
			sends := [...]buf.Send{{Buf: o}, {Buf: o, To: b.Local()}}
			_, _ = a.Send(sends[:])
			o.Release()
			for _, r := range batch[:b.Recv(batch[:])] {
				k := b.Pool().Keep(r.Buf)
				sends[0] = buf.Send{Buf: k, To: r.From}
				_, _ = b.Send(sends[:1])
				k.Release()
			}
			a.Recv(batch[:])
		}
		turn()
		wait(t, "the control's answers, which allocate", func() bool {
			turn()
			return a.stats.Neighbours > 0 && b.stats.Neighbours > 0
		})
		if n := testing.AllocsPerRun(1000, turn); n != 0 {
			t.Errorf("%v allocations", n)
		}
		if s := b.Stats(); s.RecvDatagrams < 2000 || s.SendDatagrams < 2000 {
			t.Errorf("%d received, %d sent: the turn did less than it should", s.RecvDatagrams, s.SendDatagrams)
		}
	})
}

// The kernel needs some time to let go of a queue; opening again waits for it.
func TestOpenAndCloseManyTimes(t *testing.T) {
	rounds := 80
	if testing.Short() {
		rounds = 8
	}
	both(t, func(t *testing.T, na, nb *namespace, config func(int) Config) {
		b := nb.open(t, config(1))
		var fds, maps int
		var size int64
		for i := range rounds {
			a := na.open(t, config(0))
			send(t, a, buf.Group, datagram(config(0).Cluster, 1, 8))
			expect(t, b)
			account(t, a)
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			if i == 1 {
				fds, maps, size = openFiles(t), mappings(t), memory(t)
			}
		}
		if n := openFiles(t); n > fds {
			t.Errorf("%d open files after %d rounds, %d after two", n, rounds, fds)
		}
		if n := mappings(t); n > maps {
			t.Errorf("%d mapped rings and tables after %d rounds, %d after two", n, rounds, maps)
		}
		// The Go runtime, and the C library for its threads, reserve 64 MiB at a time.
		if n := memory(t) - size; n > 256<<20 && n > int64(rounds)*int64(len(b.memory.mem))*3/4 {
			t.Errorf("%d MiB more are mapped after %d rounds than after two", n>>20, rounds)
		}
		if out := na.ip(t, "-d link show v0"); strings.Contains(out, "xdp") {
			t.Errorf("the interface is not clean:\n%s", out)
		}
	})
}

func openFiles(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// mappings counts what is mapped of sockets and of the filter's tables.
func mappings(t *testing.T) int {
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		// The loader's read-only views of tables end with the next garbage collection.
		if strings.Contains(line, " rw-s ") && (strings.Contains(line, "socket:[") || strings.Contains(line, "bpf-map")) {
			n++
		}
	}
	return n
}

// memory is the size of the address space that is in use, bytes.
func memory(t *testing.T) int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(string(b[:bytes.IndexByte(b, ' ')]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

func TestASecondMemberIsToldWhoIsThere(t *testing.T) {
	na, _ := pair(t)
	na.open(t, testConfig(0))
	c := testConfig(0)
	_, err := na.try(c)
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "udp://") {
		t.Errorf("a second member on the interface: %v", err)
	}
	if want := "process " + strconv.Itoa(os.Getpid()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error does not name %s: %v", want, err)
	}
}

func TestOpenExplains(t *testing.T) {
	na, _ := pair(t)
	// This kernel may have no VLANs; there is no such interface then.
	na.do(func() { _ = exec.Command("ip", strings.Fields("link add link v0 name v0.5 type vlan id 5")...).Run() })
	na.ip(t, "link add w0 type veth peer name w1")
	na.ip(t, "link set w0 up")
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   error
		text   string
	}{
		{"no such interface", func(c *Config) { c.Interface = "nix" }, ErrConfig, "ip link"},
		{"down", func(c *Config) { c.Interface = "w1" }, ErrConfig, "ip link set dev w1 up"},
		{"no address", func(c *Config) { c.Interface = "w0" }, ErrConfig, "ip address add"},
		{"VLAN", func(c *Config) { c.Interface = "v0.5" }, ErrConfig, "v0.5"},
		{"queue", func(c *Config) { c.Queue = 7 }, ErrConfig, "queue 7"},
		{"mtu", func(c *Config) { c.MTU = 3000 }, ErrConfig, "at most 1500"},
		{"zero-copy on veth", func(c *Config) { c.ZeroCopy = "on" }, ErrUnsupported, "zero-copy"},
		{"tap", func(c *Config) { c.Tap = "/nowhere/tap" }, ErrConfig, "/nowhere"},
	} {
		cfg := testConfig(0)
		c.change(&cfg)
		d, err := na.try(cfg)
		if d != nil {
			d.Close()
		}
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if d, err := na.try(testConfig(0)); err != nil { // nothing was left behind
		t.Error(err)
	} else {
		d.Close()
	}
}

func TestLinkDownAndUp(t *testing.T) {
	both(t, func(t *testing.T, na, nb *namespace, config func(int) Config) {
		a, b := na.open(t, config(0)), nb.open(t, config(1))
		data := datagram(config(0).Cluster, 1, 64)
		send(t, a, buf.Group, data)
		expect(t, b)
		na.ip(t, "link set v0 down")
		var none [1]buf.Received
		wait(t, "the link to go down", func() bool {
			send(t, a, buf.Group, data)
			a.Recv(none[:])
			return a.State() == Down && a.Stats().SendDown > 0
		})
		na.ip(t, "link set v0 up")
		wait(t, "the link to come up", func() bool { a.Recv(none[:]); return a.State() == Up })
		wait(t, "traffic", func() bool { send(t, a, buf.Group, data); return b.Recv(none[:]) > 0 })
		if a.Stats().Downs == 0 {
			t.Error("not counted")
		}
		// Now the other end.
		nb.ip(t, "link set v1 down")
		wait(t, "the carrier to go", func() bool { send(t, a, buf.Group, data); a.Recv(none[:]); return a.State() == Down })
		nb.ip(t, "link set v1 up")
		wait(t, "traffic", func() bool {
			a.Recv(none[:])
			send(t, a, buf.Group, data)
			return b.Recv(none[:]) > 0
		})
		drain(b)
		drain(a)
	})
}

// drain throws away what comes.
func drain(d *Driver) {
	var batch [64]buf.Received
	for d.Recv(batch[:]) > 0 {
	}
}

// An interface is removed, with buffers in its rings and others held, and made again.
func TestInterfaceRemovedAndBack(t *testing.T) {
	na, nb := pair(t)
	a := na.open(t, testConfig(0))
	b := nb.open(t, testConfig(1))
	data := datagram(testConfig(0).Cluster, 1, 64)
	send(t, b, buf.Group, data)
	kept := a.Pool().Keep(expect(t, a).Buf)
	want := bytes.Clone(kept.Bytes())
	if err := b.SetLanes(only(0)); err != nil {
		t.Fatal(err)
	}
	na.ip(t, "link del v0")
	var none [1]buf.Received
	for _, d := range []*Driver{a, b} {
		wait(t, "the interface to go", func() bool {
			send(t, d, buf.Group, data)
			d.Recv(none[:])
			return d.State() == Gone && d.attachment == nil
		})
	}
	join(t, na, nb)
	for _, d := range []*Driver{a, b} {
		wait(t, "the interface to return", func() bool { d.Recv(none[:]); return d.State() == Up })
	}
	wait(t, "traffic", func() bool { send(t, a, buf.Group, data); return b.Recv(none[:]) > 0 })
	wait(t, "traffic", func() bool { send(t, b, a.Local(), data); return a.Recv(none[:]) > 0 })
	if !bytes.Equal(kept.Bytes(), want) {
		t.Error("what was kept has changed")
	}
	// The lanes that are wanted are those that were.
	wait(t, "what is unwanted", func() bool {
		send(t, a, buf.Group, inLane(testConfig(0).Cluster, 1, 64))
		var batch [64]buf.Received
		for _, r := range batch[:b.Recv(batch[:])] {
			if r.Group && r.Buf.Bytes()[43] != 0 {
				t.Fatalf("lane %d came", r.Buf.Bytes()[43])
			}
		}
		return b.Stats().Filter.Unwanted >= 10
	})
	kept.Release()
	drain(a)
	drain(b)
	if s := a.Stats(); s.Downs != 1 || s.Filter.Group == 0 {
		t.Errorf("%+v", s)
	}
}

// A process that is killed leaves a clean interface, and the next start works.
func TestKilledProcessLeavesACleanInterface(t *testing.T) {
	if os.Getenv("XDP_TEST_VICTIM") != "" {
		c := testConfig(0)
		c.Socket = os.Getenv("XDP_TEST_VICTIM")
		if _, err := Open(c); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("open\n")
		select {}
	}
	both(t, func(t *testing.T, na, nb *namespace, config func(int) Config) {
		victim := exec.Command(os.Args[0], "-test.run=^TestKilledProcessLeavesACleanInterface$")
		victim.Env = append(os.Environ(), "XDP_TEST_VICTIM="+config(0).Socket)
		out, err := victim.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		na.do(func() { err = victim.Start() })
		if err != nil {
			t.Fatal(err)
		}
		line := make([]byte, 5)
		_, err = out.Read(line)
		if err != nil || string(line) != "open\n" {
			t.Fatalf("%q, %v", line, err)
		}
		if out := na.ip(t, "-d link show v0"); !strings.Contains(out, "xdp") {
			t.Errorf("no program while it runs:\n%s", out)
		}
		if _, err := na.try(config(0)); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), strconv.Itoa(victim.Process.Pid)) {
			t.Errorf("a second member: %v", err)
		}
		_ = victim.Process.Signal(unix.SIGKILL)
		_ = victim.Wait()
		began := time.Now()
		a, err := na.try(config(0))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("open %v after the kill", time.Since(began).Round(time.Millisecond))
		if took := time.Since(began); took > bindRetry+time.Second {
			t.Errorf("the next start took %v", took)
		}
		a.Close()
		if out := na.ip(t, "-d link show v0"); strings.Contains(out, "xdp") {
			t.Errorf("the interface is not clean:\n%s", out)
		}
	})
}

// asleep waits until the driver's thread has lain down.
func asleep(t *testing.T, d *Driver) {
	for end := time.Now().Add(5 * time.Second); !d.sleeper.Asleep(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Error("the driver does not sleep")
			return
		}
	}
}

// Wait ends by traffic, by Wake from before and during it, and by time.
func TestWait(t *testing.T) {
	na, nb := pair(t)
	a, b := na.open(t, testConfig(0)), nb.open(t, testConfig(1))
	drain(b)
	b.Wake()
	b.Wait(-1) // would hang
	b.Wait(time.Microsecond)
	go func() {
		asleep(t, b)
		b.Wake()
	}()
	b.Wait(-1)
	for _, data := range [][]byte{datagram(testConfig(0).Cluster, 1, 8), []byte("through the kernel")} {
		done := make(chan bool)
		go func() {
			var batch [1]buf.Received
			for b.Recv(batch[:]) == 0 {
				b.Wait(-1)
			}
			close(done)
		}()
		asleep(t, b)
		send(t, a, buf.Group, data)
		<-done
	}
	if s := b.Stats(); s.Waits == 0 || s.Wakes == 0 {
		t.Errorf("%d waits, %d wakes", s.Waits, s.Wakes)
	}
}

func TestTap(t *testing.T) {
	na, nb := pair(t)
	ca := testConfig(0)
	ca.Tap, ca.TapBytes = t.TempDir()+"/tap.pcapng", 2000
	a, b := na.open(t, ca), nb.open(t, testConfig(1))
	data := datagram(ca.Cluster, 1, 64)
	for range 20 {
		send(t, a, buf.Group, data)
		expect(t, b)
	}
	a.Close()
	file, err := os.ReadFile(ca.Tap)
	if err != nil || len(file) > 2000 || len(file) < 1000 {
		t.Fatalf("%d bytes, %v", len(file), err)
	}
	packets := 0
	for rest := file; len(rest) > 0; {
		kind, n := binary.LittleEndian.Uint32(rest), binary.LittleEndian.Uint32(rest[4:])
		if n < 12 || int(n) > len(rest) || n%4 != 0 || binary.LittleEndian.Uint32(rest[n-4:]) != n {
			t.Fatalf("block %d of %d bytes at %d", kind, n, len(file)-len(rest))
		}
		if kind == 6 {
			packets++
			var r received
			frame := rest[28 : 28+binary.LittleEndian.Uint32(rest[20:])]
			if !parse(frame, &r) || !bytes.Equal(frame[r.off:r.off+r.n], data) || r.to != EndpointOf(ca.Group) {
				t.Fatalf("packet %d: %x", packets, frame)
			}
		}
		rest = rest[n:]
	}
	if packets < 5 || packets >= 20 {
		t.Errorf("%d packets in %d bytes", packets, len(file))
	}
}

func TestArrival(t *testing.T) {
	na, nb := pair(t)
	cb := testConfig(1)
	cb.Breakdown = true
	a, b := na.open(t, testConfig(0)), nb.open(t, cb)
	before := monotonic()
	send(t, a, buf.Group, datagram(cb.Cluster, 1, 64))
	r := expect(t, b)
	if ns, ok := b.Arrival(r.Buf); !ok || ns < before || ns > monotonic() {
		t.Errorf("arrived at %d, %v; sent at %d", ns, ok, before)
	}
	send(t, a, buf.Group, []byte("through the kernel"))
	if ns, ok := b.Arrival(expect(t, b).Buf); ok {
		t.Errorf("the filter stamped %d on what it passed", ns)
	}
}

func monotonic() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

func TestClosed(t *testing.T) {
	both(t, func(t *testing.T, na, nb *namespace, config func(int) Config) {
		d := na.open(t, config(0))
		b := fill(t, d, []byte("x"))
		if err := d.Close(); !errors.Is(err, ErrLeak) {
			t.Errorf("a buffer is held, and Close says %v", err)
		}
		b.Mem()[0] = 1 // must not fault
		if n, err := d.Send([]buf.Send{{Buf: b}}); n != 0 || err != ErrClosed {
			t.Error(n, err)
		}
		var batch [1]buf.Received
		if d.Recv(batch[:]) != 0 {
			t.Error("received something")
		}
		d.Wait(-1)
		d.Wake()
		if d.Close() != nil || d.State() != Closed {
			t.Error("the second Close does something")
		}
	})
}

// A member that gets another hardware address is reached at that at once.
func TestHardwareAddressChanges(t *testing.T) {
	na, nb := pair(t)
	a, b := na.open(t, testConfig(0)), nb.open(t, testConfig(1))
	data := datagram(testConfig(0).Cluster, 1, 64)
	var batch [1]buf.Received
	send(t, a, b.Local(), data)
	expect(t, b)
	wait(t, "the neighbour's address", func() bool { a.Recv(batch[:]); return a.Stats().Neighbours > 0 })
	nb.ip(t, "link set v1 address 02:00:00:00:00:99")
	want := mac{2, 0, 0, 0, 0, 0x99}
	wait(t, "the change", func() bool { b.Recv(batch[:]); return b.mac == want })
	send(t, b, buf.Group, data)
	expect(t, a)
	if p := a.peers.find(b.Local()); p.mac != want || mac(p.head.bytes[:6]) != want {
		t.Errorf("packets to it still go to %x", p.mac)
	}
	send(t, a, b.Local(), data)
	if r := expect(t, b); r.Group {
		t.Error("came through the group")
	}
	if s := a.Stats(); s.SendKernel != 1 {
		t.Errorf("%d through the kernel's socket", s.SendKernel)
	}
}

func TestNextHop(t *testing.T) {
	na, _ := pair(t)
	na.ip(t, "route add 10.8.0.0/16 via 10.9.0.2 dev v0")
	na.ip(t, "route add blackhole 10.7.0.0/16")
	na.do(func() {
		nl, err := iface.OpenNetlink(0)
		if err != nil {
			t.Error(err)
			return
		}
		defer nl.Close()
		l, err := nl.Link("v0", 0)
		if err != nil || l.Kind != "veth" || l.MTU != 1500 || !l.Up() || l.Queues < 1 || l.Name != "v0" || l.Program {
			t.Errorf("link: %+v, %v", l, err)
		}
		if again, err := nl.Link("", l.Index); err != nil || again != l {
			t.Errorf("by index: %+v, %v", again, err)
		}
		if _, err := nl.Link("nix", 0); !errors.Is(err, unix.ENODEV) {
			t.Errorf("an interface that is not there: %v", err)
		}
		if list, err := nl.Addresses(l.Index); err != nil || len(list) != 1 || list[0] != [4]byte{10, 9, 0, 1} {
			t.Errorf("addresses: %v, %v", list, err)
		}
		for _, c := range []struct{ to, hop [4]byte }{
			{[4]byte{10, 9, 0, 77}, [4]byte{10, 9, 0, 77}}, // on the link
			{[4]byte{10, 8, 1, 1}, [4]byte{10, 9, 0, 2}},   // behind a gateway
			{[4]byte{10, 9, 0, 1}, [4]byte{}},              // this host
			{[4]byte{10, 7, 0, 1}, [4]byte{}},              // nowhere
			{[4]byte{10, 6, 0, 1}, [4]byte{}},              // no route
			{[4]byte{127, 0, 0, 1}, [4]byte{}},             // another interface
		} {
			if hop, ok := nextHop(nl, c.to, l.Index); ok != (c.hop != [4]byte{}) || ok && hop != c.hop {
				t.Errorf("%v: by %v, %v", c.to, hop, ok)
			}
		}
	})
}

// Netlink's messages are the kernel's, but a length that lies must not end in a fault.
func TestNeighboursAreNotTrusted(t *testing.T) {
	whole := iface.Attribute(make([]byte, unix.SizeofNdMsg), unix.NDA_DST, []byte{10, 9, 0, 1})
	whole[0] = unix.AF_INET
	for n := range whole {
		_, _ = parseNeighbour(unix.RTM_NEWNEIGH, whole[:n])
	}
}

// Unicast to a member behind a router goes to the router's hardware address, and back.
func TestMemberBehindARouter(t *testing.T) {
	na, router := pair(t)
	nb := newNamespace(t)
	router.ip(t, "link add v2 type veth peer name v3 netns "+nb.Path())
	router.ip(t, "addr add 10.10.0.1/24 dev v2")
	router.ip(t, "link set v2 up")
	nb.ip(t, "addr add 10.10.0.2/24 dev v3")
	nb.ip(t, "link set v3 up")
	na.ip(t, "route add 10.10.0.0/24 via 10.9.0.2")
	nb.ip(t, "route add 10.9.0.0/24 via 10.10.0.1")
	var err error
	router.do(func() { err = os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) })
	if err != nil {
		t.Skipf("needs a namespace that forwards (%v)", err)
	}
	a, b := na.open(t, testConfig(0)), nb.open(t, testConfig(3))
	data := datagram(testConfig(0).Cluster, 1, 64)
	var batch [1]buf.Received
	send(t, a, b.Local(), data)
	if r := expect(t, b); r.From != a.Local() {
		t.Fatalf("from %v", ip4.Addr(r.From))
	}
	wait(t, "the router's address", func() bool { a.Recv(batch[:]); return a.Stats().Neighbours > 0 })
	if p := a.peers.find(b.Local()); !p.far {
		t.Errorf("it is behind a router: %+v", p)
	}
	for range 10 {
		send(t, a, b.Local(), data)
		if r := expect(t, b); r.From != a.Local() || !bytes.Equal(r.Buf.Bytes(), data) {
			t.Fatalf("from %v", ip4.Addr(r.From))
		}
		send(t, b, a.Local(), data)
		if r := expect(t, a); r.From != b.Local() {
			t.Fatalf("from %v", ip4.Addr(r.From))
		}
	}
	if sa, sb := a.Stats(), b.Stats(); sa.SendKernel != 1 || sb.SendKernel != 0 || sa.RecvKernel+sb.RecvKernel > 1 {
		t.Errorf("through the kernel's sockets: %d and %d sent, %d and %d received", sa.SendKernel, sb.SendKernel, sa.RecvKernel, sb.RecvKernel)
	}
}

func TestLoss(t *testing.T) {
	na, nb := pair(t)
	cb := testConfig(1)
	cb.Loss, cb.Seed = 0.25, 7
	a, b := na.open(t, testConfig(0)), nb.open(t, cb)
	data := datagram(cb.Cluster, 1, 64)
	const count = 2000
	got := 0
	var batch [64]buf.Received
	for range count {
		send(t, a, buf.Group, data)
		got += b.Recv(batch[:])
	}
	s := b.Stats().Filter
	if s.Lost+s.Group != count || got != int(s.Group) || s.Lost < count/5 || s.Lost > count*3/10 {
		t.Errorf("%d sent, %d received, %+v", count, got, s)
	}
}

// On loopback a driver hears itself, and leaves that out.
func TestLoopback(t *testing.T) {
	na, _ := pair(t)
	c := testConfig(0)
	c.Interface = "lo"
	d := na.open(t, c)
	send(t, d, buf.Group, datagram(c.Cluster, 1, 64))
	var batch [1]buf.Received
	wait(t, "the own datagram", func() bool {
		if d.Recv(batch[:]) != 0 {
			t.Fatal("a member hears itself")
		}
		return d.Stats().RecvOwn == 1
	})
	if d.Mode() != "generic copy" {
		t.Error(d.Mode())
	}
}

// A member that sends to more addresses than the table of peers holds still learns the neighbour of
// each: what is watched is forgotten with the table.
func TestNeighboursAfterPurge(t *testing.T) {
	na, _ := pair(t)
	na.ip(t, "route add 10.200.0.0/16 via 10.9.0.2")
	a := na.open(t, testConfig(0))
	var batch [16]buf.Received
	for i := range maxPeers + 100 {
		to := ip4.Endpoint([4]byte{10, 200, byte(i >> 8), byte(i)}, 1000)
		send(t, a, to, []byte("x"))
		wait(t, fmt.Sprint("the neighbour of address ", i), func() bool {
			a.Recv(batch[:])
			return a.peers.find(to).known == kernel
		})
	}
	if n := a.Stats().PeersPurged; n != 1 {
		t.Errorf("the table was emptied %d times, want once", n)
	}
}

// What is longer than the own MTU allows is dropped, counted, and logged with the sender and both
// sizes, whether it came through AF_XDP or through the kernel.
func TestLongerThanOwn(t *testing.T) {
	na, nb := pair(t)
	a := na.open(t, testConfig(0))
	var log bytes.Buffer
	cfg := testConfig(1)
	cfg.MTU, cfg.Logger = 1480, slog.New(slog.NewTextHandler(&log, nil))
	b := nb.open(t, cfg)
	for _, kernel := range []bool{false, true} {
		for _, to := range []buf.Endpoint{buf.Group, b.Local()} {
			before := b.Stats()
			for i, n := range []int{1472, 1453, 1452} {
				data := datagram(cfg.Cluster, uint64(i), n-47)
				if kernel {
					data[0] = 0xff // no layout that the filter knows
				}
				send(t, a, to, data)
				if n == 1452 {
					if r := expect(t, b); !bytes.Equal(r.Buf.Bytes(), data) {
						t.Errorf("%d bytes, want %d", r.Buf.Len(), len(data))
					}
				}
			}
			s := b.Stats()
			if n := s.RecvLong - before.RecvLong; n != 2 || kernel != (s.RecvKernel > before.RecvKernel) {
				t.Errorf("through the kernel %v: %d were counted, want 2", kernel, n)
			}
		}
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	var lines []string
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "longer than") {
			lines = append(lines, line)
		}
	}
	for _, want := range []string{ip4.Addr(a.Local()).String(), "bytes=1472", "largest=1452"} {
		if len(lines) != 1 || !strings.Contains(lines[0], want) {
			t.Errorf("want one line that names %s: %s", want, log.String())
		}
	}
}

// A member learns another one's address from a third, and has never received anything from there. What it
// sends goes through the ordinary socket until the neighbour is known, and arrives from the same endpoint.
func TestEndpointNeverHeardFrom(t *testing.T) {
	na, nb := pair(t)
	nb.ip(t, "addr add 10.9.0.3/24 dev v1")
	a := na.open(t, testConfig(0))
	b, err := nb.openUDP(t, 1) // the one that tells
	if err != nil {
		t.Fatal(err)
	}
	third := netip.MustParseAddrPort("10.9.0.3:7777")
	var c *udp.Driver
	nb.do(func() {
		c, err = udp.Open(udp.Config{Peers: []netip.AddrPort{third}, Logger: slog.New(slog.DiscardHandler)})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	var batch [1]buf.Received
	arrives := func(seq uint64) {
		t.Helper()
		data := datagram(testConfig(0).Cluster, seq, 30)
		send(t, a, c.Local(), data)
		wait(t, "the datagram at the third member", func() bool {
			a.Recv(batch[:])
			if c.Recv(batch[:]) == 0 {
				return false
			}
			if !bytes.Equal(batch[0].Buf.Bytes(), data) || batch[0].From != a.Local() {
				t.Fatalf("%d bytes from %v, want %d from %v", batch[0].Buf.Len(), c.Addr(batch[0].From), len(data), c.Addr(a.Local()))
			}
			return true
		})
	}
	send(t, a, b.Local(), datagram(testConfig(0).Cluster, 1, 30))
	before := a.Stats().SendKernel
	arrives(2)
	if n := a.Stats().SendKernel - before; n != 1 {
		t.Errorf("%d datagrams to the unknown endpoint went through the ordinary socket, want 1", n)
	}
	wait(t, "the neighbour", func() bool { a.Recv(batch[:]); return a.peers.find(c.Local()).known != nobody })
	before = a.Stats().SendKernel
	arrives(3)
	if n := a.Stats().SendKernel - before; n != 0 {
		t.Errorf("%d datagrams to a known neighbour went through the ordinary socket", n)
	}
}
