package run

import (
	"sync/atomic"

	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/gid"
)

// worker is one of a channel's engines. Over xdp:// with queues=N there are N, each on a thread of
// its own; else there is one. The first one sends.
type worker struct {
	engine *engine.Engine
	ended  chan struct{} // closed when the engine's goroutine has ended; at once with an Invoker
	gid    atomic.Uint64 // of the engine's goroutine; with an Invoker, of the one that turns, as last seen
}

// start runs every engine on a goroutine, and returns when each has its thread. On an error none
// is left running.
func (r *Run) start() (err error) {
	failed := make(chan error, len(r.workers))
	for _, w := range r.workers {
		go func() {
			w.gid.Store(gid.Current())
			if err := w.engine.Run(); err != nil {
				failed <- err
			}
			close(w.ended)
		}()
	}
	for _, w := range r.workers {
		// The first posted function runs in the first turn: the thread is pinned by then.
		first := make(chan struct{})
		w.engine.Post(func() { close(first) })
		select {
		case <-first:
		case <-w.ended:
			err = <-failed
		}
	}
	if err != nil {
		r.end()
	}
	return err
}

// end ends every engine, after the turn that is running.
func (r *Run) end() {
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
