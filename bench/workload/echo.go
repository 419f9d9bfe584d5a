package workload

import (
	"errors"
	"slices"
	"sync"

	"github.com/activeblaze/blaze"
)

// echo sends back what a receiver's handler gets. What meets back-pressure waits its turn: an
// answer that the application drops by itself would look like one that the library lost.
type echo struct {
	offer func([]byte) error

	mu      sync.Mutex // the handler's thread, and the one that retries
	waiting [][]byte   // in order; empty but for back-pressure
	err     error      // the first that is not back-pressure
}

// take answers one payload, which it copies if it has to keep it.
func (e *echo) take(b []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.drain()
	if len(e.waiting) > 0 || !e.try(b) {
		e.waiting = append(e.waiting, slices.Clone(b))
	}
}

// retry offers again what waits. Who drives the engine calls it now and then.
func (e *echo) retry() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.drain()
}

func (e *echo) drain() {
	n := 0
	for n < len(e.waiting) && e.try(e.waiting[n]) {
		n++
	}
	if n > 0 {
		e.waiting = slices.Delete(e.waiting, 0, n)
	}
}

// try reports whether b needs not be offered again.
func (e *echo) try(b []byte) bool {
	err := e.offer(b)
	if errors.Is(err, blaze.ErrBackPressure) {
		return false
	}
	if e.err == nil {
		e.err = err
	}
	return true
}

// failed is the first error that ended an answer for good.
func (e *echo) failed() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}
