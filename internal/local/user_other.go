//go:build !linux && !darwin

package local

import (
	"io/fs"
	"net"
)

// Supported reports whether this system has what a Server needs.
const Supported = false

func owner(fs.FileInfo) int { return -1 }

func sameUser(*net.UnixConn) bool { return false }
