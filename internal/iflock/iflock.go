// Package iflock keeps members of one host apart that cannot share a network interface.
//
// An AF_XDP member takes the group's packets off the interface before the kernel's sockets see
// them, and what it sends is not heard on its own host. So it is alone there: a second member of
// the same group on the same interface, over whatever driver, would hear nothing and not know
// why. The locks here make it an error that says who is in the way.
//
// A lock is a socket with a name in Linux's abstract namespace (unix(7)). Such names belong to
// a network namespace, as interfaces do; they end with the process, however it ends; and any
// user may ask who has one.
package iflock

import (
	"errors"
	"fmt"
	"net/netip"
)

// ErrHeld means that another member is in the way. See HeldError.
var ErrHeld = errors.New("held by another member")

// A HeldError says who is in the way.
type HeldError struct {
	By      string // "xdp" or "udp"
	PID     int    // 0: unknown
	Command string // its name; empty: unknown
}

func (e *HeldError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = fmt.Sprintf("process %d", e.PID)
		if e.Command != "" {
			who += " (" + e.Command + ")"
		}
	}
	if e.By == "udp" {
		return who + " has a udp member of the group on this interface, which would hear nothing any more; " +
			"stop it, use udp:// here too, or give one of them another interface or group"
	}
	return who + " has an xdp member on this interface, which takes the group's packets; " +
		"stop it, use udp:// for both, or give one of them another interface"
}

// Is makes errors.Is(err, ErrHeld) true.
func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// Lock is a claim on an interface. Nil is no claim.
type Lock struct{ fds []int }

func name(driver string, ifindex int, what string) string {
	return fmt.Sprintf("@blaze/%s/%d/%s", driver, ifindex, what)
}

// Exclusive claims the interface and the group on it for an xdp member. The error is a
// *HeldError, or that the host has no such locks.
func Exclusive(ifindex int, group netip.AddrPort) (*Lock, error) { return exclusive(ifindex, group) }

// Shared claims the group on the interface for a udp member, one of many. Where there are no
// such locks it is nil, without an error.
func Shared(ifindex int, group netip.AddrPort) (*Lock, error) { return shared(ifindex, group) }

// Release ends the claim.
func (l *Lock) Release() {
	if l != nil {
		l.release()
	}
}
