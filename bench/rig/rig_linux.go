package rig

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Rig is a network. Hosts are used by one goroutine at a time each.
type Rig struct {
	kind   Kind
	hosts  []*Host
	bridge *Host      // without an address; nil where the kernel's switch is not used
	taps   *tapSwitch // nil but for Tap

	switches int    // that the bridge has
	far      []bool // of each host: a cable is behind its port
}

// Host is one end of a network.
type Host struct{ fd int }

// Possible is nil where New can be expected to work, and else states what is missing.
func Possible() error {
	if unix.Geteuid() != 0 {
		return fmt.Errorf("%w: making network namespaces needs root: run it with sudo", ErrUnsupported)
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return fmt.Errorf("%w: the command ip is missing: install iproute2", ErrUnsupported)
	}
	return nil
}

// New makes a network. The caller must Close it; a process that does not takes it along when it
// ends.
func New(kind Kind, hosts int, opt Options) (_ *Rig, err error) {
	if err := Check(kind, hosts, opt); err != nil {
		return nil, err
	}
	if err := Possible(); err != nil {
		return nil, err
	}
	r := &Rig{kind: kind, far: make([]bool, hosts)}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	for range hosts {
		h, err := newHost()
		if err != nil {
			return nil, err
		}
		r.hosts = append(r.hosts, h)
	}
	if err := r.build(opt); err != nil {
		return nil, err
	}
	return r, nil
}

// Join makes a Tap of namespaces that ip netns has named. They stay when it is closed.
func Join(namespaces []string, opt Options) (_ *Rig, err error) {
	if err := Check(Tap, len(namespaces), opt); err != nil {
		return nil, err
	}
	if err := Possible(); err != nil {
		return nil, err
	}
	r := &Rig{kind: Tap, far: make([]bool, len(namespaces))}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	for _, name := range namespaces {
		fd, err := unix.Open(filepath.Join("/run/netns", filepath.Base(name)), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("rig: namespace %s: %w", name, err)
		}
		r.hosts = append(r.hosts, &Host{fd: fd})
	}
	if err := r.build(opt); err != nil {
		return nil, err
	}
	return r, nil
}

// build joins the hosts.
func (r *Rig) build(opt Options) (err error) {
	switch r.kind {
	case Veth:
		err = r.hosts[0].ip("link add " + Interface + " type veth peer name " + Interface + " netns " + r.hosts[1].path())
	case Bridge:
		err = r.plug()
	case Tap:
		r.taps, err = newTapSwitch(r.hosts, opt.Seed)
	}
	if err != nil {
		return err
	}
	for i, h := range r.hosts {
		if err := h.configure(i, opt); err != nil {
			return err
		}
	}
	if err := r.await(); err != nil {
		return err
	}
	switch {
	case opt.Loss == 0:
		return nil
	case r.kind == Tap:
		for i := range r.hosts {
			r.taps.set(i, FromHost, Link{Loss: opt.Loss})
		}
		return nil
	}
	return r.bridge.Run(func() error { return dropAtPorts(len(r.hosts), opt.Loss) })
}

// plug makes the switch and a cable to each host.
func (r *Rig) plug() (err error) {
	if r.bridge, err = newHost(); err != nil {
		return err
	}
	r.switches = 1
	// It floods multicast, as a switch without IGMP snooping does, and forwards at once.
	if err := r.bridge.ip("link add switch0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
		"link set switch0 addrgenmode none", "link set switch0 up"); err != nil {
		return err
	}
	for i, h := range r.hosts {
		port := portName(i)
		if err := r.bridge.ip("link add "+port+" type veth peer name "+Interface+" netns "+h.path(),
			"link set "+port+" addrgenmode none", "link set "+port+" master switch0", "link set "+port+" up"); err != nil {
			return err
		}
	}
	return nil
}

func portName(i int) string { return fmt.Sprintf("port%d", i) }

// configure brings the interface of host i up.
func (h *Host) configure(i int, opt Options) error {
	// addrgenmode none: no IPv6 address, so that no neighbour discovery disturbs a measurement.
	if err := h.ip("link set lo up", "link set "+Interface+" addrgenmode none",
		fmt.Sprintf("address add %v/24 dev %s", Addr(i), Interface), "link set "+Interface+" up",
		"route add 224.0.0.0/4 dev "+Interface); err != nil {
		return err
	}
	if opt.Offload {
		return nil
	}
	return h.Run(func() error { return segmentsOff(Interface) })
}

// await waits until packets pass. The kernel finds out by and by that a cable has been plugged in
// (net/core/link_watch.c), and drops what is sent before.
func (r *Rig) await() error {
	if r.taps != nil {
		return nil // a tap carries packets as soon as it is up
	}
	for _, h := range r.hosts {
		if err := h.await("link show "+Interface, " state UP ", 1); err != nil {
			return err
		}
	}
	if r.bridge == nil {
		return nil
	}
	return r.bridge.await("-d link show type bridge_slave", " state forwarding ", len(r.hosts))
}

// awaitLimit is how long the kernel may take.
const awaitLimit = 5 * time.Second

