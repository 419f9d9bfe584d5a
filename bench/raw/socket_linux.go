package raw

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// control is a control message with the size of segments (UDP_SEGMENT).
type control struct {
	hdr  unix.Cmsghdr
	size [8]byte
}

// sockets is an end over the kernel's: one that receives from the group, one to send from, and the memory
// for their system calls.
type sockets struct {
	group, own int
	dest       unix.RawSockaddrInet4

	in struct {
		hdrs [batch]mmsghdr
		iovs [batch]unix.Iovec
	}
	found int // reads in a row that found something
	out   struct {
		hdrs [batch]mmsghdr
		iovs [batch]unix.Iovec
		ctls [batch]control
	}
	size     int
	segments int    // datagrams in a full packet; 1 without segmentation
	packets  []byte // batch packets to send, of segments datagrams each
}

func openSockets(cfg Config) (_ end, err error) {
	ifi, ip, err := findInterface(cfg.Interface)
	if err != nil {
		return nil, err
	}
	e := &sockets{group: -1, own: -1, size: cfg.Size, segments: 1}
	loop := 1
	if cfg.NoLoop {
		loop = 0
	}
	defer func() {
		if err != nil {
			e.close()
		}
	}()
	if e.own, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("raw: socket: %w", err)
	}
	if e.group, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("raw: socket: %w", err)
	}
	for _, fd := range []int{e.own, e.group} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 16<<20)
		}
	}
	mreq := &unix.IPMreqn{Ifindex: int32(ifi.Index), Multiaddr: cfg.Group.Addr().As4()}
	if err = errors.Join(
		unix.Bind(e.own, &unix.SockaddrInet4{Addr: ip}),
		unix.SetsockoptIPMreqn(e.own, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(ifi.Index)}),
		unix.SetsockoptInt(e.own, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, loop),
		unix.SetsockoptInt(e.group, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.Bind(e.group, &unix.SockaddrInet4{Addr: cfg.Group.Addr().As4(), Port: int(cfg.Group.Port())}),
		unix.SetsockoptIPMreqn(e.group, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, mreq),
		unix.SetsockoptInt(e.group, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0),
	); err != nil {
		return nil, fmt.Errorf("raw: sockets for %v on %s: %w", cfg.Group, ifi.Name, err)
	}
	e.dest = sockaddr(cfg.Group.Addr().As4(), int(cfg.Group.Port()))
	if cfg.GSO {
		_, err = unix.GetsockoptInt(e.own, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		if err = errors.Join(err, unix.SetsockoptInt(e.group, unix.IPPROTO_UDP, unix.UDP_GRO, 1)); err != nil {
			return nil, fmt.Errorf("%w: segmentation needs Linux 5.0: %w", ErrUnsupported, err)
		}
		e.segments = min(64, 65000/cfg.Size)
	}
	e.prepare()
	return e, nil
}

func sockaddr(ip [4]byte, port int) unix.RawSockaddrInet4 {
	s := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: ip}
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&s.Port))[:], uint16(port))
	return s
}

// prepare fills in what system calls leave as it is.
func (e *sockets) prepare() {
	slot := 2048
	if e.segments > 1 {
		slot = 65536 + 17*64 // not all in the same set of the caches
	}
	in := make([]byte, batch*slot)
	e.packets = make([]byte, batch*e.segments*e.size)
	for i := range batch {
		h := &e.in.hdrs[i].hdr
		h.Iov = &e.in.iovs[i]
		h.SetIovlen(1)
		e.in.iovs[i].Base = &in[i*slot]
		e.in.iovs[i].SetLen(slot)

		h = &e.out.hdrs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&e.dest))
		h.Namelen = unix.SizeofSockaddrInet4
		h.Iov = &e.out.iovs[i]
		h.SetIovlen(1)
		e.out.iovs[i].Base = &e.packets[i*e.segments*e.size]
		c := &e.out.ctls[i]
		c.hdr.Level, c.hdr.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		c.hdr.SetLen(unix.CmsgLen(2))
		binary.NativeEndian.PutUint16(c.size[:], uint16(e.size))
		e.shape(i, 1)
	}
}

