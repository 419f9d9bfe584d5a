package xdp

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// Bare is a Socket with packet memory and nothing else: no filter, no driver, no protocol. It is
// for measurements of what all those are built on. Buffers that lie at BareBuffer times their
// number, and the rings, are the caller's to manage; so is the program that sends it packets.
type Bare struct {
	Socket
	Index  int // of the interface
	memory umem
}

// OpenBare opens a socket. The interface is left as it is.
func OpenBare(cfg BareConfig) (*Bare, error) {
	ifi, err := net.InterfaceByName(cfg.Interface)
	if err != nil {
		return nil, fmt.Errorf("%w: there is no interface %q", ErrConfig, cfg.Interface)
	}
	b := &Bare{Index: ifi.Index, memory: umem{chunk: smallChunk, shift: shiftOf(smallChunk), count: cfg.Buffers}}
	open := openAsavie
	if cfg.Socket == "own" {
		open = openOwn
		if b.memory, err = newUMEM(cfg.Buffers, smallChunk); err != nil {
			return nil, err
		}
	}
	b.Socket, err = open(socketConfig{
		ifindex: ifi.Index, queue: cfg.Queue, memory: &b.memory, fill: cfg.FillRing, tx: cfg.TxRing, zeroCopy: cfg.ZeroCopy,
	})
	if err != nil {
		return nil, errors.Join(err, b.memory.unmap())
	}
	return b, nil
}

// Close closes the socket and gives its memory back.
func (b *Bare) Close() error { return errors.Join(b.Socket.Close(), b.memory.unmap()) }

// LookAt looks at an interface as Open would, for all that Open could be asked by cfg. It sends
// nothing, attaches nothing and changes nothing. An error means that there is no such interface.
func LookAt(cfg Config) (Look, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return Look{}, err
	}
	nl, err := openNetlink(0)
	if err != nil {
		return Look{}, err
	}
	defer nl.close()
	l, err := nl.link(cfg.Interface, 0)
	if err != nil {
		return Look{}, fmt.Errorf("xdp: interface %s: %w", cfg.Interface, err)
	}
	at := Look{
		Name: l.name, Index: l.index, Kind: l.kind, Loopback: l.loopback(), Virtual: l.virtual(),
		Up: l.up(), MTU: l.mtu, Queues: l.queues,
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
