package xdp

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze/bpf"
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/ip4"
	"github.com/activeblaze/blaze/internal/sleep"
	"golang.org/x/sys/unix"
)

// Queue receives from one further queue of a Driver's interface, for an engine of its own
// (Config.Split). It belongs to that engine's goroutine, as the Driver belongs to its own; only
// Wake may be called from others. It has packet memory of its own, and shares nothing with the
// Driver but what does not change, and how datagrams can leave (Way).
//
// It has no TX ring. The few datagrams that a receiver sends, reports and requests for repair,
// leave through the member's ordinary unicast socket, which any thread may use: two rings of one
// address would be no faster, and need their own table of hardware addresses.
//
// It ends with its Driver.
type Queue struct {
	receiver
	of     *Driver
	number int

	socket Socket                   // nil: none has been handed over
	filter *bpf.Filter              // that leads to it
	fresh  atomic.Pointer[handover] // for this thread to take
	before Stats                    // kernel's counters of earlier sockets

	name    ip4.Sockaddr
	sleeper sleep.Sleeper
	poll    [2]unix.PollFd
}

// handover is a socket on its way from whoever made it to the thread that will use it. Whoever takes
// the pointer owns the socket.
type handover struct {
	socket Socket
	filter *bpf.Filter
}

// Queues are the further queues, with Config.Split, in order of their numbers.
func (d *Driver) Queues() []*Queue { return d.queues }

// makeQueues makes what Config.Split asks for, without sockets.
func (d *Driver) makeQueues() (err error) {
	if !d.cfg.Split {
		return nil
	}
	for i := 1; i < d.cfg.Queues; i++ {
		q := &Queue{of: d, number: d.cfg.Queue + i}
		d.queues = append(d.queues, q)
		q.cfg, q.log, q.mtu, q.local, q.group = d.cfg.further(), d.log, d.mtu, d.local, d.group
		q.supply.plenty(q.cfg.posts())
		if q.memory, err = newUMEM(q.cfg.buffers(), d.memory.chunk); err != nil {
			return err
		}
		q.furnish(0)
		if err = q.sleeper.Open(); err != nil {
			return fmt.Errorf("xdp: %w", err)
		}
	}
	return nil
}

// memories is the packet memory of the driver and of each further queue.
func (d *Driver) memories() []*umem {
	all := []*umem{&d.memory}
	for _, q := range d.queues {
		all = append(all, &q.memory)
	}
	return all
}

// handOver gives the further queues their sockets on the driver's attachment.
func (d *Driver) handOver() {
	more := d.attachment.more
	d.attachment.more = nil
	for i, q := range d.queues {
		if old := q.fresh.Swap(&handover{more[i], d.attachment.filter}); old != nil {
			old.socket.Close() // the interface came and went before q looked
		}
		q.Wake()
	}
}

// install begins to use the socket that was handed over. The one before it is on an interface that
// was removed: until now it was silent and did no harm.
func (q *Queue) install() {
	h := q.fresh.Swap(nil)
	q.drop()
	q.socket, q.filter = h.socket, h.filter
	q.refill(q.socket)
	if err := q.filter.Register(q.number, q.socket.FD()); err != nil {
		// The interface has gone again, and another socket will come; or its packets take the
		// way through the kernel.
		q.log.Warn("xdp: the socket of a queue cannot be used", "queue", q.number, "error", err)
	}
}

// drop closes the socket, and takes all buffers back.
func (q *Queue) drop() {
	if q.socket == nil {
		return
	}
	q.countKernel()
	q.before = q.stats
	if err := q.socket.Close(); err != nil {
		q.log.Warn("xdp: closing the socket of a queue", "queue", q.number, "error", err)
	}
	q.socket = nil
	q.reclaim()
}

// Recv lends up to len(batch) datagrams, as Driver.Recv does.
func (q *Queue) Recv(batch []buf.Received) (n int) {
	if q.fresh.Load() != nil {
		q.install()
	}
	batch = batch[:min(len(batch), maxBatch)]
	q.endLoan()
	s := q.socket
	if s == nil {
		return 0
	}
	q.refill(s)
	if s.NeedPoll() {
		q.stats.Wakeups++
		_ = s.Poll() // that the link is down is the driver's business
	}
	got := s.Recv(q.packets[:len(batch)])
	for i := range got {
		if r, ok := q.accept(&q.packets[i]); ok {
			batch[n] = r
			n++
		}
	}
	if q.supply.note(n) {
		q.supply.judge(q.cfg.FillRing, q.traffic())
	}
	return n
}

// Send sends through the member's ordinary socket, and takes all of batch: what the kernel refuses
// is dropped and counted.
func (q *Queue) Send(batch []buf.Send) (n int, err error) {
	for i := range batch {
		s := &batch[i]
		to := s.To
		if to == buf.Group {
			to = q.group
		}
		q.name.Set(to)
		switch e := sendTo(q.of.kernel.own, s.Buf.Bytes(), &q.name); e {
		case 0:
			q.stats.SendKernel++
			q.stats.SendDatagrams++
			q.stats.SendBytes += uint64(s.Buf.Len())
			if q.tap != nil {
				q.tap.datagram(tapOut, q.local, to, s.Buf.Bytes())
			}
		case unix.ENETDOWN, unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ENODEV:
			q.stats.SendDown++
		default:
			q.stats.SendDropped++
		}
	}
	return len(batch), nil
}

// Way says how datagrams can leave at the moment: as through the Driver, once that has been received from after a change.
// But here the ordinary socket refuses what is longer than the interface's MTU.
func (q *Queue) Way() buf.Way {
	w := *q.of.way.Load()
	w.Longest = w.Pack
	return w
}

// Wait sleeps until there is something to receive, as Driver.Wait does.
func (q *Queue) Wait(limit time.Duration) {
	if q.fresh.Load() != nil || q.socket != nil && q.socket.Waiting() > 0 {
		return
	}
	if !q.sleeper.LieDown() {
		q.stats.Wakes++
		return
	}
	q.poll = [2]unix.PollFd{q.sleeper.Poll(), {Fd: -1, Events: unix.POLLIN}}
	q.stats.Waits++
	if q.supply.plenty(q.cfg.posts()); q.socket != nil {
		q.refill(q.socket)
		q.poll[1].Fd = int32(q.socket.FD())
	}
	if _, woken := q.sleeper.Doze(q.poll[:], limit); woken {
		q.stats.Wakes++
	}
}

// Stats returns a copy of the counters of this queue; filter and link are the Driver's.
func (q *Queue) Stats() Stats {
	q.countKernel()
	return q.stats
}

func (q *Queue) countKernel() {
	if q.socket != nil {
		q.stats.countSocket(q.socket, &q.before)
	}
}

// Close does nothing: a Queue ends with its Driver, which must not be closed while a method of the
// Queue runs.
func (q *Queue) Close() error { return nil }

// release frees whatever is there.
func (q *Queue) release() error {
	if h := q.fresh.Swap(nil); h != nil {
		h.socket.Close()
	}
	if q.pool != nil {
		q.endLoan()
		q.drop()
		q.reclaim()
	}
	_ = q.sleeper.Close()
	if q.pool != nil && q.pool.Out() > 0 {
		return leak(q.pool, len(q.chunks))
	}
	return q.memory.unmap()
}
