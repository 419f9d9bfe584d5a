package iface

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Netlink's messages are the kernel's, but a length that lies must not end in a fault.
func TestNetlinkIsNotTrusted(t *testing.T) {
	whole := Attribute(Attribute(make([]byte, unix.SizeofIfInfomsg), unix.IFLA_IFNAME, []byte("v0")), unix.IFLA_MTU, []byte{1, 2})
	for n := range whole {
		ParseLink(whole[:n])
		_, _, _ = ParseAddress(append([]byte{unix.AF_INET}, whole[1:n+1]...))
		_, _ = messages(whole[:n], 0, func(int, []byte) {})
	}
}
