package udp

// Stats counts what a driver did since Open. Packets are what went through one slot of a
// system call: with segmentation a packet carries several datagrams.
type Stats struct {
	RecvCalls     uint64 `unit:"calls" help:"system calls that receive, also those that found nothing" when:"with traffic"`
	RecvPackets   uint64 `unit:"packets" help:"packets that the calls brought: with segmentation one carries several datagrams" when:"with traffic"`
	RecvDatagrams uint64 `unit:"datagrams" help:"datagrams handed out" when:"with traffic. RecvDatagrams / RecvPackets above 1: coalescing works"`
	RecvBytes     uint64 `unit:"bytes" help:"bytes of payload of RecvDatagrams" when:"with traffic"`
	RecvTruncated uint64 `unit:"datagrams" help:"datagrams longer than this member's MTU allows, dropped; the log names a sender and both sizes once a minute" when:"members have different mtu"`
	RecvInvalid   uint64 `unit:"packets" help:"packets from port 0, dropped" when:"forged packets"`
	RecvOwn       uint64 `unit:"datagrams" help:"own multicast datagrams that no filter caught" when:"where the kernel cannot filter it (portable driver)"`

	// KernelDrops is how many packets the kernel dropped because a socket's receive buffer
	// was full. Linux only. The kernel counts what the filter for own multicast drops in
	// with it, so this is its count less the packets that the member sent to the group; it
	// may lag behind by the few that are on their way, and misses drops in front of the socket.
	KernelDrops uint64 `unit:"packets" help:"packets that the kernel dropped because a socket's receive buffer was full" when:"the receiver was too slow for too long: rmem_max, LongestTurn, cores"`

	SendCalls     uint64 `unit:"calls" help:"system calls that send" when:"with traffic"`
	SendPackets   uint64 `unit:"packets" help:"packets that the calls took: with segmentation one carries several datagrams" when:"with traffic"`
	SendDatagrams uint64 `unit:"datagrams" help:"datagrams taken by the kernel; with peers, each copy counts" when:"with traffic. SendDatagrams / SendPackets above 1: segmentation works"`
	SendBytes     uint64 `unit:"bytes" help:"bytes of payload of SendDatagrams" when:"with traffic"`
	SendAgain     uint64 `unit:"times" help:"times that Send stopped short because the socket was full" when:"full load"`
	SendDropped   uint64 `unit:"datagrams" help:"datagrams that the kernel refused for good; the log has the first error" when:"a firewall (EPERM), MTU"`
	SendDown      uint64 `unit:"datagrams" help:"datagrams that were lost because there was no way out: refused, not tried, or sent while the link was down" when:"cable, switch, an interface that was removed, set down or lost its address"`
	SegmentsOff   uint64 `unit:"boolean" kind:"gauge" help:"1 after the kernel refused segmentation and it was switched off, else 0" when:"some virtual and tunnel interfaces"`

	// Loop is 1 while what is sent to the group goes to other sockets of this host too, 0 while it does not (Config.Loop).
	Loop         uint64 `unit:"boolean" kind:"gauge" help:"1 while what is sent to the group is copied for other sockets of this host, else 0" when:"0: this member is alone in its group on this interface and host. 1 although it should be alone: another program has joined (ip maddr show, ss -xl)"`
	LoopSwitches uint64 `unit:"times" help:"times that Loop has changed" when:"members and listeners of this host come and go"`

	Downs     uint64 `unit:"times" help:"times that the way out was lost: the link went down, the interface or its address away" when:"cable, switch, somebody reconfigures the interface"`
	Addresses uint64 `unit:"times" help:"times that the interface's addresses changed" when:"somebody reconfigures the interface, or a DHCP lease ended"`
	Moves     uint64 `unit:"times" help:"of Addresses: times that the member's own socket was opened anew on another address" when:"somebody reconfigures the interface, or a DHCP lease ended"`

	Waits uint64 `unit:"times" help:"times that the driver slept" when:"an idle member"`
	Wakes uint64 `unit:"times" help:"times that a command woke the driver" when:"with each message after a sleep"`
}
