package xdp

import (
	"errors"
	"fmt"
	"math/bits"
	"syscall"

	"golang.org/x/sys/unix"
)

// umem is packet memory: it belongs to the driver, and to whatever socket it has at the time.
type umem struct {
	mem    []byte
	mapped []byte // mem, and what makes it whole pages
	theirs bool   // it was mapped by asavie/xdp, through package syscall
	chunk  int
	shift  int // log2(chunk)
	huge   bool
	count  int // of chunks, where the socket has to map them
}

func shiftOf(chunk int) int { return bits.TrailingZeros(uint(chunk)) }

// newUMEM maps memory for at least count chunks, in huge pages where the host has them to spare.
// All of it is present: no page fault comes later. Registering it locks it.
func newUMEM(count, chunk int) (umem, error) {
	size := count * chunk
	u := umem{chunk: chunk, shift: shiftOf(chunk)}
	const flags = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_POPULATE
	if rounded := (size + hugePage - 1) &^ (hugePage - 1); size >= hugePage {
		if mem, err := unix.Mmap(-1, 0, rounded, unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_HUGETLB); err == nil {
			u.mem, u.mapped, u.huge = mem[:size], mem, true
			return u, nil
		}
	}
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, flags)
	if err != nil {
		return u, fmt.Errorf("xdp: cannot map %d MiB of packet memory: %w", size>>20, err)
	}
	u.mem, u.mapped = mem, mem
	return u, nil
}

func (u *umem) unmap() error {
	mem := u.mapped
	u.mem, u.mapped = nil, nil
	if mem == nil {
		return nil
	}
	munmap := unix.Munmap
	if u.theirs { // both packages only unmap what they have mapped
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
