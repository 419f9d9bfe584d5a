package xdp

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	asavie "github.com/asavie/xdp"
	"golang.org/x/sys/unix"
)

// foreign is a Socket over github.com/asavie/xdp v0.3.3, for comparison and as a check of our
// own. That package's faults are contained here:
//
//   - It publishes ring indexes with plain stores: this file is for amd64, where these are
//     ordered.
//   - Transmit panics when the link is down. Send recovers.
//   - Transmit does not tell that the kernel has sent only a part: Unsent looks at the ring,
//     through a second mapping, and Kick sends the rest. (That Transmit does not tell of packets
//     which the device threw away cannot be cured: they are counted nowhere.)
//   - Complete does not tell which buffers: Complete reads the ring itself.
//   - Its free list hands out buffers that are in use, and takes time that grows with their
//     number: it is not used.
//   - Close, and a NewSocket that fails, leave the rings mapped, which keeps the queue taken:
//     unmapped here.
//   - Close unmaps packet memory, although others may hold buffers of it: it is not called.
//   - Its flags are package variables, and its program evicts others and outlives a crash: the
//     first are set under a lock, the second is not used.
//   - It maps packet memory itself, so it cannot replace a socket whose interface was removed:
//     the driver says so and stays down.
type foreign struct {
	s        *asavie.Socket
	fd       int
	memory   []byte
	complete ring[uint64]
	tx       ring[unix.XDPDesc]
	rings    []mapping // those that it leaves behind
	descs    []asavie.Desc
	panicked bool
	zeroCopy bool
}

// openAsavie opens a Socket over asavie/xdp.
func openAsavie(cfg socketConfig) (_ Socket, err error) {
	s := &foreign{fd: -1, descs: make([]asavie.Desc, maxBatch), zeroCopy: cfg.zeroCopy}
	defer func() {
		if err != nil {
			s.Close()
			err = errors.Join(err, cfg.memory.unmap())
		}
	}()
	if err := cfg.memory.unmap(); err != nil { // of an attempt in another mode
		return nil, err
	}
	options := asavie.SocketOptions{
		NumFrames: cfg.memory.count, FrameSize: cfg.memory.chunk,
		FillRingNumDescs: cfg.fill, RxRingNumDescs: cfg.fill, TxRingNumDescs: cfg.tx, CompletionRingNumDescs: cfg.tx,
	}
	if err := bind(cfg, func(*unix.SockaddrXDP) error { return s.new(cfg, &options) }); err != nil {
		return nil, err
	}
	s.fd = s.s.FD()
	unix.CloseOnExec(s.fd)
	s.memory = s.s.GetFrame(asavie.Desc{Len: uint32(options.NumFrames * options.FrameSize)})
	cfg.memory.mem, cfg.memory.mapped, cfg.memory.theirs = s.memory, s.memory, true
	var at unix.XDPMmapOffsets
	if err := getsockopt(s.fd, unix.XDP_MMAP_OFFSETS, unsafe.Pointer(&at), unsafe.Sizeof(at)); err != nil {
		return nil, err
	}
	mappingMu.Lock()
	defer mappingMu.Unlock()
	if s.complete, err = mapRing[uint64](s.fd, unix.XDP_UMEM_PGOFF_COMPLETION_RING, cfg.tx, &at.Cr); err != nil {
		return nil, err
	}
	if s.tx, err = mapRing[unix.XDPDesc](s.fd, unix.XDP_PGOFF_TX_RING, cfg.tx, &at.Tx); err != nil {
		return nil, err
	}
	return s, nil
}

// new tries once. The errors of asavie/xdp are texts.
func (s *foreign) new(cfg socketConfig, options *asavie.SocketOptions) (err error) {
	mappingMu.Lock() // also for the flags
	defer mappingMu.Unlock()
	asavie.DefaultSocketFlags = unix.XDP_COPY
	if cfg.zeroCopy {
		asavie.DefaultSocketFlags = unix.XDP_ZEROCOPY
	}
	before := ringMappings()
	s.s, err = asavie.NewSocket(cfg.ifindex, cfg.queue, options)
	for start, m := range ringMappings() {
		if _, there := before[start]; !there {
			s.rings = append(s.rings, m)
		}
	}
	if err == nil {
		return nil
	}
	s.s = nil
	s.unmapRings()
	for _, e := range [...]unix.Errno{unix.EBUSY, unix.EOPNOTSUPP, unix.EINVAL, unix.EPERM, unix.ENOBUFS} {
		if strings.HasSuffix(err.Error(), e.Error()) {
			err = fmt.Errorf("asavie/xdp: %w: %w", err, e)
		}
	}
	if errors.Is(err, unix.EPERM) {
		return socketError(err)
	}
	if errors.Is(err, unix.ENOBUFS) {
		return memlockError(options.NumFrames*options.FrameSize, err)
	}
	return err
}

