package xdp

import (
	"unsafe"

	"github.com/activeblaze/blaze/internal/iface"
	"golang.org/x/sys/unix"
)

// nextHop asks where packets to ip leave through the interface index: the gateway, or ip
// itself. False means through another interface, to this host itself, or nowhere.
func nextHop(nl *iface.Netlink, ip [4]byte, index int) (hop [4]byte, ok bool) {
	body := make([]byte, unix.SizeofRtMsg)
	body[0], body[1] = unix.AF_INET, 32
	body = iface.Attribute(body, unix.RTA_DST, ip[:])
	hop = ip
	out, kindOf := 0, 0
	err := nl.Request(unix.RTM_GETROUTE, 0, body, func(kind int, b []byte) {
		if kind != unix.RTM_NEWROUTE || len(b) < unix.SizeofRtMsg {
			return
		}
		kindOf = int((*unix.RtMsg)(unsafe.Pointer(&b[0])).Type)
		iface.Attributes(b[unix.SizeofRtMsg:], func(kind int, v []byte) {
			switch {
			case kind == unix.RTA_GATEWAY && len(v) == 4:
				copy(hop[:], v)
			case kind == unix.RTA_OIF:
				out = int(iface.Word(v))
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
	iface.Attributes(b[unix.SizeofNdMsg:], func(kind int, v []byte) {
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

// findNeighbour asks for the entry of ip.
func findNeighbour(nl *iface.Netlink, ip [4]byte, index int) (n neighbour, ok bool) {
	body := neighbourMessage(ip, index, 0, 0)
	err := nl.Request(unix.RTM_GETNEIGH, 0, body, func(kind int, b []byte) {
		n, ok = parseNeighbour(kind, b)
	})
	return n, ok && err == nil
}

// refreshNeighbour reports to the kernel that the neighbour is in use, which the kernel cannot see: it then
// asks for its address (RFC 826) when that is unknown or has not been confirmed for a while.
func refreshNeighbour(nl *iface.Netlink, ip [4]byte, index int) error {
	return nl.Request(unix.RTM_NEWNEIGH, unix.NLM_F_ACK|unix.NLM_F_CREATE, neighbourMessage(ip, index, unix.NUD_NONE, unix.NTF_USE), func(int, []byte) {})
}

func neighbourMessage(ip [4]byte, index, state, flags int) []byte {
	body := make([]byte, unix.SizeofNdMsg)
	m := (*unix.NdMsg)(unsafe.Pointer(&body[0]))
	m.Family, m.Ifindex, m.State, m.Flags = unix.AF_INET, int32(index), uint16(state), uint8(flags)
	return iface.Attribute(body, unix.NDA_DST, ip[:])
}
