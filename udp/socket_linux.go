package udp

import (
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openGroup opens a member's own socket and the group's.
func openGroup(cfg Config) (own, group int, l link, err error) {
	own, group = -1, -1
	defer func() {
		if err != nil {
			closeAll(own, group)
			own, group = -1, -1
		}
	}()
	if l, err = findLink(cfg.Interface, cfg.MTU); err != nil {
		return own, group, l, err
	}
	if own, err = openOwn(cfg, netip.AddrPortFrom(l.addr, 0), l.Index); err != nil {
		return own, group, l, err
	}
	if group, err = openSocket(cfg); err != nil {
		return own, group, l, err
	}
	if err = option("SO_REUSEADDR", unix.SetsockoptInt(group, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)); err != nil {
		return own, group, l, err
	}
	// Bound to the group's address, the socket receives nothing else that comes to the port.
	if err = bind(group, cfg.Group); err != nil {
		return own, group, l, bindError(cfg.Group, err)
	}
	if err = joinGroup(group, l.Index, cfg.Group.Addr()); err != nil {
		return own, group, l, fmt.Errorf("udp: join %v on interface %s: %w", cfg.Group.Addr(), l.Name, err)
	}
	// Otherwise the socket would receive the group's datagrams on interfaces that other programs joined.
	err = option("IP_MULTICAST_ALL", unix.SetsockoptInt(group, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0))
	return own, group, l, err
}

// openOwn opens a member's own socket on an address, to send to the group through an interface.
func openOwn(cfg Config, local netip.AddrPort, ifindex int) (fd int, err error) {
	if fd, err = openSocket(cfg); err != nil {
		return -1, err
	}
	if err = bind(fd, local); err != nil {
		err = fmt.Errorf("udp: bind %v: %w", local.Addr(), err)
	} else {
		err = firstErr(
			sendThrough(fd, ifindex),
			option("IP_MULTICAST_LOOP", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 1)),
			option("IP_MULTICAST_TTL", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, cfg.TTL)),
		)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// sendThrough has what a socket sends to the group leave through an interface. It is given by index: loopback bears no
// MULTICAST flag and is not found by an address's route.
func sendThrough(fd, ifindex int) error {
	return option("IP_MULTICAST_IF", unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(ifindex)}))
}

// joinGroup has a socket receive what comes to the group through an interface.
func joinGroup(fd, ifindex int, group netip.Addr) error {
	err := unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &unix.IPMreqn{Multiaddr: group.As4(), Ifindex: int32(ifindex)})
	if errors.Is(err, unix.ENOBUFS) {
		return fmt.Errorf("%w (the host limits groups; allow more with: sysctl -w net.ipv4.igmp_max_memberships=256)", err)
	}
	return err
}

// openPeer opens a member's own socket on one of the listed addresses.
func openPeer(cfg Config) (fd int, l link, err error) {
	l, err = bindFirst(cfg, func(a netip.AddrPort) (err error) {
		if fd, err = openSocket(cfg); err != nil {
			return err
		}
		if err = bind(fd, a); err != nil {
			unix.Close(fd)
		}
		return err
	})
	if err != nil {
		return -1, l, err
	}
	return fd, l, nil
}

// openSocket makes a socket with the options that both sockets have.
func openSocket(cfg Config) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return -1, fmt.Errorf("udp: cannot make a socket: %w", err)
	}
	setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, cfg.RecvBuffer)
	setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, cfg.SendBuffer)
	err = firstErr(
		// Never fragments: a packet that is too large for the interface is an error here, not
		// two packets. What routers report about the path is not believed (anyone can send it).
		option("IP_MTU_DISCOVER", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)),
		option("IP_TOS", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, cfg.DSCP<<2)),
	)
	if err == nil && cfg.BusyPoll > 0 {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BUSY_POLL, int(cfg.BusyPoll.Microseconds()))
		if err != nil {
			err = fmt.Errorf("udp: busypoll %v: %w (it needs CAP_NET_ADMIN, or the host's own: sysctl -w net.core.busy_read=%d)",
				cfg.BusyPoll, err, cfg.BusyPoll.Microseconds())
		}
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// setBuffer asks for a buffer of size bytes: past the host's limit where the process may, else
// up to it. What was granted is read back later, so errors do not matter here.
func setBuffer(fd, force, ordinary, size int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, ordinary, size)
	}
}

// roomOf reads back what setBuffer got, as Driver.Room describes it.
func roomOf(fd int) (int, error) {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	return n / 2, option("SO_RCVBUF", err)
}

// kernelDrops is the number of packets that the socket itself dropped.
func kernelDrops(fd int) (uint64, error) {
	info, err := meminfo(fd)
	return uint64(info[unix.SK_MEMINFO_DROPS]), err
}

// waiting is what the kernel charges for the packets that wait in a socket, in bytes, and up to a quarter of its receive
// buffer more: the kernel gives back what was read in larger pieces. It is otherwise where the kernel does not tell.
func waiting(fd, otherwise int) int {
	info, err := meminfo(fd)
	if err != nil {
		return otherwise // before Linux 4.12
	}
	return int(info[unix.SK_MEMINFO_RMEM_ALLOC])
}

// meminfo asks the kernel for a socket's memory. The call does not sleep.
func meminfo(fd int) (info [unix.SK_MEMINFO_VARS]uint32, err error) {
	size := uint32(unsafe.Sizeof(info))
	_, _, e := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if e != 0 {
		return info, e
	}
	return info, nil
}

// probeSegments finds out whether packets of several datagrams can be sent and received.
func (d *Driver) probeSegments(mode string) (send, receive bool, err error) {
	if mode == "off" {
		return false, false, nil
	}
	_, errSend := unix.GetsockoptInt(d.own.fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
	errRecv := unix.SetsockoptInt(d.own.fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	if errRecv == nil && d.group.fd >= 0 {
		errRecv = unix.SetsockoptInt(d.group.fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	}
	if mode == "on" {
		if err := errors.Join(errSend, errRecv); err != nil {
			return false, false, fmt.Errorf("%w: gso=on: UDP_SEGMENT needs Linux 4.18 and UDP_GRO 5.0: %w", ErrUnsupported, err)
		}
	}
	return errSend == nil, errRecv == nil, nil
}

func bind(fd int, a netip.AddrPort) error {
	return unix.Bind(fd, &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())})
}

func option(name string, err error) error {
	if err != nil {
		return fmt.Errorf("udp: socket option %s: %w", name, err)
	}
	return nil
}

func firstErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func closeAll(fds ...int) {
	for _, fd := range fds {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}
