package run

import (
	"context"
	"runtime/pprof"
	"strconv"
	"sync/atomic"

	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/gid"
)

// worker is one of a run's engines. Over xdp:// with queues=N there are N, each on a thread of its
// own; else there is one. The first one sends. With an Invoker there is one, without a thread.
type worker struct {
	engine *engine.Engine
	inside atomic.Uint64 // the goroutine that is inside a turn of the engine; 0: none
	ended  chan struct{} // closed when the engine's goroutine has ended
}

// run is the engine's goroutine, the i-th of a member of that name.
func (w *worker) run(i int, name string) error {
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("blaze_channel", name, "blaze_part", "engine "+strconv.Itoa(i))))
	w.inside.Store(gid.Current())
	defer w.inside.Store(0) // another goroutine may get the number
	return w.engine.Run()
}

// do has the engine's goroutine call f, and waits for it. It returns ErrClosed if the goroutine ends
// first; f is not called then.
func (w *worker) do(f func()) error {
	var taken atomic.Bool // by the goroutine that calls f, or by the one that gives up
	returned := make(chan struct{})
	w.engine.Post(func() {
		if taken.CompareAndSwap(false, true) {
			f()
			close(returned)
		}
	})
	select {
	case <-returned:
		return nil
	case <-w.ended:
		if taken.CompareAndSwap(false, true) {
			return ErrClosed
		}
		<-returned
		return nil
	}
}

// startWorkers runs every engine on a goroutine, and returns when each has its thread. On an error none
// is left running.
func (r *Run) startWorkers() (err error) {
	failed := make(chan error, len(r.workers))
	for i, w := range r.workers {
		go func() {
			if err := w.run(i, r.name); err != nil {
				failed <- err
			}
			close(w.ended)
		}()
	}
	for _, w := range r.workers {
		// The first posted function runs in the first turn: the thread is pinned by then.
		if w.do(func() {}) != nil {
			err = <-failed
		}
	}
	if err != nil {
		r.endWorkers()
	}
	return err
}

// endWorkers ends every engine, after the turn that is running.
func (r *Run) endWorkers() {
	for _, w := range r.workers {
		w.engine.Stop()
	}
	for _, w := range r.workers {
		<-w.ended
	}
	for _, w := range r.workers {
		w.engine.RunPosted()
	}
}
