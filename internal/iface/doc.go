// Package iface follows a network interface while it is in use: it goes down and comes back, loses or gets
// addresses, has its MTU changed, is renamed, is removed and made anew under another index.
//
// Watch says what has become of one interface: on Linux when the kernel reports a change (rtnetlink), elsewhere
// by looking every second. Netlink is the socket beneath it, which package xdp uses for neighbours and routes too.
package iface

import "net/netip"

// Seen is what an interface is like at the moment.
type Seen struct {
	Index   int // 0: there is no such interface; all other fields are zero then
	Name    string
	Up      bool         // it was brought up
	Carrier bool         // packets can pass, as far as the system tells
	MTU     int          // bytes; 0: not known
	Addrs   []netip.Addr // IPv4, in the system's order
	Anew    bool         // it was removed since it was last seen, and this is another one
}
