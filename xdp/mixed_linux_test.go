package xdp

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/udp"
)

func (n *namespace) openUDP(t *testing.T, i int) (d *udp.Driver, err error) {
	c := testConfig(i)
	n.do(func() { d, err = udp.Open(udp.Config{Group: c.Group, Interface: c.Interface, Logger: c.Logger}) })
	if err == nil {
		t.Cleanup(func() { d.Close() })
	}
	return d, err
}

// The bytes are the same over both drivers: batches of datagrams, segmented by the kernel on
// their way out of udp or not, go in both directions, to the group and to one member.
func TestUDPAndXDPTalk(t *testing.T) {
	na, nb := pair(t)
	for _, mode := range []string{"generic", "native"} {
		t.Run(mode, func(t *testing.T) {
			cb := testConfig(1)
			cb.Mode = mode
			a, err := na.openUDP(t, 0)
			if err != nil {
				t.Fatal(err)
			}
			b := nb.open(t, cb)
			pool := buf.NewPool(64, 2048)
			var batch [64]buf.Received
			for _, size := range []int{0, 64, 500, 1425} {
				for _, to := range []buf.Endpoint{buf.Group, b.Local()} {
					var sends []buf.Send
					for seq := range uint64(64) {
						o := pool.Get()
						o.Set(0, copy(o.Mem(), datagram(cb.Cluster, seq, size)))
						sends = append(sends, buf.Send{Buf: o, To: to})
					}
					for n := 0; n < len(sends); {
						k, err := a.Send(sends[n:])
						if err != nil {
							t.Fatal(err)
						}
						n += k
					}
					got := 0
					wait(t, "what udp sent", func() bool {
						for _, r := range batch[:b.Recv(batch[:])] {
							want := datagram(cb.Cluster, uint64(got), size)
							if !bytes.Equal(r.Buf.Bytes(), want) || r.From != a.Local() || r.Group != (to == buf.Group) {
								t.Fatalf("datagram %d of %d bytes: %d bytes, group %v", got, len(want), r.Buf.Len(), r.Group)
							}
							got++
						}
						return got == len(sends)
					})
					for _, s := range sends {
						s.Buf.Release()
					}
				}
				for _, to := range []buf.Endpoint{buf.Group, a.Local()} {
					for seq := range uint64(64) {
						send(t, b, to, datagram(cb.Cluster, seq, size))
					}
					got := 0
					wait(t, "what xdp sent", func() bool {
						for _, r := range batch[:a.Recv(batch[:])] {
							want := datagram(cb.Cluster, uint64(got), size)
							if !bytes.Equal(r.Buf.Bytes(), want) || r.From != b.Local() || r.Group != (to == buf.Group) {
								t.Fatalf("datagram %d of %d bytes: %d bytes, group %v", got, len(want), r.Buf.Len(), r.Group)
							}
							got++
						}
						return got == 64
					})
				}
			}
			s := b.Stats()
			t.Logf("of %d datagrams %d came through the kernel; %+v", s.RecvDatagrams, s.RecvKernel, s.Filter)
			a.Close()
		})
	}
}

func TestUDPAndXDPDoNotShareAnInterface(t *testing.T) {
	na, _ := pair(t)
	u, err := na.openUDP(t, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := na.try(testConfig(0)); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "has a udp member") {
		t.Errorf("xdp beside udp: %v", err)
	}
	u.Close()
	na.open(t, testConfig(0))
	if _, err := na.openUDP(t, 0); !errors.Is(err, udp.ErrConfig) || !strings.Contains(err.Error(), "has an xdp member") {
		t.Errorf("udp beside xdp: %v", err)
	}
}
