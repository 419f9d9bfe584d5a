package xdp

import (
	"net/netip"

	"github.com/activeblaze/blaze/buf"
)

// EndpointOf is how this package names an IPv4 address and port, the same as package udp:
// address<<16 | port. It is buf.Group when a is not an IPv4 address with a port.
func EndpointOf(a netip.AddrPort) buf.Endpoint {
	addr := a.Addr().Unmap()
	if !addr.Is4() || addr.IsUnspecified() || a.Port() == 0 {
		return buf.Group
	}
	return endpoint(addr.As4(), a.Port())
}

func endpoint(ip [4]byte, port uint16) buf.Endpoint {
	return buf.Endpoint(ip[0])<<40 | buf.Endpoint(ip[1])<<32 | buf.Endpoint(ip[2])<<24 | buf.Endpoint(ip[3])<<16 | buf.Endpoint(port)
}

func split(e buf.Endpoint) (ip [4]byte, port uint16) {
	return [4]byte{byte(e >> 40), byte(e >> 32), byte(e >> 24), byte(e >> 16)}, uint16(e)
}

// addrOf undoes EndpointOf.
func addrOf(e buf.Endpoint) netip.AddrPort {
	ip, port := split(e)
	return netip.AddrPortFrom(netip.AddrFrom4(ip), port)
}
