package udp

import (
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/iface"
)

// A driver follows its interface: one goroutine watches it (internal/iface), has the sockets join the group again when
// the interface was made anew, opens the member's own socket anew when its address is gone and there is another one, and
// leaves what the engine's thread has to know where that looks at one word for each call of Recv.

// way is what the watch has found out.
type way struct {
	shut bool   // nothing can leave
	down bool   // what leaves gets no further: no carrier; or shut
	why  string // it is down
	mtu  int    // the largest IP packet that the interface takes now, bytes; at most what the driver was opened with
}

// out is the way as an engine knows it.
func (w *way) out() buf.Way {
	return buf.Way{Pack: w.mtu - headers, Longest: w.mtu - headers, Shut: w.shut, Down: w.down}
}

// sockets are a driver's sockets as its follower sees them. An error means that it is to be tried again.
type sockets interface {
	// rejoin has the group's socket join on the interface, and what goes to the group leave there.
	rejoin(s *iface.Seen) error
	// move opens the member's own socket anew, on another address of the interface.
	move(s *iface.Seen, to netip.Addr) error
	// tell leaves news for the engine's thread.
	tell(w way, addresses uint64)
}

// follower follows one driver's interface. It belongs to its goroutine.
type follower struct {
	watch   *iface.Watch
	sockets sockets
	log     *slog.Logger
	group   bool       // multicast: false with peers
	local   netip.Addr // the member's own
	joined  int        // index of the interface that the sockets use; 0: they have to be told again
	top     int        // MTU that the driver was opened with
	addrs   []netip.Addr
	way     way
	since   time.Time // when the way went down
	warned  time.Time // when that was last logged
	failed  string    // what could not be done to come back; logged when it changes
	done    chan struct{}
}

const (
	againEvery = time.Second // while something is wrong the interface is looked at so often, besides
	warnEvery  = time.Minute
)

// newFollower begins to watch the interface. Where the system does not let it, as in some sandboxes, there is none.
func newFollower(l *link, group bool, s sockets, log *slog.Logger) (*follower, error) {
	f := &follower{sockets: s, log: log, group: group, local: l.addr, joined: l.Index, top: l.mtu, done: make(chan struct{})}
	f.way.mtu = l.mtu
	f.addrs = ipv4s(l.Interface)
	addr := l.addr
	if group {
		addr = netip.Addr{}
	} else if addr.IsLoopback() {
		addr, f.local = netip.Addr{}, netip.Addr{} // all of 127.0.0.0/8 is there, whatever is configured
	}
	var err error
	f.watch, err = iface.Open(l.Name, l.Index, addr)
	return f, err
}

// run watches until the watch is closed.
func (f *follower) run() {
	defer close(f.done)
	defer f.watch.Release()
	f.look() // something may have changed since the driver was opened
	for f.watch.Next(f.pause()) {
		f.look()
	}
}

// close ends run, and waits for it.
func (f *follower) close() {
	if f != nil {
		f.watch.Close()
		<-f.done
	}
}

// pause is how long nothing needs to be looked at unasked.
func (f *follower) pause() time.Duration {
	if f.way.down || f.failed != "" {
		return againEvery
	}
	return -1
}

// look finds out how the interface is, and does what has to be done.
func (f *follower) look() {
	s, err := f.watch.Look()
	if err != nil {
		f.fails("look at the interface", err)
		return
	}
	var addresses uint64
	if s.Index != 0 && !slices.Equal(s.Addrs, f.addrs) {
		f.addrs, addresses = s.Addrs, 1
	}
	if s.Index == 0 || s.Anew {
		f.joined = 0 // what was joined ended with it
	}
	w := f.judge(&s)
	if !w.shut && !f.arrange(&s) {
		w.shut, w.down, w.why = true, true, f.failed
	}
	if w.mtu != f.way.mtu {
		f.log.Warn("udp: the interface's MTU has changed", "interface", s.Name, "mtu", s.MTU, "was", f.way.mtu, "now", w.mtu,
			"note", "new datagrams are no longer than that; longer ones that were sent before leave again when it is raised")
	}
	f.note(w)
	if w != f.way || addresses > 0 {
		f.way = w
		f.sockets.tell(w, addresses)
	}
}

// judge says whether there is a way out through an interface like that.
func (f *follower) judge(s *iface.Seen) (w way) {
	w.mtu = f.way.mtu
	if s.Index != 0 && s.MTU > 0 {
		w.mtu = min(max(s.MTU, minMTU), f.top)
	}
	w.shut, w.down = true, true
	switch {
	case s.Index == 0:
		w.why = "the interface is gone"
	case !s.Up:
		w.why = "the interface is down"
	case len(s.Addrs) == 0:
		w.why = "the interface has no IPv4 address"
	case !f.group && f.local.IsValid() && !slices.Contains(s.Addrs, f.local):
		w.why = "no interface has the member's own address"
	case !s.Carrier:
		w.shut, w.why = false, "the link is down" // members of this host still hear it
	default:
		return way{mtu: w.mtu}
	}
	return w
}

// arrange makes the sockets fit the interface. It reports whether they do.
func (f *follower) arrange(s *iface.Seen) bool {
	if !f.group {
		f.joined = s.Index
		return true
	}
	if !slices.Contains(s.Addrs, f.local) {
		if err := f.sockets.move(s, s.Addrs[0]); err != nil {
			return f.fails("bind "+s.Addrs[0].String(), err)
		}
		f.log.Warn("udp: the member's own address is not on the interface any more; the member goes on under another one",
			"interface", s.Name, "was", f.local, "now", s.Addrs[0])
		f.local = s.Addrs[0]
	}
	// After a carrier was lost, too: the switch behind it may be another one, which does not know who wants the group.
	if f.joined != s.Index || f.way.down {
		if err := f.sockets.rejoin(s); err != nil {
			return f.fails("join the group again", err)
		}
		f.joined = s.Index
	}
	f.failed = ""
	return true
}

// fails notes what could not be done.
func (f *follower) fails(what string, err error) bool {
	text := "cannot " + what + ": " + err.Error()
	if text != f.failed {
		f.failed = text
		f.log.Warn("udp: the interface cannot be used yet", "error", text)
	}
	return false
}

// note logs that the way out is lost, once a minute for as long as it is, and that it is back.
func (f *follower) note(w way) {
	now := time.Now()
	switch {
	case w.down && !f.way.down:
		f.since, f.warned = now, now
		f.log.Warn("udp: there is no way out", "why", w.why, "note", "what is sent meanwhile does not leave this host")
	case w.down && (w.why != f.way.why || now.Sub(f.warned) >= warnEvery):
		f.warned = now
		f.log.Warn("udp: there is still no way out", "why", w.why, "for", now.Sub(f.since).Round(time.Second))
	case !w.down && f.way.down:
		f.log.Info("udp: the way out is back", "after", now.Sub(f.since).Round(time.Millisecond), "address", f.local)
	}
}
