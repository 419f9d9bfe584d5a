package engine

import (
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/activeblaze/blaze/clock"
)

// turnCounter is a source that counts turns.
type turnCounter struct {
	fakeSource
	turns atomic.Int64
}

func (c *turnCounter) Drain(now clock.Time) int {
	c.turns.Add(1)
	return c.fakeSource.Drain(now)
}

// With one processor for an engine that never sleeps, a goroutine that a turn has something for runs right after that turn.
func TestYield(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var c turnCounter
	e := New(Config{Driver: newFakeDriver(), Source: &c, Protocols: protocols(&fakeProtocol{}), Idle: BusySpin, CPU: -1})
	ended := make(chan error, 1)
	go func() { ended <- e.Run() }()
	const rounds = 20
	soon := 0
	for range rounds {
		passed := make(chan int64, 1)
		e.Post(func() {
			before := c.turns.Load()
			go func() { passed <- c.turns.Load() - before }()
			e.Yield()
		})
		if <-passed <= 2 {
			soon++
		}
	}
	e.Stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if soon < rounds/2 {
		t.Errorf("in %d of %d rounds the goroutine ran right after the turn", soon, rounds)
	}
}
