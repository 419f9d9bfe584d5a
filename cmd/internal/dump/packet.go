package dump

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Ethernet types and IPv4 protocols that are distinguished.
const (
	etherIPv4 = 0x0800
	etherVLAN = 0x8100
	etherQinQ = 0x88a8
	protoUDP  = 17
)

var names = map[uint16]string{0x0806: "ARP", 0x86dd: "IPv6", 0x88cc: "LLDP"}

// udp is what Open finds in a packet.
type udp struct {
	from, to netip.AddrPort
	vlan     []uint16
	payload  []byte
	cut      int // bytes of the payload that were not captured
}

// open takes the headers off a packet. Where it is no UDP over IPv4, why is what it is.
func open(p *Packet) (u udp, why string) {
	kind, b, why := p.network()
	if why != "" {
		return u, why
	}
	for kind == etherVLAN || kind == etherQinQ {
		if len(b) < 4 {
			return u, "cut short in a VLAN tag"
		}
		u.vlan = append(u.vlan, binary.BigEndian.Uint16(b)&0xfff)
		kind, b = binary.BigEndian.Uint16(b[2:]), b[4:]
	}
	if kind != etherIPv4 {
		if name := names[kind]; name != "" {
			return u, name
		}
		return u, fmt.Sprintf("Ethernet type %#04x", kind)
	}
	if len(b) < 20 || b[0]>>4 != 4 || int(b[0]&15)*4 < 20 || len(b) < int(b[0]&15)*4 {
		return u, "cut short in its IPv4 header, or none"
	}
	head := int(b[0]&15) * 4
	source, dest := netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	switch {
	case b[9] != protoUDP:
		return u, fmt.Sprintf("IPv4 protocol %d, %v → %v", b[9], source, dest)
	case binary.BigEndian.Uint16(b[6:])&0x3fff != 0:
		return u, fmt.Sprintf("a fragment, %v → %v", source, dest)
	}
	b = b[head:]
	if len(b) < 8 {
		return u, "cut short in its UDP header"
	}
	u.from = netip.AddrPortFrom(source, binary.BigEndian.Uint16(b))
	u.to = netip.AddrPortFrom(dest, binary.BigEndian.Uint16(b[2:]))
	n := int(binary.BigEndian.Uint16(b[4:])) - 8
	if n < 0 {
		return u, fmt.Sprintf("UDP with a length of %d, %v → %v", n+8, u.from, u.to)
	}
	b = b[8:]
	u.cut = max(0, n-len(b))
	u.payload = b[:min(n, len(b))]
	return u, ""
}