// await repeats a command of iproute2 until its output has n times what is wanted.
func (h *Host) await(command, want string, n int) error {
	for end := time.Now().Add(awaitLimit); ; time.Sleep(2 * time.Millisecond) {
		var out []byte
		err := h.Run(func() (err error) {
			out, err = exec.Command("ip", strings.Fields(command)...).CombinedOutput()
			return err
		})
		switch {
		case err == nil && strings.Count(string(out), want) >= n:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("rig: no%safter %v (%v): ip %s:\n%s", want, awaitLimit, err, command, out)
		}
	}
}

// Isolate has the switch carry nothing between these hosts, or again.
func (r *Rig) Isolate(on bool, hosts ...int) error {
	if r.taps != nil {
		r.taps.isolate(on, hosts)
		return nil
	}
	state := "off"
	if on {
		state = "on"
	}
	var commands []string
	for _, i := range hosts {
		commands = append(commands, "link set "+r.plugName(i)+" type bridge_slave isolated "+state)
	}
	return r.bridge.ip(commands...)
}

// Split takes the switch apart: each group of hosts has one of its own, and the hosts that are in no group hear nobody. One
// group of all makes it whole again.
func (r *Rig) Split(groups ...[]int) error {
	var commands []string
	alone := make([]bool, len(r.hosts))
	for i := range alone {
		alone[i] = true
	}
	for g, group := range groups {
		name := "switch" + strconv.Itoa(g)
		if g >= r.switches {
			commands = append(commands, "link add "+name+" type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
				"link set "+name+" addrgenmode none", "link set "+name+" up")
		}
		for _, i := range group {
			alone[i] = false
			commands = append(commands, "link set "+r.plugName(i)+" master "+name)
		}
	}
	for i := range alone {
		if alone[i] {
			commands = append(commands, "link set "+r.plugName(i)+" nomaster")
		}
	}
	if err := r.bridge.ip(commands...); err != nil {
		return err
	}
	r.switches = max(r.switches, len(groups))
	return nil
}

// Narrow has the switch carry packets of at most that many bytes to and from host i.
func (r *Rig) Narrow(i, mtu int) error {
	if r.taps != nil {
		r.taps.set(i, ToHost, Link{MTU: mtu})
		r.taps.set(i, FromHost, Link{MTU: mtu})
		return nil
	}
	return r.bridge.ip("link set " + portName(i) + " mtu " + strconv.Itoa(mtu))
}

// Host is host i, counted from 0.
func (r *Rig) Host(i int) *Host { return r.hosts[i] }

// Hosts is their number.
func (r *Rig) Hosts() int { return len(r.hosts) }

// Close lets go of the network. It is gone when the last process inside has ended, some
// milliseconds later. Closing again, and closing nil, does nothing.
func (r *Rig) Close() {
	if r == nil {
		return
	}
	r.taps.close()
	r.taps = nil
	for _, h := range append(r.hosts, r.bridge) {
		if h != nil && h.fd >= 0 {
			unix.Close(h.fd)
			h.fd = -1
		}
	}
}

// newHost makes a namespace with nothing but loopback in it.
func newHost() (*Host, error) {
	h := &Host{fd: -1}
	err := make(chan error)
	go func() {
		// Never unlocked: the thread has changed its namespace, and ends with the goroutine.
		runtime.LockOSThread()
		e := unix.Unshare(unix.CLONE_NEWNET)
		if e == nil {
			h.fd, e = current()
		}
		err <- e
	}()
	if e := <-err; e != nil {
		return nil, fmt.Errorf("%w: a network namespace (CONFIG_NET_NS, CAP_SYS_ADMIN): %w", ErrUnsupported, e)
	}
	return h, nil
}

// current opens the calling thread's namespace.
func current() (int, error) {
	return unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

// path names the namespace for other processes, as long as this one holds it.
func (h *Host) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), h.fd) }

// Enter moves the calling goroutine's thread to the host, and locks it there. leave moves it back;
// when that fails the thread stays locked, and ends with its goroutine.
//
// Sockets and processes that are made inside stay inside. Goroutines that are started inside are
// not: they run on other threads.
func (h *Host) Enter() (leave func(), err error) {
	runtime.LockOSThread()
	home, err := current()
	if err == nil {
		if err = unix.Setns(h.fd, unix.CLONE_NEWNET); err != nil {
			unix.Close(home)
		}
	}
	if err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("rig: enter a network namespace: %w", err)
	}
	return func() {
		if unix.Setns(home, unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		unix.Close(home)
	}, nil
}

// Run calls f inside the host, on the calling goroutine's thread.
func (h *Host) Run(f func() error) error {
	leave, err := h.Enter()
	if err != nil {
		return err
	}
	defer leave()
	return f()
}

// ip runs commands of iproute2 inside the host.
func (h *Host) ip(commands ...string) error {
	return h.Run(func() error {
		cmd := exec.Command("ip", "-batch", "-")
		cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("rig: ip %s: %w: %s", strings.Join(commands, "; "), err, bytes.TrimSpace(out))
		}
		return nil
	})
}

// errUnknown means that a feature does not exist here.
var errUnknown = errors.New("no such feature")