// mapping is a piece of this process's address space.
type mapping struct{ start, end uintptr }

// ringMappings finds the mappings of sockets, by where they start. Where /proc is missing there
// are none.
func ringMappings() map[uintptr]mapping {
	found := map[uintptr]mapping{}
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return found
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var m mapping
		if strings.Contains(s.Text(), "socket:[") {
			if _, err := fmt.Sscanf(s.Text(), "%x-%x", &m.start, &m.end); err == nil {
				found[m.start] = m
			}
		}
	}
	// The kernel shows neighbours that are alike as they are; merged ones would be found under
	// the first's start, which is not new. Rings of one socket lie at different offsets and
	// are never merged.
	return found
}

func (s *foreign) unmapRings() {
	for _, m := range s.rings {
		_, _, _ = unix.Syscall(unix.SYS_MUNMAP, m.start, m.end-m.start, 0)
	}
	s.rings = nil
}

func (s *foreign) Memory() []byte { return s.memory }

func (s *foreign) Fill(addresses []uint64) (n int) {
	for len(addresses) > 0 {
		part := s.descs[:min(len(addresses), len(s.descs))]
		for i := range part {
			part[i] = asavie.Desc{Addr: addresses[i]}
		}
		k := s.s.Fill(part)
		n += k
		if k < len(part) {
			break
		}
		addresses = addresses[k:]
	}
	return n
}

func (s *foreign) Recv(packets []unix.XDPDesc) int {
	got := s.s.Receive(len(packets))
	for i := range got {
		packets[i] = unix.XDPDesc(got[i])
	}
	return len(got)
}

func (s *foreign) Waiting() int { return s.s.NumReceived() }

func (s *foreign) Send(packets []unix.XDPDesc) (n int) {
	part := s.descs[:min(len(packets), len(s.descs), s.s.NumFreeTxSlots())]
	for i := range part {
		part[i] = asavie.Desc(packets[i])
	}
	// When Transmit panics, the packets are in the ring: Kick finds out what is the matter.
	n = len(part)
	defer func() {
		if recover() != nil {
			s.panicked = true
		}
	}()
	if n > 0 {
		s.s.Transmit(part)
	}
	return n
}

func (s *foreign) Unsent() int {
	s.tx.own = *s.tx.producer // this thread is the one that writes it
	return s.tx.pending()
}

func (s *foreign) Complete(addresses []uint64) int {
	c := &s.complete
	n := min(c.waiting(), len(addresses))
	for i := range n {
		addresses[i] = c.entries[(c.own+uint32(i))&c.mask]
	}
	c.own += uint32(n)
	if n > 0 {
		s.s.Complete(n)
	}
	return n
}

// NeedKick: Transmit has kicked already, so only when that was not enough.
func (s *foreign) NeedKick() bool {
	again := s.panicked || s.Unsent() > 0
	s.panicked = false
	return again
}

func (s *foreign) Kick() unix.Errno                   { return kick(s.fd) }
func (s *foreign) NeedPoll() bool                     { return false }
func (s *foreign) Poll() unix.Errno                   { return 0 }
func (s *foreign) FD() int                            { return s.fd }
func (s *foreign) Options() (bool, int)               { return s.zeroCopy, 0 }
func (s *foreign) Stats() (unix.XDPStatistics, error) { return socketStats(s.fd) }

func (s *foreign) Close() error {
	// Under the lock: where a ring of ours was, a ring that another socket makes could be taken
	// for one that was there before.
	mappingMu.Lock()
	defer mappingMu.Unlock()
	errs := []error{s.complete.unmap(), s.tx.unmap()}
	if s.s != nil {
		s.unmapRings()
		errs = append(errs, unix.Close(s.s.FD()))
		s.s, s.fd = nil, -1
	}
	return errors.Join(errs...)
}
