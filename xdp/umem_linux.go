package xdp

import (
	"errors"
	"fmt"
	"math/bits"
	"unsafe"

	"golang.org/x/sys/unix"
)

// umem is packet memory: it belongs to the driver, and to whatever socket it has at the time.
type umem struct {
	mem    []byte
	mapped []byte // mem, and what makes it whole pages; nil: not ours to unmap
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
	if mem, mapped, err := transparent(size); err == nil {
		u.mem, u.mapped = mem, mapped
		return u, nil
	}
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, flags)
	if err != nil {
		return u, fmt.Errorf("xdp: cannot map %d MiB of packet memory: %w", size>>20, err)
	}
	u.mem, u.mapped = mem, mem
	return u, nil
}

// transparent maps memory where the kernel may use huge pages by itself, and has it present: the
// buffers of a window are used one after the other, so that with small pages each costs a walk of
// the page tables.
func transparent(size int) (mem, mapped []byte, err error) {
	if size < hugePage {
		return nil, nil, unix.EINVAL
	}
	if mapped, err = unix.Mmap(-1, 0, size+hugePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS); err != nil {
		return nil, nil, err
	}
	skip := int(-uintptr(unsafe.Pointer(&mapped[0])) % hugePage)
	mem = mapped[skip : skip+size : skip+size]
	whole := mapped[skip : skip+size&^(hugePage-1)]
	if err = unix.Madvise(whole, unix.MADV_HUGEPAGE); err == nil {
		err = unix.Madvise(mapped[skip:skip+(size+4095)&^4095], unix.MADV_POPULATE_WRITE)
	}
	if err != nil { // a kernel without either: before 5.14, or made without
		return nil, nil, errors.Join(err, unix.Munmap(mapped))
	}
	return mem, mapped, nil
}

func (u *umem) unmap() error {
	mem := u.mapped
	u.mem, u.mapped = nil, nil
	if mem == nil {
		return nil
	}
	if err := unix.Munmap(mem); err != nil {
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
