package xdp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/ip4"
)

// end is what a Driver and a Queue have in common.
type end interface {
	Recv([]buf.Received) int
	Send([]buf.Send) (int, error)
	Wait(time.Duration)
	Wake()
	Pool() *buf.Pool
	Local() buf.Endpoint
	Accounting() (Accounting, error)
	Stats() Stats
}

// ends are the driver and its queues.
func ends(d *Driver) []end {
	all := []end{d}
	for _, q := range d.Queues() {
		all = append(all, q)
	}
	return all
}

// threads runs step for each end on a goroutine of its own, until stop is called.
func threads(all []end, step func(i int, e end)) (stop func()) {
	var stopping atomic.Bool
	done := make(chan struct{})
	for i, e := range all {
		go func() {
			for !stopping.Load() {
				step(i, e)
			}
			done <- struct{}{}
		}()
	}
	return func() {
		stopping.Store(true)
		for _, e := range all {
			e.Wake()
		}
		for range all {
			<-done
		}
	}
}

func accountAll(t *testing.T, all []end) {
	t.Helper()
	for i, e := range all {
		a, err := e.Accounting()
		if err != nil || a.Free+a.Fill+a.Lent+a.Sending+a.Held != a.Total || a.Held != 0 {
			t.Errorf("queue %d: %+v, %v", i, a, err)
		}
	}
}

