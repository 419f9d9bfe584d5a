package bpf

import (
	"fmt"
	"math"
	"net/netip"
)

// Bounds of Config.
const (
	MaxQueues = 1024
	MaxLanes  = 1 << 16

	// DefaultFrameBytes is what a UMEM buffer of 2 KiB holds: the kernel keeps the first
	// 256 bytes of it (XDP_PACKET_HEADROOM).
	DefaultFrameBytes = 2048 - 256
)

// Config says what the filter lets through to the sockets. The lanes can be
// changed while it runs; the rest is fixed by Load.
type Config struct {
	// Group is the IPv4 multicast address and port of the group. Zero: no group.
	Group netip.AddrPort

	// Unicast is the member's own IPv4 address and port. Zero: none.
	Unicast netip.AddrPort

	// Cluster is the hash of the cluster's name that is in every datagram (wire.ClusterHash).
	Cluster uint64

	// Lanes are the lanes that are wanted from the group, whatever protocol they are sent
	// under: ranges of a first and a last one, each below MaxLanes. Nil means all of them,
	// and an empty slice none. What comes to Unicast is not filtered by lane.
	Lanes [][2]uint32

	// VLAN is the network that the member is on, where packets come with their tags: at
	// most two ids, 1..4094, the outer one first. Empty means the untagged network, and nil
	// every one. Cards that take the tags off hide them from the program.
	VLAN []uint16

	// Queues is the number of receive queues that may get a socket, 1..MaxQueues. Zero
	// means 1. Packets of other queues are passed to the kernel.
	Queues int

	// FrameBytes is the longest packet that a socket's buffer holds, from the Ethernet
	// header to the end. The kernel would drop a longer one at the socket; the program
	// passes it instead. 64..65535; zero means DefaultFrameBytes.
	FrameBytes int

	// Breakdown makes the program write the time of arrival into the 8 bytes in front of
	// the packet: bpf_ktime_get_ns, which is CLOCK_MONOTONIC in nanoseconds, in the host's
	// byte order. Both modes and AF_XDP's copy keep it.
	Breakdown bool

	// Loss is for tests: the part of the datagrams, 0..1, that the program drops instead of
	// redirecting them. With one queue, Seed decides which ones. Zero: none, and the code
	// for it is not in the loaded program.
	Loss float64
	Seed uint64
}

// Mode is where in the kernel the program runs.
type Mode uint8

// The modes.
const (
	Native  Mode = iota + 1 // in the driver, before the kernel makes a packet buffer of it
	Generic                 // in the stack: on every interface
)

func (m Mode) String() string {
	switch m {
	case Native:
		return "native"
	case Generic:
		return "generic"
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// withDefaults is c with its zero values replaced. The error names the field that is wrong.
func (c Config) withDefaults() (Config, error) {
	if c.Queues == 0 {
		c.Queues = 1
	}
	if c.FrameBytes == 0 {
		c.FrameBytes = DefaultFrameBytes
	}
	if err := checkGroup(c.Group); err != nil {
		return c, err
	}
	if err := checkUnicast(c.Unicast); err != nil {
		return c, err
	}
	if err := checkLanes(c.Lanes); err != nil {
		return c, err
	}
	if err := checkVLAN(c.VLAN); err != nil {
		return c, err
	}
	switch {
	case c.Queues < 1 || c.Queues > MaxQueues:
		return c, fmt.Errorf("%w: Queues is %d, not 1..%d", ErrConfig, c.Queues, MaxQueues)
	case c.FrameBytes < 64 || c.FrameBytes > math.MaxUint16:
		return c, fmt.Errorf("%w: FrameBytes is %d, not 64..65535", ErrConfig, c.FrameBytes)
	case !(c.Loss >= 0 && c.Loss <= 1):
		return c, fmt.Errorf("%w: Loss is %v, not 0..1", ErrConfig, c.Loss)
	}
	return c, nil
}

func checkGroup(a netip.AddrPort) error {
	if a != (netip.AddrPort{}) && (!a.Addr().Is4() || !a.Addr().IsMulticast() || a.Port() == 0) {
		return fmt.Errorf("%w: Group %v is no IPv4 multicast address with a port", ErrConfig, a)
	}
	return nil
}

func checkUnicast(a netip.AddrPort) error {
	if a == (netip.AddrPort{}) {
		return nil
	}
	if ip := a.Addr(); !ip.Is4() || ip.IsMulticast() || ip.IsUnspecified() || a.Port() == 0 {
		return fmt.Errorf("%w: Unicast %v is no IPv4 unicast address with a port", ErrConfig, a)
	}
	return nil
}

func checkLanes(ranges [][2]uint32) error {
	for _, r := range ranges {
		if r[1] >= MaxLanes {
			return fmt.Errorf("%w: Lanes has %d, not below %d", ErrConfig, r[1], MaxLanes)
		}
		if r[0] > r[1] {
			return fmt.Errorf("%w: Lanes has a range from %d to %d", ErrConfig, r[0], r[1])
		}
	}
	return nil
}

func checkVLAN(ids []uint16) error {
	if len(ids) > 2 {
		return fmt.Errorf("%w: VLAN has %d tags, more than 2", ErrConfig, len(ids))
	}
	for _, id := range ids {
		if id < 1 || id > 4094 {
			return fmt.Errorf("%w: VLAN has %d, not 1..4094", ErrConfig, id)
		}
	}
	return nil
}

// network packs ids as the program compares them (keys.vlan).
func network(ids []uint16) (w uint64) {
	if ids == nil {
		return math.MaxUint64
	}
	for _, id := range ids {
		w = w<<16 | 0x1000 | uint64(id)
	}
	return w
}

// address packs a as the program compares it: bit 48 tells it from none, which is 0.
func address(a netip.AddrPort) uint64 {
	if a == (netip.AddrPort{}) {
		return 0
	}
	ip := a.Addr().As4()
	return 1<<48 | uint64(ip[0])<<40 | uint64(ip[1])<<32 | uint64(ip[2])<<24 | uint64(ip[3])<<16 | uint64(a.Port())
}
