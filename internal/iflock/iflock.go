// Package iflock keeps members of one host apart that cannot share a network interface, and lets those that can find
// each other.
//
// An AF_XDP member takes the group's packets off the interface before the kernel's sockets see
// them, and what it sends is not heard on its own host. So it is alone there: a second member of
// the same group on the same interface, over whatever driver, would hear nothing and not know
// why. The locks here make it an error that says who is in the way.
//
// A lock is a socket with a name in Linux's abstract namespace (unix(7)). Such names belong to
// a network namespace, as interfaces do; they end with the process, however it ends; and any
// user may ask who has one.
//
// udp members that have to know of each other answer under their names (Answering). A member that comes claims its name,
// and asks each of the others that hold one (Ask). So of two members that come at the same time at least one asks the
// other. A connection ends with its answer: 200 members would hold 40,000 otherwise.
package iflock

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
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
type Lock struct {
	fds []int

	// Of a member that answers:
	listener *net.UnixListener // nil: it has no name
	prefix   string            // of the names of all such members of its group
	number   int               // of its own name, 0..maxShared−1
}

func name(driver string, ifindex int, what string) string {
	return fmt.Sprintf("@blaze/%s/%d/%s", driver, ifindex, what)
}

// Exclusive claims the interface and the group on it for an xdp member. The error is a
// *HeldError, or that the host has no such locks.
func Exclusive(ifindex int, group netip.AddrPort) (*Lock, error) { return exclusive(ifindex, group) }

// Shared claims the group on the interface for a udp member, one of many. Where there are no
// such locks it is nil, without an error.
func Shared(ifindex int, group netip.AddrPort) (*Lock, error) { return shared(ifindex, group) }

// Answering is Shared for a member that answers the others of its group: it calls Answer. The Lock has no name (Named)
// where the host has no such locks, and where more members share the group than there are names.
func Answering(ifindex int, group netip.AddrPort) (*Lock, error) { return answering(ifindex, group) }

// Named reports whether the others can find this member.
func (l *Lock) Named() bool { return l != nil && l.listener != nil }

// Answer waits for members that ask. It calls asked for each, and answers when asked has returned. It returns after
// Release. Without a name it returns at once.
func (l *Lock) Answer(asked func()) {
	if !l.Named() {
		return
	}
	for {
		c, err := l.listener.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // such as: no descriptor is left. Somebody waits in vain, and not for long.
			asked()
			time.Sleep(10 * time.Millisecond)
		default:
			asked()
			_, _ = c.Write([]byte{1}) // one byte always fits
			c.Close()
		}
	}
}

// Ask asks all other members of the group on the interface that answer, and waits until they have, at most for limit. It
// returns how many others there are, and how many of them have answered or ended meanwhile. It has to run in the network
// namespace in which the Lock was made.
func (l *Lock) Ask(limit time.Duration) (others, done int) {
	if !l.Named() {
		return 0, 0
	}
	return l.ask(limit)
}

// Count counts members on an interface in list, which is what /proc/net/unix has: those of the group that answer, and
// all that are known to have joined the group's address, whatever their port. The two include the caller's own.
func Count(list []byte, ifindex int, group netip.AddrPort) (same, all int) {
	return count(list, ifindex, group)
}

// Release ends the claim.
func (l *Lock) Release() {
	if l != nil {
		l.release()
	}
}
