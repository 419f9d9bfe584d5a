package intake

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/activeblaze/blaze/internal/core"
)

// BenchmarkIntake carries messages from one goroutine to the handler of another.
func BenchmarkIntake(b *testing.B) {
	for _, size := range []int{64, 1344, 60 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			n, done := 0, make(chan struct{})
			q := New(benchConfig(func(*Message) {
				if n++; n == b.N {
					close(done)
				}
			}))
			q.Start()
			in := q.At(0)
			payload := make([]byte, size)
			d := core.Delivery{Sequence: 1, Payload: payload}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				for !in.Ready(1) {
					runtime.Gosched()
				}
				in.Deliver(1, "topic", &d)
				d.Sequence++
			}
			<-done
			b.StopTimer()
			q.End(false)
			q.Stop()
			q.Join(nil)
		})
	}
}
