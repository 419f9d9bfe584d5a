package xdp

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"golang.org/x/sys/unix"
)

// namespace is a network namespace that ends with the test.
type namespace struct{ fd int }

// needAFXDP skips the test, in one line, where AF_XDP cannot be used.
func needAFXDP(t testing.TB) {
	t.Helper()
	if unix.Geteuid() != 0 {
		t.Skip("needs root, for network namespaces and AF_XDP")
	}
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW, 0)
	if err != nil {
		t.Skipf("needs AF_XDP (%v)", err)
	}
	unix.Close(fd)
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip, of iproute2")
	}
}

func newNamespace(t testing.TB) *namespace {
	t.Helper()
	n, err := &namespace{-1}, error(nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			n.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
	}()
	<-done
	if err != nil {
		t.Skipf("needs network namespaces (%v)", err)
	}
	t.Cleanup(func() { unix.Close(n.fd) })
	n.ip(t, "link set lo up")
	return n
}

// do runs f on a thread that is in the namespace.
func (n *namespace) do(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := unix.Setns(n.fd, unix.CLONE_NEWNET); err != nil {
			panic(err)
		}
		f()
	}()
	<-done
}

// ip runs a command of iproute2 in the namespace.
func (n *namespace) ip(t testing.TB, command string) string {
	t.Helper()
	var out []byte
	var err error
	n.do(func() { out, err = exec.Command("ip", strings.Fields(command)...).CombinedOutput() })
	if err != nil {
		t.Fatalf("ip %s: %v\n%s", command, err, out)
	}
	return string(out)
}

// pair is two namespaces, joined by a veth pair: v0 10.9.0.1 in the first, v1 10.9.0.2 in the
// second.
func pair(t testing.TB) (a, b *namespace) {
	t.Helper()
	needAFXDP(t)
	a, b = newNamespace(t), newNamespace(t)
	join(t, a, b)
	return a, b
}

func join(t testing.TB, a, b *namespace) {
	t.Helper()
	a.ip(t, fmt.Sprintf("link add v0 type veth peer name v1 netns /proc/%d/fd/%d", unix.Getpid(), b.fd))
	for i, n := range []*namespace{a, b} {
		n.ip(t, fmt.Sprintf("addr add 10.9.0.%d/24 dev v%d", i+1, i))
		n.ip(t, fmt.Sprintf("link set v%d up", i))
	}
}

// testConfig is for interface v0 or v1.
func testConfig(i int) Config {
	return Config{
		Group: netip.MustParseAddrPort("239.255.66.76:6676"), Interface: fmt.Sprintf("v%d", i), Cluster: 0x1122334455667788,
		Buffers: 1024, FillRing: 1024, TxRing: 512, Logger: slog.New(slog.DiscardHandler),
	}
}

// open opens a driver in the namespace; at the end of the test all its buffers must be back.
func (n *namespace) open(t testing.TB, cfg Config) *Driver {
	t.Helper()
	d, err := n.try(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if d.State() == Closed {
			return
		}
		account(t, d)
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (n *namespace) try(cfg Config) (d *Driver, err error) {
	n.do(func() { d, err = Open(cfg) })
	return d, err
}

// account checks that every buffer is where it should be, and none is held.
func account(t testing.TB, d *Driver) {
	t.Helper()
	a, err := d.Accounting()
	if err != nil {
		t.Error(err)
	}
	if a.Free+a.Fill+a.Lent+a.Sending+a.Held != a.Total || a.Held != 0 {
		t.Errorf("buffers: %+v", a)
	}
}

// datagram is a canonical header of the wire that the filter matches, and n bytes behind it that
// tell seq.
func datagram(cluster uint64, seq uint64, n int) []byte {
	b := make([]byte, 47, 47+n)
	put := func(at int, tag byte, v uint64, size int) {
		b[at] = tag
		for i := range size {
			b[at+1+i] = byte(v >> (8 * i))
		}
	}
	put(0, 0x0d, 1, 4)
	put(5, 0x11, cluster, 8)
	put(14, 0x1d, 0, 4)
	b[19], b[20] = 0x22, 0x10
	put(37, 0x2d, 1, 4)
	put(42, 0x35, 2<<24, 4)
	for i := range n {
		b = append(b, byte(seq>>(8*(i%8)))+byte(i/8))
	}
	return b
}

// fill puts a datagram into a buffer of the driver's pool.
func fill(t testing.TB, d *Driver, data []byte) *buf.Buf {
	t.Helper()
	b := d.Pool().Get()
	if b == nil {
		t.Fatal("the pool is empty")
	}
	b.Set(0, copy(b.Mem(), data))
	return b
}

// send sends one datagram, and waits while the driver says ErrAgain.
func send(t testing.TB, d *Driver, to buf.Endpoint, data []byte) {
	t.Helper()
	b := fill(t, d, data)
	defer b.Release()
	for end := time.Now().Add(2 * time.Second); ; {
		n, err := d.Send([]buf.Send{{Buf: b, To: to}})
		if n == 1 {
			return
		}
		if err != ErrAgain || time.Now().After(end) {
			t.Fatalf("send: %d, %v", n, err)
		}
	}
}

// wait calls step until it is true, and fails the test after a while.
func wait(t testing.TB, what string, step func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !step(); {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
		runtime.Gosched()
	}
}

// expect receives until one datagram comes.
func expect(t testing.TB, d *Driver) buf.Received {
	t.Helper()
	var batch [64]buf.Received
	n := 0
	wait(t, "a datagram", func() bool { n = d.Recv(batch[:]); return n > 0 })
	if n != 1 {
		t.Fatalf("%d datagrams instead of one", n)
	}
	return batch[0]
}
