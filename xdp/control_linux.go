package xdp

import (
	"errors"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze/internal/iface"
	"github.com/activeblaze/blaze/internal/sleep"
	"golang.org/x/sys/unix"
)

// control does what the engine's thread must not: it waits. It watches the interface, the
// neighbours and the ordinary sockets, on a thread of its own, and leaves what it finds where
// the engine's thread looks at one word for each call of Recv.
type control struct {
	// news asks the engine's thread to call take. readable means that an ordinary socket
	// has something to read.
	news     atomic.Bool
	readable atomic.Bool
	_        [128]byte

	mu      sync.Mutex
	asks    [][4]byte // addresses whose neighbour the engine's thread asked for
	forget  bool      // the table of peers was emptied: no address of before is needed any more
	probe   bool      // the engine's thread found the link down
	rebuild bool      // it has closed the socket and wants a new one
	stop    bool
	mail    news

	follower  iface.Follower
	mtu       int // of the interface
	mac       mac
	local     netip.Addr // the member's own
	since     time.Time  // when the link went down,
	reminded  time.Time  // and when that was last logged
	unsure    bool       // lookAt could not find out
	warned    bool       // why the interface that is back cannot be used was logged
	state     State      // as it was last reported
	requests  *iface.Netlink
	events    *iface.Netlink
	epoll     int
	event     int
	kernel    *kernelSockets
	build     func(*iface.Link) (*attachment, error) // makes a new socket on an interface that has returned
	rejoin    func(index int) error                  // has the group's socket join again on the interface
	wake      func()
	log       *slog.Logger
	namespace int                // the network namespace, for the thread of run
	watched   map[[4]byte]*watch // by destination
	done      chan struct{}
}

// watch is a destination whose neighbour is kept known.
type watch struct {
	hop      [4]byte
	reported neighbour
}

// news is what control leaves for the engine's thread.
type news struct {
	answers   []answer
	state     State
	changed   bool // state is news
	fresh     *attachment
	mac       mac
	newMAC    bool
	mtu       int // 0: as it was
	addresses uint64
}

// answer says how packets to an address reach it: by hardware address, or else by the kernel.
type answer struct {
	ip    [4]byte
	mac   mac
	valid bool
	far   bool // mac is a gateway's
}

const (
	refreshEvery = 10 * time.Second // less than a neighbour is believed for (15 to 45 s)
	probeMin     = 10 * time.Millisecond
	probeMax     = time.Second
	maxWatched   = maxPeers
	remindEvery  = time.Minute
)

// startControl starts the watching.
func startControl(c *control) (err error) {
	c.watched, c.done = map[[4]byte]*watch{}, make(chan struct{})
	c.epoll, c.event, c.namespace = -1, -1, -1
	defer func() {
		if err != nil {
			c.release()
		}
	}()
	if c.requests, err = iface.OpenNetlink(0); err != nil {
		return err
	}
	if c.events, err = iface.OpenNetlink(unix.RTMGRP_LINK | unix.RTMGRP_NEIGH | unix.RTMGRP_IPV4_IFADDR); err != nil {
		return err
	}
	if c.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	if c.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	for _, w := range [...]struct {
		fd     int
		events uint32
	}{
		{c.event, unix.EPOLLIN}, {c.events.FD(), unix.EPOLLIN},
		{c.kernel.own, unix.EPOLLIN | unix.EPOLLET}, {c.kernel.group, unix.EPOLLIN | unix.EPOLLET},
	} {
		if err = unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, w.fd, &unix.EpollEvent{Events: w.events, Fd: int32(w.fd)}); err != nil {
			return err
		}
	}
	if c.namespace, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		c.namespace, err = -1, nil // no /proc: then there is hardly another namespace either
	}
	c.readable.Store(true) // something may have come before
	go c.run()
	return nil
}

