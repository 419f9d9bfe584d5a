package udp

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/iflock"
	"github.com/activeblaze/blaze/internal/ip4"
	"github.com/activeblaze/blaze/internal/oversize"
	"github.com/activeblaze/blaze/internal/sleep"
	"golang.org/x/sys/unix"
)

// Driver is one member's sockets. It belongs to the goroutine of its engine; only Wake may be
// called from others.
type Driver struct {
	own   inlet // the member's own socket: unicast comes in, everything goes out
	group inlet // the group's socket; fd is −1 with peers

	// fence shows when unicast may be handed out: when it is 0 or less, all that was in the
	// group's socket before the unicast was read has been handed out. In bytes.
	fence    int
	measured bool // what was in the group's socket is known; before that fence is as much as it can hold
	behind   int  // bytes that the member's own socket held beside what was read before the fence was set
	lent     [maxBatch]buf.Buf

	unicast bool // the last read that brought something was of the member's own socket
	spins   int  // Recvs that found nothing, since something came or was sent

	out      outlet
	segments bool // UDP_SEGMENT works
	filtered bool // the kernel drops own multicast

	local   buf.Endpoint
	link    link         // as it was when the driver was opened
	way     way          // how the interface is now
	lock    *iflock.Lock // no xdp member takes the group's packets away
	room    int
	ownSent uint64 // packets sent to the group of which the filter has dropped a copy
	gone    uint64 // packets that own sockets dropped which are closed
	stats   Stats
	log     *slog.Logger
	logged  []unix.Errno // errors of Send that were logged
	long    oversize.Log
	narrow  narrow

	following following
	loop      loop
	looped    bool // loop.on, before the packets were sent that Send counts

	sleeper sleep.Sleeper
	poll    [3]unix.PollFd // what Wait waits for
}

