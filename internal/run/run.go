package run

import (
	"errors"
	"time"

	"sync"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/member"
)

// Errors that calls return bare.
var (
	ErrClosed   = errors.New("run: closed")                      // the run stops, or has ended
	ErrOccupied = errors.New("run: waiting in an engine's turn") // the wait would wait for itself
)

// Config is what a run is made of.
type Config struct {
	Member  member.Config
	Invoker bool // no goroutines: the application turns the engine
}

// Run is one start of a channel.
type Run struct {
	member  *member.Member
	engine  *engine.Engine // the first
	driver  engine.Driver  // of the first
	workers []*worker      // all; with an Invoker the first, which it turns
	invoker bool
	filters bool          // lanes that are not wanted are kept away
	done    chan struct{} // closed when the run begins to stop

	// With an Invoker.
	mu      sync.Mutex // held while the engine is touched: Stop and Stats may come from elsewhere
	turning bool       // the turning goroutine's own: a handler is running, and mu is held
	turns   uint64     // guarded by mu
	stack   uintptr    // guarded by mu: where the stack of the turning goroutine lies
	after   func()     // the turning goroutine's own: to do when the turn that runs is over
}

// Start puts a member together and, without an Invoker, runs its engines.
func Start(cfg Config) (*Run, error) {
	r := &Run{
		member: member.New(cfg.Member), driver: cfg.Member.Driver, invoker: cfg.Invoker,
		filters: cfg.Member.Filter.Set != nil, done: make(chan struct{}),
	}
	r.engine = r.member.Engine()
	for _, e := range r.member.Engines() {
		r.workers = append(r.workers, &worker{engine: e, ended: make(chan struct{})})
	}
	if r.invoker {
		close(r.workers[0].ended)
		return r, nil
	}
	if err := r.start(); err != nil {
		r.member.Release()
		return nil, err
	}
	return r, nil
}

// Member is the member that runs. Its engines' state may be touched inside Do and DoAt only.
func (r *Run) Member() *member.Member { return r.member }

// Engine is one of the member's engines.
func (r *Run) Engine(i int) *engine.Engine { return r.workers[i].engine }

// Engines is the number of the member's engines.
func (r *Run) Engines() int { return len(r.workers) }

// Invoker reports whether the application turns the engine.
func (r *Run) Invoker() bool { return r.invoker }

// Notify wakes the engines that sleep.
func (r *Run) Notify() {
	for _, w := range r.workers {
		w.engine.Notify()
	}
}

// Listen opens the lanes that listen wants. It calls listen where the engine's state may be touched,
// and only if lanes are kept away at all.
func (r *Run) Listen(listen func(*member.Member) error) (err error) {
	if r.filters {
		r.Do(func() { err = listen(r.member) })
	}
	return err
}

// Opening is when a stream is opened by an Invoker that may not have turned yet.
func (r *Run) Opening() clock.Time {
	if now := r.engine.Now(); now != 0 {
		return now
	}
	return engine.Now()
}

const (
	// firstWait and longestWait bound the sleep between two looks at a condition.
	firstWait   = 20 * time.Microsecond
	longestWait = time.Millisecond
)
