// Package ip4 is how the drivers name IPv4 addresses: as a buf.Endpoint, which is address<<16 | port.
package ip4

import (
	"net/netip"

	"github.com/activeblaze/blaze/buf"
)

// EndpointOf is a's name. It is buf.Group, which no peer can have, when a is not an IPv4 address
// with a port.
func EndpointOf(a netip.AddrPort) buf.Endpoint {
	addr := a.Addr().Unmap()
	if !addr.Is4() || addr.IsUnspecified() || a.Port() == 0 {
		return buf.Group
	}
	return Endpoint(addr.As4(), a.Port())
}

// Addr undoes EndpointOf; for buf.Group it is 0.0.0.0:0.
func Addr(e buf.Endpoint) netip.AddrPort {
	ip, port := Split(e)
	return netip.AddrPortFrom(netip.AddrFrom4(ip), port)
}

// Endpoint is the name of a port of ip.
func Endpoint(ip [4]byte, port uint16) buf.Endpoint {
	return buf.Endpoint(ip[0])<<40 | buf.Endpoint(ip[1])<<32 | buf.Endpoint(ip[2])<<24 | buf.Endpoint(ip[3])<<16 | buf.Endpoint(port)
}

// Split undoes Endpoint.
func Split(e buf.Endpoint) (ip [4]byte, port uint16) {
	return [4]byte{byte(e >> 40), byte(e >> 32), byte(e >> 24), byte(e >> 16)}, uint16(e)
}
