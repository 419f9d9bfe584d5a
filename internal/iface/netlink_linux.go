package iface

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Netlink is a socket to the kernel's tables of interfaces, neighbours and routes (RFC 3549,
// rtnetlink(7)). It belongs to the network namespace of the thread that opened it, and to one
// goroutine at a time.
type Netlink struct {
	fd  int
	seq uint32
	in  []byte
}

var netlinkSeq atomic.Uint32

// OpenNetlink opens a socket for requests, and one that receives changes when groups is not 0
// (RTMGRP_LINK and its like). The second kind does not block.
func OpenNetlink(groups uint32) (*Netlink, error) {
	kind := unix.SOCK_RAW | unix.SOCK_CLOEXEC
	if groups != 0 {
		kind |= unix.SOCK_NONBLOCK
	}
	fd, err := unix.Socket(unix.AF_NETLINK, kind, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("cannot open a netlink socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("bind a netlink socket: %w", err)
	}
	// The kernel answers at once; this is for a kernel that does not.
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2})
	return &Netlink{fd: fd, in: make([]byte, 32<<10)}, nil
}

// FD is the socket's descriptor.
func (nl *Netlink) FD() int { return nl.fd }

// Close closes the socket. Nil has none, and a second call does nothing.
func (nl *Netlink) Close() {
	if nl != nil && nl.fd >= 0 {
		unix.Close(nl.fd)
		nl.fd = -1
	}
}

// Attribute appends an attribute to a message.
func Attribute(b []byte, kind int, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, uint16(kind))
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// Attributes calls f with each attribute in b. Malformed ones end it.
func Attributes(b []byte, f func(kind int, value []byte)) {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return
		}
		f(int(binary.NativeEndian.Uint16(b[2:])&^0xc000), b[4:n]) // without NLA_F_NESTED, NLA_F_NET_BYTEORDER
		b = b[min((n+3)&^3, len(b)):]
	}
}

// Request sends one message and calls f with each message of the answer.
func (nl *Netlink) Request(kind, flags int, body []byte, f func(kind int, body []byte)) error {
	nl.seq = netlinkSeq.Add(1)
	m := make([]byte, unix.NLMSG_HDRLEN, unix.NLMSG_HDRLEN+len(body))
	binary.NativeEndian.PutUint32(m, uint32(unix.NLMSG_HDRLEN+len(body)))
	binary.NativeEndian.PutUint16(m[4:], uint16(kind))
	binary.NativeEndian.PutUint16(m[6:], uint16(unix.NLM_F_REQUEST|flags))
	binary.NativeEndian.PutUint32(m[8:], nl.seq)
	m = append(m, body...)
	if err := unix.Sendto(nl.fd, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	dump := flags&unix.NLM_F_DUMP == unix.NLM_F_DUMP
	for {
		n, err := unix.Read(nl.fd, nl.in)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		done, err := messages(nl.in[:n], nl.seq, f)
		if err != nil || done || !dump && flags&unix.NLM_F_ACK == 0 {
			return err
		}
	}
}

// Events reads what has changed, without blocking, and calls f with each message. False means
// that messages were lost: everything has to be asked for again.
func (nl *Netlink) Events(f func(kind int, body []byte)) bool {
	for {
		n, err := unix.Read(nl.fd, nl.in)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOBUFS):
			return false
		case err != nil || n == 0:
			return true
		default:
			_, _ = messages(nl.in[:n], 0, f)
		}
	}
}

