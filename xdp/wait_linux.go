package xdp

import (
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

// Wait sleeps until there is something to receive, Wake is called or limit has passed; a
// negative limit means for ever. It may return early. Other goroutines run meanwhile.
func (d *Driver) Wait(limit time.Duration) {
	if d.state == Closed || d.line != nil && d.line.socket.Waiting() > 0 || d.control.readable.Load() || d.control.news.Load() {
		return
	}
	if !d.sleep.CompareAndSwap(awake, asleep) {
		d.sleep.Store(awake)
		d.stats.Wakes++
		return
	}
	var timeout *unix.Timespec
	if limit >= 0 {
		d.limit = unix.NsecToTimespec(int64(limit))
		timeout = &d.limit
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
		d.refill()
	}
	n, _ := unix.Ppoll(d.poll[:], timeout, nil)
	woken := d.sleep.Swap(awake) == notified
	if n > 0 && d.poll[0].Revents != 0 {
		var count uint64
		_, _, _ = unix.RawSyscall(unix.SYS_READ, uintptr(d.event), uintptr(unsafe.Pointer(&count)), 8)
		woken = true
	}
	if n > 0 && d.poll[2].Revents|d.poll[3].Revents != 0 {
		d.control.readable.Store(true)
	}
	if woken {
		d.stats.Wakes++
	}
}

// Wake ends the current Wait, or the next one. It may be called from any goroutine at any
// time, also after Close, and costs one load or one atomic exchange while nobody sleeps.
func (d *Driver) Wake() {
	if d.sleep.Load() == notified || d.sleep.Swap(notified) != asleep {
		return
	}
	d.wake.Lock()
	if d.event >= 0 {
		signal(d.event)
	}
	d.wake.Unlock()
}

// signal makes an eventfd readable.
func signal(fd int) {
	one := uint64(1)
	_, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&one)), 8)
}
