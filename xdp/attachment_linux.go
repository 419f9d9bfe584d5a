package xdp

import (
	"errors"
	"fmt"
	"strings"

	"github.com/activeblaze/blaze/bpf"
	"github.com/activeblaze/blaze/internal/iface"
	"github.com/activeblaze/blaze/internal/iflock"
	"github.com/activeblaze/blaze/internal/plain"
	"golang.org/x/sys/unix"
)

// attachment is what connects the driver to an interface: the filter on it, and the socket behind.
type attachment struct {
	socket Socket
	more   []Socket // Config.Split: of the further queues, until they are handed over
	filter *bpf.Filter
	mode   bpf.Mode
	reason string // why this mode
	lock   *iflock.Lock
}

// rung is one way to connect.
type rung struct {
	mode     bpf.Mode
	zeroCopy bool
}

func (r rung) String() string {
	if r.zeroCopy {
		return r.mode.String() + " zero-copy"
	}
	return r.mode.String() + " copy"
}

// ladder lists the ways in the order in which they are tried, and says why.
func ladder(cfg *Config, l *iface.Link) (rungs []rung, why string) {
	native, generic := rung{mode: bpf.Native}, rung{mode: bpf.Generic}
	switch {
	case cfg.ZeroCopy == "on":
		return []rung{{bpf.Native, true}}, "zerocopy=on"
	case cfg.Mode == "native":
		return []rung{native}, "mode=native"
	case cfg.Mode == "generic":
		return []rung{generic}, "mode=generic"
	case l.Loopback():
		return []rung{generic}, "loopback has no other"
	case l.Virtual():
		return []rung{generic, native}, "on virtual interfaces (" + l.Kind + ") generic is as fast"
	}
	return []rung{native, generic}, "native is the fastest on cards"
}

// connect climbs down the ladder until a rung holds. Nothing is received before start. memories are
// the driver's packet memory and, with Config.Split, that of each further queue.
func connect(cfg *Config, l *iface.Link, filter bpf.Config, memories ...*umem) (*attachment, error) {
	rungs, why := ladder(cfg, l)
	var failed []string
	var last error
	for _, r := range rungs {
		n, err := try(cfg, l, r, filter, memories)
		if err == nil {
			n.reason = why
			if len(failed) > 0 {
				n.reason = strings.Join(failed, "; ")
			}
			return n, nil
		}
		kind, err := classify(err)
		err = fmt.Errorf("%v on interface %s: %w", r, l.Name, err)
		if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
			return nil, err // there is no way without descriptors
		}
		if kind == ErrInUse || kind == ErrPrivilege || kind == ErrConfig {
			return nil, fmt.Errorf("%w: %w", kind, err) // the next rung would fail in the same way
		}
		failed = append(failed, err.Error())
		if last = err; kind != nil {
			last = fmt.Errorf("%w: %w", kind, err)
		}
	}
	if len(rungs) > 1 {
		return nil, fmt.Errorf("%w: %s", ErrUnsupported, strings.Join(failed, "; "))
	}
	return nil, last
}

// try connects in one way.
func try(cfg *Config, l *iface.Link, r rung, filter bpf.Config, memories []*umem) (_ *attachment, err error) {
	n := &attachment{mode: r.mode}
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	if n.filter, err = bpf.Load(filter); err != nil {
		return nil, err
	}
	if err = n.filter.Attach(l.Index, r.mode); err != nil {
		return nil, err
	}
	open := openOwn
	switch {
	case cfg.Socket == "asavie":
		open = openAsavie
	case cfg.Queues > 1 && !cfg.Split:
		open = func(c socketConfig) (Socket, error) { return openQueues(c, cfg.Queues) }
	}
	sc := socketConfig{
		ifindex: l.Index, queue: cfg.Queue, memory: memories[0], fill: cfg.FillRing, tx: cfg.TxRing,
		zeroCopy: r.zeroCopy, busyPoll: cfg.BusyPoll,
	}
	if n.socket, err = open(sc); err != nil {
		return nil, err
	}
	for _, m := range memories[1:] {
		sc.queue, sc.memory, sc.mute = sc.queue+1, m, true
		s, err := openOwn(sc)
		if err != nil {
			return nil, fmt.Errorf("queue %d: %w", sc.queue, err)
		}
		n.more = append(n.more, s)
	}
	// A first kick with nothing to send shows a driver that is broken in this mode.
	switch e := n.socket.Kick(); e {
	case 0, unix.EAGAIN, unix.EBUSY, unix.EINTR, unix.ENETDOWN:
	default:
		return nil, fmt.Errorf("%w: the driver refuses to send: %w", ErrUnsupported, e)
	}
	return n, nil
}

// classify returns the sentinel of this package that an error of the filter or of a socket belongs
// to, or nil, and the error without any prefix.
func classify(err error) (kind, statement error) {
	for _, c := range [...]struct{ theirs, ours error }{
		{bpf.ErrForeign, ErrInUse}, {bpf.ErrPrivilege, ErrPrivilege}, {bpf.ErrNotSupported, ErrUnsupported}, {bpf.ErrConfig, ErrConfig},
	} {
		if errors.Is(err, c.theirs) || errors.Is(err, c.ours) {
			return c.ours, plain.Error(err, c.theirs.Error(), c.ours.Error(), "bpf", "xdp")
		}
	}
	return nil, plain.Error(err, "bpf", "xdp")
}

// register lets the filter send packets to the socket.
func (n *attachment) register(queue int) error {
	if s, ok := n.socket.(*queues); ok {
		return s.register(n.filter, queue)
	}
	return n.filter.Register(queue, n.socket.FD())
}

// close takes the filter off the interface and closes the socket, in this order: what comes in
// between goes to the kernel.
func (n *attachment) close() error {
	var errs []error
	if n.filter != nil {
		errs = append(errs, n.filter.Close())
	}
	if n.socket != nil {
		errs = append(errs, n.socket.Close())
	}
	for _, s := range n.more {
		errs = append(errs, s.Close())
	}
	n.lock.Release()
	return errors.Join(errs...)
}
