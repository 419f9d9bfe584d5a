package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
)

// link is the interface that a driver uses.
type link struct {
	*net.Interface
	addr netip.Addr // its first IPv4 address, or the one that was asked for
	mtu  int        // of this driver: the interface's and Config.MTU considered
}

// findLink finds the interface called name, or loopback when name is empty, and checks that
// it can be used.
func findLink(name string, mtu int) (link, error) {
	all, err := net.Interfaces()
	if err != nil {
		return link{}, fmt.Errorf("udp: cannot list the network interfaces: %w", err)
	}
	for i := range all {
		ifi := &all[i]
		if ifi.Name == name || name == "" && ifi.Flags&net.FlagLoopback != 0 {
			return checkLink(ifi, netip.Addr{}, mtu)
		}
	}
	if name == "" {
		return link{}, fmt.Errorf("%w: this host has no loopback interface; name one of %s", ErrConfig, names(all))
	}
	return link{}, fmt.Errorf("%w: there is no interface %q; this host has %s", ErrConfig, name, names(all))
}

// linkOf finds the interface that has the address.
func linkOf(addr netip.Addr, mtu int) (link, error) {
	all, err := net.Interfaces()
	if err != nil {
		return link{}, fmt.Errorf("udp: cannot list the network interfaces: %w", err)
	}
	for i := range all {
		ifi := &all[i]
		// All of 127.0.0.0/8 is loopback, whatever is configured.
		if addr.IsLoopback() && ifi.Flags&net.FlagLoopback != 0 {
			return checkLink(ifi, addr, mtu)
		}
		for _, a := range ipv4s(ifi) {
			if a == addr {
				return checkLink(ifi, addr, mtu)
			}
		}
	}
	return link{}, errNotLocal
}

var errNotLocal = errors.New("no interface of this host has that address")

func checkLink(ifi *net.Interface, addr netip.Addr, mtu int) (link, error) {
	if ifi.Flags&net.FlagUp == 0 {
		return link{}, fmt.Errorf("%w: interface %s is down; bring it up with: %s", ErrConfig, ifi.Name, bringUp(runtime.GOOS, ifi.Name))
	}
	if !addr.IsValid() {
		addrs := ipv4s(ifi)
		if len(addrs) == 0 {
			return link{}, fmt.Errorf("%w: interface %s has no IPv4 address; give it one with: %s", ErrConfig, ifi.Name, addAddress(runtime.GOOS, ifi.Name))
		}
		addr = addrs[0]
	}
	own := ifi.MTU
	if own <= 0 || own > maxMTU { // Linux's loopback says 65536, Windows' says −1
		own = maxMTU
	}
	switch {
	case mtu == 0:
		mtu = min(own, defaultMTU)
		if mtu < minMTU {
			return link{}, fmt.Errorf("%w: interface %s has an MTU of %d bytes, at least %d are needed", ErrConfig, ifi.Name, own, minMTU)
		}
	case mtu > own:
		return link{}, fmt.Errorf("%w: mtu %d is more than interface %s carries; at most %d", ErrConfig, mtu, ifi.Name, own)
	}
	return link{ifi, addr, mtu}, nil
}

// ipv4s lists the interface's IPv4 addresses.
func ipv4s(ifi *net.Interface) (list []netip.Addr) {
	addrs, err := ifi.Addrs()
	if err != nil {
		return nil // the interface has just gone: as good as without addresses
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

func names(all []net.Interface) string {
	var list []string
	for _, ifi := range all {
		list = append(list, ifi.Name)
	}
	return strings.Join(list, ", ")
}

func bringUp(goos, name string) string {
	switch goos {
	case "linux":
		return "ip link set dev " + name + " up"
	case "windows":
		return `netsh interface set interface name="` + name + `" admin=enabled`
	}
	return "ifconfig " + name + " up"
}

func addAddress(goos, name string) string {
	switch goos {
	case "linux":
		return "ip address add ADDRESS/BITS dev " + name
	case "windows":
		return `netsh interface ipv4 add address "` + name + `" ADDRESS MASK`
	}
	return "ifconfig " + name + " inet ADDRESS/BITS"
}
