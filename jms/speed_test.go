package jms

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkHeld has producers and consumers of one held queue, eight each, AutoAcknowledge, messages of 100 bytes, and
// reports messages for each second and the median of Send.
func BenchmarkHeld(b *testing.B) {
	for _, listeners := range []bool{false, true} {
		b.Run(map[bool]string{false: "receive", true: "listen"}[listeners], func(b *testing.B) {
			f := alone(b)
			c := connect(b, f, AutoAcknowledge)
			const n = 8
			each := b.N/n + 1
			body := make([]byte, 100)
			q := queue(b, c, fmt.Sprint("speed.", listeners, b.N))
			var done, sending sync.WaitGroup
			all := make(chan struct{})
			var came atomic.Int64
			got := func() {
				if came.Add(1) == n*int64(each) {
					close(all)
				}
			}
			stop, cancel := context.WithCancel(context.Background())
			for range n {
				k := consume(b, another(b, c, AutoAcknowledge), q)
				if listeners {
					if err := k.Listen(func(*Message) { got() }); err != nil {
						b.Fatal(err)
					}
					continue
				}
				done.Go(func() {
					for {
						if _, err := k.Receive(stop); err != nil {
							return
						}
						got()
					}
				})
			}
			took := make([][]time.Duration, n)
			b.ResetTimer()
			start := time.Now()
			for i := range n {
				p := another(b, c, AutoAcknowledge).Producer()
				sending.Go(func() {
					for range each {
						before := time.Now()
						if err := p.SendBytes(context.Background(), q, body); err != nil {
							b.Error(err)
							return
						}
						took[i] = append(took[i], time.Since(before))
					}
				})
			}
			<-all
			elapsed := time.Since(start)
			cancel()
			sending.Wait()
			done.Wait()
			sends := slices.Concat(took...)
			slices.Sort(sends)
			b.ReportMetric(float64(n*each)/elapsed.Seconds(), "msgs/s")
			b.ReportMetric(float64(sends[len(sends)/2].Microseconds()), "send-µs")
		})
	}
}
