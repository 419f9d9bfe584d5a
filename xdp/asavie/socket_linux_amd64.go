package asavie

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/activeblaze/blaze/xdp/internal/afxdp"
	asavie "github.com/asavie/xdp"
	"golang.org/x/sys/unix"
)

func init() { afxdp.OpenAsavie = open }

// maxBatch is the most packets that one call of asavie/xdp is given.
const maxBatch = 256

// foreign is a socket of asavie/xdp. The package comment lists the faults that it contains.
type foreign struct {
	s        *asavie.Socket
	fd       int
	memory   []byte
	complete afxdp.Ring[uint64]
	tx       afxdp.Ring[unix.XDPDesc]
	rings    []mapping // those that it leaves behind
	descs    []asavie.Desc
	panicked bool
	zeroCopy bool
}

// open tries once to open a socket.
func open(o afxdp.Options) (_ afxdp.Socket, err error) {
	s := &foreign{fd: -1, descs: make([]asavie.Desc, maxBatch), zeroCopy: o.ZeroCopy}
	defer func() {
		if err != nil {
			// Packet memory was mapped through package syscall, which unmaps only what it has mapped.
			err = errors.Join(err, s.Close())
			if s.memory != nil {
				err = errors.Join(err, syscall.Munmap(s.memory))
			}
		}
	}()
	if err := s.new(&o); err != nil {
		return nil, err
	}
	s.fd = s.s.FD()
	unix.CloseOnExec(s.fd)
	s.memory = s.s.GetFrame(asavie.Desc{Len: uint32(o.Buffers * o.Size)})
	at, err := afxdp.Offsets(s.fd)
	if err != nil {
		return nil, err
	}
	afxdp.Mapping.Lock()
	s.complete, err = afxdp.MapRing[uint64](s.fd, unix.XDP_UMEM_PGOFF_COMPLETION_RING, o.TX, &at.Cr)
	if err == nil {
		s.tx, err = afxdp.MapRing[unix.XDPDesc](s.fd, unix.XDP_PGOFF_TX_RING, o.TX, &at.Tx)
	}
	afxdp.Mapping.Unlock()
	if err != nil {
		return nil, err
	}
	return s, nil
}

// new makes the socket. The errors of asavie/xdp are texts; those of the kernel are wrapped here.
func (s *foreign) new(o *afxdp.Options) (err error) {
	afxdp.Mapping.Lock() // also for the flags
	defer afxdp.Mapping.Unlock()
	asavie.DefaultSocketFlags = unix.XDP_COPY
	if o.ZeroCopy {
		asavie.DefaultSocketFlags = unix.XDP_ZEROCOPY
	}
	before := ringMappings()
	s.s, err = asavie.NewSocket(o.Interface, o.Queue, &asavie.SocketOptions{
		NumFrames: o.Buffers, FrameSize: o.Size,
		FillRingNumDescs: o.Fill, RxRingNumDescs: o.Fill, TxRingNumDescs: o.TX, CompletionRingNumDescs: o.TX,
	})
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
			return fmt.Errorf("asavie/xdp: %w: %w", err, e)
		}
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
	return s.tx.PendingOf() // this thread is the one that writes it
}

func (s *foreign) Complete(addresses []uint64) int {
	n := s.complete.Peek(addresses)
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

func (s *foreign) Kick() unix.Errno                   { return afxdp.Kick(s.fd) }
func (s *foreign) NeedPoll() bool                     { return false }
func (s *foreign) Poll() unix.Errno                   { return 0 }
func (s *foreign) FD() int                            { return s.fd }
func (s *foreign) Options() (bool, int)               { return s.zeroCopy, 0 }
func (s *foreign) Stats() (unix.XDPStatistics, error) { return afxdp.Stats(s.fd) }

func (s *foreign) Close() error {
	// Under the lock: where a ring of ours was, a ring that another socket makes could be taken
	// for one that was there before.
	afxdp.Mapping.Lock()
	defer afxdp.Mapping.Unlock()
	errs := []error{s.complete.Unmap(), s.tx.Unmap()}
	if s.s != nil {
		s.unmapRings()
		errs = append(errs, unix.Close(s.s.FD()))
		s.s, s.fd = nil, -1
	}
	return errors.Join(errs...)
}
