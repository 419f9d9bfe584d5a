// Package rig makes test networks out of network namespaces: two hosts on a wire, or several on
// a switch, whose cables can be made worse than good ones are. Nothing of them can be seen from outside, and nothing that is outside is touched.
//
//	veth     host 0 ── net0 ═════ net0 ── host 1
//	bridge   host 0 ── net0 ═════ port0 ┐
//	         host 1 ── net0 ═════ port1 ┤ bridge
//	         host 2 ── net0 ═════ port2 ┘
//	tap      the same with a switch of our own, between tap interfaces called net0
//
// The kernel's bridge is quick, and has a bottleneck with a queue, an MTU for each cable, and loss at all ports. Our
// own switch also loses one way of one cable, reorders, doubles, and keeps unicast or multicast back. It carries some
// 200,000 packets a second, in the process that made the rig. Where its processor is busy, packets wait.
//
// The namespaces have no names: they live as long as a process holds them open or runs inside. So
// a rig needs no cleaning up. When the process that made it ends, however it ends, the kernel
// takes the interfaces away, and there is nothing that a later run could find.
//
// Each host's interface is called net0 and has the address 10.66.76.n, n counted from 1; a route
// takes all multicast there. A multicast packet that one host sends reaches all others.
package rig

import (
	"errors"
	"fmt"
	"net/netip"
)

// ErrUnsupported means that this host, or this user, cannot make a rig. The error states why and
// what to do.
var ErrUnsupported = errors.New("rig: not possible here")

// Kind is a kind of network.
type Kind string

// The kinds.
const (
	Veth   Kind = "veth"   // a pair of interfaces, one in each of two hosts
	Bridge Kind = "bridge" // a switch with a port for each host
	Tap    Kind = "tap"    // a switch of our own with a port for each host
)

// MaxHosts is how many hosts a bridge can have.
const MaxHosts = 65

// Interface is the name of every host's interface.
const Interface = "net0"

// Options say how the network behaves. The zero value is a network that loses nothing, and whose
// interfaces leave no work to a card that there is not.
type Options struct {
	// Offload leaves segmentation offload as the kernel makes it: then a sender's 64 KiB cross
	// the wire as one packet. Without, interfaces carry packets as a real wire would. Programs
	// on the XDP hook see many datagrams as one where it is on.
	Offload bool

	// Loss is the part of the packets that a switch loses as they come in at its ports, 0..1.
	Loss float64

	// Seed is of what chance decides in Tap's switch.
	Seed uint64
}

// Check refuses what New would, as far as it can be known without trying: each error begins with
// what is wrong.
func Check(kind Kind, hosts int, opt Options) error {
	switch {
	case kind != Veth && kind != Bridge && kind != Tap:
		return fmt.Errorf("rig %q: want veth, bridge or tap", string(kind))
	case kind == Veth && hosts != 2:
		return fmt.Errorf("rig veth has two ends: one sender and one receiver; for %d hosts take bridge or tap", hosts)
	case hosts < 1 || hosts > MaxHosts:
		return fmt.Errorf("rig %s with %d hosts: want 1 to %d", kind, hosts, MaxHosts)
	case !(opt.Loss >= 0 && opt.Loss < 1):
		return fmt.Errorf("rig loss %v: want 0 or more and less than 1", opt.Loss)
	case kind == Veth && opt.Loss > 0:
		return errors.New("rig veth has no switch that could lose packets: take bridge or tap")
	}
	return nil
}

// Addr is the address of host i.
func Addr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 66, 76, byte(i + 1)}) }
