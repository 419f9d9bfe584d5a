package xdp

import (
	"time"

	"golang.org/x/sys/unix"
)

// Wait sleeps until there is something to receive, Wake is called or limit has passed; a
// negative limit means for ever. It may return early. Other goroutines run meanwhile.
func (d *Driver) Wait(limit time.Duration) {
	if d.state == Closed || d.attachment != nil && d.attachment.socket.Waiting() > 0 || d.control.readable.Load() || d.control.news.Load() {
		return
	}
	if !d.sleeper.LieDown() {
		d.stats.Wakes++
		return
	}
	d.poll = [4]unix.PollFd{
		d.sleeper.Poll(),
		{Fd: -1, Events: unix.POLLIN}, // poll(2) passes over −1
		{Fd: int32(d.kernel.own), Events: unix.POLLIN},
		{Fd: int32(d.kernel.group), Events: unix.POLLIN},
	}
	if d.attachment != nil {
		d.poll[1].Fd = int32(d.attachment.socket.FD())
	}
	d.stats.Waits++
	if d.supply.plenty(d.cfg.posts()); d.attachment != nil {
		d.refill(d.attachment.socket)
	}
	n, woken := d.sleeper.Doze(d.poll[:], limit)
	if n > 0 && d.poll[2].Revents|d.poll[3].Revents != 0 {
		d.control.readable.Store(true)
	}
	if woken {
		d.stats.Wakes++
	}
}

// Wake ends the current Wait, or the next one. It may be called from any goroutine at any
// time, also after Close, and costs one load or one atomic exchange while nobody sleeps.
func (d *Driver) Wake() { d.sleeper.Wake() }

// Wake ends the current Wait, or the next one, as Driver.Wake does.
func (q *Queue) Wake() { q.sleeper.Wake() }
