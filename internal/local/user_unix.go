//go:build linux || darwin

package local

import (
	"io/fs"
	"net"
	"os"
	"syscall"
)

// Supported reports whether this system has what a Server needs.
const Supported = true

func owner(i fs.FileInfo) int {
	if s, ok := i.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid)
	}
	return -1
}

// sameUser reports whether the process at the other end is this user's, or root's.
func sameUser(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var uid uint32
	if raw.Control(func(fd uintptr) { uid, err = peer(int(fd)) }) != nil || err != nil {
		return false
	}
	return int(uid) == os.Getuid() || uid == 0
}
