//go:build unix

package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"syscall"
)

// setOptions prepares a member's own socket for sending.
func setOptions(c *net.UDPConn, from netip.Addr, cfg Config) error {
	err := control(c, func(fd uintptr) error {
		s := int(fd)
		loop := byte(1)
		if cfg.Loop == "off" && !from.IsLoopback() { // there it has no effect; on the BSDs it would have nothing arrive
			loop = 0
		}
		// The BSDs want these two as a byte, Linux and Darwin take it.
		return errors.Join(
			syscall.SetsockoptByte(s, syscall.IPPROTO_IP, syscall.IP_MULTICAST_TTL, byte(cfg.TTL)),
			syscall.SetsockoptByte(s, syscall.IPPROTO_IP, syscall.IP_MULTICAST_LOOP, loop),
			syscall.SetsockoptInet4Addr(s, syscall.IPPROTO_IP, syscall.IP_MULTICAST_IF, from.As4()),
			syscall.SetsockoptInt(s, syscall.IPPROTO_IP, syscall.IP_TOS, cfg.DSCP<<2),
		)
	})
	if err != nil {
		return fmt.Errorf("udp: options for sending from %v: %w", from, err)
	}
	return nil
}

// setGroupOptions prepares the group's socket.
func setGroupOptions(*net.UDPConn) error { return nil }

// grantedRoom reads the size of the receive buffer.
func grantedRoom(c *net.UDPConn) (n int, err error) {
	err = control(c, func(fd uintptr) (err error) {
		n, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF)
		return err
	})
	if runtime.GOOS == "linux" {
		n /= 2 // Linux doubles what it is asked for (socket(7))
	}
	return n, err
}

func inUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }

// tooLong reports whether a datagram did not fit. Unix cuts it off without an error.
func tooLong(error) bool { return false }
