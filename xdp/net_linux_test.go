package xdp

import (
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/testnet"
)

// namespace is a network namespace in which drivers are opened.
type namespace struct{ *testnet.Namespace }

func newNamespace(t testing.TB) *namespace { return &namespace{testnet.New(t)} }

func (n *namespace) do(f func()) { n.Do(f) }

func (n *namespace) ip(t testing.TB, command string) string { t.Helper(); return n.IP(t, command) }

// pair is two namespaces, joined by a veth pair: v0 10.9.0.1 in the first, v1 10.9.0.2 in the
// second.
func pair(t testing.TB) (a, b *namespace) {
	t.Helper()
	testnet.NeedAFXDP(t)
	a, b = newNamespace(t), newNamespace(t)
	join(t, a, b)
	return a, b
}

func join(t testing.TB, a, b *namespace) { t.Helper(); testnet.Join(t, a.Namespace, b.Namespace) }

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
