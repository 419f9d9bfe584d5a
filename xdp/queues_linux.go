package xdp

import (
	"errors"
	"fmt"

	"github.com/activeblaze/blaze/bpf"
	"golang.org/x/sys/unix"
)

// queues is a Socket that receives from several queues of an interface and sends through the
// first. Each queue has an AF_XDP socket with a fill ring and an RX ring of its own; all share
// one packet memory (XDP_SHARED_UMEM, Linux 5.10). One thread uses them all.
//
// A card chooses the queue by a hash over the addresses, so that what one member sends to one
// address arrives in one queue and in order. Between queues there is no order, as there is none
// in the card.
type queues struct {
	*own          // the first
	all    []*own // the first included
	posted []int  // buffers that wait in each queue's fill ring or came back in its RX ring
	each   int    // buffers that each may have
	from   int    // the queue that is looked at first, in turn
	ready  int    // an epoll: readable while any of all is
}

// openQueues opens a socket for each of n queues from cfg.queue on.
func openQueues(cfg socketConfig, n int) (_ Socket, err error) {
	s := &queues{posted: make([]int, n), each: cfg.fill, ready: -1}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.ready, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("xdp: cannot make an epoll: %w", err)
	}
	for i := range n {
		o, err := openOwn(cfg)
		if err != nil {
			return nil, fmt.Errorf("queue %d: %w", cfg.queue, err)
		}
		q := o.(*own)
		s.all = append(s.all, q)
		if err := unix.EpollCtl(s.ready, unix.EPOLL_CTL_ADD, q.fd, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
			return nil, fmt.Errorf("xdp: cannot watch queue %d: %w", cfg.queue, err)
		}
		if i == 0 {
			s.own, cfg.share = q, q
		}
		cfg.queue++
	}
	return s, nil
}

// register lets the filter send each queue's packets to its socket.
func (s *queues) register(f *bpf.Filter, queue int) error {
	for i, q := range s.all {
		if err := f.Register(queue+i, q.fd); err != nil {
			return err
		}
	}
	return nil
}

// Fill gives every queue what it has used up, each in its turn first when there is too little.
func (s *queues) Fill(addresses []uint64) (n int) {
	for i := range s.all {
		q := (s.from + i) % len(s.all)
		k := min(s.each-s.posted[q], len(addresses)-n)
		k = s.all[q].Fill(addresses[n : n+k])
		s.posted[q] += k
		n += k
	}
	return n
}

// Recv begins with another queue each time, so that a flood in one does not hide the others.
func (s *queues) Recv(packets []unix.XDPDesc) (n int) {
	for i := range s.all {
		q := (s.from + i) % len(s.all)
		k := s.all[q].Recv(packets[n:])
		s.posted[q] -= k
		n += k
	}
	if s.from++; s.from == len(s.all) {
		s.from = 0
	}
	return n
}

func (s *queues) Waiting() (n int) {
	for _, q := range s.all {
		n += q.Waiting()
	}
	return n
}

func (s *queues) NeedPoll() bool {
	for _, q := range s.all {
		if q.NeedPoll() {
			return true
		}
	}
	return false
}

func (s *queues) Poll() (e unix.Errno) {
	for _, q := range s.all {
		if q.NeedPoll() {
			e = max(e, q.Poll())
		}
	}
	return e
}

func (s *queues) FD() int { return s.ready }

func (s *queues) Stats() (sum unix.XDPStatistics, err error) {
	for _, q := range s.all {
		st, e := q.Stats()
		err = errors.Join(err, e)
		sum.Rx_dropped += st.Rx_dropped
		sum.Rx_invalid_descs += st.Rx_invalid_descs
		sum.Tx_invalid_descs += st.Tx_invalid_descs
		sum.Rx_ring_full += st.Rx_ring_full
		sum.Rx_fill_ring_empty_descs += st.Rx_fill_ring_empty_descs
		sum.Tx_ring_empty_descs += st.Tx_ring_empty_descs
	}
	return sum, err
}

func (s *queues) Close() (err error) {
	for i := len(s.all) - 1; i >= 0; i-- { // the first has the packet memory
		err = errors.Join(err, s.all[i].Close())
	}
	s.all = nil
	if s.ready >= 0 {
		unix.Close(s.ready)
		s.ready = -1
	}
	return err
}
