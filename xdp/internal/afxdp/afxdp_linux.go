package afxdp

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Socket has the methods of xdp.Socket.
type Socket interface {
	Memory() []byte
	Fill(addresses []uint64) int
	Recv(packets []unix.XDPDesc) int
	Waiting() int
	Send(packets []unix.XDPDesc) int
	Unsent() int
	Complete(addresses []uint64) int
	NeedKick() bool
	Kick() unix.Errno
	NeedPoll() bool
	Poll() unix.Errno
	FD() int
	Options() (zeroCopy bool, napi int)
	Stats() (unix.XDPStatistics, error)
	Close() error
}

// Options are what a socket is made of that maps its packet memory itself.
type Options struct {
	Interface, Queue int // the interface's index, and a receive queue of it
	Buffers, Size    int // packet memory: so many buffers of Size bytes
	Fill, TX         int // entries; the RX ring is as large as the fill ring, the completion ring as the TX ring
	ZeroCopy         bool
}

// OpenAsavie opens a socket of github.com/asavie/xdp. Package xdp/asavie puts it here; nil: that
// package is not linked. Its errors wrap the kernel's.
var OpenAsavie func(Options) (Socket, error)

// Mapping is held while a ring is mapped or unmapped, so that xdp/asavie can find out which mappings
// are those of its own socket.
var Mapping sync.Mutex

// The two calls of the hot path are raw: they bypass Go's scheduler, so that no other
// thread takes over the processor. Neither sleeps, and the kernel limits what each does.

// Kick makes the kernel send.
func Kick(fd int) unix.Errno {
	_, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return e
}

// Poll makes the kernel receive.
func Poll(fd int) unix.Errno {
	_, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return e
}

// Stats returns the kernel's counters of a socket.
func Stats(fd int) (st unix.XDPStatistics, err error) {
	err = Getsockopt(fd, unix.XDP_STATISTICS, unsafe.Pointer(&st), unsafe.Sizeof(st))
	return st, err
}

// Offsets returns where the words of the rings lie in their mappings.
func Offsets(fd int) (at unix.XDPMmapOffsets, err error) {
	err = Getsockopt(fd, unix.XDP_MMAP_OFFSETS, unsafe.Pointer(&at), unsafe.Sizeof(at))
	return at, err
}

// Setsockopt sets an option of level SOL_XDP.
func Setsockopt(fd, option int, value unsafe.Pointer, size uintptr) error {
	if _, _, e := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option), uintptr(value), size, 0); e != 0 {
		return e
	}
	return nil
}

// Getsockopt reads an option of level SOL_XDP.
func Getsockopt(fd, option int, value unsafe.Pointer, size uintptr) error {
	length := uint32(size)
	if _, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option), uintptr(value), uintptr(unsafe.Pointer(&length)), 0); e != 0 {
		return e
	}
	return nil
}
