package xdp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/testnet"
)

// manyQueues is pair with n receive and n send queues at both ends.
func manyQueues(t *testing.T, n int) (a, b *namespace) {
	t.Helper()
	testnet.NeedAFXDP(t)
	a, b = newNamespace(t), newNamespace(t)
	q := fmt.Sprintf(" numrxqueues %d numtxqueues %d", n, n)
	a.ip(t, "link add v0"+q+" type veth peer name v1"+q+" netns "+b.Path())
	a.ip(t, "addr add 10.9.0.1/24 dev v0")
	b.ip(t, "addr add 10.9.0.2/24 dev v1")
	a.ip(t, "link set v0 up")
	b.ip(t, "link set v1 up")
	return a, b
}

// What comes in a queue without a socket goes through the kernel, and arrives all the same.
func TestOtherQueuesGoThroughTheKernel(t *testing.T) {
	na, nb := manyQueues(t, 4)
	for _, mode := range []string{"generic", "native"} {
		t.Run(mode, func(t *testing.T) {
			cb := testConfig(1)
			cb.Mode = mode
			b := nb.open(t, cb)
			for q := range 4 { // on veth the queue that it is sent through decides
				ca := testConfig(0)
				ca.Queue = q
				a := na.open(t, ca)
				for seq := range uint64(50) {
					for _, to := range []buf.Endpoint{buf.Group, b.Local()} {
						want := datagram(ca.Cluster, seq, 64)
						send(t, a, to, want)
						if r := expect(t, b); !bytes.Equal(r.Buf.Bytes(), want) || r.Group != (to == buf.Group) {
							t.Fatalf("queue %d: %x", q, r.Buf.Bytes())
						}
					}
				}
				a.Close()
			}
			// Some unicast goes through the kernel's socket at the sender, and so through any queue.
			s := b.Stats()
			if s.RecvDatagrams != 400 || s.RecvKernel < 100 || s.RecvKernel != s.Filter.NoSocket || s.Filter.Group < 50 {
				t.Errorf("%d came, %d of them through the kernel; %+v", s.RecvDatagrams, s.RecvKernel, s.Filter)
			}
			b.Close()
		})
	}
}

// A driver with a socket for each queue gets everything past the kernel, whichever queue it comes
// in, in the order of each, and loses no buffer over it.
func TestSeveralQueues(t *testing.T) {
	const each = 3000 // datagrams: the fill rings go round
	na, nb := manyQueues(t, 4)
	for _, mode := range []string{"generic", "native"} {
		t.Run(mode, func(t *testing.T) {
			cb := testConfig(1)
			cb.Mode, cb.Queues = mode, 4
			b := nb.open(t, cb)
			if a, err := b.Accounting(); err != nil || a.Fill != 4*cb.FillRing {
				t.Errorf("%d buffers wait for packets, %v", a.Fill, err)
			}
			var batch [64]buf.Received
			for q := range 4 {
				ca := testConfig(0)
				ca.Mode, ca.Queue = mode, q
				a := na.open(t, ca)
				data := datagram(ca.Cluster, 0, 100)
				kept := b.Pool().Get() // a window of one
				got := uint64(0)
				for seq := range uint64(each) {
					binary.LittleEndian.PutUint64(data[47:], seq)
					send(t, a, buf.Group, data)
					if seq-got < 200 && seq+1 < each {
						continue
					}
					wait(t, "datagrams", func() bool {
						for _, r := range batch[:b.Recv(batch[:])] {
							if n := binary.LittleEndian.Uint64(r.Buf.Bytes()[47:]); n != got || r.From != a.Local() {
								t.Fatalf("queue %d: datagram %d came instead of %d", q, n, got)
							}
							kept.Release()
							kept = b.Pool().Keep(r.Buf)
							got++
						}
						return got == seq+1
					})
				}
				kept.Release()
				// And one back, which leaves through the first queue.
				send(t, b, a.Local(), data)
				expect(t, a)
				a.Close()
			}
			if n := testing.AllocsPerRun(100, func() { b.Recv(batch[:]) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
			s := b.Stats()
			if s.RecvDatagrams != 4*each || s.RecvKernel != 0 || s.Filter.NoSocket != 0 || s.KernelDropped != 0 {
				t.Errorf("%d came, %d of them through the kernel; %+v", s.RecvDatagrams, s.RecvKernel, s)
			}
			account(t, b)
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A driver that sleeps is woken by what comes in any of its queues.
func TestSeveralQueuesWakeTheirReader(t *testing.T) {
	na, nb := manyQueues(t, 4)
	cb := testConfig(1)
	cb.Queues = 4
	b := nb.open(t, cb)
	var batch [64]buf.Received
	for q := range 4 {
		ca := testConfig(0)
		ca.Queue = q
		a := na.open(t, ca)
		drain(b)
		done := make(chan int)
		go func() {
			n := 0
			for n == 0 {
				b.Wait(-1)
				n = b.Recv(batch[:])
			}
			done <- n
		}()
		send(t, a, buf.Group, datagram(ca.Cluster, 1, 64))
		if n := <-done; n != 1 {
			t.Errorf("queue %d: %d datagrams", q, n)
		}
		a.Close()
	}
}

// An interface with several queues is removed and made again.
func TestSeveralQueuesRemovedAndBack(t *testing.T) {
	na, nb := manyQueues(t, 2)
	cb := testConfig(1)
	cb.Queues = 2
	b := nb.open(t, cb)
	nb.ip(t, "link del v1")
	var none [1]buf.Received
	wait(t, "the interface to go", func() bool { b.Recv(none[:]); return b.State() == Gone && b.attachment == nil })
	if a, err := b.Accounting(); err != nil || a.Free != a.Total {
		t.Errorf("without an interface: %+v, %v", a, err)
	}
	nb.ip(t, "link add v1 numrxqueues 2 numtxqueues 2 type veth peer name v0 numrxqueues 2 numtxqueues 2 netns "+na.Path())
	nb.ip(t, "addr add 10.9.0.2/24 dev v1")
	na.ip(t, "addr add 10.9.0.1/24 dev v0")
	nb.ip(t, "link set v1 up")
	na.ip(t, "link set v0 up")
	wait(t, "the interface to return", func() bool { b.Recv(none[:]); return b.State() == Up })
	ca := testConfig(0)
	ca.Queue = 1
	a := na.open(t, ca)
	wait(t, "traffic", func() bool { send(t, a, buf.Group, datagram(ca.Cluster, 1, 64)); return b.Recv(none[:]) > 0 })
	drain(b)
}

func TestQueuesExplain(t *testing.T) {
	na, _ := manyQueues(t, 2)
	for _, c := range []struct {
		change func(*Config)
		text   string
	}{
		{func(c *Config) { c.Queues = 3 }, "no receive queue 2"},
		{func(c *Config) { c.Queue, c.Queues = 1, 2 }, "no receive queue 2"},
		{func(c *Config) { c.Queues = 65 }, "at most 64"},
		{func(c *Config) { c.Queues = -1 }, "at most 64"},
		{func(c *Config) { c.Queues, c.Socket = 2, "asavie" }, "socket own"},
	} {
		cfg := testConfig(0)
		c.change(&cfg)
		d, err := na.try(cfg)
		if d != nil {
			d.Close()
		}
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%q is not in %v", c.text, err)
		}
	}
}
