package xdp

import (
	"net/netip"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/ip4"
)

// EndpointOf is how this package names an IPv4 address and port, the same as package udp:
// address<<16 | port. It is buf.Group, which no peer can have, when a is not an IPv4 address with a
// port.
func EndpointOf(a netip.AddrPort) buf.Endpoint { return ip4.EndpointOf(a) }
