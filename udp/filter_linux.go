package udp

import (
	"github.com/activeblaze/blaze/buf"
	"golang.org/x/sys/unix"
)

// Offsets of the program that attachFilter installs. It runs with the packet's data at the
// UDP header; SKF_NET_OFF (linux/filter.h) counts from the IP header instead.
const (
	netOff     = 0xfff00000 // SKF_NET_OFF, −0x100000
	ipSource   = netOff + 12
	portSource = 0
)

// attachFilter makes the kernel drop packets from own before they are queued. A member receives
// its own multicast otherwise, and a copy and a place in the receive buffer are spent for
// nothing. It is classic BPF, which needs no privilege.
func attachFilter(fd int, own buf.Endpoint) error {
	const (
		word = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		half = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
		jeq  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		ret  = unix.BPF_RET | unix.BPF_K
	)
	program := []unix.SockFilter{
		{Code: half, K: portSource},
		{Code: jeq, K: uint32(uint16(own)), Jf: 3}, // differs nearly always: 3 instructions
		{Code: word, K: ipSource},
		{Code: jeq, K: uint32(own >> 16), Jf: 1},
		{Code: ret, K: 0},
		{Code: ret, K: 0xffffffff},
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
}
