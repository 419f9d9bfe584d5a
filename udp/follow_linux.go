package udp

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/iface"
	"github.com/activeblaze/blaze/internal/iflock"
	"github.com/activeblaze/blaze/internal/ip4"
	"golang.org/x/sys/unix"
)

// following is what a driver and the goroutine of its follower share.
type following struct {
	follower *follower // nil: there is none
	news     atomic.Bool
	_        [128]byte

	mu   sync.Mutex
	mail mail

	// Of the follower's goroutine:
	cfg       Config
	own       int // the member's own socket as the engine's thread has it, or is about to have it
	group     int
	coalesced bool
	port      uint16
	index     int // that the group was joined on
	locked    int // index that lock is for
	namespace iface.Namespace
	wake      func()
	loop      *loop
}

// mail is what the follower leaves for the engine's thread.
type mail struct {
	way       way
	changed   bool // way is news
	addresses uint64
	fresh     int // the member's own socket, anew; −1: none
	local     buf.Endpoint
	lock      *iflock.Lock
}

// follow starts to follow the interface.
func (d *Driver) follow(cfg Config, coalesced bool) error {
	f := &d.following
	f.cfg, f.own, f.group, f.coalesced, f.port = cfg, d.own.fd, d.group.fd, coalesced, uint16(d.local)
	f.index, f.locked, f.wake, f.loop = d.link.Index, d.link.Index, d.Wake, &d.loop
	f.namespace = iface.Here()
	follower, err := newFollower(&d.link, d.group.fd >= 0, f, d.log)
	switch {
	case err == nil:
		f.follower = follower
		go follower.run()
	case errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE):
		return fmt.Errorf("udp: %w", err)
	default:
		d.log.Info("udp: the interface cannot be watched; changes of it go unnoticed", "interface", d.link.Name, "error", err)
	}
	return nil
}

// end ends the following. What was left and not taken is given back.
func (f *following) end() {
	f.follower.close()
	f.follower = nil
	m := f.take()
	m.lock.Release()
	closeAll(m.fresh)
}

// take hands the mail to the engine's thread.
func (f *following) take() (m mail) {
	f.mu.Lock()
	m, f.mail = f.mail, mail{fresh: -1}
	f.news.Store(false)
	f.mu.Unlock()
	return m
}

// leave changes the mail.
func (f *following) leave(change func(*mail)) {
	f.mu.Lock()
	change(&f.mail)
	f.news.Store(true)
	f.mu.Unlock()
	f.wake()
}

// tell implements sockets.
func (f *following) tell(w way, addresses uint64) {
	f.leave(func(m *mail) {
		m.way, m.changed = w, true
		m.addresses += addresses
	})
}

// rejoin implements sockets.
func (f *following) rejoin(s *iface.Seen) error {
	f.loop.away() // from here on, or one other listener would be taken for this member
	if f.locked != s.Index {
		var lock *iflock.Lock
		err := f.namespace.Do(f.group, func() (err error) {
			lock, err = f.loop.claim(s.Index)
			return err
		})
		if err != nil {
			return err
		}
		f.locked = s.Index
		f.loop.serve(lock)
		f.leave(func(m *mail) {
			m.lock.Release()
			m.lock = lock
		})
	}
	// The interface that the socket knows may be gone; or it was made anew with the same index, and the membership is
	// only the socket's. Leaving fails when there is none.
	mreq := unix.IPMreqn{Multiaddr: f.cfg.Group.Addr().As4(), Ifindex: int32(f.index)}
	_ = unix.SetsockoptIPMreqn(f.group, unix.IPPROTO_IP, unix.IP_DROP_MEMBERSHIP, &mreq)
	if err := joinGroup(f.group, s.Index, f.cfg.Group.Addr()); err != nil {
		return err
	}
	f.index = s.Index
	f.loop.joined(s.Index)
	if err := sendThrough(f.own, s.Index); err != nil {
		return err
	}
	if f.loop.none {
		return nil
	}
	if err := f.namespace.Do(f.group, func() error { f.loop.ask(); return nil }); err != nil {
		// The member is on the network again. The others find it when they look next.
		f.loop.log.Info("udp: other members of this host cannot be asked to send to this one too", "interface", f.loop.ifname, "error", err)
	}
	return nil
}

// move implements sockets. The port stays, where it is free there.
func (f *following) move(s *iface.Seen, to netip.Addr) (err error) {
	fd := -1
	err = f.namespace.Do(f.group, func() (err error) {
		if fd, err = openOwn(f.cfg, netip.AddrPortFrom(to, f.port), s.Index); errors.Is(err, unix.EADDRINUSE) {
			fd, err = openOwn(f.cfg, netip.AddrPortFrom(to, 0), s.Index)
		}
		return err
	})
	if err != nil {
		return err
	}
	if f.coalesced {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	}
	local, err := localOf(fd)
	if err != nil {
		closeAll(fd)
		return err
	}
	f.own, f.port = fd, uint16(local)
	f.loop.move(fd)
	f.leave(func(m *mail) {
		closeAll(m.fresh)
		m.fresh, m.local = fd, local
	})
	return nil
}

// localOf is the address that a socket is bound to.
func localOf(fd int) (buf.Endpoint, error) {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return 0, fmt.Errorf("udp: cannot read the own address: %w", err)
	}
	in := name.(*unix.SockaddrInet4)
	return ip4.Endpoint(in.Addr, uint16(in.Port)), nil
}

// heed takes in what the follower has found out.
func (d *Driver) heed() {
	m := d.following.take()
	d.stats.Addresses += m.addresses
	if m.lock != nil {
		d.lock.Release()
		d.lock = m.lock
	}
	if m.fresh >= 0 {
		if n, err := kernelDrops(d.own.fd); err == nil {
			d.gone += n
		}
		closeAll(d.own.fd)
		d.own.fd, d.local = m.fresh, m.local
		d.poll[1].Fd = int32(m.fresh)
		d.filtered = d.filtered && attachFilter(d.group.fd, d.local) == nil
		d.stats.Moves++
	}
	if m.changed {
		if m.way.down && !d.way.down {
			d.stats.Downs++
		}
		d.way = m.way
	}
}
