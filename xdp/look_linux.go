package xdp

import (
	"fmt"

	"github.com/activeblaze/blaze/internal/iface"
	"golang.org/x/sys/unix"
)

// LookAt looks at an interface as Open would, for all that Open could be asked by cfg. It sends
// nothing, attaches nothing and changes nothing. An error means that there is no such interface.
func LookAt(cfg Config) (Look, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return Look{}, err
	}
	nl, err := iface.OpenNetlink(0)
	if err != nil {
		return Look{}, err
	}
	defer nl.Close()
	l, err := nl.Link(cfg.Interface, 0)
	if err != nil {
		return Look{}, fmt.Errorf("xdp: interface %s: %w", cfg.Interface, err)
	}
	at := Look{
		Name: l.Name, Index: l.Index, Kind: l.Kind, Loopback: l.Loopback(), Virtual: l.Virtual(),
		Up: l.Up(), MTU: l.MTU, Queues: l.Queues,
	}
	if _, _, at.Err = findLink(nl, &cfg); at.Err == nil {
		var rungs []rung
		rungs, at.Why = ladder(&cfg, &l)
		for _, r := range rungs {
			at.Rungs = append(at.Rungs, r.String())
		}
	}
	return at, nil
}

// Available is nil where AF_XDP sockets can be made at all by this process.
func Available() error {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return socketError(err)
	}
	unix.Close(fd)
	return nil
}
