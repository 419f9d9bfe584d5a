package iflock

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxShared is how many udp members can share a group on an interface.
const maxShared = 256

func exclusive(ifindex int, group netip.AddrPort) (*Lock, error) {
	l := &Lock{}
	own := name("xdp", ifindex, "interface")
	if err := l.claim(own); err != nil {
		if errors.Is(err, unix.EADDRINUSE) {
			return nil, holder("xdp", own)
		}
		return nil, err
	}
	// The group's name is what udp members look for.
	if err := l.claim(name("xdp", ifindex, group.String())); err != nil {
		l.release()
		return nil, err
	}
	// Both sides claim first and look afterwards, so that they cannot miss each other. They may
	// both give up when they start at the same time.
	if other := find(name("udp", ifindex, group.String()) + "/"); other != "" {
		l.release()
		return nil, holder("udp", other)
	}
	return l, nil
}

func shared(ifindex int, group netip.AddrPort) (*Lock, error) {
	l := &Lock{}
	for n := range maxShared {
		err := l.claim(fmt.Sprintf("%s/%d", name("udp", ifindex, group.String()), n))
		if errors.Is(err, unix.EADDRINUSE) {
			continue
		}
		if err != nil {
			return nil, nil // no such sockets here: then there is no xdp member either
		}
		break
	}
	other := name("xdp", ifindex, group.String())
	if held(other) {
		l.release()
		return nil, holder("xdp", other)
	}
	return l, nil
}

// claim takes a name.
func (l *Lock) claim(name string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("lock %s: %w", name, err)
	}
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: name}); err == nil {
		err = unix.Listen(fd, 8) // whoever connects learns who listens
	}
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("lock %s: %w", name, err)
	}
	l.fds = append(l.fds, fd)
	return nil
}

func (l *Lock) release() {
	for _, fd := range l.fds {
		unix.Close(fd)
	}
	l.fds = nil
}

// ask finds out who has a name.
func ask(name string) (pid int, ok bool) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, false
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: name}); err != nil {
		return 0, errors.Is(err, unix.EAGAIN) // the queue of those who asked is full, so somebody is there
	}
	c, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, true
	}
	return int(c.Pid), true
}

func held(name string) bool {
	_, ok := ask(name)
	return ok
}

func holder(by, name string) error {
	e := &HeldError{By: by}
	if e.PID, _ = ask(name); e.PID > 0 {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", e.PID)); err == nil {
			e.Command = strings.TrimSpace(string(b))
		}
	}
	return e
}

// find is a name that is taken and begins with prefix, or "". The list is of the calling
// thread's network namespace.
func find(prefix string) string {
	f, err := os.Open("/proc/thread-self/net/unix")
	if err != nil {
		return ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if n := len(fields); n > 0 && strings.HasPrefix(fields[n-1], prefix) {
			return fields[n-1]
		}
	}
	return ""
}
