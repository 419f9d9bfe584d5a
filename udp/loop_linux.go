package udp

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze/internal/iflock"
	"golang.org/x/sys/unix"
)

// A packet that is sent to a multicast group which this host has joined on that interface is copied by the kernel, and the
// copy is received like any other packet (IP_MULTICAST_LOOP, ip(7)): by the other members of this host, by other programs
// that listen, and by the sender itself, whose filter drops it. A member that is alone spends that copy for nothing, on the
// path of each packet. So it is switched off while nobody wants it.
//
// Members of a host find each other by the names of package iflock. A member joins the group, claims its name, and asks the
// others. They switch the loop on, and then answer; only then is the newcomer open. Other listeners show in the kernel's
// list of memberships, which is looked at five times a second: more sockets have joined than there are members with names.
// Where a list or a name is not to be had, the loop is on.

const (
	askLimit = 100 * time.Millisecond // how long Open waits for the other members of this host
	// How often memberships are looked at. A foreign listener receives everything from 300 ms after its join on, and the
	// thread that looks may be late by a third of that.
	loopEvery = 200 * time.Millisecond
)

// noName is why the loop is on where the other members of the host cannot know that this one is there.
const noName = "this member has no name by which others could find it"

// loop decides whether the kernel copies what is sent to the group. Its goroutines run from Open to Close: one looks who
// has joined, and one answers the other members of the host under each name that the member has.
type loop struct {
	// on is false while no copies come. It is true before the first one can come and false after the last one was made,
	// but for packets that are being sent just then.
	_  [128]byte // the engine's thread reads on each time that it sends
	on atomic.Bool
	_  [128]byte

	switches atomic.Uint64
	log      *slog.Logger
	group    netip.AddrPort
	fixed    string // why it never changes; empty: it is decided here
	ifname   string
	none     bool // the kernel makes no copies that it could leave out: loopback, or no group

	census census

	end  chan struct{} // closed by close; nil: nobody looks
	busy sync.WaitGroup

	mu    sync.Mutex
	fd    int // the member's own socket; −1: closed
	index int // of the interface
	lock  *iflock.Lock
	asks  uint64 // times that it was switched on for somebody; what was looked at before does not count then
	why   string // it is on; empty: off

	failed bool // to switch it; that is logged once
}

// init prepares l before the first name is claimed. The loop is on.
func (l *loop) init(cfg Config, at link, own int) {
	l.log, l.group, l.ifname, l.fd, l.index = cfg.Logger, cfg.Group, at.Name, own, at.Index
	l.none = !cfg.Group.IsValid() || at.Flags&net.FlagLoopback != 0
	l.why = "it is not known yet who else is there"
	l.on.Store(true)
}

// claim claims the group on an interface.
func (l *loop) claim(index int) (*iflock.Lock, error) {
	if l.none {
		return iflock.Shared(index, l.group)
	}
	return iflock.Answering(index, l.group)
}

// open begins to answer under the name that lock has, asks the other members of this host and decides for the first time.
// It has to be called in the network namespace of the sockets.
func (l *loop) open(cfg Config, lock *iflock.Lock) {
	if l.none {
		return
	}
	l.serve(lock)
	l.ask()
	err := l.census.open(cfg.TTL > 1)
	l.mu.Lock()
	switch {
	case cfg.Loop != "auto":
		l.fixed = "the URI says so"
	case !lock.Named():
		l.fixed = noName
	case err != nil:
		l.fixed = "the kernel does not say who has joined: " + err.Error()
	}
	fixed := l.fixed != ""
	if cfg.Loop == "off" {
		l.become(l.asks, "")
	}
	l.mu.Unlock()
	if fixed {
		l.census.close()
	} else {
		l.look()
		l.end = make(chan struct{})
		end := l.end
		l.busy.Go(func() { l.watch(end) })
	}
	if why := l.reason(); l.on.Load() {
		l.log.Info("udp: what is sent to the group goes to other sockets of this host too", "interface", l.ifname, "why", why)
	} else {
		l.log.Info("udp: what is sent to the group does not go to other sockets of this host", "interface", l.ifname, "why", why)
	}
}

