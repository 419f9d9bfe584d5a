package ring

import (
	"fmt"
	"runtime"
	"testing"
)

// One goroutine plays both sides: the cost of the instructions alone.
func BenchmarkSPSCAlone(b *testing.B) {
	q := NewSPSC[[64]byte](1024)
	b.ReportAllocs()
	for b.Loop() {
		slot, _ := q.Reserve()
		count(slot)
		q.Publish()
		q.Peek()
		q.Advance()
	}
}

// count is a function because go1.26.0, the oldest compiler that go.mod allows, cannot compile
// slot[0]++ directly inside a loop over b.Loop.
func count(slot *[64]byte) { slot[0]++ }

func BenchmarkBytesAlone(b *testing.B) {
	for _, size := range []int{16, 64, 1344} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			q := NewBytes(1 << 16)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				r, _ := q.Claim(size)
				r.SetWord(1)
				r.Commit()
				q.Peek()
				q.Advance()
			}
		})
	}
}

// Two goroutines, 1024 slots; the producer publishes once per batch items.
func BenchmarkSPSC(b *testing.B) {
	for _, batch := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			q := NewSPSC[[64]byte](1024)
			b.ReportAllocs()
			go func() {
				for left := b.N; left > 0; {
					for range min(batch, left) {
						slot, ok := q.Reserve()
						if !ok {
							break
						}
						slot[0]++
						left--
					}
					q.Publish()
				}
			}()
			consume(b, func() (ok bool) {
				if _, ok = q.Peek(); ok {
					q.Advance()
				}
				return ok
			})
		})
	}
}

func BenchmarkBytes(b *testing.B) {
	for _, producers := range []int{1, 2} {
		b.Run(fmt.Sprintf("producers=%d", producers), func(b *testing.B) {
			q := NewBytes(1 << 17)
			b.ReportAllocs()
			for p := range producers {
				go func() {
					for left := (b.N + p) / producers; left > 0; {
						if r, ok := q.Claim(64); ok {
							r.Commit()
							left--
						} else {
							runtime.Gosched()
						}
					}
				}()
			}
			consume(b, func() (ok bool) {
				if _, _, ok = q.Peek(); ok {
					q.Advance()
				}
				return ok
			})
		})
	}
}

// What the language offers, to compare with.
func BenchmarkChannel(b *testing.B) {
	c := make(chan [64]byte, 1024)
	b.ReportAllocs()
	go func() {
		for range b.N {
			c <- [64]byte{}
		}
	}()
	consume(b, func() bool { <-c; return true })
}

func BenchmarkSignalAwake(b *testing.B) {
	var s Signal
	for b.Loop() {
		s.Notify()
	}
}

// consume takes b.N items.
func consume(b *testing.B, take func() bool) {
	for left, idle := b.N, 0; left > 0; {
		if take() {
			left--
			idle = 0
		} else if idle++; idle > 1000 {
			runtime.Gosched()
		}
	}
}
