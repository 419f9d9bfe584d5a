package doctor

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// The generic netlink family "netdev" (linux/netdev.h, Linux 6.3; queues since 6.8), which x/sys
// does not have. It is asked, and nothing else: no packet leaves for that.
const (
	netdevDevGet   = 1
	netdevQueueGet = 10

	netdevDevIfindex  = 1
	netdevDevFeatures = 3

	netdevQueueID      = 1
	netdevQueueIfindex = 2
	netdevQueueType    = 3
	netdevQueueNAPI    = 4
	queueRx            = 0

	// Bits of the features (enum netdev_xdp_act).
	xdpBasic    = 1 << 0
	xdpRedirect = 1 << 1
	xdpZeroCopy = 1 << 3
)

// card is what the family reports of an interface.
type card struct {
	known    bool   // the kernel has the family
	features uint64 // enum netdev_xdp_act; 0: no native mode
	napis    []int  // of the receive queues, in order; 0: none that has a number
	queues   bool   // the kernel lists queues
}

// askCard asks the kernel about an interface.
func askCard(ifindex int) (c card) {
	g, err := openGeneric("netdev")
	if err != nil {
		return c
	}
	defer g.close()
	index := attribute(nil, netdevDevIfindex, binary.NativeEndian.AppendUint32(nil, uint32(ifindex)))
	err = g.ask(netdevDevGet, 0, index, func(kind int, v []byte) {
		if kind == netdevDevFeatures && len(v) == 8 {
			c.features = binary.NativeEndian.Uint64(v)
		}
	}, nil)
	c.known = err == nil

	index = attribute(nil, netdevQueueIfindex, binary.NativeEndian.AppendUint32(nil, uint32(ifindex)))
	id, napi, queueType := 0, 0, -1
	err = g.ask(netdevQueueGet, unix.NLM_F_DUMP, index, func(kind int, v []byte) {
		if len(v) != 4 {
			return
		}
		n := int(binary.NativeEndian.Uint32(v))
		switch kind {
		case netdevQueueID:
			id = n
		case netdevQueueType:
			queueType = n
		case netdevQueueNAPI:
			napi = n
		}
	}, func() {
		if queueType == queueRx && id >= len(c.napis) && id < 4096 {
			c.napis = append(c.napis, make([]int, id+1-len(c.napis))...)
			c.napis[id] = napi
		}
		id, napi, queueType = 0, 0, -1
	})
	c.queues = err == nil
	return c
}

// generic is a socket to a family of generic netlink.
type generic struct {
	fd     int
	family uint16
	seq    uint32
	in     []byte
}

// openGeneric finds a family by its name (GENL_ID_CTRL).
func openGeneric(name string) (*generic, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, err
	}
	g := &generic{fd: fd, family: unix.GENL_ID_CTRL, in: make([]byte, 64<<10)}
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1})
	family := uint16(0)
	err = g.ask(unix.CTRL_CMD_GETFAMILY, 0, attribute(nil, unix.CTRL_ATTR_FAMILY_NAME, append([]byte(name), 0)), func(kind int, v []byte) {
		if kind == unix.CTRL_ATTR_FAMILY_ID && len(v) >= 2 {
			family = binary.NativeEndian.Uint16(v)
		}
	}, nil)
	if err == nil && family == 0 {
		err = unix.ENOENT
	}
	if err != nil {
		g.close()
		return nil, fmt.Errorf("generic netlink family %s: %w", name, err)
	}
	g.family = family
	return g, nil
}

func (g *generic) close() { unix.Close(g.fd) }

// ask sends one request, calls f with each attribute of the answers, and end after each answer.
func (g *generic) ask(command uint8, flags uint16, body []byte, f func(kind int, value []byte), end func()) error {
	g.seq++
	m := binary.NativeEndian.AppendUint32(nil, uint32(20+len(body)))
	m = binary.NativeEndian.AppendUint16(m, g.family)
	m = binary.NativeEndian.AppendUint16(m, unix.NLM_F_REQUEST|flags)
	m = binary.NativeEndian.AppendUint32(m, g.seq)
	m = binary.NativeEndian.AppendUint32(m, 0)
	m = append(m, command, 1, 0, 0)
	if err := unix.Sendto(g.fd, append(m, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	for {
		n, err := unix.Read(g.fd, g.in)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		for b := g.in[:n]; len(b) >= unix.NLMSG_HDRLEN; {
			size := int(binary.NativeEndian.Uint32(b))
			if size < unix.NLMSG_HDRLEN || size > len(b) {
				return unix.EBADMSG
			}
			switch kind, body := binary.NativeEndian.Uint16(b[4:]), b[unix.NLMSG_HDRLEN:size]; {
			case kind == unix.NLMSG_DONE:
				return nil
			case kind == unix.NLMSG_ERROR && len(body) >= 4:
				if e := int32(binary.NativeEndian.Uint32(body)); e != 0 {
					return unix.Errno(-e)
				}
				return nil
			case len(body) >= 4:
				attributes(body[4:], f)
				if end != nil {
					end()
				}
			}
			b = b[min((size+3)&^3, len(b)):]
		}
		if flags&unix.NLM_F_DUMP == 0 {
			return nil
		}
	}
}

// attribute appends a netlink attribute.
func attribute(b []byte, kind int, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, uint16(kind))
	b = append(b, value...)
	return append(b, make([]byte, -len(value)&3)...)
}

// attributes calls f with each attribute in b.
func attributes(b []byte, f func(kind int, value []byte)) {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return
		}
		f(int(binary.NativeEndian.Uint16(b[2:])&^uint16(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER)), b[4:n])
		b = b[min((n+3)&^3, len(b)):]
	}
}
