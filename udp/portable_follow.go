package udp

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/activeblaze/blaze/internal/iface"
)

// portableFollowing is what a Portable and the goroutine of its follower share.
type portableFollowing struct {
	follower *follower // nil: there is none
	news     atomic.Bool

	mu   sync.Mutex
	mail portableMail

	// Of the follower's goroutine:
	cfg  Config
	home iface.Namespace
	own  *net.UDPConn // the member's own socket as the engine's thread has it, or is about to have it
	wake func()
}

// portableMail is what the follower leaves for the engine's thread.
type portableMail struct {
	way        way
	changed    bool // way is news
	addresses  uint64
	own, group *net.UDPConn // opened anew; nil: as it was
}

// follow starts to follow the interface.
func (p *Portable) follow(cfg Config) {
	f := &p.following
	f.cfg, f.own, f.wake, f.home = cfg, p.own.conn, p.Wake, iface.Here()
	follower, err := newFollower(&p.link, p.group != nil, f, p.log)
	if err != nil {
		p.log.Info("udp: the interface cannot be watched; changes of it go unnoticed", "interface", p.link.Name, "error", err)
		return
	}
	f.follower = follower
	go follower.run()
}

// end ends the following. What was left and not taken is closed.
func (f *portableFollowing) end() {
	f.follower.close()
	f.follower = nil
	f.take().close()
}

func (m portableMail) close() {
	for _, c := range []*net.UDPConn{m.own, m.group} {
		if c != nil {
			c.Close()
		}
	}
}

// take hands the mail to the engine's thread.
func (f *portableFollowing) take() (m portableMail) {
	f.mu.Lock()
	m, f.mail = f.mail, portableMail{}
	f.news.Store(false)
	f.mu.Unlock()
	return m
}

// leave changes the mail.
func (f *portableFollowing) leave(change func(*portableMail)) {
	f.mu.Lock()
	change(&f.mail)
	f.news.Store(true)
	f.mu.Unlock()
	f.wake()
}

// inside runs do where the sockets were made.
func (f *portableFollowing) inside(do func() error) error {
	return control(f.own, func(fd uintptr) error { return f.home.Do(int(fd), do) })
}

// tell implements sockets.
func (f *portableFollowing) tell(w way, addresses uint64) {
	f.leave(func(m *portableMail) {
		m.way, m.changed = w, true
		m.addresses += addresses
	})
}

// rejoin implements sockets: the group's socket is opened anew.
func (f *portableFollowing) rejoin(s *iface.Seen) error {
	var group *net.UDPConn
	err := f.inside(func() error {
		on, err := net.InterfaceByIndex(s.Index)
		if err != nil {
			return err
		}
		group, err = listenGroup(on, f.cfg)
		return err
	})
	if err != nil {
		return err
	}
	local := f.own.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
	if err := setOptions(f.own, local, f.cfg); err != nil && !errors.Is(err, net.ErrClosed) {
		group.Close()
		return err
	}
	setBuffers(f.cfg, group)
	f.leave(func(m *portableMail) {
		if m.group != nil {
			m.group.Close()
		}
		m.group = group
	})
	return nil
}

// move implements sockets. The port stays, where it is free there.
func (f *portableFollowing) move(_ *iface.Seen, to netip.Addr) error {
	port := f.own.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	var own *net.UDPConn
	err := f.inside(func() (err error) {
		if own, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, port))); inUse(err) {
			own, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 0)))
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := setOptions(own, to, f.cfg); err != nil {
		own.Close()
		return err
	}
	setBuffers(f.cfg, own)
	f.own = own
	f.leave(func(m *portableMail) {
		if m.own != nil {
			m.own.Close()
		}
		m.own = own
	})
	return nil
}

// heed takes in what the follower has found out. Nothing is lent while it runs.
func (p *Portable) heed() {
	m := p.following.take()
	p.stats.Addresses += m.addresses
	if m.group != nil {
		p.retire(p.group)
		p.group = p.start(m.group, true)
	}
	if m.own != nil {
		p.local.Store(uint64(EndpointOf(m.own.LocalAddr().(*net.UDPAddr).AddrPort())))
		p.retire(p.own)
		p.own = p.start(m.own, false)
		p.stats.Moves++
	}
	if m.changed {
		if m.way.down && !p.way.down {
			p.stats.Downs++
		}
		p.way = m.way
	}
}

// retire ends a reader whose socket has a successor, and keeps what it counted.
func (p *Portable) retire(r *reader) {
	_ = r.close()
	p.stats.RecvCalls += r.calls.Load()
	p.stats.RecvTruncated += r.truncated.Load()
	p.stats.RecvInvalid += r.invalid.Load()
	p.stats.RecvOwn += r.own.Load()
}
