package xdp

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"github.com/activeblaze/blaze/xdp/internal/afxdp"
	"golang.org/x/sys/unix"
)

// Socket is an AF_XDP socket that is bound to one queue of one interface, with its four rings.
// One thread uses it. Addresses are offsets into Memory. No method blocks or panics.
type Socket interface {
	// Memory is what addresses are offsets into.
	Memory() []byte
	// Fill gives buffers to the kernel to receive into, as many as the fill ring has room for.
	Fill(addresses []uint64) int
	// Recv takes packets out of the RX ring.
	Recv(packets []unix.XDPDesc) int
	// Waiting is how many packets Recv could take.
	Waiting() int
	// Send puts packets into the TX ring, as many as it has room for. They leave with Kick, if
	// not before.
	Send(packets []unix.XDPDesc) int
	// Unsent is how many packets the kernel has not taken out of the TX ring yet.
	Unsent() int
	// Complete takes the addresses of packets that were sent out of the completion ring.
	Complete(addresses []uint64) int
	// NeedKick reports whether the kernel sends only after a Kick.
	NeedKick() bool
	// Kick makes the kernel send, a limited number of packets: EAGAIN asks for another Kick.
	Kick() unix.Errno
	// NeedPoll reports whether the kernel receives only after a Poll.
	NeedPoll() bool
	// Poll makes the kernel receive.
	Poll() unix.Errno
	// FD is readable while packets wait in the RX ring.
	FD() int
	// Options returns how the socket was really bound.
	Options() (zeroCopy bool, napi int)
	// Stats are the kernel's counters of this socket.
	Stats() (unix.XDPStatistics, error)
	// Close unmaps the rings and closes the socket. From then on the kernel neither reads nor
	// writes Memory, as far as the socket's interface copies.
	Close() error
}

// socketConfig is what a Socket is made of.
type socketConfig struct {
	ifindex, queue int
	memory         *umem
	fill, tx       int // entries; the RX ring is as large as the fill ring, the completion ring as the TX ring
	zeroCopy       bool
	busyPoll       time.Duration
	share          *own // the packet memory is registered with this socket, and this one is mute
	mute           bool // it only receives
}

// bindRetry is how long binding is tried again while the queue is taken: the kernel finishes
// closing a socket some 10 to 30 ms after the process that had it has gone, and later than half a
// second on a host whose processors are all busy (it leaves that to a kernel thread).
const bindRetry = 2 * time.Second

// own is this package's Socket.
type own struct {
	fd       int
	memory   *umem
	fill     afxdp.Ring[uint64]
	complete afxdp.Ring[uint64]
	rx, tx   afxdp.Ring[unix.XDPDesc]
	zeroCopy bool
	napi     int
	polls    bool // busy polling: the kernel receives when it is asked to
}

