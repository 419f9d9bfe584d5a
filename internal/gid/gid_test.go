package gid

import (
	"runtime"
	"sync"
	"testing"
)

// No two goroutines that live at the same time have one number, and a goroutine keeps its own when
// its stack moves and when it changes threads.
func TestCurrent(t *testing.T) {
	const goroutines = 200
	var mu sync.Mutex
	seen := map[uint64]bool{}
	all := make(chan struct{}) // closed when all are counted
	var counted, ended sync.WaitGroup
	counted.Add(goroutines)
	for range goroutines {
		ended.Go(func() {
			mine := Current()
			mu.Lock()
			if mine == 0 || seen[mine] {
				t.Errorf("number %#x is 0, or another goroutine's", mine)
			}
			seen[mine] = true
			mu.Unlock()
			counted.Done()
			<-all
			runtime.Gosched()
			if again := deep(100); again != mine {
				t.Errorf("first %#x, then %#x", mine, again)
			}
		})
	}
	counted.Wait()
	close(all)
	ended.Wait()
}

//go:noinline
func deep(n int) uint64 {
	var room [1024]byte
	if n == 0 {
		return Current()
	}
	room[n] = byte(n)
	return deep(n-1) + uint64(room[n]) - uint64(n)
}

func BenchmarkCurrent(b *testing.B) {
	for b.Loop() {
		Current()
	}
}
