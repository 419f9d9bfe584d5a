package dump

import (
	"encoding/binary"
	"fmt"
)

// Link is what a packet's data begins with, as captures number it (LINKTYPE_…, tcpdump.org/linktypes.html).
type Link uint16

// The links that are understood: what tcpdump writes on an interface, on lo of macOS, and with -i any.
const (
	linkNull     Link = 0
	linkEthernet Link = 1
	linkRaw      Link = 101
	linkLoop     Link = 108
	linkCooked   Link = 113
	linkIPv4     Link = 228
	linkCooked2  Link = 276
)

// network takes the link's header off: what remains is of a kind as Ethernet numbers it. Where that cannot be, why says
// what the packet is.
func (p *Packet) network() (kind uint16, rest []byte, why string) {
	b := p.Data
	short := func(n int) bool { return len(b) < n }
	switch p.Link {
	case linkEthernet:
		if short(14) {
			return 0, nil, "cut short in its Ethernet header"
		}
		return binary.BigEndian.Uint16(b[12:]), b[14:], ""
	case linkRaw, linkIPv4:
		return etherIPv4, b, ""
	case linkNull, linkLoop:
		if short(4) {
			return 0, nil, "cut short in its loopback header"
		}
		// The family is in the byte order of the host that captured: 2 is IPv4 everywhere.
		if binary.LittleEndian.Uint32(b) == 2 || binary.BigEndian.Uint32(b) == 2 {
			return etherIPv4, b[4:], ""
		}
		return 0, nil, "a packet of another family than IPv4"
	case linkCooked:
		if short(16) {
			return 0, nil, "cut short in its Linux cooked header"
		}
		p.cooked(binary.BigEndian.Uint16(b))
		return binary.BigEndian.Uint16(b[14:]), b[16:], ""
	case linkCooked2:
		if short(20) {
			return 0, nil, "cut short in its Linux cooked header"
		}
		p.cooked(uint16(b[10]))
		return binary.BigEndian.Uint16(b), b[20:], ""
	}
	return 0, nil, fmt.Sprintf("a packet of link type %d", p.Link)
}

// cooked takes the direction from the type of a cooked packet: 4 was sent by the host.
func (p *Packet) cooked(kind uint16) {
	if p.Direction != Unknown {
		return
	}
	if p.Direction = In; kind == 4 {
		p.Direction = Out
	}
}