// openOwn opens a Socket with this package's own rings.
func openOwn(cfg socketConfig) (_ Socket, err error) {
	s := &own{fd: -1, memory: cfg.memory}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.fd, err = unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, socketError(err)
	}
	if cfg.mute = cfg.mute || cfg.share != nil; cfg.mute {
		cfg.tx = minRing // a completion ring is asked for, although nothing is sent
	}
	if cfg.share == nil {
		mem := cfg.memory.mem
		reg := unix.XDPUmemReg{Addr: uint64(uintptr(unsafe.Pointer(&mem[0]))), Len: uint64(len(mem)), Size: uint32(cfg.memory.chunk)}
		if err := afxdp.Setsockopt(s.fd, unix.XDP_UMEM_REG, unsafe.Pointer(&reg), umemRegV1); err != nil {
			return nil, memlockError(len(mem), err)
		}
	}
	for _, r := range [...]struct{ option, size int }{
		{unix.XDP_UMEM_FILL_RING, cfg.fill}, {unix.XDP_UMEM_COMPLETION_RING, cfg.tx},
		{unix.XDP_RX_RING, cfg.fill}, {unix.XDP_TX_RING, cfg.tx},
	} {
		if cfg.mute && r.option == unix.XDP_TX_RING {
			continue
		}
		if err := unix.SetsockoptInt(s.fd, unix.SOL_XDP, r.option, r.size); err != nil {
			return nil, fmt.Errorf("xdp: make a ring of %d: %w", r.size, err)
		}
	}
	at, err := afxdp.Offsets(s.fd)
	if err != nil {
		return nil, fmt.Errorf("%w: the layout of the rings (Linux 5.4 has it): %w", ErrUnsupported, err)
	}
	if err := s.mapRings(cfg, &at); err != nil {
		return nil, err
	}
	flags := uint16(unix.XDP_USE_NEED_WAKEUP | unix.XDP_COPY)
	if cfg.zeroCopy {
		flags = unix.XDP_USE_NEED_WAKEUP | unix.XDP_ZEROCOPY
	}
	if err := bind(cfg, func(sa *unix.SockaddrXDP) error {
		if sa.Flags = flags; cfg.share != nil { // with the same flags as that one
			sa.Flags, sa.SharedUmemFD = unix.XDP_SHARED_UMEM, uint32(cfg.share.fd)
		}
		return unix.Bind(s.fd, sa)
	}); err != nil {
		return nil, err
	}
	s.probe(cfg.busyPoll)
	return s, nil
}

func (s *own) mapRings(cfg socketConfig, at *unix.XDPMmapOffsets) (err error) {
	afxdp.Mapping.Lock()
	defer afxdp.Mapping.Unlock()
	if s.fill, err = afxdp.MapRing[uint64](s.fd, unix.XDP_UMEM_PGOFF_FILL_RING, cfg.fill, &at.Fr); err != nil {
		return err
	}
	if s.complete, err = afxdp.MapRing[uint64](s.fd, unix.XDP_UMEM_PGOFF_COMPLETION_RING, cfg.tx, &at.Cr); err != nil {
		return err
	}
	if s.rx, err = afxdp.MapRing[unix.XDPDesc](s.fd, unix.XDP_PGOFF_RX_RING, cfg.fill, &at.Rx); err != nil {
		return err
	}
	if cfg.mute {
		return nil
	}
	s.tx, err = afxdp.MapRing[unix.XDPDesc](s.fd, unix.XDP_PGOFF_TX_RING, cfg.tx, &at.Tx)
	return err
}

// umemRegV1 is the size of the first four fields of struct xdp_umem_reg, which every kernel
// knows; the rest is for unaligned buffers and TX metadata.
const umemRegV1 = 24

// bind calls try until it succeeds, or fails for another reason than a queue that is taken.
func bind(cfg socketConfig, try func(*unix.SockaddrXDP) error) error {
	for began := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		err := try(&unix.SockaddrXDP{Ifindex: uint32(cfg.ifindex), QueueID: uint32(cfg.queue)})
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EBUSY) && time.Since(began) < bindRetry:
			continue
		case errors.Is(err, unix.EBUSY):
			return fmt.Errorf("%w: queue %d has a socket of another program, and kept it for %v: %w", ErrInUse, cfg.queue, bindRetry, err)
		case errors.Is(err, unix.EINVAL):
			return fmt.Errorf("%w: bind to queue %d: the interface may not have that queue, or its driver cannot: %w", ErrUnsupported, cfg.queue, err)
		case errors.Is(err, unix.EOPNOTSUPP):
			return fmt.Errorf("%w: bind to queue %d: the interface's driver cannot: %w", ErrUnsupported, cfg.queue, err)
		}
		return fmt.Errorf("xdp: bind to queue %d: %w", cfg.queue, err)
	}
}

