package xdp

// Stats counts what a driver did since Open.
type Stats struct {
	RecvDatagrams uint64 // handed out, by whichever way they came
	RecvBytes     uint64 // payload of those
	RecvKernel    uint64 // of RecvDatagrams: through the kernel's socket, since the filter passed them
	RecvInvalid   uint64 // descriptors that make no sense, and packets that are not what the filter promised
	RecvForeign   uint64 // packets for another VLAN or address
	RecvOwn       uint64 // own packets that came back (loopback interface)
	RecvLong      uint64 // longer than this member's MTU allows
	RecvStarved   uint64 // times that no buffer was left to wait for packets

	SendDatagrams uint64 // taken, by whichever way they left
	SendBytes     uint64 // payload of those
	SendKernel    uint64 // of SendDatagrams: by the kernel's socket, while the receiver's hardware address is unknown
	SendCopied    uint64 // of SendDatagrams: copied, since they did not lie in this driver's memory or were just being sent elsewhere
	SendAgain     uint64 // times that Send stopped short because the TX ring or the buffers were used up
	SendDropped   uint64 // datagrams that were lost on this host: refused, too long, or by the interface
	SendDown      uint64 // datagrams that were lost because the link was down
	Kicks         uint64 // system calls that start sending
	KickAgain     uint64 // of those: the kernel wants another one
	KickErrors    uint64 // of those: failed in another way
	Fills         uint64 // buffers given to the fill ring
	Wakeups       uint64 // system calls that start receiving

	// The kernel's own counters of this socket (XDP_STATISTICS).
	KernelDropped     uint64 // packets lost at the socket, for any reason
	KernelFillEmpty   uint64 // of those: no buffer waited
	KernelRingFull    uint64 // of those: the RX ring was full
	KernelRxInvalid   uint64 // buffers in the fill ring that the kernel refused
	KernelTxInvalid   uint64 // packets in the TX ring that the kernel refused
	KernelTxRingEmpty uint64

	Downs       uint64 // times that the link went down or the interface away
	Addresses   uint64 // times that the interface's addresses changed
	Neighbours  uint64 // answers about hardware addresses
	PeersPurged uint64 // times that the table of receivers was full and started afresh
	Waits       uint64 // times that Wait slept
	Wakes       uint64 // times that Wait was ended by Wake

	// Filter is what the program in the kernel did with what the interface received.
	Filter FilterStats
}

// FilterStats are the filter's counters, in packets. All but the first three went to the kernel.
type FilterStats struct {
	Group, Unicast uint64 // redirected to the socket
	Lost           uint64 // by Config.Loss
	NoSocket       uint64 // for this member, on a queue without a socket
	Unwanted       uint64 // for the group, in a lane that is not wanted: the member's ordinary socket does not take it either, but for Starts
	Unmatched      uint64 // for this member's addresses, but of another cluster, version or layout
	Oversize       uint64 // for this member, but longer than a buffer: several datagrams that a udp member sent as one (segmentation offload)
	Others         uint64 // not for this member
}

// Accounting says where all buffers are. At a quiet point, between Recv and Send calls,
// Free + Fill + Lent + Sending + Held is Total.
type Accounting struct {
	Total   int
	Free    int // in the pool
	Fill    int // with the kernel, for receiving: in the fill ring or the RX ring
	Lent    int // lent by the last Recv, and held by nobody else
	Sending int // in the TX or completion ring, and held by nobody else
	Held    int // by others
}
