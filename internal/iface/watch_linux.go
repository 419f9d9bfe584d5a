package iface

import (
	"errors"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Watch watches one interface. Its methods belong to one goroutine, but for Close.
type Watch struct {
	follower Follower
	addr     netip.Addr // what decides which interface it is; invalid: the Follower does
	requests *Netlink
	events   *Netlink
	file     *os.File // of events: the runtime waits for it, not a thread
	raw      syscall.RawConn
	removed  bool
}

// Open begins to watch the interface with a name and an index. With an address, it is whichever interface has that
// one. The Watch sees the network namespace of the thread that calls Open.
func Open(name string, index int, addr netip.Addr) (*Watch, error) {
	w := &Watch{follower: Follower{name, index}, addr: addr}
	var err error
	if w.requests, err = OpenNetlink(0); err != nil {
		return nil, err
	}
	if w.events, err = OpenNetlink(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR); err != nil {
		w.requests.Close()
		return nil, err
	}
	w.events.in = w.requests.in // one goroutine reads both
	w.file = os.NewFile(uintptr(w.events.fd), "netlink")
	if w.raw, err = w.file.SyscallConn(); err == nil {
		err = w.file.SetReadDeadline(time.Time{}) // fails where the runtime cannot wait for it
	}
	if err != nil {
		w.file.Close()
		w.requests.Close()
		return nil, err
	}
	return w, nil
}

// Next waits until something may have changed, or limit has passed; a negative limit means for ever. It is false after
// Close.
func (w *Watch) Next(limit time.Duration) bool {
	var until time.Time
	if limit >= 0 {
		until = time.Now().Add(limit)
	}
	if w.file.SetReadDeadline(until) != nil {
		return false
	}
	err := w.raw.Read(func(uintptr) bool {
		changed := false
		complete := w.events.Events(func(kind int, body []byte) {
			mine := w.follower.Heed(kind, body)
			w.removed = w.removed || mine && w.follower.Index == 0
			changed = changed || mine || w.addr.IsValid() && (kind == unix.RTM_NEWADDR || kind == unix.RTM_DELADDR)
		})
		return changed || !complete
	})
	return err == nil || errors.Is(err, os.ErrDeadlineExceeded)
}

// Look asks what the interface is like.
func (w *Watch) Look() (s Seen, err error) {
	addrs, err := w.requests.addresses()
	if err != nil {
		return s, err
	}
	if w.addr.IsValid() {
		for _, a := range addrs {
			if a.ip == w.addr.As4() && a.index != w.follower.Index {
				w.follower.Index, w.removed = a.index, true
			}
		}
	}
	l, err := w.follower.Look(w.requests)
	if err != nil {
		return s, err
	}
	if w.follower.Index == 0 {
		w.removed = true
	}
	if l.Index == 0 {
		return s, nil
	}
	s = Seen{Index: l.Index, Name: l.Name, Up: l.Flags&unix.IFF_UP != 0, Carrier: l.Up(), MTU: l.MTU, Anew: w.removed}
	for _, a := range addrs {
		if a.index == l.Index {
			s.Addrs = append(s.Addrs, netip.AddrFrom4(a.ip))
		}
	}
	w.follower.Index, w.removed = l.Index, false
	return s, nil
}

// Close ends the watch, and a Next that waits. Any goroutine may call it; Look must not be called afterwards, nor run.
func (w *Watch) Close() { w.file.Close() }

// Release frees the rest. It belongs to the goroutine that calls Next and Look, after Close.
func (w *Watch) Release() { w.requests.Close() }
