package xdp

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"
)

// maxCheckedRuns is how many runs of neighbouring lanes the ordinary socket's filter compares, one
// after the other. With more it lets all lanes through.
const maxCheckedRuns = 256

// wantedFilter is a classic BPF program for the group's ordinary socket. What the XDP program
// passes to the kernel may be for other sockets of this host, so it is passed; at this member's own
// socket nobody wants what is of this cluster and in a lane that is not wanted. Dropped here it costs
// no place in the receive buffer, no system call and no look at it in user space. What is laid out
// in another way, or has another version, comes through, for it may be valid; what is of another
// cluster does too, for the engine counts it.
//
// So does a Start without data, alone or behind a heartbeat, in whatever lane: from it a member
// hears over how many lanes others hash their topics, and without that number it cannot know
// which lanes are its own.
//
// The program runs with the packet's data at the UDP header. A load behind the end of the packet
// would drop it, hence the length is looked at first.
func wantedFilter(cluster uint64, lanes [][2]uint32) []unix.SockFilter {
	const (
		payload = 8 // behind the UDP header

		// The canonical header (docs/wire.md): where each tag lies, and what it is.
		atVersion, tagVersion = payload, 0x0d
		atCluster, tagCluster = payload + 5, 0x11
		atCRC, tagCRC         = payload + 14, 0x1d
		atStream, tagStream   = payload + 42, 0x35
		atFrames, tagData     = payload + 47, 0x62
		version               = 1

		// A Start is the last frame of a datagram, so it lies at a fixed place before the end.
		startBytes = 35
		startHead  = 0x82012009 // its tag and length, and the tag of its first field

		length = unix.BPF_LD | unix.BPF_W | unix.BPF_LEN
		word   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		octet  = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
		atX    = unix.BPF_LD | unix.BPF_W | unix.BPF_IND
		toX    = unix.BPF_MISC | unix.BPF_TAX
		sub    = unix.BPF_ALU | unix.BPF_SUB | unix.BPF_K
		shift  = unix.BPF_ALU | unix.BPF_LSH | unix.BPF_K
		or     = unix.BPF_ALU | unix.BPF_OR | unix.BPF_X
		jeq    = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		jge    = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		jgt    = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
		ret    = unix.BPF_RET | unix.BPF_K
		all    = 0xffffffff
	)
	// Loads are big-endian, and the wire is little-endian.
	swap := func(v uint32) uint32 { return v<<24 | v>>24 | v&0xff00<<8 | v>>8&0xff00 }
	pass := unix.SockFilter{Code: ret, K: all}
	drop := unix.SockFilter{Code: ret}
	runs := runsOf(lanes)
	if lanes == nil || len(runs) > maxCheckedRuns {
		return []unix.SockFilter{pass}
	}
	p := []unix.SockFilter{{Code: length}, {Code: jge, K: atFrames, Jt: 1}, pass}
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
	p = append(p, unix.SockFilter{Code: octet, K: atStream + 2}, unix.SockFilter{Code: shift, K: 8}, unix.SockFilter{Code: toX},
		unix.SockFilter{Code: octet, K: atStream + 1}, unix.SockFilter{Code: or})
	for _, r := range runs {
		p = append(p, unix.SockFilter{Code: jge, K: r[0], Jf: 2}, unix.SockFilter{Code: jgt, K: r[1], Jt: 1}, pass)
	}
	return append(p,
		unix.SockFilter{Code: length}, unix.SockFilter{Code: jge, K: atFrames + startBytes, Jf: 7}, // to drop
		unix.SockFilter{Code: sub, K: startBytes}, unix.SockFilter{Code: toX},
		unix.SockFilter{Code: octet, K: atFrames}, unix.SockFilter{Code: jeq, K: tagData, Jt: 3},
		unix.SockFilter{Code: atX}, unix.SockFilter{Code: jeq, K: startHead, Jf: 1},
		pass, drop)
}

// runsOf returns ranges of lanes in ascending order, with those that touch made one.
func runsOf(ranges [][2]uint32) (runs [][2]uint32) {
	sorted := slices.SortedFunc(slices.Values(ranges), func(a, b [2]uint32) int { return cmp.Compare(a[0], b[0]) })
	for _, r := range sorted {
		if n := len(runs); n > 0 && r[0] <= runs[n-1][1]+1 {
			runs[n-1][1] = max(runs[n-1][1], r[1])
			continue
		}
		runs = append(runs, r)
	}
	return runs
}

// want lets the group's socket take what is wanted, and little else.
func (k *kernelSockets) want(cluster uint64, lanes [][2]uint32) error {
	p := wantedFilter(cluster, lanes)
	return unix.SetsockoptSockFprog(k.group, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]})
}
