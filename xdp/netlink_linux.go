package xdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// netlink is a socket to the kernel's tables of interfaces, neighbours and routes (RFC 3549,
// rtnetlink(7)). It belongs to the network namespace of the thread that opened it.
type netlink struct {
	fd  int
	seq uint32
	in  []byte
}

var netlinkSeq atomic.Uint32

// openNetlink opens a socket for requests, and one that receives changes when groups is not 0.
func openNetlink(groups uint32) (*netlink, error) {
	kind := unix.SOCK_RAW | unix.SOCK_CLOEXEC
	if groups != 0 {
		kind |= unix.SOCK_NONBLOCK
	}
	fd, err := unix.Socket(unix.AF_NETLINK, kind, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("xdp: cannot open a netlink socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("xdp: bind a netlink socket: %w", err)
	}
	// The kernel answers at once; this is for a kernel that does not.
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2})
	return &netlink{fd: fd, in: make([]byte, 32<<10)}, nil
}

func (nl *netlink) close() {
	if nl != nil && nl.fd >= 0 {
		unix.Close(nl.fd)
		nl.fd = -1
	}
}

// attribute appends an attribute to a message.
func attribute(b []byte, kind int, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, uint16(kind))
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// attributes calls f with each attribute in b. Malformed ones end it.
func attributes(b []byte, f func(kind int, value []byte)) {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return
		}
		f(int(binary.NativeEndian.Uint16(b[2:])&^0xc000), b[4:n]) // without NLA_F_NESTED, NLA_F_NET_BYTEORDER
		b = b[min((n+3)&^3, len(b)):]
	}
}

