package xdp

// Stats counts what a driver did since Open.
type Stats struct {
	RecvDatagrams uint64 `unit:"datagrams" help:"datagrams handed to the engine, by whichever way they came" when:"with traffic"`
	RecvBytes     uint64 `unit:"bytes" help:"bytes of payload of RecvDatagrams" when:"with traffic"`
	RecvKernel    uint64 `unit:"datagrams" help:"of RecvDatagrams: datagrams through the kernel's socket, since the filter passed them" when:"a sender that lays datagrams out in its own way, or one on another queue"`
	RecvInvalid   uint64 `unit:"descriptors" help:"descriptors that make no sense, and packets that the filter should not have passed" when:"a broken driver, or damaged packets"`
	RecvForeign   uint64 `unit:"packets" help:"packets for another VLAN or address" when:"a card that shows tags after the filter; 0 otherwise"`
	RecvOwn       uint64 `unit:"packets" help:"own packets that came back" when:"on the loopback interface only"`
	RecvLong      uint64 `unit:"datagrams" help:"datagrams longer than this member's MTU allows, dropped; the log names a sender and both sizes once a minute" when:"members have different mtu"`
	RecvStarved   uint64 `unit:"times" help:"times that no buffer was left to wait for packets" when:"cores hold too many buffers: a stream far out of order"`

	SendDatagrams uint64 `unit:"datagrams" help:"datagrams taken for sending, by whichever way they left" when:"with traffic"`
	SendBytes     uint64 `unit:"bytes" help:"bytes of payload of SendDatagrams" when:"with traffic"`
	SendKernel    uint64 `unit:"datagrams" help:"of SendDatagrams: datagrams by the kernel's socket, while the receiver's hardware address is unknown" when:"a few at the start are normal"`
	SendCopied    uint64 `unit:"datagrams" help:"of SendDatagrams: datagrams that were copied, since they did not lie in this driver's memory or were just being sent elsewhere" when:"0 in normal operation"`
	SendAgain     uint64 `unit:"times" help:"times that Send stopped short because the TX ring or the buffers were used up" when:"full load"`
	SendDropped   uint64 `unit:"datagrams" help:"datagrams that were lost on this host: refused, too long, or by the interface" when:"interface, MTU"`
	SendDown      uint64 `unit:"datagrams" help:"datagrams that were lost because the link was down" when:"cable, switch, an interface that was set down"`
	Kicks         uint64 `unit:"calls" help:"system calls that start sending" when:"with traffic. SendDatagrams / Kicks shows how well batches form"`
	KickAgain     uint64 `unit:"calls" help:"of Kicks: calls after which the kernel wants another one" when:"bursts of more than 32 packets"`
	KickErrors    uint64 `unit:"calls" help:"of Kicks: calls that failed in another way" when:"the interface; the log has the error"`
	Fills         uint64 `unit:"buffers" help:"buffers given to the fill ring" when:"with traffic"`
	Wakeups       uint64 `unit:"calls" help:"system calls that start receiving" when:"zero-copy drivers that ask for it"`

	// The kernel's own counters of this socket (XDP_STATISTICS).
	KernelDropped     uint64 `unit:"packets" help:"packets lost at the socket, for any reason" when:"KernelFillEmpty, KernelRingFull, or a device that dropped them"`
	KernelFillEmpty   uint64 `unit:"packets" help:"of KernelDropped: packets for which no buffer waited" when:"this thread was off the CPU for too long, or a burst was longer than the fill ring"`
	KernelRingFull    uint64 `unit:"packets" help:"of KernelDropped: packets that found the RX ring full" when:"this thread was off the CPU for too long"`
	KernelRxInvalid   uint64 `unit:"buffers" help:"buffers in the fill ring that the kernel refused" when:"must stay 0: report it"`
	KernelTxInvalid   uint64 `unit:"packets" help:"packets in the TX ring that the kernel refused" when:"must stay 0: report it"`
	KernelTxRingEmpty uint64 `unit:"times" help:"times that the kernel found nothing to send" when:"normal: after each batch"`

	Downs       uint64 `unit:"times" help:"times that the link went down or the interface away" when:"cable, switch"`
	Addresses   uint64 `unit:"times" help:"times that the interface's addresses changed" when:"somebody reconfigures the interface"`
	Neighbours  uint64 `unit:"answers" help:"answers about hardware addresses" when:"new members; steadily growing: a neighbour that does not answer"`
	PeersPurged uint64 `unit:"times" help:"times that the table of hardware addresses was full and started afresh" when:"more than 2,048 unicast peers"`
	Waits       uint64 `unit:"times" help:"times that the driver slept" when:"an idle member"`
	Wakes       uint64 `unit:"times" help:"times that a command woke it" when:"messages after a sleep"`

	// Filter is what the program in the kernel did with what the interface received.
	Filter FilterStats
}

// FilterStats are the filter's counters, in packets. All but the first three went to the kernel.
type FilterStats struct {
	Group     uint64 `unit:"packets" help:"packets to the group, redirected to the socket" when:"with traffic: the normal way"`
	Unicast   uint64 `unit:"packets" help:"packets to this member, redirected to the socket" when:"NAKs, reports, tokens"`
	Lost      uint64 `unit:"packets" help:"packets dropped on purpose, by a measurement" when:"0 in applications"`
	NoSocket  uint64 `unit:"packets" help:"packets for this member, on a queue without a socket; they come through the ordinary socket, slower" when:"traffic arrives on another queue than queue= says: queues=N receives from N of them, with an engine each"`
	Unwanted  uint64 `unit:"packets" help:"packets for the group, in a lane that is not wanted; this member's ordinary socket takes but Starts of them" when:"normal with lanes=subscribed"`
	Unmatched uint64 `unit:"packets" help:"packets for this member's addresses, but of another cluster, version or layout; they come through the ordinary socket" when:"another cluster on the same address"`
	Oversize  uint64 `unit:"packets" help:"packets for this member that are longer than a buffer: several datagrams that a udp member sent as one; they come through the ordinary socket" when:"normal between udp and xdp members on virtual interfaces"`
	Others    uint64 `unit:"packets" help:"packets that are not for this member" when:"all other traffic of the host"`
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
