package main

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// network is where members of a cell are: on loopback, or in two namespaces.
type network interface {
	// uri is Config.BroadcastURI of the publisher (0) or the subscriber (1), which may have a relay between them.
	uri(member int, group netip.AddrPort, between bool) string
	// in is what has to stand in front of a member's command.
	in(member int) []string
	// relay runs a relay between two groups until end is called.
	relay(ctx context.Context, a, b netip.AddrPort, f faults, seed uint64) (end func(), err error)
	close()
}

// loopback is this host's.
type loopback struct{}

func (loopback) uri(_ int, group netip.AddrPort, _ bool) string { return "udp://" + group.String() }
func (loopback) in(int) []string                                { return nil }
func (loopback) close()                                         {}

func (loopback) relay(ctx context.Context, a, b netip.AddrPort, f faults, seed uint64) (func(), error) {
	ctx, stop := context.WithCancel(ctx)
	failed := make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		failed <- relayReady(ctx, side{a, "lo"}, side{b, "lo"}, f, seed, func() { close(ready) })
	}()
	select {
	case <-ready:
		return func() { stop(); <-failed }, nil
	case err := <-failed:
		stop()
		return nil, err
	}
}

// namespaces are three of a worker's own: of the publisher, the subscriber, and the relay, each linked to the others.
type namespaces struct {
	names [3]string
	self  string
}

// links of namespaces: which two, and the interfaces' names in them.
var links = []struct {
	a, b         int
	nameA, nameB string
}{
	{0, 1, "direct", "direct"}, {0, 2, "side", "a"}, {1, 2, "side", "b"},
}

// makeNamespaces needs root, or what may make namespaces.
func makeNamespaces(number int) (_ *namespaces, err error) {
	n := &namespaces{}
	if n.self, err = os.Executable(); err != nil {
		return nil, err
	}
	for i := range n.names {
		n.names[i] = fmt.Sprintf("blzx%d-%d-%d", os.Getpid()%10000, number, i)
	}
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	for _, name := range n.names {
		if err = ip("netns", "add", name); err != nil {
			return nil, err
		}
		if err = ip("-n", name, "link", "set", "lo", "up"); err != nil {
			return nil, err
		}
	}
	for i, l := range links {
		if err = ip("-n", n.names[l.a], "link", "add", l.nameA, "type", "veth", "peer", "name", l.nameB, "netns", n.names[l.b]); err != nil {
			return nil, err
		}
		for k, at := range []int{l.a, l.b} {
			name := []string{l.nameA, l.nameB}[k]
			if err = ip("-n", n.names[at], "address", "add", fmt.Sprintf("10.99.%d.%d/24", i, k+1), "dev", name); err != nil {
				return nil, err
			}
			if err = ip("-n", n.names[at], "link", "set", "dev", name, "up"); err != nil {
				return nil, err
			}
		}
	}
	return n, nil
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (n *namespaces) uri(_ int, group netip.AddrPort, between bool) string {
	if between {
		return "udp://" + group.String() + "?interface=side"
	}
	return "udp://" + group.String() + "?interface=direct"
}

func (n *namespaces) in(member int) []string {
	return []string{"ip", "netns", "exec", n.names[member]}
}

func (n *namespaces) relay(ctx context.Context, a, b netip.AddrPort, f faults, seed uint64) (func(), error) {
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", n.names[2], n.self, "relay", a.String(), b.String(), "a", "b",
		strconv.FormatFloat(f.loss, 'g', -1, 64), strconv.FormatFloat(f.double, 'g', -1, 64), strconv.FormatFloat(f.delay, 'g', -1, 64), strconv.FormatUint(seed, 10))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err = cmd.Start(); err != nil {
		return nil, err
	}
	end := func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	if !bufio.NewScanner(out).Scan() {
		end()
		return nil, fmt.Errorf("the relay does not run")
	}
	return end, nil
}

func (n *namespaces) close() {
	for _, name := range n.names {
		_ = ip("netns", "delete", name)
	}
}