// Open opens the sockets that cfg describes. Its errors say what was tried and what helps;
// those that a different Config cures are ErrConfig or ErrUnsupported.
func Open(cfg Config) (*Driver, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	d := &Driver{log: cfg.Logger}
	d.own.fd, d.group.fd = -1, -1
	d.following.mail.fresh = -1
	if err := d.open(cfg); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func (d *Driver) open(cfg Config) (err error) {
	if len(cfg.Peers) > 0 {
		d.own.fd, d.link, err = openPeer(cfg)
	} else {
		d.own.fd, d.group.fd, d.link, err = openGroup(cfg)
	}
	if err != nil {
		return err
	}
	d.loop.init(cfg, d.link, d.own.fd)
	if d.group.fd >= 0 {
		if d.lock, err = d.loop.claim(d.link.Index); err != nil {
			return fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	if d.local, err = localOf(d.own.fd); err != nil {
		return err
	}

	hearing := d.own.fd
	if d.group.fd >= 0 {
		d.filtered = attachFilter(d.group.fd, d.local) == nil
		hearing = d.group.fd
	}
	if d.room, err = roomOf(hearing); err != nil {
		return err
	}
	var coalesced bool
	if d.segments, coalesced, err = d.probeSegments(cfg.GSO); err != nil {
		return err
	}
	d.own.init(coalesced, d.Datagram(), false, cfg.First)
	if d.group.fd >= 0 {
		d.group.init(coalesced, d.Datagram(), true, cfg.First)
	}
	d.out.init(cfg, d.local)

	if err = d.sleeper.Open(); err != nil {
		return fmt.Errorf("udp: %w", err)
	}
	d.poll = [3]unix.PollFd{
		d.sleeper.Poll(),
		{Fd: int32(d.own.fd), Events: unix.POLLIN},
		{Fd: int32(d.group.fd), Events: unix.POLLIN}, // poll(2) passes over −1
	}
	d.loop.open(cfg, d.lock)
	d.way.mtu = d.link.mtu
	if err = d.follow(cfg, coalesced); err != nil {
		return err
	}
	d.log.Debug("udp: open", "interface", d.link.Name, "local", d.Addr(d.local), "mtu", d.link.mtu,
		"room", d.room, "segmentation", d.segments, "coalescing", coalesced, "filter", d.filtered)
	if want := cfg.RecvBuffer; d.room < min(want, 1<<20) {
		d.log.Info("udp: the host grants a small receive buffer, so bursts must be small; allow more with: sysctl -w net.core.rmem_max=16777216",
			"asked", want, "room", d.room)
	}
	return nil
}

// Local is the member's own unicast address. It changes when the interface loses it and has another one.
func (d *Driver) Local() buf.Endpoint { return d.local }

// Addr is the address that e names; for buf.Group it is 0.0.0.0:0.
func (d *Driver) Addr(e buf.Endpoint) netip.AddrPort { return ip4.Addr(e) }

// Datagram is the largest UDP payload in bytes: the MTU less 28.
func (d *Driver) Datagram() int { return d.link.mtu - headers }

// Way says how datagrams can leave at the moment. Where the interface's MTU was lowered they have to be shorter than
// Datagram.
func (d *Driver) Way() buf.Way { return d.way.out() }

// NoWay says why there is no way out, such as "the interface is gone". It is empty where there is one.
func (d *Driver) NoWay() string { return d.way.why }

// Room is the size in bytes of the receive buffer that the host granted to the socket that
// receives the group's datagrams. It is half of what SO_RCVBUF reads back, since the kernel
// doubles what it is asked for, to make up for its own overhead (socket(7)). The kernel
// charges what a packet takes in memory, not its payload. Over loopback, packets of full-sized
// segments fit about twice Room in bytes of payload and full-sized single datagrams 1.1 times
// Room, but 64-byte ones only 0.15 times: each takes 768 bytes or more out of twice Room,
// however short it is.
func (d *Driver) Room() int { return d.room }

// Stats returns a copy of the counters. It belongs to the driver's goroutine, as it asks the
// kernel for its own.
func (d *Driver) Stats() Stats {
	d.countDrops()
	d.stats.Loop, d.stats.LoopSwitches = 0, d.loop.switches.Load()
	if d.loop.on.Load() && d.group.fd >= 0 {
		d.stats.Loop = 1
	}
	return d.stats
}

// copied reports whether the filter has dropped, or may have, a copy of what was just sent to the group.
func (d *Driver) copied() bool { return d.looped || d.loop.on.Load() }

// countDrops refreshes KernelDrops, which never goes backwards.
func (d *Driver) countDrops() {
	drops := d.gone
	for _, in := range [...]*inlet{&d.group, &d.own} {
		if in.fd < 0 {
			continue
		}
		n, err := kernelDrops(in.fd)
		if err != nil {
			continue // before Linux 4.12
		}
		if in.group && d.filtered {
			n -= min(n, d.ownSent)
		}
		drops += n
	}
	d.stats.KernelDrops = max(d.stats.KernelDrops, drops)
}

// Close frees the sockets; what Recv has lent last stays readable. It must not be called while
// another method than Wake runs. Calling it again does nothing.
func (d *Driver) Close() error {
	d.following.end()
	var errs []error
	closeFD := func(fd *int) {
		if *fd >= 0 {
			errs = append(errs, unix.Close(*fd))
			*fd = -1
		}
	}
	if d.own.fd >= 0 {
		d.countDrops()
	}
	d.loop.close(d.lock)
	closeFD(&d.group.fd)
	closeFD(&d.own.fd)
	errs = append(errs, d.sleeper.Close())
	return errors.Join(errs...)
}

// logOnce logs an error of Send the first time that it happens.
func (d *Driver) logOnce(e unix.Errno, what string) {
	if len(d.logged) < 16 && !slices.Contains(d.logged, e) {
		d.logged = append(d.logged, e)
		d.log.Warn("udp: "+what, "error", e)
	}
}
