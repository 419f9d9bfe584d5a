//go:build !linux

package xdp

import (
	"fmt"
	"runtime"
)

// LookAt answers ErrUnsupported: AF_XDP is Linux's.
func LookAt(Config) (Look, error) { return Look{}, Available() }

// Available answers ErrUnsupported.
func Available() error {
	return fmt.Errorf("%w: AF_XDP needs Linux, this is %s", ErrUnsupported, runtime.GOOS)
}