func (c *control) release() {
	c.requests.Close()
	c.events.Close()
	for _, fd := range []*int{&c.epoll, &c.event, &c.namespace} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

// close ends the watching and waits for it.
func (c *control) close() {
	c.mu.Lock()
	c.stop = true
	c.mu.Unlock()
	c.ring()
	<-c.done
	c.release()
}

// ring makes run look at what was asked.
func (c *control) ring() { sleep.Signal(c.event) }

// ask wants the neighbour of ip to be known from now on.
func (c *control) ask(ip [4]byte) {
	c.mu.Lock()
	c.asks = append(c.asks, ip)
	c.mu.Unlock()
	c.ring()
}

// forgetAll ends the watching of all neighbours that were asked for.
func (c *control) forgetAll() {
	c.mu.Lock()
	c.asks, c.forget = c.asks[:0], true
	c.mu.Unlock()
}

// look asks for news of when the link is up: the engine's thread found it down.
func (c *control) look() {
	c.mu.Lock()
	c.probe = true
	c.mu.Unlock()
	c.ring()
}

// want asks for a new socket as soon as the interface is back.
func (c *control) want() {
	c.mu.Lock()
	c.rebuild = true
	c.mu.Unlock()
	c.ring()
}

// take hands what was left to the engine's thread.
func (c *control) take() (n news) {
	c.mu.Lock()
	n, c.mail = c.mail, news{}
	c.news.Store(false)
	c.mu.Unlock()
	return n
}

// leave changes the mail, and wakes the engine when it may be asleep over it.
func (c *control) leave(change func(*news), wake bool) {
	c.mu.Lock()
	change(&c.mail)
	c.news.Store(true)
	c.mu.Unlock()
	if wake {
		c.wake()
	}
}

func (c *control) run() {
	defer close(c.done)
	runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
	if c.namespace >= 0 {
		_ = unix.Setns(c.namespace, unix.CLONE_NEWNET) // fails without a privilege, where it is the same one anyway
	}
	var (
		ready   [8]unix.EpollEvent
		refresh = time.Now().Add(refreshEvery)
		backoff = probeMin
		probing bool
		rebuild bool
	)
	for {
		timeout := time.Until(refresh)
		if probing || rebuild {
			timeout = min(timeout, backoff)
		}
		n, err := unix.EpollWait(c.epoll, ready[:], max(0, int(timeout/time.Millisecond)+1))
		if err != nil && !errors.Is(err, unix.EINTR) {
			c.log.Error("xdp: watching the interface failed; changes of link and neighbours go unnoticed from now on", "error", err)
			return
		}
		looked := false
		for _, e := range ready[:max(n, 0)] {
			switch int(e.Fd) {
			case c.event:
				var count [8]byte
				_, _ = unix.Read(c.event, count[:])
			case c.events.FD():
				looked = c.hear() || looked
			default:
				c.readable.Store(true)
			}
		}
		c.mu.Lock()
		stop, asks := c.stop, c.asks
		c.asks = nil
		if c.forget {
			c.forget = false
			clear(c.watched)
		}
		if c.probe {
			c.probe, probing, backoff = false, true, probeMin
		}
		if c.rebuild {
			c.rebuild, rebuild, backoff = false, true, probeMin
		}
		c.mu.Unlock()
		if stop {
			return
		}
		for _, ip := range asks {
			c.watch(ip)
		}
		if probing || rebuild || looked {
			if c.lookAt(rebuild) {
				probing, rebuild = false, false
			} else {
				probing = probing || c.unsure
				backoff = min(2*backoff, probeMax)
			}
			c.unsure = false
		}
		now := time.Now()
		c.remind(now)
		if !now.Before(refresh) {
			refresh = now.Add(refreshEvery)
			for _, w := range c.watched {
				_ = refreshNeighbour(c.requests, w.hop, c.follower.Index)
			}
		}
	}
}

// hear reads what has changed. True means that the interface has.
func (c *control) hear() (changed bool) {
	complete := c.events.Events(func(kind int, b []byte) {
		switch kind {
		case unix.RTM_NEWLINK, unix.RTM_DELLINK:
			changed = c.follower.Heed(kind, b) || changed
		case unix.RTM_NEWADDR, unix.RTM_DELADDR:
			if at, ip, ok := iface.ParseAddress(b); ok && at == c.follower.Index {
				c.tellAddress(netip.AddrFrom4(ip), kind == unix.RTM_DELADDR)
				c.leave(func(n *news) { n.addresses++ }, false)
			}
		case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
			if n, ok := parseNeighbour(kind, b); ok && n.index == c.follower.Index {
				for ip, w := range c.watched {
					if w.hop == n.ip {
						c.tell(ip, w, n)
					}
				}
			}
		}
	})
	if complete {
		return changed
	}
	for _, w := range c.watched { // messages were lost
		if n, ok := findNeighbour(c.requests, w.hop, c.follower.Index); ok {
			for ip, w := range c.watched {
				if w.hop == n.ip {
					c.tell(ip, w, n)
				}
			}
		}
	}
	return true
}

// tellAddress logs that the interface got an address or lost one.
func (c *control) tellAddress(ip netip.Addr, removed bool) {
	if removed && ip == c.local {
		c.log.Warn("xdp: the member's own address was removed from the interface; it goes on under that address",
			"interface", c.follower.Name, "address", ip, "remedy", "restore the address, or restart the member to use another")
		return
	}
	c.log.Info("xdp: an address of the interface has changed", "interface", c.follower.Name, "address", ip, "removed", removed)
}

// watch begins to keep ip's neighbour known.
func (c *control) watch(ip [4]byte) {
	if c.watched[ip] != nil || len(c.watched) >= maxWatched || c.follower.Index == 0 {
		return
	}
	hop, ok := nextHop(c.requests, ip, c.follower.Index)
	if !ok {
		return // through another interface: the kernel's socket finds the way
	}
	w := &watch{hop: hop}
	c.watched[ip] = w
	if n, ok := findNeighbour(c.requests, hop, c.follower.Index); ok {
		c.tell(ip, w, n)
	}
	if err := refreshNeighbour(c.requests, hop, c.follower.Index); err != nil {
		c.log.Debug("xdp: cannot ask for a neighbour", "address", hop, "error", err)
	}
}

// tell passes on how ip is reached, if that is news.
func (c *control) tell(ip [4]byte, w *watch, n neighbour) {
	if n.valid == w.reported.valid && (!n.valid || n.mac == w.reported.mac) {
		return
	}
	w.reported = n
	c.leave(func(m *news) { m.answers = append(m.answers, answer{ip, n.mac, n.valid, w.hop != ip}) }, false)
}

// lookAt finds out how the interface is, and reports it. True means that it is up, with a new
// socket if one is wanted.
func (c *control) lookAt(rebuild bool) bool {
	l, err := c.follower.Look(c.requests)
	if err != nil && c.follower.Index != 0 {
		c.unsure = true
		return false
	}
	state := Up
	switch {
	case c.follower.Index == 0:
		state = Gone
	case !l.Up():
		state = Down
	}
	if state == Gone {
		c.report(Gone)
		if err != nil || l.Index == 0 || !rebuild || !l.Up() {
			return false
		}
		fresh, err := c.build(&l)
		if err != nil {
			if !c.warned {
				c.warned = true
				c.log.Warn("xdp: the interface is back, and cannot be used yet", "interface", c.follower.Name, "error", err)
			}
			return false
		}
		c.warned = false
		c.follower.Index = l.Index
		c.mac = l.MAC
		clear(c.watched)
		c.state = Up
		c.tellMTU(l.MTU)
		c.leave(func(n *news) { n.fresh, n.state, n.changed, n.mac, n.newMAC = fresh, Up, true, l.MAC, true }, true)
		c.log.Info("xdp: the interface is back", "interface", c.follower.Name, "index", l.Index)
		return true
	}
	c.tellMTU(l.MTU)
	if l.MAC != c.mac {
		c.mac = l.MAC
		c.leave(func(n *news) { n.mac, n.newMAC = l.MAC, true }, false)
	}
	c.report(state)
	return state == Up
}

// tellMTU passes on the interface's MTU, if that is news.
func (c *control) tellMTU(mtu int) {
	if mtu == c.mtu || mtu == 0 {
		return
	}
	c.log.Warn("xdp: the interface's MTU has changed", "interface", c.follower.Name, "mtu", mtu, "was", c.mtu, "note", "new datagrams are no longer than that")
	c.mtu = mtu
	c.leave(func(n *news) { n.mtu = mtu }, false)
}

// remind logs once a minute that nothing can leave, for as long as that lasts.
func (c *control) remind(now time.Time) {
	if c.state != Up && now.Sub(c.reminded) >= remindEvery {
		c.reminded = now
		c.log.Warn("xdp: there is still no way out", "interface", c.follower.Name, "state", c.state.String(), "for", now.Sub(c.since).Round(time.Second))
	}
}

func (c *control) report(s State) {
	// Up is always reported: the engine's thread may have found the link down by itself.
	if s == c.state && s != Up {
		return
	}
	if s == Up && c.state == Down && c.rejoin != nil {
		if err := c.rejoin(c.follower.Index); err != nil { // the switch may be another one, which does not know who wants the group
			c.log.Warn("xdp: cannot join the group again", "interface", c.follower.Name, "error", err)
		}
	}
	if s != c.state {
		if c.state == Up {
			c.since = time.Now()
			c.reminded = c.since
		}
		c.log.Warn("xdp: the link has changed", "interface", c.follower.Name, "state", s.String())
	}
	c.state = s
	c.leave(func(n *news) { n.state, n.changed = s, true }, true)
}
