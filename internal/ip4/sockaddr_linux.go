package ip4

import (
	"github.com/activeblaze/blaze/buf"
	"golang.org/x/sys/unix"
)

// Sockaddr is struct sockaddr_in with its network byte order spelled out.
type Sockaddr struct {
	family uint16
	port   [2]byte
	ip     [4]byte
	_      [8]byte
}

// Set makes s the address of e.
func (s *Sockaddr) Set(e buf.Endpoint) {
	ip, port := Split(e)
	s.family, s.port, s.ip = unix.AF_INET, [2]byte{byte(port >> 8), byte(port)}, ip
}

// Endpoint is the name of the address.
func (s *Sockaddr) Endpoint() buf.Endpoint {
	return Endpoint(s.ip, uint16(s.port[0])<<8|uint16(s.port[1]))
}
