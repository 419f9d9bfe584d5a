package xdp

import (
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/iface"
	"github.com/activeblaze/blaze/internal/ip4"
	"golang.org/x/sys/unix"
)

// kernelSockets are the driver's ordinary sockets. They join the group, so that card, switch
// and router let it through; they own the ports, so that no other program gets them; and they
// are the way of what the filter passes on, and of what is sent to a member whose hardware
// address is not known yet.
type kernelSockets struct {
	own, group int
	joined     int // index of the interface that the group was joined on
}

const kernelBuffer = 4 << 20 // bytes: a fallback needs no more

// openKernel opens the sockets on the interface and returns the own address.
func openKernel(l *iface.Link, ip [4]byte, cfg *Config) (k kernelSockets, local buf.Endpoint, err error) {
	k = kernelSockets{own: -1, group: -1}
	defer func() {
		if err != nil {
			k.close()
		}
	}()
	step := func(what string, do func() error) {
		if err == nil {
			if e := do(); e != nil {
				err = fmt.Errorf("xdp: %s: %w", what, e)
			}
		}
	}
	socket := func(fd *int) func() error {
		return func() (err error) {
			*fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
			if err == nil {
				for _, o := range [...][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
					if unix.SetsockoptInt(*fd, unix.SOL_SOCKET, o[0], kernelBuffer) != nil {
						_ = unix.SetsockoptInt(*fd, unix.SOL_SOCKET, o[1], kernelBuffer)
					}
				}
			}
			return err
		}
	}
	option := func(fd *int, level, name, value int) func() error {
		return func() error { return unix.SetsockoptInt(*fd, level, name, value) }
	}
	step("cannot make a socket", socket(&k.own))
	step("IP_MTU_DISCOVER", option(&k.own, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE))
	step("IP_TOS", option(&k.own, unix.IPPROTO_IP, unix.IP_TOS, cfg.DSCP<<2))
	step("IP_TTL", option(&k.own, unix.IPPROTO_IP, unix.IP_TTL, unicastTTL))
	// What a Queue sends to the group leaves here.
	step("IP_MULTICAST_TTL", option(&k.own, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, cfg.TTL))
	step("IP_MULTICAST_LOOP", option(&k.own, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0))
	step(fmt.Sprintf("bind %v of interface %s", netip.AddrFrom4(ip), l.Name), func() error {
		return unix.Bind(k.own, &unix.SockaddrInet4{Addr: ip})
	})
	step("read the own port", func() error {
		name, err := unix.Getsockname(k.own)
		if err != nil {
			return err
		}
		local = ip4.Endpoint(ip, uint16(name.(*unix.SockaddrInet4).Port))
		return nil
	})
	step("cannot make a socket", socket(&k.group))
	step("SO_REUSEADDR", option(&k.group, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	step(fmt.Sprintf("bind %v (a program that does not share the port has it: ss -ulnp sport = :%d shows it)", cfg.Group, cfg.Group.Port()), func() error {
		return unix.Bind(k.group, &unix.SockaddrInet4{Addr: cfg.Group.Addr().As4(), Port: int(cfg.Group.Port())})
	})
	step("SO_ATTACH_FILTER", func() error { return k.want(cfg.Cluster, cfg.Lanes) })
	// Otherwise the socket would receive the group's datagrams on interfaces that other programs joined.
	step("IP_MULTICAST_ALL", option(&k.group, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0))
	step(fmt.Sprintf("join %v on interface %s", cfg.Group.Addr(), l.Name), func() error { return k.join(l.Index, cfg) })
	return k, local, err
}

// join makes the interface a member of the group, and what is sent to the group leave through it. An
// interface that was removed and returned has to be joined again.
func (k *kernelSockets) join(index int, cfg *Config) error {
	mreq := &unix.IPMreqn{Multiaddr: cfg.Group.Addr().As4(), Ifindex: int32(index)}
	if err := unix.SetsockoptIPMreqn(k.own, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(index)}); err != nil {
		return err
	}
	if k.joined != 0 { // the membership is only the socket's now, and counts
		_ = unix.SetsockoptIPMreqn(k.group, unix.IPPROTO_IP, unix.IP_DROP_MEMBERSHIP, &unix.IPMreqn{Multiaddr: mreq.Multiaddr, Ifindex: int32(k.joined)})
	}
	k.joined = index
	err := unix.SetsockoptIPMreqn(k.group, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, mreq)
	switch {
	case errors.Is(err, unix.EADDRINUSE): // it is one
		return nil
	case errors.Is(err, unix.ENOBUFS):
		return fmt.Errorf("%w (the host limits groups; allow more with: sysctl -w net.ipv4.igmp_max_memberships=256)", err)
	}
	return err
}

func (k *kernelSockets) close() {
	for _, fd := range []*int{&k.own, &k.group} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

// receiveFrom reads one datagram into b. It does not block.
func receiveFrom(fd int, b []byte, from *ip4.Sockaddr) (n int, e unix.Errno) {
	size := uint32(unsafe.Sizeof(*from))
	r, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_TRUNC, uintptr(unsafe.Pointer(from)), uintptr(unsafe.Pointer(&size)))
	if e != 0 {
		return 0, e
	}
	return int(r), 0
}

// sendTo sends one datagram. It does not block.
func sendTo(fd int, b []byte, to *ip4.Sockaddr) unix.Errno {
	_, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(to)), unsafe.Sizeof(*to))
	return e
}