// shape makes packet i carry n datagrams.
func (e *sockets) shape(i, n int) {
	h := &e.out.hdrs[i].hdr
	e.out.iovs[i].SetLen(n * e.size)
	h.Control = nil
	h.SetControllen(0)
	if n > 1 {
		h.Control = (*byte)(unsafe.Pointer(&e.out.ctls[i]))
		h.SetControllen(int(unsafe.Sizeof(control{})))
	}
}

// set writes kind and number into datagram j of packet i.
func (e *sockets) set(i, j int, kind, number uint64) {
	p := e.packets[(i*e.segments+j)*e.size:]
	binary.LittleEndian.PutUint64(p, kind)
	binary.LittleEndian.PutUint64(p[8:], number)
}

// flush sends the first n packets, and tries again as long as the socket is full.
func (e *sockets) flush(n int) error {
	for at := 0; at < n; {
		r, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(e.own), uintptr(unsafe.Pointer(&e.out.hdrs[at])),
			uintptr(n-at), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			at += int(r)
		case unix.EAGAIN, unix.EINTR, unix.ENOBUFS:
		default:
			return fmt.Errorf("raw: send: %w", errno)
		}
	}
	return nil
}

// say sends one datagram, with the cheapest call.
func (e *sockets) say(kind, number uint64) error {
	e.set(0, 0, kind, number)
	for {
		_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(e.own), uintptr(unsafe.Pointer(&e.packets[0])), uintptr(e.size),
			unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&e.dest)), unix.SizeofSockaddrInet4)
		switch errno {
		case 0:
			return nil
		case unix.EAGAIN, unix.EINTR, unix.ENOBUFS:
		default:
			return fmt.Errorf("raw: send: %w", errno)
		}
	}
}

// flood sends as many datagrams a call as go without segmentation, or one full packet.
func (e *sockets) flood(first uint64) (n int, err error) {
	packets := max(1, batch/e.segments)
	for i := range packets {
		e.shape(i, e.segments)
		for j := range e.segments {
			e.set(i, j, kindData, first+uint64(n))
			n++
		}
	}
	return n, e.flush(packets)
}

func (e *sockets) mode() string { return "" }

// queues is how many reads in a row find something until datagrams are taken to queue.
const queues = 2

// receive asks for one datagram with the cheapest call as long as nothing queues, and else for a batch. Nobody is asked
// whom a datagram is from: an end's own ones are of kinds that it does not wait for.
func (e *sockets) receive(f func(kind, number uint64)) (int, error) {
	if e.found >= queues {
		return e.receiveBatch(f)
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(e.group), uintptr(unsafe.Pointer(e.in.iovs[0].Base)),
		uintptr(e.in.iovs[0].Len), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		e.found = 0
		return 0, nothing(errno)
	}
	e.found++
	e.take(0, int(n), f)
	return 1, nil
}

func (e *sockets) receiveBatch(f func(kind, number uint64)) (int, error) {
	r, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(e.group), uintptr(unsafe.Pointer(&e.in.hdrs[0])),
		batch, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		e.found = 0
		return 0, nothing(errno)
	}
	for i := range int(r) {
		e.take(i, int(e.in.hdrs[i].len), f)
	}
	return int(r), nil
}

// nothing is the error of a read that found nothing: nil where that is all.
func nothing(errno unix.Errno) error {
	if errno == unix.EAGAIN || errno == unix.EINTR {
		return nil
	}
	return fmt.Errorf("raw: receive: %w", errno)
}

// take calls f with the datagrams of a packet of n bytes in slot i. All are of the same size.
func (e *sockets) take(i, n int, f func(kind, number uint64)) {
	for p := unsafe.Slice(e.in.iovs[i].Base, n); len(p) >= e.size; p = p[e.size:] {
		f(binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:]))
	}
}

func (e *sockets) close() {
	for _, fd := range []int{e.group, e.own} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

func findInterface(name string) (*net.Interface, [4]byte, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, [4]byte{}, fmt.Errorf("raw: interfaces: %w", err)
	}
	for i := range all {
		if ifi := &all[i]; ifi.Name == name || name == "" && ifi.Flags&net.FlagLoopback != 0 {
			addrs, _ := ifi.Addrs()
			for _, a := range addrs {
				if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil {
					return ifi, [4]byte(n.IP.To4()), nil
				}
			}
			return nil, [4]byte{}, fmt.Errorf("raw: interface %s has no IPv4 address", ifi.Name)
		}
	}
	return nil, [4]byte{}, fmt.Errorf("raw: there is no interface %q", name)
}