// request sends one message and calls f with each message of the answer.
func (nl *netlink) request(kind, flags int, body []byte, f func(kind int, body []byte)) error {
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

// events reads what has changed, without blocking, and calls f with each message. False means
// that messages were lost: everything has to be asked for again.
func (nl *netlink) events(f func(kind int, body []byte)) bool {
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
			return true, errors.New("xdp: netlink: a message is longer than what was read")
		}
		body := b[unix.NLMSG_HDRLEN:n]
		if seq == 0 || binary.NativeEndian.Uint32(b[8:]) == seq {
			switch kind {
			case unix.NLMSG_DONE:
				return true, nil
			case unix.NLMSG_ERROR:
				if len(body) < 4 {
					return true, errors.New("xdp: netlink: a short answer")
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

// link is an interface as the kernel describes it.
type link struct {
	index   int
	name    string
	kind    string // such as "veth" or "vlan"; empty for cards and loopback
	flags   uint32 // IFF_…
	ether   bool   // its packets have Ethernet headers
	mtu     int
	mac     mac
	queues  int
	parent  int
	program bool // an XDP program is attached
}

func (l *link) loopback() bool { return l.flags&unix.IFF_LOOPBACK != 0 }
func (l *link) virtual() bool  { return l.kind != "" || l.loopback() }

// up reports whether the interface is up and has a carrier.
func (l *link) up() bool { return l.flags&unix.IFF_UP != 0 && l.flags&unix.IFF_LOWER_UP != 0 }

// link asks for the interface with the index, or, when that is 0, the one called name.
func (nl *netlink) link(name string, index int) (l link, err error) {
	body := make([]byte, unix.SizeofIfInfomsg)
	(*unix.IfInfomsg)(unsafe.Pointer(&body[0])).Index = int32(index)
	if index == 0 {
		body = attribute(body, unix.IFLA_IFNAME, append([]byte(name), 0))
	}
	err = nl.request(unix.RTM_GETLINK, 0, body, func(kind int, b []byte) {
		if kind == unix.RTM_NEWLINK {
			l = parseLink(b)
		}
	})
	if err == nil && l.index == 0 {
		err = unix.ENODEV
	}
	return l, err
}

func parseLink(b []byte) (l link) {
	if len(b) < unix.SizeofIfInfomsg {
		return l
	}
	info := (*unix.IfInfomsg)(unsafe.Pointer(&b[0]))
	l.index, l.flags = int(info.Index), info.Flags
	l.ether = info.Type == unix.ARPHRD_ETHER || info.Type == unix.ARPHRD_LOOPBACK
	attributes(b[unix.SizeofIfInfomsg:], func(kind int, v []byte) {
		switch kind {
		case unix.IFLA_IFNAME:
			l.name = text(v)
		case unix.IFLA_MTU:
			l.mtu = int(word(v))
		case unix.IFLA_ADDRESS:
			copy(l.mac[:], v)
		case unix.IFLA_NUM_RX_QUEUES:
			l.queues = int(word(v))
		case unix.IFLA_LINK:
			l.parent = int(word(v))
		case unix.IFLA_LINKINFO:
			attributes(v, func(kind int, v []byte) {
				if kind == unix.IFLA_INFO_KIND {
					l.kind = text(v)
				}
			})
		case unix.IFLA_XDP:
			attributes(v, func(kind int, v []byte) {
				if kind == unix.IFLA_XDP_ATTACHED {
					l.program = len(v) > 0 && v[0] != 0
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

func word(v []byte) uint32 {
	if len(v) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(v)
}

// addresses asks for the interface's IPv4 addresses, the primary ones first.
func (nl *netlink) addresses(index int) (list [][4]byte, err error) {
	body := make([]byte, unix.SizeofIfAddrmsg)
	body[0] = unix.AF_INET
	err = nl.request(unix.RTM_GETADDR, unix.NLM_F_DUMP, body, func(kind int, b []byte) {
		if at, ip, ok := parseAddress(b); ok && kind == unix.RTM_NEWADDR && at == index {
			list = append(list, ip)
		}
	})
	return list, err
}

func parseAddress(b []byte) (index int, ip [4]byte, ok bool) {
	if len(b) < unix.SizeofIfAddrmsg || b[0] != unix.AF_INET {
		return 0, ip, false
	}
	index = int((*unix.IfAddrmsg)(unsafe.Pointer(&b[0])).Index)
	attributes(b[unix.SizeofIfAddrmsg:], func(kind int, v []byte) {
		if kind == unix.IFA_LOCAL && len(v) == 4 {
			copy(ip[:], v)
			ok = true
		}
	})
	return index, ip, ok
}

// nextHop asks where packets to ip leave through the interface index: the gateway, or ip
// itself. False means through another interface, to this host itself, or nowhere.
func (nl *netlink) nextHop(ip [4]byte, index int) (hop [4]byte, ok bool) {
	body := make([]byte, unix.SizeofRtMsg)
	body[0], body[1] = unix.AF_INET, 32
	body = attribute(body, unix.RTA_DST, ip[:])
	hop = ip
	out, kindOf := 0, 0
	err := nl.request(unix.RTM_GETROUTE, 0, body, func(kind int, b []byte) {
		if kind != unix.RTM_NEWROUTE || len(b) < unix.SizeofRtMsg {
			return
		}
		kindOf = int((*unix.RtMsg)(unsafe.Pointer(&b[0])).Type)
		attributes(b[unix.SizeofRtMsg:], func(kind int, v []byte) {
			switch {
			case kind == unix.RTA_GATEWAY && len(v) == 4:
				copy(hop[:], v)
			case kind == unix.RTA_OIF:
				out = int(word(v))
			}
		})
	})
	return hop, err == nil && out == index && kindOf == unix.RTN_UNICAST
}

// neighbour is an entry of the kernel's table.
type neighbour struct {
	index int
	ip    [4]byte
	mac   mac
	valid bool // mac can be sent to
}

// A neighbour's states in which its address is used (NUD_VALID in net/neighbour.h).
const usable = unix.NUD_PERMANENT | unix.NUD_NOARP | unix.NUD_REACHABLE | unix.NUD_PROBE | unix.NUD_STALE | unix.NUD_DELAY

func parseNeighbour(kind int, b []byte) (n neighbour, ok bool) {
	if len(b) < unix.SizeofNdMsg || b[0] != unix.AF_INET {
		return n, false
	}
	m := (*unix.NdMsg)(unsafe.Pointer(&b[0]))
	n.index = int(m.Ifindex)
	hasMAC := false
	attributes(b[unix.SizeofNdMsg:], func(kind int, v []byte) {
		switch {
		case kind == unix.NDA_DST && len(v) == 4:
			copy(n.ip[:], v)
			ok = true
		case kind == unix.NDA_LLADDR && len(v) == 6:
			copy(n.mac[:], v)
			hasMAC = true
		}
	})
	n.valid = kind == unix.RTM_NEWNEIGH && hasMAC && m.State&usable != 0
	return n, ok
}

// neighbour asks for the entry of ip.
func (nl *netlink) neighbour(ip [4]byte, index int) (n neighbour, ok bool) {
	body := neighbourMessage(ip, index, 0, 0)
	err := nl.request(unix.RTM_GETNEIGH, 0, body, func(kind int, b []byte) {
		n, ok = parseNeighbour(kind, b)
	})
	return n, ok && err == nil
}

// refresh reports to the kernel that the neighbour is in use, which the kernel cannot see: it then
// asks for its address (RFC 826) when that is unknown or has not been confirmed for a while.
func (nl *netlink) refresh(ip [4]byte, index int) error {
	return nl.request(unix.RTM_NEWNEIGH, unix.NLM_F_ACK|unix.NLM_F_CREATE, neighbourMessage(ip, index, unix.NUD_NONE, unix.NTF_USE), func(int, []byte) {})
}

func neighbourMessage(ip [4]byte, index, state, flags int) []byte {
	body := make([]byte, unix.SizeofNdMsg)
	m := (*unix.NdMsg)(unsafe.Pointer(&body[0]))
	m.Family, m.Ifindex, m.State, m.Flags = unix.AF_INET, int32(index), uint16(state), uint8(flags)
	return attribute(body, unix.NDA_DST, ip[:])
}
