package udp

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"
)

// Errors. Open wraps them, and the operating system's own, with what was tried and what helps.
var (
	ErrConfig      = errors.New("udp: configuration")         // an option, or an interface that cannot be used as it is
	ErrUnsupported = errors.New("udp: not supported")         // this host or build lacks what an option demands
	ErrAgain       = errors.New("udp: the socket is full")    // Send stopped short; try again after a turn
	ErrClosed      = errors.New("udp: the driver was closed") // from Send after Close
)

// Config says what a driver is opened for. Group or Peers is needed; every other field may
// be zero.
type Config struct {
	// Group is the IPv4 multicast address and port of the group.
	Group netip.AddrPort

	// Peers are the members of a group without multicast, the driver's own address among
	// them. What is sent to the group goes to each of them. At most 256; SetPeers adds others
	// while the driver runs.
	Peers []netip.AddrPort

	// Bind is the own address with Peers, and must be one of them. Zero takes the first
	// that is local and free.
	Bind netip.AddrPort

	// Interface names the network interface that the group is joined on and sent through.
	// Empty means loopback: nothing leaves the host. With Peers it is not used; the
	// address decides.
	Interface string

	// TTL is the number of hops that multicast may travel, 1..255. Zero means 1: the
	// local network.
	TTL int

	// MTU is the largest IP packet in bytes, 576 up to the interface's MTU (at most 65535).
	// Zero means the interface's, but not more than 1500. Members of a group use the same.
	MTU int

	// DSCP marks what is sent (RFC 2474), 0..63.
	DSCP int

	// BusyPoll makes the kernel poll the network card for this long when a socket is found
	// empty (SO_BUSY_POLL), 0..1s in whole microseconds. It needs a card whose driver
	// supports it, and a privilege. Zero leaves it to the host's settings. Linux only.
	BusyPoll time.Duration

	// GSO is "auto", "on" or "off": whether datagrams travel as segments of larger packets,
	// in both directions. Empty means auto: where the kernel can.
	GSO string

	// First returns the length of the first datagram in a packet that may be several in a row, all but the last of one
	// length; len(packet) where it is one. With it a driver that waits asks for packets by a cheaper call, which does not
	// show the length of segments, until a packet comes that is longer than a datagram and that First takes for one. Nil: it
	// does without. It must not keep packet. Linux only.
	First func(packet []byte) int

	// Loop is "auto", "on" or "off": whether what is sent to the group goes to the other sockets of this host
	// that have joined it too. The kernel makes a copy of everything for that, and this member's own socket filters
	// it. Empty means auto: while there is such a socket, or where that is not known. Off is for a host on which
	// nobody else wants it. On the loopback interface, and with Peers, it has no effect; outside Linux auto is on.
	Loop string

	// RecvBuffer and SendBuffer are the sizes that are asked for the sockets, in bytes,
	// 4 KiB..1 GiB. Zero means 16 MiB and 4 MiB. The host may grant less; Room has what it granted.
	RecvBuffer, SendBuffer int

	// Logger takes the few lines that a driver logs. Nil means slog.Default().
	Logger *slog.Logger
}

const (
	minMTU     = 576 // RFC 791: what every host must take
	maxMTU     = 65535
	defaultMTU = 1500
	headers    = 28 // IPv4 without options, and UDP

	defaultRecvBuffer = 16 << 20
	defaultSendBuffer = 4 << 20
	minBuffer         = 4 << 10
	maxBuffer         = 1 << 30

	maxPeers = 256
)

// withDefaults returns c with its zero fields filled in (MTU apart, which the interface
// decides), or an error that names the field, its value and what is allowed.
func (c Config) withDefaults() (Config, error) {
	bad := func(format string, a ...any) (Config, error) {
		return Config{}, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, a...)...)
	}
	switch {
	case c.Group.IsValid() && len(c.Peers) > 0:
		return bad("a group %v and a list of peers exclude each other", c.Group)
	case c.Group.IsValid():
		if a := c.Group.Addr(); !a.Is4() || !a.IsMulticast() {
			return bad("group address %v is no IPv4 multicast address (224.0.0.0 to 239.255.255.255; 239.x.y.z is for private use)", a)
		}
		if c.Group.Port() == 0 {
			return bad("group %v needs a port (1 to 65535)", c.Group)
		}
		if c.Bind.IsValid() {
			return bad("bind address %v goes with a list of peers, not with group %v; name an interface instead", c.Bind, c.Group)
		}
	case len(c.Peers) > 0:
		if err := checkPeers(c.Peers, c.Bind); err != nil {
			return Config{}, err
		}
	default:
		return bad("neither a group nor a list of peers is given")
	}

	if c.TTL == 0 {
		c.TTL = 1
	}
	if c.RecvBuffer == 0 {
		c.RecvBuffer = defaultRecvBuffer
	}
	if c.SendBuffer == 0 {
		c.SendBuffer = defaultSendBuffer
	}
	if c.GSO == "" {
		c.GSO = "auto"
	}
	if c.Loop == "" {
		c.Loop = "auto"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	switch {
	case c.TTL < 1 || c.TTL > 255:
		return bad("ttl %d is outside 1 to 255", c.TTL)
	case c.MTU != 0 && (c.MTU < minMTU || c.MTU > maxMTU):
		return bad("mtu %d is outside %d to %d", c.MTU, minMTU, maxMTU)
	case c.DSCP < 0 || c.DSCP > 63:
		return bad("dscp %d is outside 0 to 63", c.DSCP)
	case c.BusyPoll < 0 || c.BusyPoll > time.Second:
		return bad("busypoll %v is outside 0 to 1s", c.BusyPoll)
	case c.BusyPoll%time.Microsecond != 0:
		return bad("busypoll %v is not a whole number of microseconds", c.BusyPoll)
	case c.GSO != "auto" && c.GSO != "on" && c.GSO != "off":
		return bad("gso %q is none of auto, on, off", c.GSO)
	case c.Loop != "auto" && c.Loop != "on" && c.Loop != "off":
		return bad("loop %q is none of auto, on, off", c.Loop)
	case c.RecvBuffer < minBuffer || c.RecvBuffer > maxBuffer:
		return bad("receive buffer of %d bytes is outside %d to %d", c.RecvBuffer, minBuffer, maxBuffer)
	case c.SendBuffer < minBuffer || c.SendBuffer > maxBuffer:
		return bad("send buffer of %d bytes is outside %d to %d", c.SendBuffer, minBuffer, maxBuffer)
	}
	return c, nil
}

func checkPeers(peers []netip.AddrPort, bind netip.AddrPort) error {
	if len(peers) > maxPeers {
		return fmt.Errorf("%w: %d peers are listed, at most %d are possible; use multicast", ErrConfig, len(peers), maxPeers)
	}
	listed := false
	for i, p := range peers {
		if a := p.Addr(); !a.Is4() || a.IsMulticast() || a.IsUnspecified() || p.Port() == 0 {
			return fmt.Errorf("%w: peer %v is no IPv4 unicast address with a port", ErrConfig, p)
		}
		for _, q := range peers[:i] {
			if p == q {
				return fmt.Errorf("%w: peer %v is listed twice", ErrConfig, p)
			}
		}
		listed = listed || p == bind
	}
	if bind.IsValid() && !listed {
		return fmt.Errorf("%w: bind address %v is not among the listed peers, so nobody would send to it; add it to the list", ErrConfig, bind)
	}
	return nil
}
