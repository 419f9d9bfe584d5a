//go:build unix

package blaze_test

import (
	"net"
	"syscall"
)

// sendOnLoopback makes c send multicast on the loopback interface.
func sendOnLoopback(c *net.UDPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInet4Addr(int(fd), syscall.IPPROTO_IP, syscall.IP_MULTICAST_IF, [4]byte{127, 0, 0, 1})
	})
	if err != nil {
		return err
	}
	return failed
}
