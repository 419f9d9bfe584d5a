package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/windows"
)

// setOptions prepares a member's own socket for sending. Windows ignores IP_TOS.
func setOptions(c *net.UDPConn, from netip.Addr, cfg Config) error {
	if cfg.Loop == "off" {
		return fmt.Errorf("%w: loop=off: on Windows receivers decide", ErrUnsupported)
	}
	err := control(c, func(fd uintptr) error {
		s := syscall.Handle(fd)
		return errors.Join(
			syscall.SetsockoptInt(s, syscall.IPPROTO_IP, syscall.IP_MULTICAST_TTL, cfg.TTL),
			syscall.SetsockoptInet4Addr(s, syscall.IPPROTO_IP, syscall.IP_MULTICAST_IF, from.As4()),
		)
	})
	if err != nil {
		return fmt.Errorf("udp: options for sending from %v: %w", from, err)
	}
	return nil
}

// setGroupOptions prepares the group's socket. On Windows it is the receiving socket that
// decides whether datagrams of other members of this host arrive.
func setGroupOptions(c *net.UDPConn) error {
	err := control(c, func(fd uintptr) error {
		return syscall.SetsockoptInt(syscall.Handle(fd), syscall.IPPROTO_IP, syscall.IP_MULTICAST_LOOP, 1)
	})
	if err != nil {
		return fmt.Errorf("udp: options of the group's socket: %w", err)
	}
	return nil
}

// grantedRoom reads the size of the receive buffer.
func grantedRoom(c *net.UDPConn) (n int, err error) {
	err = control(c, func(fd uintptr) (err error) {
		n, err = windows.GetsockoptInt(windows.Handle(fd), windows.SOL_SOCKET, windows.SO_RCVBUF)
		return err
	})
	return n, err
}

func inUse(err error) bool { return errors.Is(err, windows.WSAEADDRINUSE) }

// tooLong reports whether a datagram did not fit.
func tooLong(err error) bool { return errors.Is(err, windows.WSAEMSGSIZE) }
