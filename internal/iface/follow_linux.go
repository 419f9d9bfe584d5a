package iface

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Follower knows which interface is meant, for one that was found once. While it is there its index says so: it may be
// renamed, and another one may get its name. When it was removed, its name does.
type Follower struct {
	Name  string // as it was called when it was found
	Index int    // 0: it is gone
}

// Heed takes in a message from the kernel, and reports whether it is about this interface.
func (f *Follower) Heed(kind int, body []byte) bool {
	switch kind {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		l := ParseLink(body)
		if l.Index == 0 || l.Index != f.Index && l.Name != f.Name {
			return false
		}
		// A bridge reports with the same kind, and a family, that the interface has left it.
		if kind == unix.RTM_DELLINK && l.Index == f.Index && body[0] == unix.AF_UNSPEC {
			f.Index = 0
		}
		return true
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		at, _, ok := ParseAddress(body)
		return ok && at == f.Index
	}
	return false
}

// Look asks for the interface. Where there is none by that index any more, Index becomes 0 and what it returns is the
// interface that has come in its place; without one, it has no index either.
func (f *Follower) Look(nl *Netlink) (Link, error) {
	if f.Index != 0 {
		l, err := nl.Link("", f.Index)
		if !errors.Is(err, unix.ENODEV) {
			return l, err
		}
		f.Index = 0
	}
	l, err := nl.Link(f.Name, 0)
	if errors.Is(err, unix.ENODEV) {
		return Link{}, nil
	}
	return l, err
}
