package bpf

// Counters is what the program did with the packets that the interface received since Load.
// Each packet counts once, except that NoMetadata comes on top of Group or Unicast.
type Counters struct {
	Group   uint64 // redirected to a socket: came to the group's address
	Unicast uint64 // redirected to a socket: came to the member's own address
	Dropped uint64 // by Config.Loss, which tests use

	// The others were passed to the kernel. First what is for this member's addresses:
	NoSocket uint64 // would have been redirected, but its queue has no socket
	Lane     uint64 // to the group, in a lane that is not wanted
	Cluster  uint64 // of another cluster
	Version  uint64 // of another wire version
	Layout   uint64 // not laid out canonically: perhaps from another encoder, and valid
	Oversize uint64 // longer than Config.FrameBytes: packets that GRO or UDP segmentation put together
	VLAN     uint64 // on another VLAN than Config.VLAN says
	Length   uint64 // IPv4 and UDP lengths disagree, or exceed the packet

	// And then what is for others.
	Other     uint64 // UDP to other addresses or ports
	NotUDP    uint64 // IPv4 with another protocol
	Fragment  uint64 // parts of fragmented IPv4 packets
	Options   uint64 // IPv4 with options
	Malformed uint64 // ends before its headers do, or is not the IPv4 that it says
	IPv6      uint64
	EtherType uint64 // neither IPv4 nor IPv6, such as ARP, or behind more than two VLAN tags

	NoMetadata uint64 // redirected without the time stamp that Config.Breakdown asks for
}

// Redirected is the number of packets that went to a socket.
func (c Counters) Redirected() uint64 { return c.Group + c.Unicast }

// Passed is the number of packets that went to the kernel.
func (c Counters) Passed() uint64 {
	return c.NoSocket + c.Lane + c.Cluster + c.Version + c.Layout + c.Oversize + c.VLAN + c.Length +
		c.Other + c.NotUDP + c.Fragment + c.Options + c.Malformed + c.IPv6 + c.EtherType
}

// fields are the counters in the order of the program's enum reason.
func (c *Counters) fields() [19]*uint64 {
	return [...]*uint64{
		&c.Group, &c.Unicast, &c.Dropped,
		&c.NoSocket, &c.Lane, &c.Cluster, &c.Version, &c.Layout, &c.Oversize, &c.VLAN, &c.Length,
		&c.Other, &c.NotUDP, &c.Fragment, &c.Options, &c.Malformed, &c.IPv6, &c.EtherType,
		&c.NoMetadata,
	}
}
