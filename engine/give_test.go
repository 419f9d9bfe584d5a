package engine

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// restingDriver looks at something before it sleeps.
type restingDriver struct {
	*fakeDriver
	rests func()
}

func (d restingDriver) Wait(limit time.Duration) {
	d.rests()
	d.fakeDriver.Wait(limit)
}

// An engine that has the only processor does not sleep on it while a goroutine that it has made ready waits for it: the Go
// scheduler would take it away up to 10 ms later.
func TestGiveBeforeSleep(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, idle := range []Idle{Block, Backoff} {
		var ready, ran atomic.Bool
		slept := make(chan bool, 1) // whether the goroutine had run
		d := restingDriver{newFakeDriver(), func() {
			if ready.Swap(false) {
				slept <- ran.Load()
			}
		}}
		e := New(Config{Driver: d, Source: &fakeSource{}, Protocols: protocols(&fakeProtocol{}), Idle: idle, CPU: -1})
		done := make(chan error, 1)
		go func() { done <- e.Run() }()
		early := 0
		for range 20 {
			ran.Store(false)
			e.Post(func() {
				ready.Store(true)
				go ran.Store(true)
			})
			if !<-slept {
				early++
			}
		}
		if early > 4 { // the scheduler lets others pass in one of 61 times
			t.Errorf("%v: the engine slept %d times before the goroutine that it had made ready ran", idle, early)
		}
		e.Stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}
