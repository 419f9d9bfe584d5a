//go:build !linux

package iface

import (
	"net"
	"net/netip"
	"time"
)

// Watch watches one interface. Its methods belong to one goroutine, but for Close.
type Watch struct {
	name   string
	index  int
	addr   netip.Addr
	closed chan struct{}
}

// lookEvery is how often an interface is looked at.
const lookEvery = time.Second

// Open begins to watch the interface with a name and an index. With an address, it is whichever interface has that
// one.
func Open(name string, index int, addr netip.Addr) (*Watch, error) {
	return &Watch{name: name, index: index, addr: addr, closed: make(chan struct{})}, nil
}

// Next waits until something may have changed, or limit has passed; a negative limit means for ever. It is false after
// Close.
func (w *Watch) Next(limit time.Duration) bool {
	if limit < 0 || limit > lookEvery {
		limit = lookEvery
	}
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-w.closed:
		return false
	case <-t.C:
		return true
	}
}

// Look asks what the interface is like.
func (w *Watch) Look() (s Seen, err error) {
	all, err := net.Interfaces()
	if err != nil {
		return s, err
	}
	at := find(all, func(i *net.Interface) bool { return i.Index == w.index })
	if w.addr.IsValid() && (at == nil || !has(at, w.addr)) {
		if there := find(all, func(i *net.Interface) bool { return has(i, w.addr) }); there != nil {
			at = there
		}
	}
	if at == nil {
		at = find(all, func(i *net.Interface) bool { return i.Name == w.name })
	}
	if at == nil {
		w.index = 0
		return s, nil
	}
	s = Seen{
		Index: at.Index, Name: at.Name, Up: at.Flags&net.FlagUp != 0, Carrier: at.Flags&net.FlagUp != 0,
		MTU: max(at.MTU, 0), Addrs: addresses(at), Anew: at.Index != w.index,
	}
	w.index = at.Index
	return s, nil
}

func find(all []net.Interface, is func(*net.Interface) bool) *net.Interface {
	for i := range all {
		if is(&all[i]) {
			return &all[i]
		}
	}
	return nil
}

func has(i *net.Interface, addr netip.Addr) bool {
	for _, a := range addresses(i) {
		if a == addr {
			return true
		}
	}
	return false
}

// addresses lists an interface's IPv4 addresses.
func addresses(i *net.Interface) (list []netip.Addr) {
	addrs, err := i.Addrs()
	if err != nil {
		return nil // it has just gone
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap().Is4() {
				list = append(list, ip.Unmap())
			}
		}
	}
	return list
}

// Close ends the watch, and a Next that waits. Any goroutine may call it, once.
func (w *Watch) Close() { close(w.closed) }

// Release frees the rest. It belongs to the goroutine that calls Next and Look, after Close.
func (w *Watch) Release() {}
