package store

import (
	"fmt"
	"testing"
)

// A commit of so many bytes, each told before the next: what a lone put waits for.
func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{140, 4096, 65536} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s, err := Open(Options{Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			told := make(chan Event, 1)
			s.Start(func(e Event) { told <- e })
			record := make([]byte, size)
			b.SetBytes(int64(size))
			index := uint64(0)
			for b.Loop() {
				index++
				s.Append(index, index, record)
				s.Flush(true)
				if e := <-told; e.Err != nil {
					b.Fatal(e.Err)
				}
			}
		})
	}
}

// Records of a batch each, as fast as the disk takes them, with at most 1,024 waiting.
func BenchmarkGroupCommit(b *testing.B) {
	s, err := Open(Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	told := make(chan Event, 1<<12)
	s.Start(func(e Event) { told <- e })
	record := make([]byte, 1300) // nine puts of 16 + 100 bytes
	b.SetBytes(int64(len(record)))
	index, acked, events := uint64(0), uint64(0), 0
	for b.Loop() {
		index++
		s.Append(index, index, record)
		s.Flush(false)
		for index-acked >= 1024 {
			e := <-told
			if e.Err != nil {
				b.Fatal(e.Err)
			}
			acked, events = e.Ticket, events+1
		}
	}
	b.ReportMetric(float64(index)/float64(max(events, 1)), "records/commit")
}

// What handing over costs the engine's thread.
func BenchmarkAppend(b *testing.B) {
	s := &Store{wake: make(chan struct{}, 1)}
	record := make([]byte, 1300)
	index := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		index++
		s.Append(index, index, record)
		s.Flush(false)
		if index%64 == 0 { // as the writer does
			s.w.taking.reset()
			s.w.taking, s.ready = s.ready, s.w.taking
		}
	}
}