// Each queue is received from on a thread of its own, and sleeps on its own: everything comes, past
// the kernel, in the order of each sender, and no buffer leaves its thread.
func TestQueuesOnThreadsOfTheirOwn(t *testing.T) {
	const each = 3000 // datagrams: the fill rings go round
	na, nb := manyQueues(t, 4)
	for _, mode := range []string{"generic", "native"} {
		t.Run(mode, func(t *testing.T) {
			cb := testConfig(1)
			cb.Mode, cb.Queues, cb.Split = mode, 4, true
			b := nb.open(t, cb)
			all := ends(b)
			if len(all) != 4 {
				t.Fatalf("%d ends", len(all))
			}
			var got, foreign, wrong atomic.Uint64 // of the sender of the moment
			var from atomic.Uint64
			kept := make([]*buf.Buf, len(all)) // a window of one
			batch := make([][64]buf.Received, len(all))
			stop := threads(all, func(i int, e end) {
				n := e.Recv(batch[i][:])
				for _, r := range batch[i][:n] {
					if uint64(r.From) != from.Load() {
						foreign.Add(1)
						continue
					}
					if binary.LittleEndian.Uint64(r.Buf.Bytes()[47:]) != got.Load() {
						wrong.Add(1)
					}
					if kept[i] != nil {
						kept[i].Release()
					}
					kept[i] = e.Pool().Keep(r.Buf)
					got.Add(1)
				}
				if n == 0 {
					e.Wait(-1)
				}
			})
			for q := range 4 {
				ca := testConfig(0)
				ca.Mode, ca.Queue = mode, q
				a := na.open(t, ca)
				got.Store(0)
				from.Store(uint64(a.Local()))
				data := datagram(ca.Cluster, 0, 100)
				for seq := range uint64(each) {
					binary.LittleEndian.PutUint64(data[47:], seq)
					send(t, a, buf.Group, data)
					if seq%200 == 199 || seq+1 == each {
						wait(t, "datagrams", func() bool { return got.Load() == seq+1 })
					}
				}
				a.Close()
			}
			stop()
			if wrong.Load()+foreign.Load() > 0 {
				t.Errorf("%d out of order, %d of nobody", wrong.Load(), foreign.Load())
			}
			var sum Stats
			busy := 0
			for i, e := range all {
				if kept[i] != nil {
					kept[i].Release()
				}
				s := e.Stats()
				if s.RecvDatagrams > 0 {
					busy++
				}
				if s.Waits == 0 {
					t.Errorf("queue %d never slept", i)
				}
				sum.RecvDatagrams += s.RecvDatagrams
				sum.RecvKernel += s.RecvKernel
				sum.KernelDropped += s.KernelDropped
				if n := testing.AllocsPerRun(100, func() { e.Recv(batch[i][:]) }); n != 0 {
					t.Errorf("queue %d: %v allocations", i, n)
				}
			}
			if s := b.Stats(); sum.RecvDatagrams != 4*each || sum.RecvKernel+s.Filter.NoSocket+sum.KernelDropped != 0 || busy < 3 {
				t.Errorf("%d came, %d of them through the kernel, %d were dropped, in %d queues; %+v", sum.RecvDatagrams, sum.RecvKernel, sum.KernelDropped, busy, s.Filter)
			}
			accountAll(t, all)
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// What a Queue sends comes from the member's own address: to one member, and to the group.
func TestQueueSends(t *testing.T) {
	na, nb := manyQueues(t, 2)
	a := na.open(t, testConfig(0))
	cb := testConfig(1)
	cb.Queues, cb.Split = 2, true
	b := nb.open(t, cb)
	q := b.Queues()[0]
	want := datagram(cb.Cluster, 7, 300)
	o := q.Pool().Get()
	o.Set(0, copy(o.Mem(), want))
	for _, to := range []buf.Endpoint{a.Local(), buf.Group} {
		if n, err := q.Send([]buf.Send{{Buf: o, To: to}}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		r := expect(t, a)
		if !bytes.Equal(r.Buf.Bytes(), want) || r.From != b.Local() || r.Group != (to == buf.Group) {
			t.Errorf("to %v: from %v, through the group %v", to, ip4.Addr(r.From), r.Group)
		}
	}
	if s := a.Stats(); s.RecvKernel != 0 {
		t.Errorf("%d came through the kernel: the filter did not know them", s.RecvKernel)
	}
	sends := []buf.Send{{Buf: o, To: a.Local()}}
	if n := testing.AllocsPerRun(50, func() { _, _ = q.Send(sends) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	var none [64]buf.Received
	wait(t, "them all", func() bool { a.Recv(none[:]); return a.Stats().RecvDatagrams == 2+51 })
	if s := q.Stats(); s.SendKernel != 53 || s.SendDatagrams != 53 || s.SendDropped != 0 {
		t.Errorf("%+v", s)
	}
	for range 10 { // the group's own datagrams do not come back
		b.Recv(none[:])
	}
	if s := b.Stats(); s.RecvOwn != 0 || s.RecvDatagrams != 0 {
		t.Errorf("heard %d of itself", s.RecvOwn)
	}
	o.Release()
}

// The interface is removed and made again while every queue is received from on its own thread: each
// gets a new socket from the driver, and all buffers that were in the old one back.
func TestQueuesRemovedAndBack(t *testing.T) {
	na, nb := manyQueues(t, 4)
	cb := testConfig(1)
	cb.Queues, cb.Split = 4, true
	b := nb.open(t, cb)
	all := ends(b)
	var state atomic.Uint32
	var came [4]atomic.Uint64
	var held [4]*buf.Buf
	run := func() (stop func()) {
		batch := make([][64]buf.Received, len(all))
		return threads(all, func(i int, e end) {
			n := e.Recv(batch[i][:])
			if n > 0 && held[i] == nil {
				held[i] = e.Pool().Keep(batch[i][0].Buf) // held throughout
			}
			if came[i].Add(uint64(n)); i == 0 {
				state.Store(uint32(b.State()))
			}
			if n == 0 {
				e.Wait(10 * time.Millisecond)
			}
		})
	}
	data := datagram(cb.Cluster, 1, 64)
	traffic := func() {
		t.Helper()
		for q := range 4 {
			ca := testConfig(0)
			ca.Queue = q
			a := na.open(t, ca)
			var before uint64
			total := func() (n uint64) {
				for i := range came {
					n += came[i].Load()
				}
				return n
			}
			before = total()
			wait(t, "traffic", func() bool { send(t, a, buf.Group, data); return total() > before })
			a.Close()
		}
		for i := range came {
			if came[i].Swap(0) == 0 && i < 3 { // the last may be behind what the kernel makes of queue numbers
				t.Errorf("nothing came in queue %d", i)
			}
		}
	}
	stop := run()
	traffic()
	for range 2 {
		nb.ip(t, "link del v1")
		wait(t, "the interface to go", func() bool { return State(state.Load()) == Gone })
		nb.ip(t, "link add v1 numrxqueues 4 numtxqueues 4 type veth peer name v0 numrxqueues 4 numtxqueues 4 netns "+na.Path())
		nb.ip(t, "addr add 10.9.0.2/24 dev v1")
		na.ip(t, "addr add 10.9.0.1/24 dev v0")
		nb.ip(t, "link set v1 up")
		na.ip(t, "link set v0 up")
		wait(t, "the interface to return", func() bool { return State(state.Load()) == Up })
		traffic()
	}
	stop()
	for _, h := range held {
		if h != nil {
			if !bytes.Equal(h.Bytes(), data) {
				t.Error("what was held has changed")
			}
			h.Release()
		}
	}
	accountAll(t, all)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// Opening and closing leaves nothing behind, also while a socket has been handed over that nobody
// took; and a buffer that somebody holds is told, whichever queue it is of.
func TestQueuesOpenAndClose(t *testing.T) {
	na, nb := manyQueues(t, 3)
	a := na.open(t, testConfig(0))
	cb := testConfig(1)
	cb.Queues, cb.Split = 3, true
	var fds, maps int
	for i := range 6 {
		b := nb.open(t, cb)
		send(t, a, buf.Group, datagram(cb.Cluster, 1, 8))
		accountAll(t, ends(b))
		b.Queues()[1].fresh.Store(&handover{b.Queues()[1].socket, b.attachment.filter}) // as if it were another
		b.Queues()[1].socket = nil
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b.Queues()[0].Wake() // harmless
		if i == 1 {
			fds, maps = openFiles(t), mappings(t)
		}
	}
	if n := openFiles(t); n > fds {
		t.Errorf("%d open files, %d after two rounds", n, fds)
	}
	if n := mappings(t); n > maps {
		t.Errorf("%d mapped rings and tables, %d after two rounds", n, maps)
	}
	b := nb.open(t, cb)
	b.Queues()[1].Pool().Get()
	if err := b.Close(); !errors.Is(err, ErrLeak) {
		t.Errorf("a buffer is held: %v", err)
	}
}
