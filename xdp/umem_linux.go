package xdp

import (
	"errors"
	"fmt"
	"math/bits"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// umem is packet memory: it belongs to the driver, and to whatever socket it has at the time.
type umem struct {
	mem    []byte
	mapped []byte // mem, and what makes it whole pages
	theirs bool   // it was mapped by a socket of xdp/asavie, through package syscall
	chunk  int
	shift  int // log2(chunk)
	huge   bool
	count  int // of chunks, where the socket has to map them
}

func shiftOf(chunk int) int { return bits.TrailingZeros(uint(chunk)) }

// newUMEM maps memory for at least count chunks: in huge pages where the host has them to spare,
// else where the kernel may use such by itself. The buffers of a window are used one after the
// other, so that with small pages each costs a walk of the page tables. All of it is present: no
// page fault comes later. Registering it locks it.
func newUMEM(count, chunk int) (umem, error) {
	size := count * chunk
	u := umem{chunk: chunk, shift: shiftOf(chunk)}
	var err error
	if size >= hugePage {
		if u.mapped, err = mapMemory(int(roundUp(int64(size), hugePage)), unix.MAP_POPULATE|unix.MAP_HUGETLB); err == nil {
			u.mem, u.huge = u.mapped[:size], true
			return u, nil
		}
		if u.mapped, err = mapAligned(size); err == nil {
			u.mem = u.mapped
			return u, nil
		}
	}
	if u.mapped, err = mapMemory(size, unix.MAP_POPULATE); err != nil {
		return u, fmt.Errorf("xdp: cannot map %d MiB of packet memory: %w", size>>20, err)
	}
	u.mem = u.mapped
	return u, nil
}

func mapMemory(size, flags int) ([]byte, error) {
	p, err := unix.MmapPtr(-1, 0, nil, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|flags)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(p), size), nil
}

func unmapMemory(mem []byte) error {
	if len(mem) == 0 {
		return nil
	}
	return unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(mem)), uintptr(len(mem)))
}

// mapAligned maps memory that the kernel may put into huge pages (transparent ones), as it does
// for a process that asks, unless an administrator has switched that off, and has it present.
func mapAligned(size int) ([]byte, error) {
	// A huge page lies at a multiple of its size: more is mapped, and the ends are given back.
	all, err := mapMemory(size+hugePage, 0)
	if err != nil {
		return nil, err
	}
	begin := int(-uintptr(unsafe.Pointer(&all[0])) % hugePage)
	end := begin + int(roundUp(int64(size), int64(unix.Getpagesize())))
	mem := all[begin:end]
	err = errors.Join(unmapMemory(all[:begin]), unmapMemory(all[end:]))
	if err == nil {
		err = unix.Madvise(mem[:size&^(hugePage-1)], unix.MADV_HUGEPAGE)
	}
	if err == nil {
		err = unix.Madvise(mem, unix.MADV_POPULATE_WRITE)
	}
	if err != nil { // a kernel before 5.14, or one without huge pages
		return nil, errors.Join(err, unmapMemory(mem))
	}
	return mem[:size], nil
}

func (u *umem) unmap() error {
	mem := u.mapped
	u.mem, u.mapped = nil, nil
	if mem == nil {
		return nil
	}
	munmap := unmapMemory
	if u.theirs { // package syscall only unmaps what it has mapped, and remembers that
		munmap = syscall.Munmap
	}
	if err := munmap(mem); err != nil {
		return fmt.Errorf("xdp: unmap packet memory: %w", err)
	}
	return nil
}

// memlockError explains why memory could not be registered.
func memlockError(size int, err error) error {
	if errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM) {
		return fmt.Errorf("%w: locking %d MiB of packet memory: %w (give the process CAP_IPC_LOCK, or raise the limit: ulimit -l %d; a smaller window needs less)",
			ErrPrivilege, size>>20, err, size>>10)
	}
	return fmt.Errorf("xdp: register packet memory: %w", err)
}
