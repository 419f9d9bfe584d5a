package iflock

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

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
	return l.unlessXDP(ifindex, group)
}

// answers stands in the names of members that answer. Members of earlier releases have names without it, and look for
// names that begin as these do.
const answers = "/loop/"

func answering(ifindex int, group netip.AddrPort) (*Lock, error) {
	l := &Lock{prefix: name("udp", ifindex, group.String()) + answers}
	for n := range maxShared {
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: l.nameOf(n), Net: "unix"})
		if errors.Is(err, unix.EADDRINUSE) {
			continue
		}
		if err == nil {
			l.listener, l.number = listener, n
		}
		break // with another error there are no such sockets here: then there is no xdp member either
	}
	return l.unlessXDP(ifindex, group)
}

func (l *Lock) nameOf(n int) string { return fmt.Sprintf("%s%d", l.prefix, n) }

// unlessXDP is l, which is given up where an xdp member takes the group's packets.
func (l *Lock) unlessXDP(ifindex int, group netip.AddrPort) (*Lock, error) {
	other := name("xdp", ifindex, group.String())
	if !held(other) {
		return l, nil
	}
	l.release()
	return nil, holder("xdp", other)
}

func (l *Lock) ask(limit time.Duration) (others, done int) {
	var open []unix.PollFd // who has not answered yet
	defer func() {
		for _, p := range open {
			unix.Close(int(p.Fd))
		}
	}()
	until := time.Now().Add(limit)
	// Each name is tried, and no list of names is read: the kernel may leave one out of a list that changes meanwhile.
	fd := -1
	for n := range maxShared {
		if n == l.number {
			continue
		}
		if fd < 0 {
			var err error
			if fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
				break // no descriptor is left. With so many members all know that they are not alone.
			}
		}
		switch err := unix.Connect(fd, &unix.SockaddrUnix{Name: l.nameOf(n)}); {
		case err == nil:
			open = append(open, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
			others, fd = others+1, -1
		case !errors.Is(err, unix.ECONNREFUSED): // so many ask that they do not get into its queue (EAGAIN), or it may not be asked
			others++
		}
	}
	if fd >= 0 {
		unix.Close(fd)
	}
	for len(open) > 0 {
		left := time.Until(until)
		if left <= 0 {
			return others, done
		}
		if _, err := unix.Poll(open, int(left.Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return others, done
		}
		rest := open[:0]
		for _, p := range open {
			if p.Revents == 0 {
				rest = append(rest, p)
				continue
			}
			done++ // that it answers, or that it is not there any more
			unix.Close(int(p.Fd))
		}
		open = rest
	}
	return others, done
}

// listening is how /proc/net/unix flags a socket that listens (__SO_ACCEPTCON). Those of its connections have its name too.
const listening = "00010000"

func count(list []byte, ifindex int, group netip.AddrPort) (same, all int) {
	address := group.Addr().String() + ":"
	udp, xdp := []byte(name("udp", ifindex, address)), []byte(name("xdp", ifindex, address))
	own := []byte(name("udp", ifindex, group.String()) + answers)
	seen := make(map[string]bool) // a list that changes while it is read may have one twice
	for line := range bytes.Lines(list) {
		f := bytes.Fields(line) // Num RefCount Protocol Flags Type St Inode Path
		if len(f) < 8 || string(f[3]) != listening || seen[string(f[7])] {
			continue
		}
		at := f[7]
		if bytes.HasPrefix(at, udp) && bytes.Contains(at, []byte(answers)) || bytes.HasPrefix(at, xdp) {
			all++
			seen[string(at)] = true
		}
		if bytes.HasPrefix(at, own) {
			same++
		}
	}
	return same, all
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
	if l.listener != nil {
		l.listener.Close()
	}
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
