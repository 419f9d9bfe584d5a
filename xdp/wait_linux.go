package xdp

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// States of Wait and Wake. A wake-up cannot be lost: Wait sleeps only after it has changed
// awake to asleep in one step, and every Wake leaves notified behind. So a Wake comes either
// before that step, which then fails, or after it, and then finds asleep and rings the
// eventfd, which stays readable until Wait has seen it. Who calls Wake does so after
// publishing work; who calls Wait looks for work after it returns.
const (
	awake uint32 = iota
	asleep
	notified
)

// sleeper is what Wait and Wake need.
type sleeper struct {
	_     [128]byte
	sleep atomic.Uint32
	_     [128]byte
	limit unix.Timespec
	wake  sync.Mutex // guards event against close
	event int
}

func (s *sleeper) open() (err error) {
	if s.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		s.event = -1
		return fmt.Errorf("xdp: cannot make an eventfd: %w", err)
	}
	return nil
}

func (s *sleeper) close() {
	s.wake.Lock()
	if s.event >= 0 {
		unix.Close(s.event)
		s.event = -1
	}
	s.wake.Unlock()
}

// lieDown begins a sleep. False means that there was a Wake, which is taken back.
func (s *sleeper) lieDown() bool {
	if s.sleep.CompareAndSwap(awake, asleep) {
		return true
	}
	s.sleep.Store(awake)
	return false
}

// doze sleeps, after lieDown, until one of fds is ready, the first of which is event, or limit has
// passed. It returns how many are, and whether a Wake has ended the sleep.
func (s *sleeper) doze(fds []unix.PollFd, limit time.Duration) (n int, woken bool) {
	var timeout *unix.Timespec
	if limit >= 0 {
		s.limit = unix.NsecToTimespec(int64(limit))
		timeout = &s.limit
	}
	n, _ = unix.Ppoll(fds, timeout, nil)
	woken = s.sleep.Swap(awake) == notified
	if n > 0 && fds[0].Revents != 0 {
		var count uint64
		_, _, _ = unix.RawSyscall(unix.SYS_READ, uintptr(s.event), uintptr(unsafe.Pointer(&count)), 8)
		woken = true
	}
	return n, woken
}

// Wake ends the current Wait, or the next one. It may be called from any goroutine at any
// time, also after Close, and costs one load or one atomic exchange while nobody sleeps.
func (s *sleeper) Wake() {
	if s.sleep.Load() == notified || s.sleep.Swap(notified) != asleep {
		return
	}
	s.wake.Lock()
	if s.event >= 0 {
		signal(s.event)
	}
	s.wake.Unlock()
}

// Wait sleeps until there is something to receive, Wake is called or limit has passed; a
// negative limit means for ever. It may return early. Other goroutines run meanwhile.
func (d *Driver) Wait(limit time.Duration) {
	if d.state == Closed || d.line != nil && d.line.socket.Waiting() > 0 || d.control.readable.Load() || d.control.news.Load() {
		return
	}
	if !d.lieDown() {
		d.stats.Wakes++
		return
	}
	d.poll = [4]unix.PollFd{
		{Fd: int32(d.event), Events: unix.POLLIN},
		{Fd: -1, Events: unix.POLLIN}, // poll(2) passes over −1
		{Fd: int32(d.kernel.own), Events: unix.POLLIN},
		{Fd: int32(d.kernel.group), Events: unix.POLLIN},
	}
	if d.line != nil {
		d.poll[1].Fd = int32(d.line.socket.FD())
	}
	d.stats.Waits++
	if d.supply.plenty(d.cfg.posts()); d.line != nil {
		d.refill(d.line.socket)
	}
	n, woken := d.doze(d.poll[:], limit)
	if n > 0 && d.poll[2].Revents|d.poll[3].Revents != 0 {
		d.control.readable.Store(true)
	}
	if woken {
		d.stats.Wakes++
	}
}

// signal makes an eventfd readable.
func signal(fd int) {
	one := uint64(1)
	_, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&one)), 8)
}