// reason says why the loop is as it is.
func (l *loop) reason() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.fixed != "":
		return l.fixed
	case l.why == "":
		return "none of them has joined it"
	}
	return l.why
}

// close ends the goroutines, and gives the name up. The sockets are still open: a name that is gone while its member has
// joined makes the others switch their loop on, and the other way round it would hide a stranger.
func (l *loop) close(lock *iflock.Lock) {
	l.mu.Lock()
	l.fd = -1
	l.mu.Unlock()
	if l.end != nil {
		close(l.end)
		l.end = nil
	}
	lock.Release()
	l.busy.Wait()
	l.census.close()
}

// serve has the member answer under a name, which is from now on its own.
func (l *loop) serve(lock *iflock.Lock) {
	if l.none {
		return
	}
	l.mu.Lock()
	l.lock = lock
	l.mu.Unlock()
	l.busy.Go(func() { lock.Answer(func() { l.admit("another member of this host has come") }) })
}

// away is called before the member leaves the group for a moment, and joined when it has joined again, on the interface with
// that index. In between no list shows this member, so the loop is on.
func (l *loop) away() {
	l.mu.Lock()
	l.index = 0
	l.mu.Unlock()
	l.admit("the interface has come back")
}

func (l *loop) joined(index int) {
	l.mu.Lock()
	l.index = index
	l.mu.Unlock()
}

// ask asks the other members of this host, once this one has joined. From then on they send to it.
func (l *loop) ask() {
	if l.none {
		return
	}
	l.mu.Lock()
	lock := l.lock
	l.mu.Unlock()
	if others, done := lock.Ask(askLimit); done < others {
		l.log.Info("udp: some members of this host have not answered; what they send may be missed for a moment", "interface", l.ifname,
			"members", others, "answered", done, "waited", askLimit)
	}
}

// admit switches the loop on for somebody.
func (l *loop) admit(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asks++
	l.become(l.asks, why)
}

// move has another socket be the member's own. The one before is still used until the engine's thread takes the other.
func (l *loop) move(fd int) {
	if l.none {
		return
	}
	l.admit("the member's own socket is another one")
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd = fd; l.why == "" {
		_ = setLoop(fd, false)
	}
}

// watch looks who has joined until end is closed.
func (l *loop) watch(end <-chan struct{}) {
	t := time.NewTicker(loopEvery)
	defer t.Stop()
	for {
		select {
		case <-end:
			return
		case <-t.C:
			l.look()
		}
	}
}

// look finds out which other sockets have joined. A member that asks meanwhile overrides that: its name may have come after
// the names were read.
func (l *loop) look() {
	l.mu.Lock()
	asks, index := l.asks, l.index
	l.mu.Unlock()
	why := l.census.take(index, l.group, l.on.Load())
	l.mu.Lock()
	defer l.mu.Unlock()
	if why == "" && !l.lock.Named() {
		why = noName
	}
	l.become(asks, why)
}

// become switches the loop off when why is empty and nobody has asked since asks was read; otherwise on. The mutex is held.
func (l *loop) become(asks uint64, why string) {
	off := why == ""
	if off && asks != l.asks || l.fd < 0 || why != "" && l.fixed != "" {
		return
	}
	if off == (l.why == "") {
		l.why = why
		return
	}
	if !off {
		l.on.Store(true)
	}
	if err := setLoop(l.fd, !off); err != nil {
		if !l.failed {
			l.log.Warn("udp: cannot switch the loop", "interface", l.ifname, "error", err)
		}
		l.failed = true
		return
	}
	if off {
		l.on.Store(false)
	}
	l.why = why
	l.switches.Add(1)
	l.log.Debug("udp: whether what is sent to the group goes to other sockets of this host has changed", "interface", l.ifname, "on", !off, "why", why)
}

func setLoop(fd int, on bool) error {
	v := 0
	if on {
		v = 1
	}
	return option("IP_MULTICAST_LOOP", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, v))
}
