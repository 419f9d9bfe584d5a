package udp

// Stats counts what a driver did since Open. Packets are what went through one slot of a
// system call: with segmentation a packet carries several datagrams.
type Stats struct {
	RecvCalls     uint64 // system calls that receive, also those that found nothing
	RecvPackets   uint64
	RecvDatagrams uint64 // handed out
	RecvBytes     uint64 // payload of those
	RecvTruncated uint64 // datagrams dropped because they were longer than this driver's MTU allows: the sender's is larger
	RecvInvalid   uint64 // packets dropped because nobody could answer them: sender's port 0
	RecvOwn       uint64 // own multicast that no filter caught

	// KernelDrops is how many packets the kernel dropped because a socket's receive buffer
	// was full. Linux only. The kernel counts what the filter for own multicast drops in
	// with it, so this is its count less the packets that the member sent to the group; it
	// may lag behind by the few that are on their way, and misses drops in front of the socket.
	KernelDrops uint64

	SendCalls     uint64
	SendPackets   uint64
	SendDatagrams uint64 // taken by the kernel; with peers, each copy counts
	SendBytes     uint64 // payload of those
	SendAgain     uint64 // times that Send stopped short because the socket was full
	SendDropped   uint64 // datagrams that the kernel refused for good, by an error other than a full socket
	SendDown      uint64 // datagrams that were lost because there was no way out: refused, not tried, or sent while the link was down
	SegmentsOff   uint64 // 1 after the kernel refused segmentation and it was switched off

	// Loop is 1 while what is sent to the group goes to other sockets of this host too, 0 while it does not (Config.Loop).
	Loop         uint64
	LoopSwitches uint64 // times that this has changed, the first when a member finds itself alone as it is opened; Linux only

	Downs     uint64 // times that the way out was lost: the link went down, the interface or its address away
	Addresses uint64 // times that the interface's addresses changed
	Moves     uint64 // of those: the member's own socket was opened anew, on another address

	Waits uint64 // times that Wait slept
	Wakes uint64 // times that Wait was ended by Wake
}