// socketError explains why there is no AF_XDP socket.
func socketError(err error) error {
	switch {
	case errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("%w: this kernel has no AF_XDP (CONFIG_XDP_SOCKETS, Linux 5.4 or later): %w", ErrUnsupported, err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: an AF_XDP socket needs CAP_NET_RAW: %w", ErrPrivilege, err)
	}
	return fmt.Errorf("xdp: cannot make an AF_XDP socket: %w", err)
}

// probe reads back what the socket became, and starts busy polling where it can work: where
// the queue has a NAPI that the kernel knows by number.
func (s *own) probe(busyPoll time.Duration) {
	var options uint32
	if afxdp.Getsockopt(s.fd, unix.XDP_OPTIONS, unsafe.Pointer(&options), unsafe.Sizeof(options)) == nil {
		s.zeroCopy = options&unix.XDP_OPTIONS_ZEROCOPY != 0
	}
	if n, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_INCOMING_NAPI_ID); err == nil {
		s.napi = n
	}
	if s.napi == 0 || busyPoll == 0 {
		return
	}
	s.polls = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_PREFER_BUSY_POLL, 1) == nil &&
		unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_BUSY_POLL, int(busyPoll.Microseconds())) == nil &&
		unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_BUSY_POLL_BUDGET, 64) == nil
}

func (s *own) Memory() []byte                  { return s.memory.mem }
func (s *own) Fill(addresses []uint64) int     { return s.fill.Produce(addresses) }
func (s *own) Recv(packets []unix.XDPDesc) int { return s.rx.Consume(packets) }
func (s *own) Waiting() int                    { return s.rx.Waiting() }
func (s *own) Send(packets []unix.XDPDesc) int { return s.tx.Produce(packets) }
func (s *own) Unsent() int                     { return s.tx.Pending() }
func (s *own) Complete(addresses []uint64) int { return s.complete.Consume(addresses) }
func (s *own) NeedKick() bool                  { return s.polls || s.tx.WantsWakeup() }
func (s *own) Kick() unix.Errno                { return afxdp.Kick(s.fd) }
func (s *own) NeedPoll() bool                  { return s.polls || s.fill.WantsWakeup() }
func (s *own) Poll() unix.Errno                { return afxdp.Poll(s.fd) }
func (s *own) FD() int                         { return s.fd }
func (s *own) Options() (bool, int)            { return s.zeroCopy, s.napi }
func (s *own) Stats() (unix.XDPStatistics, error) {
	return afxdp.Stats(s.fd)
}

func (s *own) Close() error {
	afxdp.Mapping.Lock()
	errs := []error{s.fill.Unmap(), s.complete.Unmap(), s.rx.Unmap(), s.tx.Unmap()}
	afxdp.Mapping.Unlock()
	if s.fd >= 0 {
		errs = append(errs, unix.Close(s.fd))
		s.fd = -1
	}
	return errors.Join(errs...)
}

// openAsavie opens a Socket of package xdp/asavie, which maps the packet memory. What it leaves
// behind after an error goes with it.
func openAsavie(cfg socketConfig) (_ Socket, err error) {
	if afxdp.OpenAsavie == nil {
		return nil, fmt.Errorf("%w: socket=asavie is not in this program; link it with: import _ \"github.com/activeblaze/blaze/xdp/asavie\" (amd64 only)", ErrUnsupported)
	}
	m := cfg.memory
	if err := m.unmap(); err != nil { // of an attempt in another mode
		return nil, err
	}
	var s afxdp.Socket
	err = bind(cfg, func(*unix.SockaddrXDP) (err error) {
		s, err = afxdp.OpenAsavie(afxdp.Options{
			Interface: cfg.ifindex, Queue: cfg.queue, Buffers: m.count, Size: m.chunk, Fill: cfg.fill, TX: cfg.tx, ZeroCopy: cfg.zeroCopy,
		})
		switch {
		case errors.Is(err, unix.EPERM):
			return socketError(err)
		case errors.Is(err, unix.ENOBUFS):
			return memlockError(m.count*m.chunk, err)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	m.mem, m.mapped, m.theirs = s.Memory(), s.Memory(), true
	return s, nil
}
