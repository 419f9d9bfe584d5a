package sleep

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// States of a Sleeper. A wake-up cannot be lost: the thread sleeps only after it has changed
// awake to asleep in one step, and every Wake leaves notified behind. So a Wake comes either
// before that step, which then fails, or after it, and then finds asleep and rings the
// eventfd, which stays readable until Doze has seen it. A caller of Wake publishes its work
// first; a caller of Doze looks for work after it returns.
const (
	awake uint32 = iota
	asleep
	notified
)

// Sleeper lets one thread sleep. LieDown and Doze are that thread's; Wake is for all goroutines.
type Sleeper struct {
	_     [128]byte
	state atomic.Uint32
	_     [128]byte
	limit unix.Timespec
	wake  sync.Mutex // guards event against Close
	open  bool
	event int // valid while open
}

// Open makes the eventfd.
func (s *Sleeper) Open() error {
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("cannot make an eventfd: %w", err)
	}
	s.event, s.open = event, true
	return nil
}

// Close closes the eventfd, if it is open. Wake may still be called.
func (s *Sleeper) Close() error {
	s.wake.Lock()
	defer s.wake.Unlock()
	if !s.open {
		return nil
	}
	s.open = false
	return unix.Close(s.event)
}

// Poll is the eventfd as Doze wants it first.
func (s *Sleeper) Poll() unix.PollFd { return unix.PollFd{Fd: int32(s.event), Events: unix.POLLIN} }

// LieDown begins a sleep, which Doze ends. False means that there was a Wake, which is taken back.
func (s *Sleeper) LieDown() bool {
	if s.state.CompareAndSwap(awake, asleep) {
		return true
	}
	s.state.Store(awake)
	return false
}

// Asleep reports whether the thread sleeps, or has lain down to. It is for tests.
func (s *Sleeper) Asleep() bool { return s.state.Load() == asleep }

// Doze sleeps, after LieDown, until one of fds is ready, the first of which is Poll's, or limit has
// passed; a negative limit means for ever. It returns how many are ready, and whether a Wake has
// ended the sleep.
func (s *Sleeper) Doze(fds []unix.PollFd, limit time.Duration) (n int, woken bool) {
	var timeout *unix.Timespec
	if limit >= 0 {
		s.limit = unix.NsecToTimespec(int64(limit))
		timeout = &s.limit
	}
	n, _ = unix.Ppoll(fds, timeout, nil)
	woken = s.state.Swap(awake) == notified
	if n > 0 && fds[0].Revents != 0 {
		var count uint64
		_, _, _ = unix.RawSyscall(unix.SYS_READ, uintptr(s.event), uintptr(unsafe.Pointer(&count)), 8)
		woken = true
	}
	return n, woken
}

// Wake ends the current sleep, or the next one. It may be called from any goroutine at any
// time, also after Close, and costs one load or one atomic exchange while nobody sleeps.
func (s *Sleeper) Wake() {
	if s.state.Load() == notified || s.state.Swap(notified) != asleep {
		return
	}
	s.wake.Lock()
	if s.open {
		Signal(s.event)
	}
	s.wake.Unlock()
}

// Signal makes an eventfd readable.
func Signal(fd int) {
	one := uint64(1)
	_, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&one)), 8)
}