// messages calls f with each message in b that answers seq; with any when seq is 0.
func messages(b []byte, seq uint32, f func(kind int, body []byte)) (done bool, err error) {
	for len(b) >= unix.NLMSG_HDRLEN {
		n := int(binary.NativeEndian.Uint32(b))
		kind := int(binary.NativeEndian.Uint16(b[4:]))
		if n < unix.NLMSG_HDRLEN || n > len(b) {
			return true, errors.New("netlink: a message is longer than what was read")
		}
		body := b[unix.NLMSG_HDRLEN:n]
		if seq == 0 || binary.NativeEndian.Uint32(b[8:]) == seq {
			switch kind {
			case unix.NLMSG_DONE:
				return true, nil
			case unix.NLMSG_ERROR:
				if len(body) < 4 {
					return true, errors.New("netlink: a short answer")
				}
				if e := int32(binary.NativeEndian.Uint32(body)); e != 0 {
					return true, unix.Errno(-e)
				}
				return true, nil // an acknowledgement
			default:
				f(kind, body)
			}
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return false, nil
}

// Link is an interface as the kernel describes it.
type Link struct {
	Index   int
	Name    string
	Kind    string // such as "veth" or "vlan"; empty for cards and loopback
	Flags   uint32 // IFF_…
	Ether   bool   // its packets have Ethernet headers
	MTU     int    // bytes
	MAC     [6]byte
	Queues  int  // for receiving
	Parent  int  // index of the interface below
	Program bool // an XDP program is attached
}

// Loopback reports whether it is the loopback interface.
func (l *Link) Loopback() bool { return l.Flags&unix.IFF_LOOPBACK != 0 }

// Virtual reports whether there is no card behind it.
func (l *Link) Virtual() bool { return l.Kind != "" || l.Loopback() }

// Up reports whether the interface is up and has a carrier.
func (l *Link) Up() bool { return l.Flags&unix.IFF_UP != 0 && l.Flags&unix.IFF_LOWER_UP != 0 }

// Link asks for the interface with the index, or, when that is 0, the one called name. Where there is
// none the error is ENODEV.
func (nl *Netlink) Link(name string, index int) (l Link, err error) {
	body := make([]byte, unix.SizeofIfInfomsg)
	(*unix.IfInfomsg)(unsafe.Pointer(&body[0])).Index = int32(index)
	if index == 0 {
		body = Attribute(body, unix.IFLA_IFNAME, append([]byte(name), 0))
	}
	err = nl.Request(unix.RTM_GETLINK, 0, body, func(kind int, b []byte) {
		if kind == unix.RTM_NEWLINK {
			l = ParseLink(b)
		}
	})
	if err == nil && l.Index == 0 {
		err = unix.ENODEV
	}
	return l, err
}

// ParseLink reads a message about an interface; Index is 0 when it is none.
func ParseLink(b []byte) (l Link) {
	if len(b) < unix.SizeofIfInfomsg {
		return l
	}
	info := (*unix.IfInfomsg)(unsafe.Pointer(&b[0]))
	l.Index, l.Flags = int(info.Index), info.Flags
	l.Ether = info.Type == unix.ARPHRD_ETHER || info.Type == unix.ARPHRD_LOOPBACK
	Attributes(b[unix.SizeofIfInfomsg:], func(kind int, v []byte) {
		switch kind {
		case unix.IFLA_IFNAME:
			l.Name = text(v)
		case unix.IFLA_MTU:
			l.MTU = int(Word(v))
		case unix.IFLA_ADDRESS:
			copy(l.MAC[:], v)
		case unix.IFLA_NUM_RX_QUEUES:
			l.Queues = int(Word(v))
		case unix.IFLA_LINK:
			l.Parent = int(Word(v))
		case unix.IFLA_LINKINFO:
			Attributes(v, func(kind int, v []byte) {
				if kind == unix.IFLA_INFO_KIND {
					l.Kind = text(v)
				}
			})
		case unix.IFLA_XDP:
			Attributes(v, func(kind int, v []byte) {
				if kind == unix.IFLA_XDP_ATTACHED {
					l.Program = len(v) > 0 && v[0] != 0
				}
			})
		}
	})
	return l
}

func text(v []byte) string {
	for i, c := range v {
		if c == 0 {
			return string(v[:i])
		}
	}
	return string(v)
}

// Word is an attribute of four bytes, 0 when it is shorter.
func Word(v []byte) uint32 {
	if len(v) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(v)
}

// Addresses asks for the interface's IPv4 addresses, the primary ones first.
func (nl *Netlink) Addresses(index int) (list [][4]byte, err error) {
	all, err := nl.addresses()
	for _, a := range all {
		if a.index == index {
			list = append(list, a.ip)
		}
	}
	return list, err
}

// address is an IPv4 address of an interface.
type address struct {
	index int
	ip    [4]byte
}

// addresses asks for all IPv4 addresses of the host.
func (nl *Netlink) addresses() (list []address, err error) {
	body := make([]byte, unix.SizeofIfAddrmsg)
	body[0] = unix.AF_INET
	err = nl.Request(unix.RTM_GETADDR, unix.NLM_F_DUMP, body, func(kind int, b []byte) {
		if at, ip, ok := ParseAddress(b); ok && kind == unix.RTM_NEWADDR {
			list = append(list, address{at, ip})
		}
	})
	return list, err
}

// ParseAddress reads a message about an IPv4 address of an interface.
func ParseAddress(b []byte) (index int, ip [4]byte, ok bool) {
	if len(b) < unix.SizeofIfAddrmsg || b[0] != unix.AF_INET {
		return 0, ip, false
	}
	index = int((*unix.IfAddrmsg)(unsafe.Pointer(&b[0])).Index)
	Attributes(b[unix.SizeofIfAddrmsg:], func(kind int, v []byte) {
		if kind == unix.IFA_LOCAL && len(v) == 4 {
			copy(ip[:], v)
			ok = true
		}
	})
	return index, ip, ok
}
