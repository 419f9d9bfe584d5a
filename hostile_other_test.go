//go:build !unix

package blaze_test

import (
	"errors"
	"net"
)

func sendOnLoopback(*net.UDPConn) error { return errors.New("not written for this system") }
