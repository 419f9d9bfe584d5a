package xdp

import (
	"errors"
	"fmt"
	"math/bits"
	"syscall"

	"github.com/activeblaze/blaze/internal/pages"
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

// newUMEM maps memory for at least count chunks, in huge pages where the host has them to spare. Registering it locks it.
func newUMEM(count, chunk int) (umem, error) {
	size := count * chunk
	u := umem{chunk: chunk, shift: shiftOf(chunk)}
	var err error
	if size >= pages.Huge {
		if u.mapped, err = pages.Reserved(size); err == nil {
			u.mem, u.huge = u.mapped[:size], true
			return u, nil
		}
	}
	if u.mapped, err = pages.Map(size); err != nil {
		return u, fmt.Errorf("xdp: cannot map %d MiB of packet memory: %w", size>>20, err)
	}
	u.mem = u.mapped
	return u, nil
}

func (u *umem) unmap() error {
	mem := u.mapped
	u.mem, u.mapped = nil, nil
	if mem == nil {
		return nil
	}
	munmap := pages.Unmap
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
