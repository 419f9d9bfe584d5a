package member

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/activeblaze/blaze/ring"
	"github.com/activeblaze/blaze/wire"
)

// Many producers put messages into lanes, with pauses in which lanes are left out. Nothing is overlooked: the thread that
// stands for the engine looks only into lanes in use.
func TestNoCallIsLost(t *testing.T) {
	const lanes, each = 16, 20000
	m := &Member{calls: new(calls)}
	for range lanes {
		l := &Lane{queue: ring.NewBytes(1 << 12)}
		l.calling.all = m.calls
		m.used = append(m.used, l)
	}
	all := append([]*Lane(nil), m.used...)
	var producers sync.WaitGroup
	for p := range 4 {
		producers.Go(func() {
			for i := range each {
				l := all[(i*7+p)%lanes]
				for !l.Put("t", wire.KindRaw, []byte{1}, false) {
					runtime.Gosched()
				}
				if i%64 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { producers.Wait(); close(done) }()
	got := 0
	drain := func(l *Lane) (n int) {
		for _, _, ok := l.queue.Peek(); ok; _, _, ok = l.queue.Peek() {
			l.queue.Advance()
			n++
		}
		l.queue.Flush()
		got += n
		return n
	}
	for idle := 0; got < 4*each; {
		if m.eachUsed(drain) > 0 {
			idle = 0
			continue
		}
		select {
		case <-done:
			if idle++; idle > 10*quietTurns {
				t.Fatalf("%d of %d messages were seen, %d lanes are looked into", got, 4*each, len(m.used))
			}
		default:
		}
	}
	for range quietTurns + 1 {
		m.eachUsed(drain)
	}
	if len(m.used) > 0 {
		t.Errorf("%d lanes are still looked into", len(m.used))
	}
}

// A message comes after the engine has looked into the queue for the last time, and before it leaves the lane out: nobody
// calls for it.
func TestLeftOutLaneIsEmpty(t *testing.T) {
	m := &Member{calls: new(calls)}
	l := &Lane{queue: ring.NewBytes(1 << 12)}
	l.calling.all = m.calls
	l.calling.idle = quietTurns - 1
	if !l.Put("t", wire.KindRaw, []byte{1}, false) {
		t.Fatal("the queue is full")
	}
	if l.quiet(0) {
		t.Error("a lane with a message is left out")
	}
	l.queue.Peek()
	l.queue.Advance()
	l.queue.Flush()
	l.calling.idle = quietTurns - 1
	if !l.quiet(0) || m.calls.top.Load() != nil {
		t.Error("an empty lane is not left out")
	}
	if !l.Put("t", wire.KindRaw, []byte{1}, false) || m.calls.top.Load() != l {
		t.Error("a lane that was left out did not call")
	}
}

func BenchmarkIdleLanes(b *testing.B) {
	for _, lanes := range []int{1, 64} {
		b.Run(fmt.Sprint(lanes), func(b *testing.B) {
			m := &Member{calls: new(calls)}
			for range lanes {
				l := &Lane{queue: ring.NewBytes(1 << 12)}
				l.calling.all = m.calls
				m.used = append(m.used, l)
			}
			for range 2 * quietTurns {
				m.drainLanes(0)
			}
			for b.Loop() {
				m.drainLanes(0)
			}
		})
	}
}
