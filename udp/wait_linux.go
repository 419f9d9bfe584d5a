package udp

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

// Wait sleeps until there is something to receive, Wake is called or d has passed; a negative
// d means for ever. It may return early. Other goroutines run meanwhile.
func (d *Driver) Wait(limit time.Duration) {
	if !d.own.empty() || !d.group.empty() || d.own.fd < 0 {
		return
	}
	if !d.state.CompareAndSwap(awake, asleep) {
		d.state.Store(awake)
		d.stats.Wakes++
		return
	}
	var timeout *unix.Timespec
	if limit >= 0 {
		d.limit = unix.NsecToTimespec(int64(limit))
		timeout = &d.limit
	}
	d.stats.Waits++
	n, _ := unix.Ppoll(d.poll[:], timeout, nil)
	woken := d.state.Swap(awake) == notified
	if n > 0 && d.poll[0].Revents != 0 {
		var count uint64
		_, _, _ = unix.RawSyscall(unix.SYS_READ, uintptr(d.event), uintptr(unsafe.Pointer(&count)), 8)
		woken = true
	}
	if woken {
		d.stats.Wakes++
	}
}

// Wake ends the current Wait, or the next one. It may be called from any goroutine at any
// time, also after Close, and costs one load or one atomic exchange while nobody sleeps.
func (d *Driver) Wake() {
	if d.state.Load() == notified || d.state.Swap(notified) != asleep {
		return
	}
	d.wake.Lock()
	if d.event >= 0 {
		one := uint64(1)
		_, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(d.event), uintptr(unsafe.Pointer(&one)), 8)
	}
	d.wake.Unlock()
}
