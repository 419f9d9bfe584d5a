package udp

import (
	"fmt"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
)

// BenchmarkTransfer moves datagrams from one member to another through the group, both in one
// goroutine: the processor time of both ends together, for each datagram.
func BenchmarkTransfer(b *testing.B) {
	for _, k := range kinds {
		for _, size := range []int{64, 1344} {
			for _, count := range []int{1, 16, 48} {
				b.Run(fmt.Sprintf("%s/size=%d/batch=%d", k.name, size, count), func(b *testing.B) {
					cfg := groupConfig(b)
					from, err := k.open(cfg)
					if err != nil {
						b.Fatal(err)
					}
					defer from.Close()
					to, err := k.open(cfg)
					if err != nil {
						b.Fatal(err)
					}
					defer to.Close()
					out, in := outgoing(buf.Group, 1, repeat(count, size)...), make([]buf.Received, 64)
					b.SetBytes(int64(size))
					b.ReportAllocs()
					b.ResetTimer()
					for done := 0; done < b.N; done += count {
						if n, err := from.Send(out); n != count || err != nil {
							b.Fatal(n, err)
						}
						for n := 0; n < count; {
							k := to.Recv(in)
							if n += k; k == 0 {
								to.Wait(time.Second)
							}
						}
					}
				})
			}
		}
	}
}

// BenchmarkEmpty is what a spinning engine pays for looking.
func BenchmarkEmpty(b *testing.B) {
	d, err := Open(groupConfig(b))
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	in := make([]buf.Received, 64)
	for b.Loop() {
		d.Recv(in)
	}
}

// BenchmarkWakeAwake is what a producer pays while the engine does not sleep.
func BenchmarkWakeAwake(b *testing.B) {
	d, err := Open(groupConfig(b))
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	for b.Loop() {
		d.Wake()
	}
}
