package xdp

import (
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"golang.org/x/sys/unix"
)

// eachRung runs a benchmark with each implementation in each mode. One goroutine drives both
// ends, so that the figures are of the path and not of the scheduler.
func eachRung(b *testing.B, f func(b *testing.B, x, y *Driver)) {
	na, nb := pair(b)
	for _, socket := range sockets {
		for _, mode := range []string{"generic", "native"} {
			b.Run(socket+"/"+mode, func(b *testing.B) {
				cx, cy := testConfig(0), testConfig(1)
				for _, c := range []*Config{&cx, &cy} {
					c.Socket, c.Mode, c.FillRing, c.TxRing = socket, mode, 4096, 2048
				}
				x, y := na.open(b, cx), nb.open(b, cy)
				f(b, x, y)
				for _, d := range []*Driver{x, y} {
					drain(d)
					if err := d.Close(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkPingPong is the round trip of one datagram of 64 bytes and its header.
func BenchmarkPingPong(b *testing.B) {
	eachRung(b, func(b *testing.B, x, y *Driver) {
		ping := fill(b, x, datagram(testConfig(0).Cluster, 1, 64))
		defer ping.Release()
		var batch [64]buf.Received
		to := []buf.Send{{Buf: ping}}
		back := make([]buf.Send, 1)
		took := make([]time.Duration, 0, 1<<20)
		b.ReportAllocs()
		for b.Loop() {
			began := time.Now()
			_, _ = x.Send(to)
			for y.Recv(batch[:]) == 0 {
			}
			back[0] = buf.Send{Buf: batch[0].Buf, To: batch[0].From}
			_, _ = y.Send(back)
			for x.Recv(batch[:]) == 0 {
			}
			if len(took) < cap(took) {
				took = append(took, time.Since(began))
			}
		}
		slices.Sort(took)
		for _, q := range []struct {
			name string
			at   float64
		}{{"p50-ns", 0.5}, {"p99-ns", 0.99}, {"p99.9-ns", 0.999}} {
			b.ReportMetric(float64(took[int(q.at*float64(len(took)-1))]), q.name)
		}
	})
}

// BenchmarkStream is one datagram of 1,344 bytes of payload from one end to the other, in
// batches of 32.
func BenchmarkStream(b *testing.B) {
	eachRung(b, func(b *testing.B, x, y *Driver) {
		const burst = 32
		data := datagram(testConfig(0).Cluster, 1, 1344-47)
		var sends [burst]buf.Send
		var batch [64]buf.Received
		for i := range sends {
			sends[i].Buf = fill(b, x, data)
			defer sends[i].Buf.Release()
		}
		b.SetBytes(1344 * burst)
		b.ReportAllocs()
		got, rounds := 0, 0
		for b.Loop() {
			n, _ := x.Send(sends[:])
			for rounds += n; got < rounds; {
				k := y.Recv(batch[:])
				if got += k; k == 0 {
					break
				}
			}
		}
		b.ReportMetric(float64(got)/b.Elapsed().Seconds()/1e6, "Mpps")
		if got != rounds {
			b.Errorf("%d of %d arrived: %+v", got, rounds, y.Stats())
		}
	})
}

// BenchmarkBare is BenchmarkPingPong without the driver: descriptors and kicks only, packets
// that are made in advance. The difference is what the driver costs.
func BenchmarkBare(b *testing.B) {
	na, nb := pair(b)
	for _, socket := range sockets {
		b.Run(socket, func(b *testing.B) {
			var ends [2]Socket
			var pings [2]unix.XDPDesc
			cx, cy := testConfig(0), testConfig(1)
			cx.Socket, cy.Socket = socket, socket
			x, y := na.open(b, cx), nb.open(b, cy)
			for i, d := range []*Driver{x, y} {
				o := d.pool.Get()
				o.Set(0, copy(o.Mem(), datagram(cx.Cluster, 1, 64)))
				at := uint64(o.ID())<<d.memory.shift + frameStart
				d.toGroup.put((*[packet]byte)(d.memory.mem[at:]), o.Len())
				ends[i], pings[i] = d.attachment.socket, unix.XDPDesc{Addr: at, Len: uint32(packet + o.Len())}
			}
			var got [1]unix.XDPDesc
			var done [1]uint64
			turn := func(from, to int) {
				ends[from].Send(pings[from : from+1])
				if ends[from].NeedKick() {
					ends[from].Kick()
				}
				for ends[to].Recv(got[:]) == 0 {
				}
				done[0] = got[0].Addr &^ (smallChunk - 1)
				ends[to].Fill(done[:])
				ends[from].Complete(done[:])
			}
			took := make([]time.Duration, 0, 1<<20)
			for b.Loop() {
				began := time.Now()
				turn(0, 1)
				turn(1, 0)
				if len(took) < cap(took) {
					took = append(took, time.Since(began))
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
			b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
			x.state, y.state = Closed, Closed // their accounts are wrong now
			x.attachment.close()
			y.attachment.close()
			x.control.close()
			y.control.close()
		})
	}
}
