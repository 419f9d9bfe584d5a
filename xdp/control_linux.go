package xdp

import (
	"errors"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

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

	name      string
	index     int // of the interface; 0: it is gone
	mac       mac
	local     netip.Addr // the member's own
	warned    bool       // why the interface that is back cannot be used was logged
	state     State      // as it was last reported
	requests  *netlink
	events    *netlink
	epoll     int
	event     int
	kernel    *kernelSockets
	build     func(*link) (*attachment, error) // makes a new socket on an interface that has returned
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
	if c.requests, err = openNetlink(0); err != nil {
		return err
	}
	if c.events, err = openNetlink(unix.RTMGRP_LINK | unix.RTMGRP_NEIGH | unix.RTMGRP_IPV4_IFADDR); err != nil {
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
		{c.event, unix.EPOLLIN}, {c.events.fd, unix.EPOLLIN},
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
	c.requests.close()
	c.events.close()
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
			case c.events.fd:
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
				backoff = min(2*backoff, probeMax)
			}
		}
		if !time.Now().Before(refresh) {
			refresh = time.Now().Add(refreshEvery)
			for _, w := range c.watched {
				_ = c.requests.refresh(w.hop, c.index)
			}
		}
	}
}

// hear reads what has changed. True means that the interface has.
func (c *control) hear() (changed bool) {
	complete := c.events.events(func(kind int, b []byte) {
		switch kind {
		case unix.RTM_NEWLINK, unix.RTM_DELLINK:
			if l := parseLink(b); l.index == c.index || l.name == c.name {
				changed = true
			}
		case unix.RTM_NEWADDR, unix.RTM_DELADDR:
			if at, ip, ok := parseAddress(b); ok && at == c.index {
				c.tellAddress(netip.AddrFrom4(ip), kind == unix.RTM_DELADDR)
				c.leave(func(n *news) { n.addresses++ }, false)
			}
		case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
			if n, ok := parseNeighbour(kind, b); ok && n.index == c.index {
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
		if n, ok := c.requests.neighbour(w.hop, c.index); ok {
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
			"interface", c.name, "address", ip, "remedy", "restore the address, or restart the member to use another")
		return
	}
	c.log.Info("xdp: an address of the interface has changed", "interface", c.name, "address", ip, "removed", removed)
}

// watch begins to keep ip's neighbour known.
func (c *control) watch(ip [4]byte) {
	if c.watched[ip] != nil || len(c.watched) >= maxWatched || c.index == 0 {
		return
	}
	hop, ok := c.requests.nextHop(ip, c.index)
	if !ok {
		return // through another interface: the kernel's socket finds the way
	}
	w := &watch{hop: hop}
	c.watched[ip] = w
	if n, ok := c.requests.neighbour(hop, c.index); ok {
		c.tell(ip, w, n)
	}
	if err := c.requests.refresh(hop, c.index); err != nil {
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
	// By index as long as it is there: it may have been renamed, and another one of that name
	// is not what the socket is bound to.
	l, err := c.requests.link(c.name, c.index)
	if err != nil && c.index != 0 {
		c.index = 0
		l, err = c.requests.link(c.name, 0)
	}
	state := Up
	switch {
	case c.index == 0:
		state = Gone
	case !l.up():
		state = Down
	}
	if state == Gone {
		c.report(Gone)
		if err != nil || !rebuild || !l.up() {
			return false
		}
		fresh, err := c.build(&l)
		if err != nil {
			if !c.warned {
				c.warned = true
				c.log.Warn("xdp: the interface is back, and cannot be used yet", "interface", c.name, "error", err)
			}
			return false
		}
		c.warned = false
		c.index = l.index
		c.mac = l.mac
		clear(c.watched)
		c.state = Up
		c.leave(func(n *news) { n.fresh, n.state, n.changed, n.mac, n.newMAC = fresh, Up, true, l.mac, true }, true)
		c.log.Info("xdp: the interface is back", "interface", c.name, "index", l.index)
		return true
	}
	if l.mac != c.mac {
		c.mac = l.mac
		c.leave(func(n *news) { n.mac, n.newMAC = l.mac, true }, false)
	}
	c.report(state)
	return state == Up
}

func (c *control) report(s State) {
	// Up is always reported: the engine's thread may have found the link down by itself.
	if s == c.state && s != Up {
		return
	}
	if s != c.state {
		c.log.Warn("xdp: the link has changed", "interface", c.name, "state", s.String())
	}
	c.state = s
	c.leave(func(n *news) { n.state, n.changed = s, true }, true)
}
