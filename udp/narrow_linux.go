package udp

import (
	"time"

	"golang.org/x/sys/unix"
)

// narrow is what a driver knows of an interface whose MTU was lowered while it is in use. What is longer cannot leave
// then.
type narrow struct {
	mtu    int       // of the interface, as it was last read
	read   time.Time // when that was
	logged time.Time // the last line
}

const (
	readEvery = 100 * time.Millisecond
	lineEvery = time.Minute
)

// cannotLeave reports whether a datagram of size bytes does not fit the interface as it is now. It is asked about what the
// kernel refused, and reads the MTU now and then.
func (d *Driver) cannotLeave(size int) bool {
	w, now := &d.narrow, time.Now()
	if w.read.IsZero() || now.Sub(w.read) >= readEvery {
		w.read = now
		ifr, err := unix.NewIfreq(d.link.Name)
		if err != nil || unix.IoctlIfreq(d.own.fd, unix.SIOCGIFMTU, ifr) != nil {
			return false
		}
		w.mtu = int(ifr.Uint32())
	}
	if w.mtu <= 0 || size+headers <= w.mtu {
		return false
	}
	if d.following.follower != nil { // which knows when it is raised again
		d.way.mtu = min(d.way.mtu, max(w.mtu, minMTU))
	}
	if w.logged.IsZero() || now.Sub(w.logged) >= lineEvery {
		w.logged = now
		d.log.Warn("udp: the interface's MTU was lowered: longer datagrams cannot leave", "interface", d.link.Name, "mtu", w.mtu,
			"datagram", size+headers,
			"remedy", "raise the interface's MTU again, or stop and start this member, with mtu=N in the URI of all members")
	}
	return true
}
