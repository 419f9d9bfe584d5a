package blaze

import (
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/gid"
)

// worker is one of a channel's engines. Over xdp:// with queues=N there are N, each on a thread of
// its own; else there is one. The first one sends.
type worker struct {
	engine *engine.Engine
	ended  chan struct{}               // closed when the engine's goroutine has ended; at once with an Invoker
	gid    atomic.Uint64               // of the engine's goroutine; with an Invoker, of the one that turns, as last seen
	read   atomic.Pointer[EngineStats] // as they were when they were last asked for
}

// engineCPU is the CPU that an engine is pinned to; negative: none.
func (c *Config) engineCPU(engine int) int {
	if engine < len(c.EngineCPUs) {
		return c.EngineCPUs[engine]
	}
	return -1
}

// start runs every engine on a goroutine, and returns when each has its thread. On an error none
// is left running.
func (r *running) start() (err error) {
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
func (r *running) end() {
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

// handler is the engine whose thread the caller is on, inside a turn: the caller is an Inline
// handler then. It costs about a microsecond.
func (r *running) handler() (engine int, ok bool) {
	g := gid.Current()
	for i, w := range r.workers {
		if w.gid.Load() == g {
			return i, !r.invoker || r.turning
		}
	}
	return 0, false
}

// inHandler tells whether the caller is an Inline handler.
func (r *running) inHandler() bool {
	_, in := r.handler()
	return in
}

// ask runs f where the state of the first engine may be touched, and of all that applications send,
// and tells whether it has run; it has not when the engine has ended.
func (r *running) ask(f func()) bool { return r.askAt(0, f) }

// askAt runs f where the state of an engine may be touched. Inside an Inline handler it may be asked
// for the engine that runs the handler, and for the first one, which in a handler of its own asks
// nobody: so no two wait for each other.
func (r *running) askAt(i int, f func()) bool {
	if in, ok := r.handler(); ok && in == i {
		f()
		return true
	}
	if r.invoker {
		r.mu.Lock()
		defer r.mu.Unlock()
		f()
		return true
	}
	w := r.workers[i]
	ran := make(chan struct{})
	w.engine.Post(func() { f(); close(ran) })
	select {
	case <-ran:
		return true
	case <-w.ended:
		select {
		case <-ran:
			return true
		default:
			return false
		}
	}
}

// until has the first engine turn until cond, which is asked where its state may be touched, holds.
// It tells whether that came before the deadline.
func (r *running) until(deadline clock.Time, cond func() bool) (held bool) {
	return r.untilAt(0, deadline, cond)
}

// untilAt is until for any engine.
func (r *running) untilAt(i int, deadline clock.Time, cond func() bool) (held bool) {
	for wait := 20 * time.Microsecond; ; wait = min(2*wait, time.Millisecond) {
		asked := r.askAt(i, func() {
			if r.invoker {
				r.engine.Turn(engine.Now())
			}
			held = cond()
		})
		if !asked || held || engine.Now() > deadline {
			return held
		}
		if !r.invoker {
			time.Sleep(wait)
		}
	}
}
