package xdp

import "golang.org/x/sys/unix"

// maxCheckedLanes is how many lanes the ordinary socket's filter compares one by one. With more
// it lets all of them through.
const maxCheckedLanes = 256

// wantedFilter is a classic BPF program for the group's ordinary socket. What the XDP program
// passes to the kernel may be for other sockets of this host, so it is passed; at this member's own
// socket nobody wants what is of this cluster and in a lane that is not wanted. Dropped here it costs
// no place in the receive buffer, no system call and no look at it in user space. What is laid out
// in another way, or has another version, comes through, for it may be valid; what is of another
// cluster does too, for the engine counts it.
//
// The program runs with the packet's data at the UDP header. A load behind the end of the packet
// would drop it, hence the length is looked at first.
func wantedFilter(cluster uint64, lanes []uint32) []unix.SockFilter {
	const (
		payload = 8 // behind the UDP header

		// The canonical header (docs/wire.md): where each tag lies, and what it is.
		atVersion, tagVersion = payload, 0x0d
		atCluster, tagCluster = payload + 5, 0x11
		atCRC, tagCRC         = payload + 14, 0x1d
		atStream, tagStream   = payload + 42, 0x35
		end                   = payload + 47
		version               = 1

		length = unix.BPF_LD | unix.BPF_W | unix.BPF_LEN
		word   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		half   = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
		octet  = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
		jeq    = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		jge    = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		ret    = unix.BPF_RET | unix.BPF_K
		all    = 0xffffffff
	)
	// Loads are big-endian, and the wire is little-endian.
	swap := func(v uint32) uint32 { return v<<24 | v>>24 | v&0xff00<<8 | v>>8&0xff00 }
	pass := unix.SockFilter{Code: ret, K: all}
	drop := unix.SockFilter{Code: ret}
	if lanes == nil || len(lanes) > maxCheckedLanes {
		return []unix.SockFilter{pass}
	}
	p := []unix.SockFilter{{Code: length}, {Code: jge, K: end, Jt: 1}, pass}
	for _, c := range [...]struct {
		load uint16
		at   uint32
		is   uint32
	}{
		{octet, atVersion, tagVersion}, {octet, atCluster, tagCluster}, {octet, atCRC, tagCRC}, {octet, atStream, tagStream},
		{word, atVersion + 1, swap(version)},
		{word, atCluster + 1, swap(uint32(cluster))}, {word, atCluster + 5, swap(uint32(cluster >> 32))},
	} {
		p = append(p, unix.SockFilter{Code: c.load, K: c.at}, unix.SockFilter{Code: jeq, K: c.is, Jt: 1}, pass)
	}
	// The stream's low half is the lane; the high one is the protocol.
	p = append(p, unix.SockFilter{Code: half, K: atStream + 1})
	for _, l := range lanes {
		p = append(p, unix.SockFilter{Code: jeq, K: swap(l) >> 16, Jf: 1}, pass)
	}
	return append(p, drop)
}

// want lets the group's socket take what is wanted, and little else.
func (k *kernelSockets) want(cluster uint64, lanes []uint32) error {
	p := wantedFilter(cluster, lanes)
	return unix.SetsockoptSockFprog(k.group, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]})
}
