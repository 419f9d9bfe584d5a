// Package testnet gives tests network namespaces and interfaces of their own, which end with
// the test. Nothing in it touches an interface of the host.
package testnet

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace that ends with the test.
type Namespace struct{ fd int }

// NeedAFXDP skips the test, in one line, where AF_XDP and namespaces cannot be used.
func NeedAFXDP(t testing.TB) {
	t.Helper()
	Need(t)
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW, 0)
	if err != nil {
		t.Skipf("needs AF_XDP (%v)", err)
	}
	unix.Close(fd)
}

// Need skips the test, in one line, where namespaces cannot be made.
func Need(t testing.TB) {
	t.Helper()
	if unix.Geteuid() != 0 {
		t.Skip("needs root, for network namespaces")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip, of iproute2")
	}
}

// New makes a namespace with its loopback up.
func New(t testing.TB) *Namespace {
	t.Helper()
	n, err := &Namespace{-1}, error(nil)
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
	n.IP(t, "link set lo up")
	return n
}

// Do runs f on a thread that is in the namespace. What f starts on other threads is not.
func (n *Namespace) Do(f func()) {
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

// IP runs a command of iproute2 in the namespace, and returns what it prints.
func (n *Namespace) IP(t testing.TB, command string) string {
	t.Helper()
	out, err := n.TryIP(command)
	if err != nil {
		t.Fatalf("ip %s: %v\n%s", command, err, out)
	}
	return out
}

// TryIP is IP for a command that may fail.
func (n *Namespace) TryIP(command string) (out string, err error) {
	n.Do(func() {
		var b []byte
		b, err = exec.Command("ip", strings.Fields(command)...).CombinedOutput()
		out = string(b)
	})
	return out, err
}

// Pair makes two namespaces that a veth pair joins: v0, 10.9.0.1, in the first, and v1,
// 10.9.0.2, in the second.
func Pair(t testing.TB) (a, b *Namespace) {
	t.Helper()
	Need(t)
	a, b = New(t), New(t)
	Join(t, a, b)
	return a, b
}

// Join joins two namespaces as Pair does.
func Join(t testing.TB, a, b *Namespace) {
	t.Helper()
	a.IP(t, "link add v0 type veth peer name v1 netns "+b.Path())
	for i, n := range []*Namespace{a, b} {
		n.IP(t, fmt.Sprintf("addr add 10.9.0.%d/24 dev v%d", i+1, i))
		n.IP(t, fmt.Sprintf("link set v%d up", i))
	}
}

// Path is the namespace's file, for commands that this process starts.
func (n *Namespace) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", unix.Getpid(), n.fd) }

// Hub is a bridge in a namespace of its own, to which members in theirs are joined.
type Hub struct {
	t       testing.TB
	bridge  *Namespace
	members []member
}

type member struct {
	*Namespace
	queues int
}

// NewHub makes a bridge.
func NewHub(t testing.TB) *Hub {
	t.Helper()
	Need(t)
	h := &Hub{t: t, bridge: New(t)}
	h.bridge.IP(t, "link add br0 type bridge mcast_snooping 0")
	h.bridge.IP(t, "link set br0 up")
	return h
}

// Member makes a namespace with an interface v0 on the bridge, 10.9.0.1 in the first and so on.
func (h *Hub) Member() *Namespace {
	h.t.Helper()
	return h.MemberWith(1)
}

// MemberWith is Member with an interface of several receive and send queues. What is sent through
// one of them passes the bridge and arrives at the others in the queue of the same number, as far as
// there is one.
func (h *Hub) MemberWith(queues int) *Namespace {
	h.t.Helper()
	h.members = append(h.members, member{New(h.t), queues})
	n := len(h.members) - 1
	h.Plug(n)
	return h.members[n].Namespace
}

// Unplug removes the interface of the nth member.
func (h *Hub) Unplug(n int) {
	h.t.Helper()
	h.members[n].IP(h.t, "link del v0")
}

// Plug makes the interface of the nth member, again after Unplug: the same card, with the same
// hardware address.
func (h *Hub) Plug(n int) {
	h.t.Helper()
	m, q := h.members[n], ""
	if m.queues > 1 {
		q = fmt.Sprintf(" numrxqueues %d numtxqueues %[1]d", m.queues)
	}
	h.bridge.IP(h.t, fmt.Sprintf("link add p%d%s type veth peer name v0%[2]s netns %[3]s", n, q, m.Path()))
	h.bridge.IP(h.t, fmt.Sprintf("link set p%d master br0 up", n))
	m.IP(h.t, fmt.Sprintf("link set v0 address 02:00:00:00:09:%02x", n+1))
	m.IP(h.t, fmt.Sprintf("addr add 10.9.0.%d/24 dev v0", n+1))
	m.IP(h.t, "link set v0 up")
}

// Forwards reports whether the bridge passes on what the nth member sends. After its interface has come up, the kernel
// takes up to a second to tell the bridge.
func (h *Hub) Forwards(n int) bool {
	h.t.Helper()
	return strings.Contains(h.bridge.IP(h.t, fmt.Sprintf("-d link show p%d", n)), "state forwarding")
}

// Bridge makes n members of a hub.
func Bridge(t testing.TB, n int) (all []*Namespace) {
	t.Helper()
	h := NewHub(t)
	for range n {
		all = append(all, h.Member())
	}
	return all
}
